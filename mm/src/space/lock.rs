//! `mlock`, `mlock2`, `munlock`, `mlockall`, `munlockall`. Nothing here is ever swapped, so to be locked means: the pages
//! are made at once, they count against a limit, and `MADV_DONTNEED` is refused.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::{AddressSpace, TASK_SIZE, page_align};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::vma::{Look, VmaFlags};

/// Why nothing was locked, or not all of it: what lies before the fault is, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockError {
    /// `EPERM`: no locked memory is allowed at all.
    Forbidden,
    /// `ENOMEM`: more than is allowed.
    Limit,
    /// `EINVAL`: the range passes the end of 64 bits.
    Invalid,
    /// `ENOMEM`: something in the range is not mapped.
    Unmapped,
    /// `ENOMEM`: too many VMAs, or no memory for one.
    OutOfMemory,
}

impl From<OutOfMemory> for LockError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// When the pages are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockHow {
    /// At once: `mlock`.
    Now,
    /// At the first touch: `MLOCK_ONFAULT`, `MCL_ONFAULT`.
    OnFault,
}

impl LockHow {
    fn flags(self) -> VmaFlags {
        match self {
            Self::Now => VmaFlags::LOCKED,
            Self::OnFault => VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT,
        }
    }
}

/// What `mlockall` locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockAll {
    /// `MCL_CURRENT`.
    Current,
    /// `MCL_FUTURE`.
    Future,
    /// Both.
    Both,
}

/// The whole pages that hold `len` bytes from `start` on; `None`: nothing to do, success.
pub fn lock_range(start: VirtAddr, len: u64) -> Result<Option<VirtRange>, LockError> {
    let first = start.align_down(PAGE_SIZE);
    // Linux lets this sum begin at 0 again: a length that has no end locks nothing.
    let len = page_align(len.wrapping_add(start.page_offset())).unwrap_or(0);
    let end = first.get().checked_add(len).ok_or(LockError::Invalid)?;
    Ok(VirtRange::new(first, VirtAddr::new(end)).filter(|range| !range.is_empty()))
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Whether `pages` more may be locked (`mlock_future_ok`).
    pub(super) fn lockable(&self, pages: u64) -> bool {
        self.locked.saturating_add(pages) <= self.limits.locked >> PAGE_SHIFT || self.limits.locked == u64::MAX
    }

    /// `mlock`, `mlock2`: what `len` bytes from `start` on touch is locked from now on. [`LockHow::Now`] leaves the pages
    /// to [`populate`](Self::populate) of the range in the answer, the caller's next call; a page that cannot be had there is
    /// `EAGAIN` for want of memory, else `ENOMEM` (`__mlock_posix_error_return`).
    pub fn lock(&mut self, start: VirtAddr, len: u64, how: LockHow) -> Result<Option<VirtRange>, LockError> {
        if self.limits.locked == 0 {
            return Err(LockError::Forbidden);
        }
        let range = lock_range(start, len);
        if let Ok(Some(range)) = range {
            let pages = range.len().get() >> PAGE_SHIFT;
            if !self.lockable(pages) && !self.lockable(pages - self.locked_in(range)) {
                return Err(LockError::Limit);
            }
        }
        let Some(range) = range? else { return Ok(None) };
        self.set_lock(range, how.flags())?;
        Ok(Some(range))
    }

    /// `munlock`.
    pub fn unlock(&mut self, start: VirtAddr, len: u64) -> Result<(), LockError> {
        match lock_range(start, len)? {
            Some(range) => self.set_lock(range, VmaFlags::empty()),
            None => Ok(()),
        }
    }

    /// `mlockall`. Where what is there now is locked, [`populate`](Self::populate) of the range in the answer is the
    /// caller's next call.
    pub fn lock_all(&mut self, what: LockAll, how: LockHow) -> Result<Option<VirtRange>, LockError> {
        if self.limits.locked == 0 {
            return Err(LockError::Forbidden);
        }
        let pages = if what == LockAll::Future { 0 } else { self.total };
        if self.limits.locked != u64::MAX && pages > self.limits.locked >> PAGE_SHIFT {
            return Err(LockError::Limit);
        }
        self.new_flags = if what == LockAll::Current { VmaFlags::empty() } else { how.flags() };
        if what == LockAll::Future {
            return Ok(None);
        }
        self.lock_each(how.flags());
        Ok(VirtRange::new(VirtAddr::ZERO, VirtAddr::new(TASK_SIZE)))
    }

    /// Whether what is mapped from now on is locked (`mlockall(MCL_FUTURE)`), so that its pages are to be made at once; also of
    /// files that need no lock.
    pub fn locks_what_comes(&self) -> bool {
        self.new_flags.contains(VmaFlags::LOCKED)
    }

    /// `munlockall`.
    pub fn unlock_all(&mut self) {
        self.new_flags = VmaFlags::empty();
        self.lock_each(VmaFlags::empty());
    }

    /// Whole VMAs are neither split nor refused.
    fn lock_each(&mut self, locks: VmaFlags) {
        let mut at = self.vmas.first();
        while let Some(this) = at {
            let range = self.vmas.vma(this).range();
            // A whole VMA is not split, so this needs no memory.
            let _ = self.lock_piece(this, range, locks);
            at = self.vmas.find(range.end().get());
        }
    }

    /// `apply_vma_lock_flags`.
    pub(super) fn set_lock(&mut self, range: VirtRange, locks: VmaFlags) -> Result<(), LockError> {
        let mut start = range.start();
        while start < range.end() {
            let at = self.vmas.find(start.get()).filter(|at| self.vmas.vma(*at).start() <= start);
            let at = at.ok_or(LockError::Unmapped)?;
            let end = self.vmas.vma(at).end().min(range.end());
            if let Some(piece) = VirtRange::new(start, end) {
                self.lock_piece(at, piece, locks)?;
            }
            start = end;
        }
        Ok(())
    }

    /// `mlock_fixup`: `range` lies in the VMA at `at`. A peek is complete and cannot lose a page, and the
    /// medium's own pages are in memory: they stay as they are.
    fn lock_piece(&mut self, at: crate::tree::At, range: VirtRange, locks: VmaFlags) -> Result<(), OutOfMemory> {
        let vma = self.vmas.vma(at);
        let old = vma.look();
        let flags = (old.flags - VmaFlags::LOCKS) | locks;
        if flags == old.flags || vma.kind.is_peek() || vma.kind.is_dax() {
            return Ok(());
        }
        self.modify(at, range, Look { flags, ..old })?;
        let pages = range.len().get() >> PAGE_SHIFT;
        match (old.flags.contains(VmaFlags::LOCKED), locks.contains(VmaFlags::LOCKED)) {
            (false, true) => self.locked += pages,
            (true, false) => self.locked -= pages,
            _ => {}
        }
        Ok(())
    }

    /// `count_mm_mlocked_page_nr`.
    fn locked_in(&self, range: VirtRange) -> u64 {
        let mut pages = 0;
        let mut at = self.first_in(range.start().get(), range.end().get());
        while let Some(vma) = at.map(|at| self.vmas.vma(at)) {
            let Some(part) = vma.range().intersection(range) else { break };
            if vma.flags().contains(VmaFlags::LOCKED) {
                pages += part.len().get() >> PAGE_SHIFT;
            }
            at = at.and_then(|at| self.vmas.next(at));
        }
        pages
    }
}
