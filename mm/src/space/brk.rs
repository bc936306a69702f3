//! `brk`: the end of the heap.

use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::map::Apart;
use super::{AddressSpace, MAX_MAP_COUNT, Released, TASK_SIZE, page_align};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu};
use crate::vma::{Kind, Vma};

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Where the heap begins (`start_brk`), and for now ends: what `execve` decides.
    pub fn set_brk(&mut self, start: VirtAddr) {
        self.start_brk = start.get();
        self.brk = start.get();
    }

    /// `start_brk..brk`: the bytes of the heap.
    pub fn heap(&self) -> VirtRange {
        let start = VirtAddr::new(self.start_brk);
        VirtRange::new(start, VirtAddr::new(self.brk.max(self.start_brk)))
            .unwrap_or_else(|| unreachable!("the end was made no lower"))
    }

    /// Moves the end of the heap to `want` and returns where it is now: unmoved if `want` lies below the start, if
    /// something is in the way, or if memory is out. There is no error. Where `mlockall` holds for what is to come,
    /// [`populate`](Self::populate) is the caller's next call.
    pub fn brk(&mut self, want: VirtAddr) -> (VirtAddr, Released<B>) {
        let released = self.move_brk(want.get()).unwrap_or(Released::none());
        (VirtAddr::new(self.brk), released)
    }

    fn move_brk(&mut self, want: u64) -> Option<Released<B>> {
        if want < self.start_brk || want > TASK_SIZE {
            return None;
        }
        let (old, new) = (page_align(self.brk)?, page_align(want)?);
        let range = VirtRange::new(VirtAddr::new(old.min(new)), VirtAddr::new(old.max(new)))?;
        let released = if new < old { self.remove_range(range).ok()? } else { Released::none() };
        if new > old {
            self.grow_heap(range)?;
        }
        self.brk = want;
        Some(released)
    }

    /// `do_brk_flags`: adds `range` to the heap, if a page would remain free behind it.
    fn grow_heap(&mut self, range: VirtRange) -> Option<()> {
        let end = range.end().get();
        let pages = range.len().get() >> PAGE_SHIFT;
        let next = self.vmas.find(range.start().get());
        let blocked = next.is_some_and(|at| end + PAGE_SIZE > self.vmas.vma(at).guarded_start());
        let locked = self.new_flags.contains(crate::vma::VmaFlags::LOCKED) && !self.lockable(pages);
        if blocked || locked || end > TASK_SIZE || self.map_count() > MAX_MAP_COUNT {
            return None;
        }
        self.may_expand(pages).ok()?;
        self.map_region(Vma::new(range, Prot::RW, self.new_flags, 0, Kind::Anonymous), next, Apart::No).ok()
    }
}
