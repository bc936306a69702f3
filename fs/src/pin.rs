//! Pins: blocks of a range that stay as they are.

use alloc::sync::Arc;

use pmem::medium::Medium;
use units::{ByteLen, FileOff, FileRange};

use crate::extents::Extents;
use crate::format::BLOCK;
use crate::inode::{Content, Freed, Inode};
use crate::iomap::{Iomap, IomapKind};
use crate::volume::Volume;

/// The blocks of a file's range at one instant, kept until this is dropped, whatever becomes of the file.
///
/// Dropping takes the file's lock.
pub struct Pin<M: Medium> {
    inode: Arc<Inode<M>>,
    // Behind the inode, whose end needs the volume.
    volume: Arc<Volume<M>>,
    extents: Extents,
    range: FileRange,
    size: u64,
    id: u64,
}

/// The file blocks that hold `range`.
fn blocks(range: FileRange) -> (u64, u64) {
    (range.start().get() / BLOCK, range.end().get().div_ceil(BLOCK))
}

impl<M: Medium> Pin<M> {
    /// Pins `range` of `inode`, a file.
    pub(crate) fn take(inode: &Arc<Inode<M>>, volume: &Arc<Volume<M>>, range: Option<FileRange>) -> Option<Self> {
        let mut body = inode.body.lock();
        let size = body.meta.size;
        let Content::File(file) = &mut body.content else { return None };
        let whole = || FileRange::with_len(FileOff::ZERO, ByteLen::new(size));
        let range = range.or_else(whole)?;
        let (from, to) = blocks(range);
        let id = file.pin(from, to);
        let extents = file.extents.clone();
        drop(body);
        Some(Self { inode: inode.clone(), volume: volume.clone(), extents, range, size, id })
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
    pub fn iomap(&self, pos: FileOff) -> Iomap {
        let (from, to) = blocks(self.range);
        let (from, to) = (from * BLOCK, to * BLOCK);
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

    /// The mapping of the whole file, for a walk inside the range.
    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }

    /// The file system pinned.
    pub fn fs(&self) -> &Arc<Volume<M>> {
        &self.volume
    }
}

impl<M: Medium> Drop for Pin<M> {
    fn drop(&mut self) {
        let mut freed = Freed::default();
        if let Content::File(file) = &mut self.inode.body.lock().content {
            file.unpin(self.id, &mut freed);
        }
        self.volume.give(freed);
    }
}
