//! Signals that were sent and wait to be taken (Linux: `struct sigpending`), and what a process and a thread keep about
//! signals.
//!
//! A process's [`Shared`] comes first in the order of locks, a thread's [`Own`] second. Who sends holds both, and so
//! does who takes.

use abi::signal::{self, SI_USER, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, Sigaction, Siginfo, SignalStack, Sigset};
use alloc::vec::Vec;

/// Signals with their words that may wait in one place. Linux counts them for each user (`RLIMIT_SIGPENDING`).
const MOST: usize = 1024;

/// What a program asked to happen on each signal.
pub(crate) type Actions = [Sigaction; signal::COUNT as usize];

/// No handlers.
pub(crate) const NO_ACTIONS: Actions =
    [Sigaction { handler: signal::SIG_DFL, flags: 0, restorer: 0, mask: Sigset::EMPTY }; signal::COUNT as usize];

/// Signals that wait, with what is to be told of each, oldest first.
pub(super) struct Pending {
    set: Sigset,
    infos: Vec<Siginfo>,
}

/// Whether a signal came to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queued {
    /// With all that is to be told.
    Whole,
    /// There is no room to tell more than its number.
    NumberOnly,
}

impl Pending {
    /// None.
    pub(super) const EMPTY: Self = Self { set: Sigset::EMPTY, infos: Vec::new() };

    /// Which wait.
    pub(super) fn set(&self) -> Sigset {
        self.set
    }

    /// Adds one. Of those below [`signal::SIGRTMIN`], one waits at a time (`legacy_queue`).
    pub(super) fn add(&mut self, info: Siginfo) -> Queued {
        let signal = info.signal();
        if signal < signal::SIGRTMIN && self.set.contains(signal) {
            return Queued::Whole;
        }
        self.set = self.set.with(signal);
        if self.infos.len() >= MOST || self.infos.try_reserve(1).is_err() {
            return Queued::NumberOnly;
        }
        self.infos.push(info);
        Queued::Whole
    }

    /// Forgets those of `signals` (`flush_sigqueue_mask`).
    pub(super) fn remove(&mut self, signals: Sigset) {
        if !self.set.both(signals).is_empty() {
            self.set = self.set.without(signals);
            self.infos.retain(|info| !signals.contains(info.signal()));
        }
    }

    /// Takes the one of `signals` that is next: first what an instruction caused, then by number (`next_signal`).
    pub(super) fn take(&mut self, signals: Sigset) -> Option<Siginfo> {
        let wanted = self.set.both(signals);
        let signal = wanted.both(Sigset::SYNCHRONOUS).first().or(wanted.first())?;
        let at = self.infos.iter().position(|info| info.signal() == signal);
        let info = match at {
            Some(at) => self.infos.remove(at),
            None => Siginfo::new(signal, SI_USER),
        };
        if !self.infos.iter().any(|info| info.signal() == signal) {
            self.set = self.set.without(Sigset::of(signal));
        }
        Some(info)
    }
}

/// What the threads of a process share.
pub(crate) struct Shared {
    /// What happens on each signal.
    pub(crate) actions: Actions,
    /// Signals for any thread that does not block them.
    pub(super) pending: Pending,
}

impl Shared {
    /// With these actions, and nothing waiting.
    pub(super) const fn new(actions: Actions) -> Self {
        Self { actions, pending: Pending::EMPTY }
    }

    /// What happens on `signal`, which is one.
    pub(super) fn action(&self, signal: u32) -> Sigaction {
        (signal as usize).checked_sub(1).and_then(|index| self.actions.get(index)).copied().unwrap_or_default()
    }

    /// Forgets every handler; what is ignored stays so (`flush_signal_handlers`).
    pub(crate) fn reset(&mut self) {
        for action in &mut self.actions {
            let handler = if action.handler == signal::SIG_IGN { signal::SIG_IGN } else { signal::SIG_DFL };
            *action = Sigaction { handler, ..Sigaction::default() };
        }
    }
}

/// What a thread has for itself.
pub(super) struct Own {
    /// Blocked signals.
    pub(super) blocked: Sigset,
    /// Signals that `rt_sigtimedwait` waits for, blocked or not.
    pub(super) awaited: Sigset,
    /// What is blocked again after the next handler, where a call has changed it for its own time (`saved_sigmask`).
    pub(super) saved: Option<Sigset>,
    /// The alternate stack.
    pub(super) stack: SignalStack,
    /// Signals for this thread alone.
    pub(super) pending: Pending,
}

impl Own {
    /// With this mask and this alternate stack, and nothing waiting.
    pub(super) const fn new(blocked: Sigset, stack: SignalStack) -> Self {
        Self { blocked, awaited: Sigset::EMPTY, saved: None, stack, pending: Pending::EMPTY }
    }

    /// Signals that would be taken now.
    pub(super) fn open(&self) -> Sigset {
        Sigset(!self.blocked.0 | self.awaited.0)
    }
}

/// No alternate stack.
pub(super) const NO_STACK: SignalStack = SignalStack { sp: 0, flags: SS_DISABLE, pad: 0, size: 0 };

/// `on_sig_stack`: whether `sp` lies on the alternate stack.
pub(super) fn on_stack(stack: &SignalStack, sp: u64) -> bool {
    stack.flags & SS_AUTODISARM == 0 && sp > stack.sp && sp - stack.sp <= stack.size
}

/// `sas_ss_flags`: what `sigaltstack` says of it.
pub(super) fn stack_flags(stack: &SignalStack, sp: u64) -> u32 {
    match stack.size {
        0 => SS_DISABLE,
        _ if on_stack(stack, sp) => SS_ONSTACK,
        _ => 0,
    }
}
