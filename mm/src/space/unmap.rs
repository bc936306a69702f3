//! `munmap`: frames first, then VMAs, then what was behind them.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::adjust::NewHalf;
use super::{AddressSpace, Released, TASK_SIZE, page_align};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::At;

/// Why nothing was unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnmapError {
    /// `EINVAL`: a start inside a page, no length, or addresses no program has.
    Invalid,
    /// `ENOMEM`: a VMA would have to become two and there are too many, or no memory to split it.
    OutOfMemory,
}

impl From<OutOfMemory> for UnmapError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What lies in a range that is to go.
struct Found {
    /// How many files' mappings end with it.
    backings: usize,
    /// Whether there may be pages.
    touched: bool,
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Ends every mapping in `len` bytes (rounded up to pages) from `start`. Nothing being there is no error.
    pub fn unmap(&mut self, start: VirtAddr, len: u64) -> Result<Released<B>, UnmapError> {
        if !start.is_aligned(PAGE_SIZE) || start.get() > TASK_SIZE || len > TASK_SIZE - start.get() {
            return Err(UnmapError::Invalid);
        }
        let len = page_align(len).filter(|len| *len > 0).ok_or(UnmapError::Invalid)?;
        let range = VirtRange::with_len(start, units::ByteLen::new(len)).ok_or(UnmapError::Invalid)?;
        Ok(self.remove_range(range)?)
    }

    /// Takes everything in `range` away, or changes nothing.
    pub(super) fn remove_range(&mut self, range: VirtRange) -> Result<Released<B>, OutOfMemory> {
        let Some(first) = self.first_in(range.start().get(), range.end().get()) else {
            return Ok(Released::none());
        };
        if self.vmas.vma(first).range() == range {
            return self.remove_whole(first);
        }
        let Found { backings, touched } = self.look_over(first, range);
        let mut released = Released::with_room(backings)?;
        let vma = self.vmas.vma(first).range();
        let hole = vma.start() < range.start() && range.end() < vma.end();
        if hole {
            self.room_for(1)?;
            if touched {
                self.tables.split_edges(range)?;
            }
            self.split_vma(first, range.end(), NewHalf::Above)?;
        }
        if touched {
            self.tables.zap(range)?;
        }
        let mut at = Some(first);
        while let Some(this) = at.filter(|at| self.vmas.vma(*at).start() < range.end()) {
            at = self.vmas.next(this);
            self.cut(this, range, &mut released);
        }
        Ok(released)
    }

    /// The same for one VMA as it is: most of what is unmapped.
    fn remove_whole(&mut self, at: At) -> Result<Released<B>, OutOfMemory> {
        let vma = self.vmas.vma(at);
        let (range, flags) = (vma.range(), vma.flags());
        if vma.touched {
            self.tables.zap(range)?;
        }
        self.count_out(flags, range.len().get() >> PAGE_SHIFT);
        Ok(Released::one(self.vma_unlink(at)))
    }

    fn look_over(&self, first: At, range: VirtRange) -> Found {
        let mut found = Found { backings: 0, touched: false };
        let mut at = Some(first);
        while let Some(this) = at {
            let vma = self.vmas.vma(this);
            if vma.start() >= range.end() {
                break;
            }
            found.backings += usize::from(vma.backing().is_some() && range.covers(vma.range()));
            found.touched |= vma.touched;
            at = self.vmas.next(this);
        }
        found
    }

    /// Takes `range` out of one VMA, of which nothing or one end remains.
    fn cut(&mut self, at: At, range: VirtRange, released: &mut Released<B>) {
        let vma = self.vmas.vma(at);
        let (whole, flags) = (vma.range(), vma.flags());
        let left = if whole.start() < range.start() {
            VirtRange::new(whole.start(), range.start())
        } else {
            VirtRange::new(range.end(), whole.end()).filter(|left| !left.is_empty())
        };
        let kept = left.map_or(0, |left| left.len().get());
        self.count_out(flags, (whole.len().get() - kept) >> PAGE_SHIFT);
        match left {
            Some(left) => self.move_ends(at, left.start(), left.end()),
            None => {
                if let Some(backing) = self.vma_unlink(at) {
                    released.push(backing);
                }
            }
        }
    }
}
