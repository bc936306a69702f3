//! The operations themselves, on all CPUs.

use core::arch::asm;
use core::ops::Range;

use units::{PAGE_SHIFT, PAGE_SIZE, VirtRange};

use super::Level;
use super::plan::{Plan, Ranges, Step, page_operand, range_operand};
use crate::barrier;
use crate::features::{Feature, has};

/// The operation of this name.
macro_rules! drop_page {
    ($name:literal, $operand:expr) => {
        // SAFETY: dropping translations is always allowed; they are walked for again.
        unsafe { asm!(concat!("tlbi ", $name, ", {}"), in(reg) $operand, options(nostack, preserves_flags)) }
    };
}

/// One step by the family that the two names belong to: by page, and by range in its encoding, which the assembler of
/// armv8.0 does not know.
macro_rules! drop_step {
    ($step:expr, $asid:expr, $page:literal, $range:literal) => {
        match $step {
            Step::Page(page) => drop_page!($page, page_operand($asid, page)),
            // SAFETY: as above; every CPU has the instruction, or the plan would have no such step.
            Step::Pages { base, scale, num } => unsafe {
                asm!(concat!("sys #0, ", $range, ", {}"), in(reg) range_operand($asid, base, scale, num),
                     options(nostack, preserves_flags));
            },
        }
    };
}

/// The numbers of the pages in `range`.
#[inline]
fn pages(range: VirtRange) -> Range<u64> {
    range.start().get() >> PAGE_SHIFT..(range.end().get() + PAGE_SIZE - 1) >> PAGE_SHIFT
}

/// The plan for these pages, among whose entries none is smaller than `stride` pages.
fn plan(pages: Range<u64>, stride: u64) -> Plan {
    let ranges = if has(Feature::TlbRange) { Ranges::Known } else { Ranges::Unknown };
    Plan::new(pages, stride, ranges)
}

/// Drops every translation of `range` under `asid` from all CPUs; complete when it returns. No entry there is smaller
/// than `stride` pages, a multiple of which the range begins at, so one operation for each is enough. The stores it is
/// about are behind a `dsb ishst` already.
#[inline]
pub fn invalidate(asid: u16, range: VirtRange, stride: u64, level: Level) {
    let pages = pages(range);
    debug_assert!(pages.start.is_multiple_of(stride));
    // One entry, as after most faults, needs no plan.
    if pages.end - pages.start == stride {
        match level {
            Level::Last => drop_page!("vale1is", page_operand(asid, pages.start)),
            Level::All => drop_page!("vae1is", page_operand(asid, pages.start)),
        }
    } else {
        invalidate_many(asid, pages, stride, level);
    }
    complete();
}

#[inline(never)]
fn invalidate_many(asid: u16, pages: Range<u64>, stride: u64, level: Level) {
    match (plan(pages, stride), level) {
        (Plan::Steps(steps), Level::Last) => {
            for step in steps {
                drop_step!(step, asid, "vale1is", "c8, c2, #5"); // rvale1is
            }
        }
        (Plan::Steps(steps), Level::All) => {
            for step in steps {
                drop_step!(step, asid, "vae1is", "c8, c2, #1"); // rvae1is
            }
        }
        (Plan::Everything, _) => drop_asid(asid),
    }
}

/// The same for the kernel's half, whatever ASID runs.
pub fn invalidate_kernel(range: VirtRange, stride: u64, level: Level) {
    match (plan(pages(range), stride), level) {
        (Plan::Steps(steps), Level::Last) => {
            for step in steps {
                drop_step!(step, 0, "vaale1is", "c8, c2, #7"); // rvaale1is
            }
        }
        (Plan::Steps(steps), Level::All) => {
            for step in steps {
                drop_step!(step, 0, "vaae1is", "c8, c2, #3"); // rvaae1is
            }
        }
        // SAFETY: as in `drop_page`.
        (Plan::Everything, _) => unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) },
    }
    complete();
}

/// Drops everything cached under `asid` from all CPUs.
pub fn invalidate_asid(asid: u16) {
    barrier::dsb_ishst();
    drop_asid(asid);
    complete();
}

/// Drops everything this CPU has cached, and nothing of other CPUs: when numbers are about to be used again.
pub fn invalidate_this_cpu() {
    // SAFETY: as above; nothing is needed of other CPUs.
    unsafe { asm!("dsb nshst", "tlbi vmalle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

fn drop_asid(asid: u16) {
    drop_page!("aside1is", page_operand(asid, 0));
}

/// Waits until every CPU has done it, and uses no instruction that was fetched before.
fn complete() {
    barrier::dsb_ish();
    barrier::isb();
}
