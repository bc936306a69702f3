//! Pins: blocks of a range that stay as they are.

use alloc::sync::Arc;

use pmem::medium::Medium;
use units::{FileOff, FileRange};

use crate::iomap::Iomap;
use crate::volume::Volume;

/// The blocks of a file's range at one instant, kept until this is dropped, whatever becomes of the file.
///
/// Dropping takes the file's lock: let go of an address space's lock first.
pub struct Pin<M: Medium> {
    volume: Arc<Volume<M>>,
}

impl<M: Medium> Pin<M> {
    /// The file's size at that instant.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }

    /// The range asked for.
    pub fn range(&self) -> FileRange {
        unimplemented!()
    }

    /// Where the file offset `pos` lies, and how far the mapping goes on from there. The mapping begins at `pos`;
    /// outside the pinned range and behind the end of the file there is a hole.
    pub fn iomap(&self, _pos: FileOff) -> Iomap {
        unimplemented!()
    }

    /// The file system pinned.
    pub fn fs(&self) -> &Arc<Volume<M>> {
        &self.volume
    }
}
