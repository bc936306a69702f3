//! Files that programs share: stores that come past the file system, and whom to ask to let go of a block.
//!
//! A program that shares a file (`MAP_SHARED`) reads and writes the file's own blocks, and no call tells of it. Who maps what is
//! known to the kernel, which plugs in [`Mapped`] with the first such mapping. Three rules keep the two apart:
//!
//! 1. A fault asks under the inode's lock what lies at a page ([`Node::fault`](crate::Node::fault)) and whether it may be stored to
//!    ([`Node::may_store`](crate::Node::may_store)), and makes its entry before it lets go of the lock of its address space. It never
//!    waits for a change.
//! 2. Whoever replaces blocks says so first (`frozen`, under the inode's lock), then has every entry for them taken away
//!    ([`Mapped::take_away`], which takes the locks of address spaces one after another); then copies, commits and shows the new
//!    blocks. So nothing is stored to a block that was copied, and no table maps one that is free. A fault that comes meanwhile waits
//!    for the commit lock with nothing held ([`Node::wait_for_change`](crate::Node::wait_for_change)), and tries again.
//! 3. A pin that is to keep what is in its blocks is known to the inode first, then the right to store is taken away; whoever
//!    stores next faults, and gets a block of its own ([`Node::make_writable`](crate::Node::make_writable)).
//!
//! The locks: the commit lock, then those of address spaces, then the kernel's list of mappings, then the inode's.
//!
//! Bytes behind the end of a file in its last block can be stored to as well, and nobody is to see them as a part of the file:
//! who makes the file longer makes them zeros ([`Tail`]), and who pins the block learns of them
//! ([`Pin::is_ragged`](crate::Pin::is_ragged)).

use alloc::sync::Arc;
use core::any::Any;

use pmem::medium::Medium;
use pmem::order::{self, Batch, Cleaned};
use units::{ByteLen, FileOff, PmOff};

use crate::extents::{ExtentState, Extents};
use crate::format::BLOCK;
use crate::inode::{Content, Inode};
use crate::volume::Commit;

/// The programs that share a file, as the file system sees them.
pub trait Mapped: Any + Send + Sync {
    /// Whether there is any.
    fn is_mapped(&self) -> bool;

    /// Takes `what` away from the file blocks `blocks` (half-open; the end may be [`u64::MAX`]) in every program. It is out of
    /// every TLB when this returns. Called with the commit lock held and no other; takes locks of address spaces.
    fn take_away(&self, blocks: (u64, u64), what: Away);
}

/// What is taken away from programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Away {
    /// The right to store: the next store asks again.
    Stores,
    /// The pages: the next touch asks again.
    Pages,
}

/// What lies behind the end of a file in its last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// Zeros.
    Zeros,
    /// Anything: a program may have stored there, in this mount or before.
    Unknown,
}

/// While this lives no fault maps a block that a change is about to replace.
pub(crate) struct Frozen<'a, M: Medium> {
    inode: &'a Inode<M>,
}

impl<M: Medium> Drop for Frozen<'_, M> {
    fn drop(&mut self) {
        self.inode.set_frozen((0, 0));
    }
}

impl<M: Medium> Inode<M> {
    /// No program has an entry for the file blocks `range` when this returns, nor gets one while the answer lives. `_commit`
    /// stands for the lock that a fault waits for.
    #[inline]
    pub(crate) fn freeze(&self, _commit: &Commit, range: (u64, u64)) -> Option<Frozen<'_, M>> {
        // The first mapping comes under the commit lock too: where there is none now, there is none until the change is over.
        let mapped = self.mapped.get()?;
        if range.0 >= range.1 {
            return None;
        }
        self.set_frozen(range);
        let frozen = Frozen { inode: self };
        if mapped.is_mapped() {
            mapped.take_away(range, Away::Pages);
        }
        Some(frozen)
    }

    fn set_frozen(&self, range: (u64, u64)) {
        if let Content::File(file) = &mut self.body.lock().content {
            file.frozen = range;
        }
    }

    /// Whom to ask to let go of blocks, if any program may have one.
    pub(crate) fn sharers(&self) -> Option<&Arc<dyn Mapped>> {
        self.mapped.get().filter(|mapped| mapped.is_mapped())
    }

    /// Whether something else than zeros lies behind the end of the file in its last block, which no program can store to now.
    pub(crate) fn is_ragged(&self, medium: &M) -> bool {
        let mut body = self.body.lock();
        let size = body.meta.size;
        let Content::File(file) = &mut body.content else { return false };
        if file.tail == Tail::Zeros {
            return false;
        }
        let ragged = tail_of(&file.extents, size).is_some_and(|tail| is_stored(medium, tail));
        if !ragged {
            file.tail = Tail::Zeros;
        }
        ragged
    }
}

/// Where the bytes behind the end of a file of `size` bytes lie on the medium, and how many there are.
fn tail_of(extents: &Extents, size: u64) -> Option<(PmOff, u64)> {
    let last = extents.at(size / BLOCK).filter(|extent| extent.state == ExtentState::Written)?;
    let len = BLOCK - size % BLOCK;
    (len < BLOCK).then(|| (last.map(FileOff::new(size)).addr, len))
}

/// Whether one of these bytes is not 0. What cannot be read is nobody's to see.
fn is_stored(medium: &impl Medium, (at, len): (PmOff, u64)) -> bool {
    let mut piece = [0; 512];
    let mut done = 0;
    while done < len {
        let bytes = &mut piece[..(len - done).min(512) as usize];
        if medium.load(PmOff::new(at.get() + done), bytes).is_err() {
            return false;
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return true;
        }
        done += bytes.len() as u64;
    }
    false
}

/// Makes the bytes behind the end of a file of `size` bytes zeros, where something was stored there; in place, for nobody
/// sees them. The block is frozen, or nobody shares the file.
pub(crate) fn clear_tail(medium: &impl Medium, (extents, size): (&Extents, u64), batch: &mut Batch<Cleaned>) {
    if let Some(tail) = tail_of(extents, size).filter(|&tail| is_stored(medium, tail)) {
        batch.add(order::zero(medium, tail.0, ByteLen::new(tail.1)).clean(medium));
    }
}
