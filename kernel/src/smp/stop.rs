//! Stopping the other CPUs, so that one alone reports a panic (Linux: `smp_send_stop`, `panic_smp_self_stop`).

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;

use super::{ONLINE, online, send, sgi};
use crate::timer;

/// How long the others may take. One that spins with interrupts masked never stops.
const PATIENCE: Duration = Duration::from_secs(1);
const NOBODY: usize = usize::MAX;

/// The CPU that reports.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);
/// The CPUs that have stopped, one bit each.
static STOPPED: AtomicU32 = AtomicU32::new(0);

/// Stops every CPU but this one, and answers those that do not stop. Where another CPU came first, this one stops
/// instead and does not return. Takes no lock; a second time on the same CPU it returns at once.
pub(crate) fn stop_others() -> impl Iterator<Item = usize> {
    arch::irq::save();
    let here = arch::cpu::index();
    let missing = || ONLINE.load(Ordering::Relaxed) & !STOPPED.load(Ordering::Acquire) & !(1 << here);
    match REPORTER.compare_exchange(NOBODY, here, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            online().filter(|&cpu| cpu != here).for_each(|cpu| send(sgi::STOP, cpu));
            let start = timer::now();
            while missing() != 0 && timer::now().saturating_sub(start) < PATIENCE {
                arch::cpu::relax();
            }
        }
        Err(first) if first == here => {}
        Err(_) => stopped(),
    }
    let missing = missing();
    online().filter(move |&cpu| missing >> cpu & 1 != 0)
}

/// The interrupt handler: this CPU does nothing any more.
pub(super) fn stopped() {
    arch::irq::save();
    STOPPED.fetch_or(1 << arch::cpu::index(), Ordering::Release);
    park()
}

/// Sleeps for ever.
pub(super) fn park() -> ! {
    arch::irq::save();
    loop {
        arch::irq::wait();
    }
}
