//! Damage and mounting: what one good copy heals, what ends the log, and what makes a medium read-only.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use fs::{Access, Error, Fs, Kind, Mount, MountError, NewNode, Severity, Wrong};
use pmem_sim::SimMedium;
use units::{PmOff, SECTOR_SIZE};

use crate::common::*;
use crate::image::{ALIGN, Image, Record, SEGMENT, SUPERBLOCK, SUPERBLOCKS};

/// Every name in the root directory with length and hash of the content behind it.
type Listing = BTreeMap<String, (usize, u64)>;

fn listing(fs: &World) -> Listing {
    let mut names = Vec::new();
    fs.root()
        .read_dir(2, &mut |entry| {
            names.push(entry.name.to_vec());
            true
        })
        .expect("the root can be listed");
    let content = |name: &[u8]| {
        let node = fs.root().lookup(name).expect("it is listed");
        match node.kind() {
            Kind::File => digest(&get(&node, 0, node.attr().size as usize + 1).expect("no block is bad")),
            _ => digest(&[]),
        }
    };
    names.iter().map(|name| (String::from_utf8_lossy(name).into_owned(), content(name))).collect()
}

fn digest(content: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    (content.len(), hasher.finish())
}

/// A file system after calls of many forms, none of which replaces a block an earlier state has, and what it was before
/// each record: `states[n]` before the record numbered `n`.
fn with_history(calls: u64) -> (SimMedium, BTreeMap<u64, Listing>) {
    let fs = fresh_with_whole_log(2048);
    let medium = fs.medium().clone();
    // mkfs writes record 1.
    let (mut now_there, mut states, mut next) = (Listing::new(), BTreeMap::from([(2, Listing::new())]), 2);
    for call in 0..calls {
        let name = format!("file {call}");
        let mut note = |content: &[u8]| {
            now_there.insert(name.clone(), digest(content));
            next += 1;
            states.insert(next, now_there.clone());
        };
        if call % 5 == 4 {
            let target = NewNode::Symlink { target: &[b't'; 300] };
            fs.root().create(name.as_bytes(), target, now(3)).expect("there is room");
            note(&[]);
            continue;
        }
        let node = file(&fs, &name);
        note(&[]);
        let (at, bytes) = ((call % 3) * 5000, pattern(call, 100 + call as usize * 37 % 9000));
        put(&node, at, &bytes).expect("there is room");
        note(&[&vec![0; at as usize][..], &bytes].concat());
    }
    assert!(listing(&fs) == now_there);
    drop(fs);
    let last = Image { medium: &medium }.records().last().map(|record| record.seq + 1);
    assert_eq!(last, Some(next));
    (medium, states)
}

/// Enough to turn to a third segment; made once, and forked.
fn long_history() -> (SimMedium, BTreeMap<u64, Listing>) {
    with_history(640)
}

fn whole(medium: &SimMedium) -> Listing {
    listing(&mount(medium.fork()))
}

/// A byte is turned in one copy: fsck says so, a mount heals it, and then nothing is left to say.
fn assert_heals(medium: &SimMedium, expected: &Listing, at: u64, what: Wrong) {
    let spoiled = medium.fork();
    Image { medium: &spoiled }.flip(at);
    let report = Fs::check(&spoiled);
    let repairable = |finding: &fs::Finding| finding.severity < Severity::Error && finding.what == what;
    assert!(report.findings.len() == 1 && report.findings.iter().all(repairable), "{at:#x}: {:?}", report.findings);
    let unchanged = spoiled.content_hash();
    let looked =
        Fs::mount(spoiled.clone(), Mount { access: Access::ReadOnly, ..Mount::default() }).expect("one copy is good");
    assert!(listing(&looked) == *expected && spoiled.content_hash() == unchanged, "read-only means it");
    drop(looked);

    let fs = mount(spoiled.clone());
    assert!(listing(&fs) == *expected && fs.damage().is_none());
    assert_eq!(spoiled.content_hash(), medium.content_hash(), "{at:#x}: the copy is as it was");
    assert_clean(&spoiled);
}

#[test]
fn a_record_bad_in_one_copy_heals() {
    let (medium, states) = long_history();
    let expected = states.values().last().expect("there are states");
    let records = Image { medium: &medium }.records();
    assert!(Image { medium: &medium }.segments().len() >= 3);
    let mut chance = Chance(1);
    for record in records.iter().step_by(23).chain(records.last()) {
        let copy = chance.one(&record.copies);
        assert_heals(&medium, expected, copy + chance.below(record.len), Wrong::RecordCopy);
    }
}

#[test]
fn a_superblock_copy_heals() {
    let (medium, states) = with_history(20);
    let expected = states.values().last().expect("there are states");
    for copy in SUPERBLOCKS {
        for at in [0, 7, 8, 16, 30, 48, 72, SUPERBLOCK - 1] {
            assert_heals(&medium, expected, copy + at, Wrong::SuperblockCopy);
        }
    }
    let image = Image { medium: &medium };
    SUPERBLOCKS.iter().for_each(|copy| image.flip(copy + 40));
    let refused = Fs::mount(medium.clone(), Mount::default()).map(drop);
    assert!(matches!(refused, Err(MountError::Damaged(damage)) if damage.what == Wrong::Superblocks), "{refused:?}");
    SUPERBLOCKS.iter().for_each(|copy| image.put(*copy, &[0; 512]));
    assert!(matches!(Fs::mount(medium, Mount::default()), Err(MountError::Foreign)));
}

#[test]
fn a_segment_header_heals() {
    let (medium, states) = long_history();
    let expected = states.values().last().expect("there are states");
    for segment in (Image { medium: &medium }).segments() {
        for copy in segment.copies {
            for at in [0, 5, 16, 24, 32, ALIGN - 1] {
                assert_heals(&medium, expected, copy + at, Wrong::SegmentCopy);
            }
        }
    }
}

#[test]
fn the_last_record_bad_in_both_copies_is_a_torn_tail() {
    let (medium, states) = with_history(50);
    let last = *Image { medium: &medium }.records().last().expect("there are records");
    for at in [0, 4, 8, 16, 24, last.len - 1] {
        let torn = medium.fork();
        last.copies.iter().for_each(|copy| Image { medium: &torn }.flip(copy + at));
        assert_clean(&torn);
        let fs = mount(torn.clone());
        assert!(fs.damage().is_none());
        assert!(listing(&fs) == states[&last.seq]);
        // Its place is taken by the next record, and the log goes on.
        file(&fs, "afterwards");
        let fs = remount(fs);
        assert!(listing(&fs).len() == states[&last.seq].len() + 1);
        assert_space_exact(&fs, &[], &[]);
    }
}

/// Spoils `record` in both copies; the medium is then shown as it was before, and not to be changed.
fn assert_read_only_before(medium: &SimMedium, record: &Record, expected: &Listing) {
    let spoiled = medium.fork();
    record.copies.iter().for_each(|copy| Image { medium: &spoiled }.flip(copy + record.len / 2));
    let hash = spoiled.content_hash();
    let report = Fs::check(&spoiled);
    let named = |finding: &fs::Finding| {
        finding.what == Wrong::Record && finding.at.is_some_and(|at| record.copies.contains(&at.get()))
    };
    assert!(report.has_errors() && report.findings.iter().any(named), "record {}: {:?}", record.seq, report.findings);
    let fs = mount(spoiled.clone());
    let damage = fs.damage().expect("it is damaged");
    assert!(damage.what == Wrong::Record && record.copies.contains(&damage.at.get()), "{damage}");
    assert!(listing(&fs) == *expected, "the state before record {}", record.seq);
    let refused = fs.root().create(b"x", NewNode::File { mode: 0 }, now(9)).map(drop);
    assert_eq!(refused, Err(Error::ReadOnly));
    assert_eq!(spoiled.content_hash(), hash, "not a byte is changed");
}

#[test]
fn a_record_bad_in_both_copies_in_the_middle_makes_it_read_only_before_it() {
    let (medium, states) = long_history();
    let records = Image { medium: &medium }.records();
    // The root's own record goes: then there is nothing to show.
    let (middle, segments) = (&records[1..records.len() - 1], Image { medium: &medium }.segments());
    let is_edge = |record: &Record| {
        let place = |segment: &crate::image::Segment| record.copies[0].wrapping_sub(segment.copies[0]);
        segments.iter().any(|segment| place(segment) == ALIGN)
    };
    let next_is_edge = |at: usize| middle.get(at + 1).is_some_and(is_edge);
    let mut looked_at = 0;
    for (at, record) in middle.iter().enumerate() {
        if at % 31 == 0 || is_edge(record) || next_is_edge(at) || at + 1 == middle.len() {
            assert_read_only_before(&medium, record, &states[&record.seq]);
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at} records");
}

#[test]
fn a_segment_all_of_whose_records_are_bad_is_no_torn_tail() {
    let (medium, states) = long_history();
    let (records, segments) = (Image { medium: &medium }.records(), Image { medium: &medium }.segments());
    let first_of = |index: usize| {
        let at = segments[index].copies[0] + ALIGN;
        *records.iter().find(|record| record.copies[0] == at).expect("a segment begins with a record")
    };
    // The header stays; all behind it is gone.
    let spoiled = medium.fork();
    for copy in segments[1].copies {
        Image { medium: &spoiled }.put(copy + ALIGN, &vec![0; (SEGMENT - ALIGN) as usize]);
    }
    let first = first_of(1);
    let fs = mount(spoiled);
    let damage = fs.damage().expect("there are later records");
    assert!(damage.what == Wrong::Record && first.copies.contains(&damage.at.get()), "{damage}");
    assert!(listing(&fs) == states[&first.seq]);
}

#[test]
fn a_segment_header_bad_in_both_copies_is_named() {
    let (medium, states) = long_history();
    let image = Image { medium: &medium };
    let (segments, records) = (image.segments(), image.records());
    let spoil = |index: usize| {
        let spoiled = medium.fork();
        segments[index].copies.iter().for_each(|copy| Image { medium: &spoiled }.flip(copy + 20));
        spoiled
    };
    let refused = Fs::mount(spoil(0), Mount::default()).map(drop);
    assert!(matches!(refused, Err(MountError::Damaged(damage)) if damage.what == Wrong::Segment), "{refused:?}");
    let fs = mount(spoil(1));
    let damage = fs.damage().expect("it is damaged");
    assert!(damage.what == Wrong::Segment && segments[1].copies.contains(&damage.at.get()), "{damage}");
    let first = records.iter().find(|record| record.copies[0] == segments[1].copies[0] + ALIGN).expect("its first");
    assert!(listing(&fs) == states[&first.seq]);
}

#[test]
fn a_bad_list_of_extents_keeps_all_of_its_record_away() {
    // A medium of single free blocks, so that one write has more extents than a record takes.
    let fs = crate::full::fragmented(1400);
    let node = fs.root().lookup(b"wide").expect("made before");
    let before = node.attr();
    put(&node, 0, &pattern(7, 1400 * BLOCK as usize)).expect("there is room in pieces");
    assert!(node.attr().size > before.size);
    drop(node);
    let medium = remount(fs).medium().clone();
    let image = Image { medium: &medium };
    let lists = image.extent_blocks();
    assert!(lists.len() >= 10 && lists.len().is_multiple_of(2), "{} extent blocks", lists.len());
    let expected = whole(&medium);
    for &at in &lists {
        assert_heals(&medium, &expected, at + 100, Wrong::ExtentBlockCopy);
    }
    let spoiled = medium.fork();
    lists.iter().for_each(|&at| Image { medium: &spoiled }.flip(at + 100));
    let fs = mount(spoiled);
    assert_eq!(fs.damage().map(|damage| damage.what), Some(Wrong::ExtentBlock));
    let node = fs.root().lookup(b"wide").expect("it was there before");
    assert_eq!(node.attr(), before, "the record did not happen at all");
}

#[test]
fn blocks_that_cannot_be_read_are_bad_copies() {
    let (medium, states) = long_history();
    let expected = states.values().last().expect("there are states");
    let (segments, records) = (Image { medium: &medium }.segments(), Image { medium: &medium }.records());
    let bad = |sectors: &[u64]| {
        let spoiled = medium.fork();
        for at in sectors {
            spoiled.set_bad(PmOff::new(*at).sector(), 1).expect("it lies on the medium");
        }
        spoiled
    };
    for copy in [0, 1] {
        let spoiled = bad(&[SUPERBLOCKS[copy], segments[1].copies[copy], records[40].copies[1 - copy]]);
        let fs = mount(spoiled);
        assert!(listing(&fs) == *expected && fs.damage().is_none());
        file(&fs, "it goes on");
        drop(fs);
    }
    // Unreadable in both copies: what lies in the block is lost, and what lies behind is not shown.
    let record = records[100];
    let fs = mount(bad(&record.copies.map(|copy| copy / SECTOR_SIZE * SECTOR_SIZE)));
    assert_eq!(fs.damage().map(|damage| damage.what), Some(Wrong::Record));
    assert!(states[&(record.seq + 1)].len() >= listing(&fs).len());
    assert!(matches!(Fs::mount(bad(&SUPERBLOCKS), Mount::default()), Err(MountError::Damaged(_))));
}

#[test]
fn what_lies_behind_a_new_file_system_is_never_taken_for_its_own() {
    let (medium, _) = long_history();
    let options = fs::Format { salt: 0x5eed_5a17, now: now(0), ..fs::Format::default() };
    Fs::format(&medium, &options).expect("it is large enough");
    assert_clean(&medium);
    let fs = mount(medium);
    assert!(listing(&fs).is_empty() && fs.damage().is_none());
    for number in 0..600 {
        file(&fs, &format!("new {number}"));
    }
    assert_eq!(listing(&remount(fs)).len(), 600);
}
