//! Memory that programs may come to need (`vm_committed_as`), and how much of it is promised.
//!
//! A private writable mapping is charged with its whole length when it is made (`VM_ACCOUNT`), because every page of it
//! may be written. One counter for all address spaces.

use core::sync::atomic::{AtomicU64, Ordering};

use units::PageCount;

use crate::seams::OutOfMemory;

/// What is refused (`sysctl_overcommit_memory`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overcommit {
    /// `OVERCOMMIT_GUESS`: what one call asks for beyond all memory there is. The counter is kept, not compared.
    Heuristic,
    /// `OVERCOMMIT_ALWAYS`: nothing.
    Always,
    /// `OVERCOMMIT_NEVER`: what brings the sum above a share of memory. `MAP_NORESERVE` is not heard.
    Strict,
}

/// The pages promised to all programs together.
#[derive(Debug)]
pub struct Commit {
    committed: AtomicU64,
    total: AtomicU64,
    /// Percent of `total` that [`Overcommit::Strict`] promises (`sysctl_overcommit_ratio`).
    ratio: AtomicU64,
    mode: AtomicU64,
}

impl Default for Commit {
    fn default() -> Self {
        Self::new()
    }
}

impl Commit {
    /// Nothing promised, of no memory: [`set_total`](Self::set_total) says how much there is.
    pub const fn new() -> Self {
        Self {
            committed: AtomicU64::new(0),
            total: AtomicU64::new(0),
            ratio: AtomicU64::new(50),
            mode: AtomicU64::new(Overcommit::Heuristic as u64),
        }
    }

    /// Says how much memory there is (`totalram_pages`).
    pub fn set_total(&self, pages: PageCount) {
        self.total.store(pages.get(), Ordering::Relaxed);
    }

    /// Chooses what is refused from now on.
    pub fn set_mode(&self, mode: Overcommit) {
        self.mode.store(mode as u64, Ordering::Relaxed);
    }

    /// Chooses how much [`Overcommit::Strict`] promises, in percent of all memory.
    pub fn set_ratio(&self, percent: u64) {
        self.ratio.store(percent, Ordering::Relaxed);
    }

    /// How much [`Overcommit::Strict`] promises, in percent of all memory.
    pub fn ratio(&self) -> u64 {
        self.ratio.load(Ordering::Relaxed)
    }

    /// What is refused.
    pub fn mode(&self) -> Overcommit {
        match self.mode.load(Ordering::Relaxed) {
            mode if mode == Overcommit::Always as u64 => Overcommit::Always,
            mode if mode == Overcommit::Strict as u64 => Overcommit::Strict,
            _ => Overcommit::Heuristic,
        }
    }

    /// What is promised now.
    pub fn committed(&self) -> PageCount {
        PageCount::new(self.committed.load(Ordering::Relaxed))
    }

    /// The most that [`Overcommit::Strict`] promises (`vm_commit_limit`).
    pub fn limit(&self) -> PageCount {
        let total = u128::from(self.total.load(Ordering::Relaxed));
        let limit = total * u128::from(self.ratio.load(Ordering::Relaxed)) / 100;
        PageCount::new(u64::try_from(limit).unwrap_or(u64::MAX))
    }

    /// Promises `pages` more (`__vm_enough_memory`).
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is promised then.
    #[inline]
    pub fn charge(&self, pages: PageCount) -> Result<(), OutOfMemory> {
        let before = self.committed.fetch_add(pages.get(), Ordering::Relaxed);
        let enough = match self.mode() {
            Overcommit::Always => true,
            Overcommit::Heuristic => pages.get() <= self.total.load(Ordering::Relaxed),
            Overcommit::Strict => before.saturating_add(pages.get()) <= self.limit().get(),
        };
        if enough {
            return Ok(());
        }
        self.release(pages);
        Err(OutOfMemory)
    }

    /// Takes a promise back (`vm_unacct_memory`).
    pub fn release(&self, pages: PageCount) {
        self.committed.fetch_sub(pages.get(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(n: u64) -> PageCount {
        PageCount::new(n)
    }

    #[test]
    fn the_heuristic_refuses_only_what_no_machine_could_give() {
        let commit = Commit::new();
        commit.set_total(pages(100));
        assert_eq!(commit.charge(pages(101)), Err(OutOfMemory));
        for _ in 0..5 {
            commit.charge(pages(100)).unwrap();
        }
        assert_eq!(commit.committed(), pages(500));
    }

    #[test]
    fn strict_refuses_the_page_that_is_too_many() {
        let commit = Commit::new();
        commit.set_total(pages(100));
        commit.set_mode(Overcommit::Strict);
        commit.set_ratio(80);
        commit.charge(pages(80)).unwrap();
        assert_eq!(commit.charge(pages(1)), Err(OutOfMemory));
        commit.release(pages(2));
        commit.charge(pages(2)).unwrap();
        assert_eq!((commit.committed(), commit.limit()), (pages(80), pages(80)));
    }

    #[test]
    fn always_refuses_nothing_and_still_counts() {
        let commit = Commit::new();
        commit.set_mode(Overcommit::Always);
        commit.charge(pages(1 << 40)).unwrap();
        assert_eq!(commit.committed(), pages(1 << 40));
    }
}
