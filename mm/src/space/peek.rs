//! `peek` and `unpeek`: a file as it is now, mapped at once and never again changed.

use units::{FileOff, HUGE_SIZE, PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use super::{AddressSpace, MAX_MAP_COUNT, Released};
use crate::desc::{Attributes, Level, Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory, PageOf};
use crate::table::TableError;
use crate::tree::Found;
use crate::vma::{Kind, PEEK_GUARD_GAP, Peek, Vma, VmaFlags};

/// Why there is no peek.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeekError {
    /// `EINVAL`: no length, or the range passes the end of 64 bits.
    Invalid,
    /// `ENOMEM`: no room, too many VMAs, or no memory for tables.
    OutOfMemory,
}

impl From<OutOfMemory> for PeekError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// `EINVAL`: the pointer is none that `peek` returned, or its page has gone since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotPeeked;

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Maps the pages that hold `len` bytes of the file from `offset` on, and returns the pointer to the first byte.
    /// Pages past the end of the file stay empty; a touch there is [`Beyond`](super::FaultError::Beyond) for ever.
    pub fn peek(&mut self, backing: B, offset: FileOff, len: u64) -> Result<VirtAddr, PeekError> {
        let end = offset.get().checked_add(len).filter(|_| len > 0).ok_or(PeekError::Invalid)?;
        let first = offset.align_down(PAGE_SIZE);
        let size = FileOff::new(end).align_up(PAGE_SIZE).ok_or(PeekError::Invalid)?.get() - first.get();
        if self.map_count() > MAX_MAP_COUNT {
            return Err(PeekError::OutOfMemory);
        }
        self.may_expand(size >> PAGE_SHIFT)?;
        self.vmas.reserve(1)?;
        // Congruent to the file, so that blocks which are aligned in it are aligned here.
        let align = if size >= HUGE_SIZE { HUGE_SIZE } else { PAGE_SIZE };
        let room = size.checked_add(PEEK_GUARD_GAP).ok_or(PeekError::OutOfMemory)?;
        let Found { start, behind } = self.search(room, align, first.get() & (align - 1))?;
        let start = VirtAddr::new(start);
        let range = VirtRange::new(start, VirtAddr::new(start.get() + size)).ok_or(PeekError::OutOfMemory)?;
        let pgoff = first.get() >> PAGE_SHIFT;
        if self.map_runs(&backing, range, pgoff).is_err() {
            self.tables.zap(range)?;
            return Err(PeekError::OutOfMemory);
        }
        self.peeks += 1;
        let pointer = VirtAddr::new(start.get() + offset.page_offset());
        let peek = Peek { pointer, end: range.end(), serial: self.peeks };
        let bias = pgoff.wrapping_sub(start.get() >> PAGE_SHIFT);
        let kind = Kind::Peek(backing, peek);
        let vma = Vma { touched: true, ..Vma::new(range, Prot::READ, VmaFlags::empty(), bias, kind) };
        if self.vma_link(vma, behind).is_err() {
            self.tables.zap(range)?;
            return Err(PeekError::OutOfMemory);
        }
        self.count_in(VmaFlags::empty(), size >> PAGE_SHIFT);
        Ok(pointer)
    }

    /// Maps all of `range` to the backing's frames, in the largest entries that fit.
    fn map_runs(&mut self, backing: &B, range: VirtRange, pgoff: u64) -> Result<(), TableError> {
        let pages = range.len().get() >> PAGE_SHIFT;
        let attributes = Attributes::user(Prot::READ);
        let mut done = 0;
        while done < pages {
            let run = backing.run(pgoff + done, PageCount::new(pages - done));
            let count = run.count.get().clamp(1, pages - done);
            let start = VirtAddr::new(range.start().get() + (done << PAGE_SHIFT));
            let part = VirtRange::new(start, VirtAddr::new(start.get() + (count << PAGE_SHIFT)));
            let part = part.ok_or(TableError::Unaligned)?;
            match run.page {
                PageOf::Frame(frame) => self.tables.map(part, frame.base(), attributes, Owner::Other, Level::Pud)?,
                PageOf::Zero => {
                    let zero = self.tables.frames().zero_page();
                    self.tables.map_same(part, zero, attributes)?;
                }
                // The kernel refuses a peek of bad blocks; of one that went bad since, a touch is SIGBUS.
                PageOf::Beyond | PageOf::Unprepared | PageOf::Poisoned => {}
            }
            done += count;
        }
        Ok(())
    }

    /// Ends the peek that returned `pointer`, as far as it still is where it was.
    pub fn unpeek(&mut self, pointer: VirtAddr) -> Result<Released<B>, NotPeeked> {
        let at = self.vmas.find(pointer.get()).ok_or(NotPeeked)?;
        let vma = self.vmas.vma(at);
        let peek = match vma.kind {
            Kind::Peek(_, peek) if vma.range.contains(pointer) && peek.pointer == pointer => peek,
            _ => return Err(NotPeeked),
        };
        let mut released = Released::none();
        let mut at = Some(at);
        while let Some(this) = at.filter(|at| self.vmas.vma(*at).start() < peek.end) {
            at = self.vmas.next(this);
            let vma = self.vmas.vma(this);
            if !matches!(vma.kind, Kind::Peek(_, part) if part == peek) {
                continue;
            }
            // Both ends of a VMA are ends of leaves: nothing is split, so nothing can fail.
            let _ = self.tables.zap(vma.range);
            let (flags, pages) = (vma.flags(), vma.pages());
            self.count_out(flags, pages.get());
            // All parts hold clones of one promise; one of them is enough to release it.
            if let (Some(backing), true) = (self.vma_unlink(this), released.is_empty()) {
                released.push(backing);
            }
        }
        Ok(released)
    }
}
