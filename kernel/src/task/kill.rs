//! `kill` and its kin: who is meant, and what becomes of a signal that is sent (Linux: `send_signal`, `complete_signal`).
//!
//! A signal that a program ignores is gone, unless it is blocked. One that would end the program ends it at once. Any
//! other waits, and a thread that does not block it is told.
//!
//! Nothing is stopped and continued here: the default of the signals that would is to be ignored.

use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::signal::{self, SI_TKILL, SI_USER, Siginfo, Sigset};
use abi::task::WaitStatus;

use super::pending::Queued;
use super::process::{self, Entry, TREE, Tree};
use super::{current, flag, group, sched};
use crate::heap;
use crate::syscall::Args;

/// Heap that keeping one signal takes, in pieces.
pub(super) const WORST_CASE: usize = 1 << 10;

/// Signals whose default is to be ignored (Linux: `SIG_KERNEL_IGNORE_MASK`).
const IGNORED: Sigset =
    Sigset::of(signal::SIGCONT).with(signal::SIGCHLD).with(signal::SIGWINCH).with(signal::SIGURG);
/// Signals whose default is to stop the program, which nobody could continue here.
const STOPPING: Sigset =
    Sigset::of(signal::SIGTSTP).with(signal::SIGTTIN).with(signal::SIGTTOU).with(signal::SIGSTOP);

/// Whether the first program is spared from the terminal's signals too.
static FIRST_IS_SPARED: AtomicBool = AtomicBool::new(false);

/// The first program is the machine's own and not one that somebody asked for: ^C is for what it runs, also before it has
/// said so.
pub(crate) fn spare_first_program() {
    FIRST_IS_SPARED.store(true, Ordering::Relaxed);
}

/// Where a signal comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// The process with this number.
    Process(u32),
    /// The same, by `sigqueue`: where there is no room for its words, it is told so.
    Queue(u32),
    /// The kernel, to a parent.
    Kernel,
    /// The terminal. To it a first program that somebody named is one like any other: it is often the only one.
    Terminal,
}

/// What a program makes of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disposition {
    /// Nothing.
    Ignores,
    /// It ends.
    Ends,
    /// A handler is called.
    Handles,
}

/// `kill(pid, signal)`.
pub(crate) fn sys_kill(a: &Args) -> Result<u64, Errno> {
    heap::reserve(WORST_CASE)?;
    let pid = a.a[0] as i32;
    let process = &current().process;
    let sender = Sender::Process(process.pid);
    let info = Siginfo::sent(a.a[1] as u32, SI_USER, process.pid);
    if pid > 0 {
        return send_one(pid, a.a[1], info, sender);
    }
    let mut tree = TREE.lock();
    match pid {
        0 => send_group(&mut tree, group::of(process), info, a.a[1]),
        // Everybody but init and the caller.
        -1 => send_all(&mut tree, info, a.a[1], |entry| {
            entry.process.pid != process::INIT && entry.process.pid != process.pid
        }),
        i32::MIN => Err(Errno::ESRCH),
        group => send_group(&mut tree, group.unsigned_abs(), info, a.a[1]),
    }
}

/// `tkill(tid, signal)`.
pub(crate) fn sys_tkill(a: &Args) -> Result<u64, Errno> {
    heap::reserve(WORST_CASE)?;
    let pid = current().process.pid;
    send_thread(None, a.a[0] as i32, a.a[1], Siginfo::sent(a.a[1] as u32, SI_TKILL, pid), Sender::Process(pid))
}

/// `tgkill(pid, tid, signal)`.
pub(crate) fn sys_tgkill(a: &Args) -> Result<u64, Errno> {
    heap::reserve(WORST_CASE)?;
    let pid = a.a[0] as i32;
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let sender = current().process.pid;
    let info = Siginfo::sent(a.a[2] as u32, SI_TKILL, sender);
    send_thread(Some(pid as u32), a.a[1] as i32, a.a[2], info, Sender::Process(sender))
}

/// Tells the calling thread that it wanted a file to be longer than its process may have (`SIGXFSZ`).
pub(crate) fn file_too_large() -> Result<(), Errno> {
    heap::reserve(WORST_CASE)?;
    let (tid, pid) = (current().tid, current().process.pid);
    let info = Siginfo::sent(signal::SIGXFSZ, SI_USER, pid);
    send_thread(None, tid as i32, signal::SIGXFSZ.into(), info, Sender::Process(pid)).map(drop)
}

/// Sends to the thread `tid`, of the process `pid` where one is named.
pub(super) fn send_thread(
    pid: Option<u32>,
    tid: i32,
    signal: u64,
    info: Siginfo,
    from: Sender,
) -> Result<u64, Errno> {
    let tid = u32::try_from(tid).ok().filter(|tid| *tid != 0).ok_or(Errno::EINVAL)?;
    let mut tree = TREE.lock();
    let has = |entry: &&mut Entry| {
        pid.is_none_or(|pid| entry.process.pid == pid) && entry.threads.iter().any(|task| task.tid == tid)
    };
    let entry = tree.entries.values_mut().find(has).ok_or(Errno::ESRCH)?;
    send(entry, Some(tid), signal, info, from)
}

/// Sends to the process `pid`, or the one that has the thread of that number.
pub(super) fn send_one(pid: i32, signal: u64, info: Siginfo, from: Sender) -> Result<u64, Errno> {
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let mut tree = TREE.lock();
    let is = |entry: &&mut Entry| entry.process.pid == pid || entry.threads.iter().any(|task| task.tid == pid);
    let entry = tree.entries.values_mut().find(is).ok_or(Errno::ESRCH)?;
    send(entry, None, signal, info, from)
}

fn send(entry: &mut Entry, tid: Option<u32>, signal: u64, info: Siginfo, from: Sender) -> Result<u64, Errno> {
    if signal > u64::from(signal::COUNT) {
        return Err(Errno::EINVAL);
    }
    match post(entry, tid, info, from) {
        Queued::NumberOnly if matches!(from, Sender::Queue(_)) && info.signal() >= signal::SIGRTMIN => Err(Errno::EAGAIN),
        _ => Ok(0),
    }
}

fn send_group(tree: &mut Tree, wanted: u32, info: Siginfo, signal: u64) -> Result<u64, Errno> {
    send_all(tree, info, signal, |entry| group::of(&entry.process) == wanted)
}

/// Sends to all that are meant: right where one of them could be sent to.
fn send_all(tree: &mut Tree, info: Siginfo, signal: u64, meant: impl Fn(&Entry) -> bool) -> Result<u64, Errno> {
    let sender = Sender::Process(current().process.pid);
    let mut outcome = Err(Errno::ESRCH);
    for entry in tree.entries.values_mut().filter(|entry| meant(entry)) {
        let sent = send(entry, None, signal, info, sender);
        outcome = if outcome == Ok(0) { outcome } else { sent };
    }
    outcome
}

/// Sends a signal to a process, or to its thread `tid` alone; 0 only asks whether somebody is there.
pub(super) fn post(entry: &mut Entry, tid: Option<u32>, info: Siginfo, from: Sender) -> Queued {
    // A key pressed before there is a first program is for nobody.
    let early = entry.process.pid == process::INIT && !entry.process.has_executed();
    if info.signo == 0 || entry.is_zombie() || early {
        return Queued::Whole;
    }
    match queue(entry, tid, info, from) {
        Some(queued) => queued,
        None => {
            entry.end(WaitStatus::signaled(info.signal()));
            Queued::Whole
        }
    }
}

/// Puts a signal where it waits, and tells a thread of it; `None` where it ends the program instead.
fn queue(entry: &Entry, tid: Option<u32>, info: Siginfo, from: Sender) -> Option<Queued> {
    let signal = info.signal();
    let mut shared = entry.process.signals.lock();
    let disposition = disposition(signal, shared.action(signal).handler);
    // Linux spares init from signals it has no handler for (`SIGNAL_UNKILLABLE`).
    let foreign = match from {
        Sender::Process(pid) | Sender::Queue(pid) => pid != process::INIT,
        Sender::Terminal => FIRST_IS_SPARED.load(Ordering::Relaxed),
        Sender::Kernel => false,
    };
    if entry.process.pid == process::INIT && foreign && disposition != Disposition::Handles {
        return Some(Queued::Whole);
    }
    let opposite = match signal {
        signal::SIGCONT => STOPPING,
        _ if STOPPING.contains(signal) => Sigset::of(signal::SIGCONT),
        _ => Sigset::EMPTY,
    };
    shared.pending.remove(opposite);
    entry.threads.iter().for_each(|task| task.signals.lock().pending.remove(opposite));
    let meant = || entry.threads.iter().filter(|task| tid.is_none_or(|tid| task.tid == tid));
    if !meant().all(|task| task.signals.lock().blocked.contains(signal)) {
        match disposition {
            Disposition::Ignores => return Some(Queued::Whole),
            Disposition::Ends => return None,
            Disposition::Handles => {}
        }
    }
    let queued = match meant().next().filter(|_| tid.is_some()) {
        Some(task) => task.signals.lock().pending.add(info),
        None => shared.pending.add(info),
    };
    if let Some(task) = meant().find(|task| task.signals.lock().open().contains(signal)) {
        task.raise(flag::SIGNAL);
        sched::wake(task);
    }
    Some(queued)
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
