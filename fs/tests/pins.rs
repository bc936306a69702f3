//! Pins: what they see stays, what nobody sees is free at once, and the counts are exact.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{BLOCK, NOW, SimNode, assert_clean, fresh, read_at, write_at};
use fs::{Error, Fs, IomapKind, NewNode, Pin};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use proptest::prelude::*;
use units::{ByteLen, FileOff, FileRange};

fn file(fs: &Arc<Fs<SimMedium>>, name: &[u8], blocks: u64) -> SimNode {
    let node = fs.root().create(name, NewNode::File { mode: 0o644 }, NOW).unwrap();
    let bytes: Vec<u8> = (0..blocks * BLOCK).map(|at| (at / BLOCK) as u8 + 1).collect();
    write_at(&node, 0, &bytes).unwrap();
    node
}

fn range(from: u64, to: u64) -> FileRange {
    FileRange::new(FileOff::new(from), FileOff::new(to)).unwrap()
}

/// The bytes a pin shows, of its own range.
fn bytes(pin: &Pin<SimMedium>) -> Vec<u8> {
    let (mut at, end) = (pin.range().start(), pin.range().end().get().min(pin.size()));
    let mut bytes = Vec::new();
    while at.get() < end {
        let map = pin.iomap(at);
        let len = map.length.get().min(end - at.get());
        let mut part = vec![0; len as usize];
        if map.kind == IomapKind::Mapped {
            pin.fs().medium().load(map.addr, &mut part).unwrap();
        }
        bytes.append(&mut part);
        at = at.checked_add(ByteLen::new(len)).unwrap();
    }
    bytes
}

/// The blocks of the medium a pin keeps.
fn blocks(pin: &Pin<SimMedium>) -> BTreeSet<u64> {
    let first = pin.range().start().get() / BLOCK;
    let last = pin.range().end().get().div_ceil(BLOCK);
    let maps = (first..last).map(|block| pin.iomap(FileOff::new((block * BLOCK).max(pin.range().start().get()))));
    maps.filter(|map| map.kind != IomapKind::Hole).map(|map| map.addr.block().get()).collect()
}

#[test]
fn what_is_pinned_stays_through_write_truncate_unlink_and_the_last_close() {
    let fs = fresh(1024);
    let free = fs.space().free;
    let node = file(&fs, b"f", 4);
    let pin = node.pin_all().unwrap();
    let before = bytes(&pin);
    write_at(&node, BLOCK, &[0xab; 4096]).unwrap();
    assert_eq!(fs.space().pinned, 1);
    node.truncate(100, NOW).unwrap();
    assert_eq!((fs.space().pinned, bytes(&pin) == before), (4, true));
    assert_eq!(read_at(&node, 0, 5000).unwrap(), [1; 100]);
    fs.root().unlink(b"f", NOW).unwrap();
    drop(node);
    assert_eq!((fs.space().pinned, fs.space().free), (4, free - 4));
    assert!(bytes(&pin) == before && pin.size() == 4 * BLOCK);
    drop(pin);
    assert_eq!((fs.space().pinned, fs.space().free, fs.space().inodes), (0, free, 1));
}

#[test]
fn an_open_file_without_a_name_can_be_read_and_written() {
    let fs = fresh(1024);
    let free = fs.space().free;
    let node = file(&fs, b"f", 3);
    fs.root().unlink(b"f", NOW).unwrap();
    assert_eq!(fs.node(node.ino()).err(), Some(Error::NotFound));
    write_at(&node, 2 * BLOCK, &[9; 8192]).unwrap();
    assert_eq!(read_at(&node, 3 * BLOCK, 9000).unwrap(), [9; 4096]);
    assert_eq!(node.attr().nlink, 0);
    // A power cut now leaves nothing of it.
    let after = common::mount(fs.medium().cut());
    assert_eq!((after.space().free, after.space().inodes), (free, 1));
    drop(node);
    assert_eq!(fs.space().free, free);
    assert_clean(fs.medium());
}

#[test]
fn a_pin_of_some_blocks_keeps_those_and_no_others() {
    let fs = fresh(1024);
    let node = file(&fs, b"f", 8);
    let pin = node.pin(range(2 * BLOCK + 5, 3 * BLOCK + 1)).unwrap();
    let free = fs.space().free;
    node.truncate(0, NOW).unwrap();
    assert_eq!((fs.space().pinned, fs.space().free), (2, free + 6));
    assert_eq!(pin.iomap(FileOff::new(0)).kind, IomapKind::Hole);
    assert_eq!(pin.iomap(FileOff::new(4 * BLOCK)).kind, IomapKind::Hole);
    assert_eq!(pin.iomap(FileOff::new(2 * BLOCK + 5)).length.get(), 2 * BLOCK - 5);
}

#[test]
fn a_file_that_is_run_is_not_opened_for_writing() {
    let fs = fresh(1024);
    let node = file(&fs, b"f", 1);
    let run = node.deny_write().unwrap();
    let again = node.deny_write().unwrap();
    assert_eq!(node.write_access().err(), Some(Error::TextBusy));
    drop((run, again));
    let write = node.write_access().unwrap();
    assert_eq!(node.deny_write().err(), Some(Error::TextBusy));
    drop(write);
    node.deny_write().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Pin(u64, u64),
    Unpin(usize),
    Write(u64, u64, u8),
    Truncate(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u64..60_000, 1u64..30_000).prop_map(|(from, len)| Step::Pin(from, from + len)),
        3 => (0usize..20).prop_map(Step::Unpin),
        5 => (0u64..16, 1u64..5, 1u8..).prop_map(|(block, blocks, byte)| Step::Write(block, blocks, byte)),
        1 => (0u64..70_000).prop_map(Step::Truncate),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn any_pins_and_writes_count_exactly(steps in steps()) {
        let fs = fresh(1024);
        let node = file(&fs, b"f", 16);
        let mut pins: Vec<(Pin<SimMedium>, Vec<u8>)> = Vec::new();
        let total = fs.space().free + 16;
        for step in steps {
            match step {
                Step::Pin(from, to) => {
                    let pin = node.pin(range(from, to)).unwrap();
                    let seen = bytes(&pin);
                    prop_assert_eq!(&seen, &read_at(&node, from, (to - from) as usize).unwrap());
                    pins.push((pin, seen));
                }
                Step::Unpin(at) if at < pins.len() => drop(pins.swap_remove(at)),
                Step::Unpin(_) => {}
                Step::Write(block, blocks, byte) => {
                    write_at(&node, block * BLOCK, &vec![byte; (blocks * BLOCK) as usize]).unwrap();
                }
                Step::Truncate(size) => node.truncate(size, NOW).unwrap(),
            }
            for (pin, seen) in &pins {
                prop_assert!(bytes(pin) == *seen, "a pin's bytes changed");
            }
            let now = blocks(&node.pin_all().unwrap());
            let kept: BTreeSet<u64> = pins.iter().flat_map(|(pin, _)| blocks(pin)).collect();
            let only_pinned = kept.difference(&now).count() as u64;
            prop_assert_eq!(fs.space().pinned, only_pinned);
            prop_assert_eq!(fs.space().free, total - now.len() as u64 - only_pinned);
        }
    }
}
