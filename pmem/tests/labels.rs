//! Namespace labels: made, listed and removed, across every cut of the power, and against whatever an area may hold.

use std::cell::RefCell;

use pmem::label::{AreaError, LabelArea, LabelError, Labels, MAX_NAME, fletcher64};
use proptest::prelude::*;
use units::ByteLen;

const AREA: usize = 128 << 10;
const CAPACITY: ByteLen = ByteLen::new(256 << 20);
const MIB: u64 = 1 << 20;

/// A label area whose power goes after so many bytes.
#[derive(Clone, Debug)]
struct Area {
    bytes: RefCell<Vec<u8>>,
    left: RefCell<usize>,
}

impl Area {
    fn new(size: usize) -> Self {
        Self { bytes: RefCell::new(vec![0; size]), left: RefCell::new(usize::MAX) }
    }
}

impl LabelArea for &Area {
    fn size(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn read(&self, at: usize, to: &mut [u8]) -> Result<(), AreaError> {
        to.copy_from_slice(self.bytes.borrow().get(at..at + to.len()).ok_or(AreaError(3))?);
        Ok(())
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<(), AreaError> {
        let mut left = self.left.borrow_mut();
        let now = bytes.len().min(*left);
        self.bytes.borrow_mut()[at..at + now].copy_from_slice(&bytes[..now]);
        *left -= now;
        if now == bytes.len() { Ok(()) } else { Err(AreaError(99)) }
    }
}

fn open(area: &Area) -> Labels<&Area> {
    Labels::open(area, CAPACITY).unwrap()
}

fn names(area: &Area) -> Vec<(String, u64, u64)> {
    let all = open(area).namespaces().unwrap();
    all.iter().map(|space| (space.name().to_owned(), space.start.get(), space.len.get())).collect()
}

fn uuid(number: u8) -> [u8; 16] {
    [number; 16]
}

#[test]
fn fletcher64_is_that_of_the_specification() {
    // Two sums over words of 32 bits, worked out by hand: 1, 1+2; 1, 1+3.
    assert_eq!(fletcher64(&[1, 0, 0, 0, 2, 0, 0, 0]), 4 << 32 | 3);
    assert_eq!(fletcher64(&[0xff; 8]), 0xffff_fffd_ffff_fffe);
    assert_eq!(fletcher64(&[]), 0);
}

#[test]
fn namespaces_are_made_listed_and_removed() {
    let area = Area::new(AREA);
    assert!(!open(&area).is_initialised());
    assert_eq!(names(&area), []);
    let mut labels = open(&area);
    labels.create("root", uuid(1), ByteLen::new(64 * MIB), 7).unwrap();
    labels.create("log", uuid(2), ByteLen::new(4096), 7).unwrap();
    labels.create("data", uuid(3), ByteLen::new(100 * MIB), 7).unwrap();
    let (root, log) = (("root".to_owned(), 0, 64 * MIB), ("log".to_owned(), 64 * MIB, 4096));
    let data = ("data".to_owned(), 66 * MIB, 100 * MIB);
    assert_eq!(names(&area), [root.clone(), log, data.clone()]);
    assert!(open(&area).is_initialised());
    let mut labels = open(&area);
    assert_eq!(labels.delete(|space| space.name() == "log").unwrap().uuid, uuid(2));
    assert_eq!(labels.delete(|space| space.name() == "log"), Err(LabelError::NotFound));
    assert_eq!(names(&area), [root.clone(), data.clone()]);
    // The gap is used again, and the slot.
    open(&area).create("two", uuid(4), ByteLen::new(2 * MIB), 7).unwrap();
    assert_eq!(names(&area), [root, ("two".to_owned(), 64 * MIB, 2 * MIB), data]);
    let (all, free) = open(&area).slots();
    assert_eq!(all - free, 3);
}

#[test]
fn what_cannot_be_is_refused() {
    let area = Area::new(AREA);
    let create = |name: &str, number: u8, len: u64| open(&area).create(name, uuid(number), ByteLen::new(len), 0).err();
    assert_eq!(create("", 1, 4096), Some(LabelError::Name));
    assert_eq!(create("two words", 1, 4096), Some(LabelError::Name));
    assert_eq!(create(&"x".repeat(MAX_NAME + 1), 1, 4096), Some(LabelError::Name));
    assert_eq!(create("a", 1, 0), Some(LabelError::Length));
    assert_eq!(create("a", 1, 4097), Some(LabelError::Length));
    assert_eq!(create("a", 1, 257 * MIB), Some(LabelError::NoSpace));
    assert_eq!(create(&"x".repeat(MAX_NAME), 1, 4096), None);
    assert_eq!(create("a", 1, 4096), Some(LabelError::Exists));
    assert_eq!(create("b", 2, 256 * MIB), Some(LabelError::NoSpace));
    let small = Area::new(8192);
    assert_eq!(Labels::open(&small, CAPACITY).unwrap_err(), LabelError::Size(8192));
}

#[test]
fn slots_run_out() {
    let area = Area::new(16 << 10);
    let mut labels = Labels::open(&area, ByteLen::new(1 << 40)).unwrap();
    let (all, _) = labels.slots();
    for number in 0..all {
        labels.create(&format!("n{number}"), uuid(number as u8), ByteLen::new(4096), 0).unwrap();
    }
    assert_eq!(labels.create("more", uuid(255), ByteLen::new(4096), 0), Err(LabelError::NoSlot));
    assert_eq!(labels.slots(), (all, 0));
    assert_eq!(labels.namespaces().unwrap().len(), all);
}

/// The first 1280 bytes of the label area of a 64 MiB NVDIMM of QEMU's, in which this crate made the namespace `log`; then Linux
/// 6.12 showed it in `/sys/bus/nd/devices` (uuid, `alt_name`, size, resource), and was told to make `linux` there.
const OF_LINUX: &[u8] = include_bytes!("data/labels-linux.bin");

#[test]
fn labels_of_linux_are_read_and_ours_are_those_it_took() {
    let capacity = ByteLen::new((64 << 20) - AREA as u64);
    let area = Area::new(AREA);
    area.bytes.borrow_mut()[..OF_LINUX.len()].copy_from_slice(OF_LINUX);
    let mut labels = Labels::open(&area, capacity).unwrap();
    // Linux wrote its label twice, the first time as one under way: slots 0 and 2 count.
    assert_eq!(labels.slots(), (510, 508));
    let all = labels.namespaces().unwrap();
    let shown: Vec<_> = all.iter().map(|space| (space.name(), space.start.get(), space.len.get())).collect();
    assert_eq!(shown, [("log", 0, 16 * MIB), ("linux", 16 * MIB, 16 * MIB)]);
    assert_eq!(all[1].uuid, *b"\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x66\x66\x77\x77\x88\x88");
    let ours = Area::new(AREA);
    let mut made = Labels::open(&ours, capacity).unwrap();
    made.create("log", all[0].uuid, ByteLen::new(16 * MIB), 0x00ba_901c_0012_b4dd).unwrap();
    assert_eq!(ours.bytes.borrow()[512..768], OF_LINUX[512..768], "the label that Linux took");
    // What Linux left can be changed here.
    labels.create("more", uuid(9), ByteLen::new(MIB), 0).unwrap();
    labels.delete(|space| space.name() == "linux").unwrap();
    let left = Labels::open(&area, capacity).unwrap().namespaces().unwrap();
    assert_eq!(left.iter().map(|space| space.name()).collect::<Vec<_>>(), ["log", "more"]);
}

/// The power goes after every number of bytes of a change: the namespaces are those before it or those after it, and the
/// change can be made again.
#[test]
fn a_cut_leaves_the_namespaces_before_or_after() {
    type Step = fn(&mut Labels<&Area>) -> Result<(), LabelError>;
    let steps: [Step; 5] = [
        |labels| labels.create("a", uuid(1), ByteLen::new(MIB), 0).map(drop),
        |labels| labels.create("b", uuid(2), ByteLen::new(MIB), 0).map(drop),
        |labels| labels.delete(|space| space.name() == "a").map(drop),
        |labels| labels.create("c", uuid(3), ByteLen::new(MIB), 0).map(drop),
        |labels| labels.delete(|space| space.name() == "b").map(drop),
    ];
    let area = Area::new(16 << 10);
    for step in steps {
        let whole = area.clone();
        step(&mut open(&whole)).unwrap();
        let (before, after) = (names(&area), names(&whole));
        assert_ne!(before, after);
        let mut seen_before = false;
        for bytes in 0.. {
            let cut = area.clone();
            *cut.left.borrow_mut() = bytes;
            let done = step(&mut open(&cut)).is_ok();
            *cut.left.borrow_mut() = usize::MAX;
            let found = names(&cut);
            assert!(found == before || found == after, "after {bytes} bytes: {found:?}");
            seen_before |= found == before;
            if found == before {
                step(&mut open(&cut)).unwrap();
                assert_eq!(names(&cut), after);
            }
            if done {
                assert_eq!(found, after);
                break;
            }
        }
        assert!(seen_before);
        *area.bytes.borrow_mut() = whole.bytes.into_inner();
    }
}

proptest! {
    /// Whatever lies in the area: an answer, and only namespaces that lie on the NVDIMM.
    #[test]
    fn a_damaged_area_is_no_trouble(at in 0usize..6000, bytes in prop::collection::vec(any::<u8>(), 1..64)) {
        let area = Area::new(16 << 10);
        open(&area).create("a", uuid(1), ByteLen::new(MIB), 0).unwrap();
        open(&area).create("b", uuid(2), ByteLen::new(MIB), 0).unwrap();
        area.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(&bytes);
        for space in open(&area).namespaces().unwrap() {
            prop_assert!(space.start.get() + space.len.get() <= CAPACITY.get());
            prop_assert!(space.name() == "a" || space.name() == "b");
        }
    }
}
