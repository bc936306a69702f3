//! What a handler finds on its stack, and `rt_sigreturn` takes back (`struct rt_sigframe`).
//!
//! From the stack pointer upwards: [`FrameHead`], then [`RESERVED`] bytes of records, each with a [`RecordHead`], the last
//! one all zero. Above it lies a [`FrameRecord`] that the handler's `x29` points to.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::signal::{Siginfo, SignalStack, Sigset};

/// `struct sigcontext` up to its records: the registers that were interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sigcontext {
    /// Where memory could not be touched, if that is what happened last.
    pub fault_address: u64,
    /// x0 to x30.
    pub regs: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// The program counter.
    pub pc: u64,
    /// The flags, as SPSR_EL1 holds them.
    pub pstate: u64,
    /// Nothing: records are aligned to 16.
    pub pad: u64,
}

/// `struct ucontext` up to the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ucontext {
    /// Always 0.
    pub flags: u64,
    /// Always 0.
    pub link: u64,
    /// The alternate stack.
    pub stack: SignalStack,
    /// Blocked again when the handler returns.
    pub sigmask: Sigset,
    /// Room for a larger set.
    pub unused: [u64; 15],
    /// Nothing: the context is aligned to 16.
    pub pad: u64,
    /// The registers.
    pub mcontext: Sigcontext,
}

/// `struct rt_sigframe` up to the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHead {
    /// Why; stored only for a handler that asked by `SA_SIGINFO`.
    pub info: Siginfo,
    /// What was interrupted.
    pub context: Ucontext,
}

/// Bytes of the records (`__reserved`).
pub const RESERVED: usize = 4096;
/// Bytes of a whole frame.
pub const FRAME: usize = size_of::<FrameHead>() + RESERVED;

/// `struct _aarch64_ctx`: how a record begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecordHead {
    /// What it is; 0 ends the records.
    pub magic: u32,
    /// Bytes, the head included.
    pub size: u32,
}

/// `FPSIMD_MAGIC`.
pub const FPSIMD_MAGIC: u32 = 0x4650_8001;
/// `ESR_MAGIC`.
pub const ESR_MAGIC: u32 = 0x4553_5201;

/// `struct fpsimd_context`: the vector registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FpsimdContext {
    /// [`FPSIMD_MAGIC`].
    pub head: RecordHead,
    /// Status.
    pub fpsr: u32,
    /// Control.
    pub fpcr: u32,
    /// q0 to q31, the low half first.
    pub vregs: [[u64; 2]; 32],
}

/// `struct esr_context`: the syndrome of the fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EsrContext {
    /// [`ESR_MAGIC`].
    pub head: RecordHead,
    /// ESR_EL1.
    pub esr: u64,
}

/// `struct frame_record`: where a backtrace goes on behind the handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameRecord {
    /// x29 as it was.
    pub fp: u64,
    /// x30 as it was.
    pub lr: u64,
}

crate::sizes! {
    Sigcontext = 288, Ucontext = 464, FrameHead = 592, RecordHead = 8, FpsimdContext = 528, EsrContext = 16, FrameRecord = 16,
}
