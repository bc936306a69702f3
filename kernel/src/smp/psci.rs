//! The firmware's calls, PSCI (Arm DEN 0022), by the instruction that the device tree names.

use arch::esr::{Class, Esr};
use arch::frame::TrapFrame;
use platform::fdt::PsciMethod;
use smccc::psci::{self, Error};
use smccc::{Hvc, Smc};
use units::PhysAddr;

use crate::layout;

/// `smc #0` and `hvc #0`.
const CALLS: [u32; 2] = [0xd400_0003, 0xd400_0002];
/// SMCCC's NOT_SUPPORTED.
const NOT_SUPPORTED: u64 = u64::MAX;

/// Starts the CPU with this affinity at `entry`, with `context` in its x0 (`CPU_ON`).
///
/// # Errors
/// The firmware's.
pub(super) fn cpu_on(method: PsciMethod, affinity: u64, entry: PhysAddr, context: u64) -> Result<(), Error> {
    match method {
        PsciMethod::Smc => psci::cpu_on::<Smc>(affinity, entry.get(), context),
        PsciMethod::Hvc => psci::cpu_on::<Hvc>(affinity, entry.get(), context),
    }
}

/// Turns this CPU off (`CPU_OFF`); returns where the firmware refuses.
pub(super) fn cpu_off(method: PsciMethod) -> Error {
    let answer = match method {
        PsciMethod::Smc => psci::cpu_off::<Smc>(),
        PsciMethod::Hvc => psci::cpu_off::<Hvc>(),
    };
    answer.err().unwrap_or(Error::InternalFailure)
}

/// Turns the machine off (`SYSTEM_OFF`); returns where there is no firmware to ask, or it refuses.
pub(crate) fn system_off() {
    // What it answers does not matter: it answers only where it refuses.
    let _ = match crate::start::psci_method() {
        Some(PsciMethod::Smc) => psci::system_off::<Smc>(),
        Some(PsciMethod::Hvc) => psci::system_off::<Hvc>(),
        None => Ok(()),
    };
}

/// Answers a firmware call of the kernel by an instruction that this machine does not have: a device tree that names the
/// wrong one is told of as firmware that cannot do it. Whether that is what `frame` is about.
pub(crate) fn answer_undefined(frame: &mut TrapFrame, esr: Esr) -> bool {
    let text = layout::text_start().get()..layout::text_end().get();
    if esr.class() != Class::Unknown || !text.contains(&frame.elr) || !frame.elr.is_multiple_of(4) {
        return false;
    }
    let at: *const u32 = core::ptr::with_exposed_provenance(frame.elr as usize);
    // SAFETY: aligned, and in kernel text, which is mapped and readable.
    if !CALLS.contains(&unsafe { at.read() }) {
        return false;
    }
    frame.x[0] = NOT_SUPPORTED;
    frame.elr += 4;
    true
}
