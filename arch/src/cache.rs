//! Cache maintenance by address (Arm ARM D7.5.9): to the point of unification for code, to the point of persistence
//! for pmem.

use core::arch::asm;

use crate::barrier;
use crate::features::registers::Register;
use crate::features::{self, Feature};

/// How far down the memory system a line is written back for persistence; by what the CPU has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CleanTo {
    /// `dc cvac`: to the point of coherency; all that armv8.0 has.
    Coherency,
    /// `dc cvap`: to the point of persistence (FEAT_DPB).
    Persistence,
    /// `dc cvadp`: to the point of deep persistence (FEAT_DPB2).
    DeepPersistence,
    /// `dc cvac` behind a load of each line: who records memory accesses (QEMU's plugins) sees the address of a load, and
    /// not that of a `dc`.
    Announced,
}

impl CleanTo {
    /// The furthest of them that every CPU has.
    pub fn furthest() -> Self {
        let features = features::machine::features();
        match (features.has(Feature::Dpb2), features.has(Feature::Dpb)) {
            (true, _) => Self::DeepPersistence,
            (false, true) => Self::Persistence,
            (false, false) => Self::Coherency,
        }
    }
}

/// Bytes in the smallest data cache line of any CPU, from CTR_EL0.DminLine.
pub fn data_line() -> usize {
    4 << (ctr() >> 16 & 0xf)
}

fn instruction_line() -> usize {
    4 << (ctr() & 0xf)
}

/// What holds for the caches of every CPU; of this one, before it is settled what that is.
fn ctr() -> usize {
    features::machine::common_or_own().register(Register::Ctr) as usize
}

/// Starts writing back every line of `len` bytes at `start`; complete after the next `dsb`. Answers how many lines.
///
/// # Safety
/// Every line is mapped: cleaning an unmapped one faults (`dc cvap` does, `dc cvac` may).
#[inline]
pub unsafe fn clean(start: *const u8, len: usize, line: usize, to: CleanTo) -> usize {
    let (mut at, end) = (start as usize & !(line - 1), start as usize + len);
    let lines = (end - at).div_ceil(line);
    macro_rules! one_line {
        ($operation:literal) => {
            // SAFETY: the caller says the line is mapped; cleaning changes no content. Where the memory itself answers
            // with an error (a hole behind stage 2), the exception table goes on behind the operation.
            unsafe {
                asm!(
                    concat!("2: ", $operation),
                    "3:",
                    ".pushsection .ex_table, \"a\"",
                    ".balign 4",
                    ".long 2b - .",
                    ".long 3b - .",
                    ".popsection",
                    in(reg) at,
                    options(nostack, preserves_flags),
                );
            }
            at += line;
        };
    }
    macro_rules! each_line {
        ($operation:literal) => {
            // Eight a round: of one a round, half the cost is the loop.
            let rounds = at + (lines & !7) * line;
            while at < rounds {
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
                one_line!($operation);
            }
            while at < end {
                one_line!($operation);
            }
        };
    }
    match to {
        CleanTo::Coherency => {
            each_line!("dc cvac, {}");
        }
        // By their encodings: the assembler of armv8.0 does not know the names.
        CleanTo::Persistence => {
            each_line!("sys #3, c7, c12, #1, {}");
        }
        CleanTo::DeepPersistence => {
            each_line!("sys #3, c7, c13, #1, {}");
        }
        // SAFETY: as the caller says.
        CleanTo::Announced => unsafe { clean_announced(at, end, line) },
    }
    lines
}

/// [`clean`] from `at` to `end`, each line loaded by the instruction before it is cleaned.
///
/// # Safety
/// As for [`clean`].
unsafe fn clean_announced(at: usize, end: usize, line: usize) {
    for at in (at..end).step_by(line) {
        // SAFETY: the caller says the line is mapped; where the memory itself answers with an error, the exception table
        // goes on behind both.
        unsafe {
            asm!(
                "2: ldrb wzr, [{0}]",
                "3: dc cvac, {0}",
                "4:",
                ".pushsection .ex_table, \"a\"",
                ".balign 4",
                ".long 2b - ., 4b - .",
                ".long 3b - ., 4b - .",
                ".popsection",
                in(reg) at,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Makes stores to `len` bytes of code at `start` visible to instruction fetches on every CPU.
///
/// # Safety
/// The bytes are mapped.
pub unsafe fn sync_instructions(start: *const u8, len: usize) {
    let end = start as usize + len;
    let (data, code) = (data_line(), instruction_line());
    let mut at = start as usize & !(data - 1);
    while at < end {
        // SAFETY: mapped, says the caller.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += data;
    }
    barrier::dsb_ish();
    at = start as usize & !(code - 1);
    while at < end {
        // SAFETY: mapped, says the caller.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += code;
    }
    barrier::dsb_ish();
    barrier::isb();
}
