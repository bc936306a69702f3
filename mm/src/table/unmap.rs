//! Taking leaves away, in two passes with the invalidation between them.

use core::sync::atomic::AtomicU64;

use units::{Pfn, VirtAddr, VirtRange};

use super::collapse::check_changeable;
use super::{Changed, Leaf, Path, Tables, load, store, store_invalid};
use crate::desc::{Desc, Level};
use crate::seams::{Frames, Mmu, OutOfMemory};

/// Leaves the walker no longer finds, but a TLB may still have. Their frames come out by [`flush`](Self::flush) alone.
#[must_use = "a CPU can still reach these frames"]
pub struct Stale<'t, F: Frames, U: Mmu> {
    tables: &'t Tables<F, U>,
    /// Where both passes begin.
    path: Path<'t>,
    first: u64,
    last: u64,
    changed: Changed,
    /// Whether the second pass has anything to collect.
    found: bool,
}

impl<F: Frames, U: Mmu> Stale<'_, F, U> {
    /// Invalidates, then gives the tree's own frames and the emptied tables back.
    #[inline(always)]
    pub fn flush(self) {
        self.finish(|tables, leaf| tables.free_leaf(leaf.level, leaf.desc));
    }

    /// Invalidates, then hands every leaf to `each`, who from then on owns what the tree owned.
    pub fn flush_with(self, mut each: impl FnMut(Leaf)) {
        self.finish(|_, leaf| each(leaf));
    }

    /// The same, with the tables at hand, in which `each` may fill entries that are there.
    pub(super) fn flush_into(self, each: impl FnMut(&Tables<F, U>, Leaf)) {
        self.finish(each);
    }

    #[inline(always)]
    fn finish(self, mut each: impl FnMut(&Tables<F, U>, Leaf)) {
        if self.found {
            self.tables.settle(&self.changed);
            self.tables.collect_all(&self.path, self.first, self.last, &mut |leaf| each(self.tables, leaf));
        }
    }
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// `zap_page_range`: takes away every leaf in `range` and gives back what was the tree's, as [`unmap`](Self::unmap) and
    /// [`Stale::flush`] do.
    pub fn zap(&mut self, range: VirtRange) -> Result<(), OutOfMemory> {
        self.unmap(range)?.flush();
        Ok(())
    }

    /// Takes away every leaf in `range`, whose ends are page-aligned. A block that reaches out of the range is split
    /// first, which is what can fail; then nothing has changed.
    #[inline(always)]
    pub fn unmap(&mut self, range: VirtRange) -> Result<Stale<'_, F, U>, OutOfMemory> {
        let first = range.start().get();
        // An empty range is looked at as its first page, and nothing of it is found.
        let last = if range.is_empty() { first } else { range.end().get() - 1 };
        let tables: &Self = self;
        let mut path = tables.descend(first, last);
        if path.level != Level::Pte && tables.may_cut(range) {
            tables.split_ends(range)?;
            path = tables.descend(first, last);
        }
        if range.is_empty() {
            return Ok(Stale { tables, path, first, last, changed: Changed::NOTHING, found: false });
        }
        Ok(tables.break_from(path, first, last))
    }

    /// Lets go of every leaf in `range` of a tree that was [forgotten](Self::forget): in one pass, because there is nobody to
    /// tell. Others may run between its pieces.
    pub(crate) fn release(&mut self, range: VirtRange) {
        if !range.is_empty() {
            let (first, last) = (range.start().get(), range.end().get() - 1);
            self.collect_all(&self.descend(first, last), first, last, &mut |leaf| {
                self.free_leaf(leaf.level, leaf.desc)
            });
        }
    }

    /// The first pass over `first..=last`.
    pub(super) fn break_all(&mut self, first: u64, last: u64) -> Stale<'_, F, U> {
        let tables: &Self = self;
        let path = tables.descend(first, last);
        tables.break_from(path, first, last)
    }

    #[inline(always)]
    fn break_from<'t>(&'t self, path: Path<'t>, first: u64, last: u64) -> Stale<'t, F, U> {
        let mut pass = Break { changed: Changed::NOTHING, found: false };
        let mut gone = match path.level {
            Level::Pte => self.break_pages(path.table, first, last, &mut pass),
            level => self.break_table(path.table, level, first, last, &mut pass),
        };
        for (level, entry) in path.upwards() {
            if !pass.dies(entry, gone, first, last, level) {
                break;
            }
            gone = 1;
        }
        Stale { tables: self, path, first, last, changed: pass.changed, found: pass.found }
    }

    /// Clears the valid bits in one table, and returns how many of its entries will be gone after the second pass. Where
    /// that is all of a table's, one store to its own descriptor does for them.
    fn break_table(&self, table: Pfn, level: Level, first: u64, last: u64, pass: &mut Break) -> u64 {
        let Some(next) = level.next() else { return self.break_pages(table, first, last, pass) };
        let entries = self.frames.table(table);
        let mut gone = 0;
        let mut va = first;
        loop {
            let end = entry_last(level, va).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            if desc.is_table(level) {
                let whole = va & (level.size() - 1) == 0 && end == entry_last(level, va);
                if whole && desc.is_counted() {
                    // What lies below is not looked at: it may be as small as a page.
                    pass.take_table(entry, desc, va, end, Level::Pte);
                    gone += 1;
                } else {
                    let below = self.break_table(desc.pfn(), next, va, end, pass);
                    gone += u64::from(pass.dies(entry, below, va, end, level));
                }
            } else if !desc.is_none() {
                self.break_leaf(entry, Leaf { va: VirtAddr::new(va), level, desc }, pass);
                gone += 1;
            }
            if end == last {
                return gone;
            }
            va = end + 1;
        }
    }

    /// The same for a table of level 3.
    #[inline]
    fn break_pages(&self, table: Pfn, first: u64, last: u64, pass: &mut Break) -> u64 {
        let mut gone = 0;
        for (va, entry) in self.pages_of(table, first, last) {
            let desc = load(entry);
            if !desc.is_none() {
                self.break_leaf(entry, Leaf { va, level: Level::Pte, desc }, pass);
                gone += 1;
            }
        }
        gone
    }

    #[inline]
    fn break_leaf(&self, entry: &AtomicU64, leaf: Leaf, pass: &mut Break) {
        pass.found = true;
        if leaf.desc.is_valid() {
            if !self.undoing.get() {
                check_changeable(&leaf);
            }
            store_invalid(entry, leaf.desc);
            pass.changed.note(leaf.va.get(), entry_last(leaf.level, leaf.va.get()), leaf.level);
        }
    }

    /// The second pass over `first..=last`.
    #[inline(always)]
    fn collect_all(&self, path: &Path<'_>, first: u64, last: u64, each: &mut impl FnMut(Leaf)) {
        let most = path.upwards().next().map_or(u64::MAX, |(_, entry)| most_below(load(entry)));
        let mut gone = match path.level {
            Level::Pte => self.collect_pages(path.table, first, last, most, each),
            level => self.collect(path.table, level, first, last, most, each),
        };
        for (level, entry) in path.upwards() {
            gone = self.discount(level, entry, gone);
            if gone == 0 {
                break;
            }
        }
    }

    /// `below` entries of the table that `entry`, one of `level`, leads to are gone. Returns how many `entry` is by that: one,
    /// if the table goes, else none.
    #[inline]
    fn discount(&self, level: Level, entry: &AtomicU64, below: u64) -> u64 {
        let desc = load(entry);
        let emptied = || self.forgotten.get() && desc.is_counted() && below == desc.count();
        if !desc.is_valid() || emptied() {
            store(entry, Desc::NONE);
            if level == Level::Pgd {
                self.root_used.set(self.root_used.get() - 1);
            }
            self.free_table(desc.pfn());
            return 1;
        }
        if desc.is_counted() && below != 0 {
            store(entry, desc.with_count(desc.count() - below));
        }
        0
    }

    /// One table of the second pass: hands out every leaf in `first..=last` and leaves zeros. Stops early at `most` entries, which is
    /// how many the table has in use. Returns how many it met.
    fn collect(&self, table: Pfn, level: Level, first: u64, last: u64, most: u64, each: &mut impl FnMut(Leaf)) -> u64 {
        let Some(next) = level.next() else { return self.collect_pages(table, first, last, most, each) };
        let entries = self.frames.table(table);
        let mut gone = 0;
        let mut va = first;
        loop {
            let end = entry_last(level, va).min(last);
            let entry = &entries[level.index(VirtAddr::new(va))];
            let desc = load(entry);
            if desc.was_table(level) {
                let below = self.collect(desc.pfn(), next, va, end, most_below(desc), each);
                gone += self.discount(level, entry, below);
            } else if !desc.is_none() {
                store(entry, Desc::NONE);
                each(Leaf { va: VirtAddr::new(va), level, desc });
                gone += 1;
            }
            if end == last || gone == most {
                return gone;
            }
            if self.forgotten.get() && !desc.is_none() {
                self.mmu.pause();
            }
            va = end + 1;
        }
    }

    /// The same for a table of level 3.
    #[inline]
    fn collect_pages(&self, table: Pfn, first: u64, last: u64, most: u64, each: &mut impl FnMut(Leaf)) -> u64 {
        let mut gone = 0;
        for (va, entry) in self.pages_of(table, first, last) {
            let desc = load(entry);
            if !desc.is_none() {
                store(entry, Desc::NONE);
                each(Leaf { va, level: Level::Pte, desc });
                gone += 1;
                if gone == most {
                    break;
                }
            }
        }
        gone
    }
}

/// What the first pass has seen.
struct Break {
    changed: Changed,
    found: bool,
}

impl Break {
    /// The table that `entry` leads to goes, if it is the tree's and `below` entries are all it had.
    fn dies(&mut self, entry: &AtomicU64, below: u64, first: u64, last: u64, level: Level) -> bool {
        let desc = load(entry);
        let dies = desc.is_counted() && below == desc.count();
        if dies {
            // What lay below has been noted in its own size; one operation in the table's own range drops the table.
            self.take_table(entry, desc, first, last, level);
        }
        dies
    }

    /// The walker does not go down here any more.
    fn take_table(&mut self, entry: &AtomicU64, desc: Desc, first: u64, last: u64, smallest: Level) {
        store(entry, desc.without_valid());
        self.changed.note(first, last, smallest);
        self.changed.tables = true;
        self.found = true;
    }
}

/// How many entries the table below `desc` has in use, at most.
fn most_below(desc: Desc) -> u64 {
    if desc.is_counted() { desc.count() } else { u64::MAX }
}

/// The last address that the entry of `level` for `va` covers.
fn entry_last(level: Level, va: u64) -> u64 {
    va | (level.size() - 1)
}
