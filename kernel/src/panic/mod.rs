//! The end by our own bug: who reports it, and on what little a report relies.
//!
//! Everything goes through the early console: no lock, no heap. The first CPU that gets here stops the others and
//! reports alone, on the stack it keeps for an overflow, in the stages of [`report`]. A fault inside a
//! stage is told in a line or two, and the report goes on with the stage after it; too many of them end the machine at
//! once. The message stays under the symbol [`VITRINE_PANIC`] for a debugger.

mod backtrace;
mod owner;
mod report;
mod symbols;

use core::arch::asm;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use arch::esr::Esr;
use arch::frame::TrapFrame;
use units::VirtAddr;

use crate::console::early;
use crate::exit::{self, status};
use crate::task::{self, stack};
use crate::{percpu, smp, testing};
use report::{Cause, Facts};
pub(crate) use symbols::init;

/// Faults inside the report that are told of; the next one ends the machine.
const NESTED: usize = 3;
/// Bytes of the message that are kept.
const KEPT: usize = 256;

/// The first panic's message, cut to its length; read by gdb (`set language c`, `x/s &VITRINE_PANIC`).
#[repr(C)]
pub(crate) struct Kept(UnsafeCell<[u8; KEPT]>);

// SAFETY: written once, by the CPU that reports; read by nobody but a debugger.
unsafe impl Sync for Kept {}

/// See [`Kept`].
#[unsafe(no_mangle)]
pub(crate) static VITRINE_PANIC: Kept = Kept(UnsafeCell::new([0; KEPT]));

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let facts = Facts { frame: TrapFrame::capture(), cause: Cause::Panic };
    match info.location() {
        Some(at) => {
            let file = ::symbols::library(at.file()).unwrap_or(at.file());
            begin(&facts, format_args!("{} ({file}:{}:{})", info.message(), at.line(), at.column()))
        }
        None => begin(&facts, format_args!("{}", info.message())),
    }
}

/// The kernel's own access at `far` went wrong.
pub(crate) fn kernel_fault(frame: &TrapFrame, esr: u64, far: u64) -> ! {
    let esr = Esr::new(esr);
    let facts = Facts { frame: *frame, cause: Cause::Exception(esr, far) };
    match esr.abort() {
        Some(abort) if abort.address_valid => {
            begin(&facts, format_args!("{esr}, at {far:#018x}: {}", owner::of(VirtAddr::new(far))))
        }
        _ => begin(&facts, format_args!("{esr}")),
    }
}

/// A kernel stack is full, or the stack pointer leads to none: the vectors see the same; runs on the stack kept for this.
pub(crate) fn stack_overflow(frame: &TrapFrame) -> ! {
    let sp = frame.sp;
    let what = if owner::is_guard(VirtAddr::new(sp)) { "kernel stack overflow" } else { "no kernel stack" };
    let facts = Facts { frame: *frame, cause: Cause::Overflow };
    begin(&facts, format_args!("{what}: sp {sp:#018x}, {}", owner::of(VirtAddr::new(sp))))
}

/// An exception that must not happen.
pub(crate) fn unexpected(frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    let esr = Esr::new(arch::cpu::esr());
    let facts = Facts { frame: *frame, cause: Cause::Exception(esr, arch::cpu::far()) };
    begin(&facts, format_args!("unexpected {what}: {esr}"))
}

/// Where every panic comes together. Interrupts stay out from here on.
fn begin(facts: &Facts, message: fmt::Arguments<'_>) -> ! {
    arch::irq::save();
    exit::try_without_semihosting();
    end_test(facts, message);
    smp::stop::claim();
    match BEGUN.fetch_add(1, Ordering::Relaxed) {
        0 => {
            report::keep(facts);
            let missing = smp::stop::stop_others().fold(0, |cpus, cpu| cpus | 1 << cpu);
            let first = First { message, missing };
            on_overflow_stack(&first)
        }
        nested @ 1..=NESTED => {
            // The sink never fails, here and below.
            let _ = writeln!(Out, "\npanic while a panic was reported ({nested}): {message}");
            let _ = symbols::show(&mut Out, facts.frame.elr, symbols::Code::Exact);
            report::go_on()
        }
        _ => exit::exit(status::PANIC),
    }
}

/// Whose `va` is, as the report says it.
pub(crate) fn owner_of(va: VirtAddr) -> impl fmt::Display {
    owner::of(va)
}

/// How many times the CPU that reports has come to [`begin`].
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Where a test's task panicked, ends the task and does not return.
fn end_test(facts: &Facts, message: fmt::Arguments<'_>) {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    if !testing::in_test() {
        return;
    }
    // A message that cannot be shown is the kernel's panic.
    if INSIDE.fetch_add(1, Ordering::Relaxed) == 0 {
        if !testing::expects_death() {
            let _ = writeln!(Out, "\npanic on CPU {}: {message}", arch::cpu::index());
            let _ = backtrace::show(&mut Out, facts);
        }
        INSIDE.store(0, Ordering::Relaxed);
        if let Cause::Overflow = facts.cause {
            // SAFETY: the task's own; it runs on the stack for overflows now, and is about to end there.
            unsafe { stack::forget(task::current().stack()) };
        }
        testing::fail_running_test();
    }
}

/// What only the beginning of a report needs.
struct First<'a> {
    message: fmt::Arguments<'a>,
    /// The CPUs that did not stop, one bit each.
    missing: u32,
}

/// Begins the report on this CPU's stack for overflows: the one at hand may be nearly full.
fn on_overflow_stack(first: &First<'_>) -> ! {
    let top = percpu::overflow_stack_or_0();
    let here: u64;
    // SAFETY: a read.
    unsafe { asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags)) };
    if top == 0 || top.wrapping_sub(here) < stack::SIZE {
        first_stage(first)
    }
    // SAFETY: nothing is on that stack, and nothing returns to this one, which stays as it is; `first` lies on it.
    unsafe {
        asm!("mov sp, {top}", "bl {first_stage}", "brk #1", top = in(reg) top, in("x0") first,
            first_stage = sym first_stage, options(noreturn))
    }
}

extern "C" fn first_stage(first: &First<'_>) -> ! {
    let _ = write!(Out, "\npanic on CPU {}: ", arch::cpu::index());
    let _ = write!(Tee { kept: 0 }, "{}", first.message);
    let _ = writeln!(Out);
    for cpu in (0..u32::BITS).filter(|cpu| first.missing >> cpu & 1 != 0) {
        let _ = writeln!(Out, "CPU {cpu} does not stop");
    }
    report::go_on()
}

/// The early console as a place to format to.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        early::write(text.as_bytes());
        Ok(())
    }
}

/// The early console, and what a debugger finds.
struct Tee {
    kept: usize,
}

impl Write for Tee {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.kept < KEPT - 1 {
                // SAFETY: inside the array, its last byte stays 0, and only the first report comes here.
                unsafe { VITRINE_PANIC.0.get().cast::<u8>().add(self.kept).write_volatile(byte) };
                self.kept += 1;
            }
        }
        Out.write_str(text)
    }
}
