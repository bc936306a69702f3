//! The console: the first PL011, written without loss, read by interrupt into a terminal.
//!
//! [`early`] is the way out that always works; [`write`] the ordinary one, under a lock. Typed bytes go by interrupt into
//! [`receive`]'s ring; a task of the kernel takes them from there through the line discipline (the crate `tty`) of the
//! one [`terminal`], echoes them and sends the signals they stand for. A program's bytes go out as they are: no
//! translation of line ends anywhere.

pub(crate) mod early;
mod receive;
pub(crate) mod terminal;

use core::fmt;
use core::ptr::NonNull;

use arm_pl011_uart::{Interrupts, PL011Registers, Uart};
use platform::fdt;
use safe_mmio::UniqueMmioPointer;
use sync::{Mutex, Rank};
use units::PhysRange;

pub(crate) use receive::enable_input;

use crate::mmio::{DeviceError, PrimeCell};

/// Bytes written in one go at most, with interrupts masked.
const CHUNK: usize = 256;

static UART: Mutex<Option<Uart<'static>>> = Mutex::new(Rank::Console, None);

/// Maps the UART and takes it into use for output.
///
/// # Errors
/// Where there is none, or its registers cannot be mapped.
pub(crate) fn init(uart: &fdt::Uart) -> Result<(), DeviceError> {
    let registers = attach(uart.registers)?;
    // SAFETY: as above. The early console writes to the same registers, but only to the data register, whole.
    let mut device = Uart::new(unsafe { UniqueMmioPointer::new(registers.cast::<PL011Registers>()) });
    device.set_interrupt_masks(Interrupts::empty());
    *UART.lock() = Some(device);
    Ok(())
}

/// Takes a UART into use for output, where more than the place of its registers is not known.
///
/// # Errors
/// Where there is none, or its registers cannot be mapped.
pub(crate) fn early_init(registers: PhysRange) -> Result<(), DeviceError> {
    attach(registers).map(drop)
}

fn attach(registers: PhysRange) -> Result<NonNull<u8>, DeviceError> {
    let registers = PrimeCell::PL011.map(registers, "the registers of the UART")?;
    // SAFETY: a PL011 says of itself that it lies here; device mappings are never taken back.
    unsafe { early::attach(registers) };
    Ok(registers)
}

/// Writes bytes as they are, waiting until the UART has taken each. Where its FIFO is full the wait is outside the lock,
/// so that interrupts are never masked longer than the FIFO takes bytes at once.
pub(crate) fn write(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(CHUNK)];
        let sent = match UART.lock().as_mut() {
            Some(uart) => send(uart, chunk),
            None => {
                early::write(chunk);
                chunk.len()
            }
        };
        rest = &rest[sent..];
        if sent == 0 {
            core::hint::spin_loop();
        }
    }
}

/// Sends bytes until the FIFO is full; answers how many.
fn send(uart: &mut Uart<'_>, bytes: &[u8]) -> usize {
    for (sent, &byte) in bytes.iter().enumerate() {
        if uart.is_tx_fifo_full() {
            return sent;
        }
        uart.write_word(byte);
    }
    bytes.len()
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
