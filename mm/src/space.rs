//! Address spaces (`mm_struct`): VMAs that say what the tables may become, and one file for each verb.
//!
//! The caller holds one lock around an [`AddressSpace`]; nothing here waits. Every refusal names its reason, with the
//! errno Linux gives for it in the doc comment; turning it into the number is the kernel's. Operations are O(log n) in
//! the number of VMAs, and O(pages) only in pages that are there.
//!
//! What a mapping of a file shows is released by dropping its [`Backing`], which may take locks that come before the
//! space's. So the verbs that end VMAs return the backings in [`Released`], after the frames are out of every TLB: drop
//! it when the space is unlocked.

mod advise;
mod brk;
mod fault;
mod map;
mod peek;
mod populate;
mod protect;
#[cfg(test)]
mod tests;
mod unmap;
mod validate;

use alloc::vec::Vec;

use units::{PAGE_SIZE, Pfn, VirtAddr};

pub use self::advise::{Advice, AdviseError};
pub use self::fault::{Access, FaultError};
pub use self::map::{MapError, Mapped, Place, Request, What};
pub use self::peek::{NotPeeked, PeekError};
pub use self::protect::{ProtectError, protect_range};
pub use self::unmap::UnmapError;
use crate::seams::{Asid, Backing, Frames, Mmu, OutOfMemory};
use crate::table::{Leaf, Tables};
use crate::tree::Tree;
use crate::vma::Vma;

/// Where a program's addresses end (`TASK_SIZE`), and its stack begins (`STACK_TOP`).
pub const TASK_SIZE: u64 = 1 << 48;
/// The lowest address that can be mapped (`mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// Where the bottom-up search begins (`TASK_UNMAPPED_BASE`, `mmap_legacy_base`).
pub const UNMAPPED_BASE: u64 = TASK_SIZE / 4;
/// How many VMAs a space may have (`sysctl_max_map_count`). As on Linux, `mmap` refuses above and a split at it.
pub const MAX_MAP_COUNT: usize = 65_530;
/// The stack's limit unless set (`RLIMIT_STACK`): 8 MiB.
pub const DEFAULT_STACK_LIMIT: u64 = 8 << 20;

/// The addresses of one program.
pub struct AddressSpace<F: Frames, U: Mmu, B: Backing> {
    // Fields are dropped in this order: the tables let go of every frame before the backings are released.
    tables: Tables<F, U>,
    vmas: Tree<B>,
    /// Top of the area that `mmap` fills downwards.
    mmap_base: u64,
    stack_limit: u64,
    /// `start_brk` and `brk`, in bytes.
    start_brk: u64,
    brk: u64,
    peeks: u64,
}

/// What a call let go of. Drop it with no lock held.
#[must_use = "dropping a backing may take locks: do it where none is held"]
pub struct Released<B> {
    first: Option<B>,
    more: Vec<B>,
}

impl<B> Released<B> {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        Self { first: None, more: Vec::new() }
    }

    /// Makes room for `n`, so that [`push`](Self::push) does not allocate.
    pub(crate) fn with_room(n: usize) -> Result<Self, OutOfMemory> {
        let mut more = Vec::new();
        more.try_reserve_exact(n.saturating_sub(1)).map_err(|_| OutOfMemory)?;
        Ok(Self { first: None, more })
    }

    pub(crate) fn push(&mut self, backing: B) {
        match &self.first {
            None => self.first = Some(backing),
            Some(_) => self.more.push(backing),
        }
    }

    /// How many mappings of files ended.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Whether no mapping of a file ended.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// An empty space with an empty tree of tables. `asid` is its own as long as it lives, or until
    /// [`set_asid`](Self::set_asid).
    pub fn new(frames: F, mmu: U, asid: Asid) -> Result<Self, OutOfMemory> {
        Ok(Self {
            tables: Tables::new(frames, mmu, asid)?,
            vmas: Tree::new()?,
            mmap_base: mmap_base(DEFAULT_STACK_LIMIT),
            stack_limit: DEFAULT_STACK_LIMIT,
            start_brk: 0,
            brk: 0,
            peeks: 0,
        })
    }

    /// The level-0 table (`pgd`), for TTBR0_EL1.
    pub fn root(&self) -> Pfn {
        self.tables.root()
    }

    /// The number that TTBR0_EL1 carries beside the root.
    pub fn asid(&self) -> Asid {
        self.tables.asid()
    }

    /// Gives the space another number. No CPU runs in it, and what TLBs held for the old one is gone.
    pub fn set_asid(&mut self, asid: Asid) {
        self.tables.set_asid(asid);
    }

    /// Sets `RLIMIT_STACK` in bytes. While nothing is mapped, it also moves `mmap_base`, as `execve` does.
    pub fn set_stack_limit(&mut self, bytes: u64) {
        self.stack_limit = bytes;
        if self.vmas.is_empty() {
            self.mmap_base = mmap_base(bytes);
        }
    }

    /// Top of the area that `mmap` fills downwards.
    pub fn mmap_base(&self) -> VirtAddr {
        VirtAddr::new(self.mmap_base)
    }

    /// How many VMAs there are (`map_count`).
    pub fn map_count(&self) -> usize {
        self.vmas.len()
    }

    /// The first VMA that ends above `va`. It may begin above it too.
    pub fn find_vma(&self, va: VirtAddr) -> Option<&Vma<B>> {
        self.vmas.find(va.get()).map(|at| self.vmas.vma(at))
    }

    /// All VMAs in the order of their addresses: what `/proc/self/maps` shows.
    pub fn vmas(&self) -> impl Iterator<Item = &Vma<B>> {
        self.vmas.iter()
    }

    /// The leaf behind `va`, if a page is there. It may be one that nobody may touch.
    pub fn leaf(&self, va: VirtAddr) -> Option<Leaf> {
        self.tables.walk(va)
    }

    /// The tree of tables, to look at.
    pub fn tables(&self) -> &Tables<F, U> {
        &self.tables
    }
}

/// `mmap_base` as Linux computes it without randomisation: the stack's limit and its guard gap below the top, but at
/// least 128 MiB and at most five sixths of everything.
const fn mmap_base(stack_limit: u64) -> u64 {
    let most = TASK_SIZE / 6 * 5;
    let least = 128 << 20;
    let gap = stack_limit.saturating_add(crate::vma::STACK_GUARD_GAP);
    let gap = if gap < least {
        least
    } else if gap > most {
        most
    } else {
        gap
    };
    (TASK_SIZE - gap + PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

/// `len` rounded up to whole pages, or `None` past the end of 64 bits.
const fn page_align(len: u64) -> Option<u64> {
    match len.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & !(PAGE_SIZE - 1)),
        None => None,
    }
}
