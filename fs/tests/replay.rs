//! Mounting: torn tails, bad copies, bad middles, superblocks; and what a call costs and needs.

mod common;

use common::{BLOCK, Log, NOW, assert_clean, formatted, fresh, mount, mount_with, read_at, tree, write_at};
use fs::{Access, Error, Format, Fs, Mount, MountError, NewNode, Severity, Time, Wrong};
use pmem_sim::SimMedium;
use units::{ByteLen, PmOff};

const FILE: NewNode<'static> = NewNode::File { mode: 0o644 };

/// Where the two copies of record `seq` begin.
fn copies_of(medium: &SimMedium, seq: u64) -> Vec<u64> {
    let bytes = medium.bytes();
    let is_record = |at: &usize| bytes[*at..].starts_with(b"VREC") && bytes[at + 24..at + 32] == seq.to_le_bytes();
    (0..bytes.len()).step_by(64).filter(is_record).map(|at| at as u64).collect()
}

/// A file system with files `0` to `count - 1`, one record each, the first of them number 2.
fn with_files(count: u64) -> SimMedium {
    let fs = fresh(1024);
    for number in 0..count {
        fs.root().create(number.to_string().as_bytes(), FILE, NOW).unwrap();
    }
    fs.medium().cut()
}

fn spoil(medium: &SimMedium, at: u64) {
    medium.corrupt(PmOff::new(at + 40), &[0x5a; 8]);
}

#[test]
fn a_record_bad_in_one_copy_counts_and_is_rewritten() {
    for copy in 0..2 {
        let medium = with_files(5);
        let before = tree(&mount(medium.cut()));
        let at = copies_of(&medium, 3)[copy];
        spoil(&medium, at);
        let report = Fs::check(&medium);
        assert_eq!(report.findings.len(), 1);
        assert_eq!((report.findings[0].severity, report.findings[0].what), (Severity::Repairable, Wrong::RecordCopy));
        assert_eq!(report.findings[0].at, Some(PmOff::new(at)));
        let read_only = Fs::mount(medium.clone(), Mount { access: Access::ReadOnly, ..Mount::default() }).unwrap();
        assert_eq!(tree(&read_only), before);
        assert!(!Fs::check(&medium).is_clean(), "a read-only mount changes nothing");
        let fs = mount(medium.clone());
        assert_eq!((tree(&fs), fs.damage()), (before, None));
        assert_clean(&medium.cut());
    }
}

/// A cut between the stores of its copies leaves it so: nothing is wrong, unless it was not a cut.
#[test]
fn a_last_record_bad_in_one_copy_is_as_a_cut_leaves_it() {
    for copy in 0..2 {
        let medium = with_files(5);
        let at = copies_of(&medium, 6)[copy];
        spoil(&medium, at);
        let report = Fs::check(&medium);
        assert_eq!(report.findings.len(), 1);
        assert_eq!((report.findings[0].severity, report.findings[0].what), (Severity::Unfinished, Wrong::RecordCopy));
        assert!(report.is_sound() && !report.is_clean());
        let fs = mount(medium.cut());
        assert!(fs.root().lookup(b"4").is_ok());
        assert_clean(fs.medium());
        medium.set_bad(PmOff::new(at).sector(), 1).unwrap();
        assert!(!Fs::check(&medium).is_sound(), "no cut takes a sector away");
    }
}

#[test]
fn a_last_record_bad_in_both_copies_is_a_torn_tail() {
    let medium = with_files(5);
    copies_of(&medium, 6).iter().for_each(|at| spoil(&medium, *at));
    assert_clean(&medium);
    let fs = mount(medium);
    assert_eq!(fs.damage(), None);
    assert!(fs.root().lookup(b"3").is_ok());
    assert_eq!(fs.root().lookup(b"4").err(), Some(Error::NotFound));
    fs.root().create(b"after", FILE, NOW).unwrap();
    let again = mount(fs.medium().cut());
    assert_eq!(tree(&again), tree(&fs));
    assert_clean(again.medium());
}

#[test]
fn a_bad_middle_is_shown_as_it_was_before_it_and_never_changed() {
    let medium = with_files(5);
    let copies = copies_of(&medium, 4);
    copies.iter().for_each(|at| spoil(&medium, *at));
    let bytes = medium.bytes();
    let fs = mount(medium.clone());
    let damage = fs.damage().unwrap();
    assert_eq!((damage.what, damage.at), (Wrong::Record, PmOff::new(copies[0])));
    assert!(fs.root().lookup(b"1").is_ok() && fs.root().lookup(b"2").is_err());
    assert_eq!(fs.root().create(b"x", FILE, NOW).err(), Some(Error::ReadOnly));
    let file = fs.root().lookup(b"0").unwrap();
    assert_eq!(write_at(&file, 0, b"x"), Err(Error::ReadOnly));
    assert_eq!(file.truncate(0, NOW), Err(Error::ReadOnly));
    assert!(medium.bytes() == bytes);
    assert!(Fs::check(&medium).has_errors());
}

#[test]
fn a_segment_without_a_good_record_is_no_torn_tail_while_a_later_one_has_some() {
    // Three segments; every record of the second is bad in both copies, its headers are good.
    let fs = mount_with(formatted(2048), Log::Whole);
    for number in 0..1500 {
        fs.root().create(number.to_string().as_bytes(), FILE, NOW).unwrap();
    }
    let medium = fs.medium().cut();
    let bytes = medium.bytes();
    let headers = |index: u64| {
        let is_header =
            |at: &usize| bytes[*at..].starts_with(b"VSEG") && bytes[at + 16..at + 24] == index.to_le_bytes();
        (0..bytes.len()).step_by(4096).filter(is_header).map(|at| at as u64).collect::<Vec<u64>>()
    };
    assert_eq!((headers(1).len(), headers(2).len()), (2, 2));
    for copy in headers(1) {
        (copy + 64..copy + 128 * 1024).step_by(64).for_each(|at| medium.corrupt(PmOff::new(at), &[0; 64]));
    }
    let damage = mount(medium.clone()).damage().unwrap();
    assert_eq!((damage.what, damage.at), (Wrong::Record, PmOff::new(headers(1)[0] + 64)));
    // With the headers gone as well, the log is known to go on by the records behind them.
    let medium = fs.medium().cut();
    headers(1).iter().for_each(|copy| medium.corrupt(PmOff::new(*copy), &[0; 64]));
    let damage = mount(medium).damage().unwrap();
    assert_eq!((damage.what, damage.at), (Wrong::Segment, PmOff::new(headers(1)[0])));
}

#[test]
fn a_tree_of_any_depth_is_mounted_and_dropped() {
    let fs = fresh(12_000);
    let mut at = fs.root();
    for _ in 0..40_000 {
        at = at.create(b"d", NewNode::Directory { mode: 0o755 }, NOW).unwrap();
    }
    let medium = fs.medium().clone();
    let middle = fs.root().lookup(b"d").unwrap();
    drop((fs, at));
    assert!(middle.lookup(b"d").is_ok(), "a node keeps what is below it");
    drop(middle);
    assert_clean(&medium);
    drop(mount(medium));
}

#[test]
fn metadata_survives_any_one_bad_block() {
    let medium = with_files(5);
    let before = tree(&mount(medium.cut()));
    for block in 0..160 {
        let medium = medium.cut();
        medium.set_bad(units::Sector::new(block * 8), 8).unwrap();
        let fs = Fs::mount(medium.clone(), Mount { access: Access::ReadOnly, ..Mount::default() }).unwrap();
        assert_eq!((tree(&fs), fs.damage()), (before.clone(), None), "block {block}");
    }
}

#[test]
fn a_bad_superblock_copy_is_rewritten_and_two_are_refused() {
    for copy in [0, 16] {
        let medium = with_files(1);
        medium.corrupt(PmOff::new(copy * BLOCK + 100), &[0xff; 4]);
        assert_eq!(Fs::check(&medium).findings[0].what, Wrong::SuperblockCopy);
        drop(mount(medium.clone()));
        assert_clean(&medium);
    }
    let medium = with_files(1);
    [0, 16].iter().for_each(|copy| medium.corrupt(PmOff::new(copy * BLOCK + 100), &[0xff; 4]));
    let refused = Fs::mount(medium, Mount::default()).err();
    assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::Superblocks));
}

#[test]
fn foreign_unknown_and_truncated_media_are_refused_by_name() {
    let refusal = |medium: SimMedium| Fs::mount(medium, Mount::default()).err().unwrap();
    assert_eq!(refusal(SimMedium::new(ByteLen::new(2 << 20))), MountError::Foreign);
    assert_eq!(refusal(SimMedium::new(ByteLen::new(4096))), MountError::Foreign);
    let medium = SimMedium::new(ByteLen::new(4 << 20));
    Fs::format(&medium, &Format { version: Some(77), ..Format::default() }).unwrap();
    assert_eq!(refusal(medium), MountError::Version { found: 77 });
    let medium = formatted(1024);
    let short = SimMedium::from_bytes(&medium.bytes()[..3 << 20]);
    let (recorded, found) = (ByteLen::new(4 << 20), ByteLen::new(3 << 20));
    assert_eq!(refusal(short), MountError::Truncated { recorded, found });
    assert!(Fs::format(&SimMedium::new(ByteLen::new(1 << 20)), &Format::default()).is_err());
}

#[test]
fn mkfs_over_an_old_file_system_leaves_nothing_of_it() {
    let medium = with_files(50);
    let options = Format { uuid: *b"a-test-of-the-fs", salt: 0x7a11_5a17, now: NOW, ..Format::default() };
    Fs::format(&medium, &options).unwrap();
    let fs = mount(medium);
    assert_eq!(tree(&fs).len(), 1);
    fs.root().create(b"x", FILE, NOW).unwrap();
    assert_eq!(tree(&mount(fs.medium().cut())).len(), 2);
}

#[test]
fn a_write_costs_two_fences_and_its_own_bytes_a_name_one() {
    let fs = fresh(1024);
    let file = fs.root().create(b"f", FILE, NOW).unwrap();
    write_at(&file, 0, &[1; 16384]).unwrap();
    let counted = |act: &dyn Fn()| {
        let before = fs.medium().counts();
        act();
        let after = fs.medium().counts();
        (after.fences - before.fences, after.lines_cleaned - before.lines_cleaned)
    };
    let (fences, lines) = counted(&|| assert!(write_at(&file, 4096, &[2; 8192]).is_ok()));
    assert_eq!((fences, lines), (2, 128 + 2 * 3), "the data, and two copies of a record of three lines");
    assert_eq!(counted(&|| assert!(write_at(&file, 10, b"unaligned").is_ok())).0, 2);
    assert_eq!(counted(&|| file.truncate(5000, NOW).unwrap()).0, 2);
    assert_eq!(counted(&|| file.truncate(0, NOW).unwrap()).0, 1);
    assert_eq!(counted(&|| drop(fs.root().create(b"g", FILE, NOW).unwrap())).0, 1);
    assert_eq!(counted(&|| fs.root().rename(b"g", &fs.root(), b"f", fs::Rename::Replace, NOW).unwrap()).0, 1);
    assert_eq!(counted(&|| fs.root().unlink(b"f", NOW).unwrap()).0, 1);
    assert_eq!(counted(&|| drop(mount(fs.medium().clone()))), (0, 0));
}

#[test]
fn a_full_medium_refuses_without_a_trace_and_can_be_emptied() {
    let fs = fresh(1024);
    let root = fs.root();
    let mut files = 0;
    let refused = loop {
        let name = format!("{files}");
        let file = match root.create(name.as_bytes(), FILE, NOW) {
            Ok(file) => file,
            Err(error) => break error,
        };
        files += 1;
        let before = tree(&fs);
        if let Err(error) = write_at(&file, 0, &[files as u8; 16 * 4096]) {
            assert_eq!(tree(&fs), before);
            break error;
        }
    };
    assert_eq!(refused, Error::NoSpace);
    let first = root.lookup(b"0").unwrap();
    write_at(&first, 0, &[7; 16 * 4096]).unwrap_err();
    assert_eq!(read_at(&first, 0, 4096).unwrap(), [1; 4096]);
    first.truncate(5000, NOW).unwrap();
    for name in 0..files {
        root.unlink(format!("{name}").as_bytes(), NOW).unwrap();
    }
    drop(first);
    let file = root.create(b"new", FILE, NOW).unwrap();
    write_at(&file, 0, &[8; 16 * 4096]).unwrap();
    assert_clean(fs.medium());
    assert_eq!(tree(&mount(fs.medium().cut())), tree(&fs));
}

#[test]
fn a_log_full_of_names_is_no_space_and_still_lets_names_go() {
    let fs = fresh(512);
    let mut count = 0;
    while fs.root().create(format!("{count}").as_bytes(), FILE, NOW).is_ok() {
        count += 1;
    }
    assert!(count > 500, "{count}");
    for number in 0..500 {
        fs.root().unlink(format!("{number}").as_bytes(), NOW).unwrap();
    }
    let again = mount(fs.medium().cut());
    assert_eq!(tree(&again), tree(&fs));
    assert_clean(again.medium());
}

#[test]
fn attributes_and_times_are_there_after_a_cut() {
    let fs = fresh(1024);
    let file = fs.root().create(b"f", FILE, Time::new(5, 6)).unwrap();
    let set = fs::SetAttr {
        mode: Some(0o4711),
        uid: Some(7),
        gid: Some(8),
        atime: Some(Time::new(-1, 9)),
        ..fs::SetAttr::default()
    };
    file.set_attr(set, Time::new(10, 11)).unwrap();
    let attr = mount(fs.medium().cut()).root().lookup(b"f").unwrap().attr();
    assert_eq!(attr, file.attr());
    assert_eq!((attr.mode, attr.uid, attr.gid, attr.nlink), (0o4711, 7, 8, 1));
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (Time::new(-1, 9), Time::new(5, 6), Time::new(10, 11)));
}

#[test]
fn a_mapping_too_long_for_a_record_is_there_after_a_cut_with_one_copy_bad() {
    let fs = mount_with(formatted(4096), Log::Whole);
    let root = fs.root();
    // Free space in single blocks: every other one belongs to a file that stays. Files of 2 MiB and more would be laid
    // out in large runs, so these are smaller.
    for pair in 0..3 {
        let stays = root.create(format!("stays-{pair}").as_bytes(), FILE, NOW).unwrap();
        let goes = root.create(format!("goes-{pair}").as_bytes(), FILE, NOW).unwrap();
        for block in 0..500 {
            write_at(&stays, block * BLOCK, &[1; 4096]).unwrap();
            write_at(&goes, block * BLOCK, &[2; 4096]).unwrap();
        }
    }
    let big = root.create(b"big", FILE, NOW).unwrap();
    write_at(&big, 0, &vec![3; (fs.space().available.saturating_sub(40) * BLOCK) as usize]).unwrap();
    for pair in 0..3 {
        root.unlink(format!("goes-{pair}").as_bytes(), NOW).unwrap();
    }
    let scattered = root.create(b"scattered", FILE, NOW).unwrap();
    write_at(&scattered, 0, &vec![4; 1400 * 4096]).unwrap();
    let extents = Fs::check(fs.medium()).extents;
    assert!(extents > 2500, "{extents}");
    let seen = tree(&fs);
    let medium = fs.medium().cut();
    let bytes = medium.bytes();
    let lists: Vec<usize> = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(b"VEXT")).collect();
    assert!(lists.len() >= 2 * 5, "{lists:?}");
    for list in lists.iter().step_by(2) {
        spoil(&medium, *list as u64);
    }
    let again = mount(medium);
    assert!(tree(&again) == seen);
    assert_clean(again.medium());
}
