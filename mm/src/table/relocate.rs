//! Moving leaves to other addresses (`move_page_tables`), frames and all.

use core::sync::atomic::Ordering;

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::{Leaf, Tables, count_up, load, store};
use crate::desc::{Desc, ENTRIES, Level};
use crate::seams::{Frames, Mmu, OutOfMemory};

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Whatever is mapped in `from` is remembered from `to` on instead, where nothing is, and can be touched nowhere until
    /// [`revive`](Self::revive). The two ranges do not overlap. Fails before anything has changed.
    ///
    /// First every place where something will stand gets its tables and an entry that is not valid; that is what can
    /// fail. Then the old ones go as in `unmap`, and each is written to its new place as the hardware left it.
    pub fn relocate(&mut self, from: VirtRange, to: VirtAddr) -> Result<(), OutOfMemory> {
        if from.is_empty() {
            return Ok(());
        }
        let delta = to.get().wrapping_sub(from.start().get());
        self.split_edges(from)?;
        self.split_larger(from, delta)?;
        let moved = |leaf: &Leaf| VirtAddr::new(leaf.va.get().wrapping_add(delta));
        let mut at = from.start();
        while let Some(leaf) = self.next_leaf(at, from.end()) {
            if self.reserve_entry(moved(&leaf), leaf).is_err() {
                self.forget_reserved(from, at, delta);
                return Err(OutOfMemory);
            }
            at = VirtAddr::new(leaf.va.get() + leaf.level.size());
        }
        let (first, last) = (from.start().get(), from.end().get() - 1);
        self.break_all(first, last).flush_into(|tables, leaf| tables.write_reserved(moved(&leaf), leaf));
        Ok(())
    }

    /// Makes what [`relocate`](Self::relocate) brought to `range` valid, and publishes it.
    pub fn revive(&mut self, range: VirtRange) {
        let mut at = range.start();
        while let Some(leaf) = self.next_leaf(at, range.end()) {
            if let Ok(slot) = self.ensure(leaf.va, leaf.level) {
                store(slot.entry, leaf.desc.with_attributes(leaf.desc.attributes()));
            }
            at = VirtAddr::new(leaf.va.get() + leaf.level.size());
        }
        self.mmu.publish();
    }

    /// Splits what cannot keep its size `delta` further up.
    fn split_larger(&mut self, range: VirtRange, delta: u64) -> Result<(), OutOfMemory> {
        let mut at = range.start();
        while let Some(leaf) = self.next_leaf(at, range.end()) {
            if leaf.level != Level::Pte && delta & (leaf.level.size() - 1) != 0 {
                self.split(leaf)?;
                continue;
            }
            at = VirtAddr::new(leaf.va.get() + leaf.level.size());
        }
        Ok(())
    }

    fn reserve_entry(&self, va: VirtAddr, leaf: Leaf) -> Result<(), OutOfMemory> {
        let slot = self.ensure(va, leaf.level).map_err(|_| OutOfMemory)?;
        store(slot.entry, leaf.desc.without_valid());
        count_up(slot.parent, 1);
        Ok(())
    }

    /// What the hardware has noted in the old entry until it went is kept.
    fn write_reserved(&self, va: VirtAddr, leaf: Leaf) {
        if let Ok(slot) = self.ensure(va, leaf.level) {
            slot.entry.store(leaf.desc.without_valid().bits(), Ordering::Release);
        }
    }

    /// Takes back what was reserved for the leaves before `until`.
    fn forget_reserved(&mut self, from: VirtRange, until: VirtAddr, delta: u64) {
        let first = from.start().get().wrapping_add(delta);
        let last = until.get().wrapping_add(delta);
        if last > first {
            self.break_all(first, last - 1).flush_with(|_| {});
        }
        self.prune(VirtAddr::new(last));
    }

    /// The first leaf at or above `at` and below `end`, valid or not. Passes over tables that are not there.
    #[inline]
    pub fn next_leaf(&self, at: VirtAddr, end: VirtAddr) -> Option<Leaf> {
        let mut va = at.get();
        while va < end.get() {
            let mut level = Level::Pgd;
            let mut table = self.frames.table(self.root);
            loop {
                let desc: Desc = load(&table[level.index(VirtAddr::new(va))]);
                match level.next() {
                    Some(next) if desc.is_table(level) => {
                        table = self.frames.table(desc.pfn());
                        level = next;
                    }
                    _ if desc.is_none() => break,
                    _ => return Some(Leaf { va: VirtAddr::new(va).align_down(level.size()), level, desc }),
                }
            }
            // The rest of an absent entry holds nothing; neighbours in the same table are looked at one by one.
            let skip = |va: u64| (va | (level.size() - 1)).checked_add(1);
            let mut next = skip(va)?;
            let mut index = level.index(VirtAddr::new(next));
            while index != 0 && next < end.get() && load(&table[index]).is_none() {
                next = skip(next)?;
                index = level.index(VirtAddr::new(next));
            }
            va = next;
        }
        None
    }

    /// Where in `range` so many pages have been met, to whole tables of pages. A block counts as the time does that it takes
    /// to let go of one.
    pub(crate) fn end_of_pages(&self, range: VirtRange, pages: u64) -> VirtAddr {
        const BLOCK: u64 = 64;
        let (mut at, mut met) = (range.start(), 0);
        while let Some(leaf) = self.next_leaf(at, range.end()).filter(|_| met < pages) {
            let level = leaf.level.min(Level::Pmd);
            let table = self.descend(leaf.va.get(), leaf.va.get() | (PAGE_SIZE - 1));
            let counted = table.upwards().next().map(|(_, entry)| load(entry)).filter(|_| leaf.level == Level::Pte);
            met += counted.map_or(BLOCK, |table| if table.is_counted() { table.count() } else { ENTRIES as u64 });
            at = VirtAddr::new((leaf.va.get() | (level.size() - 1)) + 1);
        }
        if met < pages { range.end() } else { at.min(range.end()) }
    }
}
