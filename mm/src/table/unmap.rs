//! Taking leaves away, in two passes with the invalidation between them.

use units::{Pfn, VirtAddr, VirtRange};

use super::{Changed, Leaf, Tables, load, store};
use crate::desc::{Desc, Level};
use crate::seams::{Frames, Mmu, OutOfMemory};

/// Leaves the walker no longer finds, but a TLB may still have. Their frames come out by [`flush`](Self::flush) alone.
#[must_use = "a CPU can still reach these frames"]
pub struct Stale<'t, F: Frames, U: Mmu> {
    tables: &'t mut Tables<F, U>,
    first: u64,
    last: u64,
    changed: Changed,
    /// Whether the second pass has anything to collect.
    found: bool,
}

impl<F: Frames, U: Mmu> Stale<'_, F, U> {
    /// Invalidates, then gives the tree's own frames and the emptied tables back.
    pub fn flush(self) {
        let Self { tables, first, last, changed, found } = self;
        if found {
            let tables: &Tables<F, U> = tables;
            tables.settle(&changed);
            tables.collect(tables.root, Level::Pgd, first, last, u64::MAX, &mut |leaf| {
                tables.free_leaf(leaf.level, leaf.desc);
            });
        }
    }

    /// Invalidates, then hands every leaf to `each`, who from then on owns what the tree owned.
    pub fn flush_with(self, mut each: impl FnMut(Leaf)) {
        let Self { tables, first, last, changed, found } = self;
        if found {
            tables.settle(&changed);
            tables.collect(tables.root, Level::Pgd, first, last, u64::MAX, &mut each);
        }
    }
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Takes away every leaf in `range`, whose ends are page-aligned. A block that reaches out of the range is split
    /// first, which is what can fail; then nothing has changed.
    pub fn unmap(&mut self, range: VirtRange) -> Result<Stale<'_, F, U>, OutOfMemory> {
        self.split_edges(range)?;
        if range.is_empty() {
            let at = range.start().get();
            return Ok(Stale { tables: self, first: at, last: at, changed: Changed::default(), found: false });
        }
        Ok(self.break_all(range.start().get(), range.end().get() - 1))
    }

    /// The first pass over `first..=last`.
    pub(super) fn break_all(&mut self, first: u64, last: u64) -> Stale<'_, F, U> {
        let mut pass = Break { changed: Changed::default(), found: false };
        self.break_table(self.root, Level::Pgd, first, last, &mut pass);
        Stale { tables: self, first, last, changed: pass.changed, found: pass.found }
    }

    /// Clears the valid bits in one table, and returns how many of its entries will be gone after the second pass. Where
    /// that is all of a table's, one store to its own descriptor does for them.
    fn break_table(&self, table: Pfn, level: Level, first: u64, last: u64, pass: &mut Break) -> u64 {
        let entries = self.frames.table(table);
        let mut gone = 0;
        let mut va = first;
        loop {
            let end = entry_last(level, va).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            match level.next() {
                _ if desc.is_none() => {}
                Some(next) if desc.is_table(level) => {
                    let whole = va & (level.size() - 1) == 0 && end == entry_last(level, va);
                    let smallest = if whole && desc.is_counted() {
                        // What lies below is not looked at: it may be as small as a page.
                        Some(Level::Pte)
                    } else {
                        let below = self.break_table(desc.pfn(), next, va, end, pass);
                        (desc.is_counted() && below == desc.count()).then_some(level)
                    };
                    if let Some(smallest) = smallest {
                        store(entry, desc.without_valid());
                        pass.changed.note(va, end, smallest);
                        pass.changed.tables = true;
                        pass.found = true;
                        gone += 1;
                    }
                }
                _ => {
                    if desc.is_valid() {
                        store(entry, desc.without_valid());
                        pass.changed.note(va, end, level);
                    }
                    pass.found = true;
                    gone += 1;
                }
            }
            if end == last {
                return gone;
            }
            va = end + 1;
        }
    }

    /// The second pass: hands out every leaf in `first..=last` and leaves zeros. Stops early at `most` entries, which is
    /// how many the table has in use. Returns how many it met.
    fn collect(&self, table: Pfn, level: Level, first: u64, last: u64, most: u64, each: &mut impl FnMut(Leaf)) -> u64 {
        let entries = self.frames.table(table);
        let mut gone = 0;
        let mut va = first;
        loop {
            let end = entry_last(level, va).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            match level.next() {
                _ if desc.is_none() => {}
                Some(next) if desc.was_table(level) => {
                    let most = if desc.is_counted() { desc.count() } else { u64::MAX };
                    let below = self.collect(desc.pfn(), next, va, end, most, each);
                    if !desc.is_valid() {
                        store(entry, Desc::NONE);
                        self.free_table(desc.pfn());
                        gone += 1;
                    } else if desc.is_counted() && below != 0 {
                        store(entry, desc.with_count(desc.count() - below));
                    }
                }
                _ => {
                    store(entry, Desc::NONE);
                    each(Leaf { va: VirtAddr::new(va), level, desc });
                    gone += 1;
                }
            }
            if end == last || gone == most {
                return gone;
            }
            va = end + 1;
        }
    }
}

/// What the first pass has seen.
struct Break {
    changed: Changed,
    found: bool,
}

/// The last address that the entry of `level` for `va` covers.
fn entry_last(level: Level, va: u64) -> u64 {
    va | (level.size() - 1)
}
