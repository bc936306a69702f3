//! The log written anew: how long it stays, what it keeps, what happens where there is no room for it.

mod common;

use common::{BLOCK, Log, NOW, assert_clean, formatted, mount_with, read_at, tree, write_at};
use fs::{Error, Fs, NewNode};
use pmem_sim::SimMedium;
use units::Ino;

const FILE: NewNode<'static> = NewNode::File { mode: 0o644 };
/// Blocks of both copies of a segment.
const SEGMENT: u64 = 64;

/// Unmounted and mounted again.
fn remounted(fs: std::sync::Arc<Fs<SimMedium>>) -> std::sync::Arc<Fs<SimMedium>> {
    let medium = fs.medium().clone();
    drop(fs);
    assert_clean(&medium);
    mount_with(medium, Log::Usual)
}

#[test]
fn a_small_medium_can_be_written_for_ever() {
    let fs = mount_with(formatted(512), Log::Usual);
    let file = fs.root().create(b"f", FILE, NOW).unwrap();
    // The log of so many records would be eight times as long as the medium.
    for round in 0..50_000u64 {
        write_at(&file, round % 7 * BLOCK, &[round as u8; 64]).unwrap();
        assert!(fs.space().log <= 7 * SEGMENT, "round {round}: {:?}", fs.space());
    }
    let seen = tree(&fs);
    drop(file);
    assert_eq!(tree(&remounted(fs)), seen);
}

#[test]
fn names_come_and_go_for_ever_on_a_full_medium() {
    let fs = mount_with(formatted(512), Log::Usual);
    let root = fs.root();
    let big = root.create(b"big", FILE, NOW).unwrap();
    write_at(&big, 0, &vec![1; (fs.space().available * BLOCK) as usize]).unwrap();
    assert_eq!(write_at(&big, 1 << 30, b"x").err(), Some(Error::NoSpace));
    for round in 0..20_000 {
        root.create(b"a name", FILE, NOW).unwrap_or_else(|error| panic!("round {round}: {error:?} {:?}", fs.space()));
        root.unlink(b"a name", NOW).unwrap();
    }
    let seen = tree(&fs);
    drop((big, root));
    assert_eq!(tree(&remounted(fs)), seen);
}

#[test]
fn a_compact_log_says_the_same_in_fewer_records() {
    let fs = mount_with(formatted(4096), Log::Whole);
    let root = fs.root();
    for number in 0..300 {
        let name = format!("file {number}");
        let file = root.create(name.as_bytes(), FILE, NOW).unwrap();
        for piece in 0..4 {
            write_at(&file, piece * 3 * BLOCK, &[number as u8; 5000]).unwrap();
        }
        if number % 3 == 0 {
            root.unlink(name.as_bytes(), NOW).unwrap();
        }
    }
    root.create(b"link", NewNode::Symlink { target: b"file 1" }, NOW).unwrap();
    let (seen, records) = (tree(&fs), Fs::check(fs.medium()).records);
    fs.volume().compact().unwrap();
    assert_eq!(tree(&fs), seen);
    drop(root);
    let fs = remounted(fs);
    assert_eq!(tree(&fs), seen);
    let fewer = Fs::check(fs.medium()).records;
    assert!(fewer * 10 < records, "{fewer} of {records}");
    // And once more, from a log that was written so.
    fs.volume().compact().unwrap();
    assert_eq!(tree(&remounted(fs)), seen);
}

#[test]
fn a_number_is_not_given_again() {
    let fs = mount_with(formatted(1024), Log::Usual);
    let last = (0..5)
        .map(|number| fs.root().create(&[b'a' + number], FILE, NOW).unwrap().ino())
        .max_by_key(|ino| ino.get())
        .unwrap();
    fs.root().unlink(b"e", NOW).unwrap();
    fs.volume().compact().unwrap();
    let fs = remounted(fs);
    let next = fs.root().create(b"new", FILE, NOW).unwrap().ino();
    assert_eq!(next, Ino::new(last.get() + 1));
}

#[test]
fn a_mapping_in_extent_blocks_is_recorded_in_pieces() {
    let fs = mount_with(formatted(8192), Log::Whole);
    let root = fs.root();
    // Every second block of a file that is pinned while it is replaced: single blocks are what is free at last.
    let first = root.create(b"first", FILE, NOW).unwrap();
    write_at(&first, 0, &vec![1; 6400 * BLOCK as usize]).unwrap();
    for block in (0..3000).step_by(2) {
        first.pin_all().map(drop).unwrap();
        write_at(&first, block * BLOCK, &[2; BLOCK as usize]).unwrap();
    }
    let available = fs.space().available;
    let scattered = root.create(b"scattered", FILE, NOW).unwrap();
    write_at(&scattered, 0, &vec![3; ((available - 200) * BLOCK) as usize]).unwrap();
    let (seen, before) = (tree(&fs), Fs::check(fs.medium()));
    fs.volume().compact().unwrap();
    assert_eq!(tree(&fs), seen);
    drop((root, first, scattered));
    let fs = remounted(fs);
    assert_eq!(tree(&fs), seen);
    assert_eq!(Fs::check(fs.medium()).extents, before.extents);
}

#[test]
fn without_room_for_a_second_log_nothing_changes() {
    let fs = mount_with(formatted(512), Log::Whole);
    let root = fs.root();
    let mut count = 0;
    let full = loop {
        let name = format!("{count:0>250}");
        match root.create(name.as_bytes(), FILE, NOW) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, Error::NoSpace);
    let (seen, space) = (tree(&fs), fs.space());
    let compacted = fs.volume().compact();
    assert_eq!(tree(&fs), seen);
    assert_eq!(compacted.is_err(), fs.space() == space, "{compacted:?}: {space:?}, {:?}", fs.space());
    // What frees still works, and in the end there is room for all that was there before.
    for number in 0..count {
        root.unlink(format!("{number:0>250}").as_bytes(), NOW).unwrap();
    }
    drop(root);
    let fs = remounted(fs);
    let file = fs.root().create(b"f", FILE, NOW).unwrap();
    write_at(&file, 0, &vec![9; 100 * BLOCK as usize]).unwrap();
    assert_eq!(read_at(&file, 99 * BLOCK, 2).unwrap(), [9, 9]);
    assert_clean(fs.medium());
}

/// The generations of all segments that lie on the medium, used or not.
fn generations(medium: &SimMedium) -> Vec<u64> {
    let bytes = medium.bytes();
    let headers = bytes.chunks_exact(BLOCK as usize).filter(|block| block.starts_with(b"VSEG"));
    headers.map(|header| u64::from_le_bytes(header[8..16].try_into().unwrap())).collect()
}

#[test]
fn the_generation_of_a_checkpoint_that_was_cut_is_not_used_again() {
    let fs = mount_with(formatted(2048), Log::Short);
    for number in 0..200 {
        fs.root().create(format!("file {number}").as_bytes(), FILE, NOW).unwrap();
    }
    // Two fences begin a checkpoint, three end it.
    while fs.volume().upkeep_fences() % 5 != 2 {
        fs.root().set_attr(fs::SetAttr { mode: Some(0o755), ..Default::default() }, NOW).unwrap();
    }
    let medium = fs.medium().cut();
    let (begun, counts) =
        (generations(&medium), |medium: &SimMedium| u64::from_le_bytes(medium.bytes()[64..72].try_into().unwrap()));
    assert!(begun.iter().any(|generation| *generation > counts(&medium)), "{begun:?}");
    let fs = mount_with(medium, Log::Whole);
    assert_eq!(fs.space().inodes, 201);
    fs.volume().compact().unwrap();
    assert!(!begun.contains(&counts(fs.medium())), "{begun:?}");
    assert_eq!(tree(&remounted(fs)).len(), 201);
}
