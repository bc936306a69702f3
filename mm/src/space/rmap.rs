//! The reverse maps of one space: where it shows a page of a program's own (`rmap_walk_anon`), and taking pages of a file
//! away or exchanging them under it (`unmap_mapping_range`, `pfn_mkclean_range`).

use units::{HUGE_SIZE, PAGE_SHIFT, PAGE_SIZE, Pfn, VirtAddr, VirtRange};

use super::AddressSpace;
use super::protect::rights_of;
use crate::anon::AnonVma;
use crate::desc::{Attributes, Owner};
use crate::seams::{Backing, Frames, Mapper, Mmu, OutOfMemory, PageOf};
use crate::table::Leaf;
use crate::vma::{Kind, Vma};

/// What a file takes away from those who map it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoke {
    /// The pages: the next touch asks the file again. Copies that a program made of a private mapping stay.
    Pages,
    /// The pages, and the copies of private mappings too: the file was cut off there (`unmap_mapping_range` with
    /// `even_cows`).
    Everything,
    /// The right to store: the next store asks the file again.
    Stores,
    /// That they were stored to: the pages are clean, and their descriptors know which were not (`pfn_mkclean_range`). Blocks of
    /// which that is a part become clean as a whole. In shared mappings.
    Dirt,
    /// Nothing but the place: each page that is mapped shows the frame that the file has for it now.
    OldFrames,
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `anon_vma`: who else may map the pages of this program.
    pub fn anon_vma(&self) -> &AnonVma {
        &self.family
    }

    /// `rmap_walk_anon`, as far as this space goes: shows `each` every address at which `frame`, a page of the family with
    /// this number, is mapped here.
    pub fn each_mapping_of(&self, frame: Pfn, index: u64, mut each: impl FnMut(VirtAddr)) {
        let mut check = |vma: &Vma<B>| {
            let Some(va) = vma.anon_address(index) else { return };
            let leaf = self.tables.walk(va).filter(|leaf| leaf.desc.owner() == Owner::Tree);
            if leaf.is_some_and(|leaf| leaf.translate(va).pfn() == frame) {
                each(va);
            }
        };
        let direct = index.checked_mul(PAGE_SIZE).map(VirtAddr::new);
        if let Some(vma) = direct.and_then(|va| self.find_vma(va)).filter(|vma| vma.shift == 0) {
            check(vma);
        }
        self.moved.showing(index, 1, |mapper| {
            if let Some(vma) = self.find_vma(mapper.start) {
                check(vma);
            }
        });
    }

    /// Takes `what` away from the pages of a file that lie at `first..first + count` in it, in the VMA that `mapper` says, if
    /// it still is there and shows them; `is_file` knows the file. They are out of every TLB when this returns.
    ///
    /// # Errors
    /// [`OutOfMemory`] to split a block, or for the tables of an exchange; what lies before has changed. Never where pages, or
    /// stores to them, are taken away from a shared mapping: it loses all of a block that cannot be split.
    pub fn revoke(
        &mut self,
        mapper: Mapper,
        is_file: impl Fn(&B) -> bool,
        first: u64,
        count: u64,
        what: Revoke,
    ) -> Result<(), OutOfMemory> {
        let Some(at) = self.vmas.find(mapper.start.get()) else { return Ok(()) };
        let vma = self.vmas.vma(at);
        let same = vma.start() == mapper.start && vma.backing().is_some_and(is_file);
        if mapper.space != self.id || !same || vma.kind.is_peek() || !vma.touched {
            return Ok(());
        }
        let Some(mut range) = shown(vma, first, count) else { return Ok(()) };
        let whole = if vma.kind.is_shared() { in_blocks(vma, range) } else { range };
        if matches!(what, Revoke::Pages | Revoke::Stores) && self.tables.split_edges(range).is_err() {
            range = whole;
        }
        match what {
            Revoke::Everything => self.tables.zap(range)?,
            Revoke::Pages => self.zap_file_pages(range)?,
            Revoke::Stores => self.protect_from_stores(at, range)?,
            // No block reaches out of these, so nothing is split.
            Revoke::Dirt => self.clean(whole, |_, _, _| {})?,
            Revoke::OldFrames => self.exchange_frames(at, range)?,
        }
        Ok(())
    }

    /// [`revoke`](Self::revoke) for every VMA that shows the file: where there are more than the file cares to name.
    ///
    /// # Errors
    /// As there.
    pub fn revoke_everywhere(
        &mut self,
        is_file: impl Fn(&B) -> bool,
        first: u64,
        count: u64,
        what: Revoke,
    ) -> Result<(), OutOfMemory> {
        let mut next = self.vmas.first();
        while let Some(at) = next {
            next = self.vmas.next(at);
            let mapper = self.mapper(self.vmas.vma(at));
            self.revoke(mapper, &is_file, first, count, what)?;
        }
        Ok(())
    }

    /// Pages that are the program's own stay.
    fn zap_file_pages(&mut self, range: VirtRange) -> Result<(), OutOfMemory> {
        self.tables.split_edges(range)?;
        let mut start = range.start();
        while let Some(leaf) = self.tables.next_leaf(start, range.end()) {
            let end = VirtAddr::new(leaf.va.get() + leaf.level.size());
            if leaf.desc.owner() == Owner::Other
                && let Some(run) = self.run_of_others(leaf, range.end())
            {
                start = run.end();
                self.tables.zap(run)?;
            } else {
                start = end;
            }
        }
        Ok(())
    }

    /// The addresses from `first` on up to the next page of the program's own, or `end`.
    fn run_of_others(&self, first: Leaf, end: VirtAddr) -> Option<VirtRange> {
        let mut last = VirtAddr::new(first.va.get() + first.level.size());
        while let Some(leaf) = self.tables.next_leaf(last, end) {
            if leaf.desc.owner() == Owner::Tree {
                return VirtRange::new(first.va, leaf.va);
            }
            last = VirtAddr::new(leaf.va.get() + leaf.level.size());
        }
        VirtRange::new(first.va, end.max(last))
    }

    fn protect_from_stores(&mut self, at: crate::tree::At, range: VirtRange) -> Result<(), OutOfMemory> {
        let prot = self.vmas.vma(at).prot;
        if prot.is_empty() {
            return Ok(());
        }
        self.tables.protect(range, |frames, leaf| Some(rights_of(frames, prot, leaf)))
    }

    /// By break-before-make, page by page: nobody sees anything but the old page or the new one.
    fn exchange_frames(&mut self, at: crate::tree::At, range: VirtRange) -> Result<(), OutOfMemory> {
        let mut start = range.start();
        while let Some(leaf) = self.tables.next_leaf(start, range.end()) {
            let page = leaf.va.max(start);
            start = VirtAddr::new(page.get() + PAGE_SIZE);
            if leaf.desc.owner() == Owner::Tree {
                continue;
            }
            let vma = self.vmas.vma(at);
            let Some(file) = vma.backing() else { continue };
            let new = match file.page(vma.index(page)) {
                PageOf::Frame(frame) => frame,
                PageOf::Zero => self.tables.frames().zero_page(),
                PageOf::Beyond | PageOf::Unprepared | PageOf::Poisoned => {
                    self.tables.zap(VirtRange::new(page, start).ok_or(OutOfMemory)?)?;
                    continue;
                }
            };
            if leaf.translate(page).pfn() != new && leaf.desc.is_valid() {
                let rights = Attributes::user(vma.prot.difference(crate::desc::Prot::WRITE));
                self.tables.replace_page(page, new, rights, Owner::Other).map_err(|_| OutOfMemory)?;
            }
        }
        Ok(())
    }
}

/// `range` of `vma`, and the blocks of 2 MiB in it that it cuts: no larger one is ever shared.
fn in_blocks<B>(vma: &Vma<B>, range: VirtRange) -> VirtRange {
    let start = range.start().align_down(HUGE_SIZE).max(vma.start());
    let end = range.end().align_up(HUGE_SIZE).map_or(vma.end(), |end| end.min(vma.end()));
    VirtRange::new(start, end).unwrap_or(range)
}

/// The addresses at which `vma` shows pages `first..first + count` of its file.
fn shown<B>(vma: &Vma<B>, first: u64, count: u64) -> Option<VirtRange> {
    let (own, pages) = vma.interval();
    let (low, high) = (first.max(own), first.saturating_add(count).min(own.saturating_add(pages)));
    let address = |index: u64| VirtAddr::new(vma.start().get() + ((index - own) << PAGE_SHIFT));
    (low < high && !matches!(vma.kind, Kind::Anonymous)).then(|| VirtRange::new(address(low), address(high)))?
}
