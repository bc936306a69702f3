//! `munmap`: frames first, then VMAs, then what was behind them. As a whole, or in pieces, between which others may run: each
//! is a `munmap` of its own, from the lowest address up, so that a program never finds anything but what was there, or nothing.

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

/// Pages that go at a time, where others are to run in between.
pub(super) const PIECE: u64 = 1024;
/// VMAs that do.
const PIECE_VMAS: usize = 64;

/// The checks of `munmap`: the pages of `len` bytes from `start` on.
///
/// # Errors
/// [`UnmapError::Invalid`].
#[inline]
pub fn unmap_range(start: VirtAddr, len: u64) -> Result<VirtRange, UnmapError> {
    if !start.is_aligned(PAGE_SIZE) || start.get() > TASK_SIZE || len > TASK_SIZE - start.get() {
        return Err(UnmapError::Invalid);
    }
    let len = page_align(len).filter(|len| *len > 0).ok_or(UnmapError::Invalid)?;
    VirtRange::with_len(start, units::ByteLen::new(len)).ok_or(UnmapError::Invalid)
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
    #[inline]
    pub fn unmap(&mut self, start: VirtAddr, len: u64) -> Result<Released<B>, UnmapError> {
        Ok(self.remove_range(unmap_range(start, len)?)?)
    }

    /// The same for what [`unmap_range`] made, but if it is much only for the beginning of it: answers what is left, for the
    /// caller's next call, when others have had the lock. Only the first call fails, as [`unmap`](Self::unmap) would. What was
    /// behind the mappings goes to `released`, which the caller drops first.
    ///
    /// # Errors
    /// [`UnmapError::OutOfMemory`].
    pub fn unmap_piece(
        &mut self,
        range: VirtRange,
        released: &mut Released<B>,
    ) -> Result<Option<VirtRange>, UnmapError> {
        if range.len().get() <= PIECE * PAGE_SIZE {
            self.remove_into(range, released)?;
            return Ok(None);
        }
        let end = self.piece_end(range)?;
        let cut = VirtRange::new(range.start(), end).zip(VirtRange::new(end, range.end()));
        let (piece, left) = cut.ok_or(UnmapError::Invalid)?;
        self.remove_into(piece, released)?;
        Ok(Some(left).filter(|left| !left.is_empty()))
    }

    /// Where the first piece of `range` ends. Afterwards it can go without a node of the tree or a table, and so can the rest.
    fn piece_end(&mut self, range: VirtRange) -> Result<VirtAddr, OutOfMemory> {
        let Some(first) = self.first_in(range.start().get(), range.end().get()) else { return Ok(range.end()) };
        let vma = self.vmas.vma(first);
        if vma.range().covers(range) && !vma.touched {
            return Ok(range.end());
        }
        self.tables.split_edges(range)?;
        if self.vmas.vma(first).start() < range.start() {
            // Of a VMA the lower part could not stay while the upper goes from its own beginning on.
            if self.room_for(2).is_err() || self.vmas.reserve(2).is_err() {
                return Ok(range.end());
            }
            self.split_vma(first, range.start(), NewHalf::Below)?;
        }
        let mut vmas = core::iter::successors(Some(first), |at| self.vmas.next(*at));
        let behind = vmas.nth(PIECE_VMAS).map(|at| self.vmas.vma(at).start());
        let end = behind.map_or(range.end(), |start| start.min(range.end()));
        Ok(VirtRange::new(range.start(), end).map_or(end, |part| self.tables.end_of_pages(part, PIECE)))
    }

    /// Takes everything in `range` away, or changes nothing.
    pub(super) fn remove_range(&mut self, range: VirtRange) -> Result<Released<B>, OutOfMemory> {
        let mut released = Released::none();
        self.remove_into(range, &mut released)?;
        Ok(released)
    }

    /// The same; what was behind it goes to `released`.
    pub(super) fn remove_into(&mut self, range: VirtRange, released: &mut Released<B>) -> Result<(), OutOfMemory> {
        let Some(first) = self.first_in(range.start().get(), range.end().get()) else {
            return Ok(());
        };
        if self.vmas.vma(first).range() == range {
            return self.remove_whole(first, released);
        }
        let Found { backings, touched } = self.look_over(first, range);
        released.make_room(backings)?;
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
            self.cut(this, range, released);
        }
        Ok(())
    }

    /// The same for one VMA as it is: most of what is unmapped.
    fn remove_whole(&mut self, at: At, released: &mut Released<B>) -> Result<(), OutOfMemory> {
        released.make_room(1)?;
        let vma = self.vmas.vma(at);
        let (range, flags) = (vma.range(), vma.flags());
        if vma.touched {
            self.tables.zap(range)?;
        }
        self.count_out(flags, range.len().get() >> PAGE_SHIFT);
        if let Some(backing) = self.vma_unlink(at) {
            released.push(backing);
        }
        Ok(())
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
