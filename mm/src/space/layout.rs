//! Where `mmap` looks for room (`mm_struct`: `mmap_base`, `mmap_legacy_base`, their compat twins, `task_size`), and
//! `get_unmapped_area`, which looks.

use units::{HUGE_SIZE, PAGE_SIZE, VirtAddr, VirtRange};

use super::map::{MapError, Place};
use super::{AddressSpace, MMAP_MIN_ADDR, TASK_SIZE};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::{At, Found, Room};
use crate::vma::STACK_GUARD_GAP;

/// Where the addresses of `personality(ADDR_LIMIT_32BIT)` end (`TASK_SIZE_32`).
pub const TASK_SIZE_32: u64 = 1 << 32;

/// Which way the search for room goes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Down from `mmap_base`, then up (`arch_get_unmapped_area_topdown`).
    TopDown,
    /// Up from `mmap_legacy_base`: `ADDR_COMPAT_LAYOUT`, or a stack without a limit.
    BottomUp,
}

/// How far the addresses reach that are handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressLimit {
    /// To [`TASK_SIZE`].
    Full,
    /// Below 4 GiB: `personality(ADDR_LIMIT_32BIT)`.
    Low,
}

/// The bases of one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bases {
    /// The top of what is filled downwards (`mmap_base`, `mmap_compat_base`).
    pub top: VirtAddr,
    /// Where the search upwards begins (`mmap_legacy_base`, `mmap_compat_legacy_base`).
    pub legacy: VirtAddr,
    /// Where the addresses end (`task_size`).
    pub end: VirtAddr,
}

impl Bases {
    /// `mmap_base` as Linux computes it without randomisation: the stack's limit and its guard gap below the end, but at
    /// least 128 MiB and at most five sixths of everything. The legacy base is a third of the way, `TASK_UNMAPPED_BASE`.
    const fn new(end: u64, stack_limit: u64) -> Self {
        let most = end / 6 * 5;
        let least = 128 << 20;
        let gap = stack_limit.saturating_add(STACK_GUARD_GAP);
        let gap = if gap < least {
            least
        } else if gap > most {
            most
        } else {
            gap
        };
        let top = (end - gap + PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
        Self { top: VirtAddr::new(top), legacy: VirtAddr::new(end / 4), end: VirtAddr::new(end) }
    }
}

/// All of it for one program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// `mmap_base`, `mmap_legacy_base`, `task_size`.
    pub full: Bases,
    /// Their twins below 4 GiB.
    pub low: Bases,
    /// Which of the two the search takes.
    pub limit: AddressLimit,
    /// Which way it goes.
    pub order: Order,
}

impl Layout {
    pub(super) const fn new(stack_limit: u64) -> Self {
        Self {
            full: Bases::new(TASK_SIZE, stack_limit),
            low: Bases::new(TASK_SIZE_32, stack_limit),
            limit: AddressLimit::Full,
            // `mmap_is_legacy`.
            order: if stack_limit == u64::MAX { Order::BottomUp } else { Order::TopDown },
        }
    }

    /// The bases the search takes.
    pub const fn bases(&self) -> &Bases {
        match self.limit {
            AddressLimit::Full => &self.full,
            AddressLimit::Low => &self.low,
        }
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Where `mmap` looks for room.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Another way to look for room, for the mappings to come: `personality`.
    pub fn set_search(&mut self, order: Order, limit: AddressLimit) {
        (self.layout.order, self.layout.limit) = (order, limit);
    }

    /// Top of the area that `mmap` fills downwards.
    pub fn mmap_base(&self) -> VirtAddr {
        self.layout.bases().top
    }

    /// Says where the stack pointer is at first (`start_stack`): the VMA around it is the stack.
    pub fn set_stack_start(&mut self, at: VirtAddr) {
        self.start_stack = at.get();
    }

    /// `start_stack`.
    pub fn stack_start(&self) -> VirtAddr {
        VirtAddr::new(self.start_stack)
    }

    /// `highest_vm_end`: where the last VMA ends, or 0.
    pub fn highest_vm_end(&self) -> VirtAddr {
        self.vmas.last().map_or(VirtAddr::ZERO, |at| self.vmas.vma(at).end())
    }

    /// `get_unmapped_area`: where `len` bytes would be mapped. Changes nothing.
    ///
    /// # Errors
    /// As [`map`](Self::map), of which these are the first.
    pub fn get_unmapped_area(&self, place: Place, len: u64) -> Result<VirtRange, MapError> {
        let len = super::page_align(len).filter(|len| *len > 0).ok_or(MapError::OutOfMemory)?;
        self.place(place, len).map(|(range, _)| range)
    }

    /// The addresses for `len` bytes, a multiple of the page size and not 0, and the first VMA that ends above where they
    /// begin; with a fixed place nobody has asked for that one yet.
    #[inline]
    pub(super) fn place(&self, place: Place, len: u64) -> Result<(VirtRange, Option<At>), MapError> {
        let end = self.layout.bases().end.get();
        if len > end - MMAP_MIN_ADDR {
            return Err(MapError::OutOfMemory);
        }
        let Found { start, behind } = match place {
            Place::Fixed(at) => Found { start: fixed(at, len)?, behind: None },
            Place::FixedNoReplace(at) => {
                let start = fixed(at, len)?;
                let behind = self.vmas.find(start);
                if behind.is_some_and(|at| self.vmas.vma(at).start().get() < start + len) {
                    return Err(MapError::Exists);
                }
                Found { start, behind }
            }
            Place::Hint(at) => match self.hinted(at, len, end) {
                Some(found) => found,
                None => self.anywhere(len)?,
            },
            Place::Anywhere { align: PAGE_SIZE, .. } => self.anywhere(len)?,
            Place::Anywhere { align, offset } => self.search(len, align, offset)?,
        };
        let range = VirtRange::new(VirtAddr::new(start), VirtAddr::new(start + len)).ok_or(MapError::OutOfMemory)?;
        Ok((range, behind))
    }

    /// Where blocks fit, if whole blocks are wanted and there is such room (`thp_get_unmapped_area`); else anywhere.
    #[inline]
    fn anywhere(&self, len: u64) -> Result<Found, OutOfMemory> {
        if len.is_multiple_of(HUGE_SIZE)
            && let Ok(found) = self.search(len, HUGE_SIZE, 0)
        {
            return Ok(found);
        }
        self.search(len, PAGE_SIZE, 0)
    }

    /// The hint, rounded to pages and up to the lowest address, if there is room without touching anybody's guard.
    fn hinted(&self, at: VirtAddr, len: u64, end: u64) -> Option<Found> {
        let hint = at.align_down(PAGE_SIZE).get();
        if hint == 0 {
            return None;
        }
        let start = hint.max(MMAP_MIN_ADDR);
        if start > end - len {
            return None;
        }
        let next = self.vmas.find(start);
        let prev = self.vmas.before(next);
        let below = next.is_none_or(|at| start + len <= self.vmas.vma(at).guarded_start());
        let above = prev.is_none_or(|at| start >= self.vmas.vma(at).guarded_end());
        (below && above).then_some(Found { start, behind: next })
    }

    /// In the layout's order; where nothing is left below `mmap_base`, up from the legacy base.
    #[inline]
    pub(super) fn search(&self, len: u64, align: u64, offset: u64) -> Result<Found, OutOfMemory> {
        let bases = self.layout.bases();
        let down = || Room { len, low: MMAP_MIN_ADDR, high: bases.top.get(), align, offset };
        let up = || Room { len, low: bases.legacy.get(), high: bases.end.get(), align, offset };
        let found = match self.layout.order {
            Order::TopDown => self.vmas.highest(&down()).or_else(|| self.vmas.lowest(&up())),
            Order::BottomUp => self.vmas.lowest(&up()),
        };
        found.ok_or(OutOfMemory)
    }
}

/// The checks of a fixed address, in Linux's order.
fn fixed(at: VirtAddr, len: u64) -> Result<u64, MapError> {
    if len > TASK_SIZE || at.get() > TASK_SIZE - len {
        return Err(MapError::OutOfMemory);
    }
    if !at.is_aligned(PAGE_SIZE) {
        return Err(MapError::Invalid);
    }
    if at.get() < MMAP_MIN_ADDR {
        return Err(MapError::TooLow);
    }
    Ok(at.get())
}
