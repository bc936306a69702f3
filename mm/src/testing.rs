//! A machine that knows the rules: frames that cannot be lent twice, and a walker and TLBs that remember all they may.
//!
//! Whenever the code under test calls it, the machine walks the whole tree as greedily as hardware is allowed to and
//! keeps every leaf and every table descriptor it sees until an invalidation drops it. It panics when
//! - a valid entry meets a remembered one that it may not follow without break-before-make,
//! - a frame or a table is freed that a TLB still knows, or is used after it was freed, or freed twice,
//! - a page becomes executable whose frame was not synchronised,
//! - at [`Machine::settled`], a TLB remembers anything the tables no longer say, or a leaf was made and not published.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use units::{PAGE_SIZE, PageCount, Pfn, VirtAddr, VirtRange};

use crate::commit::Commit;
use crate::desc::{Desc, Level};
use crate::page::Page;
use crate::seams::{Asid, Backing, Frames, Mapper, Mmu, OutOfMemory, PageOf, Poisoned, Reach, Run, TableMemory};
use crate::space::Access;

/// Frames from here on are blocks of files: never lent, never freed. What they hold follows from their number.
pub(crate) const PMEM: u64 = 1 << 30;
/// The space under test.
pub(crate) const ASID: Asid = Asid::new(7);
/// The space of a child of it.
pub(crate) const CHILD: Asid = Asid::new(8);
/// The frame of zeros.
const ZERO: Pfn = Pfn::new(1);

#[derive(Default)]
struct Tlb {
    /// First address of each leaf.
    leaves: BTreeMap<u64, (Level, Desc)>,
    /// First address and level of each table descriptor.
    tables: BTreeMap<(u64, u8), Pfn>,
}

pub(crate) struct Machine {
    memory: Vec<TableMemory>,
    free: RefCell<Vec<Pfn>>,
    lent: RefCell<BTreeSet<u64>>,
    synced: RefCell<BTreeSet<u64>>,
    /// What is remembered of each address space.
    tlb: RefCell<BTreeMap<u16, Tlb>>,
    roots: RefCell<BTreeMap<u16, Pfn>>,
    /// The leaves that were there at the last barrier: a lazy walker sees no others.
    published: RefCell<BTreeSet<(u16, u64, u64)>>,
    /// Allocations that succeed before one fails; `None`: all do.
    pub(crate) allowance: Cell<Option<u32>>,
    pub(crate) invalidations: Cell<u32>,
    pub(crate) publishes: Cell<u32>,
    pub(crate) commit: Commit,
    pages: Vec<Page>,
    /// Whether the hardware keeps access flags and dirty states (cortex-a72 does not).
    pub(crate) hardware: Cell<bool>,
    /// A store that another CPU makes while the next table is taken, if it can.
    pub(crate) racing: Cell<Option<VirtAddr>>,
    /// More frames than these are lent by then.
    pub(crate) racing_from: Cell<usize>,
    /// The descriptors of the first blocks of files.
    blocks: Vec<Page>,
    /// A frame that has no descriptor.
    pub(crate) undescribed: Cell<u64>,
    /// What was stored to blocks of files.
    stored: RefCell<BTreeMap<u64, u64>>,
}

impl Machine {
    pub(crate) fn new(frames: u64) -> Self {
        let machine = Self {
            memory: (0..frames + 2).map(|_| [const { AtomicU64::new(0) }; 512]).collect(),
            free: RefCell::new((2..frames + 2).map(Pfn::new).collect()),
            lent: RefCell::default(),
            synced: RefCell::default(),
            tlb: RefCell::default(),
            roots: RefCell::default(),
            published: RefCell::default(),
            allowance: Cell::new(None),
            invalidations: Cell::new(0),
            publishes: Cell::new(0),
            commit: Commit::new(),
            pages: (0..frames + 2).map(|_| Page::new()).collect(),
            blocks: (0..64).map(|_| Page::new()).collect(),
            hardware: Cell::new(false),
            racing: Cell::new(None),
            racing_from: Cell::new(0),
            undescribed: Cell::new(u64::MAX),
            stored: RefCell::default(),
        };
        // More than any program here asks for, but for those that ask for too much.
        machine.commit.set_total(PageCount::new(1 << 40));
        machine
    }

    /// From now on the walker walks this tree.
    pub(crate) fn load_root(&self, root: Pfn) {
        self.load(ASID, root);
    }

    /// From now on the walker walks this tree too, for the space `asid`.
    pub(crate) fn load(&self, asid: Asid, root: Pfn) {
        self.roots.borrow_mut().insert(asid.get(), root);
        self.walk_all();
        // Whoever loads a root has a barrier between what it holds and the load.
        *self.published.borrow_mut() = self.leaves();
    }

    pub(crate) fn lent(&self) -> usize {
        self.lent.borrow().len()
    }

    /// The first word of a frame.
    pub(crate) fn word(&self, frame: Pfn) -> u64 {
        match frame.get() {
            pmem if pmem >= PMEM => self.stored.borrow().get(&pmem).copied().unwrap_or(pmem),
            lent => self.memory[lent as usize][0].load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_word(&self, frame: Pfn, word: u64) {
        if frame.get() >= PMEM {
            self.stored.borrow_mut().insert(frame.get(), word);
            return;
        }
        assert!(self.lent.borrow().contains(&frame.get()), "a store to {frame}, which is nobody's to write");
        self.memory[frame.get() as usize][0].store(word, Ordering::Relaxed);
    }

    /// Panics where a TLB remembers what is no longer so, or a walker need not know of what is.
    pub(crate) fn settled(&self) {
        self.walk_all();
        let published = self.published.borrow();
        for (asid, va, bits) in self.leaves() {
            assert!(published.contains(&(asid, va, bits)), "{va:#x} was not published");
        }
        self.check_runs();
        for (asid, tlb) in self.tlb.borrow().iter() {
            for (va, (level, desc)) in &tlb.leaves {
                let now = self.lookup(*asid, VirtAddr::new(*va), *level);
                let mask = !(crate::desc::SW_OWNED);
                assert_eq!(now.map(|d| d.bits() & mask), Some(desc.bits() & mask), "the TLB is behind at {va:#x}");
            }
        }
    }

    /// Of a contiguous run all sixteen are there, over frames that follow each other, and say the same.
    fn check_runs(&self) {
        let tlbs = self.tlb.borrow();
        for tlb in tlbs.values() {
            for (va, (level, desc)) in tlb.leaves.iter().filter(|(_, (_, desc))| desc.attributes().is_contiguous()) {
                let run = va & !(16 * level.size() - 1);
                for n in 0..16 {
                    let other = tlb.leaves.get(&(run + n * level.size())).map(|(_, other)| other.bits());
                    let frames = desc.pfn().get().wrapping_sub((va - run) / level.size() * level.pages().get());
                    let at = frames + n * level.pages().get();
                    assert_eq!(other, Some(desc.over(Pfn::new(at)).bits()), "{va:#x}: a run that is not one");
                }
            }
        }
    }

    fn leaves(&self) -> BTreeSet<(u16, u64, u64)> {
        let mut leaves = BTreeSet::new();
        for (asid, root) in self.roots.borrow().iter() {
            self.list(*asid, *root, Level::Pgd, 0, &mut leaves);
        }
        leaves
    }

    fn list(&self, asid: u16, table: Pfn, level: Level, base: u64, leaves: &mut BTreeSet<(u16, u64, u64)>) {
        for index in 0..512 {
            let desc = self.entry(table, index);
            let va = base + ((index as u64) << level.shift());
            match level.next() {
                _ if !desc.is_valid() => {}
                Some(next) if desc.is_table(level) => self.list(asid, desc.pfn(), next, va, leaves),
                _ => drop(leaves.insert((asid, va, desc.bits()))),
            }
        }
    }

    /// One access of a program, as the hardware does it: whether it succeeds without a fault. Sets the access flag, and
    /// clears AP[2] where DBM is set, if this machine can.
    pub(crate) fn access(&self, asid: Asid, va: VirtAddr, access: Access) -> bool {
        self.walk_all();
        let Some((table, level)) = self.leaf_of(asid, va) else { return false };
        let entry = &self.table(table)[level.index(va)];
        let now = Desc::from_bits(entry.load(Ordering::Relaxed));
        let first = va.align_down(level.size()).get();
        let mut tlbs = self.tlb.borrow_mut();
        let tlb = tlbs.entry(asid.get()).or_default();
        let cached = tlb.leaves.range(..=va.get()).next_back();
        let cached = cached.filter(|(at, (level, _))| va.get() - **at < level.size()).map(|(_, (_, desc))| *desc);
        let mut desc = cached.unwrap_or(now);
        if !desc.is_valid() || !self.hardware.get() && !desc.attributes().is_young() {
            return false;
        }
        let rights = desc.attributes().young();
        let store = access == Access::Write;
        if store && !rights.writable() && !(rights.may_store() && self.hardware.get()) {
            return false;
        }
        // AP[2] is bit 7.
        let rights =
            if store && !rights.writable() { rights.bits() & !crate::desc::AP_READ_ONLY } else { rights.bits() };
        let changed = desc.bits() & !(crate::desc::AP_READ_ONLY | crate::desc::AF);
        desc = Desc::from_bits(changed | rights & (crate::desc::AP_READ_ONLY | crate::desc::AF));
        if desc.pfn() == now.pfn() && now.is_valid() {
            entry.store(now.bits() & !(crate::desc::AP_READ_ONLY & !desc.bits()) | crate::desc::AF, Ordering::Relaxed);
            self.published.borrow_mut().insert((asid.get(), first, entry.load(Ordering::Relaxed)));
            tlb.leaves.insert(first, (level, desc));
        }
        true
    }

    /// The table of the leaf that is for `va`, and its level.
    fn leaf_of(&self, asid: Asid, va: VirtAddr) -> Option<(Pfn, Level)> {
        let (mut table, mut level) = (*self.roots.borrow().get(&asid.get())?, Level::Pgd);
        loop {
            let desc = self.entry(table, level.index(va));
            match level.next() {
                Some(next) if desc.is_table(level) => (table, level) = (desc.pfn(), next),
                _ => return desc.is_valid().then_some((table, level)),
            }
        }
    }

    fn lookup(&self, asid: u16, va: VirtAddr, at: Level) -> Option<Desc> {
        let (mut table, mut level) = (*self.roots.borrow().get(&asid)?, Level::Pgd);
        loop {
            let desc = self.entry(table, level.index(va));
            if level == at {
                return desc.is_valid().then_some(desc);
            }
            table = desc.is_table(level).then(|| desc.pfn())?;
            level = level.next()?;
        }
    }

    fn entry(&self, table: Pfn, index: usize) -> Desc {
        Desc::from_bits(self.table(table)[index].load(Ordering::Relaxed))
    }

    /// The walker looks at everything it can reach.
    fn walk_all(&self) {
        // A test that has failed already drops what it holds: no second panic on that way.
        if std::thread::panicking() {
            return;
        }
        let mut tlbs = self.tlb.borrow_mut();
        for (asid, root) in self.roots.borrow().iter() {
            self.walk_table(tlbs.entry(*asid).or_default(), *root, Level::Pgd, 0);
        }
    }

    fn walk_table(&self, tlb: &mut Tlb, table: Pfn, level: Level, base: u64) {
        for index in 0..512 {
            let desc = self.entry(table, index);
            if !desc.is_valid() {
                continue;
            }
            let va = base + ((index as u64) << level.shift());
            assert!(!desc.is_bad(level), "{desc:?} at level {level:?}");
            match level.next() {
                Some(next) if desc.is_table(level) => {
                    Self::meet_table(tlb, va, level, desc);
                    self.walk_table(tlb, desc.pfn(), next, va);
                }
                _ => self.meet_leaf(tlb, va, level, desc),
            }
        }
    }

    fn meet_table(tlb: &mut Tlb, va: u64, level: Level, desc: Desc) {
        let old = tlb.tables.insert((va, level as u8), desc.pfn());
        assert!(old.is_none_or(|old| old == desc.pfn()), "{va:#x}: a table was exchanged without break-before-make");
        let end = va + level.size();
        let big = tlb.leaves.range(va..end).find(|(_, (leaf, _))| *leaf == level);
        assert!(big.is_none(), "{va:#x}: a block became a table without break-before-make");
    }

    fn meet_leaf(&self, tlb: &mut Tlb, va: u64, level: Level, desc: Desc) {
        let end = va + level.size();
        for (at, (size, old)) in tlb.leaves.range(..end).rev().take_while(|(at, (size, _))| *at + size.size() > va) {
            assert!(
                !old.attributes().is_contiguous() || *old == desc,
                "{va:#x}: one of a contiguous run was changed: {old:?} to {desc:?}"
            );
            assert!(
                *at == va && *size == level && !old.needs_break(desc, level),
                "{va:#x}: {old:?} to {desc:?} without break-before-make"
            );
        }
        let below = tlb.tables.range((va, level as u8)..(end, 0)).find(|((at, l), _)| *at >= va && *l == level as u8);
        assert!(below.is_none(), "{va:#x}: a table became a block without break-before-make");
        if desc.attributes().executable() {
            let synced = self.synced.borrow();
            let dirty = (0..level.pages().get()).find(|n| !synced.contains(&(desc.pfn().get() + n)));
            assert_eq!(dirty, None, "{va:#x}: executable before its instructions were synchronised");
        }
        if !desc.attributes().is_young() {
            // No TLB keeps what would fault, or would have to be written back.
            return;
        }
        // What is remembered stays, also where the tables allow more or less by now.
        tlb.leaves.entry(va).or_insert((level, desc));
    }

    fn drop_va(tlb: &mut Tlb, va: u64, reach: Reach) {
        let hit = tlb.leaves.range(..=va).next_back().filter(|(at, (level, _))| va - **at < level.size());
        if let Some(at) = hit.map(|(at, _)| *at) {
            tlb.leaves.remove(&at);
        }
        if reach == Reach::Tables {
            for level in [Level::Pgd, Level::Pud, Level::Pmd] {
                tlb.tables.remove(&(va & !(level.size() - 1), level as u8));
            }
        }
    }

    /// A frame comes back, which the walker has just looked for.
    fn take_back(&self, frame: Pfn) {
        assert!(self.lent.borrow_mut().remove(&frame.get()), "{frame} freed, but it was not lent");
        let held = self.page(frame).map(|page| (page.count(), page.map_count()));
        assert!(held.is_none_or(|held| held == (0, 0)), "{frame} freed while somebody holds it: {held:?}");
        let tlbs = self.tlb.borrow();
        let leaf = tlbs.values().flat_map(|tlb| tlb.leaves.values()).find(|(level, desc)| {
            let first = desc.pfn().get();
            (first..first + level.pages().get()).contains(&frame.get())
        });
        assert!(leaf.is_none(), "{frame} freed while a TLB maps it");
        let known = tlbs.values().flat_map(|tlb| tlb.tables.values()).any(|table| *table == frame);
        assert!(!known, "{frame} freed while a walker knows it as a table");
        self.free.borrow_mut().push(frame);
    }
}

impl Frames for Machine {
    fn alloc_zeroed(&self) -> Result<Pfn, OutOfMemory> {
        let frame = self.alloc()?;
        for word in &self.memory[frame.get() as usize] {
            word.store(0, Ordering::Relaxed);
        }
        Ok(frame)
    }

    fn alloc(&self) -> Result<Pfn, OutOfMemory> {
        self.walk_all();
        if let Some(va) = self.racing.get()
            && self.lent.borrow().len() > self.racing_from.get()
        {
            self.racing.set(None);
            assert!(self.access(ASID, va, Access::Write), "the racing store faults");
        }
        if let Some(left) = self.allowance.get() {
            self.allowance.set(Some(left.checked_sub(1).ok_or(OutOfMemory)?));
        }
        let frame = self.free.borrow_mut().pop().ok_or(OutOfMemory)?;
        assert!(self.lent.borrow_mut().insert(frame.get()), "{frame} lent twice");
        self.synced.borrow_mut().remove(&frame.get());
        for word in &self.memory[frame.get() as usize] {
            word.store(0x5a5a_5a5a_5a5a_5a5b, Ordering::Relaxed);
        }
        Ok(frame)
    }

    fn free(&self, frame: Pfn) {
        if std::thread::panicking() {
            return;
        }
        self.walk_all();
        self.take_back(frame);
    }

    fn free_huge(&self, first: Pfn) {
        if std::thread::panicking() {
            return;
        }
        self.walk_all();
        (first.get()..first.get() + 512).for_each(|frame| self.take_back(Pfn::new(frame)));
    }

    fn alloc_huge(&self) -> Result<Pfn, OutOfMemory> {
        let mut free = self.free.borrow_mut();
        let all: BTreeSet<u64> = free.iter().map(|frame| frame.get()).collect();
        let whole = |first: &u64| (*first..first + 512).all(|frame| all.contains(&frame));
        let first = (512..self.pages.len() as u64).step_by(512).find(whole).ok_or(OutOfMemory)?;
        free.retain(|frame| !(first..first + 512).contains(&frame.get()));
        for frame in first..first + 512 {
            assert!(self.lent.borrow_mut().insert(frame), "{frame:#x} lent twice");
            self.synced.borrow_mut().remove(&frame);
            self.memory[frame as usize].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        Ok(Pfn::new(first))
    }

    fn zero_page(&self) -> Pfn {
        ZERO
    }

    fn copy(&self, from: Pfn, to: Pfn) -> Result<(), Poisoned> {
        if from.get() == PMEM + BAD {
            return Err(Poisoned);
        }
        let word = self.word(from);
        self.set_word(to, word);
        Ok(())
    }

    fn page(&self, frame: Pfn) -> Option<&Page> {
        match frame.get() {
            pmem if pmem >= PMEM => self.blocks.get((pmem - PMEM) as usize),
            frame if self.undescribed.get() == frame => None,
            frame => self.pages.get(frame as usize),
        }
    }

    fn pages(&self, first: Pfn, count: PageCount) -> Option<&[Page]> {
        let range = first.get()..first.get().checked_add(count.get())?;
        if range.contains(&self.undescribed.get()) {
            return None;
        }
        self.pages.get(range.start as usize..range.end as usize)
    }

    fn commit(&self) -> &Commit {
        &self.commit
    }

    fn table(&self, frame: Pfn) -> &TableMemory {
        assert!(self.lent.borrow().contains(&frame.get()), "{frame} used as a table, but it is free");
        &self.memory[frame.get() as usize]
    }
}

impl Mmu for Machine {
    fn publish(&self) {
        self.publishes.set(self.publishes.get() + 1);
        self.walk_all();
        *self.published.borrow_mut() = self.leaves();
    }

    fn invalidate(&self, asid: Asid, range: VirtRange, smallest: Level, reach: Reach) {
        assert_eq!(*self.published.borrow(), self.leaves(), "invalidated before the stores were published");
        self.walk_all();
        self.invalidations.set(self.invalidations.get() + 1);
        let steps = range.len().get().div_ceil(smallest.size());
        if steps > 1024 {
            return self.invalidate_asid(asid);
        }
        // One operation for each entry, as the instruction works: it drops what covers its address and no more.
        if let Some(tlb) = self.tlb.borrow_mut().get_mut(&asid.get()) {
            for step in 0..steps {
                Self::drop_va(tlb, range.start().get() + step * smallest.size(), reach);
            }
        }
        self.walk_all();
    }

    fn invalidate_asid(&self, asid: Asid) {
        // Called by `Drop` too, when no CPU has the root loaded any more.
        self.tlb.borrow_mut().remove(&asid.get());
    }

    fn sets_access_flag(&self) -> bool {
        self.hardware.get()
    }

    fn sync_icache(&self, first: Pfn, count: PageCount) {
        self.synced.borrow_mut().extend(first.get()..first.get() + count.get());
    }
}

/// No CPU runs in the space any more.
pub(crate) fn unload(machine: &Machine) {
    unload_one(machine, ASID);
}

/// No CPU runs in the space `asid` any more.
pub(crate) fn unload_one(machine: &Machine, asid: Asid) {
    machine.roots.borrow_mut().remove(&asid.get());
}

/// The page of every file whose medium is bad.
pub(crate) const BAD: u64 = 0xbad;

/// A file for tests: its page `n` lies in frame `PMEM + first + n`, except for what `holes` and `len` say.
#[derive(Clone, Debug)]
pub(crate) struct TestFile {
    pub(crate) first: u64,
    pub(crate) len: u64,
    /// One page in so many is a hole; 0: none is.
    pub(crate) holes: u64,
    pub(crate) promise: std::rc::Rc<Promise>,
}

/// What the clones of a file have in common.
#[derive(Debug, Default)]
pub(crate) struct Promise {
    /// Its `i_mmap`.
    pub(crate) links: RefCell<BTreeSet<Mapper>>,
    /// Pages that may be stored to.
    pub(crate) prepared: RefCell<BTreeSet<u64>>,
    /// Pages that lie in other blocks by now.
    pub(crate) moved: RefCell<BTreeMap<u64, u64>>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.links.borrow().is_empty(), "a VMA went and its file still knows it");
        }
    }
}

impl TestFile {
    pub(crate) fn new(first: u64, len: u64, holes: u64) -> Self {
        Self { first, len, holes, promise: std::rc::Rc::default() }
    }

    /// What the kernel's glue does where a fault was not prepared for.
    pub(crate) fn prepare(&self, index: u64) {
        self.promise.prepared.borrow_mut().insert(index);
    }

    fn is_prepared(&self, index: u64) -> bool {
        self.promise.prepared.borrow().contains(&index)
    }

    fn at(&self, index: u64) -> PageOf {
        if index >= self.len {
            PageOf::Beyond
        } else if self.holes != 0 && index % self.holes == self.holes - 1 && !self.is_prepared(index) {
            PageOf::Zero
        } else {
            let block = self.promise.moved.borrow().get(&index).copied().unwrap_or(self.first + index);
            PageOf::Frame(Pfn::new(PMEM + block))
        }
    }

    /// What a program reads in page `index` before it writes.
    pub(crate) fn word(&self, index: u64) -> Option<u64> {
        match self.at(index) {
            PageOf::Frame(frame) => Some(frame.get()),
            PageOf::Zero => Some(0),
            PageOf::Beyond | PageOf::Unprepared | PageOf::Poisoned => None,
        }
    }
}

impl Backing for TestFile {
    fn run(&self, index: u64, max: PageCount) -> Run {
        let page = self.at(index);
        let follows = |n: &u64| match (page, self.at(index + n)) {
            (PageOf::Frame(first), PageOf::Frame(next)) => next.get() == first.get() + n,
            (PageOf::Zero, PageOf::Zero) | (PageOf::Beyond, PageOf::Beyond) => true,
            _ => false,
        };
        let count = 1 + (1..max.get()).take_while(follows).count() as u64;
        Run { page, count: PageCount::new(count) }
    }

    fn same(&self, other: &Self) -> bool {
        std::rc::Rc::ptr_eq(&self.promise, &other.promise)
    }

    fn link(&self, mapper: Mapper) -> Result<(), OutOfMemory> {
        assert!(self.promise.links.borrow_mut().insert(mapper), "{mapper:?} linked twice");
        Ok(())
    }

    fn relink(&self, old: Mapper, new: Mapper) {
        self.unlink(old);
        assert!(self.promise.links.borrow_mut().insert(new), "{new:?} linked twice");
    }

    fn unlink(&self, mapper: Mapper) {
        assert!(self.promise.links.borrow_mut().remove(&mapper), "{mapper:?} was not linked");
    }

    fn may_store(&self, index: u64, count: PageCount) -> bool {
        (index..index + count.get()).all(|index| self.is_prepared(index))
    }
}

/// `n` pages in bytes.
pub(crate) const fn pages(n: u64) -> u64 {
    n * PAGE_SIZE
}
