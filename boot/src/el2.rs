//! The part of ours that stays at EL2, as EL1 calls it. `el2.s` says what each call does.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::BootMode;
use crate::head::boot_mode;

/// The first of the vendor's hypervisor services of the SMC calling convention: who answers.
pub(crate) const IDENTIFY: u64 = 0xc600_0000;
/// Stage 2 is on from here on, on this CPU.
pub(crate) const STAGE2_ON: u64 = IDENTIFY + 1;
/// No CPU translates an address as before.
pub(crate) const STAGE2_FORGET: u64 = IDENTIFY + 2;
/// What [`IDENTIFY`] answers: `VTRN`.
pub(crate) const NAME: u64 = 0x4e52_5456;

unsafe extern "C" {
    static EL2_STAGE2: [AtomicU64; 2];
}

/// Stage 2 as every CPU has it: the control register, and where the tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2 {
    /// VTCR_EL2.
    pub control: u64,
    /// VTTBR_EL2: the root's physical address; the VMID is 0.
    pub root: u64,
}

/// Proof that our part at EL2 answers.
#[derive(Clone, Copy, Debug)]
pub struct El2(());

impl El2 {
    /// Our part at EL2, where this machine was entered there.
    pub fn here() -> Option<Self> {
        // Entered at EL1, an `hvc` would be the firmware's, or undefined.
        let there = boot_mode() == BootMode::El2;
        // SAFETY: `IDENTIFY` changes nothing.
        (there && unsafe { call(IDENTIFY, 0, 0) } == NAME).then_some(Self(()))
    }

    /// Keeps `stage2` for CPUs that come later: `el2_setup` turns it on there.
    ///
    /// # Safety
    /// As for [`El2::enable`].
    pub unsafe fn keep(self, stage2: Stage2) {
        // SAFETY: words that only this writes.
        let words = unsafe { &EL2_STAGE2 };
        words[0].store(stage2.control, Ordering::Relaxed);
        words[1].store(stage2.root, Ordering::Relaxed);
        // SAFETY: mapped; a CPU that comes reads the words with its caches off.
        unsafe { asm!("dc cvac, {}", "dsb sy", in(reg) &raw const EL2_STAGE2, options(nostack, preserves_flags)) };
    }

    /// Turns stage 2 on, on this CPU.
    ///
    /// # Safety
    /// The tables map every address that a CPU uses to itself, for ever, but for pages that are to abort.
    pub unsafe fn enable(self, stage2: Stage2) {
        // SAFETY: as the caller says.
        unsafe { call(STAGE2_ON, stage2.control, stage2.root) };
    }

    /// Makes every CPU forget how `address` was translated; the stores to the tables come first.
    pub fn forget(self, address: u64) {
        // SAFETY: an invalidation changes no translation.
        unsafe { call(STAGE2_FORGET, address, 0) };
    }
}

/// # Safety
/// Our part is at EL2, and the caller wants what the call does.
unsafe fn call(function: u64, first: u64, second: u64) -> u64 {
    let answer;
    // SAFETY: as the caller says; x1 to x3 are not kept.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") function => answer,
            inout("x1") first => _,
            inout("x2") second => _,
            out("x3") _,
            options(nostack),
        );
    }
    answer
}
