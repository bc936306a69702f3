//! The console: the first PL011, written byte by byte without loss, read by interrupt into a terminal.
//!
//! [`early`] is the way out that always works; [`write`] the ordinary one, under a lock; [`terminal`] the way in, with
//! its line discipline in [`line`]. A program's bytes go out as they are: no translation of line ends anywhere.

pub(crate) mod early;
pub(crate) mod line;
mod terminal;

use core::fmt;
use core::time::Duration;

use abi::tty::Termios;
use arm_pl011_uart::{FifoLevel, Interrupts, PL011Registers, Uart};
use safe_mmio::UniqueMmioPointer;
use sync::{Mutex, Rank};
use units::PhysRange;

pub(crate) use terminal::Flush;
use platform::fdt;
use terminal::TERMINAL;

use crate::task::wait::{Ended, Interrupted};

use crate::{irq, mmio};

/// Bytes written in one go, with interrupts masked.
const CHUNK: usize = 256;

static UART: Mutex<Option<Uart<'static>>> = Mutex::new(Rank::Console, None);

/// Maps the UART and takes it into use for output.
///
/// # Errors
/// Where its registers cannot be mapped.
pub(crate) fn init(uart: &fdt::Uart) -> Result<(), mmio::MapError> {
    let registers = mmio::map(uart.registers.start(), uart.registers.len())?;
    // SAFETY: the device tree says that a PL011 lies here; device mappings are never taken back.
    unsafe { early::attach(registers) };
    // SAFETY: as above. The early console writes to the same registers, but only to the data register, whole.
    let mut device = Uart::new(unsafe { UniqueMmioPointer::new(registers.cast::<PL011Registers>()) });
    device.set_interrupt_masks(Interrupts::empty());
    *UART.lock() = Some(device);
    Ok(())
}

/// Takes a UART into use for output, where more than the place of its registers is not known.
///
/// # Errors
/// Where its registers cannot be mapped.
pub(crate) fn early_init(registers: PhysRange) -> Result<(), mmio::MapError> {
    let registers = mmio::map(registers.start(), registers.len())?;
    // SAFETY: the device tree says that a PL011 lies here; device mappings are never taken back.
    unsafe { early::attach(registers) };
    Ok(())
}

/// Lets typed bytes in.
///
/// # Errors
/// Where the interrupt cannot be taken.
pub(crate) fn enable_input(uart: &fdt::Uart) -> Result<(), irq::IrqError> {
    if let Some(device) = UART.lock().as_mut() {
        device.set_interrupt_fifo_levels(FifoLevel::Bytes4, FifoLevel::Bytes4);
        device.clear_interrupts(Interrupts::all());
    }
    irq::register(uart.interrupt, received)?;
    irq::enable(uart.interrupt.id)?;
    resume_input();
    Ok(())
}

/// Writes bytes as they are, waiting until the UART has taken each.
pub(crate) fn write(bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK) {
        match UART.lock().as_mut() {
            Some(uart) => chunk.iter().for_each(|&byte| send(uart, byte)),
            None => early::write(chunk),
        }
    }
}

/// Takes typed bytes into `to`, waiting for some: in canonical mode at most one line, 0 bytes at the end of file.
///
/// # Errors
/// [`Interrupted`] where the task has to stop waiting.
pub(crate) fn read(to: &mut [u8]) -> Result<usize, Interrupted> {
    TERMINAL.read(to)
}

/// Waits until `condition` answers, looking whenever input came, at most until `deadline` (time since boot).
///
/// # Errors
/// [`Ended`] says which came first.
pub(crate) fn wait_for_input<T>(deadline: Option<Duration>, condition: impl FnMut() -> Option<T>) -> Result<T, Ended> {
    TERMINAL.wait(deadline, condition)
}

/// How many bytes a read would find now.
pub(crate) fn readable() -> usize {
    TERMINAL.readable()
}

/// The terminal's settings.
pub(crate) fn settings() -> Termios {
    TERMINAL.settings()
}

/// Changes the terminal's settings.
pub(crate) fn set(settings: Termios, flush: Flush) {
    TERMINAL.set(settings, flush);
}

/// Writes a text of the kernel that is not a log record.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    // The sink never fails.
    let _ = fmt::write(&mut Sink, text);
}

/// The console as a place to format to.
struct Sink;

impl fmt::Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

fn send(uart: &mut Uart<'_>, byte: u8) {
    while uart.is_tx_fifo_full() {
        core::hint::spin_loop();
    }
    uart.write_word(byte);
}

/// The receive interrupts: enough bytes, or some and then silence.
const RECEIVE: Interrupts = Interrupts::RXI.union(Interrupts::RTI);

/// Stops taking bytes: they wait in the FIFO, and behind it in whoever sends them.
fn pause_input() {
    if let Some(uart) = UART.lock().as_mut() {
        uart.set_interrupt_masks(Interrupts::empty());
    }
}

/// Takes bytes again, beginning with those in the FIFO: the interrupt that told of them may have been cleared.
fn resume_input() {
    if let Some(uart) = UART.lock().as_mut() {
        uart.set_interrupt_masks(RECEIVE);
    }
    // Masked, or the handler could overtake bytes that have left the FIFO and are not in the terminal yet.
    let flags = arch::irq::save();
    received();
    arch::irq::restore(flags);
}

/// The interrupt handler: moves bytes from the FIFO to the terminal, as many as that has room for.
fn received() {
    loop {
        let room = TERMINAL.room();
        if room == 0 {
            return;
        }
        let mut bytes = [0; 32];
        let taken = take(&mut bytes[..room.min(32)]);
        if taken == 0 {
            return;
        }
        TERMINAL.typed(&bytes[..taken]);
    }
}

/// Takes bytes from the FIFO; fewer than asked for says that it is empty.
fn take(to: &mut [u8]) -> usize {
    let mut uart = UART.lock();
    let Some(uart) = uart.as_mut() else { return 0 };
    uart.clear_interrupts(RECEIVE);
    let mut taken = 0;
    while taken < to.len() && !uart.is_rx_fifo_empty() {
        // A byte with a framing or parity error, or a break, is noise on the line: it is dropped.
        if let Ok(Some(byte)) = uart.read_word() {
            to[taken] = byte;
            taken += 1;
        }
    }
    taken
}
