//! Registers that may not be there: a read whose abort is an answer.

use core::arch::asm;
use core::ptr::NonNull;

/// Reads the 32-bit register at `at`; `None` where nothing answers.
///
/// The load is in the exception table (`user` tells of it), so an external abort that is taken at the load itself ends
/// here. A system that reports such an abort later, as an SError, cannot be asked this way.
///
/// # Safety
/// `at` is aligned to 4 bytes and mapped, and a read there changes nothing that matters.
pub unsafe fn probe(at: NonNull<u8>) -> Option<u32> {
    let (word, silent): (u32, u32);
    // SAFETY: as the caller says; where the load is abandoned, `silent` is still set.
    unsafe {
        asm!(
            "mov {silent:w}, #1",
            "mov {word:w}, wzr",
            "9999: ldr {word:w}, [{at}]",
            "mov {silent:w}, wzr",
            "9998:",
            ".pushsection .ex_table, \"a\"",
            ".balign 4",
            ".long 9999b - .",
            ".long 9998b - .",
            ".popsection",
            at = in(reg) at.as_ptr(), word = out(reg) word, silent = out(reg) silent,
            options(nostack, preserves_flags, readonly)
        );
    }
    (silent == 0).then_some(word)
}
