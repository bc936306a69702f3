//! Reading: under a pin, so that what is copied is of one instant and no lock is held while it is.

use pmem::medium::{Medium, Sink, zeros_to};
use units::{ByteLen, FileOff, FileRange};

use super::Node;
use crate::error::Error;
use crate::extents::Extents;
use crate::format::BLOCK;
use crate::head_room;
use crate::inode::Keeps;
use crate::iomap::{IomapIter, IomapKind, IomapOp, iomap_iter};
use crate::types::MAX_TRANSFER;

/// A pin for the time of one call: the node holds all it needs.
pub(super) struct Held<'a, M: Medium> {
    node: &'a Node<M>,
    extents: Extents,
    size: u64,
    id: u64,
}

impl<'a, M: Medium> Held<'a, M> {
    #[inline]
    fn take(node: &'a Node<M>, range: FileRange) -> Result<Self, Error> {
        let (id, extents, size) = node.inode.pin(Some(range), Keeps::Blocks).ok_or(Error::Invalid)?;
        Ok(Self { node, extents, size, id })
    }

    /// Of the file blocks `first..last`.
    pub(super) fn take_blocks(node: &'a Node<M>, (first, last): (u64, u64)) -> Result<Self, Error> {
        let at = |block: u64| FileOff::new(block.saturating_mul(BLOCK));
        Self::take(node, FileRange::new(at(first), at(last)).ok_or(Error::Invalid)?)
    }

    /// The mapping as it was.
    pub(super) fn extents(&self) -> &Extents {
        &self.extents
    }
}

impl<M: Medium> Drop for Held<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.node.inode.unpin(self.id);
    }
}

impl<M: Medium> Node<M> {
    /// Copies up to `len` bytes from `at` to `sink`, all of one instant; holes read as zeros. Answers how many: 0 at
    /// the end of the file, less than `len` where the file ends or something went wrong after the first byte.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink; [`Error::Media`], [`Error::BadAddress`] where nothing
    /// was copied.
    pub fn read<K: Sink>(&self, at: FileOff, len: usize, sink: &mut K) -> Result<usize, Error> {
        self.file()?;
        let len = ByteLen::new(len.min(MAX_TRANSFER) as u64);
        let range = FileRange::with_len(at, len).ok_or(Error::Invalid)?;
        let pin = Held::take(self, range)?;
        let len = ByteLen::new(pin.size.saturating_sub(at.get()).min(len.get()));
        if len == ByteLen::ZERO {
            return Ok(0);
        }
        let medium = self.inode.volume.medium();
        let mut walk = IomapIter::new(self.inode.ino, at, len, IomapOp::DAX, ());
        loop {
            let done = (walk.pos.get() - at.get()) as usize;
            match iomap_iter(&mut walk, &pin.extents) {
                Ok(true) => {}
                Ok(false) => return Ok((walk.pos.get() - at.get()) as usize),
                // What was copied before counts.
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if walk.pos != at {
                head_room::pause();
            }
            let want = walk.length().min(head_room::PIECE) as usize;
            let copied = match walk.iomap.kind {
                IomapKind::Mapped => medium.load_to(walk.iomap.addr, want, sink).map_err(Error::from),
                IomapKind::Hole | IomapKind::Unwritten => zeros_to(sink, want).map_err(Error::from),
            };
            let done = (walk.pos.get() - at.get()) as usize;
            match copied {
                Ok(some) if some < want => return Ok(done + some),
                Err(_) if done > 0 => return Ok(done),
                other => walk.processed = other.map(|some| some as u64),
            }
        }
    }
}
