//! What the locks of one owner in one file become when a range is locked or let go (`posix_lock_inode`).
//!
//! An owner's ranges never overlap, and two of one kind never touch: a new one takes the place of what it covers, splits
//! what reaches beyond it on both sides, and grows by its neighbours of the same kind.

use crate::vfs::file::flock::{LockKind, Owner};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Locks that one call adds at most: the new one, and the other half of one it splits.
pub(super) const GROWTH: usize = 2;

/// Bytes of a file from the first to the last; the last of all is `i64::MAX`, and means 'however long the file becomes'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) first: u64,
    /// The last byte, not before the first.
    pub(crate) last: u64,
}

impl Span {
    /// Whether a byte is in both.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether a byte is in both, or one begins where the other ends.
    fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }
}

/// A lock on a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// Whose it is.
    pub(crate) owner: Owner,
    /// The process that took it, -1 for an open file's.
    pub(crate) pid: i32,
    /// What others may have.
    pub(crate) kind: LockKind,
    /// Where it is.
    pub(crate) span: Span,
}

impl Record {
    /// Whether this lock stands against another owner's `wanted` if that is of kind `kind`.
    pub(super) fn is_against(&self, wanted: &Self, kind: LockKind) -> bool {
        let exclusive = self.kind == LockKind::Exclusive || kind == LockKind::Exclusive;
        exclusive && self.owner != wanted.owner && self.span.overlaps(wanted.span)
    }
}

/// Makes the range of `wanted` its owner's lock of `kind`, or nothing.
///
/// # Errors
/// No memory; nothing has changed then.
pub(super) fn apply(records: &mut Vec<Record>, wanted: Record, kind: Option<LockKind>) -> Result<(), TryReserveError> {
    let begin = records.iter().position(|record| record.owner == wanted.owner).unwrap_or(records.len());
    let end = begin + records[begin..].iter().take_while(|record| record.owner == wanted.owner).count();
    let mut fresh = Vec::new();
    fresh.try_reserve_exact(end - begin + GROWTH)?;
    records.try_reserve(GROWTH)?;

    let mut new = kind.map(|kind| Record { kind, ..wanted });
    for old in &records[begin..end] {
        match &mut new {
            Some(new) if new.kind == old.kind && new.span.touches(old.span) => {
                new.span.first = new.span.first.min(old.span.first);
                new.span.last = new.span.last.max(old.span.last);
            }
            _ if !old.span.overlaps(wanted.span) => fresh.push(*old),
            _ => {
                if let Some(last) = wanted.span.first.checked_sub(1).filter(|last| *last >= old.span.first) {
                    fresh.push(Record { span: Span { last, ..old.span }, ..*old });
                }
                if old.span.last > wanted.span.last {
                    fresh.push(Record { span: Span { first: wanted.span.last + 1, ..old.span }, ..*old });
                }
            }
        }
    }
    if let Some(new) = new {
        let place = fresh.partition_point(|record| record.span.first < new.span.first);
        fresh.insert(place, new);
    }
    records.splice(begin..end, fresh);
    Ok(())
}
