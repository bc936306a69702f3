//! `anon_vma`: which spaces may map a page of a program.
//!
//! Linux has an `anon_vma` for a VMA and those that came of it by splits and forks. Here there is one for a space and all
//! that were forked from it, which saves its upkeep wherever a VMA changes: a page is looked for in each of these spaces,
//! in O(log n) by its number (`page->index`: the page number where it was first mapped), and a page that is there is told
//! by its frame. With as many spaces in a family as there are forks of one program, that is what a walk costs on
//! Linux too where all of them share the page.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Mutex, Rank};

use crate::page::Mapping;
use crate::seams::{OutOfMemory, SpaceId};

/// The spaces of one family.
pub struct AnonVma {
    number: u64,
    spaces: Mutex<Vec<SpaceId>>,
}

impl AnonVma {
    /// A family of one.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(space: SpaceId) -> Result<Arc<Self>, OutOfMemory> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let family = Self { number, spaces: Mutex::new(Rank::AnonVma, Vec::new()) };
        family.join(space)?;
        Ok(Arc::new(family))
    }

    /// A space was forked from one of the family (`anon_vma_fork`).
    pub(crate) fn join(&self, space: SpaceId) -> Result<(), OutOfMemory> {
        let mut spaces = self.spaces.lock();
        spaces.try_reserve(1).map_err(|_| OutOfMemory)?;
        spaces.push(space);
        Ok(())
    }

    /// A space is gone (`unlink_anon_vmas`).
    pub(crate) fn leave(&self, space: SpaceId) {
        self.spaces.lock().retain(|other| *other != space);
    }

    /// What the pages of the family have as their mapping.
    pub fn mapping(&self) -> Mapping {
        Mapping::Anon(self.number)
    }

    /// Shows `each` the spaces to look in. The lock is held meanwhile: it takes none.
    pub fn each_space(&self, mut each: impl FnMut(SpaceId)) {
        self.spaces.lock().iter().for_each(|space| each(*space));
    }
}
