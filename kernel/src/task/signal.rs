//! The calls about signals, and what a fault of a program becomes. [`super::kill`] sends, [`super::deliver`] takes.

use core::time::Duration;

use abi::Errno;
use abi::signal::{self, SEGV_ACCERR, SEGV_MAPERR, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, SaFlags, Sigaction, Siginfo};
use abi::signal::{SI_TKILL, SignalStack, Sigset};
use abi::task::WaitStatus;
use abi::time::Timespec;
use units::VirtAddr;

use super::deliver::{self, block};
use super::kill::{self, Disposition, Sender};
use super::pending::{NO_STACK, on_stack, stack_flags};
use super::wait::{Cut, Ended, park};
use super::{Fault, Task, current, exit, flag, sigframe};
use crate::syscall::{Args, time};
use crate::trap::{FaultSignal, TrapFrame};
use crate::uaccess::{UserPtr, copy_to_user, read_user, write_user};
use crate::{heap, layout, timer};

/// log2 of the bytes that a memory error takes: a page.
const LOST: u16 = units::PAGE_SHIFT as u16;
/// Linux's for arm64: what an alternate stack has at least.
const MINSIGSTKSZ: u64 = 5120;

/// Gives the program that faulted its signal. `fault` is what its handler finds beside it, `esr` is for the log.
pub(crate) fn fault(frame: &TrapFrame, esr: u64, signal: FaultSignal, fault: Option<Fault>) {
    let task = current();
    let (number, code) = (signal.number, signal.code);
    let action = task.process.signals.lock().action(number);
    if action.handler <= signal::SIG_IGN || number == signal::SIGKILL {
        let name = signal::text(number).unwrap_or("unknown signal");
        let (address, esr) = (signal.address, arch::esr::Esr::new(esr));
        log::info!("{task:?}: {name} (code {code}) at {address:#x}, pc {:#x}, sp {:#x}: {esr}", frame.elr, frame.sp);
    }
    if number == signal::SIGKILL {
        exit::end_process(WaitStatus::signaled(number));
    }
    if let Some(fault) = fault {
        task.fault.set(fault);
    }
    let lost = if (number, code) == (signal::SIGBUS, signal::BUS_MCEERR_AR) { LOST } else { 0 };
    deliver::force(task, Siginfo::fault(number, code, signal.address, lost));
}

/// Bytes of the one size of signal set that Linux takes.
const SET_SIZE: u64 = size_of::<Sigset>() as u64;

/// `rt_sigaction(signal, new, old, size)`.
pub(crate) fn sys_rt_sigaction(a: &Args) -> Result<u64, Errno> {
    let [signal, new, old, size, ..] = a.a;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let wanted: Option<Sigaction> = if new == 0 { None } else { Some(read_user(UserPtr::new(new))?) };
    let signal = u32::try_from(signal).ok().filter(|signal| (1..=signal::COUNT).contains(signal)).ok_or(Errno::EINVAL)?;
    if wanted.is_some() && Sigset::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let before = match wanted {
        None => current().process.signals.lock().action(signal),
        Some(wanted) => set_action(current(), signal, wanted),
    };
    if old != 0 {
        write_user(UserPtr::new(old), &before)?;
    }
    Ok(0)
}

/// Sets what happens on `signal`; answers what happened before.
fn set_action(task: &Task, signal: u32, wanted: Sigaction) -> Sigaction {
    let known = SaFlags::all() - SaFlags::UNSUPPORTED;
    let flags = (SaFlags::from_bits_retain(wanted.flags) & known).bits();
    let wanted = Sigaction { flags, mask: wanted.mask.without(Sigset::UNBLOCKABLE), ..wanted };
    // The tree keeps the threads: Linux forgets what waits for any of them as soon as it would be ignored.
    let tree = super::process::TREE.lock();
    let mut shared = task.process.signals.lock();
    let before = core::mem::replace(&mut shared.actions[signal as usize - 1], wanted);
    if kill::disposition(signal, wanted.handler) == Disposition::Ignores {
        shared.pending.remove(Sigset::of(signal));
        let threads = tree.entries.get(&task.process.pid).map_or(&[][..], |entry| &entry.threads);
        threads.iter().for_each(|thread| thread.signals.lock().pending.remove(Sigset::of(signal)));
    }
    before
}

/// `rt_sigprocmask(how, set, old, size)`.
pub(crate) fn sys_rt_sigprocmask(a: &Args) -> Result<u64, Errno> {
    let [how, set, old, size, ..] = a.a;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let before = current().blocked();
    if set != 0 {
        let set: Sigset = read_user(UserPtr::new(set))?;
        let after = match how as u32 {
            signal::SIG_BLOCK => before.with_all(set),
            signal::SIG_UNBLOCK => before.without(set),
            signal::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        block(current(), after);
    }
    if old != 0 {
        write_user(UserPtr::new(old), &before)?;
    }
    Ok(0)
}

/// `rt_sigpending(set, size)`.
pub(crate) fn sys_rt_sigpending(a: &Args) -> Result<u64, Errno> {
    let [set, size, ..] = a.a;
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let task = current();
    let waiting = {
        let shared = task.process.signals.lock();
        let own = task.signals.lock();
        shared.pending.set().with_all(own.pending.set()).both(own.blocked)
    };
    copy_to_user(UserPtr::new(set), &waiting.0.to_le_bytes()[..size as usize])?;
    Ok(0)
}

/// `rt_sigsuspend(mask, size)`.
pub(crate) fn sys_rt_sigsuspend(a: &Args) -> Result<u64, Errno> {
    if a.a[1] != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let mask: Sigset = read_user(UserPtr::new(a.a[0]))?;
    block_meanwhile(current(), mask);
    // Nothing but a signal ends it.
    let _ = park(None, Cut::BySignals, || None::<()>);
    Err(Errno::EINTR)
}

/// Blocks `mask` until the next handler was entered, or [`restore_mask`] (`set_user_sigmask`). Where the call answers
/// `EINTR` and no handler is entered after all, the way back to the program restores what was blocked.
pub(crate) fn block_meanwhile(task: &Task, mask: Sigset) {
    {
        let mut own = task.signals.lock();
        own.saved = Some(own.blocked);
    }
    block(task, mask);
}

/// Ends what [`block_meanwhile`] began, for a call that was not cut short.
pub(crate) fn restore_mask(task: &Task) {
    let saved = task.signals.lock().saved.take();
    if let Some(saved) = saved {
        block(task, saved);
    }
}

/// `rt_sigtimedwait(set, info, timeout, size)`.
pub(crate) fn sys_rt_sigtimedwait(a: &Args) -> Result<u64, Errno> {
    let [set, to, timeout, size, ..] = a.a;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let set: Sigset = read_user(UserPtr::new(set))?;
    let set = set.without(Sigset::UNBLOCKABLE);
    let wait = match timeout {
        0 => None,
        pointer => Some(time::duration(read_user::<Timespec>(UserPtr::new(pointer))?)?),
    };
    let info = wait_for(current(), set, wait)?;
    if to != 0 {
        write_user(UserPtr::new(to), &info)?;
    }
    Ok(info.signal().into())
}

fn wait_for(task: &Task, set: Sigset, wait: Option<Duration>) -> Result<Siginfo, Errno> {
    let take = || {
        let mut shared = task.process.signals.lock();
        let mut own = task.signals.lock();
        own.pending.take(set).or_else(|| shared.pending.take(set))
    };
    if let Some(info) = take() {
        return Ok(info);
    }
    if wait == Some(Duration::ZERO) {
        return Err(Errno::EAGAIN);
    }
    task.signals.lock().awaited = set;
    let outcome = park(wait.map(|wait| timer::now().saturating_add(wait)), Cut::BySignals, take);
    task.signals.lock().awaited = Sigset::EMPTY;
    outcome.or_else(|ended| {
        // One may have come between the last look and now.
        take().ok_or(if ended == Ended::TimedOut { Errno::EAGAIN } else { Errno::EINTR })
    })
}

/// A `siginfo` that a program sends: it may claim to be of the kernel or of `kill` only to itself.
fn sent_info(from: u64, signal: u64, to: u32) -> Result<Siginfo, Errno> {
    let mut info: Siginfo = read_user(UserPtr::new(from))?;
    info.signo = signal as i32;
    if (info.code >= 0 || info.code == SI_TKILL) && to != current().process.pid {
        return Err(Errno::EPERM);
    }
    heap::reserve(kill::WORST_CASE)?;
    Ok(info)
}

/// `rt_sigqueueinfo(pid, signal, info)`.
pub(crate) fn sys_rt_sigqueueinfo(a: &Args) -> Result<u64, Errno> {
    let info = sent_info(a.a[2], a.a[1], a.a[0] as u32)?;
    kill::send_one(a.a[0] as i32, a.a[1], info, Sender::Queue(current().process.pid))
}

/// `rt_tgsigqueueinfo(pid, tid, signal, info)`.
pub(crate) fn sys_rt_tgsigqueueinfo(a: &Args) -> Result<u64, Errno> {
    let [pid, tid, signal, info, ..] = a.a;
    let info = sent_info(info, signal, pid as u32)?;
    let (pid, tid) = (pid as i32, tid as i32);
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    kill::send_thread(Some(pid as u32), tid, signal, info, Sender::Queue(current().process.pid))
}

/// `sigaltstack(new, old)`.
pub(crate) fn sys_sigaltstack(a: &Args) -> Result<u64, Errno> {
    let [new, old, ..] = a.a;
    let task = current();
    let wanted: Option<SignalStack> = if new == 0 { None } else { Some(read_user(UserPtr::new(new))?) };
    // SAFETY: the task is the current one, in a call of its program; the frame is only read.
    let sp = unsafe { (*task.program_frame()).sp };
    let before = task.signals.lock().stack;
    if let Some(wanted) = wanted {
        set_stack(task, wanted, sp)?;
    }
    if old != 0 {
        let flags = stack_flags(&before, sp) | before.flags & SS_AUTODISARM;
        write_user(UserPtr::new(old), &SignalStack { flags, ..before })?;
    }
    Ok(0)
}

/// `do_sigaltstack`.
fn set_stack(task: &Task, wanted: SignalStack, sp: u64) -> Result<(), Errno> {
    let mut own = task.signals.lock();
    if on_stack(&own.stack, sp) {
        return Err(Errno::EPERM);
    }
    own.stack = match wanted.flags & !SS_AUTODISARM {
        SS_DISABLE => SignalStack { flags: wanted.flags, ..NO_STACK },
        0 | SS_ONSTACK if wanted.size < MINSIGSTKSZ => return Err(Errno::ENOMEM),
        0 | SS_ONSTACK => SignalStack { pad: 0, ..wanted },
        _ => return Err(Errno::EINVAL),
    };
    Ok(())
}

/// `rt_sigreturn()`: the registers, the mask and the alternate stack that the frame at the stack pointer holds. A frame
/// that holds no such thing is SIGSEGV.
pub(crate) fn sys_rt_sigreturn(_: &Args) -> Result<u64, Errno> {
    let task = current();
    task.remainder.set(None);
    // SAFETY: the task is the current one, in a call of its program, and `a` is not looked at any more.
    let frame = unsafe { &mut *task.program_frame() };
    let sp = frame.sp;
    match sigframe::leave(frame) {
        Ok(context) => {
            block(task, context.sigmask);
            // As on Linux, one that cannot be had is passed over.
            let _ = set_stack(task, context.stack, frame.sp);
        }
        Err(sigframe::BadFrame) => {
            let mapped = task.space().is_some_and(|space| space.lock().find_vma(VirtAddr::new(layout::untagged(sp))).is_some());
            let code = if mapped { SEGV_ACCERR } else { SEGV_MAPERR };
            task.fault.set(Fault::NONE);
            deliver::force(task, Siginfo::fault(signal::SIGSEGV, code, sp, 0));
        }
    }
    // All registers are to be loaded, and x0 is the program's.
    task.raise(flag::REGISTERS);
    Ok(frame.x[0])
}
