//! Fault-around (`do_fault_around`): who reads one page of a file will read the next, and its frame is there already.

use units::{PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr};

use super::protect::rights;
use crate::desc::{Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, PageOf, Run};
use crate::table::Tables;
use crate::vma::{Vma, VmaFlags};

/// Pages made at one fault (`fault_around_bytes`: 64 KiB), at a multiple of their number.
pub(super) const AROUND: u64 = 16;

/// Maps the file's pages around `page`, which was just mapped, as far as they are there and nothing is in their place. What
/// cannot be had is left to faults. Not for code, each page of which is to be made executable, nor where the program
/// said that it reads here and there.
pub(super) fn map_around<F: Frames, U: Mmu, B: Backing>(tables: &mut Tables<F, U>, vma: &Vma<B>, page: VirtAddr) {
    let Some(file) = vma.backing() else { return };
    if vma.flags.contains(VmaFlags::RANDOM) || vma.prot.contains(Prot::EXEC) {
        return;
    }
    let window = page.align_down(AROUND * PAGE_SIZE);
    let first = window.max(vma.start());
    let end = vma.end().min(VirtAddr::new(window.get() + AROUND * PAGE_SIZE));
    let count = (end.get() - first.get()) >> PAGE_SHIFT;
    if count < 2 {
        return;
    }
    let mut attributes = rights(vma.prot, Owner::Other);
    if tables.mmu().sets_access_flag() {
        attributes = attributes.old();
    }
    let index = vma.index(first);
    let mut run = Run { page: PageOf::Beyond, count: PageCount::new(0) };
    let mut begun = 0;
    let _ = tables.fill_around(first, count, |n| {
        if n >= begun + run.count.get() {
            begun = n;
            run = file.run(index + n, PageCount::new(count - n));
        }
        match run.page {
            PageOf::Frame(frame) => Some((units::Pfn::new(frame.get() + (n - begun)), attributes)),
            _ => None,
        }
    });
}
