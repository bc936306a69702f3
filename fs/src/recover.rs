//! Blocks on their way back to free space: a bad one is written over first, and is free only if that heals it.
//!
//! Nobody sees what was in such a block any more: the record that took it from its file is durable, and no pin is left.

use alloc::vec::Vec;

use pmem::guarded::Zeros;
use pmem::medium::Medium;
use units::{BlockNr, ByteLen};

use crate::format::BLOCK;
use crate::space::Run;
use crate::types::Access;

/// The blocks of `runs` that may be used again, and how many may not. With [`Access::ReadOnly`] nothing is healed.
pub(crate) fn usable<M: Medium>(medium: &M, runs: Vec<Run>, access: Access) -> (Vec<Run>, u64) {
    let good = |run: &Run| medium.check(run.start.base(), ByteLen::new(run.blocks * BLOCK)).is_ok();
    if runs.iter().all(good) {
        return (runs, 0);
    }
    let (mut usable, mut lost) = (Vec::new(), 0);
    for run in &runs {
        let end = run.start.get() + run.blocks;
        let mut from = run.start.get();
        while let Some(bad) = first_bad(medium, from, end) {
            if heal(medium, bad, access) {
                continue;
            }
            if bad > from {
                usable.push(Run::new(from, bad - from));
            }
            (from, lost) = (bad + 1, lost + 1);
        }
        if from < end {
            usable.push(Run::new(from, end - from));
        }
    }
    (usable, lost)
}

/// The first bad block of `from..end`.
fn first_bad<M: Medium>(medium: &M, from: u64, end: u64) -> Option<u64> {
    let len = end.checked_sub(from).filter(|&blocks| blocks > 0)?;
    let bad = medium.check(BlockNr::new(from).base(), ByteLen::new(len * BLOCK)).err()?;
    Some(bad.at.block().get())
}

fn heal<M: Medium>(medium: &M, block: u64, access: Access) -> bool {
    let (at, len) = (BlockNr::new(block).base(), BLOCK as usize);
    access == Access::ReadWrite
        && medium.recovery_write(at, len, &mut Zeros(len)) == len
        && medium.check(at, ByteLen::new(BLOCK)).is_ok()
}
