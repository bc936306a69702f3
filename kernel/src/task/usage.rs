//! What tasks have used: time on a CPU, faults, switches (`getrusage`, `times`, the clocks of CPU time, and what a parent
//! learns of a child).
//!
//! Time is taken where a task gets a CPU and where it loses it, exact to a count of the timer. The way into the kernel and out looks at no
//! clock: it would cost every call a tenth. So a program's time and the kernel's on its behalf are one sum, told as the program's.
//! A thread keeps its own numbers; they pass to its process with its end, and to the parent with the child that is waited for.

use core::ops::AddAssign;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use abi::Errno;
use abi::task::{RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, Rusage, Tms};
use abi::time::{CpuClock, Timeval};

use super::process::{Process, TREE};
use super::{Task, current};
use crate::syscall::Args;
use crate::timer;
use crate::uaccess::{UserPtr, write_user};

/// `since` of a thread that is on no CPU.
const OFF: u64 = u64::MAX;
/// `USER_HZ`: in what `times` counts.
const TICKS_A_SECOND: u128 = 100;

/// What one thread has used. Written by the thread itself, and by the scheduler as it switches; read by anybody.
pub(super) struct Usage {
    ran: AtomicU64,
    since: AtomicU64,
    faults: AtomicU64,
    voluntary: AtomicU64,
    involuntary: AtomicU64,
}

/// Why a thread loses the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    /// It waits, or has ended (`nvcsw`).
    OfItself,
    /// Its time is up (`nivcsw`).
    ForOthers,
}

impl Usage {
    pub(super) const fn new() -> Self {
        Self {
            ran: AtomicU64::new(0),
            since: AtomicU64::new(OFF),
            faults: AtomicU64::new(0),
            voluntary: AtomicU64::new(0),
            involuntary: AtomicU64::new(0),
        }
    }

    /// The thread has a CPU from `now` on, a count of the timer.
    pub(super) fn begin(&self, now: u64) {
        self.since.store(now, Ordering::Relaxed);
    }

    /// It has none from `now` on: another has, or nobody.
    pub(super) fn pause(&self, now: u64) {
        let since = self.since.swap(OFF, Ordering::Relaxed);
        add(&self.ran, if since == OFF { 0 } else { now.saturating_sub(since) });
    }

    /// Another has the CPU.
    pub(super) fn switched(&self, leaving: Leaving) {
        add(if leaving == Leaving::OfItself { &self.voluntary } else { &self.involuntary }, 1);
    }

    /// The thread had a fault.
    #[inline]
    pub(super) fn fault(&self) {
        add(&self.faults, 1);
    }

    /// All of it until `now`.
    fn until(&self, now: u64) -> Used {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == OFF { 0 } else { now.saturating_sub(since) };
        Used {
            ran: self.ran.load(Ordering::Relaxed) + running,
            faults: self.faults.load(Ordering::Relaxed),
            voluntary: self.voluntary.load(Ordering::Relaxed),
            involuntary: self.involuntary.load(Ordering::Relaxed),
        }
    }
}

/// One writer at a time: no exclusive access is needed.
#[inline]
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

/// What threads have used together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Used {
    /// Counts of the timer on a CPU.
    ran: u64,
    faults: u64,
    voluntary: u64,
    involuntary: u64,
}

impl AddAssign for Used {
    fn add_assign(&mut self, more: Self) {
        self.ran += more.ran;
        self.faults += more.faults;
        self.voluntary += more.voluntary;
        self.involuntary += more.involuntary;
    }
}

impl Used {
    /// Time on a CPU.
    pub(crate) fn time(&self) -> Duration {
        timer::duration(self.ran)
    }

    /// As programs have it. What is not counted is 0, as where Linux has nothing to count.
    pub(crate) fn rusage(&self) -> Rusage {
        let time = self.time();
        Rusage {
            utime: Timeval { sec: time.as_secs() as i64, usec: time.subsec_micros().into() },
            minflt: self.faults as i64,
            nvcsw: self.voluntary as i64,
            nivcsw: self.involuntary as i64,
            ..Rusage::default()
        }
    }

    /// Time on a CPU in ticks.
    pub(super) fn ticks(&self) -> i64 {
        ticks(self.time())
    }
}

fn ticks(time: Duration) -> i64 {
    (time.as_nanos() * TICKS_A_SECOND / Duration::from_secs(1).as_nanos()) as i64
}

/// What a process keeps of those that are no more; under a lock of its own.
#[derive(Default)]
pub(super) struct Kept {
    /// Its threads that have ended.
    gone: Used,
    /// Its children that were waited for, and theirs.
    children: Used,
}

impl Kept {
    /// Takes over what a thread of the process used: it ends.
    pub(super) fn inherit(&mut self, thread: &Task) {
        self.gone += thread.usage.until(timer::count());
    }

    /// What the threads used that have ended.
    pub(super) fn own(&self) -> Used {
        self.gone
    }

    /// What a process that has no thread any more used, its children included.
    pub(super) fn whole(&self) -> Used {
        let mut whole = self.gone;
        whole += self.children;
        whole
    }

    /// Takes over what a child used that is gone with this.
    pub(super) fn inherit_child(&mut self, child: Used) {
        self.children += child;
    }
}

/// What the threads of `process` have used so far, ended ones included.
pub(super) fn of_process(process: &Process) -> Used {
    let tree = TREE.lock();
    let now = timer::count();
    let mut used = process.usage.lock().gone;
    for thread in tree.entries.get(&process.pid).iter().flat_map(|entry| &entry.threads) {
        used += thread.usage.until(now);
    }
    used
}

fn of_children(process: &Process) -> Used {
    process.usage.lock().children
}

/// What a clock of CPU time shows (`posix_cpu_clock_get`).
///
/// # Errors
/// `EINVAL` for the clock of a process or a thread that is not there, or is none of this process.
pub(crate) fn read_clock(clock: CpuClock) -> Result<Duration, Errno> {
    let task = current();
    let used = match clock {
        CpuClock::Thread(0) => task.usage.until(timer::count()),
        CpuClock::Process(0) => of_process(&task.process),
        CpuClock::Thread(tid) => {
            let tree = TREE.lock();
            let threads = tree.entries.get(&task.process.pid).ok_or(Errno::EINVAL)?;
            let thread = threads.threads.iter().find(|thread| thread.tid == tid).ok_or(Errno::EINVAL)?;
            thread.usage.until(timer::count())
        }
        CpuClock::Process(pid) => {
            let process = TREE.lock().entries.get(&pid).map(|entry| entry.process.clone()).ok_or(Errno::EINVAL)?;
            of_process(&process)
        }
    };
    Ok(used.time())
}

/// `getrusage(who, usage)`.
pub(crate) fn sys_getrusage(a: &Args) -> Result<u64, Errno> {
    let task = current();
    let used = match a.a[0] as i32 {
        RUSAGE_SELF => of_process(&task.process),
        RUSAGE_CHILDREN => of_children(&task.process),
        RUSAGE_THREAD => task.usage.until(timer::count()),
        _ => return Err(Errno::EINVAL),
    };
    write_user(UserPtr::new(a.a[1]), &used.rusage())?;
    Ok(0)
}

/// `times(buffer)`: answers the ticks since boot.
pub(crate) fn sys_times(a: &Args) -> Result<u64, Errno> {
    if a.a[0] != 0 {
        let process = &current().process;
        let tms = Tms {
            utime: of_process(process).ticks(),
            stime: 0,
            cutime: of_children(process).ticks(),
            cstime: 0,
        };
        write_user(UserPtr::new(a.a[0]), &tms)?;
    }
    Ok(ticks(timer::now()) as u64)
}
