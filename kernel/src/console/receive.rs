//! The receive interrupt: bytes from the UART's FIFO into a ring, from which the terminal takes them in its own time.
//!
//! Nothing is lost while the ring has room. Where it is full, the interrupt is held back: bytes then wait in the FIFO,
//! and behind it in whoever sends them, if that looks (QEMU does; a person's terminal does after `IXOFF`'s stop
//! character). A FIFO that ran over says so, and `/proc/vitrine/counters` tells.
//!
//! The interrupt is never cleared by hand: the PL011 withdraws it when the FIFO is read empty (below its level, by the
//! book), and until then asks again. Cleared with a byte left in the FIFO, QEMU's would not ask for that one any more:
//! it does when a byte comes into an empty FIFO, and not for those behind. Its FIFO is one byte deep as the firmware
//! leaves it; to switch the other fifteen on would drop what is in it.

use arm_pl011_uart::{Error, FifoLevel, Interrupts};
use platform::fdt;
use sync::{Mutex, Rank};
use tty::ring::Ring;

use super::UART;
use super::terminal::TERMINAL;
use crate::heap::OutOfMemory;
use crate::irq::IrqError;
use crate::{counters, irq};

/// Bytes that wait for the line discipline at most.
pub(super) const RING: usize = 16 << 10;

/// Bytes moved in one go at most, with interrupts masked.
const BATCH: usize = 64;

/// The receive interrupts: enough bytes, or some and then silence.
const RECEIVE: Interrupts = Interrupts::RXI.union(Interrupts::RTI);

/// What was received and not looked at yet.
pub(super) static RECEIVED: Mutex<Received> =
    Mutex::new(Rank::Device, Received { ring: Ring::new(), paused: false, searched: 0 });

/// A ring of bytes, and how far it was gone through.
pub(super) struct Received {
    ring: Ring<RING>,
    /// The ring was full with bytes left in the FIFO.
    paused: bool,
    /// Among the first so many bytes is none that [`Received::skip_past`] looks for.
    searched: usize,
}

impl Received {
    /// The next byte.
    pub(super) fn pop(&mut self) -> Option<u8> {
        self.searched = self.searched.saturating_sub(1);
        self.ring.pop()
    }

    /// Puts in a byte that was not received.
    ///
    /// # Errors
    /// [`tty::ring::Full`].
    pub(super) fn push(&mut self, byte: u8) -> Result<(), tty::ring::Full> {
        self.ring.push(byte)
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.ring.skip(RING);
        self.searched = 0;
    }

    /// Other bytes than before may be looked for.
    pub(super) fn search_anew(&mut self) {
        self.searched = 0;
    }

    /// Drops all before the first byte that `wanted` takes, if there is one. What was looked at once is not looked at
    /// again, until [`Received::search_anew`].
    pub(super) fn skip_to(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.ring.position(self.searched, wanted);
        self.searched = if found.is_some() { 0 } else { self.ring.len() };
        self.ring.skip(found.unwrap_or(0));
        found.is_some()
    }
}

/// Why nothing can be typed.
#[derive(Debug)]
pub(crate) enum InputError {
    /// The interrupt cannot be taken.
    Irq(IrqError),
    /// No memory for the task.
    Memory,
}

impl core::fmt::Display for InputError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Irq(error) => write!(f, "{error}"),
            Self::Memory => f.write_str("memory: too little to run in"),
        }
    }
}

impl From<IrqError> for InputError {
    fn from(error: IrqError) -> Self {
        Self::Irq(error)
    }
}

impl From<OutOfMemory> for InputError {
    fn from(_: OutOfMemory) -> Self {
        Self::Memory
    }
}

/// Lets typed bytes in.
///
/// # Errors
/// [`InputError`].
pub(crate) fn enable_input(uart: &fdt::Uart) -> Result<(), InputError> {
    super::terminal::spawn()?;
    if let Some(device) = UART.lock().as_mut() {
        device.set_interrupt_fifo_levels(FifoLevel::Bytes4, FifoLevel::Bytes4);
    }
    irq::register(uart.interrupt, received)?;
    irq::enable(uart.interrupt.id)?;
    RECEIVED.lock().paused = true;
    resume();
    Ok(())
}

/// Takes bytes again, if that was held back and there is room.
pub(super) fn resume() {
    let mut received = RECEIVED.lock();
    if received.paused && received.ring.len() <= RING / 2 {
        received.paused = false;
        if let Some(uart) = UART.lock().as_mut() {
            uart.set_interrupt_masks(RECEIVE);
        }
    }
}

/// The interrupt handler: moves bytes from the FIFO to the ring.
fn received() {
    RECEIVED.lock().fill();
    TERMINAL.more_came();
}

impl Received {
    fn fill(&mut self) {
        let mut uart = UART.lock();
        let Some(uart) = uart.as_mut() else { return };
        for _ in 0..BATCH {
            if self.ring.room() == 0 {
                self.paused = true;
                uart.set_interrupt_masks(Interrupts::empty());
                return;
            }
            match uart.read_word() {
                Ok(Some(byte)) => _ = self.ring.push(byte),
                Ok(None) => return,
                Err(Error::Overrun) => counters::CONSOLE_OVERRUNS.add(1),
                // A byte with a framing or parity error, or a break, is noise on the line: it is dropped.
                Err(_) => {}
            }
        }
    }
}
