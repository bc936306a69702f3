//! `remap_file_pages`, as Linux has emulated it since 4.0: what was one nonlinear VMA (`VM_NONLINEAR`) is several ordinary
//! ones.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::AddressSpace;
use super::map::{MapError, Mapped, Place, Request, What};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu};
use crate::vma::{Kind, VmaFlags};

/// Why pages were not exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NonlinearError {
    /// `EINVAL`: no pages, past the end of anything, or not all in shared mappings of one file that follow each other.
    Invalid,
    /// As `mmap` with `MAP_FIXED` refuses.
    Map(MapError),
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `remap_file_pages`: the pages that hold `size` bytes from `start` on show the file from page `pgoff` on, with the rights
    /// they have. The caller populates the range next, if it was asked to (no `MAP_NONBLOCK`).
    pub fn remap_file_pages(&mut self, start: VirtAddr, size: u64, pgoff: u64) -> Result<Mapped<B>, NonlinearError> {
        let start = start.align_down(PAGE_SIZE);
        let size = size & !(PAGE_SIZE - 1);
        let end = start.get().checked_add(size).filter(|end| *end > start.get()).ok_or(NonlinearError::Invalid)?;
        pgoff.checked_add(size >> PAGE_SHIFT).ok_or(NonlinearError::Invalid)?;
        let range = VirtRange::new(start, VirtAddr::new(end)).ok_or(NonlinearError::Invalid)?;
        let vma = self.find_vma(start).filter(|vma| vma.start() <= start).ok_or(NonlinearError::Invalid)?;
        let Kind::Shared(backing) = vma.kind() else { return Err(NonlinearError::Invalid) };
        if !self.one_file(range) {
            return Err(NonlinearError::Invalid);
        }
        // As Linux maps it anew: what it was advised is forgotten, and landings too.
        let flags = vma.flags() & VmaFlags::LOCKED;
        let prot = vma.prot() & (Prot::READ | Prot::WRITE | Prot::EXEC);
        let what = What::Shared { backing: backing.clone(), pgoff };
        let request = Request { place: Place::Fixed(start), len: size, prot, flags, what };
        self.map(request).map_err(NonlinearError::Map)
    }

    /// Whether all of `range` is shared mappings of the file at its beginning, with one look, without a hole.
    fn one_file(&self, range: VirtRange) -> bool {
        let Some(mut at) = self.vmas.find(range.start().get()) else { return false };
        loop {
            let vma = self.vmas.vma(at);
            if vma.end() >= range.end() {
                return true;
            }
            let Some(next) = self.vmas.next(at) else { return false };
            let behind = self.vmas.vma(next);
            let same = match (&vma.kind, &behind.kind) {
                (Kind::Shared(one), Kind::Shared(other)) => one.same(other),
                _ => false,
            };
            if !same || behind.start() != vma.end() || behind.look() != vma.look() {
                return false;
            }
            at = next;
        }
    }
}
