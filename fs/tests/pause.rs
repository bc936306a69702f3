//! Long work lets others run between its pieces, with no lock held.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use fs::NewNode;

static PAUSES: AtomicU64 = AtomicU64::new(0);

/// How often `work` paused.
fn pauses(work: impl FnOnce()) -> u64 {
    let before = PAUSES.load(Ordering::Relaxed);
    work();
    PAUSES.load(Ordering::Relaxed) - before
}

#[test]
fn large_transfers_and_many_extents_are_cut_into_pieces() {
    fs::use_pause(|| {
        sync::assert_none_held();
        PAUSES.fetch_add(1, Ordering::Relaxed);
    });
    let fs = fresh(16384);
    let make = |name: &[u8]| fs.root().create(name, NewNode::File { mode: 0 }, NOW).unwrap();
    let (large, bytes) = (make(b"large"), vec![7; 8 << 20]);
    assert_eq!(pauses(|| assert!(write_at(&large, 0, &bytes).is_ok())), 7, "each MiB but the first");
    assert_eq!(pauses(|| assert_eq!(read_at(&large, 0, 8 << 20).unwrap().len(), 8 << 20)), 7);
    assert_eq!(pauses(|| assert!(write_at(&large, 0, &bytes[..1 << 20]).is_ok())), 0);

    // Every second block is a hole: each of the others is an extent.
    let (one, other) = (make(b"one"), make(b"other"));
    for at in 0..2000 {
        write_at(&one, 2 * at * BLOCK, &[1; BLOCK as usize]).unwrap();
        write_at(&other, 2 * at * BLOCK, &[2; BLOCK as usize]).unwrap();
    }
    assert_eq!(pauses(|| one.truncate(0, NOW).unwrap()), 3, "each 512 extents");
    fs.root().unlink(b"other", NOW).unwrap();
    assert_eq!(pauses(|| drop(other)), 3, "each 512 extents");
    let space = fs.space();
    assert_eq!(space.blocks - space.free - space.log, 2048, "all of it is free");
}
