//! fsck --repair: each kind of damage, made on purpose, found by its name and put right, and everything else as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use fs::{Access, Format, Fs, Mend, Mount, MountError, NewNode, RepairError, Wrong};
use pmem_sim::SimMedium;
use units::{ByteLen, Ino};

use crate::spoil::{Spoiler, entry, extents, inode, item, words};
use crate::victim::{BLOCK, NOW, Seen, VICTIM, file, places, tree, write};

const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;

/// A medium with a few files and directories: `a` of five blocks, `b` of 5000 bytes, `d/e/f`, and a second name of `a`.
fn small() -> SimMedium {
    let medium = SimMedium::new(ByteLen::new(1024 * BLOCK));
    let options = Format { uuid: *b"tests of damages", salt: 0xbad_b10c, now: NOW, ..Format::default() };
    Fs::format(&medium, &options).expect("the medium is large enough");
    let fs = Fs::mount(medium.clone(), Mount::default()).expect("a new file system mounts");
    write(&file(&fs, "a"), 0, &[1; 5 * BLOCK as usize]).expect("there is room");
    write(&file(&fs, "b"), 0, &[2; 5000]).expect("there is room");
    let d = fs.root().create(b"d", NewNode::Directory { mode: 0o755 }, NOW).expect("there is room");
    let e = d.create(b"e", NewNode::Directory { mode: 0o755 }, NOW).expect("there is room");
    let f = e.create(b"f", NewNode::File { mode: 0o600 }, NOW).expect("there is room");
    write(&f, 100, &[3; 300]).expect("there is room");
    fs.root().link(b"again", &fs.root().lookup(b"a").expect("it is there"), NOW).expect("there is room");
    medium
}

/// What the log can be told to say of `small`, whose inodes are 2 (`a`), 3 (`b`), 4 (`d`), 5 (`e`) and 6 (`f`).
fn spoiled(items: &[Vec<u8>]) -> SimMedium {
    let medium = small();
    Spoiler::new(&medium).append(items);
    medium
}

fn found(medium: &SimMedium) -> Vec<Wrong> {
    let report = Fs::check(medium);
    assert_eq!(report.refused, None);
    report.findings.iter().map(|finding| finding.what).collect()
}

/// What a mount for reading shows, where there is one.
pub(crate) fn shown(medium: &SimMedium) -> Option<BTreeMap<Vec<u8>, Seen>> {
    let fs = Fs::mount(medium.fork(), Mount { access: Access::ReadOnly, ..Mount::default() }).ok()?;
    Some(tree(&fs))
}

/// Repairs, sees that the medium is clean then, that it can be used, and that a second repair finds nothing to do.
pub(crate) fn repaired(medium: &SimMedium) -> Result<Vec<Mend>, RepairError> {
    let (fs, done) = Fs::repair(medium.clone(), NOW)?;
    drop(fs);
    let report = Fs::check(medium);
    assert!(report.is_clean(), "{:?} {:?} after {done:?}", report.refused, report.findings);
    let (fs, again) = Fs::repair(medium.fork(), NOW)?;
    assert_eq!(again, []);
    drop(file(&fs, "made after the repair"));
    fs.root().unlink(b"made after the repair", NOW).expect("it is there");
    let report = Fs::check(fs.medium());
    assert!(report.is_clean(), "{:?} after {done:?}", report.findings);
    Ok(done)
}

/// Every path that was shown is there, the same but for its link count.
pub(crate) fn assert_kept(before: &BTreeMap<Vec<u8>, Seen>, medium: &SimMedium, but: &[&str]) {
    let after = shown(medium).expect("it is clean");
    for (path, was) in before.iter().filter(|(path, _)| !but.iter().any(|but| but.as_bytes() == path.as_slice())) {
        let is = after.get(path).unwrap_or_else(|| panic!("{} is gone", path.escape_ascii()));
        assert_eq!((was.kind, &was.data), (is.kind, &is.data), "{}", path.escape_ascii());
    }
}

fn repairs(medium: &SimMedium, wrong: &[Wrong], lost: &[&str]) -> Vec<Mend> {
    for &wrong in wrong {
        assert!(found(medium).contains(&wrong), "{wrong} is not in {:?}", found(medium));
    }
    let before = shown(medium).unwrap_or_else(|| shown(&small()).expect("the example mounts"));
    let done = repaired(medium).expect("it can be repaired");
    assert_kept(&before, medium, lost);
    done
}

#[test]
fn a_clean_medium_is_left_as_it_is() {
    let medium = small();
    let before = medium.content_hash();
    assert_eq!(repaired(&medium), Ok(vec![]));
    assert_eq!(medium.content_hash(), before);
}

#[test]
fn wrong_link_counts_are_counted_again() {
    let medium = spoiled(&[inode(3, 5000, FILE, 7), inode(4, 0, DIRECTORY, 9)]);
    let done = repairs(&medium, &[Wrong::LinkCount], &[]);
    assert_eq!(done, [Mend::Links(Ino::new(3), 7, 1), Mend::Links(Ino::new(4), 9, 3)]);
}

#[test]
fn inodes_without_a_name_are_found_again() {
    // `b` loses its name and its link stays; `d` does, with all that lies below.
    let medium = spoiled(&[entry(1, 0, "b"), entry(1, 0, "d")]);
    let done = repairs(&medium, &[Wrong::Unreachable], &[]);
    let after = shown(&medium).expect("it is clean");
    let whole = shown(&small()).expect("the example mounts");
    assert_eq!(after[b"/lost+found/#3".as_slice()].data, whole[b"/b".as_slice()].data);
    assert_eq!(after[b"/lost+found/#4/e/f".as_slice()].data, whole[b"/d/e/f".as_slice()].data);
    assert!(!after.contains_key(b"/lost+found/#5".as_slice()), "what lies below a lost directory stays there");
    assert!(done.contains(&Mend::Found(Ino::new(3), b"lost+found/#3".to_vec())), "{done:?}");
}

#[test]
fn a_second_time_of_losing_finds_the_same_lost_and_found_and_other_names() {
    let medium =
        spoiled(&[entry(1, 0, "b"), inode(9, 0, FILE, 1), entry(1, 9, "lost+found"), inode(1, 0, DIRECTORY, 3)]);
    repairs(&medium, &[Wrong::Unreachable], &[]);
    let after = shown(&medium).expect("it is clean");
    assert!(after.contains_key(b"/lost+found.1/#3".as_slice()), "a file is in the way: {:?}", after.keys());
    Spoiler::new(&medium).append(&[entry(1, 0, "a"), entry(1, 0, "again")]);
    repairs(&medium, &[Wrong::Unreachable], &["/a", "/again"]);
    let after = shown(&medium).expect("it is clean");
    assert!(after.contains_key(b"/lost+found.1/#2".as_slice()), "{:?}", after.keys());
}

#[test]
fn names_that_lead_nowhere_go() {
    let medium = spoiled(&[entry(5, 77, "nowhere"), entry(1, 78, "odd\nname")]);
    let done = repairs(&medium, &[Wrong::DanglingName], &[]);
    assert!(done.contains(&Mend::Name(Ino::new(5), b"nowhere".to_vec(), Wrong::DanglingName)), "{done:?}");
    assert_eq!(done.len(), 2);
}

#[test]
fn directories_have_one_name_and_are_not_below_themselves() {
    // `d` once more in `e`, which lies in it; `e` once more in the root.
    let medium = spoiled(&[entry(5, 4, "up"), entry(1, 5, "second")]);
    let done = repairs(&medium, &[Wrong::DirectoryLoop], &[]);
    assert_eq!(done.iter().filter(|mend| matches!(mend, Mend::Name(_, _, Wrong::DirectoryLoop))).count(), 2);
    // A loop that no name leads to any more.
    let medium = spoiled(&[entry(5, 4, "up"), entry(1, 0, "d"), inode(1, 0, DIRECTORY, 2)]);
    repairs(&medium, &[Wrong::Unreachable], &[]);
    let after = shown(&medium).expect("it is clean");
    assert!(after.contains_key(b"/lost+found/#4/e/f".as_slice()), "{:?}", after.keys());
}

#[test]
fn of_blocks_with_two_owners_each_has_its_own() {
    let medium = small();
    let fs = Fs::mount(medium.clone(), Mount::default()).expect("the example mounts");
    let a: Vec<(u64, u64)> = places(&fs.root().lookup(b"a").expect("it is there"));
    drop(fs);
    let before = shown(&medium).expect("the example mounts");
    // The second block of `b` is `a`'s third; and `f`'s first lies in the log.
    let mut spoiler = Spoiler::new(&medium);
    let log = spoiler.u64(72);
    spoiler.append(&[extents(3, 1, &[(a[2].0, 1, 1)]), extents(6, 0, &[(log + 1, 1, 1)])]);
    let report = Fs::check(&medium);
    let twice = report.findings.iter().filter(|finding| finding.what == Wrong::DoublyOwned);
    assert_eq!(twice.filter_map(|finding| finding.ino).collect::<Vec<_>>(), [Ino::new(3), Ino::new(6)]);
    let refused = Fs::mount(medium.fork(), Mount::default()).err();
    assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::DoublyOwned));
    let done = repaired(&medium).expect("it can be repaired");
    assert!(done.contains(&Mend::Copied(Ino::new(3), 1)) && done.contains(&Mend::Copied(Ino::new(6), 1)), "{done:?}");
    assert_kept(&before, &medium, &["/b", "/d/e/f"]);
    let after = shown(&medium).expect("it is clean");
    assert_eq!(
        after[b"/b".as_slice()].data[1],
        Ok(vec![1; 5000 - BLOCK as usize]),
        "what is read there has not changed"
    );
}

#[test]
fn blocks_behind_the_end_of_a_file_go_and_bytes_do_no_harm() {
    let medium = spoiled(&[extents(3, 2, &[(900, 3, 1)])]);
    assert_eq!(repairs(&medium, &[Wrong::BeyondEnd], &[]), [Mend::Beyond(Ino::new(3), 3)]);
    // `b` ends at 5000: the rest of its second block.
    let medium = small();
    let fs = Fs::mount(medium.clone(), Mount::default()).expect("the example mounts");
    let last = places(&fs.root().lookup(b"b").expect("it is there"))[1].0;
    drop(fs);
    Spoiler::new(&medium).put((last * BLOCK) as usize + 1000, &[9]);
    let report = Fs::check(&medium);
    assert!(report.is_clean() && report.ragged == 1);
}

#[test]
fn a_symlink_without_a_target_goes() {
    let medium = spoiled(&[inode(9, 0, 0o120_777, 1), entry(4, 9, "link")]);
    let done = repairs(&medium, &[Wrong::WrongContent], &["/d/link"]);
    assert_eq!(done[0], Mend::Symlink(Ino::new(9)));
}

#[test]
fn without_a_root_directory_all_is_found_in_a_new_one() {
    let medium = spoiled(&[inode(1, 0, DIRECTORY, 0)]);
    let refused = Fs::check(&medium).refused;
    assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::NoRoot), "{refused:?}");
    let done = repaired(&medium).expect("it can be repaired");
    assert_eq!(done[0], Mend::Root);
    let (before, after) = (shown(&small()).expect("the example mounts"), shown(&medium).expect("it is clean"));
    for (was, is) in [("/a", "/lost+found/#2"), ("/b", "/lost+found/#3"), ("/d/e/f", "/lost+found/#4/e/f")] {
        assert_eq!(before[was.as_bytes()].data, after[is.as_bytes()].data, "{was}");
    }
}

#[test]
fn what_is_impossible_in_a_record_is_passed_over_and_the_rest_is_not() {
    for (items, incomplete) in [
        // A run past the end, an entry in what is no directory, and a kind that is none: nobody knows whose.
        (vec![extents(3, 0, &[(1020, 9, 1)]), inode(2, 5 * BLOCK, FILE, 2)], Some(3)),
        (vec![inode(2, 5 * BLOCK, FILE, 2), entry(3, 2, "x")], Some(3)),
        (vec![item(9, &words(&[1]), &[])], None),
    ] {
        let medium = spoiled(&items);
        Spoiler::new(&medium).append(&[entry(5, 3, "b too"), inode(3, 5000, FILE, 2)]);
        let damage = Fs::check(&medium).findings[0];
        assert!(damage.at.is_some() && Fs::check(&medium).behind == 1, "{damage}");
        let done = repairs(&medium, &[], &[]);
        assert!(matches!(done[0], Mend::PassedOver(_, 0)), "{done:?}");
        let said: Vec<Mend> = incomplete.into_iter().map(|ino| Mend::Incomplete(Ino::new(ino))).collect();
        assert_eq!(done[1..], said);
        let (before, after) = (shown(&small()).expect("the example mounts"), shown(&medium).expect("it is clean"));
        assert_eq!(after[b"/d/e/b too".as_slice()].data, before[b"/b".as_slice()].data, "what came later counts");
    }
}

#[test]
fn a_damaged_middle_is_told_with_its_byte_and_what_is_behind_it_is_kept() {
    let before = shown(&VICTIM.fork()).expect("the victim mounts");
    let medium = VICTIM.fork();
    let mut spoiler = Spoiler::new(&medium);
    let records = spoiler.records();
    let (bad, count) = (records[records.len() / 2], records.len() - records.len() / 2 - 1);
    bad.copies.iter().for_each(|&copy| spoiler.flip(copy + 40));
    let report = Fs::check(&medium);
    assert_eq!(
        (report.findings[0].what, report.findings[0].at.map(|at| at.get())),
        (Wrong::Record, Some(bad.copies[0] as u64))
    );
    assert_eq!(report.behind, count as u64);
    let done = repaired(&medium).expect("it can be repaired");
    assert!(matches!(done[0], Mend::PassedOver(damage, 1) if damage.what == Wrong::Record), "{done:?}");
    let after = shown(&medium).expect("it is clean");
    // It said where one block of one file lies.
    let differ = |(path, was): &(&Vec<u8>, &Seen)| after.get(*path).is_none_or(|is| is.data != was.data);
    assert!(before.iter().filter(differ).count() <= 1, "{done:?}");
    assert_eq!(before[b"/scattered".as_slice()], after[b"/scattered".as_slice()]);
}

#[test]
fn any_record_may_be_lost_and_only_what_it_said_is() {
    let before = shown(&small()).expect("the example mounts");
    let records = Spoiler::new(&small()).records();
    assert!(records.len() > 8);
    for bad in &records[..records.len() - 1] {
        let medium = small();
        let mut spoiler = Spoiler::new(&medium);
        bad.copies.iter().for_each(|&copy| spoiler.flip(copy + 40));
        let done = repaired(&medium).unwrap_or_else(|error| panic!("record {}: {error}", bad.seq));
        assert!(done.iter().any(|mend| matches!(mend, Mend::PassedOver(_, 1))), "record {}: {done:?}", bad.seq);
        let after = shown(&medium).expect("it is clean");
        let is_found = |was: &Seen| after.values().any(|is| (is.kind, &is.data) == (was.kind, &was.data));
        let lost = before.iter().filter(|(_, was)| !is_found(was)).count();
        // Two names of one file are two paths.
        assert!(lost <= 2, "record {}: {lost} of {} are lost: {done:?}", bad.seq, before.len());
    }
}

#[test]
fn of_a_block_that_a_lost_record_freed_the_later_owner_keeps_it() {
    let medium = small();
    let fs = Fs::mount(medium.clone(), Mount::default()).expect("the example mounts");
    let b = places(&fs.root().lookup(b"b").expect("it is there"))[0].0;
    drop(fs);
    // A record that nobody can read, in which `b` was made empty, and one behind it that gives its block to `a`.
    let mut spoiler = Spoiler::new(&medium);
    spoiler.append(&[inode(3, 0, FILE, 1), extents(3, 0, &[(0, 2, 0)])]);
    let lost = *spoiler.records().last().expect("it was just appended");
    spoiler.append(&[extents(2, 0, &[(b, 1, 1)])]);
    lost.copies.iter().for_each(|&copy| spoiler.flip(copy + 40));
    let done = repaired(&medium).expect("it can be repaired");
    assert!(done.contains(&Mend::Overwritten(Ino::new(3), 1)), "{done:?}");
    let after = shown(&medium).expect("it is clean");
    assert_eq!(after[b"/a".as_slice()].data[0], Ok(vec![2; BLOCK as usize]));
    assert_eq!(after[b"/b".as_slice()].data[0], Ok(vec![0; BLOCK as usize]), "what is `a`'s now is not shown as `b`'s");
}

#[test]
fn a_torn_tail_is_no_damage() {
    let medium = small();
    let mut spoiler = Spoiler::new(&medium);
    let last = *spoiler.records().last().expect("there are records");
    last.copies.iter().for_each(|&copy| spoiler.flip(copy + 40));
    assert_eq!(found(&medium), []);
    assert_eq!(repaired(&medium), Ok(vec![]));
    assert!(!shown(&medium).expect("it is clean").contains_key(b"/again".as_slice()));
}

#[test]
fn headers_bad_in_both_copies_cost_nothing() {
    let before = shown(&VICTIM.fork()).expect("the victim mounts");
    let segments = Spoiler::new(&VICTIM.fork()).segments();
    assert!(segments.len() >= 3);
    for (index, copies) in segments.iter().enumerate() {
        let medium = VICTIM.fork();
        let mut spoiler = Spoiler::new(&medium);
        copies.iter().for_each(|&copy| spoiler.flip(copy + 9));
        let report = Fs::check(&medium);
        assert!(report.has_errors(), "segment {index}");
        let done = repaired(&medium).expect("it can be repaired");
        assert!(done.contains(&Mend::Headers), "{done:?}");
        assert_eq!(shown(&medium).as_ref(), Some(&before), "segment {index}");
    }
}

#[test]
fn a_superblock_is_made_anew_of_two_bad_copies() {
    let before = shown(&small()).expect("the example mounts");
    // The checksum, the uuid, the block size, the version; not the same byte in both.
    for (one, other) in [(16, 17), (24, 30), (20, 21), (8, 300), (0, 1), (120, 100)] {
        let medium = small();
        let mut spoiler = Spoiler::new(&medium);
        spoiler.flip(one);
        spoiler.flip(16 * BLOCK as usize + other);
        let refused = Fs::check(&medium).refused;
        if one == 0 {
            assert_eq!(refused, Some(MountError::Foreign));
            continue;
        }
        assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::Superblocks));
        let done = repaired(&medium).expect("it can be repaired");
        assert_eq!(done, [Mend::Superblock]);
        assert_eq!(shown(&medium).as_ref(), Some(&before));
    }
    // The salt in both: no checksum of the log can be told from chance.
    let medium = small();
    let mut spoiler = Spoiler::new(&medium);
    spoiler.flip(57);
    spoiler.flip(16 * BLOCK as usize + 58);
    let state = medium.content_hash();
    assert!(matches!(Fs::repair(medium.clone(), NOW).err(), Some(RepairError::Refused(MountError::Damaged(_)))));
    assert_eq!(medium.content_hash(), state, "what cannot be repaired stays as it is");
}

#[test]
fn what_is_no_medium_of_ours_is_left_alone() {
    for (at, bytes, wanted) in [
        (8, 2_u32.to_le_bytes(), MountError::Version { found: 2 }),
        (12, 8_u32.to_le_bytes(), MountError::Features { unknown: 8 }),
    ] {
        let medium = small();
        let mut spoiler = Spoiler::new(&medium);
        for copy in [0, 16 * BLOCK as usize] {
            spoiler.put(copy + at, &bytes);
            spoiler.seal(copy, 512);
        }
        let state = medium.content_hash();
        assert_eq!(Fs::repair(medium.clone(), NOW).err(), Some(RepairError::Refused(wanted)));
        assert_eq!(medium.content_hash(), state);
    }
}

/// A cut anywhere in a repair leaves what was there, or what was to be.
#[test]
fn a_repair_may_be_cut() {
    let medium = spoiled(&[entry(1, 0, "b"), entry(5, 4, "up"), inode(2, 5 * BLOCK, FILE, 9), entry(1, 99, "gone")]);
    let before = shown(&medium).expect("it can be read");
    let states = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = states.clone();
    medium.on_fence(move |medium, number| {
        kept.lock().expect("nobody panicked").extend(medium.crash_states(40, number));
    });
    drop(Fs::repair(medium.clone(), NOW).expect("it can be repaired"));
    medium.no_hook();
    let states = std::mem::take(&mut *states.lock().expect("nobody panicked"));
    assert!(states.len() > 100, "{}", states.len());
    for state in states {
        repaired(&state).expect("a cut does no harm");
        assert_kept(&before, &state, &[]);
    }
}
