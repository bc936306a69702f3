//! The trap frame: a program's, or the kernel's own, registers as an exception found them.

/// Registers at the moment of an exception; the layout is what the vectors store.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The program's stack pointer (`SP_EL0`), or the kernel's own at an exception from EL1.
    pub sp: u64,
    /// Where the exception returns to (`ELR_EL1`).
    pub elr: u64,
    /// The state it returns to (`SPSR_EL1`).
    pub spsr: u64,
}

impl TrapFrame {
    /// Bytes of a frame on the kernel stack.
    pub const SIZE: usize = size_of::<Self>();

    /// All zero: EL0 with nothing masked.
    pub const ZERO: Self = Self { x: [0; 31], sp: 0, elr: 0, spsr: 0 };

    /// The registers as they stand, for a report: those that calls keep are the caller's, the others whatever they
    /// were last used for.
    #[cfg(target_os = "none")]
    #[inline(always)]
    pub fn capture() -> Self {
        let mut frame = Self::ZERO;
        // SAFETY: stores x0 to x30, sp and the address of this very code to the frame; x0 holds the frame's address.
        unsafe {
            core::arch::asm!(
                "stp x0, x1, [x0]",
                "stp x2, x3, [x0, #16]",
                "stp x4, x5, [x0, #32]",
                "stp x6, x7, [x0, #48]",
                "stp x8, x9, [x0, #64]",
                "stp x10, x11, [x0, #80]",
                "stp x12, x13, [x0, #96]",
                "stp x14, x15, [x0, #112]",
                "stp x16, x17, [x0, #128]",
                "stp x18, x19, [x0, #144]",
                "stp x20, x21, [x0, #160]",
                "stp x22, x23, [x0, #176]",
                "stp x24, x25, [x0, #192]",
                "stp x26, x27, [x0, #208]",
                "stp x28, x29, [x0, #224]",
                "mov {scratch}, sp",
                "stp x30, {scratch}, [x0, #240]",
                "adr {scratch}, .",
                "str {scratch}, [x0, #256]",
                "mrs {scratch}, daif",
                "str {scratch}, [x0, #264]",
                in("x0") &raw mut frame,
                scratch = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
        frame.spsr |= 0b0101; // EL1h
        frame
    }

    /// Whether the exception came from a program.
    pub const fn from_user(&self) -> bool {
        self.spsr & 0b1111 == 0
    }
}

/// The frame pointer, x29: where the running function's frame record lies.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn pointer() -> u64 {
    let pointer: u64;
    // SAFETY: a read.
    unsafe { core::arch::asm!("mov {}, x29", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

const _: () = assert!(TrapFrame::SIZE == 272 && core::mem::offset_of!(TrapFrame, elr) == 256);
