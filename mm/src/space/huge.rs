//! Blocks of 2 MiB behind faults: anonymous memory (`do_huge_pmd_anonymous_page`), and files that lie so (`dax_pmd_fault`).

use units::{ByteLen, HUGE_SIZE, PhysAddr, VirtAddr, VirtRange};

use super::Access;
use super::fault::Faulting;
use super::protect::rights;
use crate::desc::{Attributes, Level, Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory, PageOf};
use crate::table::{Leaf, Tables};
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
        (Kind::File(file) | Kind::Shared(file), Access::Read) => {
            of_file(tables, at.vma, file, range, rights(at.vma.prot, Owner::Other))
        }
        (Kind::Shared(file), Access::Write) => {
            let first = block_behind(at.vma, file, range)?;
            let may = file.may_store(at.vma.index(range.start()), Level::Pmd.pages());
            may.then(|| map_block(tables, range, first, Attributes::shared(at.vma.prot)))?
        }
        _ => None,
    }
}

impl<B: Backing> Vma<B> {
    /// Whether a block may come to be mapped here (`thp_vma_allowable_order`).
    pub fn may_have_blocks(&self) -> bool {
        let first = self.start().align_up(HUGE_SIZE);
        first.is_some_and(|first| block_of(self, first).is_some())
    }
}

/// The block around `page`, where its VMA may have one. Stacks grow page by page; code is made executable page by page.
#[inline]
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
    if tables.frames().page(first).is_none() {
        // Nothing would count who maps it.
        tables.frames().free_huge(first);
        return None;
    }
    at.born_block(tables.frames(), first, range.start());
    let rights = rights(at.vma.prot, Owner::Tree);
    if tables.map(range, first.base(), rights, Owner::Tree, Level::Pmd).is_err() {
        crate::page::block_unmapped(tables.frames(), first);
        return None;
    }
    Some(Owner::Tree)
}

/// Read-only: the first store splits it and asks the file about one page, unless the file allows stores to all of it.
fn of_file<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    vma: &Vma<B>,
    file: &B,
    range: VirtRange,
    rights: Attributes,
) -> Option<Owner> {
    let first = block_behind(vma, file, range)?;
    map_block(tables, range, first, rights)
}

/// Where the file lies behind all of `range`, if it does so in one block.
#[inline]
fn block_behind<B: Backing>(vma: &Vma<B>, file: &B, range: VirtRange) -> Option<PhysAddr> {
    let run = file.run(vma.index(range.start()), Level::Pmd.pages());
    let PageOf::Frame(frame) = run.page else { return None };
    (run.count >= Level::Pmd.pages()).then_some(frame.base()).filter(|at| at.is_aligned(HUGE_SIZE))
}

fn map_block<F: Frames, U: Mmu>(
    tables: &mut Tables<F, U>,
    range: VirtRange,
    at: PhysAddr,
    rights: Attributes,
) -> Option<Owner> {
    tables.map(range, at, rights, Owner::Other, Level::Pmd).ok()?;
    Some(Owner::Other)
}

/// The first store to a block that a shared mapping shows read-only (`dax_insert_pfn_mkwrite`): all of it may be stored to from
/// now on, if the file allows that. Else, and where it is no such block, `false`.
pub(super) fn store_to_block<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    vma: &Vma<B>,
    leaf: &Leaf,
) -> Result<bool, OutOfMemory> {
    let Kind::Shared(file) = &vma.kind else { return Ok(false) };
    let Some(range) = VirtRange::with_len(leaf.va, ByteLen::new(HUGE_SIZE)) else { return Ok(false) };
    if leaf.level != Level::Pmd || !vma.range().covers(range) {
        return Ok(false);
    }
    // The file may have replaced a block of it meanwhile; then what is there is about to be taken away.
    let same = block_behind(vma, file, range) == Some(leaf.desc.address());
    if !same || !file.may_store(vma.index(leaf.va), Level::Pmd.pages()) {
        return Ok(false);
    }
    tables.protect(range, |_, _| Some(Attributes::shared(vma.prot)))?;
    Ok(true)
}
