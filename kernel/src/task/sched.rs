//! Who runs: one queue of ready tasks, round robin, and the tasks that sleep until a time.
//!
//! All of them run on one CPU, [`HOME`]; the others have an idle task each, and answer calls (`smp`). Waking a task works
//! from any of them. A CPU without a ready task waits for interrupts on the stack of the task that ran last. A task is in the queue at
//! most once, and room for all of them is made when a task is born, so that waking one never needs memory.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use sync::{Mutex, Rank};

use super::usage::Leaving;
use super::{Context, Task, current, flag, stretch};
use crate::heap::OutOfMemory;
use crate::{counters, percpu, smp, timer};

/// The CPU that runs the tasks of the queue.
pub(crate) const HOME: usize = 0;

/// How long a program runs while others are ready.
const SLICE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// On a CPU, or in the queue.
    Ready,
    /// Waits to be woken.
    Blocked,
    /// Never runs again.
    Dead,
}

impl State {
    /// Why a task in this state gives up the CPU.
    fn leaving(self) -> Leaving {
        if self == Self::Ready { Leaving::ForOthers } else { Leaving::OfItself }
    }
}

/// What the scheduler keeps in each task; under the lock of the queue.
pub(super) struct Schedule {
    state: Cell<State>,
    on_cpu: Cell<bool>,
}

impl Schedule {
    pub(super) const fn new() -> Self {
        Self { state: Cell::new(State::Blocked), on_cpu: Cell::new(false) }
    }
}

struct Queue {
    ready: VecDeque<Arc<Task>>,
    sleepers: BTreeMap<(Duration, u32), Arc<Task>>,
    tasks: usize,
    /// The task that ended on this CPU and whose stack was in use until the switch.
    ended: Option<Arc<Task>>,
}

static QUEUE: Mutex<Queue> = Mutex::new(
    Rank::RunQueue,
    Queue { ready: VecDeque::new(), sleepers: BTreeMap::new(), tasks: 0, ended: None },
);

/// Counts of the timer in which [`HOME`] had nothing to do; written there alone.
static IDLE: AtomicU64 = AtomicU64::new(0);

/// How long the CPU of the programs had nothing to do.
pub(crate) fn idle_time() -> Duration {
    timer::duration(IDLE.load(Ordering::Relaxed))
}

/// Makes room for one task more.
///
/// # Errors
/// [`OutOfMemory`] where the queue cannot grow.
pub(crate) fn admit() -> Result<(), OutOfMemory> {
    let mut queue = QUEUE.lock();
    let more = queue.tasks + 1 - queue.ready.len();
    queue.ready.try_reserve(more).map_err(|_| OutOfMemory)?;
    queue.tasks += 1;
    Ok(())
}

/// Takes back what [`admit`] made room for: the task was not made.
pub(crate) fn dismiss() {
    QUEUE.lock().tasks -= 1;
}

/// Makes `task` the one that runs on this CPU: for the first task of all.
pub(crate) fn adopt(task: Arc<Task>) {
    task.schedule.state.set(State::Ready);
    task.schedule.on_cpu.set(true);
    task.usage.begin(timer::count());
    percpu::this().current.set(Arc::into_raw(task));
}

/// Lets a task that waits, or has never run, run again. Does nothing to one that is ready.
pub(crate) fn wake(task: &Arc<Task>) {
    let mut queue = QUEUE.lock();
    queue.make_ready(task);
}

impl Queue {
    fn make_ready(&mut self, task: &Arc<Task>) {
        if task.schedule.state.get() != State::Blocked {
            return;
        }
        task.schedule.state.set(State::Ready);
        if !task.schedule.on_cpu.get() {
            self.ready.push_back(task.clone());
            self.arm_timer();
        } else if arch::cpu::index() != HOME {
            // It waits for interrupts on its own stack.
            smp::nudge(HOME);
        }
    }

    /// The next moment the scheduler has business: a sleeper's, or the end of the slice while others are ready. On
    /// another CPU than its own, has that one see to it.
    fn arm_timer(&self) {
        if arch::cpu::index() != HOME {
            return smp::nudge(HOME);
        }
        let sleeper = self.sleepers.first_key_value().map(|((at, _), _)| *at);
        let slice = (!self.ready.is_empty()).then(|| timer::now() + SLICE);
        timer::set_deadline(match (sleeper, slice) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        });
    }

    fn wake_sleepers(&mut self) {
        let now = timer::now();
        while let Some(entry) = self.sleepers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let task = entry.remove();
            self.make_ready(&task);
        }
    }
}

/// The timer went off, or another CPU has made a task ready (interrupt).
pub(crate) fn on_timer() {
    if arch::cpu::index() != HOME {
        return;
    }
    let mut queue = QUEUE.lock();
    queue.wake_sleepers();
    if !queue.ready.is_empty() {
        current().raise(flag::RESCHEDULE);
    }
    queue.arm_timer();
}

/// The current task, `task`, is about to wait: from here on [`wake`] counts, and the timer wakes it at `deadline`
/// (time since boot; needs 200 bytes of heap reserved). To be followed by [`schedule`] or [`unblock`].
pub(super) fn block(task: &Arc<Task>, deadline: Option<Duration>) {
    let mut queue = QUEUE.lock();
    task.schedule.state.set(State::Blocked);
    if let Some(deadline) = deadline {
        queue.sleepers.insert((deadline, task.tid), task.clone());
        queue.arm_timer();
    }
}

/// The current task need not wait after all.
pub(super) fn unblock() {
    let _queue = QUEUE.lock();
    current().schedule.state.set(State::Ready);
}

/// Takes the current task out of the sleepers again.
pub(super) fn forget_deadline(task: &Task, deadline: Duration) {
    let mut queue = QUEUE.lock();
    queue.sleepers.remove(&(deadline, task.tid));
}

/// Runs somebody else, if the current task waits or others are ready. Returns when the current task runs again.
pub(crate) fn schedule() {
    sync::assert_none_held();
    debug_assert_eq!(crate::kmap::held(), 0, "the CPU is given up with a page mapped");
    let mask = arch::irq::save();
    let mut queue = QUEUE.lock();
    let this = current();
    let leaving = this.schedule.state.get().leaving();
    let next = loop {
        let next = queue.ready.pop_front();
        if next.is_some() || this.schedule.state.get() == State::Ready {
            break next;
        }
        drop(queue);
        let idle_from = timer::count();
        this.usage.pause(idle_from);
        // Masked interrupts end the wait too, so none is lost between the look at the queue and `wfi`.
        arch::irq::wait();
        arch::irq::enable();
        arch::barrier::isb();
        arch::irq::save();
        let idle_to = timer::count();
        this.usage.begin(idle_to);
        if arch::cpu::index() == HOME {
            IDLE.store(IDLE.load(Ordering::Relaxed) + (idle_to - idle_from), Ordering::Relaxed);
        }
        queue = QUEUE.lock();
    };
    if next.is_some() || leaving == Leaving::OfItself {
        this.usage.switched(leaving);
    }
    match next {
        Some(next) => switch_to(queue, this, next),
        None => drop(queue),
    }
    arch::irq::restore(mask);
}

/// The switch itself: from `this` to `next`, which was taken from the queue.
fn switch_to(mut queue: sync::MutexGuard<'_, Queue>, this: &'static Task, next: Arc<Task>) {
    if core::ptr::eq(this, &raw const *next) {
        return;
    }
    counters::SWITCHES.add(1);
    let to: *const Task = Arc::into_raw(next);
    // SAFETY: `current_arc`'s count of this task comes back from the raw pointer that `adopt` or this function left.
    let from = unsafe { Arc::from_raw(core::ptr::from_ref(this)) };
    this.schedule.on_cpu.set(false);
    let now = timer::count();
    this.usage.pause(now);
    match this.schedule.state.get() {
        State::Ready => queue.ready.push_back(from),
        // Whoever will wake it holds a count: a wait queue, the sleepers, or the tree of tasks.
        State::Blocked => drop(from),
        State::Dead => {
            queue.tasks -= 1;
            queue.ended = Some(from);
        }
    }
    // SAFETY: `to` came out of the queue, so it lives and runs nowhere.
    let next = unsafe { &*to };
    next.schedule.on_cpu.set(true);
    next.usage.begin(now);
    queue.arm_timer();
    percpu::this().current.set(to);
    drop(queue);
    save_program(this);
    restore_program(next);
    unsafe extern "C" {
        fn switch_context(from: *mut Context, to: *const Context);
    }
    // SAFETY: interrupts are masked; `to` holds what `switch_context` stored, or what `Task::new` prepared. `this`
    // stays alive until `task_switched` on the next stack at the earliest.
    unsafe { switch_context(this.context.get(), next.context.get()) };
    task_switched();
}

fn save_program(task: &Task) {
    if task.space().is_some() {
        task.tls.set(super::tls());
        // SAFETY: the scheduler switches away from the task: nobody else looks at its registers.
        unsafe { (*task.vectors.get()).save() };
    }
}

fn restore_program(task: &Task) {
    match task.space() {
        Some(space) => {
            space.activate();
            super::set_tls(task.tls.get());
            task.keys.get().load();
            // SAFETY: the scheduler switches to the task: nobody else looks at its registers.
            unsafe { (*task.vectors.get()).restore() };
        }
        None => crate::space::deactivate(),
    }
}

/// First thing on the stack of a task that was switched to: lets go of the one that ended before.
#[unsafe(no_mangle)]
extern "C" fn task_switched() {
    let ended = QUEUE.lock().ended.take();
    drop(ended);
}

/// The current task never runs again.
pub(super) fn end() -> ! {
    arch::irq::save();
    {
        let _queue = QUEUE.lock();
        current().schedule.state.set(State::Dead);
    }
    schedule();
    unreachable!("a task that ended was scheduled")
}

/// A moment in long work at which others may run (`cond_resched`): where the task's time is up, they do. Under a spin lock,
/// where interrupts are masked, it is none.
pub(crate) fn resched() {
    if arch::irq::flags().masked() {
        return;
    }
    let task = current();
    if !task.has(flag::RESCHEDULE | flag::WATCHED) {
        return;
    }
    if task.has(flag::WATCHED) {
        stretch::point();
    }
    if task.has(flag::RESCHEDULE) {
        task.lower(flag::RESCHEDULE);
        schedule();
    }
    if task.has(flag::WATCHED) {
        stretch::begin();
    }
}

/// Lets others run, if any are ready (`sched_yield`).
pub(crate) fn yield_now() {
    schedule();
}
