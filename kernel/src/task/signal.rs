//! Signals, as far as a program is ended by one: faults, masks and what waits behind them. Handlers are recorded;
//! calling them comes with the work on faults.

use abi::Errno;
use abi::signal::{self, Sigaction, Sigset};
use abi::task::WaitStatus;

use super::kill::{self, Disposition};
use super::{current, exit};
use crate::syscall::Args;
use crate::trap::{FaultSignal, TrapFrame};
use crate::uaccess::{UserPtr, copy_to_user, read_user, write_user};

/// Ends the program that faulted: nobody can return to the instruction. `esr` is for the log.
pub(crate) fn fault(frame: &TrapFrame, esr: u64, signal: FaultSignal) -> ! {
    let name = signal::text(signal.number).unwrap_or("unknown signal");
    log::info!(
        "{:?}: {name} (code {}) at {:#x}, pc {:#x}, sp {:#x}: {}",
        current(),
        signal.code,
        signal.address,
        frame.elr,
        frame.sp,
        arch::esr::Esr::new(esr),
    );
    exit::end_process(WaitStatus::signaled(signal.number))
}

/// Bytes of the one size of signal set that Linux takes.
const SET_SIZE: u64 = size_of::<Sigset>() as u64;

/// `rt_sigaction(signal, new, old, size)`.
pub(crate) fn sys_rt_sigaction(a: &Args) -> Result<u64, Errno> {
    let [signal, new, old, size, ..] = a.a;
    if size != SET_SIZE || signal == 0 || signal > u64::from(signal::COUNT) {
        return Err(Errno::EINVAL);
    }
    let signal = signal as u32;
    let wanted: Option<Sigaction> = if new == 0 { None } else { Some(read_user(UserPtr::new(new))?) };
    if wanted.is_some() && Sigset::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let mut actions = current().process.actions.lock();
    let slot = &mut actions[signal as usize - 1];
    let before = *slot;
    if let Some(wanted) = wanted {
        *slot = wanted;
    }
    drop(actions);
    // Linux forgets what waits as soon as it would be ignored.
    if wanted.is_some_and(|wanted| kill::disposition(signal, wanted.handler) == Disposition::Ignores) {
        current().pending.remove(signal);
        current().process.pending.remove(signal);
    }
    if old != 0 {
        write_user(UserPtr::new(old), &before)?;
    }
    Ok(0)
}

/// `rt_sigprocmask(how, set, old, size)`.
pub(crate) fn sys_rt_sigprocmask(a: &Args) -> Result<u64, Errno> {
    let [how, set, old, size, ..] = a.a;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let before = *current().blocked.lock();
    if set != 0 {
        let set: Sigset = read_user(UserPtr::new(set))?;
        let after = match how as u32 {
            signal::SIG_BLOCK => before.with_all(set),
            signal::SIG_UNBLOCK => before.without(set),
            signal::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        *current().blocked.lock() = after.without(Sigset::UNBLOCKABLE);
        kill::take_pending(current());
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
    let blocked = *task.blocked.lock();
    let waiting = task.pending.get().with_all(task.process.pending.get());
    let bytes = (waiting.0 & blocked.0).to_le_bytes();
    copy_to_user(UserPtr::new(set), &bytes[..size as usize])?;
    Ok(0)
}
