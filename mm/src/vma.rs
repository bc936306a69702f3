//! One VMA (`vm_area_struct`): a range of addresses that mean the same kind of thing.

use units::{PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use crate::anon::Anon;
use crate::desc::Prot;
use crate::seams::Backing;

/// What lies below a VMA that grows down stays unmapped for this far (`stack_guard_gap`: 256 pages).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;
/// What follows a peek stays unmapped for this far.
pub const PEEK_GUARD_GAP: u64 = PAGE_SIZE;

bitflags::bitflags! {
    /// What a VMA is besides its rights: Linux's `VM_*`. Whether it is shared is said by its [`Kind`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct VmaFlags: u32 {
        /// `VM_GROWSDOWN`: a touch just below makes it longer.
        const GROWS_DOWN = 1;
        /// `VM_LOCKED`: its pages are made at once and stay.
        const LOCKED = 1 << 1;
        /// `VM_LOCKONFAULT`, beside `LOCKED`: they stay once they are there.
        const LOCK_ON_FAULT = 1 << 2;
        /// `VM_ACCOUNT`: its length is charged as memory that may be needed.
        const ACCOUNT = 1 << 3;
        /// `VM_NORESERVE`: it is not.
        const NO_RESERVE = 1 << 4;
        /// `VM_HUGEPAGE`: blocks are wanted.
        const HUGE_PAGE = 1 << 5;
        /// `VM_NOHUGEPAGE`: blocks are not wanted.
        const NO_HUGE_PAGE = 1 << 6;
        /// `VM_DONTCOPY`: a forked child does not have it.
        const DONT_FORK = 1 << 7;
        /// `VM_WIPEONFORK`: a forked child has it empty.
        const WIPE_ON_FORK = 1 << 8;
        /// `VM_DONTDUMP`: no core dump shows it.
        const DONT_DUMP = 1 << 9;
        /// `VM_SEQ_READ`: it will be read from front to back.
        const SEQUENTIAL = 1 << 10;
        /// `VM_RAND_READ`: it will be read here and there.
        const RANDOM = 1 << 11;
        /// `VM_MAYWRITE` is not set: `mprotect` does not make it writable. A shared file that was opened for reading.
        const NEVER_WRITE = 1 << 12;
        /// `VM_SYNC`: a store is durable by the program's own cache maintenance, no call is needed (`MAP_SYNC`).
        const SYNC = 1 << 13;
        /// `VM_LOCKED_MASK`: what locking sets.
        const LOCKS = Self::LOCKED.bits() | Self::LOCK_ON_FAULT.bits();
    }
}

/// What a VMA shows.
#[derive(Clone, Debug)]
pub enum Kind<B> {
    /// Zeros until written; the pages belong to the program.
    Anonymous,
    /// A file, privately (`MAP_PRIVATE`): a page is the file's own until written, then a copy.
    File(B),
    /// A file, shared (`MAP_SHARED`, `VM_SHARED`): loads and stores reach the file itself.
    Shared(B),
    /// A file as it was at one instant, read-only, complete from the start.
    Peek(B, Peek),
}

impl<B> Kind<B> {
    /// The file behind it, if any.
    #[inline]
    pub fn backing(&self) -> Option<&B> {
        match self {
            Self::Anonymous => None,
            Self::File(backing) | Self::Shared(backing) | Self::Peek(backing, _) => Some(backing),
        }
    }

    /// The file behind it, taken out.
    pub(crate) fn into_backing(self) -> Option<B> {
        match self {
            Self::Anonymous => None,
            Self::File(backing) | Self::Shared(backing) | Self::Peek(backing, _) => Some(backing),
        }
    }

    /// `vma_is_dax`.
    #[inline]
    pub fn is_dax(&self) -> bool
    where
        B: Backing,
    {
        self.backing().is_some_and(B::is_dax)
    }

    /// Whether both show the same, in the same way, wherever in it. Peeks never do.
    fn same(&self, other: &Self) -> bool
    where
        B: Backing,
    {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::File(one), Self::File(other)) | (Self::Shared(one), Self::Shared(other)) => one.same(other),
            _ => false,
        }
    }

    /// `VM_SHARED`.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Whether it is part of a peek.
    pub fn is_peek(&self) -> bool {
        matches!(self, Self::Peek(..))
    }
}

/// Which peek a VMA is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peek {
    /// The pointer `peek` returned.
    pub pointer: VirtAddr,
    /// Where its last page ended.
    pub end: VirtAddr,
    /// Tells one peek from the next at the same address.
    pub(crate) serial: u64,
}

/// One VMA.
#[derive(Clone, Debug)]
pub struct Vma<B> {
    pub(crate) range: VirtRange,
    pub(crate) prot: Prot,
    pub(crate) flags: VmaFlags,
    /// `vm_pgoff` less the page number of the start, modulo 2^64: the same on both sides of a split, and equal exactly
    /// where two neighbours show a file without a jump. Zero for anonymous memory, whose `vm_pgoff` is its address, until
    /// it is moved with pages in it.
    pub(crate) bias: u64,
    /// The number of a page of the program's own (`page->index`) less its page number, modulo 2^64: not 0 where it was moved
    /// from where it was first mapped. Of anonymous memory, the bias; of a file, 0 while `anon` is not set.
    pub(crate) shift: u64,
    pub(crate) kind: Kind<B>,
    /// Whether it may have pages: what was never touched costs no look at the tables when it goes.
    pub(crate) touched: bool,
    /// `anon_vma`: set where it may have pages of the program's own.
    pub(crate) anon: Option<Anon>,
}

impl<B> Vma<B> {
    /// One that was never touched.
    pub(crate) fn new(range: VirtRange, prot: Prot, flags: VmaFlags, bias: u64, kind: Kind<B>) -> Self {
        Self { range, prot, flags, bias, shift: 0, kind, touched: false, anon: None }
    }

    /// `vm_start..vm_end`.
    pub fn range(&self) -> VirtRange {
        self.range
    }

    /// `vm_start`.
    pub fn start(&self) -> VirtAddr {
        self.range.start()
    }

    /// `vm_end`.
    pub fn end(&self) -> VirtAddr {
        self.range.end()
    }

    /// `vma_pages`.
    pub fn pages(&self) -> PageCount {
        self.range.len().pages_up()
    }

    /// What the program may do here.
    pub fn prot(&self) -> Prot {
        self.prot
    }

    /// What else it is.
    pub fn flags(&self) -> VmaFlags {
        self.flags
    }

    /// What it shows.
    pub fn kind(&self) -> &Kind<B> {
        &self.kind
    }

    /// The file behind it (`vm_file`), if any.
    pub fn backing(&self) -> Option<&B> {
        self.kind.backing()
    }

    /// Whether it may have pages of the program's own (`anon_vma` is set).
    pub fn has_anon(&self) -> bool {
        self.anon.is_some()
    }

    /// `vm_pgoff`: the page of the file that the start shows; of anonymous memory, the page number it was mapped at.
    pub fn pgoff(&self) -> u64 {
        self.index(self.start())
    }

    /// The page of the file that `va` shows (`linear_page_index`).
    pub(crate) fn index(&self, va: VirtAddr) -> u64 {
        (va.get() >> PAGE_SHIFT).wrapping_add(self.bias)
    }

    /// The number that a page of the program's own has at `va`.
    pub(crate) fn anon_index(&self, va: VirtAddr) -> u64 {
        (va.get() >> PAGE_SHIFT).wrapping_add(self.shift)
    }

    /// Where the page of the program's own with this number is seen (`vma_address`), if it is.
    pub(crate) fn anon_address(&self, index: u64) -> Option<VirtAddr> {
        let page = index.wrapping_sub(self.shift);
        let va = VirtAddr::new(page.checked_mul(PAGE_SIZE)?);
        self.range.contains(va).then_some(va)
    }

    /// The pages of the file that it shows: the first, and how many.
    pub(crate) fn interval(&self) -> (u64, u64) {
        (self.pgoff(), self.pages().get())
    }

    /// Where the room below it ends for others (`vm_start_gap`).
    pub(crate) fn guarded_start(&self) -> u64 {
        let start = self.start().get();
        if self.flags.contains(VmaFlags::GROWS_DOWN) { start.saturating_sub(STACK_GUARD_GAP) } else { start }
    }

    /// Where the room above it begins for others (`vm_end_gap`).
    pub(crate) fn guarded_end(&self) -> u64 {
        let end = self.end().get();
        if self.kind.is_peek() { end + PEEK_GUARD_GAP } else { end }
    }

    /// `accountable_mapping`: whether a store here may need memory that nothing else answers for.
    pub(crate) fn accountable(kind: &Kind<B>, prot: Prot, flags: VmaFlags) -> bool {
        let private = matches!(kind, Kind::Anonymous | Kind::File(_));
        private && prot.contains(Prot::WRITE) && !flags.contains(VmaFlags::NO_RESERVE)
    }

    /// What a free node of the tree holds.
    pub(crate) const VACANT: Self = Self {
        range: match VirtRange::new(VirtAddr::ZERO, VirtAddr::ZERO) {
            Some(range) => range,
            None => panic!("zero lies at zero"),
        },
        prot: Prot::empty(),
        flags: VmaFlags::empty(),
        bias: 0,
        shift: 0,
        kind: Kind::Anonymous,
        touched: false,
        anon: None,
    };
}

/// What `mprotect`, `mlock` and `madvise` change of a VMA, or of a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    pub(crate) prot: Prot,
    pub(crate) flags: VmaFlags,
}

impl<B: Backing> Vma<B> {
    /// What may change without another mapping.
    pub(crate) fn look(&self) -> Look {
        Look { prot: self.prot, flags: self.flags }
    }

    /// `is_mergeable_vma`: whether this VMA and a neighbour with this look, showing `kind` with the same bias, say the same.
    /// Peeks never do.
    pub(crate) fn alike(&self, look: Look, bias: u64, kind: &Kind<B>) -> bool {
        self.look() == look && self.bias == bias && self.kind.same(kind)
    }

    /// `is_mergeable_anon_vma`, as it is in Linux 6.12: whether this VMA can take in what has `anon`. One without pages of the
    /// program's own takes in none that has, and one that has had them since before a fork takes in none that has not.
    pub(crate) fn takes(&self, anon: Option<Anon>) -> bool {
        match (self.anon, anon) {
            (None, None) => true,
            (Some(own), Some(other)) => own.is(other),
            (Some(own), None) => own.is_singular(),
            (None, Some(_)) => false,
        }
    }

    /// `anon_vma_compatible`: whether this VMA and the one behind it differ in nothing but what `mprotect` may change, so that
    /// they may have one `anon_vma`.
    #[inline]
    pub(crate) fn may_share_anon(&self, behind: &Self) -> bool {
        let access = Prot::READ | Prot::WRITE | Prot::EXEC;
        self.end() == behind.start()
            && self.flags == behind.flags
            && self.bias == behind.bias
            && self.prot.difference(access) == behind.prot.difference(access)
            && self.kind.same(&behind.kind)
    }
}
