//! Blocks taken and given without a byte written: `fallocate`, each form one record.

use alloc::vec::Vec;

use pmem::medium::Medium;
use pmem::order::Batch;
use units::FileRange;

use super::Node;
use super::fresh::Fresh;
use super::write::Mapping;
use crate::error::Error;
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::BLOCK;
use crate::head_room;
use crate::inode::Freed;
use crate::items::Meta;
use crate::mapped::{Frozen, Tail};
use crate::seeded::{Bug, seeded};
use crate::space::{Purpose, Wish};
use crate::types::{Fallocate, MAX_FILE_SIZE, Time};
use crate::volume::Commit;

impl<M: Medium> Node<M> {
    /// Gives the bytes of `range` blocks, or takes them away: [`Fallocate`] says which. Blocks that come read as zeros;
    /// writing them takes fresh ones, as every write does.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink and an empty range, [`Error::TooLarge`],
    /// [`Error::NoSpace`], [`Error::Media`] where an edge cannot be read, [`Error::ReadOnly`]; nothing has changed.
    pub fn fallocate(&self, how: Fallocate, range: FileRange, now: Time) -> Result<(), Error> {
        self.file()?;
        let (start, end) = (range.start().get(), range.end().get());
        if start >= end {
            return Err(Error::Invalid);
        }
        if end > MAX_FILE_SIZE {
            return Err(Error::TooLarge);
        }
        let mut commit = self.inode.volume.begin()?;
        let (before, old) = self.mapping()?;
        let size = match how {
            Fallocate::Allocate | Fallocate::Zero => before.size.max(end),
            Fallocate::AllocateKeepSize | Fallocate::ZeroKeepSize | Fallocate::Punch => before.size,
        };
        let meta = Meta { size, mtime: now, ctime: now, ..before };
        let gone = match how {
            Fallocate::Allocate | Fallocate::AllocateKeepSize => self
                .fill_holes(&mut commit, (start / BLOCK, end.div_ceil(BLOCK)), (&old, before.size), meta)
                .map(|()| Extents::default()),
            Fallocate::Punch => self.clear(&mut commit, Cleared::Hole, (start, end), (old, before.size), meta),
            Fallocate::Zero | Fallocate::ZeroKeepSize => {
                self.clear(&mut commit, Cleared::Unwritten, (start, end), (old, before.size), meta)
            }
        }?;
        drop(commit);
        self.inode.volume.give_extents(&gone);
        Ok(())
    }

    /// Gives the file blocks `first..last` that have none of the medium's one that is unwritten.
    fn fill_holes(
        &self,
        commit: &mut Commit,
        (first, last): (u64, u64),
        (old, before): (&Extents, u64),
        meta: Meta,
    ) -> Result<(), Error> {
        // Each extent that is there may have a hole before it, which gets one more.
        head_room::need((old.count() as usize + 1).saturating_mul(2 * head_room::EXTENT))?;
        let mut fresh = Fresh::none(&self.inode.volume);
        let (mut holes, mut mapping) = (Vec::new(), Vec::new());
        let mut at = first;
        while at < last {
            let there = old.at_or_after(at).filter(|there| there.file < last).map(|there| there.cut(at, last));
            let hole = (at, there.map_or(last, |there| there.file));
            if hole.0 < hole.1 {
                let wish = Wish { blocks: hole.1 - at, file: at, near: old.near(at), purpose: Purpose::Grow };
                let state = ExtentState::Unwritten;
                fresh.add(wish, if seeded(Bug::AllocatedAsWritten) { ExtentState::Written } else { state })?;
                holes.push(hole);
            }
            at = there.map_or(last, |there| there.end());
            mapping.extend(there);
        }
        mapping.extend_from_slice(fresh.extents());
        mapping.sort_unstable_by_key(|extent| extent.file);
        let change = Mapping { range: (first, last), meta, purpose: Purpose::Grow };
        let mut batch = Batch::new();
        let _frozen = self.freeze_tail(commit, before, meta.size);
        if meta.size > before {
            self.clear_tail((old, before), &mut batch)?;
        }
        let payload = commit.payload();
        self.record_mapping(commit, payload, &mapping, batch, &change)?;

        let mut freed = Freed::default();
        let mut body = self.inode.body.lock();
        if meta.size != before {
            body.file()?.tail = Tail::Zeros;
        }
        body.meta = meta;
        let file = body.file()?;
        fresh.keep(|mut rest| {
            for hole in holes {
                let (inside, behind) = rest.split_at_mut(rest.partition_point(|extent| extent.file < hole.1));
                file.replace(hole, inside, &mut freed);
                rest = behind;
            }
        });
        Ok(())
    }

    /// Freezes the last block where the file is to grow beyond it.
    fn freeze_tail(&self, commit: &Commit, before: u64, size: u64) -> Option<Frozen<'_, M>> {
        let last = before / BLOCK;
        (size > before).then(|| self.inode.freeze(commit, (last, last + 1)))?
    }

    /// Makes the bytes `start..end` zeros: whole blocks of them as `cleared` says, a part of a block with data by a copy
    /// of the rest. A part of a block without data is zeros already.
    fn clear(
        &self,
        commit: &mut Commit,
        cleared: Cleared,
        (start, end): (u64, u64),
        (old, size): (Extents, u64),
        meta: Meta,
    ) -> Result<Extents, Error> {
        let (mut first, mut last) = (start / BLOCK, end.div_ceil(BLOCK));
        // What lies behind the end of the file in its last block is zeros.
        let end = if end >= size { last * BLOCK } else { end };
        let is_part = |block: u64| block * BLOCK < start || (block + 1) * BLOCK > end;
        let state = |block: u64| old.at(block).map(|extent: &Extent| extent.state);
        let stays = |block: u64| match state(block) {
            Some(ExtentState::Written) => false,
            Some(ExtentState::Unwritten) => is_part(block),
            None => is_part(block) && cleared == Cleared::Hole,
        };
        let is_copied = |block: u64| is_part(block) && state(block) == Some(ExtentState::Written);
        if stays(first) {
            first += 1;
        }
        if first < last && stays(last - 1) {
            last -= 1;
        }

        let purpose = if cleared == Cleared::Hole { Purpose::Shrink } else { Purpose::Grow };
        let wish = |file: u64, blocks: u64| Wish { blocks, file, near: old.near(file), purpose };
        let mut fresh = Fresh::none(&self.inode.volume);
        let mut whole = (first, last);
        let left = (whole.0 < whole.1 && is_copied(whole.0)).then_some(whole.0);
        if let Some(block) = left {
            fresh.add(wish(block, 1), ExtentState::Written)?;
            whole.0 += 1;
        }
        let right = (whole.0 < whole.1 && is_copied(whole.1 - 1)).then_some(whole.1 - 1);
        whole.1 -= u64::from(right.is_some());
        if cleared == Cleared::Unwritten && whole.0 < whole.1 {
            fresh.add(wish(whole.0, whole.1 - whole.0), ExtentState::Unwritten)?;
        }
        if let Some(block) = right {
            fresh.add(wish(block, 1), ExtentState::Written)?;
        }

        let mut batch = Batch::new();
        let grows = meta.size > size;
        let low = if grows { first.min(size / BLOCK) } else { first };
        let _frozen = self.inode.freeze(commit, (low, last.max(low + u64::from(grows))));
        if grows && size / BLOCK < first {
            self.clear_tail((&old, size), &mut batch)?;
        }
        for block in left.into_iter().chain(right) {
            let (low, high) = (block * BLOCK, (block + 1) * BLOCK);
            let (from, to) = (start.clamp(low, high), end.clamp(low, high));
            fresh.unshare(self.ino(), (low, from), (&old, size), &mut batch)?;
            // Of a file of no bytes everything is copied as zeros.
            fresh.unshare(self.ino(), (from, to), (&old, 0), &mut batch)?;
            fresh.unshare(self.ino(), (to, high), (&old, size), &mut batch)?;
        }
        drop(old);
        let mut gone = Extents::default();
        self.remap(commit, (&mut fresh, batch), &Mapping { range: (first, last), meta, purpose }, &mut gone)?;
        Ok(gone)
    }
}

/// What whole blocks become that are to read as zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cleared {
    /// They are the file's no more.
    Hole,
    /// Others take their place, which were never written.
    Unwritten,
}
