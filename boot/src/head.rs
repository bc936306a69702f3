//! The assembly with its numbers, and what it leaves for the kernel to read.

use core::arch::global_asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use mm::desc;

use crate::{el2, secondary};

/// Entered at EL1, as `el2_setup` answers it (Linux: `BOOT_CPU_MODE_EL1`).
const MODE_EL1: u32 = 0xe11;
/// Entered at EL2 (Linux: `BOOT_CPU_MODE_EL2`).
const MODE_EL2: u32 = 0xe12;

/// SCTLR_EL1 with the MMU off: the bits that read as one, little-endian everywhere (Arm ARM D19.2.131).
const SCTLR_EL1_OFF: u64 = 0x30d0_0800;
/// SCTLR_EL1 as `primary_switch` writes it: M, C, SA, SA0, I, DZE, UCT, nTWI, nTWE, UCI; SPAN clear, so that an
/// exception sets PAN.
const SCTLR_EL1_ON: u64 = (SCTLR_EL1_OFF & !(1 << 23)) // SPAN
    | 1         // M: MMU
    | 1 << 2    // C: data cache
    | 1 << 3    // SA: stack alignment at EL1
    | 1 << 4    // SA0: and at EL0
    | 1 << 12   // I: instruction cache
    | 1 << 14   // DZE: dc zva at EL0
    | 1 << 15   // UCT: ctr_el0 at EL0
    | 1 << 16   // nTWI
    | 1 << 18   // nTWE
    | 1 << 26; // UCI: cache maintenance at EL0
/// SCTLR_EL2 with everything off: the bits that read as one.
const SCTLR_EL2_OFF: u64 = 0x30c5_0830;
/// The same for SCTLR_EL3.
const SCTLR_EL3_OFF: u64 = SCTLR_EL2_OFF;

/// Where QEMU leaves the device tree when x0 does not say (an ELF file, or what its loader device loads).
const DEFAULT_TREE: u64 = 0x4000_0000;
/// Where `primary_switched` finds the device tree, in the identity map that goes: the blob's place within 2 MiB and
/// this. Above every physical address that the linear map reaches.
const TREE_WINDOW: u64 = 1 << 47;
/// Of a device tree's address, the block of 2 MiB where it begins.
const TREE_BLOCKS: u64 = (1 << 48) - (2 << 20);
/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

const _: () = assert!(SCTLR_EL1_ON & (1 << 25 | 1 << 24 | 1 << 19) == 0, "little-endian, no WXN: tables say it all");

global_asm!(
    include_str!("head.s"),
    include_str!("el3.s"),
    include_str!("secondary.s"),
    include_str!("el2.s"),
    MODE_EL1 = const MODE_EL1,
    MODE_EL2 = const MODE_EL2,
    SCTLR_EL1_OFF = const SCTLR_EL1_OFF,
    SCTLR_EL1_ON = const SCTLR_EL1_ON,
    SCTLR_EL2_OFF = const SCTLR_EL2_OFF,
    MAIR = const desc::MAIR_EL1,
    TCR = const TCR,
    TABLE = const desc::TABLE,
    ADDRESS = const desc::ADDRESS_MASK,
    PAGE_TO_BLOCK = const desc::PAGE ^ desc::BLOCK,
    TEXT = const desc::KERNEL_TEXT | desc::PAGE,
    RODATA = const desc::KERNEL_RODATA | desc::PAGE,
    DATA = const desc::KERNEL_DATA | desc::PAGE,
    LINEAR_BASE = const crate::LINEAR_BASE,
    SCTLR_EL3_OFF = const SCTLR_EL3_OFF,
    DEFAULT_TREE = const DEFAULT_TREE,
    TREE_WINDOW = const TREE_WINDOW,
    TREE_BLOCKS = const TREE_BLOCKS,
    AFFINITY = const AFFINITY,
    CPUS = const arch::cpu::MAX_CPUS,
    PLACES = sym secondary::PLACES,
    SECONDARY_SWITCHED = sym secondary::SECONDARY_SWITCHED,
    EL2_IDENTIFY = const el2::IDENTIFY,
    EL2_STAGE2_ON = const el2::STAGE2_ON,
    EL2_STAGE2_FORGET = const el2::STAGE2_FORGET,
    EL2_NAME = const el2::NAME,
);

/// TCR_EL1 less IPS and AS, which `cpu_setup` takes from ID_AA64MMFR0_EL1.
const TCR: u64 = desc::TCR_BASE;

unsafe extern "C" {
    static BOOT_ARGS: [AtomicU64; 4];
    static BOOT_CPU_MODE: [AtomicU32; 2];
    static BOOT_MARKS: [AtomicU64; 8];
    static LINK_BASE: u64;
}

/// The address that `_text` is linked at. It runs there, or above: at the same place within 2 MiB as in memory.
pub fn link_base() -> u64 {
    // SAFETY: a constant that the assembly lays down.
    unsafe { LINK_BASE }
}

/// x0 to x3 as the loader left them: x0 is the device tree's physical address, or 0.
pub fn boot_args() -> [u64; 4] {
    // SAFETY: written by `preserve_boot_args` before any Rust ran, and never again.
    let args = unsafe { &BOOT_ARGS };
    [0, 1, 2, 3].map(|index: usize| args[index].load(Ordering::Relaxed))
}

/// The exception level the CPUs were entered at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootMode {
    /// EL1: no hypervisor part of ours.
    El1,
    /// EL2: vectors of ours stay resident there.
    El2,
    /// Some CPUs at one, some at the other.
    Mismatched,
}

impl BootMode {
    /// What the two words of `__boot_cpu_mode` say.
    pub const fn of(flags: [u32; 2]) -> Self {
        match flags {
            [MODE_EL1, MODE_EL1] => Self::El1,
            [MODE_EL2, MODE_EL2] => Self::El2,
            _ => Self::Mismatched,
        }
    }

    /// The mode that `el2_setup` answered on one CPU.
    pub const fn of_cpu(mode: u32) -> Self {
        Self::of([mode, mode])
    }
}

impl fmt::Display for BootMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::El1 => "EL1",
            Self::El2 => "EL2",
            Self::Mismatched => "a level of its own",
        })
    }
}

/// The two words of `__boot_cpu_mode`: each CPU writes its mode into the one that stands for the other mode, so they
/// stay as they began, EL2 and EL1, only when no CPU came.
pub fn mode_flags() -> [u32; 2] {
    // SAFETY: words that the assembly writes with single stores.
    let flags = unsafe { &BOOT_CPU_MODE };
    [0, 1].map(|index: usize| flags[index].load(Ordering::Relaxed))
}

/// What the CPUs that came up so far agree on.
pub fn boot_mode() -> BootMode {
    BootMode::of(mode_flags())
}

/// Whether some CPUs were entered at EL2 and some at EL1 (Linux's name).
pub fn is_hyp_mode_mismatched() -> bool {
    boot_mode() == BootMode::Mismatched
}

/// The steps of `_start` in their order, each named after its routine.
pub const STEPS: [&str; 7] = [
    "preserve_boot_args",
    "el2_setup",
    "set_cpu_boot_mode_flag",
    "create_page_tables",
    "cpu_setup",
    "primary_switch",
    "primary_switched",
];

/// Each step of [`STEPS`] with the virtual counter's value at its end, on the boot CPU.
pub fn marks() -> impl Iterator<Item = (&'static str, u64)> {
    // SAFETY: words that the assembly writes before any Rust runs, and never again.
    let marks = unsafe { &BOOT_MARKS };
    STEPS.into_iter().zip(marks).map(|(step, mark)| (step, mark.load(Ordering::Relaxed)))
}
