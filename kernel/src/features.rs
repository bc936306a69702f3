//! The features of the CPUs: settled from all of them, switched on in each, shown on request.
//!
//! The order is: each CPU calls [`record_cpu`] when it comes up; when all have, the boot CPU calls [`settle`]; then
//! each runs [`enable_cpu`], the one place that writes what depends on a feature into SCTLR_EL1 and TCR_EL1.

use core::fmt;

use arch::cpu::Control;
use arch::features::hwcap::Capabilities;
use arch::features::{Feature, Features, TABLE, Use, common, has, machine, physical_bits, physical_range};
use mm::desc;
use units::PhysAddr;

use crate::exit::{refuse, status};
use crate::{paging, timer};

/// Leaves this CPU's identification registers where [`settle`] finds them. A CPU without vector registers cannot run
/// the kernel's copies: the machine ends here.
pub(crate) fn record_cpu() {
    machine::record();
    let features = Features::of(&machine::this_cpu().registers);
    if !features.has(Feature::Fp) || !features.has(Feature::AdvSimd) {
        let cpu = arch::cpu::index();
        refuse(status::REFUSED, format_args!("CPU {cpu} has no floating point and vector registers"));
    }
}

/// Makes what all recorded CPUs have the machine's, once, before the first program; says what one lacks.
pub(crate) fn settle() {
    for (index, cpu) in machine::recorded() {
        let bits = physical_bits(&cpu.registers);
        if paging::highest() > PhysAddr::new(1 << bits) {
            refuse(status::REFUSED, format_args!("CPU {index} has {bits} bits of physical address, too few for the memory"));
        }
    }
    let features = machine::settle();
    report_differences(features);
    log::info!("features: {}", Names(features));
    if features.has(Feature::Pan) {
        arch::user::enable_pan();
    }
    if let Some(step) = arch::crc::step() {
        fs::use_crc_step(step);
    }
}

/// SCTLR_EL1, EnIA, EnIB, EnDA, EnDB: pointer authentication with each of the four keys, at EL0 as at EL1.
const SCTLR_PAUTH: u64 = 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13;
/// SCTLR_EL1.BT0: at EL0, `paciasp` is a landing for `br x16` and `br x17` alone, as the rules for code with `bti` are.
const SCTLR_BT0: u64 = 1 << 35;
/// SCTLR_EL1.DSSBS: what PSTATE.SSBS becomes at an exception.
const SCTLR_DSSBS: u64 = 1 << 44;

/// What this CPU is to run under: `now`, with what every CPU has switched on.
fn control(now: Control) -> Control {
    let Control { mut sctlr, mut tcr, mut ttbr1 } = now;
    // Never stores that bypass a load inside the kernel; a program begins with them allowed, as on Linux.
    sctlr &= !SCTLR_DSSBS;
    if has(Feature::PauthAddress) {
        sctlr |= SCTLR_PAUTH;
    }
    if has(Feature::Bti) {
        sctlr |= SCTLR_BT0;
    }
    let range = physical_range(&common()).min(desc::TCR_IPS_48);
    tcr = tcr & !(0b111 << desc::TCR_IPS_SHIFT | 1 << desc::TCR_AS_SHIFT) | range << desc::TCR_IPS_SHIFT;
    tcr |= desc::TCR_TBI0;
    for (feature, bits) in [
        (Feature::Asid16, 1 << desc::TCR_AS_SHIFT),
        (Feature::HardwareAccess, 1 << desc::TCR_HA_SHIFT),
        (Feature::HardwareDirty, 1 << desc::TCR_HD_SHIFT),
        (Feature::E0pd, desc::TCR_E0PD1),
    ] {
        if has(feature) {
            tcr |= bits;
        }
    }
    ttbr1 |= common_not_private();
    Control { sctlr, tcr, ttbr1 }
}

/// CnP in TTBR0_EL1 and TTBR1_EL1, where every CPU has it. The kernel's tables are the same for all, and a number
/// stands for the same address space everywhere.
pub(crate) fn common_not_private() -> u64 {
    if has(Feature::Cnp) { desc::TTBR_CNP } else { 0 }
}

/// SPSR_EL1.SSBS: stores may be bypassed.
const SPSR_SSBS: u64 = 1 << 12;

/// PSTATE as a new program finds it: EL0, nothing masked, and where the CPU can say so, stores may be bypassed
/// (Linux: `spectre_v4_enable_task_mitigation` of a task that asked for nothing).
pub(crate) fn first_state() -> u64 {
    if has(Feature::Ssbs) { SPSR_SSBS } else { 0 }
}

/// Switches on, in the CPU that runs this, what the machine has; after [`settle`].
pub(crate) fn enable_cpu() {
    // SAFETY: the address, the size and the attributes of the kernel's half stay; the other bits are of features that
    // every CPU has.
    unsafe { control(Control::read()).write() };
    if has(Feature::Pan) {
        // SAFETY: it does.
        unsafe { arch::cpu::set_pan() };
    }
    crate::space::deactivate();
}

/// SCTLR_EL1.DZE: programs may use `dc zva`.
const SCTLR_DZE: u64 = 1 << 14;

/// From here on `dc zva` is no instruction for programs on this CPU, and DCZID_EL0 tells them so: who watches stores does
/// not see it.
pub(crate) fn forbid_zeroing() {
    let now = Control::read();
    // SAFETY: nothing else changes.
    unsafe { Control { sctlr: now.sctlr & !SCTLR_DZE, ..now }.write() };
}

/// Names what some CPU has and another lacks, and so nobody uses.
fn report_differences(features: Features) {
    let common = common();
    for (index, cpu) in machine::recorded() {
        let unused = Features::of(&cpu.registers).without(features);
        if unused != Features::NONE {
            log::warn!("CPU {index} has what another lacks, not used: {}", Names(unused));
        }
        for field in cpu.registers.differing(&common) {
            log::info!("CPU {index}: {}.{} is more than all CPUs have", field.register.name(), field.name);
        }
    }
}

/// The names of a set of features.
struct Names(Features);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.0.rows().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " " }, row.name)?;
        }
        Ok(())
    }
}

/// Writes the table, a line a feature: its name, whether every CPU has it, what it is used for or why it is not.
pub(crate) fn write_table(to: &mut dyn fmt::Write) -> fmt::Result {
    for row in TABLE {
        let there = if has(row.feature) { "yes" } else { "no" };
        match row.used {
            Use::For(what) => writeln!(to, "{:<14} {there:<4} used for {what}", row.name)?,
            Use::NotUsed(why) => writeln!(to, "{:<14} {there:<4} not used: {why}", row.name)?,
        }
    }
    Ok(())
}

/// Writes `/proc/cpuinfo` as Linux does: a paragraph for each CPU that came up.
pub(crate) fn write_cpuinfo(to: &mut dyn fmt::Write) -> fmt::Result {
    let capabilities = Capabilities::of(&common());
    // Linux's number is the timer's ticks in 2 microseconds, two places behind the point.
    let bogus = timer::frequency() / 5000;
    for (index, cpu) in machine::recorded() {
        writeln!(to, "processor\t: {index}")?;
        writeln!(to, "BogoMIPS\t: {}.{:02}", bogus / 100, bogus % 100)?;
        write!(to, "Features\t:")?;
        for word in capabilities.words() {
            write!(to, " ")?;
            word.chars().try_for_each(|letter| to.write_char(letter.to_ascii_lowercase()))?;
        }
        let field = |shift: u32, width: u32| cpu.midr >> shift & ((1 << width) - 1);
        writeln!(to, "\nCPU implementer\t: {:#04x}", field(24, 8))?;
        writeln!(to, "CPU architecture: 8")?;
        writeln!(to, "CPU variant\t: {:#x}", field(20, 4))?;
        writeln!(to, "CPU part\t: {:#05x}", field(4, 12))?;
        writeln!(to, "CPU revision\t: {}\n", field(0, 4))?;
    }
    Ok(())
}
