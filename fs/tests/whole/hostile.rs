//! Media nobody wrote: numbers changed under right checksums, records in the wrong places, copies that contradict each
//! other. Mount, fsck and every call end without a panic, and what was free of contradictions stays so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use fs::{Error, Fs, Kind, Mount, MountError, NewNode, Rename, SetAttr, WriteAt, Wrong};
use pmem_sim::SimMedium;
use units::{FileOff, PmOff};

use crate::common::*;
use crate::heap::peak_of;
use crate::image::{ALIGN, Image, Record, SUPERBLOCK, SUPERBLOCKS, Segment};

/// A medium with something of every kind, and where its structures lie.
struct Victim {
    medium: SimMedium,
    records: Vec<Record>,
    segments: Vec<Segment>,
    lists: Vec<u64>,
    blocks: u64,
}

impl Victim {
    fn new(fs: World) -> Self {
        populate(&fs);
        let medium = remount(fs).medium().fork();
        let image = Image { medium: &medium };
        let (records, segments, lists) = (image.records(), image.segments(), image.extent_blocks());
        let blocks = image.u64(40);
        Self { medium, records, segments, lists, blocks }
    }
}

/// Directories in directories, links, a file with holes, one renamed, one gone.
fn populate(fs: &World) {
    let root = fs.root();
    let dir = |at: &Node, name: &[u8]| at.create(name, NewNode::Directory { mode: 0o755 }, now(1)).expect("room");
    let (a, b) = (dir(&root, b"a"), dir(&root, b"b"));
    let deep = dir(&dir(&a, b"c"), b"d");
    let node = file(fs, "holes");
    for at in [0, 3, 9, 20] {
        put(&node, at * 9000, &pattern(at, 7000)).expect("there is room");
    }
    node.truncate(150_001, now(2)).expect("it can be cut");
    deep.link(b"hard", &node, now(2)).expect("there is room");
    b.create(b"sym", NewNode::Symlink { target: b"../a/c" }, now(2)).expect("there is room");
    for number in 0..12 {
        put(&file(fs, &format!("f{number}")), 0, &pattern(number, 3000)).expect("there is room");
    }
    root.rename(b"f3", &b, b"moved", Rename::Replace, now(3)).expect("there is room");
    root.rename(b"a", &b, b"moved", Rename::Exchange, now(3)).expect("there is room");
    root.unlink(b"f5", now(3)).expect("it is there");
}

/// A number that may hurt where `was` stood.
fn number(chance: &mut Chance, victim: &Victim, image: &Image<'_>, was: u64) -> u64 {
    let blocks = victim.blocks;
    match chance.below(4) {
        0 => chance.one(&[was.wrapping_add(1), was.wrapping_sub(1), was << 1, !was, was | 1 << 32, was ^ 1 << 63]),
        1 => {
            let record = chance.one(&victim.records);
            image.u64(record.copies[0] + chance.below(record.len / 8) * 8)
        }
        2 => chance.below(blocks + 2),
        _ => chance.one(&[
            0,
            1,
            2,
            17,
            32,
            blocks - 1,
            blocks,
            (1 << 32) - 1,
            1 << 32,
            1 << 44,
            (1 << 44) - 1,
            i64::MAX as u64,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ]),
    }
}

/// Changes an aligned number of `width` bytes at the same place of a structure's copies, and seals them.
fn change(chance: &mut Chance, victim: &Victim, image: &Image<'_>, copies: &[u64], len: u64, seal: &dyn Fn(u64)) {
    let width = chance.one(&[2u64, 4, 8, 8, 8]);
    let at = chance.below(len / width) * width;
    let value = number(chance, victim, image, image.u64(copies[0] + at / 8 * 8));
    for copy in copies {
        image.put(copy + at, &value.to_le_bytes()[..width as usize]);
        seal(*copy);
    }
}

/// One thing wrong.
fn spoil(chance: &mut Chance, victim: &Victim, image: &Image<'_>) {
    let (record, segment) = (chance.one(&victim.records), chance.one(&victim.segments));
    let seal_record = |at: u64| image.seal(at, record.len);
    match chance.below(12) {
        0..=4 => change(chance, victim, image, &record.copies, record.len, &seal_record),
        5 => {
            let one = [chance.one(&record.copies)];
            change(chance, victim, image, &one, record.len, &seal_record);
        }
        6 => change(chance, victim, image, &segment.copies, ALIGN, &|at| image.seal(at, ALIGN)),
        7 => change(chance, victim, image, &SUPERBLOCKS, SUPERBLOCK / 4, &|at| image.seal_superblock(at)),
        8 if !victim.lists.is_empty() => {
            // The copies of a block lie one behind the other in the list of those found.
            let pair = chance.below(victim.lists.len() as u64 / 2) as usize * 2;
            let copies = [victim.lists[pair], victim.lists[pair + 1]];
            let len = chance.one(&[64, BLOCK]);
            change(chance, victim, image, &copies, len, &|at| image.seal(at, BLOCK));
        }
        8 | 9 => {
            // What another record says, at this one's place and under its number.
            let other = chance.one(&victim.records);
            let room = record.len.next_multiple_of(ALIGN);
            if other.len <= room {
                let seq = image.bytes(record.copies[0] + 24, 8);
                let bytes = image.bytes(other.copies[0], other.len);
                for copy in record.copies {
                    image.put(copy, &bytes);
                    image.put(copy + 24, &seq);
                    image.seal(copy, other.len);
                }
            }
        }
        10 => {
            // Any byte, whatever it is for.
            let at = chance.one(&[record.copies[0], segment.copies[0], SUPERBLOCKS[0], SUPERBLOCKS[1]]);
            image.put(at + chance.below(ALIGN), &[chance.next() as u8]);
        }
        _ => {
            let copy = chance.one(&record.copies);
            let noise: Vec<u8> = (0..chance.below(200)).map(|_| chance.next() as u8).collect();
            image.put(copy, &noise);
        }
    }
}

/// A sector that cannot be read.
fn lose(chance: &mut Chance, victim: &Victim, medium: &SimMedium) {
    let (record, segment) = (chance.one(&victim.records), chance.one(&victim.segments));
    let anywhere = chance.below(victim.blocks) * BLOCK;
    let at = chance.one(&[record.copies[0], segment.copies[1], anywhere]);
    medium.set_bad(PmOff::new(at).sector(), 1).expect("it lies on the medium");
}

/// Every call on what can be reached, believing nothing.
fn use_all(fs: &World) {
    let (mut waiting, mut looked_at) = (vec![fs.root()], 0);
    while let Some(node) = waiting.pop() {
        looked_at += 1;
        if looked_at > 60 {
            return;
        }
        let attr = node.attr();
        node.touch_atime(now(50));
        let set = SetAttr { atime: Some(now(i64::MIN)), ..SetAttr::default() };
        let _ = (node.set_attr(set, now(4)), node.read_link());
        node.touch_atime(now(i64::MAX));
        if node.kind() == Kind::File {
            use_file(&node, attr.size);
            continue;
        }
        let mut names = Vec::new();
        let _ = node.read_dir(2, &mut |entry| {
            names.push(entry.name.to_vec());
            names.len() < 40
        });
        for (at, name) in names.iter().enumerate() {
            let Ok(child) = node.lookup(name) else { continue };
            let _ = child.lookup(b"..");
            match at % 4 {
                0 => drop(node.rename(name, &child, b"into itself", Rename::Replace, now(5))),
                1 => drop(node.rename(name, &fs.root(), b"up", Rename::Replace, now(5))),
                2 => drop(node.link(b"one more", &child, now(5))),
                _ => drop((node.unlink(name, now(5)), node.rmdir(name, now(5)))),
            }
            waiting.push(child);
        }
        let _ = node.create(b"new", NewNode::Directory { mode: 0 }, now(5)).map(|new| {
            let _ = new.create(b"newer", NewNode::File { mode: 0 }, now(5)).map(|file| put(&file, 5000, &[1; 5000]));
        });
    }
}

fn use_file(node: &Node, size: u64) {
    for at in [0, size / 2, size.saturating_sub(100), size] {
        let _ = get(node, at, 9000);
    }
    let pin = node.pin_all();
    let _ = put(node, size / 3, &[2; 6000]);
    let _ = node.write(WriteAt::End, &mut [3u8; 100].as_slice(), now(6));
    let _ = node.truncate(size / 2 + 1, now(6));
    if let Ok(pin) = pin {
        let _ = (pin.iomap(FileOff::new(size)), pin.iomap(FileOff::new(u64::MAX)));
    }
}

/// The victim, spoilt as `seed` has it.
fn spoilt(victim: &Victim, seed: u64) -> SimMedium {
    let mut medium = victim.medium.fork();
    let mut chance = Chance(seed);
    for _ in 0..=chance.below(3) {
        spoil(&mut chance, victim, &Image { medium: &medium });
    }
    match chance.below(16) {
        0 | 1 => lose(&mut chance, victim, &medium),
        // A medium may end anywhere.
        2 => medium = SimMedium::from_bytes(&medium.bytes()[..(chance.below(victim.blocks) * BLOCK) as usize]),
        _ => {}
    }
    medium
}

/// Examines, repairs a copy, mounts, uses, and examines again.
fn survive(medium: SimMedium) {
    let report = Fs::check(&medium);
    mend(&medium.fork());
    let Ok(fs) = Fs::mount(medium.clone(), Mount::default()) else {
        assert!(report.has_errors());
        return;
    };
    assert!(report.refused.is_none());
    let hash = medium.content_hash();
    let damaged = fs.damage().is_some();
    use_all(&fs);
    drop(fs);
    if damaged {
        assert_eq!(medium.content_hash(), hash, "nothing is changed where something is damaged");
    } else if !report.has_errors() {
        let report = Fs::check(&medium);
        assert!(!report.has_errors(), "{:?} {:?}", report.refused, report.findings);
        drop(mount(medium));
    }
}

/// What can be repaired is right then, and can be used.
fn mend(medium: &SimMedium) {
    if let Ok((fs, _)) = Fs::repair(medium.clone(), now(7)) {
        use_all(&fs);
        drop(fs);
        let report = Fs::check(medium);
        assert!(!report.has_errors(), "repaired: {:?} {:?}", report.refused, report.findings);
    }
}

/// Cases of all kinds, unless `VITRINE_FUZZ` says how many.
const CASES: u64 = 1260;

/// Runs the share `part` of all cases, and tells how far it has come where they are many.
fn survive_many(title: &str, victim: &Victim, from: u64, part: f64) {
    let all = std::env::var("VITRINE_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let cases = (all as f64 * part).ceil() as u64;
    let (mut failed, mut slowest, mut most) = (Vec::new(), (0, 0), 0);
    for (done, seed) in (from..from + cases).enumerate() {
        let begun = Instant::now();
        let (medium, mut survived) = (spoilt(victim, seed), Ok(()));
        let peak = peak_of(|| survived = catch_unwind(AssertUnwindSafe(|| survive(medium))));
        // No more heap than there is medium.
        if survived.is_err() || peak > victim.blocks * BLOCK {
            failed.push((seed, peak));
        }
        slowest = slowest.max((begun.elapsed().as_millis(), seed));
        most = most.max(peak);
        if cases > CASES && (done as u64 + 1).is_multiple_of(cases.div_ceil(20)) {
            println!("fuzz, {title}: {} of {cases} cases, {} failed", done + 1, failed.len());
        }
    }
    let slow = format!("the slowest took {} ms (seed {})", slowest.0, slowest.1);
    println!("fuzz, {title}: {cases} cases, {} failed, {} KiB of heap at most, {slow}", failed.len(), most >> 10);
    assert!(failed.is_empty(), "seeds, with their bytes of heap: {failed:?}");
}

#[test]
fn no_number_under_a_right_checksum_does_harm() {
    survive_many("any image", &Victim::new(fresh(1024)), 1 << 32, 0.95);
}

#[test]
fn no_number_in_a_long_log_with_extent_lists_does_harm() {
    let fs = crate::full::fragmented(1400);
    put(&fs.root().lookup(b"wide").expect("made before"), 0, &vec![5; 1400 * BLOCK as usize]).expect("room in pieces");
    // Room again, for what comes.
    fs.root().unlink(b"filler", now(2)).expect("it can go");
    let victim = Victim::new(fs);
    assert!(!victim.lists.is_empty());
    survive_many("extent lists", &victim, 2 << 32, 0.05);
}

/// Records out of order where the next segment would be, which has no header: where it goes on is a guess, and leads back.
#[test]
fn a_log_that_leads_back_to_itself_is_read_once() {
    let victim = Victim::new(fresh(1024));
    let medium = victim.medium.fork();
    let image = Image { medium: &medium };
    let (last, record) = (victim.segments[victim.segments.len() - 1], victim.records[victim.records.len() - 1]);
    for next in [32, 40].map(|field| image.u64(last.copies[0] + field) * BLOCK) {
        for (at, number) in [(BLOCK, 3), (2 * BLOCK, 2)] {
            image.put(next + at, &image.bytes(record.copies[0], record.len));
            image.put(next + at + 24, &(record.seq + number).to_le_bytes());
            image.seal(next + at, record.len);
        }
    }
    assert!(Fs::check(&medium).has_errors(), "the log goes on behind what is missing");
    let mut done = Ok(());
    let peak = peak_of(|| done = catch_unwind(AssertUnwindSafe(|| survive(medium))));
    assert!(done.is_ok() && peak < victim.blocks * BLOCK, "{peak} bytes of heap");
}

/// The log says that the next segment lies where a superblock does; the repair writes another log, and gives back this one.
#[test]
fn a_superblock_that_the_log_calls_its_own_is_given_to_nobody() {
    let victim = Victim::new(fresh(1024));
    let (medium, next) = (victim.medium.fork(), SUPERBLOCKS[1] / BLOCK - 5);
    let (image, segment) = (Image { medium: &medium }, victim.segments[victim.segments.len() - 1]);
    for copy in segment.copies {
        image.put(copy + 32, &next.to_le_bytes());
        image.seal(copy, ALIGN);
    }
    let (fs, _) = Fs::repair(medium.clone(), now(7)).expect("it can be repaired");
    let blocks = fs.space().available;
    put(&file(&fs, "everything else"), 0, &vec![1; (blocks * BLOCK) as usize]).expect("there is room");
    drop(fs);
    assert_clean(&medium);
}

/// No record, and a superblock that says that no inode has had a number: the root has its own all the same.
#[test]
fn a_root_that_nothing_tells_of_is_made_and_kept() {
    let victim = Victim::new(fresh(1024));
    let medium = victim.medium.fork();
    let image = Image { medium: &medium };
    for copy in SUPERBLOCKS {
        image.put(copy + 112, &0u64.to_le_bytes());
        image.seal_superblock(copy);
    }
    let noise = vec![0x5a; crate::image::SEGMENT as usize];
    victim.segments.iter().flat_map(|segment| segment.copies).for_each(|copy| image.put(copy, &noise));
    let (fs, _) = Fs::repair(medium.clone(), now(7)).expect("what is left is an empty directory");
    drop((file(&fs, "after it"), fs));
    assert_clean(&medium);
    assert_eq!(named(&mount(medium)).len(), 2);
}

#[test]
fn numbers_that_could_not_be_counted_on_from_are_refused() {
    // The superblock's generation, first record and next inode number.
    for field in [64, 88, 112] {
        let medium = fresh(1024).medium().fork();
        let image = Image { medium: &medium };
        for copy in SUPERBLOCKS {
            image.put(copy + field, &u64::MAX.to_le_bytes());
            image.seal_superblock(copy);
        }
        let refused = Fs::mount(medium, Mount::default()).err();
        assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::SuperblockField));
    }
}

#[test]
fn inode_numbers_that_have_all_been_given_are_no_space() {
    let fs = fresh(1024);
    let medium = fs.medium().clone();
    drop(fs);
    let image = Image { medium: &medium };
    for copy in SUPERBLOCKS {
        image.put(copy + 112, &(i64::MAX as u64 - 1).to_le_bytes());
        image.seal_superblock(copy);
    }
    let fs = mount(medium);
    file(&fs, "the last one");
    let refused = fs.root().create(b"one more", NewNode::File { mode: 0 }, now(2)).map(drop);
    assert_eq!(refused, Err(Error::NoSpace));
    assert_eq!(named(&remount(fs)).len(), 2);
}
