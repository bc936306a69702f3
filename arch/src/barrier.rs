//! Barriers, ordering the compiler as well as the CPU (Arm ARM B2.3.12).

use core::arch::asm;

macro_rules! barriers {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        $($(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier changes no state; without `nomem` the compiler moves no access across it.
            unsafe { asm!($text, options(nostack, preserves_flags)) };
        })*
    };
}

barriers! {
    /// Waits for every earlier access of this CPU (`dsb sy`).
    dsb_sy = "dsb sy",
    /// Waits until every CPU sees earlier accesses and TLB maintenance (`dsb ish`).
    dsb_ish = "dsb ish",
    /// Waits until every CPU, and the table walkers, see earlier stores (`dsb ishst`).
    dsb_ishst = "dsb ishst",
    /// Waits for maintenance on this CPU alone (`dsb nsh`).
    dsb_nsh = "dsb nsh",
    /// Orders earlier against later accesses (`dmb ish`).
    dmb_ish = "dmb ish",
    /// Later instructions see what earlier ones changed in the system registers (`isb`).
    isb = "isb",
}
