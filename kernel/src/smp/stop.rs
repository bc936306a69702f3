//! Stopping the other CPUs, so that one alone reports a panic (Linux: `smp_send_stop`, `panic_smp_self_stop`).

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use arch::cpu::MAX_CPUS;

use super::{ONLINE, online, send, sgi};
use crate::timer;

/// How long the others may take. One that spins with interrupts masked never stops.
const PATIENCE: Duration = Duration::from_secs(1);
const NOBODY: usize = usize::MAX;

/// The CPU that reports.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);
/// The CPUs that have stopped, one bit each.
static STOPPED: AtomicU32 = AtomicU32::new(0);

/// Where each of them was: the frame pointer of what stopped it.
static FRAMES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// The CPUs that have stopped, each with a frame pointer of its stack, which does not change any more.
pub(crate) fn frames() -> impl Iterator<Item = (usize, u64)> {
    let stopped = STOPPED.load(Ordering::Acquire);
    let each = FRAMES.iter().map(|frame| frame.load(Ordering::Relaxed)).enumerate();
    each.filter(move |(cpu, _)| stopped >> cpu & 1 != 0)
}

/// Makes this CPU the one that reports, for ever. Where another came first, this one stops and does not return.
pub(crate) fn claim() {
    let here = arch::cpu::index();
    match REPORTER.compare_exchange(NOBODY, here, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(first) if first == here => {}
        Err(_) => stopped(),
    }
}

/// Stops every CPU but this one, which reports; answers those that do not stop in time. Takes no lock.
pub(crate) fn stop_others() -> impl Iterator<Item = usize> {
    let others = ONLINE.load(Ordering::Relaxed) & !(1 << arch::cpu::index());
    let missing = move || others & !STOPPED.load(Ordering::Acquire);
    online().filter(|&cpu| missing() >> cpu & 1 != 0).for_each(|cpu| send(sgi::STOP, cpu));
    let start = timer::now();
    while missing() != 0 && timer::now().saturating_sub(start) < PATIENCE {
        arch::cpu::relax();
    }
    let missing = missing();
    online().filter(move |&cpu| missing >> cpu & 1 != 0)
}

/// The interrupt handler: this CPU does nothing any more.
pub(super) fn stopped() {
    arch::irq::save();
    let (here, frame) = (arch::cpu::index(), arch::frame::pointer());
    FRAMES[here].store(frame, Ordering::Relaxed);
    STOPPED.fetch_or(1 << here, Ordering::Release);
    park()
}

/// Sleeps for ever.
pub(crate) fn park() -> ! {
    arch::irq::save();
    loop {
        arch::irq::wait();
    }
}
