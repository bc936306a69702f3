//! Calls that a signal cut short, and how they go on (`signal(7)`; Linux: `ERESTARTSYS` and its kin).
//!
//! Such a call answers `EINTR`, and its row in the table of calls says what becomes of it: [`note`] keeps the word that
//! `x0` held, so that the way back to the program ([`super::deliver`]) can begin the call again instead.

use core::time::Duration;

use abi::Errno;

use super::{current, flag};
use crate::syscall::Args;

/// When a call that was cut short begins again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Restart {
    /// After a handler with `SA_RESTART`, or none (`ERESTARTSYS`).
    System,
    /// Where no handler was called (`ERESTARTNOHAND`).
    WithoutHandler,
    /// Where no handler was called, with what is left of its time: as `restart_syscall` (`ERESTART_RESTARTBLOCK`).
    Remainder,
}

/// A call that was cut short.
#[derive(Clone, Copy)]
pub(super) struct Interrupted {
    pub(super) how: Restart,
    /// `x0` at the call.
    pub(super) x0: u64,
}

/// What `restart_syscall` goes on with.
#[derive(Clone, Copy)]
pub(crate) enum Remainder {
    /// Sleeping until then, time since boot, where the call has a place for what is left: its address or 0.
    Sleep {
        /// When it ends.
        until: Duration,
        /// Where what is left is stored.
        left: u64,
    },
    /// Waiting on a futex.
    Futex(super::futex::Wait),
}

/// The call with these arguments answers `EINTR`.
pub(crate) fn note(args: &Args, how: Restart) {
    let task = current();
    // A remainder is begun again as such only where there is one.
    let how = if how == Restart::Remainder && task.remainder.get().is_none() { Restart::System } else { how };
    task.interrupted.set(Some(Interrupted { how, x0: args.a[0] }));
    task.raise(flag::SIGNAL);
}

/// The call that is about to answer `EINTR` can go on with this; without it, it begins again as it was.
pub(crate) fn keep(remainder: Option<Remainder>) {
    current().remainder.set(remainder);
}

/// `restart_syscall()`: goes on with the sleep or the wait that was cut short.
pub(crate) fn sys_restart_syscall(_: &Args) -> Result<u64, Errno> {
    match current().remainder.take() {
        None => Err(Errno::EINTR),
        Some(Remainder::Sleep { until, left }) => crate::syscall::time::sleep(until, left),
        Some(Remainder::Futex(wait)) => wait.run(),
    }
}
