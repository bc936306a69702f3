//! What is pinned stays as it is, is counted, and is free the moment nobody sees it.

use fs::IomapKind;
use units::FileOff;

use crate::common::*;

/// A file of ten blocks, each with a byte of its own.
fn ten_blocks(fs: &World) -> (Node, Vec<u8>) {
    let node = file(fs, "ten");
    let bytes: Vec<u8> = (0..10).flat_map(|block| [block + 1; BLOCK as usize]).collect();
    put(&node, 0, &bytes).expect("there is room");
    (node, bytes)
}

#[test]
fn a_pin_shows_its_instant_whatever_becomes_of_the_file() {
    let fs = fresh(1024);
    let (node, bytes) = ten_blocks(&fs);
    let pin = node.pin_all().expect("a file can be pinned");
    let same = || assert!(seen(&pin, fs.medium(), 0, 10 * BLOCK) == bytes);
    put(&node, 100, &[0xff; 9000]).expect("there is room");
    same();
    node.truncate(5000, now(3)).expect("it can be cut");
    same();
    put(&node, 30 * BLOCK, &[1; 4096]).expect("there is room");
    assert_eq!(pin.iomap(FileOff::new(10 * BLOCK)).kind, IomapKind::Hole, "what came later is not seen");
    fs.root().unlink(b"ten", now(3)).expect("it can go");
    same();
    drop(node);
    same();
    assert_eq!((fs.space().pinned, pin.size()), (10, 10 * BLOCK));
    // Others use what is free meanwhile.
    let other = file(&fs, "other");
    put(&other, 0, &vec![0xaa; fs.space().available as usize * BLOCK as usize]).expect("there is room");
    same();
    assert_space_exact(&fs, &[], &[&pin]);
    drop(pin);
    assert_eq!(fs.space().pinned, 0);
    assert_space_exact(&fs, &[], &[]);
}

#[test]
fn each_block_is_free_with_the_last_pin_that_sees_it() {
    let fs = fresh(1024);
    let (node, _) = ten_blocks(&fs);
    let pin = |at: u64, len: u64| node.pin(range(at * BLOCK, len * BLOCK)).expect("a file can be pinned");
    let free = fs.space().free;
    let [low, high, inner] = [pin(0, 6), pin(4, 6), pin(5, 1)];
    put(&node, 0, &vec![0xbb; 10 * BLOCK as usize]).expect("there is room");
    assert_eq!((fs.space().pinned, free - fs.space().free), (10, 10));
    drop(low);
    assert_eq!(fs.space().pinned, 6, "blocks 4 to 9 are seen by another");
    drop(high);
    assert_eq!(fs.space().pinned, 1, "block 5");
    drop(inner);
    assert_eq!((fs.space().pinned, fs.space().free), (0, free));

    // Blocks outside every pinned range are free at once, whatever their extent was.
    let middle = pin(3, 2);
    put(&node, 0, &vec![0xcc; 10 * BLOCK as usize]).expect("there is room");
    assert_eq!((fs.space().pinned, fs.space().free), (2, free - 2));
    // A later version is another matter: it is seen by later pins only.
    let later = pin(0, 10);
    node.truncate(0, now(3)).expect("it can be cut");
    assert_eq!(fs.space().pinned, 12);
    drop(middle);
    assert_eq!(fs.space().pinned, 10);
    assert_space_exact(&fs, &[], &[&later]);
    drop(later);
    assert_space_exact(&fs, &[], &[]);
    assert_eq!(fs.space().free, free + 10);
}

#[test]
fn a_byte_of_a_block_pins_the_block() {
    let fs = fresh(1024);
    let (node, bytes) = ten_blocks(&fs);
    let pin = node.pin(range(BLOCK - 1, 2)).expect("a file can be pinned");
    node.truncate(0, now(3)).expect("it can be cut");
    assert_eq!(fs.space().pinned, 2);
    assert!(seen(&pin, fs.medium(), 0, 2 * BLOCK) == bytes[..2 * BLOCK as usize]);
    assert_eq!(pin.iomap(FileOff::new(2 * BLOCK)).kind, IomapKind::Hole);
    let outside = node.pin(range(1 << 50, 1 << 50)).expect("a range may lie anywhere");
    assert_eq!(outside.iomap(FileOff::new(3 << 50)).kind, IomapKind::Hole);
    let to_the_end = fs::Pin::range(&outside);
    assert_eq!(to_the_end, range(1 << 50, 1 << 50));
}

#[test]
fn a_pin_may_reach_to_the_end_of_all_numbers() {
    let fs = fresh(1024);
    let (node, bytes) = ten_blocks(&fs);
    let pin = node.pin(range(0, u64::MAX)).expect("a range may be of any length");
    node.truncate(BLOCK, now(3)).expect("it can be cut");
    assert!(seen(&pin, fs.medium(), 0, 10 * BLOCK) == bytes);
    assert_eq!(pin.iomap(FileOff::new(11 * BLOCK)).kind, IomapKind::Hole);
    assert_eq!(pin.iomap(FileOff::new(u64::MAX - 1)).kind, IomapKind::Hole);
}

#[test]
fn the_last_to_go_frees_in_whatever_order_they_go() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let fs = fresh(1024);
        let empty = fs.space();
        let (node, _) = ten_blocks(&fs);
        let pin = node.pin_all().expect("a file can be pinned");
        let second = node.clone();
        fs.root().unlink(b"ten", now(3)).expect("it can go");
        let mut held: [Option<Box<dyn std::any::Any>>; 3] =
            [Some(Box::new(node)), Some(Box::new(pin)), Some(Box::new(second))];
        for (gone, &next) in order.iter().enumerate() {
            held[next] = None;
            let nodes = held[0].is_some() || held[2].is_some();
            let pinned = if held[1].is_some() && !nodes { 10 } else { 0 };
            assert_eq!(fs.space().pinned, pinned, "{order:?}");
            assert_eq!(fs.space().free == empty.free, gone == 2, "{order:?}");
        }
        assert_eq!(fs.space(), empty, "{order:?}");
    }
}

#[test]
fn pins_and_handles_may_outlive_the_mount() {
    let fs = fresh(1024);
    let (node, bytes) = ten_blocks(&fs);
    let medium = fs.medium().clone();
    let pin = node.pin_all().expect("a file can be pinned");
    drop(fs);
    assert!(seen(&pin, &medium, 0, 10 * BLOCK) == bytes);
    assert!(get(&node, 0, 1 << 20).expect("no block is bad") == bytes);
    drop(node);
    assert!(seen(&pin, &medium, 0, 10 * BLOCK) == bytes);
    drop(pin);
    assert_clean(&medium);
}

#[test]
fn a_deep_tree_is_let_go_of_without_depth() {
    let build = |depth: u32| {
        let fs = fresh(16 << 10);
        let mut at = fs.root();
        for _ in 0..depth {
            at = at.create(b"d", fs::NewNode::Directory { mode: 0o755 }, now(1)).expect("there is room");
        }
        (fs, at)
    };
    // Small stacks, as a kernel has them.
    let small = std::thread::Builder::new().stack_size(64 << 10);
    let run = move || {
        let (fs, deepest) = build(20_000);
        let top = fs.root().lookup(b"d").expect("it is there");
        assert_eq!(
            fs.root().rename(b"d", &deepest, b"loop", fs::Rename::Replace, now(2)),
            Err(fs::Error::Invalid),
            "found at any depth"
        );
        let medium = fs.medium().clone();
        drop((fs, deepest));
        // The top is the last to be held.
        drop(top);
        assert_clean(&medium);
        drop(mount(medium));
    };
    small.spawn(run).expect("a thread can be made").join().expect("no stack overflows");
}
