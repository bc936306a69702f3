//! Making a file shorter or longer.

use pmem::medium::Medium;
use pmem::order::Batch;

use super::Node;
use super::fresh::Fresh;
use super::write::Mapping;
use crate::error::Error;
use crate::extents::{ExtentState, Extents};
use crate::format::BLOCK;
use crate::items::Meta;
use crate::seeded::{Bug, seeded};
use crate::space::{Purpose, Wish};
use crate::types::{MAX_FILE_SIZE, Time};

impl<M: Medium> Node<M> {
    /// Makes the file `size` bytes long; bytes gained are zero.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink, [`Error::TooLarge`], [`Error::NoSpace`],
    /// [`Error::Media`], [`Error::ReadOnly`].
    pub fn truncate(&self, size: u64, now: Time) -> Result<(), Error> {
        self.file()?;
        if size > MAX_FILE_SIZE {
            return Err(Error::TooLarge);
        }
        let mut commit = self.inode.volume.begin()?;
        let (before, old) = self.mapping()?;
        let meta = Meta { size, mtime: now, ctime: now, ..before };
        let purpose = if size < before.size { Purpose::Shrink } else { Purpose::Grow };
        let edge = size / BLOCK;
        let written = old.at(edge).is_some_and(|extent| extent.state == ExtentState::Written);
        let end = old.end();
        if size.is_multiple_of(BLOCK) || size >= before.size || !written {
            let first = size.div_ceil(BLOCK);
            let grows = size > before.size;
            let frozen = self.inode.freeze(&commit, (if grows { before.size / BLOCK } else { first }, u64::MAX));
            let (mut none, mut batch) = (Fresh::none(&self.inode.volume), Batch::new());
            if grows {
                self.clear_tail((&old, before.size), &mut batch)?;
            }
            drop(old);
            let mapping = Mapping { range: (first, end.max(first)), meta, purpose };
            let mut gone = Extents::default();
            self.remap(&mut commit, (&mut none, batch), &mapping, &mut gone)?;
            drop(frozen);
            drop(commit);
            self.inode.volume.give_extents(&gone);
            return Ok(());
        }
        // The block that holds the new end is replaced by one that is zero behind it.
        let near = if seeded(Bug::EarlyReuse) { self.freed_early(edge)? } else { old.near(edge) };
        let mut fresh = Fresh::take(&self.inode.volume, Wish { blocks: 1, file: edge, near, purpose })?;
        let mut batch = Batch::new();
        let frozen = self.inode.freeze(&commit, (edge, u64::MAX));
        let kept = if seeded(Bug::TailNotZeroed) { before.size } else { size };
        fresh.unshare(self.ino(), (edge * BLOCK, (edge + 1) * BLOCK), (&old, kept), &mut batch)?;
        drop(old);
        let mapping = Mapping { range: (edge, end.max(edge + 1)), meta, purpose };
        let mut gone = Extents::default();
        self.remap(&mut commit, (&mut fresh, batch), &mapping, &mut gone)?;
        drop(frozen);
        drop(commit);
        self.inode.volume.give_extents(&gone);
        Ok(())
    }
}
