//! Bad blocks under a file system: what reads and writes meet, how a file heals, and the list on the medium.

mod common;

use std::sync::{Arc, Mutex};

use common::{BLOCK, NOW, formatted};
use fs::{Error, Fs, Mount, NewNode, Node, WriteAt, badlist};
use pmem::badblocks::BadRange;
use pmem::guarded::Guarded;
use pmem::medium::{MediaError, Medium};
use pmem_sim::{SimCells, SimMedium};
use proptest::prelude::*;
use units::{BlockNr, ByteLen, FileOff, FileRange, PAGE_SIZE, PmOff, SECTOR_SIZE, Sector};

type Memory = Guarded<SimCells>;

/// A medium that keeps its list, as devices and images do.
fn cells(medium: &SimMedium) -> SimCells {
    SimCells::keeping(medium.clone(), |medium, bad| badlist::write(&SimCells::new(medium.clone()), bad))
}

/// Switches the machine on: the list is read, the file system mounted.
fn boot(medium: &SimMedium) -> Arc<Fs<Memory>> {
    let cells = cells(medium);
    let known = badlist::read(&cells);
    Fs::mount(Guarded::new(cells, &known), Mount::default()).unwrap()
}

fn file(fs: &Arc<Fs<Memory>>, name: &[u8], blocks: u64) -> Node<Memory> {
    let node = fs.root().create(name, NewNode::File { mode: 0o644 }, NOW).unwrap();
    write(&node, 0, &vec![7; (blocks * BLOCK) as usize]).unwrap();
    node
}

fn write(node: &Node<Memory>, at: u64, bytes: &[u8]) -> Result<usize, Error> {
    let mut source = bytes;
    node.write(WriteAt::Offset(FileOff::new(at)), &mut source, NOW).map(|written| written.len)
}

fn read(node: &Node<Memory>, at: u64, len: usize) -> Result<usize, Error> {
    let mut bytes = vec![0; len];
    let done = node.read(FileOff::new(at), len, &mut bytes.as_mut_slice())?;
    assert!(bytes[..done].iter().all(|&byte| byte == 7 || byte == 9), "bytes nobody wrote");
    Ok(done)
}

/// Where the file's byte `at` lies.
fn place(node: &Node<Memory>, at: u64) -> PmOff {
    let range = FileRange::with_len(FileOff::new(at), ByteLen::new(1)).unwrap();
    node.pin(range).unwrap().iomap(FileOff::new(at)).addr_at(FileOff::new(at)).unwrap()
}

fn known(medium: &SimMedium) -> Vec<(u64, u64)> {
    badlist::read(&cells(medium)).iter().map(|range| (range.start.get(), range.count)).collect()
}

#[test]
fn a_read_is_short_at_a_bad_block_and_an_error_at_its_start() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let node = file(&fs, b"f", 4);
    let bad = place(&node, 2 * BLOCK);
    fs.medium().set_bad(bad.sector(), 1).unwrap();
    assert_eq!(read(&node, 100, 4 * BLOCK as usize), Ok(2 * BLOCK as usize - 100));
    assert_eq!(read(&node, 2 * BLOCK, 8), Err(Error::Media(MediaError { at: bad })));
    assert_eq!(read(&node, 2 * BLOCK + 512, 2048), Ok(2048), "the other sectors are good");
}

#[test]
fn what_does_not_answer_is_known_afterwards_also_after_a_reboot() {
    let medium = formatted(1024);
    let (fs, bad) = (boot(&medium), Mutex::new(PmOff::ZERO));
    let node = file(&fs, b"f", 4);
    *bad.lock().unwrap() = place(&node, BLOCK);
    let bad = *bad.lock().unwrap();
    medium.set_bad(bad.sector(), 1).unwrap();
    assert_eq!(read(&node, 0, 4 * BLOCK as usize), Ok(BLOCK as usize));
    assert_eq!(known(&medium), [(bad.sector().get(), 8)]);
    drop((node, fs));
    let fs = boot(&medium.cut());
    let node = fs.root().lookup(b"f").unwrap();
    assert_eq!(read(&node, BLOCK, 1), Err(Error::Media(MediaError { at: bad })));
    let report = Fs::check(fs.medium());
    assert!(report.is_clean() && report.bad_sectors == 8);
}

#[test]
fn a_full_overwrite_heals_and_a_partial_one_of_the_lost_bytes_too() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let node = file(&fs, b"f", 4);
    for (at, len, heals) in [(BLOCK, BLOCK, true), (BLOCK + 512, 512, true), (BLOCK, 512, false)] {
        let bad = PmOff::new(place(&node, BLOCK).get() + 512);
        fs.medium().set_bad(bad.sector(), 1).unwrap();
        let free = fs.space().free;
        let outcome = write(&node, at, &vec![9; len as usize]);
        if heals {
            assert_eq!(outcome, Ok(len as usize));
            assert_eq!(known(&medium), []);
            assert_eq!(read(&node, 0, 4 * BLOCK as usize), Ok(4 * BLOCK as usize));
        } else {
            assert_eq!(outcome, Err(Error::Media(MediaError { at: bad })), "the rest of the block is lost");
            assert_eq!(known(&medium).len(), 1);
        }
        assert_eq!((fs.space().free, fs.space().bad), (free, 0));
    }
}

#[test]
fn a_pin_keeps_its_bad_block_from_being_healed() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let node = file(&fs, b"f", 1);
    let bad = place(&node, 0);
    let pin = node.pin_all().unwrap();
    fs.medium().set_bad(bad.sector(), 8).unwrap();
    write(&node, 0, &[9; BLOCK as usize]).unwrap();
    assert_eq!(read(&node, 0, BLOCK as usize), Ok(BLOCK as usize));
    assert_eq!(known(&medium), [(bad.sector().get(), 8)]);
    drop(pin);
    assert_eq!(known(&medium), []);
}

#[test]
fn unlinking_and_truncating_heal_what_they_free() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    for end in [0, 1] {
        let node = file(&fs, b"f", 3);
        fs.medium().set_bad(place(&node, BLOCK).sector(), 3).unwrap();
        fs.medium().set_bad(place(&node, 0).sector(), 1).unwrap();
        if end == 0 {
            node.truncate(0, NOW).unwrap()
        };
        drop(node);
        fs.root().unlink(b"f", NOW).unwrap();
        assert_eq!(known(&medium), []);
    }
}

#[test]
fn a_bad_block_that_cannot_be_healed_is_not_given_out() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let node = file(&fs, b"f", 2);
    fs.medium().set_bad(place(&node, 0).sector(), 1).unwrap();
    fs.medium().cells().clear_nothing();
    let free = fs.space().free;
    write(&node, 0, &[9; BLOCK as usize]).unwrap();
    assert_eq!((fs.space().free, fs.space().bad), (free - 1, 1));
    // Nobody gets it, however full the medium is.
    let bad = PmOff::new(known(&medium)[0].0 * SECTOR_SIZE).block();
    let all = fs.space().available;
    let big = file(&fs, b"all", all);
    let taken = (0..all).all(|block| place(&big, block * BLOCK).block() != bad);
    assert!(taken && fs.space().available == 0);
    drop((node, big, fs));
    let fs = boot(&medium);
    assert_eq!((fs.space().bad, known(&medium).len()), (1, 1), "and after a reboot");
}

#[test]
fn a_log_with_bad_sectors_in_one_copy_is_read_and_repaired() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    (0..20).for_each(|number| drop(file(&fs, &[b'a' + number], 1)));
    drop(fs);
    // The first copy of the first segment, and of the superblock.
    medium.set_bad(BlockNr::new(17).base().sector(), 8).unwrap();
    medium.set_bad(Sector::new(0), 1).unwrap();
    let fs = boot(&medium);
    assert!(fs.damage().is_none());
    (0..20).for_each(|number| assert!(fs.root().lookup(&[b'a' + number]).is_ok()));
    drop(fs);
    assert_eq!(known(&medium), []);
    let report = Fs::check(&Guarded::new(cells(&medium), &[]));
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn it_is_told_whose_the_bad_blocks_are() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let dir = fs.root().create(b"d", NewNode::Directory { mode: 0o755 }, NOW).unwrap();
    let node = dir.create(b"odd\nname", NewNode::File { mode: 0o644 }, NOW).unwrap();
    write(&node, 0, &vec![7; 4 * BLOCK as usize]).unwrap();
    let unnamed = fs.root().tmpfile(0o600, fs::Linkable::No, NOW).unwrap();
    write(&unnamed, 8192, &[7; 100]).unwrap();
    // The last sector of block 1, block 2 and the first sector of block 3; the log; a free block.
    let bad = place(&node, BLOCK).sector().get() + 7;
    fs.medium().set_bad(Sector::new(bad), 10).unwrap();
    fs.medium().set_bad(place(&unnamed, 8192).sector(), 1).unwrap();
    fs.medium().set_bad(BlockNr::new(19).base().sector(), 1).unwrap();
    fs.medium().set_bad(BlockNr::new(1000).base().sector(), 16).unwrap();
    let shown = |hurt: Vec<fs::Hurt>| {
        let line = |hurt: fs::Hurt| format!("{}+{} {}", hurt.range.start.get(), hurt.range.count, hurt.holder);
        hurt.into_iter().map(line).collect::<Vec<_>>()
    };
    let of_file = format!("{bad}+10 byte {} of /d/odd\\nname", 2 * BLOCK - 512);
    let of_unnamed = format!("{}+1 byte 8192 of inode {}", place(&unnamed, 8192).sector().get(), unnamed.ino().get());
    let found = shown(fs.volume().hurt().unwrap());
    assert_eq!(found.len(), 4, "{found:?}");
    for line in [&of_file, &of_unnamed, "152+1 metadata", "8000+16 free"] {
        assert!(found.iter().any(|found| found == line), "{line} is not in {found:?}");
    }
    // From the medium alone: what has no name is free there.
    let found = shown(Fs::check(fs.medium()).hurt);
    assert!(found.contains(&of_file) && found.len() == 4, "{found:?}");
    drop((node, unnamed, dir));
    let left = shown(fs.volume().hurt().unwrap());
    assert!(left.len() == 3 && !left.contains(&of_unnamed), "{left:?}");
}

#[test]
fn free_bad_blocks_wait_for_changes_and_are_healed_a_few_at_a_time() {
    let medium = formatted(1024);
    let memory = Guarded::new(cells(&medium), &[]);
    memory.set_bad(BlockNr::new(600).base().sector(), 40 * 8).unwrap();
    memory.set_bad(BlockNr::new(900).base().sector(), 1).unwrap();
    let fs = boot(&medium);
    assert_eq!((fs.space().bad, known(&medium).len()), (41, 2), "a mount leaves them as they are");
    let mut left = Vec::new();
    for name in [b"a", b"b", b"c"] {
        drop(file(&fs, name, 1));
        left.push(fs.space().bad);
    }
    assert_eq!(left, [9, 0, 0], "two changes each, of sixteen blocks at most");
    assert_eq!(known(&medium), []);
    let report = Fs::check(fs.medium());
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn a_read_only_mount_heals_nothing() {
    let medium = formatted(1024);
    let memory = Guarded::new(cells(&medium), &[]);
    memory.set_bad(BlockNr::new(600).base().sector(), 1).unwrap();
    memory.set_bad(BlockNr::new(20).base().sector(), 1).unwrap();
    let before = (medium.content_hash(), known(&medium));
    let fs = Fs::mount(memory, Mount { access: fs::Access::ReadOnly, ..Mount::default() }).unwrap();
    assert_eq!((fs.space().bad, fs.root().attr().nlink), (1, 2));
    drop(fs);
    assert_eq!((medium.content_hash(), known(&medium)), before);
}

#[test]
fn a_log_moves_away_from_blocks_that_do_not_heal() {
    let medium = formatted(2048);
    let fs = boot(&medium);
    (0..20).for_each(|number| drop(file(&fs, &[b'a' + number], 1)));
    drop(fs);
    // One copy of the first segment: a block of records, and one behind them.
    let memory = Guarded::new(cells(&medium), &[]);
    memory.set_bad(BlockNr::new(17).base().sector(), 1).unwrap();
    memory.set_bad(BlockNr::new(40).base().sector(), 8).unwrap();
    memory.cells().clear_nothing();
    let fs = Fs::mount(memory, Mount::default()).unwrap();
    (0..20).for_each(|number| assert!(fs.root().lookup(&[b'a' + number]).is_ok()));
    // The old log's blocks come back with the changes that follow, but for the two.
    (0..20).for_each(|_| {
        drop(file(&fs, b"x", 1));
        fs.root().unlink(b"x", NOW).unwrap();
    });
    assert_eq!(fs.space().bad, 2);
    let free = fs.space().available;
    let all = file(&fs, b"all", free);
    let taken: Vec<u64> = (0..free).map(|block| place(&all, block * BLOCK).block().get()).collect();
    assert!(!taken.contains(&17) && !taken.contains(&40));
    drop((all, fs));
    let report = Fs::check(&Guarded::new(cells(&medium), &badlist::read(&cells(&medium))));
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn an_unknown_hole_under_a_write_is_an_error_once() {
    let medium = formatted(1024);
    let fs = boot(&medium);
    let node = file(&fs, b"f", 1);
    // All that is free.
    let free: Vec<u64> = (1024 - 300..1024).collect();
    free.iter().for_each(|&block| medium.set_bad(BlockNr::new(block).base().sector(), 1).unwrap());
    let blocks = fs.space().available;
    let outcome = write(&node, 0, &vec![9; (blocks * BLOCK) as usize]);
    assert!(matches!(outcome, Err(Error::Media(_))), "{outcome:?}");
    assert_eq!(read(&node, 0, BLOCK as usize), Ok(BLOCK as usize), "nothing has changed");
}

fn range(start: u64, count: u64) -> BadRange {
    BadRange { start: Sector::new(start), count, acknowledged: true }
}

#[test]
fn a_list_is_as_long_as_a_copy_and_no_longer() {
    let medium = formatted(2048);
    let cells = SimCells::new(medium.clone());
    let many: Vec<BadRange> = (0..444).map(|at| range(200 + at * 2, 1)).collect();
    assert!(badlist::write(&cells, &many));
    assert_eq!(badlist::read(&cells), many);
    let more: Vec<BadRange> = (0..445).map(|at| range(200 + at * 2, 1)).collect();
    assert!(!badlist::write(&cells, &more));
    assert_eq!(badlist::read(&cells), many, "what does not fit changes nothing");
    assert!(badlist::write(&cells, &[range(5, (1 << 20) + 7)]), "a long range takes two entries");
    assert_eq!(badlist::read(&cells), [range(5, 1 << 20), range(5 + (1 << 20), 7)]);
    assert!(!badlist::write(&cells, &[range(1 << 44, 1)]), "a sector that no entry can name");
    let blank = SimCells::new(SimMedium::new(ByteLen::new(64 * PAGE_SIZE)));
    assert!(!badlist::write(&blank, &[range(1, 1)]), "nobody's medium");
    assert_eq!(badlist::read(&blank), []);
    assert!(!badlist::write(&SimCells::new(SimMedium::new(ByteLen::new(PAGE_SIZE))), &[]), "too short for a copy");
}

#[test]
fn one_bad_copy_of_the_list_is_no_loss_and_is_repaired() {
    let medium = formatted(1024);
    let cells = SimCells::new(medium.clone());
    badlist::write(&cells, &[range(4000, 3)]);
    for at in [512, 16 * BLOCK + 512 + 36] {
        medium.corrupt(PmOff::new(at), &[0x5a]);
        assert_eq!(known(&medium), [(4000, 3)]);
        assert!(!Fs::check(&medium).is_clean());
        drop(Fs::mount(medium.clone(), Mount::default()).unwrap());
        assert!(Fs::check(&medium).is_clean());
    }
    medium.corrupt(PmOff::new(512), &[0x5a]);
    medium.corrupt(PmOff::new(16 * BLOCK + 512), &[0x5a]);
    assert_eq!(known(&medium), [], "both copies gone: no list");
}

#[test]
fn mkfs_keeps_the_list_and_does_not_build_on_what_does_not_heal() {
    let medium = formatted(1024);
    badlist::write(&SimCells::new(medium.clone()), &[range(4000, 3)]);
    let memory = Guarded::new(cells(&medium), &badlist::read(&cells(&medium)));
    Fs::format(&memory, &fs::Format::default()).unwrap();
    assert_eq!(known(&medium), [(4000, 3)]);
    memory.set_bad(BlockNr::new(16).base().sector(), 8).unwrap();
    memory.set_bad(BlockNr::new(40).base().sector(), 1).unwrap();
    Fs::format(&memory, &fs::Format::default()).unwrap();
    assert_eq!(known(&medium), [(4000, 3)], "what lies in the way is healed");
    memory.set_bad(BlockNr::new(40).base().sector(), 1).unwrap();
    memory.cells().clear_nothing();
    let refused = Fs::format(&memory, &fs::Format::default());
    assert_eq!(refused, Err(fs::FormatError::BadBlock { at: BlockNr::new(40).base() }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// A cut at any moment of a change leaves the list before or the list after.
    #[test]
    fn a_cut_leaves_the_list_before_or_after(lists in prop::collection::vec(prop::collection::vec((0u64..8000, 1u64..20), 0..60), 1..4)) {
        let medium = formatted(1024);
        let mut before: Vec<BadRange> = Vec::new();
        for list in lists {
            let mut sorted = pmem::badblocks::Badblocks::new(8192);
            list.iter().for_each(|&(start, count)| sorted.set(Sector::new(start), count, true).unwrap());
            let after = sorted.ranges().to_vec();
            let wrong = Arc::new(Mutex::new(None));
            let (seen, allowed) = (wrong.clone(), [before.clone(), after.clone()]);
            medium.on_fence(move |medium, number| {
                for state in medium.crash_states(60, number) {
                    let found = badlist::read(&SimCells::new(state));
                    if !allowed.contains(&found) {
                        seen.lock().unwrap().get_or_insert(found);
                    }
                }
            });
            prop_assert!(badlist::write(&SimCells::new(medium.clone()), &after));
            medium.no_hook();
            prop_assert_eq!(&*wrong.lock().unwrap(), &None);
            prop_assert_eq!(badlist::read(&SimCells::new(medium.cut())), after.clone(), "durable when it returns");
            before = after;
        }
    }

    /// Whatever lies where a list may lie: no panic, and ranges that a device can take or leave.
    #[test]
    fn a_hostile_list_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 32..200), count in any::<u32>()) {
        let medium = formatted(512);
        badlist::write(&SimCells::new(medium.clone()), &[range(4000, 3)]);
        medium.corrupt(PmOff::new(512 + 16), &count.to_le_bytes());
        medium.corrupt(PmOff::new(16 * BLOCK + 512), &bytes);
        let found = badlist::read(&SimCells::new(medium.clone()));
        let memory = Guarded::new(SimCells::new(medium), &found);
        memory.each_bad(&mut |range| assert!(range.end().get() <= 512 * 8));
    }
}
