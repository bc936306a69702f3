//! The frame of a signal on the program's stack: made for a handler, taken back by `rt_sigreturn` (Linux:
//! `arch/arm64/kernel/signal.c`, to the byte).

use abi::sigframe::{
    ESR_MAGIC, EsrContext, FPSIMD_MAGIC, FRAME, FpsimdContext, FrameHead, FrameRecord, RESERVED, RecordHead,
    Sigcontext, Ucontext,
};
use abi::signal::{SaFlags, Siginfo, SignalStack, Sigset};
use arch::features::{Feature, has};

use super::deliver::Caught;
use super::fp::VectorState;
use super::pending::stack_flags;
use super::Fault;
use crate::layout;
use crate::trap::TrapFrame;
use crate::uaccess::{self, UserPtr, read_user, write_user};

/// PSTATE.BTYPE, and the value that a call by `blr` leaves: a handler is entered as by one (`setup_return`).
const BTYPE: u64 = 0b11 << 10;
const BTYPE_CALL: u64 = 0b10 << 10;
/// PSTATE.TCO.
const TCO: u64 = 1 << 25;
/// What a program cannot have in its state: bits that mean nothing at EL0, and single step
/// (`SPSR_EL1_AARCH64_RES0_BITS`, `user_regs_reset_single_step`).
const NEVER: u64 = 0xffff_ffff_0000_0000 | 0b11 << 26 | 0b11 << 22 | 1 << 21 | 0xff << 13 | 1 << 5;
/// PSTATE.M and DAIF: 0 for a program.
const MODE: u64 = 0b1111 << 6 | 0b11111;
/// PSTATE.NZCV.
const CONDITIONS: u64 = 0b1111 << 28;

/// Where the records begin.
const RECORDS: u64 = size_of::<FrameHead>() as u64;

/// What a handler is entered with, beside the registers.
pub(super) struct Setting {
    /// The alternate stack.
    pub(super) stack: SignalStack,
    /// Blocked again when it returns.
    pub(super) mask: Sigset,
    /// The last fault.
    pub(super) fault: Fault,
    /// Where it returns to, unless it says otherwise.
    pub(super) trampoline: u64,
}

/// Makes the frame for `caught` below the stack pointer, and the registers those of its handler.
///
/// # Errors
/// [`uaccess::Fault`] where the stack cannot be written; the registers are as they were.
pub(super) fn enter(frame: &mut TrapFrame, caught: &Caught, setting: &Setting) -> Result<(), uaccess::Fault> {
    let Setting { stack, mask, fault, trampoline } = *setting;
    let flags = SaFlags::from_bits_retain(caught.action.flags);
    let on_it = flags.contains(SaFlags::ONSTACK) && stack_flags(&stack, frame.sp) == 0;
    let top = if on_it { stack.sp.wrapping_add(stack.size) } else { frame.sp };
    let link = top.wrapping_sub(size_of::<FrameRecord>() as u64) & !15;
    let sp = link.wrapping_sub(FRAME as u64);
    if sp > link {
        return Err(uaccess::Fault);
    }
    write_user(UserPtr::new(link), &FrameRecord { fp: frame.x[29], lr: frame.x[30] })?;
    let mut regs = [0; 31];
    regs.copy_from_slice(&frame.x);
    let mcontext =
        Sigcontext { fault_address: fault.address, regs, sp: frame.sp, pc: frame.elr, pstate: frame.spsr, pad: 0 };
    let context =
        Ucontext { flags: 0, link: 0, stack, sigmask: mask, unused: [0; 15], pad: 0, mcontext };
    let info = UserPtr::new(sp);
    let ucontext = info.add(size_of::<Siginfo>() as u64);
    write_user(ucontext, &context)?;
    write_records(info.add(RECORDS), fault.syndrome)?;
    if flags.contains(SaFlags::SIGINFO) {
        write_user(info, &caught.info)?;
        frame.x[1] = sp;
        frame.x[2] = sp + size_of::<Siginfo>() as u64;
    }
    frame.x[0] = caught.info.signo as u64;
    frame.x[29] = link;
    frame.x[30] = if flags.contains(SaFlags::RESTORER) { caught.action.restorer } else { trampoline };
    frame.sp = sp;
    frame.elr = caught.action.handler;
    frame.spsr &= !(BTYPE | TCO);
    if has(Feature::Bti) {
        frame.spsr |= BTYPE_CALL;
    }
    Ok(())
}

/// The vector registers, the syndrome where there is one, and the end.
fn write_records(mut at: UserPtr, syndrome: u64) -> Result<(), uaccess::Fault> {
    let mut state = VectorState::ZERO;
    state.save();
    let head = RecordHead { magic: FPSIMD_MAGIC, size: size_of::<FpsimdContext>() as u32 };
    let (vregs, fpsr, fpcr) = state.parts();
    write_user(at, &FpsimdContext { head, fpsr: fpsr as u32, fpcr: fpcr as u32, vregs: *vregs })?;
    at = at.add(size_of::<FpsimdContext>() as u64);
    if syndrome != 0 {
        let head = RecordHead { magic: ESR_MAGIC, size: size_of::<EsrContext>() as u32 };
        write_user(at, &EsrContext { head, esr: syndrome })?;
        at = at.add(size_of::<EsrContext>() as u64);
    }
    write_user(at, &RecordHead::default())
}

/// The frame does not hold what a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadFrame;

impl From<uaccess::Fault> for BadFrame {
    fn from(_: uaccess::Fault) -> Self {
        Self
    }
}

/// Takes the registers back from the frame at the stack pointer; answers the rest of what it holds.
///
/// # Errors
/// [`BadFrame`]; the registers then hold what was read so far, and are those of a program.
pub(super) fn leave(frame: &mut TrapFrame) -> Result<Ucontext, BadFrame> {
    let at = frame.sp;
    let whole = layout::user_range(at, FRAME as u64);
    if !at.is_multiple_of(16) || whole.is_none() {
        return Err(BadFrame);
    }
    let context: Ucontext = read_user(UserPtr::new(at).add(size_of::<Siginfo>() as u64))?;
    let registers = &context.mcontext;
    frame.x.copy_from_slice(&registers.regs);
    frame.sp = registers.sp;
    frame.elr = registers.pc;
    frame.spsr = registers.pstate & !NEVER;
    if frame.spsr & MODE != 0 {
        frame.spsr &= CONDITIONS;
        return Err(BadFrame);
    }
    let vectors = find_vectors(UserPtr::new(at).add(RECORDS))?;
    let saved: FpsimdContext = read_user(vectors)?;
    VectorState::of(saved.vregs, saved.fpsr, saved.fpcr).restore();
    Ok(context)
}

/// Looks through the records (`parse_user_sigframe`); answers where the vector registers are.
fn find_vectors(base: UserPtr) -> Result<UserPtr, BadFrame> {
    const HEAD: usize = size_of::<RecordHead>();
    let mut found = None;
    let mut offset = 0;
    loop {
        if RESERVED - offset < HEAD || !offset.is_multiple_of(16) {
            return Err(BadFrame);
        }
        let at = base.add(offset as u64);
        let RecordHead { magic, size } = read_user(at)?;
        let size = size as usize;
        if RESERVED - offset < size {
            return Err(BadFrame);
        }
        match magic {
            0 if size == 0 => return found.ok_or(BadFrame),
            FPSIMD_MAGIC if found.is_none() && size >= size_of::<FpsimdContext>() => found = Some(at),
            ESR_MAGIC => {}
            _ => return Err(BadFrame),
        }
        if size < HEAD {
            return Err(BadFrame);
        }
        offset += size;
    }
}
