//! A medium without room, and one whose room is in pieces.

use fs::{Error, NewNode, SetAttr, WriteAt};
use units::FileOff;

use crate::common::*;

/// A file system with an empty file `wide`, whose room is `runs` single blocks and little more.
pub(crate) fn fragmented(runs: u64) -> World {
    let fs = fresh(runs * 4 + 1600);
    let comb = file(&fs, "comb");
    put(&comb, 0, &vec![1; (runs * 2 * BLOCK) as usize]).expect("there is room");
    file(&fs, "wide");
    let filler = file(&fs, "filler");
    let room = fs.space().available - runs - 220;
    put(&filler, 0, &vec![2; (room * BLOCK) as usize]).expect("there is room");
    // While a pin holds what is replaced, nothing of it is free; then each second block is.
    let pin = comb.pin_all().expect("a file can be pinned");
    for run in 0..runs {
        put(&comb, run * 2 * BLOCK, &[3; BLOCK as usize]).expect("there is room");
    }
    drop(pin);
    fs
}

/// Fills up with data, in ever smaller writes.
fn fill(fs: &World, node: &Node) -> u64 {
    let mut at = node.attr().size;
    let mut step = 256 * BLOCK;
    while step >= BLOCK {
        match put(node, at, &pattern(at, step as usize)) {
            Ok(()) => at += step,
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                step /= 2;
            }
        }
    }
    assert_eq!((fs.space().available, node.attr().size), (0, at));
    at
}

#[test]
fn nothing_changes_where_there_is_no_room() {
    let fs = fresh(1024);
    let node = file(&fs, "full");
    let size = fill(&fs, &node);
    let (attr, space, hash) = (node.attr(), fs.space(), fs.medium().content_hash());
    assert_eq!(put(&node, 0, &[0; 1]), Err(Error::NoSpace), "copy on write needs a block");
    assert_eq!(put(&node, size, &[0; 5000]), Err(Error::NoSpace));
    let appended = node.write(WriteAt::End, &mut &[1u8; 9][..], now(9)).map(drop);
    assert_eq!(appended, Err(Error::NoSpace));
    assert_eq!((node.attr(), fs.space()), (attr, space));
    assert_eq!(fs.medium().content_hash(), hash);
    assert_space_exact(&fs, &[], &[]);
    assert!(get(&node, size - 10, 20).expect("no block is bad").len() == 10);
}

#[test]
fn a_full_medium_can_be_emptied() {
    let fs = fresh(1024);
    let small: Vec<Node> = (0..20).map(|number| file(&fs, &format!("small {number}"))).collect();
    for (number, node) in small.iter().enumerate() {
        put(node, 0, &pattern(number as u64, 9000)).expect("there is room");
    }
    let full = file(&fs, "full");
    fill(&fs, &full);
    for node in &small {
        node.truncate(5000, now(4)).expect("truncating works on a full medium");
        node.truncate(100, now(4)).expect("truncating works on a full medium");
        assert_eq!(get(node, 0, 200).map(|bytes| bytes.len()), Ok(100));
    }
    drop((full, small));
    let medium = fs.medium().clone();
    for number in 0..20 {
        fs.root().unlink(format!("small {number}").as_bytes(), now(5)).expect("unlinking works on a full medium");
    }
    fs.root().unlink(b"full", now(5)).expect("unlinking works on a full medium");
    assert_space_exact(&fs, &[], &[]);
    let space = fs.space();
    assert_eq!((space.free + space.log, space.inodes), (space.blocks, 1));
    drop(fs);
    assert_clean(&medium);
    put(&file(&mount(medium), "again"), 0, &[1; 100 * BLOCK as usize]).expect("there is room again");
}

#[test]
fn a_log_without_room_refuses_what_grows_and_keeps_what_shrinks_possible() {
    let fs = fresh(768);
    let victims = 100;
    for number in 0..victims {
        put(&file(&fs, &format!("victim {number}")), 0, &[7; 100]).expect("there is room");
    }
    let node = file(&fs, "full");
    // No data is wanted: it is the log that runs out, with names that all live.
    let long = |number: i64| format!("{number:0>255}");
    let mut grown = 0;
    while fs.root().create(long(grown).as_bytes(), NewNode::File { mode: 0 }, now(grown)).is_ok() {
        grown += 1;
        assert!(grown < 100_000);
    }
    assert!(grown > 300, "only {grown} files");
    assert_eq!(fs.root().create(long(grown).as_bytes(), NewNode::File { mode: 0 }, now(0)).err(), Some(Error::NoSpace));
    let set = SetAttr { mode: Some(0o600), ..SetAttr::default() };
    for _ in 0..200 {
        // Whether there is room for it or not, it leaves what frees its reserve.
        let _ = node.set_attr(set, now(0));
    }
    assert_space_exact(&fs, &[], &[]);
    for number in 0..victims {
        fs.root().unlink(format!("victim {number}").as_bytes(), now(5)).expect("what frees has its reserve");
    }
    for number in 0..grown {
        fs.root().unlink(long(number).as_bytes(), now(5)).expect("what frees has its reserve");
    }
    assert_space_exact(&fs, &[], &[]);
    drop(node);
    assert_space_exact(&remount(fs), &[], &[]);
}

#[test]
fn a_write_into_many_pieces_is_whole_after_a_mount() {
    let runs = 1400;
    let fs = fragmented(runs);
    let bytes = pattern(3, (runs * BLOCK) as usize);
    let wide = fs.root().lookup(b"wide").expect("made before");
    let log = fs.space().log;
    put(&wide, 0, &bytes).expect("there is room in pieces");
    assert!(fs.space().log > log, "the list of extents is the log's");
    assert_space_exact(&fs, &[], &[]);
    drop(wide);
    let fs = remount(fs);
    let wide = fs.root().lookup(b"wide").expect("it is there");
    assert!(get(&wide, 0, bytes.len() + 1).expect("no block is bad") == bytes);
    // Replaced piece by piece, and cut in the middle of one.
    put(&wide, 777 * BLOCK + 5, &[9; 3]).expect("there is room");
    wide.truncate(900 * BLOCK + 1, now(6)).expect("it can be cut");
    drop(wide);
    let fs = remount(fs);
    let wide = fs.root().lookup(b"wide").expect("it is there");
    let mut expected = bytes;
    expected[777 * BLOCK as usize + 5..][..3].fill(9);
    expected.truncate(900 * BLOCK as usize + 1);
    assert!(get(&wide, 0, expected.len() + 1).expect("no block is bad") == expected);
    assert_space_exact(&fs, &[], &[]);
}

#[test]
fn a_file_reaches_16_tib_and_no_further() {
    let fs = fresh(1024);
    let node = file(&fs, "sparse");
    let last = fs::MAX_FILE_SIZE - 1;
    put(&node, last, b"!").expect("the last byte there can be");
    assert_eq!((node.attr().size, node.attr().blocks), (fs::MAX_FILE_SIZE, 8));
    let beyond = node.write(WriteAt::Offset(FileOff::new(fs::MAX_FILE_SIZE)), &mut &b"?"[..], now(3)).map(drop);
    assert_eq!(beyond, Err(Error::TooLarge));
    let far = node.write(WriteAt::Offset(FileOff::new(u64::MAX)), &mut &b"?"[..], now(3)).map(drop);
    assert_eq!(far, Err(Error::TooLarge));
    assert_eq!(node.write(WriteAt::End, &mut &b"?"[..], now(3)).map(drop), Err(Error::TooLarge));
    assert_eq!(node.truncate(fs::MAX_FILE_SIZE + 1, now(3)), Err(Error::TooLarge));
    put(&node, 1 << 40, &[5; 5000]).expect("in the middle, too");
    drop(node);
    let fs = remount(fs);
    let node = fs.root().lookup(b"sparse").expect("it is there");
    assert_eq!(get(&node, last - 2, 9), Ok(b"\0\0!".to_vec()));
    assert_eq!(get(&node, (1 << 40) - 1, 3), Ok(vec![0, 5, 5]));
    assert_eq!(get(&node, fs::MAX_FILE_SIZE, 9), Ok(vec![]));
    assert_eq!(node.attr().blocks, 3 * 8);
    node.truncate(1, now(4)).expect("it can be cut");
    node.truncate(fs::MAX_FILE_SIZE, now(4)).expect("a hole costs nothing");
    assert_eq!((node.attr().blocks, get(&node, last, 5)), (0, Ok(vec![0])));
    assert_space_exact(&fs, &[], &[]);
}
