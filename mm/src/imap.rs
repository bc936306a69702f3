//! `i_mmap`: which VMAs, of all spaces, show which pages of one file.
//!
//! The file holds it under a lock of its own and fills it from [`Backing::link`](crate::Backing::link) and its kin. Who is
//! about to replace pages of the file (truncate, copy-on-write, punch) asks it who shows them, lets go of its lock, and
//! tells each of those spaces under that space's lock: [`AddressSpace::revoke`](crate::AddressSpace::revoke) finds out for
//! itself what is still so.

use crate::interval::{Interval, Intervals};
use crate::seams::{Mapper, OutOfMemory};

impl Interval for Mapper {
    fn first(&self) -> u64 {
        self.first
    }

    fn count(&self) -> u64 {
        self.count
    }
}

/// The mappings of one file.
#[derive(Debug, Default)]
pub struct IMmap {
    mappers: Intervals<Mapper>,
}

impl IMmap {
    /// Nobody maps the file.
    pub const fn new() -> Self {
        Self { mappers: Intervals::new() }
    }

    /// How many VMAs show the file.
    pub fn len(&self) -> usize {
        self.mappers.len()
    }

    /// Whether nobody maps the file.
    pub fn is_empty(&self) -> bool {
        self.mappers.is_empty()
    }

    /// `vma_interval_tree_insert`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn link(&mut self, mapper: Mapper) -> Result<(), OutOfMemory> {
        self.mappers.reserve()?;
        self.mappers.insert(mapper);
        Ok(())
    }

    /// The VMA of `old` shows what `new` says. Needs no memory: the entry that goes makes room.
    pub fn relink(&mut self, old: Mapper, new: Mapper) {
        if self.mappers.remove(&old) {
            self.mappers.insert(new);
        }
    }

    /// `vma_interval_tree_remove`.
    pub fn unlink(&mut self, mapper: Mapper) {
        self.mappers.remove(&mapper);
    }

    /// `vma_interval_tree_foreach`: shows `each` every VMA that has one of `count` pages from `first` on.
    pub fn showing(&self, first: u64, count: u64, each: impl FnMut(Mapper)) {
        self.mappers.overlapping(first, count, each);
    }
}
