//! Exceptions: sixteen vectors, one frame, and who answers each.
//!
//! `vectors.s` stores the frame and calls one of the `trap_*` functions here. A program's fault goes to its address
//! space, and where that cannot serve it, ends the program by a signal. A fault of the kernel at a user address, in
//! one of the instructions that may fault (`arch::user`), is served the same way or turned into a count; any other is
//! our own bug and panics.

mod emulate;

use core::arch::global_asm;

use abi::signal;
use arch::esr::Esr;
pub(crate) use arch::frame::TrapFrame;
use mm::space::{Access, FaultError};
use units::VirtAddr;

use crate::layout;
use crate::percpu::{self, PerCpu};
use crate::task::{self, Fault, stack};

global_asm!(
    include_str!("vectors.s"),
    FRAME = const TrapFrame::SIZE,
    STACK_BIT = const stack::SIZE.trailing_zeros(),
    CALLS = sym crate::syscall::CALLS,
    CALL_COUNT = const crate::syscall::LINUX,
    PERCPU_CURRENT = const core::mem::offset_of!(PerCpu, current),
    PERCPU_OVERFLOW = const core::mem::offset_of!(PerCpu, overflow_stack),
);

/// Linux's signal for a fault, and the sub-code of its `siginfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FaultSignal {
    /// The signal's number.
    pub(crate) number: u32,
    /// `si_code`.
    pub(crate) code: i32,
    /// `si_addr`.
    pub(crate) address: u64,
}

#[unsafe(no_mangle)]
extern "C" fn trap_rare_call(frame: &mut TrapFrame) {
    crate::syscall::rare(frame);
}

#[unsafe(no_mangle)]
extern "C" fn trap_user_fault(frame: &mut TrapFrame, esr: u64) {
    let tagged = arch::cpu::far();
    let far = layout::untagged(tagged);
    arch::irq::enable();
    let decoded = Esr::new(esr);
    if let Err(mut signal) = user_fault(decoded, far, frame) {
        // The tag goes where the handler is entered, unless it asked for it (SA_EXPOSE_TAGBITS).
        if decoded.abort().is_some() && signal.address == far {
            signal.address = tagged;
        }
        task::signal::fault(frame, esr, signal, shown(decoded, esr, far));
    }
}

/// What a handler finds beside the signal (Linux: `set_thread_esr`, `arm64_notify_die`); `None` where it finds what it
/// found the last time.
fn shown(decoded: Esr, esr: u64, far: u64) -> Option<Fault> {
    use arch::esr::Class;
    /// ESR_EL1.EC, IL; and of a data abort, whether it was by cache maintenance and whether it was a store.
    const KEPT: u64 = 0xfe00_0000;
    const KEPT_OF_DATA: u64 = KEPT | 1 << 8 | 1 << 6;
    /// A translation fault at level 0.
    const FAULT: u64 = 0b100;
    let of_memory = decoded.table_fault().is_some() || decoded.is_alignment_fault();
    Some(match decoded.class() {
        // Of a kernel address a program learns no more than that it may not touch it.
        Class::DataAbortLower if of_memory && far >= layout::USER_END => {
            Fault { address: far, syndrome: esr & KEPT_OF_DATA | FAULT }
        }
        Class::InstructionAbortLower if of_memory && far >= layout::USER_END => {
            Fault { address: far, syndrome: esr & KEPT | FAULT }
        }
        Class::DataAbortLower | Class::InstructionAbortLower if of_memory => Fault { address: far, syndrome: esr },
        Class::DataAbortLower | Class::InstructionAbortLower | Class::PcAlignment | Class::SpAlignment => {
            Fault { address: 0, syndrome: esr }
        }
        Class::PointerAuthFailed => Fault { address: 0, syndrome: esr },
        Class::Brk | Class::FloatingPoint => return None,
        _ => Fault::NONE,
    })
}

/// Serves a program's exception, or answers the signal it earns (Linux: `fault_info`, `arm64_notify_die`).
fn user_fault(esr: Esr, far: u64, frame: &mut TrapFrame) -> Result<(), FaultSignal> {
    use arch::esr::Class;
    if let Some(access) = esr.table_fault() {
        return memory_fault(far, access);
    }
    let pc = frame.elr;
    let signal = |number, code, address| Err(FaultSignal { number, code, address });
    match esr.class() {
        Class::DataAbortLower | Class::InstructionAbortLower => {
            let code = if esr.is_external_abort() && poisoned(far) {
                signal::BUS_MCEERR_AR
            } else if esr.is_alignment_fault() {
                signal::BUS_ADRALN
            } else {
                signal::BUS_OBJERR
            };
            signal(signal::SIGBUS, code, far)
        }
        Class::PcAlignment => signal(signal::SIGBUS, signal::BUS_ADRALN, far),
        Class::SpAlignment => signal(signal::SIGBUS, signal::BUS_ADRALN, pc),
        Class::Breakpoint | Class::SoftwareStep | Class::Watchpoint | Class::Brk => {
            signal(signal::SIGTRAP, signal::TRAP_BRKPT, pc)
        }
        Class::FloatingPoint => signal(signal::SIGFPE, float_code(esr), pc),
        Class::PointerAuthFailed => signal(signal::SIGILL, signal::ILL_ILLOPN, pc),
        // The second with FEAT_IDST, where such a read has a syndrome of its own.
        Class::Unknown | Class::SystemRegister if emulate::identification(frame) => Ok(()),
        _ => signal(signal::SIGILL, signal::ILL_ILLOPC, pc),
    }
}

/// Which exception a trapped floating-point instruction raised, if the CPU says so (`do_fpsimd_exc`).
fn float_code(esr: Esr) -> i32 {
    const SAYS_SO: u32 = 1 << 23;
    let raised = |bit: u32| esr.specific() >> bit & 1 != 0;
    let codes = [signal::FPE_FLTINV, signal::FPE_FLTDIV, signal::FPE_FLTOVF, signal::FPE_FLTUND, signal::FPE_FLTRES];
    let found = (0..).zip(codes).find(|(bit, _)| raised(*bit)).map(|(_, code)| code);
    found.filter(|_| esr.specific() & SAYS_SO != 0).unwrap_or(signal::FPE_FLTUNK)
}

/// The memory behind a program's address did not answer: whether it is persistent memory, which is a bad block then.
fn poisoned(far: u64) -> bool {
    let frame = |space: &crate::space::Space| space.frame(VirtAddr::new(far)).ok();
    task::current().space().and_then(|space| frame(space)).is_some_and(crate::pmem::note)
}

/// Lets the current task's address space serve a fault at `far`.
#[inline]
fn memory_fault(far: u64, access: arch::esr::Access) -> Result<(), FaultSignal> {
    let access = match access {
        arch::esr::Access::Read => Access::Read,
        arch::esr::Access::Write => Access::Write,
        arch::esr::Access::Execute => Access::Exec,
    };
    crate::counters::FAULTS.add(1);
    let signal = |number, code| Err(FaultSignal { number, code, address: far });
    if far >= layout::USER_END {
        return signal(signal::SIGSEGV, signal::SEGV_MAPERR);
    }
    let task = task::current();
    task.count_fault();
    let Some(space) = task.space() else { return signal(signal::SIGSEGV, signal::SEGV_MAPERR) };
    match space.fault(VirtAddr::new(far), access) {
        Ok(()) => Ok(()),
        Err(FaultError::Unmapped) => signal(signal::SIGSEGV, signal::SEGV_MAPERR),
        Err(FaultError::Denied) => signal(signal::SIGSEGV, signal::SEGV_ACCERR),
        // Files are mapped as they were at one instant, and such a mapping has nobody to ask.
        Err(FaultError::Beyond | FaultError::Unprepared) => signal(signal::SIGBUS, signal::BUS_ADRERR),
        Err(FaultError::Poisoned) => signal(signal::SIGBUS, signal::BUS_MCEERR_AR),
        // Linux's out-of-memory killer would pick the program too.
        Err(FaultError::OutOfMemory) => signal(signal::SIGKILL, 0),
    }
}

#[unsafe(no_mangle)]
extern "C" fn trap_kernel_fault(frame: &mut TrapFrame, esr: u64) {
    let far = arch::cpu::far();
    let decoded = Esr::new(esr);
    // Before there is a task nobody can serve a fault: a look at memory that is not there ends.
    if let (true, Some(target)) = (percpu::current_or_null().is_null(), arch::user::fixup(frame.elr)) {
        frame.elr = target;
        return;
    }
    if let (true, Some(target)) = (far < layout::USER_END, arch::user::fixup(frame.elr)) {
        // The copy routines hold no lock, so the fault may be served as the program's own would be.
        arch::irq::enable();
        let served = match decoded.table_fault() {
            Some(access) => crate::kmap::faults_are_served() && memory_fault(far, access).is_ok(),
            None => {
                // The program's side of the copy is a mapping of a bad block: `EFAULT` to the call, and the block is known.
                if decoded.is_external_abort() {
                    poisoned(far);
                }
                false
            }
        };
        arch::irq::save();
        if !served {
            frame.elr = target;
        }
        return;
    }
    if let Some(target) = crate::pmem::fixup(frame.elr).or_else(|| crate::mmio::fixup(frame.elr, far)) {
        frame.elr = target;
        return;
    }
    if crate::smp::psci::answer_undefined(frame, decoded) {
        return;
    }
    crate::panic::kernel_fault(frame, esr, far)
}

#[unsafe(no_mangle)]
extern "C" fn trap_interrupt(_frame: &mut TrapFrame) {
    crate::irq::handle();
}

/// Work that waits for a task on its way back to its program, with interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn trap_before_user(frame: &mut TrapFrame) {
    task::before_user(frame);
}

#[unsafe(no_mangle)]
extern "C" fn trap_stack_overflow(frame: &mut TrapFrame) -> ! {
    crate::panic::stack_overflow(frame)
}

#[unsafe(no_mangle)]
extern "C" fn trap_unexpected(frame: &mut TrapFrame, kind: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous exception", "interrupt", "fast interrupt", "system error"];
    const FROM: [&str; 4] = ["EL1 with SP_EL0", "EL1", "EL0", "AArch32 EL0"];
    let (kind, from) = (KINDS[kind as usize % 4], FROM[kind as usize / 4 % 4]);
    crate::panic::unexpected(frame, format_args!("{kind} from {from}"))
}
