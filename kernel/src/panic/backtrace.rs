//! Who called whom, by the frame records that every function keeps (AAPCS64 6.4.6).
//!
//! Nothing on the stack is believed: a record counts where it is aligned, on a kernel stack, above the one before it, and
//! mapped, as the hardware says.

use core::fmt::{self, Write};

use units::VirtAddr;

use super::report::{Cause, Facts};
use super::symbols::{self, Code};
use crate::layout;

/// Calls shown at most: so many of the innermost, so many of the outermost.
const SHOWN: (usize, usize) = (24, 12);
/// Calls shown of a CPU that was stopped.
const SHOWN_STOPPED: usize = 4;

/// Shows the instruction that went wrong, where the code itself did not say so, and where each call returns to, innermost
/// first.
pub(super) fn show(out: &mut impl Write, facts: &Facts) -> fmt::Result {
    let (pc, link, frame_pointer) = (facts.frame.elr, facts.frame.x[30], facts.frame.x[29]);
    if !matches!(facts.cause, Cause::Panic) {
        symbols::show(out, pc, Code::Exact)?;
        if is_only_in_link(pc, link, frame_pointer) {
            symbols::show(out, link, Code::Return)?;
        }
    }
    let count = Records::from(frame_pointer).count();
    let left_out = SHOWN.0..count.saturating_sub(SHOWN.1).max(SHOWN.0);
    let mut code = Code::Return;
    for (index, address) in Records::from(frame_pointer).enumerate() {
        if !left_out.contains(&index) {
            symbols::show(out, address, code)?;
        } else if index == left_out.start {
            writeln!(out, "  ... {} more ...", left_out.len())?;
        }
        code = if is_vector(address) { Code::Exact } else { Code::Return };
    }
    Ok(())
}

/// Shows what a CPU did when it was stopped: what the interrupt found, and who had called that; where no interrupt came, how it
/// got where it is. `frame_pointer` is its own.
pub(super) fn show_stopped(out: &mut impl Write, frame_pointer: u64) -> fmt::Result {
    let interrupt = Records::from(frame_pointer).position(is_vector);
    let (skipped, mut code) = interrupt.map_or((0, Code::Return), |at| (at + 1, Code::Exact));
    let mut rest = Records::from(frame_pointer).skip(skipped).take(SHOWN_STOPPED).peekable();
    if rest.peek().is_none() {
        return writeln!(out, "  in a program");
    }
    rest.try_for_each(|address| symbols::show(out, address, core::mem::replace(&mut code, Code::Return)))
}

/// Whether `address` is in the vectors. They push a record too, with the instruction that the exception came from.
fn is_vector(address: u64) -> bool {
    (layout::vectors_start().get()..layout::vectors_end().get()).contains(&address)
}

/// Whether the function of `pc` keeps no frame record, or not yet, so that its caller is known by x30 alone: that leads
/// into another function, and the innermost record does not lead there.
fn is_only_in_link(pc: u64, link: u64, frame_pointer: u64) -> bool {
    let caller = symbols::owner(link.wrapping_sub(1));
    caller.is_some() && caller != symbols::owner(pc) && Records::from(frame_pointer).next() != Some(link)
}

/// The return addresses of a chain of frame records.
struct Records {
    next: u64,
}

impl Records {
    fn from(frame_pointer: u64) -> Self {
        Self { next: frame_pointer }
    }
}

impl Iterator for Records {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let here = self.next;
        if !is_record(here) {
            return None;
        }
        let record = core::ptr::with_exposed_provenance::<[u64; 2]>(here as usize);
        // SAFETY: aligned, and on a kernel stack, which is mapped.
        let [above, address] = unsafe { record.read_volatile() };
        // The stacks for overflows lie above the boot stack in the map, but are entered from there.
        let enters = layout::boot_stack().contains(VirtAddr::new(above)) && !layout::boot_stack().contains(VirtAddr::new(here));
        self.next = if above > here || enters { above } else { 0 };
        // The first function has nowhere to return to.
        (address != 0).then_some(address)
    }
}

/// Whether two words can be read there.
fn is_record(at: u64) -> bool {
    let boot = layout::boot_stack().contains(VirtAddr::new(at));
    let on_stack = boot || (layout::STACKS_BASE..layout::STACKS_BASE + layout::STACKS_SIZE).contains(&at);
    at.is_multiple_of(8) && on_stack && is_mapped(at) && is_mapped(at + 8)
}

/// Whether the kernel can read at `at`, asked of the hardware: it takes no lock and cannot fault.
fn is_mapped(at: u64) -> bool {
    let answer: u64;
    // SAFETY: `at s1e1r` translates and touches no memory; bit 0 of PAR_EL1 says that it failed.
    unsafe {
        core::arch::asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) at, out(reg) answer,
            options(nostack, preserves_flags));
    }
    answer & 1 == 0
}
