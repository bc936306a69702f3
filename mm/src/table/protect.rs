//! Changing what leaves allow, and making blocks smaller.

use core::sync::atomic::Ordering;

use units::{Pfn, VirtAddr, VirtRange};

use super::collapse::check_changeable;
use super::{Blocked, Changed, Leaf, Tables, load, store};
use crate::desc::{Attributes, Desc, ENTRIES, Level};
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
        if self.blocks.get() && self.descend(first, last).level != Level::Pte {
            self.split_edges(range)?;
        }
        let mut pass = Pass { changed: Changed::default(), published: true };
        let path = self.descend(first, last);
        self.protect_table(path.table, path.level, first, last, &mut rights, &mut pass);
        if pass.changed.span.is_some() {
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
        let entries = self.frames.table(table);
        let mut va = first;
        loop {
            let end = (va | (level.size() - 1)).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            match level.next() {
                _ if desc.is_none() => {}
                Some(next) if desc.is_table(level) => self.protect_table(desc.pfn(), next, va, end, rights, pass),
                _ => {
                    let leaf = Leaf { va: VirtAddr::new(va), level, desc };
                    let new = match rights(&self.frames, &leaf) {
                        Some(attributes) => desc.with_attributes(attributes),
                        None => desc.without_valid(),
                    };
                    self.protect_leaf(entry, leaf, new, pass);
                }
            }
            if end == last {
                return;
            }
            va = end + 1;
        }
    }

    fn protect_leaf(&self, entry: &core::sync::atomic::AtomicU64, leaf: Leaf, new: Desc, pass: &mut Pass) {
        if new == leaf.desc {
            return;
        }
        check_changeable(&leaf);
        if new.is_valid() {
            self.sync_code(leaf.level, leaf.desc, new);
        }
        if leaf.desc.needs_break(new, leaf.level) {
            self.change(entry, leaf, new);
            return;
        }
        if leaf.desc.is_valid() && new.is_valid() && !leaf.desc.attributes().is_dirty() {
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
        if !self.blocks.get() {
            return None;
        }
        self.walk(va).filter(|leaf| leaf.level != Level::Pte)
    }

    /// One block into a table of 512 smaller leaves that say the same. While the entry is broken an access faults and
    /// waits for the lock the caller holds: never split what this code itself runs on or reads.
    pub(super) fn split(&mut self, block: Leaf) -> Result<(), OutOfMemory> {
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
        Ok(())
    }
}

/// What a pass over the leaves has left to do.
struct Pass {
    changed: Changed,
    /// Whether every store is behind a barrier.
    published: bool,
}
