//! Output that needs nothing: no lock, no heap, no interrupt. For the panic report, and before the console stands.

use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The UART's data register and its flags, as offsets.
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
/// The transmit FIFO is full.
const FULL: u32 = 1 << 5;
/// How often to look for room in the FIFO before a byte is given up: a UART that has died must not hang the report.
const PATIENCE: u32 = 1 << 22;

/// The address of the UART's registers; 0 before [`attach`].
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// Says where the PL011's registers are mapped.
///
/// # Safety
/// `registers` is a PL011 in device memory and stays mapped.
pub(crate) unsafe fn attach(registers: NonNull<u8>) {
    REGISTERS.store(registers.as_ptr().expose_provenance(), Ordering::Release);
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
    for _ in 0..PATIENCE {
        let flags: u32;
        // SAFETY: `attach` was told that these are the registers of a PL011; reading the flags changes nothing.
        unsafe { asm!("ldr {:w}, [{}]", out(reg) flags, in(reg) registers + FLAGS, options(nostack, preserves_flags)) };
        if flags & FULL == 0 {
            // SAFETY: as above; a store to the data register sends the byte.
            unsafe {
                asm!("str {:w}, [{}]", in(reg) u32::from(byte), in(reg) registers + DATA,
                    options(nostack, preserves_flags));
            }
            return;
        }
        core::hint::spin_loop();
    }
}
