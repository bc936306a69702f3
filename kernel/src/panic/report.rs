//! What a report says, stage after stage.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use arch::esr::{Class, Esr, SavedState};
use arch::frame::TrapFrame;
use units::VirtAddr;

use super::{Out, backtrace, owner, symbols};
use crate::console::early;
use crate::exit::{self, status};
use crate::{layout, percpu};
use crate::smp::stop;
use crate::task::stack;

/// Log lines repeated at most.
const LOG_LINES: usize = 16;

/// What is known when things go wrong.
pub(super) struct Facts {
    /// The registers.
    pub(super) frame: TrapFrame,
    /// What told of it.
    pub(super) cause: Cause,
}

/// What told the kernel of its own bug.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    /// Its code: the registers are those of the panic's own path.
    Panic,
    /// An exception, with ESR_EL1 and FAR_EL1.
    Exception(Esr, u64),
    /// The vectors, which found the stack full.
    Overflow,
}

/// A part of the report.
type Stage = fn(&mut Out, &Facts) -> fmt::Result;

/// Whatever relies on more comes later. One that goes wrong is left, and the next one begins.
const STAGES: [Stage; 7] = [registers, exception, backtrace, task, others, log, end];

/// The stage that is next.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The first panic's facts; the stacks they were found on may be used again.
struct First(UnsafeCell<Facts>);

// SAFETY: touched only by the CPU that reports.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new(Facts { frame: TrapFrame::ZERO, cause: Cause::Panic }));

/// Keeps the facts that the stages are about.
pub(super) fn keep(facts: &Facts) {
    let kept = Facts { frame: facts.frame, cause: facts.cause };
    // SAFETY: there is one CPU, before its first stage.
    unsafe { FIRST.0.get().write(kept) };
}

/// Goes through the stages that are left, then ends the machine.
pub(super) fn go_on() -> ! {
    // SAFETY: nobody writes it any more.
    let facts = unsafe { &*FIRST.0.get() };
    while let Some(stage) = STAGES.get(NEXT.fetch_add(1, Ordering::Relaxed)) {
        // The early console never fails.
        let _ = stage(&mut Out, facts);
    }
    exit::exit(status::PANIC)
}

fn registers(out: &mut Out, facts: &Facts) -> fmt::Result {
    let frame = &facts.frame;
    for (row, registers) in frame.x.chunks(3).enumerate() {
        for (column, value) in registers.iter().enumerate() {
            write!(out, "  x{:<2} {value:#018x}", row * 3 + column)?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    writeln!(out, "  pc   {:#018x}: {}", frame.elr, owner::of(VirtAddr::new(frame.elr)))?;
    writeln!(out, "  sp   {:#018x}: {}", frame.sp, owner::of(VirtAddr::new(frame.sp)))?;
    writeln!(out, "  spsr {:#018x}: {}", frame.spsr, SavedState(frame.spsr))?;
    match layout::displacement() {
        0 => Ok(()),
        moved => writeln!(out, "  the kernel runs {moved:#x} bytes above its link address"),
    }
}

fn exception(out: &mut Out, facts: &Facts) -> fmt::Result {
    let Cause::Exception(esr, far) = facts.cause else { return Ok(()) };
    writeln!(out, "  esr  {:#018x}: {esr}", esr.raw())?;
    let valid = esr.abort().map_or(matches!(esr.class(), Class::PcAlignment | Class::Watchpoint), |abort| abort.address_valid);
    if !valid {
        return writeln!(out, "  far  {far:#018x}: not of this exception");
    }
    writeln!(out, "  far  {far:#018x}: {}", owner::of(VirtAddr::new(far)))
}

fn backtrace(out: &mut Out, facts: &Facts) -> fmt::Result {
    match symbols::complaint() {
        Some(complaint) => writeln!(out, "backtrace: {complaint}")?,
        None => writeln!(out, "backtrace:")?,
    }
    backtrace::show(out, facts)
}

fn task(out: &mut Out, _: &Facts) -> fmt::Result {
    // SAFETY: null, or the task that runs here.
    let Some(task) = (unsafe { percpu::current_or_null().as_ref() }) else { return writeln!(out, "before the first task") };
    writeln!(out, "in {task}; at most {} of {} bytes of its stack used", stack::used(task.stack()), stack::SIZE)?;
    if task.space().is_none() {
        return Ok(());
    }
    // SAFETY: it runs a program, whose frame lies at the top of its stack; nobody else goes on.
    let frame = unsafe { &*task.program_frame() };
    writeln!(out, "its program: pc {:#x}, sp {:#x}, x30 {:#x}, call {} (x8)", frame.elr, frame.sp, frame.x[30], frame.x[8])
}

fn others(out: &mut Out, _: &Facts) -> fmt::Result {
    for (cpu, frame_pointer) in stop::frames() {
        writeln!(out, "CPU {cpu} was stopped:")?;
        backtrace::show_stopped(out, frame_pointer)?;
    }
    Ok(())
}

fn log(out: &mut Out, _: &Facts) -> fmt::Result {
    writeln!(out, "last log lines:")?;
    let show = || crate::log::last_lines(LOG_LINES, &mut |byte| early::write(&[byte]));
    if show().is_err() {
        writeln!(out, "(somebody was writing here)")?;
        // SAFETY: whoever that was is this CPU, which does not go back there, or has been stopped.
        unsafe { crate::log::take_over() };
        if show().is_err() {
            return writeln!(out, "(the log is locked)");
        }
    }
    Ok(())
}

fn end(out: &mut Out, _: &Facts) -> fmt::Result {
    let own = percpu::overflow_stack_or_0();
    if let Some(stack) = stack::overflow_stacks().find(|stack| stack.end().get() == own) {
        writeln!(out, "{} of {} bytes of the report's own stack used", stack::used(stack), stack.len().get())?;
    }
    writeln!(out, "end of panic report")
}
