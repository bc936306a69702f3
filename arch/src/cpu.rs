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
    /// ID_AA64PFR0_EL1.
    pfr0 = "id_aa64pfr0_el1",
    /// ID_AA64ISAR0_EL1.
    isar0 = "id_aa64isar0_el1",
    /// ID_AA64ISAR1_EL1.
    isar1 = "id_aa64isar1_el1",
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

/// What this CPU has of what the kernel uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// `dc cvap` (FEAT_DPB).
    pub clean_to_persistence: bool,
    /// `dc cvadp` (FEAT_DPB2).
    pub clean_to_deep_persistence: bool,
    /// Privileged access never (FEAT_PAN).
    pub pan: bool,
    /// The RNDR register (FEAT_RNG).
    pub random: bool,
    /// Atomic instructions (FEAT_LSE).
    pub atomics: bool,
    /// 16-bit address space identifiers.
    pub asid16: bool,
}

impl Features {
    /// Reads the identification registers of this CPU.
    pub fn detect() -> Self {
        let (isar0, isar1, mmfr0, mmfr1) = (isar0(), isar1(), mmfr0(), mmfr1());
        Self {
            clean_to_persistence: field(isar1, 0) >= 1,
            clean_to_deep_persistence: field(isar1, 0) >= 2,
            pan: field(mmfr1, 20) >= 1,
            random: field(isar0, 60) >= 1,
            atomics: field(isar0, 20) >= 2,
            asid16: field(mmfr0, 4) == 2,
        }
    }
}

/// Points the table walker at a program's tables, under its ASID.
///
/// # Safety
/// `root` is the physical address of a well-formed level-0 table that outlives its use here.
#[inline]
pub unsafe fn set_ttbr0(root: u64, asid: u16) {
    // SAFETY: as the caller says; the `isb` makes later user accesses of this CPU use it.
    unsafe {
        asm!("msr ttbr0_el1, {}", "isb", in(reg) root | u64::from(asid) << 48, options(nostack, preserves_flags));
    }
}
