//! What address spaces are built over: frames, the CPU's view of the tables, and what lies behind a mapping.
//!
//! The kernel plugs in real memory and real barriers; host tests plug in recorders that refuse what the architecture
//! forbids.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use units::{PageCount, Pfn, VirtAddr, VirtRange};

use crate::asid::Context;
use crate::commit::Commit;
use crate::desc::{ENTRIES, Level};
use crate::page::Page;

/// No frame, or no heap, was left. Linux's `ENOMEM`, or the end of the program that touched a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Memory that was to be copied cannot be read: the medium under it is bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Poisoned;

/// The entries of one table. The walker reads them at any time, so they are atomics and never a `&mut [u64]`.
pub type TableMemory = [AtomicU64; ENTRIES];

/// Frames of ordinary memory: pages of programs, and tables.
pub trait Frames {
    /// A frame of zeros.
    fn alloc_zeroed(&self) -> Result<Pfn, OutOfMemory>;

    /// A frame that the caller overwrites as a whole: what it holds is anything.
    fn alloc(&self) -> Result<Pfn, OutOfMemory> {
        self.alloc_zeroed()
    }

    /// Takes back a frame that `alloc` or `alloc_zeroed` gave. No CPU can reach it any more.
    fn free(&self, frame: Pfn);

    /// The first of as many frames of zeros as a block of level 2 has, at a multiple of their number. Each can be given back
    /// by itself.
    fn alloc_huge(&self) -> Result<Pfn, OutOfMemory> {
        Err(OutOfMemory)
    }

    /// Takes back all that [`alloc_huge`](Self::alloc_huge) gave, at once.
    fn free_huge(&self, first: Pfn) {
        (first.get()..first.get() + Level::Pmd.pages().get()).for_each(|frame| self.free(Pfn::new(frame)));
    }

    /// The frame of zeros that all address spaces read where nothing was written yet. Never written, never freed.
    fn zero_page(&self) -> Pfn;

    /// Copies a whole frame. `from` may be a block of a file; `to` came from [`alloc`](Self::alloc).
    fn copy(&self, from: Pfn, to: Pfn) -> Result<(), Poisoned>;

    /// The entries of the table in `frame`, a frame of this allocator that holds a table.
    fn table(&self, frame: Pfn) -> &TableMemory;

    /// The descriptor of a page: of a frame, or of a block of a file. `None` for memory that has none: it is never shared by
    /// counting, nor handed out by `follow_page`.
    fn page(&self, frame: Pfn) -> Option<&Page>;

    /// The descriptors of `count` pages from `first` on, where all have one and they lie side by side.
    fn pages(&self, first: Pfn, count: PageCount) -> Option<&[Page]> {
        let _ = (first, count);
        None
    }

    /// What is promised of these frames to all address spaces together.
    fn commit(&self) -> &Commit;
}

/// Which address space, among all there ever were.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(u64);

impl SpaceId {
    /// One that no space has had.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where a space shows pages of a file: one entry of the file's `i_mmap`, for one VMA. Ordered by the pages, as an index of
/// intervals wants it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mapper {
    /// The page of the file that it shows first.
    pub first: u64,
    /// How many pages it shows.
    pub count: u64,
    /// The space.
    pub space: SpaceId,
    /// Where the VMA begins.
    pub start: VirtAddr,
}

impl Mapper {
    /// None that there is.
    pub const NONE: Self = Self { space: SpaceId(0), start: VirtAddr::ZERO, first: 0, count: 1 };
}

/// Whose entries of a TLB are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asid(u16);

impl Asid {
    /// Global entries: the kernel's half. No program is given this number.
    pub const GLOBAL: Self = Self(0);

    /// The address space with this number, which is not 0.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number, as it stands in TTBR0_EL1 and in the operand of `tlbi`.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Under which number a space is known to the TLB.
#[derive(Clone, Debug)]
pub enum Whose {
    /// This one, for good.
    Fixed(Asid),
    /// The one that [`Asids`](crate::Asids) gives it when it runs.
    Context(Arc<Context>),
}

impl Whose {
    /// The number as it is now; `None` while no CPU has run the space, so that no TLB can know anything of it.
    #[inline]
    pub fn asid(&self) -> Option<Asid> {
        match self {
            Self::Fixed(asid) => Some(*asid),
            Self::Context(context) => context.asid(),
        }
    }
}

impl From<Asid> for Whose {
    fn from(asid: Asid) -> Self {
        Self::Fixed(asid)
    }
}

impl From<Arc<Context>> for Whose {
    fn from(context: Arc<Context>) -> Self {
        Self::Context(context)
    }
}

/// How much of what a walk remembers has to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Leaves only: `vale1is` and its kin.
    Leaves,
    /// Table descriptors too, because a table is about to be freed: `vae1is` and its kin.
    Tables,
}

/// The barriers and the TLB maintenance that follow a change of the tables.
pub trait Mmu {
    /// All stores to tables made so far are seen by every walker: `dsb ishst`, and for the kernel's own half `isb`.
    fn publish(&self);

    /// Returns when no CPU holds an entry of `asid` for `range`, nor uses one in an access it has begun: `tlbi` for
    /// every [`Level::size`] of `smallest` (the smallest entry that lay in the range: one operation drops it whole), or
    /// for the range as a whole, then `dsb ish`. The stores it is about are behind a [`publish`](Self::publish). May
    /// drop more than was asked. For [`Asid::GLOBAL`] the entries of all ASIDs are meant.
    fn invalidate(&self, asid: Asid, range: VirtRange, smallest: Level, reach: Reach);

    /// The same for everything that belongs to `asid`.
    fn invalidate_asid(&self, asid: Asid);

    /// Called before `count` frames from `first` become executable: what was written there reaches the point of
    /// unification, and the instruction cache forgets what it had. May remember frames it has already cleaned.
    fn sync_icache(&self, first: Pfn, count: PageCount);

    /// A moment in the end of a space at which others may run (`cond_resched`). The caller of that end holds no lock.
    fn pause(&self) {}

    /// Whether the hardware sets the access flag (TCR.HA): pages made before anybody asked are then made old. Whether it also
    /// clears AP\[2\] where DBM is set (TCR.HD) need not be known: where it does not, the store faults and
    /// [`AddressSpace::fault`](crate::AddressSpace::fault) does the same.
    fn sets_access_flag(&self) -> bool {
        false
    }
}

/// One page behind a mapping of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageOf {
    /// The frame itself. It stays what it is while a clone of the backing lives, and is never given to [`Frames`].
    Frame(Pfn),
    /// A hole: zeros.
    Zero,
    /// Past the end of the file: a touch is SIGBUS.
    Beyond,
    /// The file has to do something first, which may wait: shared memory without its page, or a file that is about to replace
    /// the block.
    Unprepared,
    /// A block that cannot be read: a touch is SIGBUS, of the kind that says so.
    Poisoned,
}

/// Pages that follow each other: `Frame(n), Frame(n+1), ..`, or all `Zero`, `Beyond` or `Poisoned`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first page.
    pub page: PageOf,
    /// How many, at least one.
    pub count: PageCount,
}

/// What a mapping of a file shows (`vm_file` with its `vm_ops`): a promise that its frames stay. Cloning shares the
/// promise and cannot fail.
///
/// `link`, `relink` and `unlink` keep the file's `i_mmap` and are called with the space's lock held: they take the lock of
/// `i_mmap` alone, and wait for nothing else. A backing whose pages never change under a mapping needs none of them.
///
/// The clones that belong to an address space are handed out in [`Released`](crate::space::Released) and are to be
/// dropped with no lock held. Only where two VMAs become one, a clone is dropped on the spot; that is never the last.
pub trait Backing: Clone {
    /// The page `index` of the file (file offset over the page size) and up to `max` that follow it, in one run.
    fn run(&self, index: u64, max: PageCount) -> Run;

    /// The page `index` of the file.
    fn page(&self, index: u64) -> PageOf {
        self.run(index, PageCount::new(1)).page
    }

    /// Whether both are of one file in one way (`vm_file`), so that neighbouring VMAs may become one.
    fn same(&self, other: &Self) -> bool;

    /// What shows pages `own` of the file as this does, and pages `theirs` as `other` does, which is the same; `None` where this
    /// does so itself. Each is the first page and how many. The answer keeps whatever either promises. Only asked of what needs
    /// no [`link`](Self::link).
    ///
    /// # Errors
    /// [`OutOfMemory`]: then neighbours stay two.
    fn joined(&self, own: (u64, u64), other: &Self, theirs: (u64, u64)) -> Result<Option<Self>, OutOfMemory> {
        let _ = (own, other, theirs);
        Ok(None)
    }

    /// A VMA shows pages of the file from now on (`vma_link_file`).
    ///
    /// # Errors
    /// [`OutOfMemory`], for the entry.
    fn link(&self, mapper: Mapper) -> Result<(), OutOfMemory> {
        let _ = mapper;
        Ok(())
    }

    /// The VMA of `old` shows what `new` says from now on. Needs no memory.
    fn relink(&self, old: Mapper, new: Mapper) {
        let _ = (old, new);
    }

    /// The VMA shows nothing any more (`unlink_file_vma`).
    fn unlink(&self, mapper: Mapper) {
        let _ = mapper;
    }

    /// Whether its pages are those of the medium itself (`vma_is_dax`): blocks are wanted for them (`VM_HUGEPAGE`), and they
    /// are in memory already, so that locking them means nothing.
    #[inline]
    fn is_dax(&self) -> bool {
        false
    }

    /// A program is about to store to pages `index` and the `count - 1` behind it of a shared mapping (`page_mkwrite`): whether it
    /// may, as things are; to all of them, or not. Where not to one, the store is
    /// [`FaultError::Unprepared`](crate::space::FaultError::Unprepared), and who serves it asks the file to make it so. The pages may
    /// be stored to from now on, until they are revoked.
    fn may_store(&self, index: u64, count: PageCount) -> bool {
        let _ = (index, count);
        false
    }

    /// What the file is called in the descriptors of its pages ([`Mapping::File`](crate::page::Mapping::File)); 0 where it has none.
    fn number(&self) -> u64 {
        0
    }
}

impl<T: Frames + ?Sized> Frames for &T {
    fn alloc_zeroed(&self) -> Result<Pfn, OutOfMemory> {
        (**self).alloc_zeroed()
    }

    fn alloc(&self) -> Result<Pfn, OutOfMemory> {
        (**self).alloc()
    }

    fn free(&self, frame: Pfn) {
        (**self).free(frame);
    }

    fn alloc_huge(&self) -> Result<Pfn, OutOfMemory> {
        (**self).alloc_huge()
    }

    fn free_huge(&self, first: Pfn) {
        (**self).free_huge(first);
    }

    fn zero_page(&self) -> Pfn {
        (**self).zero_page()
    }

    fn copy(&self, from: Pfn, to: Pfn) -> Result<(), Poisoned> {
        (**self).copy(from, to)
    }

    fn table(&self, frame: Pfn) -> &TableMemory {
        (**self).table(frame)
    }

    fn page(&self, frame: Pfn) -> Option<&Page> {
        (**self).page(frame)
    }

    fn pages(&self, first: Pfn, count: PageCount) -> Option<&[Page]> {
        (**self).pages(first, count)
    }

    fn commit(&self) -> &Commit {
        (**self).commit()
    }
}

impl<T: Mmu + ?Sized> Mmu for &T {
    fn publish(&self) {
        (**self).publish();
    }

    fn invalidate(&self, asid: Asid, range: VirtRange, smallest: Level, reach: Reach) {
        (**self).invalidate(asid, range, smallest, reach);
    }

    fn invalidate_asid(&self, asid: Asid) {
        (**self).invalidate_asid(asid);
    }

    fn sync_icache(&self, first: Pfn, count: PageCount) {
        (**self).sync_icache(first, count);
    }

    fn pause(&self) {
        (**self).pause();
    }

    fn sets_access_flag(&self) -> bool {
        (**self).sets_access_flag()
    }
}
