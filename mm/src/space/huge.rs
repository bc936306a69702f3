//! Blocks of 2 MiB behind faults: anonymous memory (`do_huge_pmd_anonymous_page`), and files that lie so (`dax_pmd_fault`).

use units::{ByteLen, HUGE_SIZE, PhysAddr, VirtAddr, VirtRange};

use super::Access;
use super::fault::Faulting;
use super::protect::rights;
use crate::desc::{Level, Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, PageOf};
use crate::table::Tables;
use crate::vma::{Kind, Vma, VmaFlags};

/// Maps a block where one fits and nothing is yet. `None`: none does, or no memory is left for one, and the page at `page` is
/// served by itself.
pub(super) fn touch_block<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    at: &Faulting<'_, B>,
    page: VirtAddr,
    access: Access,
) -> Option<Owner> {
    let range = block_of(at.vma, page)?;
    if !tables.no_block_nor_table(page) {
        return None;
    }
    match (&at.vma.kind, access) {
        (Kind::Anonymous, Access::Write) => anonymous(tables, at, range),
        (Kind::File(file) | Kind::Shared(file), Access::Read) => of_file(tables, at.vma, file, range),
        _ => None,
    }
}

/// The block around `page`, where its VMA may have one. Stacks grow page by page; code is made executable page by page.
fn block_of<B>(vma: &Vma<B>, page: VirtAddr) -> Option<VirtRange> {
    let unwanted = VmaFlags::NO_HUGE_PAGE | VmaFlags::GROWS_DOWN;
    if vma.flags.intersects(unwanted) || vma.prot.contains(Prot::EXEC) || vma.range().len().get() < HUGE_SIZE {
        return None;
    }
    let range = VirtRange::with_len(page.align_down(HUGE_SIZE), ByteLen::new(HUGE_SIZE))?;
    vma.range().covers(range).then_some(range)
}

fn anonymous<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    at: &Faulting<'_, B>,
    range: VirtRange,
) -> Option<Owner> {
    let first = tables.frames().alloc_huge().ok()?;
    at.born_block(tables.frames(), first, range.start());
    let rights = rights(at.vma.prot, Owner::Tree);
    if tables.map(range, first.base(), rights, Owner::Tree, Level::Pmd).is_err() {
        crate::page::block_unmapped(tables.frames(), first);
        return None;
    }
    Some(Owner::Tree)
}

/// Read-only: the first store splits it, and asks the file about one page.
fn of_file<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    vma: &Vma<B>,
    file: &B,
    range: VirtRange,
) -> Option<Owner> {
    let run = file.run(vma.index(range.start()), Level::Pmd.pages());
    let PageOf::Frame(frame) = run.page else { return None };
    let at: PhysAddr = frame.base();
    if run.count < Level::Pmd.pages() || !at.is_aligned(HUGE_SIZE) {
        return None;
    }
    let rights = rights(vma.prot, Owner::Other);
    tables.map(range, at, rights, Owner::Other, Level::Pmd).ok()?;
    Some(Owner::Other)
}
