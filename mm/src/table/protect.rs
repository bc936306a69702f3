//! Changing what leaves allow, and making blocks smaller.

use core::sync::atomic::{AtomicU64, Ordering};

use units::{Pfn, VirtAddr, VirtRange};

use super::collapse::check_changeable;
use super::{Blocked, Changed, Leaf, Tables, load, store};
use crate::desc::{Attributes, Desc, ENTRIES, Level, Owner};
use crate::page;
use crate::seams::{Frames, Mmu, OutOfMemory};

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Gives every leaf in `range` (page-aligned) the attributes that `rights` names for it; `None` keeps the page and
    /// lets nobody touch it. Blocks that reach out of the range are split first, which is what can fail; then nothing
    /// has changed.
    pub fn protect(
        &mut self,
        range: VirtRange,
        mut rights: impl FnMut(&F, &Leaf) -> Option<Attributes>,
    ) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        let (first, last) = (range.start().get(), range.end().get() - 1);
        let mut path = self.descend(first, last);
        if path.level != Level::Pte && self.may_cut(range) {
            self.split_ends(range)?;
            path = self.descend(first, last);
        }
        let mut pass = Pass { changed: Changed::NOTHING, published: true };
        match path.level {
            Level::Pte => self.protect_pages(path.table, first, last, &mut rights, &mut pass),
            level => self.protect_table(path.table, level, first, last, &mut rights, &mut pass),
        }
        if !pass.changed.is_nothing() {
            self.settle(&pass.changed);
        } else if !pass.published {
            self.mmu.publish();
        }
        Ok(())
    }

    fn protect_table(
        &self,
        table: Pfn,
        level: Level,
        first: u64,
        last: u64,
        rights: &mut impl FnMut(&F, &Leaf) -> Option<Attributes>,
        pass: &mut Pass,
    ) {
        let Some(next) = level.next() else { return self.protect_pages(table, first, last, rights, pass) };
        let entries = self.frames.table(table);
        let mut va = first;
        loop {
            let end = (va | (level.size() - 1)).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            if desc.is_table(level) {
                self.protect_table(desc.pfn(), next, va, end, rights, pass);
            } else {
                self.protect_leaf(entry, Leaf { va: VirtAddr::new(va), level, desc }, rights, pass);
            }
            if end == last {
                return;
            }
            va = end + 1;
        }
    }

    #[inline(always)]
    fn protect_pages(
        &self,
        table: Pfn,
        first: u64,
        last: u64,
        rights: &mut impl FnMut(&F, &Leaf) -> Option<Attributes>,
        pass: &mut Pass,
    ) {
        for (va, entry) in self.pages_of(table, first, last) {
            self.protect_leaf(entry, Leaf { va, level: Level::Pte, desc: load(entry) }, rights, pass);
        }
    }

    /// Gives one leaf, if there is one, what `rights` says.
    #[inline(always)]
    fn protect_leaf(
        &self,
        entry: &AtomicU64,
        leaf: Leaf,
        rights: &mut impl FnMut(&F, &Leaf) -> Option<Attributes>,
        pass: &mut Pass,
    ) {
        if leaf.desc.is_none() {
            return;
        }
        let new = match rights(&self.frames, &leaf) {
            Some(attributes) => leaf.desc.with_attributes(attributes),
            None => leaf.desc.without_valid(),
        };
        if new != leaf.desc {
            self.change_rights(entry, leaf, new, pass);
        }
    }

    #[inline(always)]
    fn change_rights(&self, entry: &AtomicU64, leaf: Leaf, new: Desc, pass: &mut Pass) {
        check_changeable(&leaf);
        if new.is_valid() {
            self.sync_code(leaf.level, leaf.desc, new);
        }
        if leaf.desc.needs_break(new, leaf.level) {
            self.change(entry, leaf, new);
            return;
        }
        let old = leaf.desc.attributes();
        if leaf.desc.is_valid() && new.is_valid() && old.may_store() && !old.writable() {
            // The hardware may make it dirty at this moment.
            let was = Desc::from_bits(entry.swap(new.bits(), Ordering::AcqRel));
            self.note_dirty_if_lost(leaf.level, was, new);
        } else {
            store(entry, new);
            self.note_dirty_if_lost(leaf.level, leaf.desc, new);
        }
        pass.published = false;
        if leaf.desc.is_valid() {
            pass.changed.note(leaf.va.get(), leaf.va.get() + (leaf.level.size() - 1), leaf.level);
        }
    }

    fn note_dirty_if_lost(&self, level: Level, was: Desc, new: Desc) {
        if !new.attributes().is_dirty() {
            self.note_dirty(level, was);
        }
    }

    /// `split_huge_page_pmd` at both ends of `range`: afterwards no leaf lies across either.
    pub fn split_edges(&mut self, range: VirtRange) -> Result<(), OutOfMemory> {
        // Whatever lies under one table of pages, no block reaches out of.
        let inside = |last| self.descend(range.start().get(), last).level == Level::Pte;
        if !self.may_cut(range) || range.end().get().checked_sub(1).is_some_and(inside) {
            return Ok(());
        }
        self.split_ends(range)
    }

    /// Whether there may be a leaf that lies across an end of `range`.
    pub(super) fn may_cut(&self, range: VirtRange) -> bool {
        let largest = self.largest.get();
        largest != Level::Pte && (range.start().get() | range.end().get()) & (largest.size() - 1) != 0
    }

    pub(super) fn split_ends(&self, range: VirtRange) -> Result<(), OutOfMemory> {
        for edge in [range.start(), range.end()] {
            while let Some(leaf) = self.walk_block(edge) {
                if edge.is_aligned(leaf.level.size()) {
                    break;
                }
                self.split(leaf)?;
            }
        }
        Ok(())
    }

    /// Splits whatever block covers `va` down to pages.
    pub(crate) fn split_to_page(&mut self, va: VirtAddr) -> Result<(), OutOfMemory> {
        while let Some(leaf) = self.walk_block(va) {
            self.split(leaf)?;
        }
        Ok(())
    }

    fn walk_block(&self, va: VirtAddr) -> Option<Leaf> {
        if self.largest.get() == Level::Pte {
            return None;
        }
        self.walk(va).filter(|leaf| leaf.level != Level::Pte)
    }

    /// One block into a table of 512 smaller leaves that say the same. While the entry is broken an access faults and
    /// waits for the lock the caller holds: never split what this code itself runs on or reads.
    pub(super) fn split(&self, block: Leaf) -> Result<(), OutOfMemory> {
        let Some(next) = block.level.next() else { return Ok(()) };
        check_changeable(&block);
        let slot = match self.ensure(block.va, block.level) {
            Ok(slot) => slot,
            Err(Blocked::OutOfMemory) => return Err(OutOfMemory),
            Err(Blocked::Leaf(_)) => return Ok(()),
        };
        let table = self.new_table()?;
        for (n, entry) in self.frames.table(table).iter().enumerate() {
            let pfn = Pfn::new(block.desc.pfn().get() + n as u64 * next.pages().get());
            let leaf = Desc::leaf(next, pfn, block.desc.attributes(), block.desc.owner());
            store(entry, if block.desc.is_valid() { leaf } else { leaf.without_valid() });
        }
        let new = Desc::table(table).with_count(ENTRIES as u64);
        if block.desc.is_valid() {
            self.change(slot.entry, block, new);
        } else {
            store(slot.entry, new);
            self.mmu.publish();
        }
        if block.level == Level::Pmd && block.desc.owner() == Owner::Tree {
            page::block_split(&self.frames, block.desc.pfn());
        }
        Ok(())
    }
}

/// What a pass over the leaves has left to do.
struct Pass {
    changed: Changed,
    /// Whether every store is behind a barrier.
    published: bool,
}
