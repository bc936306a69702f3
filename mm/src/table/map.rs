//! Putting leaves where nothing was. Two acts have two verbs: nothing here ever replaces an entry, except
//! [`Tables::replace_page`], whose whole point that is.

use units::{HUGE_SIZE, PAGE_SIZE, Pfn, PhysAddr, VirtAddr, VirtRange};

use super::collapse::{check_changeable, in_run};
use super::{Blocked, Entry, Leaf, Slot, Tables, count_up, load, span, store, store_invalid};
use crate::desc::{Attributes, Desc, ENTRIES, Level, Owner};
use crate::seams::{Frames, Mmu, OutOfMemory, Reach};

/// Why nothing was mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// No frame for a table.
    OutOfMemory,
    /// Something is mapped at this address already.
    Occupied(VirtAddr),
    /// The range or the physical address is not made of whole pages.
    Unaligned,
}

impl From<OutOfMemory> for TableError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Blocked> for TableError {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            Blocked::OutOfMemory => Self::OutOfMemory,
            Blocked::Leaf(leaf) => Self::Occupied(leaf.va),
        }
    }
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Maps `range` to the memory from `at` on, in entries of up to `largest` as alignment allows, and publishes them
    /// with one barrier. All of it, or nothing. [`Owner::Tree`] hands the frames over with success.
    pub fn map(
        &mut self,
        range: VirtRange,
        at: PhysAddr,
        attributes: Attributes,
        owner: Owner,
        largest: Level,
    ) -> Result<(), TableError> {
        if !(range.start().is_aligned(PAGE_SIZE) && range.end().is_aligned(PAGE_SIZE) && at.is_aligned(PAGE_SIZE)) {
            return Err(TableError::Unaligned);
        }
        if attributes.executable() {
            self.mmu.sync_icache(at.pfn(), range.len().pages_up());
        }
        let mut done = 0;
        while done < range.len().get() {
            match self.fill(range, at, done, attributes, owner, largest) {
                Ok(bytes) => done += bytes,
                Err(error) => {
                    self.take_back(range.start(), done);
                    return Err(error);
                }
            }
        }
        self.mmu.publish();
        Ok(())
    }

    /// Fills one table with entries for `range` from `done` bytes on, as many of one size as fit in it. Returns the
    /// bytes they cover.
    fn fill(
        &self,
        range: VirtRange,
        at: PhysAddr,
        done: u64,
        attributes: Attributes,
        owner: Owner,
        largest: Level,
    ) -> Result<u64, TableError> {
        let va = VirtAddr::new(range.start().get() + done);
        let pa = PhysAddr::new(at.get() + done);
        let left = range.len().get() - done;
        let mut level = level_for(va, pa, left, largest);
        // Where a table already stands, the entries are made smaller rather than the table taken away.
        let slot = loop {
            let slot = self.ensure(va, level)?;
            match level.next() {
                Some(next) if load(slot.entry).is_table(level) => level = next,
                _ => break slot,
            }
        };
        let first = level.index(va);
        let room = (ENTRIES - first) as u64;
        let wanted = (left / level.size()).min(room);
        let table = match slot.parent {
            Some(parent) => self.frames.table(load(parent).pfn()),
            None => self.frames.table(self.root),
        };
        self.note_largest(level);
        let mut made = 0;
        for entry in &table[first..first + wanted as usize] {
            if !load(entry).is_none() {
                break;
            }
            let pfn = Pfn::new(pa.pfn().get() + made * level.pages().get());
            let attributes = in_run(attributes, level, first, wanted, pa, made);
            store(entry, Desc::leaf(level, pfn, attributes, owner));
            made += 1;
        }
        count_up(slot.parent, made);
        if made == 0 { Err(TableError::Occupied(va)) } else { Ok(made * level.size()) }
    }

    /// There may be leaves of `level` from now on.
    pub(super) fn note_largest(&self, level: Level) {
        self.largest.set(self.largest.get().min(level));
    }

    /// Undoes the first `done` bytes of a `map` that failed, and the tables made for more. The frames stay the caller's.
    fn take_back(&mut self, start: VirtAddr, done: u64) {
        if done > 0 {
            // Whole runs go, or what was made of them.
            self.undoing.set(true);
            self.break_all(start.get(), start.get() + (done - 1)).flush_with(|_| {});
            self.undoing.set(false);
        }
        self.prune(VirtAddr::new(start.get() + done));
    }

    /// Maps every page of `range` to the one frame `at`, which stays somebody else's. All of it, or nothing.
    pub fn map_same(&mut self, range: VirtRange, at: Pfn, attributes: Attributes) -> Result<(), TableError> {
        let mut done = 0;
        while done < range.len().get() {
            let va = VirtAddr::new(range.start().get() + done);
            match self.entry(va) {
                Ok(Entry::Empty(slot)) => self.fill_slot(slot, at, attributes, Owner::Other),
                Ok(Entry::Leaf(_)) => {
                    self.take_back(range.start(), done);
                    return Err(TableError::Occupied(va));
                }
                Err(error) => {
                    self.take_back(range.start(), done);
                    return Err(error.into());
                }
            }
            done += PAGE_SIZE;
        }
        Ok(())
    }

    /// The entry of the page at `va`, with all tables above it.
    #[inline]
    pub(crate) fn entry(&self, va: VirtAddr) -> Result<Entry<'_>, OutOfMemory> {
        match self.ensure(va, Level::Pte) {
            Ok(slot) => {
                let desc = load(slot.entry);
                Ok(if desc.is_none() { Entry::Empty(slot) } else { Entry::Leaf(Leaf { va, level: Level::Pte, desc }) })
            }
            Err(Blocked::Leaf(leaf)) => Ok(Entry::Leaf(leaf)),
            Err(Blocked::OutOfMemory) => Err(OutOfMemory),
        }
    }

    /// Maps one page where nothing was, and publishes it: the page exists from here on.
    #[inline]
    pub(crate) fn fill_slot(&self, slot: Slot<'_>, at: Pfn, attributes: Attributes, owner: Owner) {
        let desc = Desc::leaf(Level::Pte, at, attributes, owner);
        self.sync_code(Level::Pte, Desc::NONE, desc);
        store(slot.entry, desc);
        count_up(slot.parent, 1);
        self.mmu.publish();
    }

    /// Whether nothing at all stands where a block of level 2 for `va` would.
    pub(crate) fn no_block_nor_table(&self, va: VirtAddr) -> bool {
        let mut table = self.frames.table(self.root);
        for level in [Level::Pgd, Level::Pud, Level::Pmd] {
            let desc = load(&table[level.index(va)]);
            if desc.is_none() {
                return true;
            }
            if !desc.is_table(level) {
                return false;
            }
            table = self.frames.table(desc.pfn());
        }
        false
    }

    /// Fills the empty ones of `count` entries from `first` on, all in one table that is there, with the frames of
    /// somebody else that `frame` names by their place, and publishes them.
    pub(crate) fn fill_around(
        &self,
        first: VirtAddr,
        count: u64,
        mut leaf: impl FnMut(u64) -> Option<(Pfn, Attributes)>,
    ) -> Result<(), OutOfMemory> {
        let slot = self.ensure(first, Level::Pte).map_err(|_| OutOfMemory)?;
        let table = match slot.parent {
            Some(parent) => self.frames.table(load(parent).pfn()),
            None => return Err(OutOfMemory),
        };
        let index = Level::Pte.index(first);
        let mut made = 0;
        for (n, entry) in table[index..].iter().take(count as usize).enumerate() {
            if !load(entry).is_none() {
                continue;
            }
            if let Some((frame, attributes)) = leaf(n as u64) {
                store(entry, Desc::leaf(Level::Pte, frame, attributes, Owner::Other));
                made += 1;
            }
        }
        count_up(slot.parent, made);
        self.mmu.publish();
        Ok(())
    }

    /// Puts another frame behind one page by break-before-make: copy-on-write. Whatever was there before is no longer
    /// reachable when this returns, and is the caller's if it was the tree's. A block is split first.
    pub fn replace_page(
        &mut self,
        va: VirtAddr,
        at: Pfn,
        attributes: Attributes,
        owner: Owner,
    ) -> Result<Option<Leaf>, TableError> {
        self.split_to_page(va)?;
        let slot = self.ensure(va, Level::Pte)?;
        let old = load(slot.entry);
        let new = Desc::leaf(Level::Pte, at, attributes, owner);
        self.sync_code(Level::Pte, old, new);
        let mut leaf = Leaf { va: va.align_down(PAGE_SIZE), level: Level::Pte, desc: old };
        if old.is_valid() {
            check_changeable(&leaf);
            leaf.desc = store_invalid(slot.entry, old);
            self.mmu.publish();
            self.invalidate(span(leaf.va.get(), leaf.va.get() + (PAGE_SIZE - 1)), Level::Pte, Reach::Leaves);
            store(slot.entry, new);
            self.mmu.publish();
        } else {
            store(slot.entry, new);
            self.mmu.publish();
        }
        if old.is_none() {
            count_up(slot.parent, 1);
            return Ok(None);
        }
        Ok(Some(leaf))
    }

    /// Takes away the tables above `va` that hold nothing: what a fault does that made them and then found no frame.
    pub fn prune(&mut self, va: VirtAddr) {
        if self.walk(va).is_none() {
            let page = va.align_down(PAGE_SIZE).get();
            self.break_all(page, page + (PAGE_SIZE - 1)).flush_with(|_| {});
        }
    }
}

/// The level of the largest entry that fits `left` bytes at `va` and `pa`.
fn level_for(va: VirtAddr, pa: PhysAddr, left: u64, largest: Level) -> Level {
    let fits = |level: Level| {
        level >= largest && va.is_aligned(level.size()) && pa.is_aligned(level.size()) && left >= level.size()
    };
    if fits(Level::Pud) {
        Level::Pud
    } else if left >= HUGE_SIZE && fits(Level::Pmd) {
        Level::Pmd
    } else {
        Level::Pte
    }
}
