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

    /// Whether the exception came from a program.
    pub const fn from_user(&self) -> bool {
        self.spsr & 0b1111 == 0
    }
}

const _: () = assert!(TrapFrame::SIZE == 272 && core::mem::offset_of!(TrapFrame, elr) == 256);
