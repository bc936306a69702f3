//! The end by our own bug: what is printed, and how little it relies on.
//!
//! Everything goes through the early console: no lock, no heap. A fault inside the report starts a shorter one, and a
//! fault in that ends the machine at once. The message stays under the symbol [`VITRINE_PANIC`] for a debugger.

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

/// Return addresses printed at most.
const DEPTH: usize = 32;
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

/// Counts the reports; interrupts stay out from here on.
fn begin() -> u32 {
    arch::irq::save();
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
            for cpu in crate::smp::stop::stop_others() {
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
    writeln!(out, "backtrace:")?;
    if let Some((frame, _)) = registers {
        show_address(out, frame.elr)?;
    }
    backtrace(frame_pointer, |address| show_address(out, address))?;
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

fn show_address(out: &mut Out, address: u64) -> fmt::Result {
    writeln!(out, "  {address:#018x} in {}", layout::describe(VirtAddr::new(address)))
}

/// Follows the frame records from `frame_pointer` up (AAPCS64 6.4.6) and shows each return address, until one does not
/// lie on a kernel stack above the one before.
fn backtrace(mut frame_pointer: u64, mut each: impl FnMut(u64) -> fmt::Result) -> fmt::Result {
    for _ in 0..DEPTH {
        if !is_frame_record(frame_pointer) {
            return Ok(());
        }
        let record = core::ptr::with_exposed_provenance::<[u64; 2]>(frame_pointer as usize);
        // SAFETY: aligned, and on a kernel stack, which is mapped.
        let [next, address] = unsafe { record.read_volatile() };
        // The first function has nowhere to return to.
        if address == 0 {
            return Ok(());
        }
        each(address)?;
        if next <= frame_pointer {
            return Ok(());
        }
        frame_pointer = next;
    }
    writeln!(Out, "  ...")
}

/// Whether two words can be read there.
fn is_frame_record(at: u64) -> bool {
    let stacks = layout::STACKS_BASE..layout::STACKS_BASE + layout::STACKS_SIZE;
    let boot = layout::boot_stack_start().get()..layout::boot_stack_end().get();
    // The stack for overflows lies in the kernel's data.
    let data = layout::data_start().get()..layout::data_end().get();
    at.is_multiple_of(8) && [stacks, boot, data].iter().any(|range| range.contains(&at)) && is_mapped(at)
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
