//! `kill` and its kin, as far as a signal that is not handled ends a program: `abort`, `raise`, `kill $pid`.
//!
//! A signal with a handler is refused with `ENOSYS` and a log line until handlers are called.

use abi::Errno;
use abi::signal::{self, Sigset};
use abi::task::WaitStatus;

use super::process::{self, Find};
use super::{current, exit};
use crate::syscall::Args;

/// Signals whose default is to be ignored (Linux: `SIG_KERNEL_IGNORE_MASK`).
const IGNORED: Sigset =
    Sigset::of(signal::SIGCONT).with(signal::SIGCHLD).with(signal::SIGWINCH).with(signal::SIGURG);
/// Signals whose default is to stop the program, which nobody could continue here.
const STOPPING: Sigset =
    Sigset::of(signal::SIGTSTP).with(signal::SIGTTIN).with(signal::SIGTTOU).with(signal::SIGSTOP);

/// `kill(pid, signal)`.
pub(crate) fn sys_kill(a: &Args) -> Result<u64, Errno> {
    let pid = a.a[0] as i32;
    let process = &current().process;
    match pid {
        // The caller's group, and everybody: there is one group, and init is spared as on Linux.
        0 | -1 => Err(Errno::EPERM),
        ..0 => Err(Errno::ESRCH),
        pid if pid as u32 == process.pid => send_self(a.a[1]),
        pid => send(Find::Process(pid as u32), a.a[1]),
    }
}

/// `tkill(tid, signal)`.
pub(crate) fn sys_tkill(a: &Args) -> Result<u64, Errno> {
    send_thread(None, a.a[0] as i32, a.a[1])
}

/// `tgkill(pid, tid, signal)`.
pub(crate) fn sys_tgkill(a: &Args) -> Result<u64, Errno> {
    let pid = a.a[0] as i32;
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    send_thread(Some(pid as u32), a.a[1] as i32, a.a[2])
}

fn send_thread(pid: Option<u32>, tid: i32, signal: u64) -> Result<u64, Errno> {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let task = current();
    if tid as u32 == task.tid && pid.is_none_or(|pid| pid == task.process.pid) {
        return send_self(signal);
    }
    send(Find::Thread(pid, tid as u32), signal)
}

/// What a signal does to a program.
enum Effect {
    Nothing,
    Ends(WaitStatus),
}

fn effect(signal: u64, action: u64) -> Result<Effect, Errno> {
    let signal = u32::try_from(signal).ok().filter(|signal| *signal <= signal::COUNT).ok_or(Errno::EINVAL)?;
    if signal == 0 || action == signal::SIG_IGN && signal != signal::SIGKILL {
        return Ok(Effect::Nothing);
    }
    if action != signal::SIG_DFL && signal != signal::SIGKILL {
        log::warn!("signal {signal} has a handler, and handlers are not called yet");
        return Err(Errno::ENOSYS);
    }
    if IGNORED.contains(signal) || STOPPING.contains(signal) {
        return Ok(Effect::Nothing);
    }
    Ok(Effect::Ends(WaitStatus::signaled(signal)))
}

fn send_self(signal: u64) -> Result<u64, Errno> {
    let action = current().process.action(signal);
    match effect(signal, action)? {
        Effect::Nothing => Ok(0),
        Effect::Ends(status) => exit::end_process(status),
    }
}

fn send(to: Find, signal: u64) -> Result<u64, Errno> {
    let process = process::find(to).ok_or(Errno::ESRCH)?;
    // Linux spares init from signals it has no handler for.
    if process.pid == process::INIT {
        return effect(signal, signal::SIG_IGN).map(|_| 0);
    }
    match effect(signal, process.action(signal))? {
        Effect::Nothing => {}
        Effect::Ends(status) => process::end(process.pid, status),
    }
    Ok(0)
}
