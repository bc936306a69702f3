//! One bad block anywhere: metadata survives it whole, a file loses the bytes that lay there and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs::Fs;
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::{BlockNr, PmOff};

use crate::victim::{BLOCK, NOW, Seen, VICTIM, boot, cells, file, lose, lose_sector, memory, places, tree, write};

/// Whether somebody has been told of the bad block, or it is met for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Yes,
    No,
}

/// Paths of the files whose bytes lie in each block, and which of their blocks that is.
fn owners(medium: &SimMedium) -> BTreeMap<u64, (Vec<u8>, u64)> {
    let fs = boot(medium).expect("the victim mounts");
    let mut owners = BTreeMap::new();
    for name in ["pieces", "scattered", "small"] {
        let node = fs.root().lookup(name.as_bytes()).expect("it is there");
        let path = format!("/{name}").into_bytes();
        owners.extend(places(&node).into_iter().map(|(block, index)| (block, (path.clone(), index))));
    }
    owners
}

/// Everything as `before`, but for the block that was lost.
fn assert_all_but(before: &BTreeMap<Vec<u8>, Seen>, now: &BTreeMap<Vec<u8>, Seen>, lost: Option<&(Vec<u8>, u64)>) {
    assert_eq!(before.keys().collect::<Vec<_>>(), now.keys().collect::<Vec<_>>());
    let name_of = |path: &[u8]| if path == b"/dir/below/hard" { b"/small".to_vec() } else { path.to_vec() };
    for (path, was) in before {
        let is = &now[path];
        assert_eq!((was.kind, was.nlink, was.data.len()), (is.kind, is.nlink, is.data.len()));
        for (index, (was, is)) in was.data.iter().zip(&is.data).enumerate() {
            if lost == Some(&(name_of(path), index as u64)) {
                assert_eq!(is, &Err(()), "a lost block is an error");
            } else {
                assert_eq!(was, is, "block {index} of {}", path.escape_ascii());
            }
        }
    }
}

/// Loses `spoil`, mounts, compares; writes over what was lost and changes something, until nothing bad is left.
fn survives(
    told: Told,
    bad: PmOff,
    lost: Option<&(Vec<u8>, u64)>,
    before: &BTreeMap<Vec<u8>, Seen>,
    spoil: impl Fn(&SimMedium),
) {
    let medium = VICTIM.fork();
    spoil(&medium);
    if told == Told::Yes {
        memory(&medium).set_bad(bad.sector(), 1).expect("it lies on the medium");
    }
    let fs = boot(&medium).unwrap_or_else(|error| panic!("{bad}: {error}"));
    assert_eq!(fs.damage(), None, "{bad}");
    assert_all_but(before, &tree(&fs), lost);
    // A cut right after the mount: what was repaired is durable, and no second block need be lost for it.
    let again = boot(&medium.cut()).unwrap_or_else(|error| panic!("{bad}: {error}"));
    assert_all_but(before, &tree(&again), lost);
    drop(again);
    if let Some((path, index)) = lost {
        let node = fs.root().lookup(&path[1..]).expect("its name is metadata");
        let len = (node.attr().size - index * BLOCK).min(BLOCK) as usize;
        assert!(write(&node, index * BLOCK + 1, &[9]).is_err(), "the rest of the block is lost");
        write(&node, index * BLOCK, &vec![9; len]).expect("a block written as a whole is good");
        let healed = &tree(&fs)[path];
        assert!(healed.is_whole() && healed.data[*index as usize] == Ok(vec![9; len]));
    }
    for number in 0..3 {
        drop(file(&fs, &format!("new {number}")));
        fs.root().unlink(format!("new {number}").as_bytes(), NOW).expect("it is there");
    }
    // What nobody has met yet is met by looking, and healed by the next mount.
    let block = bad.block().base();
    let _ = fs.medium().load(block, &mut [0; BLOCK as usize]);
    let space = fs.space();
    drop(fs);
    drop(boot(&medium).unwrap_or_else(|error| panic!("{bad}: {error}")));
    assert_eq!(space.bad, 0, "{bad}: a block that could be healed is out of use");
    if told == Told::Yes {
        assert!(
            fs::badlist::read(&cells(&medium)).is_empty(),
            "{bad}: the list is {:?}",
            fs::badlist::read(&cells(&medium))
        );
    }
    let report = Fs::check(&memory(&medium));
    assert!(report.is_clean(), "{bad}: {:?} {:?}", report.refused, report.findings);
}

/// The medium while it is mounted: at each fence what a cut could leave there mounts, and shows the same.
fn heals_under_cuts(block: u64, before: &BTreeMap<Vec<u8>, Seen>) -> usize {
    let medium = VICTIM.fork();
    lose(&medium, block);
    let (seen, expected) = (Arc::new(AtomicUsize::new(0)), before.clone());
    let count = seen.clone();
    medium.on_fence(move |medium, number| {
        let judge = |state: SimMedium| {
            let fs = boot(&state).unwrap_or_else(|error| panic!("block {block}, a cut at fence {number}: {error}"));
            assert_all_but(&expected, &tree(&fs), None);
            count.fetch_add(1, Ordering::Relaxed);
        };
        // Elsewhere: whoever fences may hold locks of a medium here.
        std::thread::scope(|scope| {
            scope.spawn(|| medium.crash_states(12, number).for_each(judge));
        });
    });
    drop(boot(&medium).expect("one block is no loss"));
    medium.no_hook();
    seen.load(Ordering::Relaxed)
}

/// The blocks that hold metadata: whatever the victim has and no file does.
fn metadata(owners: &BTreeMap<u64, (Vec<u8>, u64)>) -> BTreeSet<u64> {
    let bytes = VICTIM.bytes();
    let used = bytes.chunks(BLOCK as usize).zip(0..).filter(|(block, _)| block.iter().any(|&byte| byte != 0));
    used.map(|(_, block)| block).filter(|block| !owners.contains_key(block)).collect()
}

#[test]
fn the_victim_has_something_of_every_kind() {
    let bytes = VICTIM.bytes();
    let count = |magic: &[u8]| bytes.chunks(64).filter(|line| line.starts_with(magic)).count();
    assert_eq!(count(b"VITRINE\0"), 2);
    assert!(count(b"VSEG") >= 6 && count(b"VEXT") >= 4, "{} {}", count(b"VSEG"), count(b"VEXT"));
    assert!(Fs::check(&*VICTIM).is_clean());
}

#[test]
fn any_block_may_be_lost() {
    let before = tree(&boot(&VICTIM.fork()).expect("the victim mounts"));
    let owners = owners(&VICTIM.fork());
    let blocks = VICTIM.len().get() / BLOCK;
    let metadata = metadata(&owners);
    assert!(metadata.len() > 150, "{}", metadata.len());
    for block in 0..blocks {
        // Of the free blocks and of the data a part will do.
        let lost = owners.get(&block);
        if !metadata.contains(&block) && block % 17 != 0 {
            continue;
        }
        // Both ways would take twice the time and meet the same structures.
        let told = if block % 2 == 0 { Told::Yes } else { Told::No };
        survives(told, BlockNr::new(block).base(), lost, &before, |medium| lose(medium, block));
    }
}

#[test]
fn a_cut_while_a_mount_heals_loses_nothing() {
    let before = tree(&boot(&VICTIM.fork()).expect("the victim mounts"));
    let metadata = metadata(&owners(&VICTIM.fork()));
    let states: usize = metadata.into_iter().step_by(13).map(|block| heals_under_cuts(block, &before)).sum();
    assert!(states > 60, "{states}");
}

#[test]
fn any_sector_of_the_superblocks_and_of_the_lists_behind_them_may_be_lost() {
    let before = tree(&boot(&VICTIM.fork()).expect("the victim mounts"));
    for copy in [0, 16 * BLOCK] {
        for sector in 0..8 {
            let at = PmOff::new(copy + sector * 512);
            for told in [Told::Yes, Told::No] {
                survives(told, at, None, &before, |medium| lose_sector(medium, at));
            }
        }
    }
}
