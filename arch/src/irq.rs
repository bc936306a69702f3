//! The interrupt mask of this CPU.
//!
//! Written by hand because the accessors of `aarch64-cpu` are `nomem`: the compiler may move stores out of a section
//! that is masked through them. These are not, so they order memory as a lock must.

use core::arch::asm;

/// PSTATE.DAIF as it stood.
#[derive(Clone, Copy, Debug)]
pub struct Flags(u64);

impl Flags {
    /// Whether interrupts were masked.
    pub fn masked(self) -> bool {
        self.0 & (1 << 7) != 0
    }
}

/// Masks interrupts and answers how the mask stood.
#[inline]
pub fn save() -> Flags {
    let flags: u64;
    // SAFETY: reads DAIF and sets its I bit (Arm ARM C5.2.3); no memory of Rust is touched.
    unsafe { asm!("mrs {}, daif", "msr daifset, #2", out(reg) flags, options(nostack, preserves_flags)) };
    Flags(flags)
}

/// Puts the mask back to how [`save`] found it.
#[inline]
pub fn restore(flags: Flags) {
    // SAFETY: writes back what `save` read.
    unsafe { asm!("msr daif, {}", in(reg) flags.0, options(nostack, preserves_flags)) };
}

/// Lets interrupts in.
#[inline]
pub fn enable() {
    // SAFETY: clears DAIF.I; the vectors are installed before the first caller runs.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) };
}

/// How the mask stands.
#[inline]
pub fn flags() -> Flags {
    let flags: u64;
    // SAFETY: a read of DAIF.
    unsafe { asm!("mrs {}, daif", out(reg) flags, options(nostack, preserves_flags)) };
    Flags(flags)
}

/// Sleeps until an interrupt is pending, masked or not (`wfi`).
#[inline]
pub fn wait() {
    // SAFETY: waits; memory may have changed when it returns, and the compiler is not told otherwise.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}
