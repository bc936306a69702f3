//! Waiting: a queue of tasks, and conditions that somebody else will make true.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use sync::{Mutex, Rank};

use super::{Task, current_arc, deliver, sched};
use crate::timer;

/// The wait ended because the task is to end, or by a signal where it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interrupted;

/// What cuts a wait short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The end of the task alone (`TASK_KILLABLE`).
    ByDeath,
    /// Any signal that would be taken (`TASK_INTERRUPTIBLE`).
    BySignals,
}

impl Cut {
    /// Whether `task`, the current one, is to stop waiting.
    fn applies(self, task: &Task) -> bool {
        task.killed() || self == Self::BySignals && deliver::signal_waits(task)
    }
}

/// Why a wait with a deadline ended without what it waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// The time came first.
    TimedOut,
    /// The task is to end, or has a signal to take.
    Interrupted,
}

/// Tasks that wait for the same thing.
pub(crate) struct WaitQueue {
    waiting: Mutex<VecDeque<Arc<Task>>>,
}

impl WaitQueue {
    /// A queue of nobody.
    pub(crate) const fn new() -> Self {
        Self { waiting: Mutex::new(Rank::WaitQueue, VecDeque::new()) }
    }

    /// Waits until `condition` answers, looking each time the queue is woken. `condition` runs without the queue's
    /// lock and may take any other. Signals do not cut it short.
    ///
    /// # Errors
    /// [`Interrupted`] where the task is to end, or there is no memory to wait in.
    pub(crate) fn wait_until<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        self.wait(None, Cut::ByDeath, condition).map_err(|_| Interrupted)
    }

    /// As [`WaitQueue::wait_until`], at most until `deadline`, time since boot, or until a signal is to be taken.
    ///
    /// # Errors
    /// [`Ended`] says which came first.
    pub(crate) fn wait_until_deadline<T>(
        &self,
        deadline: Option<Duration>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, Ended> {
        self.wait(deadline, Cut::BySignals, condition)
    }

    fn wait<T>(
        &self,
        deadline: Option<Duration>,
        cut: Cut,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, Ended> {
        if let Some(answer) = condition() {
            return Ok(answer);
        }
        let this = current_arc();
        self.join(&this).map_err(|Interrupted| Ended::Interrupted)?;
        let outcome = park(deadline, cut, condition);
        self.leave(&this);
        outcome
    }

    fn join(&self, task: &Arc<Task>) -> Result<(), Interrupted> {
        let mut waiting = self.waiting.lock();
        waiting.try_reserve(1).map_err(|_| Interrupted)?;
        waiting.push_back(task.clone());
        Ok(())
    }

    fn leave(&self, task: &Arc<Task>) {
        self.waiting.lock().retain(|other| !Arc::ptr_eq(other, task));
    }

    /// Wakes the task that has waited longest. It stays in the queue until it runs, so that a second call before that
    /// is not spent on the next one: right for a lock, whose holder calls this again.
    pub(crate) fn wake_one(&self) {
        if let Some(task) = self.waiting.lock().front() {
            sched::wake(task);
        }
    }

    /// Wakes every task that waits.
    pub(crate) fn wake_all(&self) {
        let waiting = self.waiting.lock();
        for task in waiting.iter() {
            sched::wake(task);
        }
    }
}

/// Waits until `condition` answers, looking each time somebody [`sched::wake`]s this task, and at `deadline`; less long
/// where `cut` says so.
///
/// # Errors
/// [`Ended`] says why it did not answer.
pub(super) fn park<T>(
    deadline: Option<Duration>,
    cut: Cut,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, Ended> {
    crate::heap::reserve(1024).map_err(|_| Ended::Interrupted)?;
    let this = current_arc();
    loop {
        // From here on a wake counts, so the condition is looked at once more before the wait.
        sched::block(&this, deadline);
        let answer = condition();
        let late = deadline.is_some_and(|deadline| timer::now() >= deadline);
        let cut_short = answer.is_none() && cut.applies(&this);
        let over = answer.is_some() || late || cut_short;
        if over {
            sched::unblock();
        } else {
            sched::schedule();
        }
        if let Some(deadline) = deadline {
            sched::forget_deadline(&this, deadline);
        }
        if over {
            return answer.ok_or(if cut_short { Ended::Interrupted } else { Ended::TimedOut });
        }
    }
}

/// Something that happens once.
pub(crate) struct Completion {
    done: AtomicBool,
    waiting: WaitQueue,
}

impl Completion {
    /// Not yet.
    pub(crate) const fn new() -> Self {
        Self { done: AtomicBool::new(false), waiting: WaitQueue::new() }
    }

    /// It happened.
    pub(crate) fn complete(&self) {
        self.done.store(true, Ordering::Release);
        self.waiting.wake_all();
    }

    /// Waits until it happened.
    ///
    /// # Errors
    /// [`Interrupted`] where the task is to end.
    pub(crate) fn wait(&self) -> Result<(), Interrupted> {
        self.waiting.wait_until(|| self.done.load(Ordering::Acquire).then_some(()))
    }
}

/// Sleeps until `deadline`, time since boot.
///
/// # Errors
/// [`Interrupted`] where the task is to end, or has a signal to take.
pub(crate) fn sleep_until(deadline: Duration) -> Result<(), Interrupted> {
    match park(Some(deadline), Cut::BySignals, || None::<()>) {
        Ok(()) | Err(Ended::TimedOut) => Ok(()),
        Err(Ended::Interrupted) => Err(Interrupted),
    }
}
