//! Signals taken on the way back to the program: handlers entered, calls begun again, programs ended (Linux: `do_signal`,
//! `get_signal`).

use abi::nr;
use abi::signal::{self, SI_KERNEL, SS_AUTODISARM, SaFlags, Sigaction, Siginfo, Sigset};
use abi::task::WaitStatus;

use super::kill::{self, Disposition};
use super::pending::NO_STACK;
use super::process::TREE;
use super::restart::{Interrupted, Restart};
use super::sigframe::{self, Setting};
use super::{Task, current, exit, flag, sched};
use crate::layout;
use crate::trap::TrapFrame;

/// A signal that was taken, and the handler that wants it.
pub(super) struct Caught {
    pub(super) info: Siginfo,
    pub(super) action: Sigaction,
}

/// Takes the next signal: enters its handler, or ends the program. Where there is none, a call that was cut short begins
/// again.
pub(super) fn deliver(frame: &mut TrapFrame) {
    let task = current();
    let interrupted = task.interrupted.take();
    let Some(caught) = next(task) else {
        if let Some(call) = interrupted {
            begin_again(frame, call);
        }
        let saved = task.signals.lock().saved.take();
        if let Some(saved) = saved {
            block(task, saved);
        }
        return;
    };
    if let Some(call) = interrupted
        && call.how == Restart::System
        && SaFlags::from_bits_retain(caught.action.flags).contains(SaFlags::RESTART)
    {
        begin_again(frame, call);
    }
    enter_handler(task, frame, &caught);
    // More may wait; their handlers interrupt this one before its first instruction.
    task.raise(flag::SIGNAL);
}

/// Takes signals until one has a handler.
fn next(task: &Task) -> Option<Caught> {
    loop {
        let mut shared = task.process.signals.lock();
        let mut own = task.signals.lock();
        let open = Sigset::ALL.without(own.blocked);
        let info = own.pending.take(open).or_else(|| shared.pending.take(open))?;
        drop(own);
        let number = info.signal();
        let action = shared.action(number);
        match kill::disposition(number, action.handler) {
            Disposition::Ignores => {}
            Disposition::Ends => {
                drop(shared);
                exit::end_process(WaitStatus::signaled(number));
            }
            Disposition::Handles => {
                if SaFlags::from_bits_retain(action.flags).contains(SaFlags::RESETHAND) {
                    shared.actions[number as usize - 1].handler = signal::SIG_DFL;
                }
                return Some(Caught { info: shown(info, action), action });
            }
        }
    }
}

/// What the handler is told: a fault's address without its tag, unless it asked for that (`hide_si_addr_tag_bits`).
fn shown(mut info: Siginfo, action: Sigaction) -> Siginfo {
    let memory = matches!(info.signal(), signal::SIGSEGV | signal::SIGBUS) && info.code > 0 && info.code < SI_KERNEL;
    if memory && !SaFlags::from_bits_retain(action.flags).contains(SaFlags::EXPOSE_TAGBITS) {
        info.fields[0] = layout::untagged(info.fields[0]);
    }
    info
}

/// The call's own instruction is the next one again.
fn begin_again(frame: &mut TrapFrame, call: Interrupted) {
    frame.x[0] = call.x0;
    frame.elr -= 4;
    if call.how == Restart::Remainder {
        frame.x[8] = nr::RESTART_SYSCALL;
    }
}

fn enter_handler(task: &Task, frame: &mut TrapFrame, caught: &Caught) {
    let number = caught.info.signal();
    let (mask, stack) = {
        let mut own = task.signals.lock();
        (own.saved.take().unwrap_or(own.blocked), own.stack)
    };
    let trampoline = task.space().map_or(0, |space| space.trampoline());
    let setting = Setting { stack, mask, fault: task.fault.get(), trampoline };
    if sigframe::enter(frame, caught, &setting).is_err() {
        return force_segv(task, number);
    }
    let mut blocked = caught.action.mask;
    if !SaFlags::from_bits_retain(caught.action.flags).contains(SaFlags::NODEFER) {
        blocked = blocked.with(number);
    }
    {
        let mut own = task.signals.lock();
        // Not what is blocked again afterwards: a call like `sigsuspend` has changed it for its own time.
        blocked = blocked.with_all(own.blocked);
        if stack.flags & SS_AUTODISARM != 0 {
            own.stack = NO_STACK;
        }
    }
    block(task, blocked);
}

/// A handler could not be entered, or left (`force_sigsegv`).
fn force_segv(task: &Task, number: u32) {
    if number == signal::SIGSEGV {
        task.process.signals.lock().actions[number as usize - 1].handler = signal::SIG_DFL;
    }
    force(task, Siginfo::new(signal::SIGSEGV, SI_KERNEL));
}

/// Gives `task`, the current one, a signal that it cannot put off: where it blocks or ignores it, it ends
/// (`force_sig_info`).
pub(super) fn force(task: &Task, info: Siginfo) {
    let number = info.signal();
    let mut shared = task.process.signals.lock();
    let mut own = task.signals.lock();
    let action = &mut shared.actions[number as usize - 1];
    if own.blocked.contains(number) || action.handler == signal::SIG_IGN {
        action.handler = signal::SIG_DFL;
        own.blocked = own.blocked.without(Sigset::of(number));
    }
    own.pending.add(info);
    task.raise(flag::SIGNAL);
}

/// Blocks these signals and no others in `task`, the current one (`set_current_blocked`). What waits for the process and
/// is blocked from now on is another thread's to take.
pub(super) fn block(task: &Task, wanted: Sigset) {
    let wanted = wanted.without(Sigset::UNBLOCKABLE);
    let left = {
        let shared = task.process.signals.lock();
        let mut own = task.signals.lock();
        let newly = wanted.without(own.blocked);
        own.blocked = wanted;
        let waiting = shared.pending.set();
        if !waiting.with_all(own.pending.set()).both(own.open()).is_empty() {
            task.raise(flag::SIGNAL);
        }
        waiting.both(newly)
    };
    if !left.is_empty() {
        hand_on(task, left);
    }
}

/// Lets other threads of `task`'s process know of signals that wait for the process (`retarget_shared_pending`).
pub(super) fn hand_on(task: &Task, waiting: Sigset) {
    let tree = TREE.lock();
    let Some(entry) = tree.entries.get(&task.process.pid) else { return };
    for other in entry.threads.iter().filter(|other| other.tid != task.tid) {
        if !other.signals.lock().open().both(waiting).is_empty() {
            other.raise(flag::SIGNAL);
            sched::wake(other);
        }
    }
}

/// Whether a signal waits that `task`, the current one, would take now (`signal_pending`).
pub(super) fn signal_waits(task: &Task) -> bool {
    if !task.has(flag::SIGNAL) {
        return false;
    }
    let shared = task.process.signals.lock();
    let own = task.signals.lock();
    let waits = !shared.pending.set().with_all(own.pending.set()).both(own.open()).is_empty();
    if !waits {
        // Another thread took it. Who adds one holds the same locks.
        task.lower(flag::SIGNAL);
    }
    waits
}
