//! Address spaces (`mm_struct`): VMAs that say what the tables may become, and one file for each verb.
//!
//! The caller holds one lock around an [`AddressSpace`]; nothing here waits. Every refusal names its reason, with the
//! errno Linux gives for it in the doc comment; turning it into the number is the kernel's. Operations are O(log n) in
//! the number of VMAs, and O(pages) only in pages that are there.
//!
//! What a mapping of a file shows is released by dropping its [`Backing`], which may take locks that come before the
//! space's. So the verbs that end VMAs return the backings in [`Released`], after the frames are out of every TLB: drop
//! it when the space is unlocked.

mod adjust;
mod advise;
mod around;
mod brk;
mod dirty;
mod fault;
mod follow;
mod fork;
mod huge;
mod layout;
mod lock;
mod look;
mod map;
mod nonlinear;
mod peek;
mod populate;
mod protect;
mod remap;
mod rmap;
#[cfg(test)]
mod tests;
mod unmap;
mod validate;

use alloc::sync::Arc;
use alloc::vec::Vec;

use units::{PAGE_SIZE, PageCount, Pfn, VirtAddr};

pub use self::advise::{Advice, AdviseError, Holes, PopulateError, Removal, advise_range};
pub use self::dirty::Counts;
pub use self::fault::{Access, FaultError};
pub use self::follow::{Follow, Followed, NoPage, find_get_page};
pub use self::layout::{AddressLimit, Bases, Layout, Order, TASK_SIZE_32};
pub use self::lock::{LockAll, LockError, LockHow, lock_range};
pub use self::look::{Cached, ResidenceError, SyncError, SyncPart, sync_range};
pub use self::map::{MapError, Mapped, Place, Request, What};
pub use self::nonlinear::NonlinearError;
pub use self::peek::{NotPeeked, PeekError};
pub use self::protect::{ProtectError, protect_range};
pub use self::remap::{RemapError, RemapPlace, Remapped};
pub use self::rmap::Revoke;
pub use self::unmap::{UnmapError, unmap_range};
use crate::anon::AnonVma;
use crate::imap::IMmap;
use crate::seams::{Asid, Backing, Frames, Mmu, OutOfMemory, SpaceId, Whose};
use crate::table::{Leaf, Tables};
use crate::tree::Tree;
use crate::vma::{Vma, VmaFlags};

/// Where a program's addresses end (`TASK_SIZE`), and its stack begins (`STACK_TOP`).
pub const TASK_SIZE: u64 = 1 << 48;
/// The lowest address that can be mapped (`mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// How many VMAs a space may have (`sysctl_max_map_count`). As on Linux, `mmap` refuses above and a split at it.
pub const MAX_MAP_COUNT: usize = 65_530;
/// The stack's limit unless set (`RLIMIT_STACK`): 8 MiB.
pub const DEFAULT_STACK_LIMIT: u64 = 8 << 20;

/// The addresses of one program.
pub struct AddressSpace<F: Frames, U: Mmu, B: Backing> {
    // Fields are dropped in this order: the tables let go of every frame before the backings are released.
    tables: Tables<F, U>,
    vmas: Tree<B>,
    id: SpaceId,
    /// Who may share pages with it: those it was forked from, and those forked from it.
    family: Arc<AnonVma>,
    /// VMAs whose pages of the program's own were moved, by the numbers of those pages.
    moved: IMmap,
    /// How many `anon_vma`s its VMAs have had.
    anons: u64,
    layout: Layout,
    limits: Limits,
    /// `total_vm`, `locked_vm`: pages.
    total: u64,
    locked: u64,
    /// What every new VMA has besides what it was asked for (`def_flags`): `mlockall(MCL_FUTURE)`.
    new_flags: VmaFlags,
    /// `start_brk` and `brk`, in bytes.
    start_brk: u64,
    brk: u64,
    /// `start_stack`: where the stack pointer was at first, or 0.
    start_stack: u64,
    peeks: u64,
    /// Every merge and every adjustment so far, for tests that name them.
    #[cfg(test)]
    merged: Vec<adjust::MergeCase>,
    #[cfg(test)]
    adjusted: Vec<adjust::Adjusted>,
}

/// What a program may have at most, in bytes (`setrlimit`); [`u64::MAX`] is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `RLIMIT_STACK`.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`; no limit for who has `CAP_IPC_LOCK`.
    pub locked: u64,
    /// `RLIMIT_AS`.
    pub addresses: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stack: DEFAULT_STACK_LIMIT, locked: u64::MAX, addresses: u64::MAX }
    }
}

/// What a call let go of. Drop it with no lock held.
#[must_use = "dropping a backing may take locks: do it where none is held"]
pub struct Released<B> {
    first: Option<B>,
    more: Vec<B>,
}

impl<B> Released<B> {
    /// Nothing.
    pub const fn none() -> Self {
        Self { first: None, more: Vec::new() }
    }

    /// Makes room for `n` more, so that [`push`](Self::push) does not allocate.
    pub(crate) fn make_room(&mut self, n: usize) -> Result<(), OutOfMemory> {
        let spare = usize::from(self.first.is_none());
        self.more.try_reserve(n.saturating_sub(spare)).map_err(|_| OutOfMemory)
    }

    #[inline]
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
    /// An empty space with an empty tree of tables, known to the TLB as `whose`.
    pub fn new(frames: F, mmu: U, whose: impl Into<Whose>) -> Result<Self, OutOfMemory> {
        let id = SpaceId::next();
        Ok(Self {
            tables: Tables::new(frames, mmu, whose)?,
            vmas: Tree::new()?,
            id,
            family: AnonVma::new(id)?,
            moved: IMmap::new(),
            anons: 0,
            layout: Layout::new(DEFAULT_STACK_LIMIT),
            limits: Limits::default(),
            total: 0,
            locked: 0,
            new_flags: VmaFlags::empty(),
            start_brk: 0,
            brk: 0,
            start_stack: 0,
            peeks: 0,
            #[cfg(test)]
            merged: Vec::new(),
            #[cfg(test)]
            adjusted: Vec::new(),
        })
    }

    /// The level-0 table (`pgd`), for TTBR0_EL1.
    pub fn root(&self) -> Pfn {
        self.tables.root()
    }

    /// The number under which TLBs may know the space, if it has run.
    pub fn asid(&self) -> Option<Asid> {
        self.tables.asid()
    }

    /// Which space this is, among all there ever were: the name of it in a file's `i_mmap`.
    pub fn id(&self) -> SpaceId {
        self.id
    }

    /// What the program may have at most.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Sets what the program may have at most. While nothing is mapped, the stack's limit also moves `mmap_base`, as
    /// `execve` does (`arch_pick_mmap_layout`).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if self.vmas.is_empty() {
            self.layout = Layout { limit: self.layout.limit, ..Layout::new(limits.stack) };
        }
    }

    /// `total_vm`: pages of all VMAs.
    pub fn total_vm(&self) -> PageCount {
        PageCount::new(self.total)
    }

    /// `locked_vm`: pages of those that are locked.
    pub fn locked_vm(&self) -> PageCount {
        PageCount::new(self.locked)
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

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `vm_stat_account`: `pages` more belong to VMAs with these flags.
    fn count_in(&mut self, flags: VmaFlags, pages: u64) {
        self.total += pages;
        if flags.contains(VmaFlags::LOCKED) {
            self.locked += pages;
        }
    }

    /// The same for pages that went, and the promise made for them is taken back.
    fn count_out(&mut self, flags: VmaFlags, pages: u64) {
        self.total -= pages;
        if flags.contains(VmaFlags::LOCKED) {
            self.locked -= pages;
        }
        if flags.contains(VmaFlags::ACCOUNT) {
            self.tables.frames().commit().release(PageCount::new(pages));
        }
    }

    /// `may_expand_vm`: refuses `pages` more beyond `RLIMIT_AS`.
    fn may_expand(&self, pages: u64) -> Result<(), OutOfMemory> {
        let allowed = self.limits.addresses >> units::PAGE_SHIFT;
        if self.total.saturating_add(pages) > allowed { Err(OutOfMemory) } else { Ok(()) }
    }

    /// Promises memory for `pages`.
    #[inline]
    fn charge(&self, pages: u64) -> Result<(), OutOfMemory> {
        self.tables.frames().commit().charge(PageCount::new(pages))
    }
}

impl<F: Frames, U: Mmu, B: Backing> Drop for AddressSpace<F, U, B> {
    /// `exit_mmap`. The tables let go of every frame, and every TLB of the tables, before a file forgets its mappings.
    fn drop(&mut self) {
        self.tables.forget();
        let mut accounted = 0;
        for vma in self.vmas.iter() {
            if vma.touched {
                self.tables.release(vma.range());
            }
            if vma.flags().contains(VmaFlags::ACCOUNT) {
                accounted += vma.pages().get();
            }
            if let Some(backing) = vma.backing() {
                backing.unlink(self.mapper(vma));
            }
        }
        self.tables.frames().commit().release(PageCount::new(accounted));
        self.family.leave(self.id);
    }
}

/// `len` rounded up to whole pages, or `None` past the end of 64 bits.
const fn page_align(len: u64) -> Option<u64> {
    match len.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & !(PAGE_SIZE - 1)),
        None => None,
    }
}
