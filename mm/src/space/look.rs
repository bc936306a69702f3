//! `mincore` and `msync`: questions about what is mapped, which change nothing of it.

use units::{PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use super::{AddressSpace, TASK_SIZE, page_align};
use crate::seams::{Backing, Frames, Mmu, PageOf};
use crate::vma::{Kind, Vma, VmaFlags};

/// Why `mincore` has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResidenceError {
    /// `EINVAL`: a start inside a page.
    Invalid,
    /// `ENOMEM`: something in the range is not mapped, or no program has such addresses.
    Unmapped,
}

/// Why `msync` stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncError {
    /// `EINVAL`: a start inside a page.
    Invalid,
    /// `ENOMEM`: the range passes the end of 64 bits.
    Unmapped,
    /// `EBUSY`: the pages are to be forgotten, and are locked.
    Locked,
}

/// What to do about the pages in memory (`MS_INVALIDATE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cached {
    /// They stay.
    Keep,
    /// They are to be forgotten; there are none but the file's own, so only locked ones matter.
    Invalidate,
}

/// One VMA of the range that `msync` means.
#[derive(Clone, Debug)]
pub struct SyncPart<B> {
    /// The addresses.
    pub range: VirtRange,
    /// Whether addresses before it are not mapped: `ENOMEM` in the end.
    pub after_hole: bool,
    /// The file that is shared there, to be made durable, and the page of it that comes first.
    pub file: Option<(B, u64)>,
}

/// The checks of `msync` before it looks at any VMA. `None`: nothing to do, success.
pub fn sync_range(start: VirtAddr, len: u64) -> Result<Option<VirtRange>, SyncError> {
    if !start.is_aligned(PAGE_SIZE) {
        return Err(SyncError::Invalid);
    }
    // Linux lets this sum begin at 0 again: a length that has no end is none.
    let len = page_align(len).unwrap_or(0);
    let end = start.get().checked_add(len).ok_or(SyncError::Unmapped)?;
    Ok(VirtRange::new(start, VirtAddr::new(end)).filter(|range| !range.is_empty()))
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `mincore`: tells `each`, page by page from `start` on, whether a touch would find the page in memory. A file's own
    /// pages always are.
    pub fn residence(&self, start: VirtAddr, len: u64, mut each: impl FnMut(bool)) -> Result<(), ResidenceError> {
        if !start.is_aligned(PAGE_SIZE) {
            return Err(ResidenceError::Invalid);
        }
        let end = page_align(len).and_then(|len| start.get().checked_add(len)).filter(|end| *end <= TASK_SIZE);
        let end = end.ok_or(ResidenceError::Unmapped)?;
        let mut page = start;
        while page.get() < end {
            let vma = self.find_vma(page).filter(|vma| vma.start() <= page).ok_or(ResidenceError::Unmapped)?;
            let last = vma.end().get().min(end);
            while page.get() < last {
                each(self.tables.walk(page).is_some_and(|leaf| leaf.desc.is_valid()) || in_file(vma, page));
                page = VirtAddr::new(page.get() + PAGE_SIZE);
            }
        }
        Ok(())
    }

    /// `msync`: the first VMA of `range` (of [`sync_range`]), for whose file the caller unlocks the space; then it comes
    /// again with what is left of the range. `None`: no VMA is left, which is `ENOMEM` unless the range is used up.
    pub fn sync_part(&self, range: VirtRange, cached: Cached) -> Result<Option<SyncPart<B>>, SyncError> {
        let Some(at) = self.first_in(range.start().get(), range.end().get()) else { return Ok(None) };
        let vma = self.vmas.vma(at);
        if cached == Cached::Invalidate && vma.flags().contains(VmaFlags::LOCKED) {
            return Err(SyncError::Locked);
        }
        let Some(part) = vma.range().intersection(range) else { return Ok(None) };
        let file = match &vma.kind {
            Kind::Shared(backing) => Some((backing.clone(), vma.index(part.start()))),
            _ => None,
        };
        Ok(Some(SyncPart { range: part, after_hole: part.start() > range.start(), file }))
    }
}

/// Whether `page` shows a page of a file, which is memory itself.
fn in_file<B: Backing>(vma: &Vma<B>, page: VirtAddr) -> bool {
    let run = vma.backing().map(|backing| backing.run(vma.index(page), PageCount::new(1)));
    run.is_some_and(|run| matches!(run.page, PageOf::Frame(_)))
}
