//! `anon_vma`: which spaces may map a page of a program.
//!
//! Linux has an `anon_vma` for a VMA and those that came of it by splits and forks. Here there is one for a space and all
//! that were forked from it, which saves its upkeep wherever a VMA changes: a page is looked for in each of these spaces,
//! in O(log n) by its number (`page->index`: the page number where it was first mapped), and a page that is there is told
//! by its frame. With as many spaces in a family as there are forks of one program, that is what a walk costs on
//! Linux too where all of them share the page.
//!
//! What a program can see of Linux's `anon_vma` is which neighbours become one VMA. That is kept, as a number ([`Anon`]).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Mutex, Rank};

use crate::page::Mapping;
use crate::seams::{OutOfMemory, SpaceId};

/// `vma->anon_vma`, as a number: equal in VMAs that came of one by splits and moves, and in those that had a neighbour with
/// it when they were first stored to. Two VMAs with different ones never become one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anon(NonZeroU64);

impl Anon {
    /// The `n`th of a space, with which nothing has been forked.
    pub(crate) fn fresh(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n << 1))
    }

    /// The `n`th of a space, of a VMA whose parent had one (`anon_vma_chain` is not singular).
    pub(crate) fn inherited(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n << 1 | 1))
    }

    /// Whether it is the only one its VMA has to do with (`list_is_singular`): others may join.
    pub(crate) fn is_singular(self) -> bool {
        self.0.get() & 1 != 0
    }

    /// Whether both are one (`is_mergeable_anon_vma`).
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// Whether VMAs with these can become one at all, as far as they alone are asked.
    pub(crate) fn compatible(one: Option<Self>, other: Option<Self>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.is(other),
            _ => true,
        }
    }
}

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
