//! Making blocks of pages (`collapse_huge_page`, where the frames already lie so), and runs that are never changed.

use units::{HUGE_SIZE, PhysAddr, VirtAddr, VirtRange};

use super::{Leaf, TableError, Tables, load, store};
use crate::desc::{Attributes, Desc, ENTRIES, Level, Owner};
use crate::page;
use crate::seams::{Frames, Mmu, Reach};

/// Neighbours that one contiguous bit speaks of, at levels 2 and 3 of 4 KiB tables (D8.6.1).
pub(super) const RUN: u64 = 16;

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Makes one block of the 512 pages around `va`, if all of them are there, follow each other from a frame at a multiple of
    /// their number, and say the same. By break-before-make; the table goes when no walker knows it. Answers whether it did.
    pub fn collapse(&mut self, va: VirtAddr) -> bool {
        let start = va.align_down(HUGE_SIZE);
        let Ok(slot) = self.ensure(start, Level::Pmd) else { return false };
        let table = load(slot.entry);
        if !table.is_table(Level::Pmd) || !table.is_counted() || table.count() != ENTRIES as u64 {
            return false;
        }
        let entries = self.frames.table(table.pfn());
        let first = load(&entries[0]);
        let alike = |(n, desc): (usize, Desc)| {
            desc.pfn().get() == first.pfn().get() + n as u64
                && desc.attributes() == first.attributes()
                && desc.owner() == first.owner()
                && desc.is_valid()
        };
        let aligned = first.address().is_aligned(HUGE_SIZE);
        if !aligned || !entries.iter().map(load).enumerate().all(alike) {
            return false;
        }
        store(slot.entry, table.without_valid());
        self.mmu.publish();
        let end = VirtAddr::new(start.get() + HUGE_SIZE);
        if let Some(range) = VirtRange::new(start, end) {
            self.invalidate(range, Level::Pte, Reach::Tables);
        }
        // The hardware may have noted something until now, in any of the pages: it is noted of all.
        let noted = entries.iter().map(load).fold(first.attributes(), Attributes::noted_with);
        store(slot.entry, Desc::leaf(Level::Pmd, first.pfn(), noted, first.owner()));
        self.mmu.publish();
        entries.iter().for_each(|entry| store(entry, Desc::NONE));
        self.free_table(table.pfn());
        if first.owner() == Owner::Tree {
            page::block_collapsed(&self.frames, first.pfn());
        }
        self.note_largest(Level::Pmd);
        true
    }

    /// Maps `range` as [`map`](Self::map) does, for good: neighbours that lie so get the contiguous bit, which lets a TLB keep
    /// sixteen of them as one. Nothing of it may be changed or taken away afterwards, because a TLB that knows a part by the
    /// old state and a part by the new is allowed to do anything (D8.6.1); whoever tries is stopped.
    pub fn map_for_good(
        &mut self,
        range: VirtRange,
        at: PhysAddr,
        attributes: Attributes,
        largest: Level,
    ) -> Result<(), TableError> {
        self.map(range, at, attributes.contiguous(), Owner::Other, largest)
    }
}

/// The attributes of one of `count` leaves of `level` that are made from index `first` on, the first of them over `pa`: what
/// asks for the contiguous bit keeps it where all sixteen of the run are made, over frames that lie like them.
#[inline]
pub(super) fn in_run(
    attributes: Attributes,
    level: Level,
    first: usize,
    count: u64,
    pa: PhysAddr,
    n: u64,
) -> Attributes {
    if !attributes.is_contiguous() {
        return attributes;
    }
    let place = first as u64 + n;
    let run = place / RUN * RUN;
    let whole = run >= first as u64 && run + RUN <= first as u64 + count;
    let congruent = (pa.get() / level.size()).wrapping_sub(first as u64).is_multiple_of(RUN);
    if whole && congruent && level != Level::Pud { attributes } else { attributes.single() }
}

/// Panics where a leaf that was mapped for good is about to be changed: a bug of the caller's.
pub(super) fn check_changeable(leaf: &Leaf) {
    assert!(!leaf.desc.attributes().is_contiguous(), "{}: mapped for good, and now to be changed", leaf.va);
}
