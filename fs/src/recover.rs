//! Bad blocks that are nobody's, or the log's: written over, which heals them, or kept out of use.
//!
//! Nobody sees what was in such a block any more: of a file's, the record that took it away is durable and no pin is left;
//! of the log's, the other copy has been written over it or there was nothing in it yet. Healing takes a page written and
//! a list rewritten, so it goes a few blocks at a time; a block that waits for it is given to nobody.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pmem::guarded::Zeros;
use pmem::medium::Medium;
use pmem::order::{self, Batch};
use units::{BlockNr, ByteLen, PmOff, SECTOR_SIZE};

use crate::format::BLOCK;
use crate::space::Run;
use crate::volume::Volume;

/// Blocks healed in one step.
const STEP: u64 = 16;

/// Blocks, by whether they can be used.
pub(crate) struct Sorted {
    pub(crate) good: Vec<Run>,
    pub(crate) bad: Vec<Run>,
}

/// Whether no block of `runs` is bad, as far as is known.
#[inline]
pub(crate) fn are_good<M: Medium>(medium: &M, runs: &[Run]) -> bool {
    runs.iter().all(|run| medium.check(run.start.base(), ByteLen::new(run.blocks * BLOCK)).is_ok())
}

/// Tells the blocks of `runs` that are bad, as far as is known, from the others.
pub(crate) fn sort<M: Medium>(medium: &M, runs: Vec<Run>) -> Sorted {
    if are_good(medium, &runs) {
        return Sorted { good: runs, bad: Vec::new() };
    }
    let mut sorted = Sorted { good: Vec::new(), bad: Vec::new() };
    for run in &runs {
        let end = run.start.get() + run.blocks;
        let mut from = run.start.get();
        while let Some(bad) = first_bad(medium, from, end) {
            push(&mut sorted.good, from, bad);
            push(&mut sorted.bad, bad, bad + 1);
            from = bad + 1;
        }
        push(&mut sorted.good, from, end);
    }
    sorted
}

/// Adds the blocks `from..to`, if there are any, to those before.
fn push(runs: &mut Vec<Run>, from: u64, to: u64) {
    match runs.last_mut() {
        Some(last) if last.start.get() + last.blocks == from => last.blocks += to - from,
        _ if from < to => runs.push(Run::new(from, to - from)),
        _ => {}
    }
}

/// The first bad block of `from..end`.
fn first_bad<M: Medium>(medium: &M, from: u64, end: u64) -> Option<u64> {
    let len = end.checked_sub(from).filter(|&blocks| blocks > 0)?;
    let bad = medium.check(BlockNr::new(from).base(), ByteLen::new(len * BLOCK)).err()?;
    Some(bad.at.block().get())
}

/// Writes over one block; whether it is good then.
fn heal<M: Medium>(medium: &M, block: u64) -> bool {
    let (at, len) = (BlockNr::new(block).base(), BLOCK as usize);
    medium.recovery_write(at, len, &mut Zeros(len)) == len && medium.check(at, ByteLen::new(BLOCK)).is_ok()
}

/// Heals a few of the bad blocks that nobody has. One that does not heal is not tried again before the next mount.
#[cold]
pub(crate) fn step<M: Medium>(volume: &Volume<M>) {
    let mut left = STEP;
    while left > 0 {
        let taken = volume.free_space().next_sick(left);
        let Some(run) = taken else {
            volume.sick.store(false, Ordering::Relaxed);
            return;
        };
        left -= run.blocks;
        let mut healed = Vec::new();
        for block in run.start.get()..run.start.get() + run.blocks {
            if heal(volume.medium(), block) {
                push(&mut healed, block, block + 1);
            }
        }
        volume.free_space().give_healed(&healed);
    }
}

/// Makes what is bad in the log's own blocks good again: what had to be read there has been written anew, and the rest
/// was never in use. Answers the fences it took.
pub(crate) fn heal_log<M: Medium>(medium: &M, log: &[Run]) -> u64 {
    let mut zeroed = Batch::new();
    for (from, to) in bad_in(medium, log) {
        zeroed.add(order::zero(medium, PmOff::new(from), ByteLen::new(to - from)).clean(medium));
    }
    u64::from(!zeroed.fence(medium).is_empty())
}

/// Whether a block of the log is bad all the same.
pub(crate) fn is_bad<M: Medium>(medium: &M, log: &[Run]) -> bool {
    !bad_in(medium, log).is_empty()
}

/// The bytes of bad sectors in `runs`, half-open.
fn bad_in<M: Medium>(medium: &M, runs: &[Run]) -> Vec<(u64, u64)> {
    let mut bad = Vec::new();
    medium.each_bad(&mut |range| {
        let (from, to) = (range.start.get() * SECTOR_SIZE, range.end().get() * SECTOR_SIZE);
        let parts = runs.iter().map(|run| {
            let start = run.start.get() * BLOCK;
            (from.max(start), to.min(start + run.blocks * BLOCK))
        });
        bad.extend(parts.filter(|part| part.0 < part.1));
    });
    bad
}
