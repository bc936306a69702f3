//! Pins: blocks of a range that stay as they are.

use alloc::sync::Arc;

use pmem::medium::Medium;
use units::{ByteLen, FileOff, FileRange};

use crate::error::Error;
use crate::extents::Extents;
use crate::format::BLOCK;
use crate::inode::{Inode, Keeps, blocks_of};
use crate::iomap::{Iomap, IomapIter, IomapKind, IomapOps};
use crate::mapped::Away;
use crate::volume::Volume;

/// The blocks of a file's range at one instant, kept until this is dropped, whatever becomes of the file.
///
/// Dropping takes the file's lock.
pub struct Pin<M: Medium> {
    inode: Arc<Inode<M>>,
    extents: Extents,
    range: FileRange,
    size: u64,
    id: u64,
    ragged: bool,
}

impl<M: Medium> Pin<M> {
    /// Pins `range` of `inode`, a file, or all of it.
    pub(crate) fn take(inode: &Arc<Inode<M>>, range: Option<FileRange>, keeps: Keeps) -> Option<Self> {
        let still = keeps == Keeps::Content;
        // No call changes the file while the stores of programs are stopped: one instant.
        let quiet = inode.mapped.get().filter(|_| still).map(|_| inode.volume.quiet());
        let (id, extents, size) = inode.pin(range, keeps)?;
        let blocks = range.map_or((0, u64::MAX), blocks_of);
        if still && let Some(sharers) = inode.sharers() {
            sharers.take_away(blocks, Away::Stores);
        }
        drop(quiet);
        let shows_end = still && !size.is_multiple_of(BLOCK) && (blocks.0..blocks.1).contains(&(size / BLOCK));
        let ragged = shows_end && inode.is_ragged(inode.volume.medium());
        let inode = inode.clone();
        let range = range.or_else(|| FileRange::with_len(FileOff::ZERO, ByteLen::new(size)))?;
        Some(Self { inode, extents, range, size, id, ragged })
    }

    /// Whether something lies behind the end of the file in the last block that is not zeros: a program stored there, and
    /// nobody is to see it here.
    pub fn is_ragged(&self) -> bool {
        self.ragged
    }

    /// The file's size at that instant.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The range asked for.
    pub fn range(&self) -> FileRange {
        self.range
    }

    /// Where the file offset `pos` lies, and how far the mapping goes on from there. The mapping begins at `pos`;
    /// outside the pinned blocks and behind the end of the file there is a hole.
    #[inline]
    pub fn iomap(&self, pos: FileOff) -> Iomap {
        let (from, to) = blocks_of(self.range);
        let (from, to) = (from.saturating_mul(BLOCK), to.saturating_mul(BLOCK));
        let hole = |end: u64| Iomap {
            kind: IomapKind::Hole,
            offset: pos,
            length: ByteLen::new(end.saturating_sub(pos.get())),
            ..Iomap::default()
        };
        if pos.get() < from {
            return hole(from);
        }
        if pos.get() >= to {
            return hole(u64::MAX);
        }
        let mut map = self.extents.map(pos);
        let room = to - pos.get();
        if map.length.get() > room {
            map.length = ByteLen::new(room);
        }
        map
    }

    /// The file system pinned.
    pub fn fs(&self) -> &Arc<Volume<M>> {
        &self.inode.volume
    }
}

impl<M: Medium, P> IomapOps<P> for Pin<M> {
    fn iomap_begin(&self, iter: &mut IomapIter<P>) -> Result<(), Error> {
        iter.iomap = self.iomap(iter.pos);
        Ok(())
    }
}

impl<M: Medium> Drop for Pin<M> {
    fn drop(&mut self) {
        self.inode.unpin(self.id);
    }
}
