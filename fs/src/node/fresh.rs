//! Fresh blocks on their way into a file, and what is copied into them from the blocks they replace.

use alloc::vec::Vec;

use pmem::medium::Medium;
use pmem::order::{self, Batch, Cleaned};
use smallvec::SmallVec;
use units::{ByteLen, FileOff, Ino};

use crate::error::Error;
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::BLOCK;
use crate::head_room;
use crate::inode::Freed;
use crate::iomap::{IomapFlags, IomapIter, IomapKind, IomapOp, IomapOps, iomap_iter};
use crate::space::{Run, Wish};
use crate::volume::Volume;

/// Bytes copied at a time from block to block: kernel stacks are small.
const PIECE: usize = 512;

/// Fresh blocks, which go back unless the change that wants them happens.
pub(super) struct Fresh<'v, M: Medium> {
    volume: &'v Volume<M>,
    extents: SmallVec<[Extent; 1]>,
}

impl<M: Medium> Drop for Fresh<'_, M> {
    fn drop(&mut self) {
        if !self.extents.is_empty() {
            let runs = self.runs().into();
            self.volume.give(&Freed { runs, ..Freed::default() });
        }
    }
}

impl<'v, M: Medium> Fresh<'v, M> {
    /// No block at all.
    pub(super) fn none(volume: &'v Volume<M>) -> Self {
        Self { volume, extents: SmallVec::new() }
    }

    /// Takes blocks for the file blocks that `wish` says.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::NoMemory`].
    #[inline]
    pub(super) fn take(volume: &'v Volume<M>, wish: Wish) -> Result<Self, Error> {
        let mut fresh = Self::none(volume);
        fresh.add(wish, ExtentState::Written)?;
        Ok(fresh)
    }

    /// Takes more blocks, for file blocks behind those it has.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::NoMemory`].
    pub(super) fn add(&mut self, wish: Wish, state: ExtentState) -> Result<(), Error> {
        let mut space = self.volume.free_space();
        head_room::need(space.pieces(wish.blocks) * head_room::EXTENT)?;
        let (extents, mut file) = (&mut self.extents, wish.file);
        space.take(wish, |run| {
            // A run of more blocks than 32 bits count is longer than the largest file.
            let next = Extent { file, start: run.start.get(), birth: 0, blocks: run.blocks as u32, state };
            file += run.blocks;
            let joined = extents.last().and_then(|last| last.merged(&next, None));
            match (extents.last_mut(), joined) {
                (Some(last), Some(both)) => *last = both,
                _ => extents.push(next),
            }
        })
    }

    /// The blocks, as extents of the file.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The blocks alone.
    pub(super) fn runs(&self) -> Vec<Run> {
        self.extents.iter().map(|extent| Run::new(extent.start, extent.blocks.into())).collect()
    }

    /// The change has happened: the blocks belong to whom `to` gives them.
    #[inline]
    pub(super) fn keep(&mut self, to: impl FnOnce(&mut [Extent])) {
        to(&mut self.extents);
        self.extents.clear();
    }

    /// [`Fresh::keep`], of the blocks alone.
    pub(super) fn keep_runs(&mut self) -> Vec<Run> {
        let runs = self.runs();
        self.keep(|_| {});
        runs
    }

    /// Fills bytes `from..to` of the file `ino` as copy on write does: from `old`, its mapping so far, as far as its
    /// `size` goes, with zeros where that has nothing.
    ///
    /// # Errors
    /// [`Error::Media`] where an old block cannot be read.
    pub(super) fn unshare(
        &self,
        ino: Ino,
        (from, to): (u64, u64),
        (old, size): (&Extents, u64),
        batch: &mut Batch<Cleaned>,
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        let medium = self.volume.medium();
        let ops = Unshare { fresh: self, old, size };
        let len = ByteLen::new(to.saturating_sub(from));
        let mut walk = IomapIter::new(ino, FileOff::new(from), len, IomapOp::WRITE | IomapOp::UNSHARE, ());
        while iomap_iter(&mut walk, &ops)? {
            let left = walk.length().min(walk.srcmap.length.get());
            let store = if walk.srcmap.kind == IomapKind::Mapped {
                let mut bytes = [0; PIECE];
                // Pieces end where lines do: none is cleaned for two of them.
                let whole = PIECE as u64 - walk.iomap.addr.get() % PIECE as u64;
                let bytes = &mut bytes[..left.min(whole) as usize];
                medium.load(walk.srcmap.addr, bytes)?;
                order::store(medium, walk.iomap.addr, bytes)
            } else {
                order::zero(medium, walk.iomap.addr, ByteLen::new(left))
            };
            walk.processed = Ok(store.len().get());
            batch.add(store.clean(medium));
        }
        Ok(())
    }
}

impl<M: Medium> IomapOps for Fresh<'_, M> {
    #[inline]
    fn iomap_begin(&self, iter: &mut IomapIter) -> Result<(), Error> {
        let block = iter.pos.get() / BLOCK;
        let at = self.extents.partition_point(|extent| extent.end() <= block);
        let extent = self.extents.get(at).filter(|extent| extent.file <= block).ok_or(Error::Invalid)?;
        iter.iomap = extent.map(iter.pos);
        iter.iomap.flags |= IomapFlags::NEW;
        Ok(())
    }
}

/// Fresh blocks, and behind them those they replace.
struct Unshare<'a, M: Medium> {
    fresh: &'a Fresh<'a, M>,
    old: &'a Extents,
    size: u64,
}

impl<M: Medium> IomapOps for Unshare<'_, M> {
    #[inline]
    fn iomap_begin(&self, iter: &mut IomapIter) -> Result<(), Error> {
        self.fresh.iomap_begin(iter)?;
        iter.srcmap = self.old.map(iter.pos);
        let inside = self.size.saturating_sub(iter.pos.get());
        if inside == 0 {
            iter.srcmap.kind = IomapKind::Hole;
        } else {
            iter.srcmap.length = iter.srcmap.length.min(ByteLen::new(inside));
        }
        Ok(())
    }
}
