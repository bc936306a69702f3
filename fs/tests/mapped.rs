//! Files that programs share: a program that stores past the file system, between any two steps of a call, against a model.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::{BLOCK, NOW, SimNode, assert_clean, fresh, read_at, write_at};
use fs::{Away, Error, Fallocate, Faulted, Fs, IomapKind, Mapped, NewNode, Pin, Time};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use proptest::prelude::*;
use units::{FileOff, FileRange, PmOff};

/// What a program has in its tables for one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    /// The block; `None` shows zeros.
    at: Option<PmOff>,
    writable: bool,
}

/// The tables of a program that maps all of one file.
#[derive(Default)]
struct Program {
    entries: Mutex<BTreeMap<u64, Entry>>,
    /// What is asked for in the middle of a call, before the entries go: blocks that are stored to at that moment.
    racing: Mutex<Vec<u64>>,
    node: Mutex<Option<SimNode>>,
}

impl Mapped for Program {
    fn is_mapped(&self) -> bool {
        true
    }

    fn take_away(&self, (first, last): (u64, u64), what: Away) {
        let racing = std::mem::take(&mut *self.racing.lock().unwrap());
        let node = self.node.lock().unwrap().clone();
        for block in racing {
            // An entry that is there is used until it is gone; a fault must not make a new one.
            let there = self.entries.lock().unwrap().get(&block).copied();
            if let (Some(Entry { at: Some(at), writable: true }), Some(node)) = (there, &node) {
                node.fs().medium().store(PmOff::new(at.get() + 7), b"raced");
            }
            if let Some(node) = &node
                && (first..last).contains(&block)
                && what == Away::Pages
            {
                assert!(matches!(node.fault(block, 1), Faulted::Changing | Faulted::Beyond));
                assert!(
                    !node.may_store((block, block + 1), NOW),
                    "a store is allowed to a block that is being replaced"
                );
            }
        }
        let mut entries = self.entries.lock().unwrap();
        let blocks: Vec<u64> = entries.range(first..last).map(|(block, _)| *block).collect();
        for block in blocks {
            match what {
                Away::Pages => drop(entries.remove(&block)),
                Away::Stores => entries.get_mut(&block).unwrap().writable = false,
            }
        }
    }
}

struct Sharing {
    node: SimNode,
    program: Arc<Program>,
}

impl Sharing {
    fn new(node: &SimNode) -> Self {
        let program = Arc::new(Program::default());
        let mapped = node.mapped(|| program.clone()).clone();
        assert!(Arc::ptr_eq(&mapped, &(program.clone() as Arc<dyn Mapped>)));
        *program.node.lock().unwrap() = Some(node.clone());
        Self { node: node.clone(), program }
    }

    fn medium(&self) -> &SimMedium {
        self.node.fs().medium()
    }

    /// One touch, faults served; `None` is a bus error.
    fn touch(&self, block: u64, store: bool) -> Result<Option<Entry>, Error> {
        for _ in 0..4 {
            let there = self.program.entries.lock().unwrap().get(&block).copied();
            if let Some(entry) = there.filter(|entry| entry.writable || !store) {
                return Ok(Some(entry));
            }
            let map = match self.node.fault(block, 1) {
                Faulted::Beyond => return Ok(None),
                Faulted::Changing => panic!("a change that is over is still under way"),
                Faulted::Shown(map) => map,
            };
            let at = (map.kind == IomapKind::Mapped).then_some(map.addr);
            let entry = Entry { at, writable: store && self.node.may_store((block, block + 1), NOW) };
            if store && !entry.writable {
                self.node.make_writable(block, NOW)?;
                continue;
            }
            assert!(!entry.writable || at.is_some());
            self.program.entries.lock().unwrap().insert(block, entry);
        }
        panic!("a store faults for ever");
    }

    fn store(&self, at: u64, bytes: &[u8]) -> Result<bool, Error> {
        let Some(entry) = self.touch(at / BLOCK, true)? else { return Ok(false) };
        self.medium().store(PmOff::new(entry.at.unwrap().get() + at % BLOCK), bytes);
        Ok(true)
    }

    fn load(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let entry = self.touch(at / BLOCK, false).unwrap()?;
        let mut bytes = vec![0; len];
        if let Some(block) = entry.at {
            self.medium().load(PmOff::new(block.get() + at % BLOCK), &mut bytes).unwrap();
        }
        Some(bytes)
    }
}

fn file(fs: &Arc<Fs<SimMedium>>, bytes: &[u8]) -> SimNode {
    let node = fs.root().create(b"f", NewNode::File { mode: 0o644 }, NOW).unwrap();
    write_at(&node, 0, bytes).unwrap();
    node
}

fn range(from: u64, to: u64) -> FileRange {
    FileRange::new(FileOff::new(from), FileOff::new(to)).unwrap()
}

/// The bytes a peek would show, up to the end of the last page.
fn shown(pin: &Pin<SimMedium>) -> Vec<u8> {
    let end = pin.size().next_multiple_of(BLOCK);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < end {
        let map = pin.iomap(FileOff::new(bytes.len() as u64));
        let len = map.length.get().min(end - bytes.len() as u64);
        let mut part = vec![0; len as usize];
        if map.kind == IomapKind::Mapped {
            pin.fs().medium().load(map.addr, &mut part).unwrap();
        }
        bytes.append(&mut part);
    }
    if pin.is_ragged() {
        // Whoever shows the page shows a copy of it.
        bytes[pin.size() as usize..].fill(0);
    }
    bytes
}

#[test]
fn a_store_goes_in_place_unless_a_pin_wants_the_block_to_stay() {
    let fs = fresh(1024);
    let node = file(&fs, &[1; 3 * 4096]);
    let sharing = Sharing::new(&node);
    let used = fs.space().free;
    assert!(sharing.store(10, b"in place").unwrap());
    assert_eq!((fs.space().free, read_at(&node, 10, 8).unwrap().as_slice()), (used, &b"in place"[..]));
    let pin = node.pin_all().unwrap();
    let before = shown(&pin);
    assert!(sharing.store(10, b"elsewhere").unwrap());
    assert_eq!((fs.space().free, fs.space().pinned), (used - 1, 1));
    assert_eq!(read_at(&node, 10, 9).unwrap(), b"elsewhere");
    assert!(shown(&pin) == before);
    assert!(sharing.store(20, b"again").unwrap());
    assert_eq!(fs.space().pinned, 1, "the copy is nobody's to keep");
    drop(pin);
    assert_eq!((fs.space().free, fs.space().pinned), (used, 0));
    // Who only looks where the blocks lie keeps no store away.
    let hold = node.hold(range(0, 3 * BLOCK)).unwrap();
    assert!(sharing.store(BLOCK, b"in place").unwrap());
    assert_eq!(fs.space().free, used);
    drop(hold);
    assert_clean(fs.medium());
}

#[test]
fn a_hole_and_a_promised_block_get_theirs_with_the_first_store() {
    let fs = fresh(1024);
    let node = file(&fs, b"x");
    node.truncate(8 * BLOCK, NOW).unwrap();
    let sharing = Sharing::new(&node);
    let free = fs.space().free;
    assert_eq!(sharing.load(5 * BLOCK, 4).unwrap(), [0; 4]);
    assert_eq!(fs.space().free, free, "a load takes nothing");
    assert!(sharing.store(5 * BLOCK + 9, b"stored").unwrap());
    assert_eq!((fs.space().free, read_at(&node, 5 * BLOCK + 8, 8).unwrap()), (free - 1, b"\0stored\0".to_vec()));
    node.fallocate(Fallocate::Allocate, range(6 * BLOCK, 8 * BLOCK), NOW).unwrap();
    let free = fs.space().free;
    let pin = node.pin_all().unwrap();
    let before = shown(&pin);
    assert!(sharing.store(6 * BLOCK, b"promised").unwrap());
    assert_eq!((fs.space().free, fs.space().pinned), (free, 0), "the very block that was promised");
    assert!(shown(&pin) == before);
    drop(pin);
    assert_eq!(read_at(&node, 6 * BLOCK, 9).unwrap(), b"promised\0");
    assert_clean(fs.medium());
    // What a store has got is there after a cut, before anything says so.
    let node = Fs::mount(fs.medium().cut(), fs::Mount::default()).unwrap().root().lookup(b"f").unwrap();
    let blocks =
        (0..8).filter(|block| matches!(node.fault(*block, 1), Faulted::Shown(map) if map.kind == IomapKind::Mapped));
    assert_eq!(blocks.collect::<Vec<_>>(), [0, 5, 6]);
}

#[test]
fn pages_stored_to_in_any_order_lie_in_whole_huge_runs() {
    const HUGE: u64 = 512;
    let fs = fresh(8 * HUGE);
    let node = file(&fs, b"x");
    let other = fs.root().create(b"other", NewNode::File { mode: 0o644 }, NOW).unwrap();
    node.truncate(0, NOW).unwrap();
    node.truncate(2 * HUGE * BLOCK, NOW).unwrap();
    let (sharing, free) = (Sharing::new(&node), fs.space().free);
    for step in 0..2 * HUGE {
        assert!(sharing.store(step * 389 % (2 * HUGE) * BLOCK, b"stored").unwrap());
        // Small files have their own places.
        if step % 16 == 0 {
            write_at(&other, step * BLOCK, b"other").unwrap();
        }
    }
    assert!(free - fs.space().free >= 2 * HUGE + 2 * HUGE / 16);
    for first in [0, HUGE] {
        let Faulted::Shown(map) = node.fault(first, HUGE) else { panic!("all of it is there") };
        let place = (map.length.get(), map.addr.get() % (HUGE * BLOCK));
        assert_eq!(place, (HUGE * BLOCK, 0), "one run from file block {first} on, aligned as the file is");
    }
    assert_clean(fs.medium());
}

#[test]
fn a_store_that_finds_no_block_is_refused_and_one_that_was_promised_is_not() {
    let fs = fresh(512);
    let node = file(&fs, b"x");
    node.truncate(16 * BLOCK, NOW).unwrap();
    node.fallocate(Fallocate::Allocate, range(4 * BLOCK, 5 * BLOCK), NOW).unwrap();
    let sharing = Sharing::new(&node);
    let filler = fs.root().create(b"filler", NewNode::File { mode: 0o600 }, NOW).unwrap();
    let mut at = 0;
    while write_at(&filler, at, &[7; 4096]).is_ok() {
        at += BLOCK;
    }
    assert_eq!(sharing.store(9 * BLOCK, b"no room"), Err(Error::NoSpace));
    assert_eq!(sharing.load(9 * BLOCK, 7).unwrap(), [0; 7]);
    assert!(sharing.store(4 * BLOCK, b"room").unwrap());
    let pin = node.pin_all().unwrap();
    assert_eq!(sharing.store(4 * BLOCK, b"more"), Err(Error::NoSpace));
    drop(pin);
    assert!(sharing.store(4 * BLOCK, b"more").unwrap());
    assert_eq!(read_at(&node, 4 * BLOCK, 4).unwrap(), b"more");
    assert_clean(fs.medium());
}

#[test]
fn what_is_stored_behind_the_end_is_never_a_part_of_the_file() {
    type Grow = fn(&SimNode);
    let growths: [Grow; 5] = [
        |node| node.truncate(300, NOW).unwrap(),
        |node| node.truncate(9000, NOW).unwrap(),
        |node| assert!(write_at(node, 9000, b"far").is_ok()),
        |node| node.fallocate(Fallocate::Allocate, range(0, 9000), NOW).unwrap(),
        |node| node.fallocate(Fallocate::Zero, range(8192, 9000), NOW).unwrap(),
    ];
    for (n, grow) in growths.into_iter().enumerate() {
        for remount in [false, true] {
            let fs = fresh(1024);
            let node = file(&fs, &[3; 100]);
            let sharing = Sharing::new(&node);
            assert!(sharing.store(60, &[9; 80]).unwrap());
            let pin = node.pin_all().unwrap();
            assert!(pin.is_ragged() && !node.hold(range(0, 1)).unwrap().is_ragged());
            assert_eq!(shown(&pin)[98..], [[9, 9].as_slice(), &[0; 4096 - 100]].concat()[..]);
            drop(pin);
            let fs = if remount {
                let medium = fs.medium().clone();
                *sharing.program.node.lock().unwrap() = None;
                drop((sharing, node, fs));
                common::mount(medium)
            } else {
                fs
            };
            let node = fs.root().lookup(b"f").unwrap();
            grow(&node);
            let size = node.attr().size;
            let expected: Vec<u8> = [[3; 60].as_slice(), &[9; 40], &[0; 200]].concat();
            assert_eq!(read_at(&node, 0, 300).unwrap(), expected, "growth {n}");
            assert!(size >= 300 && !node.pin_all().unwrap().is_ragged());
            assert_eq!(Fs::check(fs.medium()).ragged, 0);
        }
    }
}

#[test]
fn times_follow_a_store() {
    let fs = fresh(1024);
    let node = file(&fs, &[1; 4096]);
    let later = Time::new(NOW.secs + 5, 0);
    assert!(node.may_store((0, 1), later));
    assert_eq!((node.attr().mtime, node.attr().ctime), (later, later));
    node.record_stores(None).unwrap();
    let last = Time::new(NOW.secs + 9, 0);
    node.record_stores(Some(last)).unwrap();
    let again = common::mount(fs.medium().cut());
    assert_eq!(again.root().lookup(b"f").unwrap().attr().mtime, last);
}

#[test]
fn what_is_said_to_be_stored_is_cleaned() {
    let fs = fresh(1024);
    let node = file(&fs, &[1; 3 * 4096]);
    let sharing = Sharing::new(&node);
    for block in 0..3 {
        assert!(sharing.store(block * BLOCK, b"stored").unwrap());
    }
    let second = sharing.touch(1, false).unwrap().unwrap().at.unwrap().block();
    assert!(node.clean_stores((0, 3), |block| block == second).unwrap());
    assert!(!node.clean_stores((0, 3), |_| false).unwrap());
    let cut = common::mount(fs.medium().cut()).root().lookup(b"f").unwrap();
    let durable: Vec<bool> = (0..3).map(|block| read_at(&cut, block * BLOCK, 6).unwrap() == b"stored").collect();
    assert_eq!(durable, [false, true, false]);
}

/// One step of whoever has to do with the file.
#[derive(Clone, Debug)]
enum Step {
    Store(u64, u8),
    Load(u64),
    Write(u64, usize, u8),
    Truncate(u64),
    Fallocate(Fallocate, u64, u64),
    Peek,
    Unpeek,
    /// The next call meets a program that stores to these blocks at that moment.
    Race(Vec<u64>),
}

const SIZE: u64 = 9 * BLOCK;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop::sample::select(vec![
        Fallocate::Allocate,
        Fallocate::AllocateKeepSize,
        Fallocate::Punch,
        Fallocate::Zero,
        Fallocate::ZeroKeepSize,
    ]);
    let step = prop_oneof![
        6 => (0..SIZE, 1u8..).prop_map(|(at, byte)| Step::Store(at, byte)),
        4 => (0..SIZE).prop_map(Step::Load),
        3 => (0..SIZE - 3 * BLOCK, 1usize..12_000, 1u8..).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        2 => (0..SIZE).prop_map(Step::Truncate),
        2 => (how, 0..SIZE - BLOCK, 1..9000u64).prop_map(|(how, at, len)| Step::Fallocate(how, at, len.min(SIZE - at))),
        2 => Just(Step::Peek),
        1 => Just(Step::Unpeek),
        1 => prop::collection::vec(0..9u64, 1..4).prop_map(Step::Race),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn calls_stores_and_peeks_agree_with_a_plain_file(steps in steps()) {
        let fs = fresh(1024);
        let free = fs.space().free;
        let node = file(&fs, &[1; 5000]);
        let sharing = Sharing::new(&node);
        let mut model = vec![1u8; 5000];
        let mut peeks: Vec<(Pin<SimMedium>, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Store(at, byte) => {
                    let pages = model.len().div_ceil(BLOCK as usize) as u64;
                    let stored = sharing.store(at, &[byte]).unwrap();
                    prop_assert_eq!(stored, at / BLOCK < pages);
                    if let Some(there) = model.get_mut(at as usize) {
                        *there = byte;
                    }
                }
                Step::Load(at) => {
                    let pages = model.len().div_ceil(BLOCK as usize) as u64;
                    let loaded = sharing.load(at, 1);
                    prop_assert_eq!(loaded.is_some(), at / BLOCK < pages);
                    if let Some(there) = model.get(at as usize) {
                        prop_assert_eq!(loaded.unwrap()[0], *there, "at {}", at);
                    }
                }
                Step::Write(at, len, byte) => {
                    write_at(&node, at, &vec![byte; len]).unwrap();
                    model.resize(model.len().max(at as usize + len), 0);
                    model[at as usize..at as usize + len].fill(byte);
                }
                Step::Truncate(size) => {
                    node.truncate(size, NOW).unwrap();
                    model.resize(size as usize, 0);
                }
                Step::Fallocate(how, at, len) => {
                    node.fallocate(how, range(at, at + len), NOW).unwrap();
                    if matches!(how, Fallocate::Allocate | Fallocate::Zero) {
                        model.resize(model.len().max((at + len) as usize), 0);
                    }
                    if matches!(how, Fallocate::Punch | Fallocate::Zero | Fallocate::ZeroKeepSize) {
                        let end = ((at + len) as usize).min(model.len());
                        model[(at as usize).min(end)..end].fill(0);
                    }
                }
                Step::Peek => {
                    let pin = node.pin_all().unwrap();
                    let mut bytes = model.clone();
                    bytes.resize(model.len().next_multiple_of(BLOCK as usize), 0);
                    prop_assert!(shown(&pin) == bytes);
                    peeks.push((pin, bytes));
                }
                Step::Unpeek => drop(peeks.pop()),
                Step::Race(blocks) => {
                    // What is stored at such a moment is the file's or not, and all agree which it is.
                    *sharing.program.racing.lock().unwrap() = blocks;
                    drop(node.pin_all().unwrap());
                    model = read_at(&node, 0, model.len()).unwrap();
                }
            }
            for (pin, bytes) in &peeks {
                prop_assert!(shown(pin) == *bytes, "a peek has changed");
            }
            prop_assert!(read_at(&node, 0, SIZE as usize + 1).unwrap() == model);
        }
        for (block, entry) in &*sharing.program.entries.lock().unwrap() {
            let Faulted::Shown(map) = node.fault(*block, 1) else { panic!("an entry behind the end") };
            prop_assert_eq!(entry.at, (map.kind == IomapKind::Mapped).then_some(map.addr));
        }
        peeks.clear();
        prop_assert_eq!(fs.space().pinned, 0);
        assert_clean(fs.medium());
        *sharing.program.node.lock().unwrap() = None;
        drop((sharing, node));
        fs.root().unlink(b"f", NOW).unwrap();
        prop_assert_eq!(fs.space().free, free);
    }
}
