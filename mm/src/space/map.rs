//! `mmap`: finding a place, and becoming part of a neighbour where that says the same.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::{AddressSpace, MAX_MAP_COUNT, MMAP_MIN_ADDR, Released, TASK_SIZE, UNMAPPED_BASE, page_align};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::{At, Found, Room};
use crate::vma::{Kind, Vma, VmaFlags};

/// Where a mapping shall lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Wherever there is room, at an address that is `offset` modulo `align`. Both are multiples of the page size,
    /// `align` is a power of two and `offset` lies below it.
    Anywhere {
        /// What the address is counted by.
        align: u64,
        /// What remains.
        offset: u64,
    },
    /// Here if there is room, else anywhere. The address may be any.
    Hint(VirtAddr),
    /// Here; what is there goes (`MAP_FIXED`).
    Fixed(VirtAddr),
    /// Here, but only if nothing is there (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(VirtAddr),
}

impl Place {
    /// Wherever there is room.
    pub const ANYWHERE: Self = Self::Anywhere { align: PAGE_SIZE, offset: 0 };
}

/// What a mapping shall show.
#[derive(Clone, Debug)]
pub enum What<B> {
    /// Zeros until written.
    Anonymous,
    /// A file from page `pgoff` on, privately: stores go to copies.
    File {
        /// The file.
        backing: B,
        /// The page of it that the first page shows.
        pgoff: u64,
    },
}

/// The arguments of `mmap`.
#[derive(Clone, Debug)]
pub struct Request<B> {
    /// Where.
    pub place: Place,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// What the program may do there.
    pub prot: Prot,
    /// What else the VMA is.
    pub flags: VmaFlags,
    /// What it shows.
    pub what: What<B>,
}

/// The answer of `mmap`.
pub struct Mapped<B> {
    /// The first address.
    pub at: VirtAddr,
    /// What `MAP_FIXED` put an end to.
    pub released: Released<B>,
}

/// Why nothing was mapped. In the order in which Linux finds out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// `EINVAL`: no length, or a fixed address inside a page.
    Invalid,
    /// `EOVERFLOW`: the file offset passes the end of 64 bits.
    Overflow,
    /// `ENOMEM`: no room, too many VMAs, or no memory for tables.
    OutOfMemory,
    /// `EPERM`: a fixed address below [`MMAP_MIN_ADDR`].
    TooLow,
    /// `EEXIST`: something lies at the address of [`Place::FixedNoReplace`].
    Exists,
}

impl From<OutOfMemory> for MapError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `do_mmap`: reserves addresses; no page is there before it is touched.
    pub fn map(&mut self, request: Request<B>) -> Result<Mapped<B>, MapError> {
        if request.len == 0 {
            return Err(MapError::Invalid);
        }
        let len = page_align(request.len).ok_or(MapError::OutOfMemory)?;
        if let What::File { pgoff, .. } = &request.what {
            pgoff.checked_add(len >> PAGE_SHIFT).ok_or(MapError::Overflow)?;
        }
        if self.map_count() > MAX_MAP_COUNT {
            return Err(MapError::OutOfMemory);
        }
        let (range, behind) = self.place(request.place, len)?;
        self.vmas.reserve(2)?;
        let (released, behind) = match request.place {
            Place::Fixed(_) => (self.remove_range(range)?, self.vmas.find(range.start().get())),
            _ => (Released::none(), behind),
        };
        let (kind, bias) = match request.what {
            What::Anonymous => (Kind::Anonymous, 0),
            What::File { backing, pgoff } => {
                (Kind::File(backing), pgoff.wrapping_sub(range.start().get() >> PAGE_SHIFT))
            }
        };
        self.insert(Vma { range, prot: request.prot, flags: request.flags, bias, kind, touched: false }, behind);
        Ok(Mapped { at: range.start(), released })
    }

    /// `get_unmapped_area`: the addresses for `len` bytes, a multiple of the page size and not 0, and the first VMA that
    /// ends above where they begin.
    fn place(&self, place: Place, len: u64) -> Result<(VirtRange, Option<At>), MapError> {
        if len > TASK_SIZE - MMAP_MIN_ADDR {
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
            Place::Hint(at) => match self.hinted(at, len) {
                Some(found) => found,
                None => self.search(len, PAGE_SIZE, 0)?,
            },
            Place::Anywhere { align, offset } => self.search(len, align, offset)?,
        };
        let range = VirtRange::new(VirtAddr::new(start), VirtAddr::new(start + len)).ok_or(MapError::OutOfMemory)?;
        Ok((range, behind))
    }

    /// The hint, rounded to pages and up to the lowest address, if there is room without touching anybody's guard.
    fn hinted(&self, at: VirtAddr, len: u64) -> Option<Found> {
        let hint = at.align_down(PAGE_SIZE).get();
        if hint == 0 {
            return None;
        }
        let start = hint.max(MMAP_MIN_ADDR);
        if start > TASK_SIZE - len {
            return None;
        }
        let next = self.vmas.find(start);
        let prev = self.vmas.before(next);
        let below = next.is_none_or(|at| start + len <= self.vmas.vma(at).guarded_start());
        let above = prev.is_none_or(|at| start >= self.vmas.vma(at).guarded_end());
        (below && above).then_some(Found { start, behind: next })
    }

    /// Down from `mmap_base`; where nothing is left there, up from `TASK_UNMAPPED_BASE`.
    pub(super) fn search(&self, len: u64, align: u64, offset: u64) -> Result<Found, OutOfMemory> {
        let down = Room { len, low: MMAP_MIN_ADDR, high: self.mmap_base, align, offset };
        let up = Room { low: UNMAPPED_BASE, high: TASK_SIZE, ..down };
        self.vmas.highest(&down).or_else(|| self.vmas.lowest(&up)).ok_or(OutOfMemory)
    }

    /// `find_vma_intersection`: the first VMA that shares an address with `start..end`.
    pub(super) fn first_in(&self, start: u64, end: u64) -> Option<At> {
        self.vmas.find(start).filter(|at| self.vmas.vma(*at).start().get() < end)
    }

    /// `vma_merge`, else `insert_vm_struct`: adds a VMA where none is, before `behind`. A node was reserved.
    pub(super) fn insert(&mut self, vma: Vma<B>, behind: Option<At>) {
        let prev = self.vmas.before(behind).filter(|at| {
            let prev = self.vmas.vma(*at);
            prev.end() == vma.start() && prev.merges_with(&vma)
        });
        let next = behind.filter(|at| {
            let next = self.vmas.vma(*at);
            vma.end() == next.start() && vma.merges_with(next)
        });
        match (prev, next) {
            (None, None) => {
                self.vmas.insert(vma, behind);
            }
            // What is added has no pages: the mark of who takes it in stays true.
            (Some(prev), None) => self.stretch(prev, self.vmas.vma(prev).start(), vma.end()),
            (None, Some(next)) => self.stretch(next, vma.start(), self.vmas.vma(next).end()),
            (Some(prev), Some(next)) => {
                let end = self.vmas.vma(next).end();
                let touched = self.vmas.vma(next).touched;
                self.vmas.vma_mut(prev).touched |= touched;
                self.vmas.remove(next);
                self.stretch(prev, self.vmas.vma(prev).start(), end);
            }
        }
    }

    /// Gives a VMA other ends. Its place in the order stays.
    pub(super) fn stretch(&mut self, at: At, start: VirtAddr, end: VirtAddr) {
        if let Some(range) = VirtRange::new(start, end) {
            self.vmas.set_range(at, range);
        }
    }
}

/// The checks of a fixed address, in Linux's order.
fn fixed(at: VirtAddr, len: u64) -> Result<u64, MapError> {
    if at.get() > TASK_SIZE - len {
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
