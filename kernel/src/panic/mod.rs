//! The end by our own bug: what is printed, and how little it relies on.
//!
//! Everything goes through the early console: no lock, no heap. A fault inside the report starts a shorter one, and a
//! fault in that ends the machine at once. The message stays under the symbol [`VITRINE_PANIC`] for a debugger.

mod backtrace;
mod symbols;

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use arch::esr::{Esr, SavedState};
use arch::frame::TrapFrame;
use units::VirtAddr;

use crate::console::early;
use crate::exit::{self, status};
use crate::layout;
use crate::smp::stop;
use symbols::Code;
pub(crate) use symbols::init;

/// Log lines repeated at most.
const LOG_LINES: usize = 16;
/// Bytes of the message that are kept.
const KEPT: usize = 256;

/// How many times this machine has begun to report a panic.
static REPORTS: AtomicU32 = AtomicU32::new(0);

/// The first panic's message, cut to its length; read by gdb (`x/s &VITRINE_PANIC`).
#[repr(C)]
pub(crate) struct Kept(UnsafeCell<[u8; KEPT]>);

// SAFETY: written once, by the first CPU that panics; read by nobody but a debugger.
unsafe impl Sync for Kept {}

/// See [`Kept`].
#[unsafe(no_mangle)]
pub(crate) static VITRINE_PANIC: Kept = Kept(UnsafeCell::new([0; KEPT]));

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let frame = TrapFrame::capture();
    let level = begin();
    let registers = Some((&frame, None));
    match info.location() {
        Some(at) => report(level, format_args!("{} ({at})", info.message()), registers, frame.x[29]),
        None => report(level, format_args!("{}", info.message()), registers, frame.x[29]),
    }
}

/// The kernel's own access at `far` went wrong.
pub(crate) fn kernel_fault(frame: &TrapFrame, esr: u64, far: u64) -> ! {
    let level = begin();
    let esr = Esr::new(esr);
    match esr.abort() {
        Some(abort) if abort.address_valid => {
            let owner = layout::describe(VirtAddr::new(far));
            report(level, format_args!("{esr}, at {far:#018x}: {owner}"), Some((frame, Some(esr))), frame.x[29])
        }
        _ => report(level, format_args!("{esr}"), Some((frame, Some(esr))), frame.x[29]),
    }
}

/// A kernel stack is full; runs on the stack kept for this.
pub(crate) fn stack_overflow(frame: &TrapFrame) -> ! {
    let level = begin();
    let owner = layout::describe(VirtAddr::new(frame.sp));
    report(
        level,
        format_args!("kernel stack overflow: sp {:#018x}, {owner}", frame.sp),
        Some((frame, None)),
        frame.x[29],
    )
}

/// An exception that must not happen.
pub(crate) fn unexpected(frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    let level = begin();
    let esr = Esr::new(arch::cpu::esr());
    report(level, format_args!("unexpected {what}: {esr}"), Some((frame, Some(esr))), frame.x[29])
}

/// Counts the reports; interrupts stay out from here on, and a CPU that comes while another reports.
fn begin() -> u32 {
    arch::irq::save();
    if !crate::testing::in_test() {
        stop::claim();
    }
    match REPORTS.fetch_add(1, Ordering::Relaxed) {
        level @ 0..=1 => level,
        // Even the short report went wrong.
        _ => exit::exit(status::PANIC),
    }
}

type Registers<'a> = Option<(&'a TrapFrame, Option<Esr>)>;

fn report(level: u32, message: fmt::Arguments<'_>, registers: Registers<'_>, frame_pointer: u64) -> ! {
    let out = &mut Out;
    if level == 0 {
        if !crate::testing::in_test() {
            for cpu in stop::stop_others() {
                let _ = writeln!(out, "\nCPU {cpu} does not stop");
            }
        }
        // The early console never fails, here and below.
        if !crate::testing::expects_death() {
            let _ = writeln!(out, "\npanic on CPU {}: {message}", arch::cpu::index());
        }
        // A test that panics ends alone, and does not come back from here.
        REPORTS.store(0, Ordering::Relaxed);
        crate::testing::fail_running_test();
        REPORTS.store(1, Ordering::Relaxed);
        keep(message);
        let _ = show(out, registers, frame_pointer);
    } else {
        let _ = writeln!(out, "\npanic while a panic was reported: {message}");
        let _ = registers.map_or(Ok(()), |(frame, _)| writeln!(out, "  pc {:#018x}", frame.elr));
    }
    exit::exit(status::PANIC)
}

fn show(out: &mut Out, registers: Registers<'_>, frame_pointer: u64) -> fmt::Result {
    if let Some((frame, esr)) = registers {
        show_registers(out, frame, esr)?;
    }
    let complaint = symbols::complaint();
    writeln!(out, "backtrace:{}{}", if complaint.is_some() { " " } else { "" }, complaint.unwrap_or_default())?;
    if let Some((frame, _)) = registers {
        symbols::show(out, frame.elr, Code::Exact)?;
    }
    backtrace::show(out, frame_pointer)?;
    writeln!(out, "last log lines:")?;
    crate::log::last_lines(LOG_LINES, &mut |byte| early::write(&[byte]));
    writeln!(out, "end of panic report")
}

fn show_registers(out: &mut Out, frame: &TrapFrame, esr: Option<Esr>) -> fmt::Result {
    for (row, registers) in frame.x.chunks(3).enumerate() {
        for (column, value) in registers.iter().enumerate() {
            write!(out, "  x{:<2} {value:#018x}", row * 3 + column)?;
        }
        writeln!(out)?;
    }
    let (pc, state) = (frame.elr, SavedState(frame.spsr));
    writeln!(out, "  sp  {:#018x}  pc  {pc:#018x} in {}", frame.sp, layout::describe(VirtAddr::new(pc)))?;
    writeln!(out, "  spsr {:#010x}: {state}", frame.spsr)?;
    if let Some(esr) = esr {
        writeln!(out, "  esr  {:#010x}: {esr}", esr.raw())?;
        let far = arch::cpu::far();
        writeln!(out, "  far  {far:#018x}: {}", layout::describe(VirtAddr::new(far)))?;
    }
    Ok(())
}

/// Keeps the message for a debugger.
fn keep(message: fmt::Arguments<'_>) {
    struct Cut {
        at: usize,
    }
    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for &byte in text.as_bytes() {
                if self.at < KEPT - 1 {
                    // SAFETY: inside the array, its last byte stays 0, and only the first report comes here.
                    unsafe { VITRINE_PANIC.0.get().cast::<u8>().add(self.at).write_volatile(byte) };
                    self.at += 1;
                }
            }
            Ok(())
        }
    }
    // The sink never fails.
    let _ = write!(Cut { at: 0 }, "{message}");
}

/// The early console as a place to format to.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        early::write(text.as_bytes());
        Ok(())
    }
}
