//! TLB invalidation, written once: store the descriptor, `dsb ishst`, invalidate, `dsb ish`, and `isb` where this CPU
//! may have fetched through the old translation (Arm ARM D8.14).
//!
//! The callers are the `Mmu` of the kernel; nobody else changes a live descriptor.

use core::arch::asm;

use units::{PAGE_SHIFT, PAGE_SIZE, VirtRange};

use crate::barrier;

/// Above this many pages one invalidation of the whole ASID is cheaper than one a page.
const PAGES_BY_ADDRESS: u64 = 512;

/// Which cached steps of a walk must go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The last level only: a leaf changed.
    Last,
    /// Table descriptors too: a table was unlinked.
    All,
}

/// Operand of `tlbi vae1is`: ASID in bits 63..48, page number in bits 43..0.
fn operand(asid: u16, page: u64) -> u64 {
    u64::from(asid) << 48 | page & ((1 << 44) - 1)
}

/// Drops every translation of `range` under `asid` from all CPUs; complete when it returns. No entry there is smaller
/// than `step` pages, so one operation for each `step` is enough.
pub fn invalidate(asid: u16, range: VirtRange, step: u64, level: Level) {
    barrier::dsb_ishst();
    let (first, last) = (range.start().get() >> PAGE_SHIFT, (range.end().get() + PAGE_SIZE - 1) >> PAGE_SHIFT);
    if (last - first) / step > PAGES_BY_ADDRESS {
        // SAFETY: dropping translations is always allowed; they are walked for again.
        unsafe { asm!("tlbi aside1is, {}", in(reg) u64::from(asid) << 48, options(nostack, preserves_flags)) };
    } else {
        for page in (first..last).step_by(step as usize) {
            let page = operand(asid, page);
            match level {
                // SAFETY: as above.
                Level::Last => unsafe { asm!("tlbi vale1is, {}", in(reg) page, options(nostack, preserves_flags)) },
                // SAFETY: as above.
                Level::All => unsafe { asm!("tlbi vae1is, {}", in(reg) page, options(nostack, preserves_flags)) },
            }
        }
    }
    barrier::dsb_ish();
    barrier::isb();
}

/// Drops kernel translations of `range`, whatever ASID runs.
pub fn invalidate_kernel(range: VirtRange) {
    barrier::dsb_ishst();
    let (first, last) = (range.start().get() >> PAGE_SHIFT, (range.end().get() + PAGE_SIZE - 1) >> PAGE_SHIFT);
    if last - first > PAGES_BY_ADDRESS {
        // SAFETY: as in `invalidate`.
        unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
    } else {
        for page in first..last {
            // SAFETY: as in `invalidate`; `vaae1is` takes every ASID and global entries.
            unsafe { asm!("tlbi vaae1is, {}", in(reg) operand(0, page), options(nostack, preserves_flags)) };
        }
    }
    barrier::dsb_ish();
    barrier::isb();
}

/// Drops everything cached under `asid` from all CPUs.
pub fn invalidate_asid(asid: u16) {
    barrier::dsb_ishst();
    // SAFETY: as in `invalidate`.
    unsafe { asm!("tlbi aside1is, {}", in(reg) u64::from(asid) << 48, options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}
