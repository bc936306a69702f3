//! One VMA (`vm_area_struct`): a range of addresses that mean the same kind of thing.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use crate::desc::Prot;
use crate::seams::Backing;

/// What lies below a VMA that grows down stays unmapped for this far (`stack_guard_gap`: 256 pages).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;
/// What follows a peek stays unmapped for this far.
pub const PEEK_GUARD_GAP: u64 = PAGE_SIZE;

bitflags::bitflags! {
    /// What a VMA is besides its rights: Linux's `VM_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct VmaFlags: u8 {
        /// `VM_GROWSDOWN`: a touch just below makes it longer.
        const GROWS_DOWN = 1;
    }
}

/// What a VMA shows.
#[derive(Clone, Debug)]
pub enum Kind<B> {
    /// Zeros until written; the pages belong to the program.
    Anonymous,
    /// A file, privately (`MAP_PRIVATE`): a page is the file's own until written, then a copy.
    File(B),
    /// A file as it was at one instant, read-only, complete from the start.
    Peek(B, Peek),
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
    /// where two neighbours show a file without a jump. Zero for anonymous memory, whose `vm_pgoff` is its address.
    pub(crate) bias: u64,
    pub(crate) kind: Kind<B>,
    /// Whether it may have pages: what was never touched costs no look at the tables when it goes.
    pub(crate) touched: bool,
}

impl<B> Vma<B> {
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
        match &self.kind {
            Kind::Anonymous => None,
            Kind::File(backing) | Kind::Peek(backing, _) => Some(backing),
        }
    }

    /// `vm_pgoff`: the page of the file that the start shows.
    pub fn pgoff(&self) -> u64 {
        self.index(self.start())
    }

    /// The page of the file that `va` shows.
    pub(crate) fn index(&self, va: VirtAddr) -> u64 {
        (va.get() >> PAGE_SHIFT).wrapping_add(self.bias)
    }

    /// Where the room below it ends for others (`vm_start_gap`).
    pub(crate) fn guarded_start(&self) -> u64 {
        let start = self.start().get();
        if self.flags.contains(VmaFlags::GROWS_DOWN) { start.saturating_sub(STACK_GUARD_GAP) } else { start }
    }

    /// Where the room above it begins for others (`vm_end_gap`).
    pub(crate) fn guarded_end(&self) -> u64 {
        let end = self.end().get();
        if matches!(self.kind, Kind::Peek(..)) { end + PEEK_GUARD_GAP } else { end }
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
        kind: Kind::Anonymous,
        touched: false,
    };
}

impl<B: Backing> Vma<B> {
    /// Whether `self` and `next` would be one VMA if they touched. Peeks never are.
    pub(crate) fn merges_with(&self, next: &Self) -> bool {
        self.prot == next.prot && self.alike(next)
    }

    /// The same but for the rights.
    pub(crate) fn alike(&self, next: &Self) -> bool {
        self.flags == next.flags
            && self.bias == next.bias
            && match (&self.kind, &next.kind) {
                (Kind::Anonymous, Kind::Anonymous) => true,
                (Kind::File(one), Kind::File(other)) => one.same(other),
                _ => false,
            }
    }
}
