//! `kill` and its kin: who is meant, and what a signal does to it as long as no handler is called.
//!
//! A signal that a program ignores is gone; one that all its threads block waits; any other does what it does by
//! default. Where a program has a handler, which cannot be called yet, a sender is told so by `ENOSYS` and a log line;
//! a signal of the terminal has no sender to tell, and does what it does by default: ^C ends a program, handler or not.

use abi::Errno;
use abi::signal::{self, Sigset};
use abi::task::WaitStatus;

use super::process::{self, Entry, TREE, Tree};
use super::{Task, current, group};
use crate::syscall::Args;

/// Signals whose default is to be ignored (Linux: `SIG_KERNEL_IGNORE_MASK`).
const IGNORED: Sigset =
    Sigset::of(signal::SIGCONT).with(signal::SIGCHLD).with(signal::SIGWINCH).with(signal::SIGURG);
/// Signals whose default is to stop the program, which nobody could continue here.
const STOPPING: Sigset =
    Sigset::of(signal::SIGTSTP).with(signal::SIGTTIN).with(signal::SIGTTOU).with(signal::SIGSTOP);

/// Where a signal comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// The process with this number.
    Process(u32),
    /// The terminal. To it the first program is one like any other: it is often the only one.
    Terminal,
}

/// What a program makes of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disposition {
    /// Nothing.
    Ignores,
    /// It ends.
    Ends,
    /// It wants a handler called.
    Handles,
}

/// `kill(pid, signal)`.
pub(crate) fn sys_kill(a: &Args) -> Result<u64, Errno> {
    let pid = a.a[0] as i32;
    let process = &current().process;
    let mut tree = TREE.lock();
    match pid {
        0 => send_group(&mut tree, group::of(process), a.a[1]),
        // Everybody but init and the caller.
        -1 => send_all(&mut tree, a.a[1], |entry| {
            entry.process.pid != process::INIT && entry.process.pid != process.pid
        }),
        // Linux's `INT_MIN`, which no group has.
        ..0 => send_group(&mut tree, pid.checked_neg().map_or(0, i32::cast_unsigned), a.a[1]),
        // As on Linux, any of its threads stands for a process.
        pid => send_all(&mut tree, a.a[1], |entry| {
            entry.process.pid == pid as u32 || entry.threads.iter().any(|task| task.tid == pid as u32)
        }),
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
    let tid = u32::try_from(tid).ok().filter(|tid| *tid != 0).ok_or(Errno::EINVAL)?;
    let mut tree = TREE.lock();
    let has = |entry: &&mut Entry| {
        pid.is_none_or(|pid| entry.process.pid == pid) && entry.threads.iter().any(|task| task.tid == tid)
    };
    let entry = tree.entries.values_mut().find(has).ok_or(Errno::ESRCH)?;
    post(entry, Some(tid), number(signal)?, Sender::Process(current().process.pid))?;
    Ok(0)
}

fn send_group(tree: &mut Tree, wanted: u32, signal: u64) -> Result<u64, Errno> {
    send_all(tree, signal, |entry| group::of(&entry.process) == wanted)
}

/// Sends to all that are meant: right where one of them could be sent to.
fn send_all(tree: &mut Tree, signal: u64, meant: impl Fn(&Entry) -> bool) -> Result<u64, Errno> {
    let sender = Sender::Process(current().process.pid);
    let mut outcome = Err(Errno::ESRCH);
    for entry in tree.entries.values_mut().filter(|entry| meant(entry)) {
        let sent = number(signal).and_then(|signal| post(entry, None, signal, sender));
        outcome = if outcome == Ok(0) { outcome } else { sent.map(|()| 0) };
    }
    outcome
}

/// A signal as a call names it; 0 only asks whether somebody is there.
fn number(signal: u64) -> Result<u32, Errno> {
    u32::try_from(signal).ok().filter(|signal| *signal <= signal::COUNT).ok_or(Errno::EINVAL)
}

/// Sends `signal` to a process, or to its thread `tid` alone.
///
/// # Errors
/// `ENOSYS` where a handler would have to be called; never for [`Sender::Terminal`].
pub(super) fn post(entry: &mut Entry, tid: Option<u32>, signal: u32, from: Sender) -> Result<(), Errno> {
    if signal == 0 || entry.is_zombie() {
        return Ok(());
    }
    let process = &entry.process;
    let disposition = disposition(signal, process.action(signal));
    // A key pressed before there is a first program is for nobody.
    if process.pid == process::INIT && !process.has_executed() {
        return Ok(());
    }
    // Linux spares init from signals it has no handler for.
    let foreign = matches!(from, Sender::Process(pid) if pid != process::INIT);
    if process.pid == process::INIT && foreign && disposition != Disposition::Handles {
        return Ok(());
    }
    let mut meant = entry.threads.iter().filter(|task| tid.is_none_or(|tid| task.tid == tid));
    if meant.all(|task| task.blocked.lock().contains(signal)) {
        match entry.threads.iter().find(|task| Some(task.tid) == tid) {
            Some(task) => task.pending.add(signal),
            None => process.pending.add(signal),
        }
        return Ok(());
    }
    match disposition {
        Disposition::Ignores => {}
        Disposition::Ends => entry.end(WaitStatus::signaled(signal)),
        Disposition::Handles => {
            log::warn!("signal {signal} has a handler, and handlers are not called yet");
            if from != Sender::Terminal {
                return Err(Errno::ENOSYS);
            }
            if by_default(signal) == Disposition::Ends {
                entry.end(WaitStatus::signaled(signal));
            }
        }
    }
    Ok(())
}

/// What becomes of a program by `signal` where it has set `action` for it.
pub(super) fn disposition(signal: u32, action: u64) -> Disposition {
    match action {
        _ if signal == signal::SIGKILL => Disposition::Ends,
        signal::SIG_IGN => Disposition::Ignores,
        signal::SIG_DFL => by_default(signal),
        _ => Disposition::Handles,
    }
}

fn by_default(signal: u32) -> Disposition {
    if IGNORED.contains(signal) || STOPPING.contains(signal) { Disposition::Ignores } else { Disposition::Ends }
}

/// Takes the signals that waited for `task`, the current one, to unblock them. Those with a handler go on waiting.
pub(super) fn take_pending(task: &Task) {
    let blocked = *task.blocked.lock();
    let waiting = task.pending.get().with_all(task.process.pending.get()).without(blocked);
    for signal in (1..=signal::COUNT).filter(|signal| waiting.contains(*signal)) {
        let disposition = disposition(signal, task.process.action(signal));
        if disposition != Disposition::Handles {
            task.pending.remove(signal);
            task.process.pending.remove(signal);
        }
        if disposition == Disposition::Ends {
            process::begin_end(task, WaitStatus::signaled(signal));
            task.raise(super::flag::KILLED);
        }
    }
}
