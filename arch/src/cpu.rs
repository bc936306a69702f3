//! Which CPU this is, and what it can do.

use core::arch::asm;

/// CPUs the kernel has room for.
pub const MAX_CPUS: usize = 8;

/// The number of this CPU, below [`MAX_CPUS`]; the boot CPU is 0.
///
/// It is the first word of the per-CPU block that `TPIDR_EL1` points to (`kernel::percpu`); the register is null until
/// that is set up, which says CPU 0.
#[inline]
pub fn index() -> usize {
    let block: *const u64 = block();
    if block.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the per-CPU block, whose first word is the index and never changes.
    let index = unsafe { *block } as usize;
    index % MAX_CPUS
}

/// The per-CPU block, null before [`set_block`].
#[inline(always)]
pub fn block<T>() -> *const T {
    let block: *const T;
    // SAFETY: a read of TPIDR_EL1.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) block, options(nomem, nostack, preserves_flags)) };
    block
}

/// Installs the per-CPU block of this CPU.
///
/// # Safety
/// `block` lives for ever, and its first word is the index of this CPU.
pub unsafe fn set_block<T>(block: *const T) {
    // SAFETY: the caller's promise is what `index` relies on.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) block, options(nostack, preserves_flags)) };
}

/// Says that this CPU only waits for another: a hint to those it shares a core, or an emulator's thread, with.
#[inline]
pub fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nostack, preserves_flags)) };
}

macro_rules! id_register {
    ($($(#[$doc:meta])* $name:ident = $register:literal,)*) => {
        $($(#[$doc])*
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: identification registers are read-only.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        })*
    };
}

id_register! {
    /// MIDR_EL1: who made this CPU.
    midr = "midr_el1",
    /// MPIDR_EL1: where this CPU sits.
    mpidr = "mpidr_el1",
    /// REVIDR_EL1: what the maker says beside.
    revidr = "revidr_el1",
    /// CTR_EL0: the caches.
    ctr = "ctr_el0",
    /// ID_AA64PFR0_EL1.
    pfr0 = "id_aa64pfr0_el1",
    /// ID_AA64PFR1_EL1.
    pfr1 = "id_aa64pfr1_el1",
    /// ID_AA64ISAR0_EL1.
    isar0 = "id_aa64isar0_el1",
    /// ID_AA64ISAR1_EL1.
    isar1 = "id_aa64isar1_el1",
    /// ID_AA64ISAR2_EL1, by its encoding: the assembler of armv8.0 does not know the name.
    isar2 = "s3_0_c0_c6_2",
    /// ID_AA64MMFR0_EL1.
    mmfr0 = "id_aa64mmfr0_el1",
    /// ID_AA64MMFR1_EL1.
    mmfr1 = "id_aa64mmfr1_el1",
    /// ID_AA64MMFR2_EL1.
    mmfr2 = "id_aa64mmfr2_el1",
    /// SCTLR_EL1 as it stands.
    sctlr = "sctlr_el1",
    /// TCR_EL1 as it stands.
    tcr = "tcr_el1",
    /// TTBR1_EL1 as it stands.
    ttbr1 = "ttbr1_el1",
    /// TTBR0_EL1 as it stands.
    ttbr0 = "ttbr0_el1",
    /// FAR_EL1: the address of the last fault.
    far = "far_el1",
    /// ESR_EL1: the reason of the last exception.
    esr = "esr_el1",
}

/// Four bits of an identification register.
pub const fn field(register: u64, shift: u32) -> u64 {
    register >> shift & 0xf
}

/// Points the table walker at a program's tables. The value holds the root's address, the ASID and CnP.
///
/// # Safety
/// The root is a well-formed level-0 table that outlives its use here; with CnP set, every CPU that has this ASID in
/// its TTBR0 walks the same tables.
#[inline]
pub unsafe fn set_ttbr0(value: u64) {
    // SAFETY: as the caller says; the `isb` makes later user accesses of this CPU use it.
    unsafe { asm!("msr ttbr0_el1, {}", "isb", in(reg) value, options(nostack, preserves_flags)) };
}

/// How this CPU translates and what it traps: written as a whole, since a CPU may keep any of it in its TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR1_EL1.
    pub ttbr1: u64,
}

impl Control {
    /// What is in force.
    pub fn read() -> Self {
        Self { sctlr: sctlr(), tcr: tcr(), ttbr1: ttbr1() }
    }

    /// Puts it in force on this CPU, and empties its TLB of what was walked for under the old.
    ///
    /// # Safety
    /// The kernel's half stays mapped as it is.
    pub unsafe fn write(self) {
        // SAFETY: as the caller says; the barriers end what began under the old values.
        unsafe {
            asm!(
                "msr tcr_el1, {tcr}",
                "msr ttbr1_el1, {ttbr1}",
                "msr sctlr_el1, {sctlr}",
                "isb",
                "tlbi vmalle1",
                "dsb nsh",
                "isb",
                tcr = in(reg) self.tcr,
                ttbr1 = in(reg) self.ttbr1,
                sctlr = in(reg) self.sctlr,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Sets PSTATE.PAN: from here on the kernel reaches a program's memory only where it clears it.
///
/// # Safety
/// The CPU has PAN.
pub unsafe fn set_pan() {
    // SAFETY: `msr pan, #1` by its encoding; it exists, says the caller.
    unsafe { asm!(".inst 0xd500419f", options(nostack, preserves_flags)) };
}
