//! Output that needs nothing: no lock, no heap, no interrupt. For the panic report, and before the console stands.

use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The UART's data register and its flags, as offsets.
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const CONTROL: usize = 0x30;
/// The transmit FIFO is full.
const FULL: u32 = 1 << 5;
/// UARTEN, TXE, RXE: the UART is on, both ways.
const ON: u32 = 1 | 1 << 8 | 1 << 9;
/// How often to look for room in the FIFO before a byte is given up: a UART that has died must not hang the report.
const PATIENCE: u32 = 1 << 22;
/// The same for the bytes after one that was given up.
const IMPATIENCE: u32 = 1 << 8;

/// The address of the UART's registers; 0 before [`attach`].
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// Says where the PL011's registers are mapped, and switches it on. The line stays as the firmware had it: writing to
/// its settings would empty the FIFO, and with it what has been typed already.
///
/// # Safety
/// `registers` is a PL011 in device memory and stays mapped.
pub(crate) unsafe fn attach(registers: NonNull<u8>) {
    let registers = registers.as_ptr().expose_provenance();
    // SAFETY: the caller says that this is a PL011; its control register holds no address.
    unsafe { asm!("str {:w}, [{}]", in(reg) ON, in(reg) registers + CONTROL, options(nostack, preserves_flags)) };
    REGISTERS.store(registers, Ordering::Release);
}

/// Writes bytes as they are; by semihosting while no UART is known.
pub(crate) fn write(bytes: &[u8]) {
    let registers = REGISTERS.load(Ordering::Acquire);
    for &byte in bytes {
        match registers {
            0 => semihosting::sys::arm_compat::sys_writec(byte),
            registers => put(registers, byte),
        }
    }
}

fn put(registers: usize, byte: u8) {
    static GAVE_UP: AtomicBool = AtomicBool::new(false);
    let patience = if GAVE_UP.load(Ordering::Relaxed) { IMPATIENCE } else { PATIENCE };
    for _ in 0..patience {
        let flags: u32;
        // SAFETY: `attach` was told that these are the registers of a PL011; reading the flags changes nothing.
        unsafe { asm!("ldr {:w}, [{}]", out(reg) flags, in(reg) registers + FLAGS, options(nostack, preserves_flags)) };
        if flags & FULL == 0 {
            // SAFETY: as above; a store to the data register sends the byte.
            unsafe {
                asm!("str {:w}, [{}]", in(reg) u32::from(byte), in(reg) registers + DATA,
                    options(nostack, preserves_flags));
            }
            GAVE_UP.store(false, Ordering::Relaxed);
            return;
        }
        core::hint::spin_loop();
    }
    GAVE_UP.store(true, Ordering::Relaxed);
}
