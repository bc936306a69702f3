//! A tree of translation tables, and the only code that changes a descriptor a walker may be reading.
//!
//! The same tree serves a program's half and the kernel's (`init_mm`). The files below it, in reading order:
//! `offset` is a walk step by step, `map` puts leaves where nothing was, `unmap` takes them away, `protect` changes their
//! rights and splits blocks, `collapse` makes blocks of pages, `relocate` moves leaves, `copy` shares them with a child,
//! `validate` restates what must hold.
//!
//! # Break-before-make
//!
//! An entry goes from invalid to valid, and from valid to invalid, by one store. From valid to valid only rights change
//! by one store; whatever else differs (where it points, how large it is, what kind of memory it is) goes through
//! invalid: store, [`publish`](Mmu::publish), [`invalidate`](Mmu::invalidate), store. Frames and tables are given back
//! only behind an `invalidate`: that is what [`Stale`] is for.
//!
//! # Memory that unmapping does not need
//!
//! Unmapping a gigabyte must not need a list of its frames. An entry that is taken away first only loses its valid bit:
//! the walker stops there, the tree still knows the frame. After the invalidation a second pass collects the frames and
//! stores zeros.
//!
//! # When a table is empty
//!
//! A walker ignores bits 11:2 of a table descriptor. There the tree counts the entries that the table below has in use
//! ([`SW_COUNT_MASK`](crate::desc::SW_COUNT_MASK)); the table goes with its last entry, and nothing is searched. Tables
//! the tree did not make (the boot code's) carry no count and are never freed.

mod collapse;
mod copy;
mod map;
mod offset;
mod protect;
mod relocate;
#[cfg(test)]
mod tests;
mod unmap;
mod validate;

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use units::{ByteLen, PAGE_SHIFT, PageCount, Pfn, PhysAddr, VirtAddr, VirtRange};

pub(crate) use self::copy::Copying;
pub use self::map::TableError;
pub use self::offset::{Levels, Offset};
pub use self::unmap::Stale;
use crate::desc::{Desc, Level, Owner};
use crate::page;
use crate::seams::{Asid, Frames, Mmu, OutOfMemory, Reach, Whose};

/// One tree of tables with the frames it takes from and the CPU it tells. The caller's lock (the table lock) is what
/// `&mut self` stands for.
pub struct Tables<F: Frames, U: Mmu> {
    frames: F,
    mmu: U,
    root: Pfn,
    whose: Whose,
    origin: Origin,
    /// A table that has become empty, all zeros: the next one needed.
    spare: Cell<Option<Pfn>>,
    /// The largest leaves there may be: where that is more than a page, splitting has to be thought of.
    largest: Cell<Level>,
    /// Entries of the root in use.
    root_used: Cell<u64>,
    /// Whether no CPU and no TLB knows the tree any more: tables go at once with their last entry.
    forgotten: Cell<bool>,
    /// Whether what is taken away was just made, and failed: runs that were to stay may go.
    undoing: Cell<bool>,
}

/// Who made the root.
#[derive(PartialEq, Eq)]
enum Origin {
    /// This tree: all goes when it is dropped.
    Made,
    /// The boot code: nothing goes when it is dropped.
    Adopted,
}

/// A leaf and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// The first address it covers.
    pub va: VirtAddr,
    /// The level of its table.
    pub level: Level,
    /// The entry. Not valid where the page is mapped without any right.
    pub desc: Desc,
}

impl Leaf {
    /// The physical address behind `va`, an address this leaf covers.
    pub const fn translate(&self, va: VirtAddr) -> PhysAddr {
        PhysAddr::new(self.desc.address().get() + (va.get() & (self.level.size() - 1)))
    }

    /// How many frames it maps, from [`Desc::pfn`] on.
    pub const fn pages(&self) -> PageCount {
        self.level.pages()
    }
}

/// One entry and the descriptor of the table it stands in; the root's has none.
pub(crate) struct Slot<'a> {
    entry: &'a AtomicU64,
    parent: Option<&'a AtomicU64>,
}

/// A table and the descriptors that lead to it.
struct Path<'a> {
    table: Pfn,
    level: Level,
    /// By the levels they stand at; none above what is looked at.
    above: [Option<&'a AtomicU64>; 3],
}

impl<'a> Path<'a> {
    /// The descriptors that lead to the table and the levels they stand at, the lowest first.
    #[inline]
    fn upwards(&self) -> impl Iterator<Item = (Level, &'a AtomicU64)> {
        let [pgd, pud, pmd] = self.above;
        [(Level::Pmd, pmd), (Level::Pud, pud), (Level::Pgd, pgd)]
            .into_iter()
            .filter_map(|(level, entry)| Some((level, entry?)))
    }
}

/// What a pass over the tables has changed and a TLB may still hold.
struct Changed {
    /// First and last address, both included; the first lies above the last where nothing has changed.
    first: u64,
    last: u64,
    smallest: Level,
    tables: bool,
}

impl Changed {
    const NOTHING: Self = Self { first: u64::MAX, last: 0, smallest: Level::Pgd, tables: false };

    #[inline]
    fn note(&mut self, first: u64, last: u64, smallest: Level) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        self.smallest = self.smallest.max(smallest);
    }

    fn is_nothing(&self) -> bool {
        self.first > self.last
    }
}

fn load(entry: &AtomicU64) -> Desc {
    Desc::from_bits(entry.load(Ordering::Relaxed))
}

/// See [`descriptors_written`].
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// How many descriptors were written so far, in all trees together: what a mapping costs, counted. A few may be lost
/// where CPUs write at the same moment.
pub fn descriptors_written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// Ordered after all stores before it: a walker that sees a table sees what it holds.
fn store(entry: &AtomicU64, desc: Desc) {
    entry.store(desc.bits(), Ordering::Release);
    WRITTEN.store(WRITTEN.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Clears the valid bit, and keeps whatever the hardware has noted in the entry. Answers what it was.
fn store_invalid(entry: &AtomicU64, desc: Desc) -> Desc {
    if desc.attributes().bits() & crate::desc::DBM == 0 && desc.attributes().is_young() {
        store(entry, desc.without_valid());
        return desc;
    }
    Desc::from_bits(entry.fetch_and(!crate::desc::VALID, Ordering::AcqRel))
}

/// `by` more entries of a table are in use; `parent` is the table's own descriptor.
#[inline]
fn count_up(parent: Option<&AtomicU64>, by: u64) {
    if let Some(parent) = parent {
        let desc = load(parent);
        if desc.is_counted() {
            store(parent, desc.with_count(desc.count() + by));
        }
    }
}

/// The addresses from `first` to `last`, both included, as a range. The very last page of 64 bits is cut off it.
#[inline]
fn span(first: u64, last: u64) -> VirtRange {
    let start = VirtAddr::new(first);
    VirtRange::new(start, VirtAddr::new(last.saturating_add(1)))
        .or_else(|| VirtRange::with_len(start, ByteLen::ZERO))
        .expect("first lies at or below last")
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// An empty tree for the address space that is known as `whose`.
    pub fn new(frames: F, mmu: U, whose: impl Into<Whose>) -> Result<Self, OutOfMemory> {
        let root = frames.alloc_zeroed()?;
        Ok(Self::over(frames, mmu, whose.into(), root, Origin::Made))
    }

    /// The tree under `root` that somebody else has built, with [`Asid::GLOBAL`] the kernel's. Dropping it frees
    /// nothing. [`Frames::table`] must reach every table in it.
    pub fn adopt(frames: F, mmu: U, asid: Asid, root: Pfn) -> Self {
        Self::over(frames, mmu, Whose::Fixed(asid), root, Origin::Adopted)
    }

    fn over(frames: F, mmu: U, whose: Whose, root: Pfn, origin: Origin) -> Self {
        let largest = Cell::new(if origin == Origin::Adopted { Level::Pud } else { Level::Pte });
        Self {
            frames,
            mmu,
            root,
            whose,
            origin,
            spare: Cell::new(None),
            largest,
            root_used: Cell::new(0),
            forgotten: Cell::new(false),
            undoing: Cell::new(false),
        }
    }

    /// The level-0 table, for TTBR0_EL1 or TTBR1_EL1.
    pub fn root(&self) -> Pfn {
        self.root
    }

    /// Whose entries in a TLB these are, if any can be there.
    pub fn asid(&self) -> Option<Asid> {
        self.whose.asid()
    }

    /// Where frames come from.
    pub fn frames(&self) -> &F {
        &self.frames
    }

    /// The CPU.
    pub fn mmu(&self) -> &U {
        &self.mmu
    }

    /// The leaf that covers `va`, valid or not.
    pub fn walk(&self, va: VirtAddr) -> Option<Leaf> {
        let mut level = Level::Pgd;
        let mut table = self.frames.table(self.root);
        loop {
            let desc = load(&table[level.index(va)]);
            match level.next() {
                Some(next) if desc.is_table(level) => {
                    table = self.frames.table(desc.pfn());
                    level = next;
                }
                _ if desc.is_none() => return None,
                _ => return Some(Leaf { va: va.align_down(level.size()), level, desc }),
            }
        }
    }

    fn new_table(&self) -> Result<Pfn, OutOfMemory> {
        match self.spare.take() {
            Some(table) => Ok(table),
            None => self.frames.alloc_zeroed(),
        }
    }

    /// Takes back a table that holds only zeros and that no walker can reach.
    fn free_table(&self, table: Pfn) {
        if let Some(second) = self.spare.replace(Some(table)) {
            self.frames.free(second);
        }
    }

    /// The entry for `va` in the table of level `target`, tables made on the way. An entry on the way that is no table
    /// stops it.
    #[inline]
    fn ensure(&self, va: VirtAddr, target: Level) -> Result<Slot<'_>, Blocked> {
        let mut slot = Slot { entry: &self.frames.table(self.root)[Level::Pgd.index(va)], parent: None };
        for (level, next) in [(Level::Pgd, Level::Pud), (Level::Pud, Level::Pmd), (Level::Pmd, Level::Pte)] {
            if level == target {
                break;
            }
            slot = self.below(&slot, level, next, va)?;
        }
        Ok(slot)
    }

    /// The entry of level `next` for `va` in the table under `slot`, an entry of `level`.
    #[inline(always)]
    fn below<'a>(&'a self, slot: &Slot<'a>, level: Level, next: Level, va: VirtAddr) -> Result<Slot<'a>, Blocked> {
        let mut desc = load(slot.entry);
        if !desc.is_table(level) {
            desc = self.add_table(slot, Leaf { va: va.align_down(level.size()), level, desc })?;
        }
        Ok(Slot { entry: &self.frames.table(desc.pfn())[next.index(va)], parent: Some(slot.entry) })
    }

    /// Hangs an empty table under `slot`, where `leaf` says that nothing is. Answers its descriptor.
    #[cold]
    #[inline]
    fn add_table(&self, slot: &Slot<'_>, leaf: Leaf) -> Result<Desc, Blocked> {
        if !leaf.desc.is_none() {
            return Err(Blocked::Leaf(leaf));
        }
        let desc = Desc::table(self.new_table()?);
        store(slot.entry, desc);
        match slot.parent {
            Some(_) => count_up(slot.parent, 1),
            None => self.root_used.set(self.root_used.get() + 1),
        }
        Ok(desc)
    }

    /// The way down to the lowest table whose entries `first..=last` needs more than one of, or a part of one of. Tables
    /// on their way out are entered too. It spares short ranges the recursion through every level.
    #[inline]
    fn descend(&self, first: u64, last: u64) -> Path<'_> {
        let mut path = Path { table: self.root, level: Level::Pgd, above: [None; 3] };
        let _ = self.one_down(&mut path, Level::Pgd, Level::Pud, first, last)
            && self.one_down(&mut path, Level::Pud, Level::Pmd, first, last)
            && self.one_down(&mut path, Level::Pmd, Level::Pte, first, last);
        path
    }

    /// From a table of `level` to that of `next`; not if it would be too far.
    #[inline(always)]
    fn one_down<'a>(&'a self, path: &mut Path<'a>, level: Level, next: Level, first: u64, last: u64) -> bool {
        let whole = last - first >= level.size() - 1;
        if (first ^ last) >> level.shift() != 0 || whole {
            return false;
        }
        let entry = &self.frames.table(path.table)[level.index(VirtAddr::new(first))];
        let desc = load(entry);
        if !desc.was_table(level) {
            return false;
        }
        path.above[level as usize] = Some(entry);
        (path.table, path.level) = (desc.pfn(), next);
        true
    }

    /// The entries of the level-3 table `table` for the pages of `first..=last`, with the addresses they stand for.
    #[inline]
    fn pages_of(&self, table: Pfn, first: u64, last: u64) -> impl Iterator<Item = (VirtAddr, &AtomicU64)> {
        let index = |va| Level::Pte.index(VirtAddr::new(va));
        let entries = self.frames.table(table)[index(first)..=index(last)].iter();
        entries.zip(0u64..).map(move |(entry, n)| (VirtAddr::new(first + (n << PAGE_SHIFT)), entry))
    }

    /// Tells the CPU of what has changed: first that it has, then that no TLB may remember.
    #[inline]
    fn settle(&self, changed: &Changed) {
        if changed.is_nothing() {
            return;
        }
        let reach = if changed.tables { Reach::Tables } else { Reach::Leaves };
        self.mmu.publish();
        // Whole entries, so that one operation for each size of them misses none.
        let within = changed.smallest.size() - 1;
        self.invalidate(span(changed.first & !within, changed.last | within), changed.smallest, reach);
    }

    /// No TLB knows entries of this tree in `range` any more; the one place that asks for it.
    #[inline]
    fn invalidate(&self, range: VirtRange, smallest: Level, reach: Reach) {
        if let Some(asid) = self.whose.asid() {
            self.mmu.invalidate(asid, range, smallest, reach);
        }
    }

    /// One valid entry to another state of it by the recipe at the head of this file. Afterwards no TLB knows the old.
    fn change(&self, entry: &AtomicU64, leaf: Leaf, new: Desc) {
        let range = span(leaf.va.get(), leaf.va.get() + (leaf.level.size() - 1));
        if leaf.desc.needs_break(new, leaf.level) {
            store_invalid(entry, leaf.desc);
            self.mmu.publish();
            self.invalidate(range, leaf.level, Reach::Leaves);
            store(entry, new);
            self.mmu.publish();
        } else {
            store(entry, new);
            self.mmu.publish();
            self.invalidate(range, leaf.level, Reach::Leaves);
        }
    }

    /// Cleans what is about to become executable and was not.
    #[inline]
    fn sync_code(&self, level: Level, old: Desc, new: Desc) {
        if !new.attributes().executable() {
            return;
        }
        let was = old.is_valid() && old.attributes().executable() && old.pfn() == new.pfn();
        if !was {
            self.mmu.sync_icache(new.pfn(), level.pages());
        }
    }
}

/// What stands at the entry of a page.
pub(crate) enum Entry<'a> {
    /// Nothing: the entry can be filled by [`Tables::fill_slot`].
    Empty(Slot<'a>),
    /// A leaf, perhaps a block.
    Leaf(Leaf),
}

/// Why there is no way down to an entry.
enum Blocked {
    OutOfMemory,
    /// A block, valid or not, covers the address.
    Leaf(Leaf),
}

impl From<OutOfMemory> for Blocked {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<F: Frames, U: Mmu> Drop for Tables<F, U> {
    fn drop(&mut self) {
        if self.origin == Origin::Made {
            self.clear();
            self.frames.free(self.root);
        }
        if let Some(table) = self.spare.take() {
            self.frames.free(table);
        }
    }
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// No CPU has the root loaded any more, and after this no TLB knows the tree: what [`release`](Self::release) takes away
    /// goes without another word to either.
    pub(crate) fn forget(&mut self) {
        if !self.forgotten.replace(true)
            && let Some(asid) = self.whose.asid()
        {
            self.mmu.invalidate_asid(asid);
        }
    }

    /// Lets go of everything but the root.
    fn clear(&mut self) {
        self.forget();
        if self.root_used.replace(0) != 0 {
            self.free_below(self.root, Level::Pgd);
        }
    }

    fn free_below(&self, table: Pfn, level: Level) {
        let entries = self.frames.table(table);
        for entry in entries.iter().filter(|entry| !load(entry).is_none()) {
            let desc = load(entry);
            match level.next() {
                Some(next) if desc.was_table(level) => {
                    if desc.is_counted() {
                        self.free_below(desc.pfn(), next);
                        self.frames.free(desc.pfn());
                    }
                }
                _ => self.free_leaf(level, desc),
            }
            self.mmu.pause();
        }
    }

    /// Gives back the frames of a leaf that is gone, where they are the tree's.
    #[inline]
    pub(crate) fn free_leaf(&self, level: Level, desc: Desc) {
        match desc.owner() {
            Owner::Tree if level == Level::Pte => page::unmapped(&self.frames, desc.pfn()),
            Owner::Tree => self.free_block(level, desc.pfn()),
            Owner::Other => self.note_dirty(level, desc),
        }
    }

    #[inline(never)]
    fn free_block(&self, level: Level, first: Pfn) {
        if level == Level::Pmd {
            return page::block_unmapped(&self.frames, first);
        }
        for n in 0..level.pages().get() {
            page::unmapped(&self.frames, Pfn::new(first.get() + n));
        }
    }

    /// The pages of a file behind a leaf that goes, or stops saying so, remember that they were stored to.
    #[inline]
    fn note_dirty(&self, level: Level, desc: Desc) {
        if desc.attributes().is_dirty() {
            self.remember_dirty(level, desc.pfn());
        }
    }

    #[inline(never)]
    fn remember_dirty(&self, level: Level, first: Pfn) {
        let all = (first.get()..first.get() + level.pages().get()).map(Pfn::new);
        for page in all.filter_map(|frame| self.frames.page(frame)) {
            page.set_page_dirty();
        }
    }
}
