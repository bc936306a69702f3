//! The other CPUs: brought up one after another, and asked by interrupts from then on.
//!
//! CPU 0 is the one that booted. The others get their numbers by the order of the device tree; [`bring_up`] starts each,
//! waits for it, and tells of one that does not come. A CPU that has come sits in its idle task and serves interrupts:
//! its own timer's, and those that CPUs send each other: [`call`] has a function run there, [`nudge`] has the scheduler
//! look, [`stop`] ends it. Programs run on CPU 0 (`task::sched`).

mod bring_up;
mod call;
pub(crate) mod psci;
pub(crate) mod stop;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arch::cpu::MAX_CPUS;
use platform::fdt::{Interrupt, Trigger};

pub(crate) use bring_up::bring_up;
pub(crate) use stop::park;
pub(crate) use call::{NotOnline, call, on_each};

use crate::irq::{self, IrqError};
use crate::task::sched;

/// The software-generated interrupts the kernel sends, each with its handler.
mod sgi {
    /// Calls wait to be served.
    pub(super) const CALL: u32 = 0;
    /// The scheduler has business on its own CPU.
    pub(super) const NUDGE: u32 = 1;
    /// The machine ends.
    pub(super) const STOP: u32 = 2;
}

/// The CPUs that run, one bit each.
static ONLINE: AtomicU32 = AtomicU32::new(1);
/// The CPUs that take interrupts from others, and may send them.
static LISTENING: AtomicU32 = AtomicU32::new(0);
/// The affinity of each CPU that runs.
static AFFINITIES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// The numbers of the CPUs that run, in rising order.
pub(crate) fn online() -> impl Iterator<Item = usize> {
    let bits = ONLINE.load(Ordering::Acquire);
    (0..MAX_CPUS).filter(move |&cpu| bits >> cpu & 1 != 0)
}

/// Whether CPU `cpu` runs.
pub(crate) fn is_online(cpu: usize) -> bool {
    online().any(|one| one == cpu)
}

/// The affinity fields of the MPIDR_EL1 of CPU `cpu`, where it runs.
pub(crate) fn affinity(cpu: usize) -> Option<u64> {
    is_online(cpu).then(|| AFFINITIES[cpu].load(Ordering::Relaxed))
}

/// CPU `cpu` runs from here on.
fn set_online(cpu: usize, affinity: u64) {
    AFFINITIES[cpu].store(affinity, Ordering::Relaxed);
    ONLINE.fetch_or(1 << cpu, Ordering::Release);
}

/// Says who handles the interrupts between CPUs.
fn register() -> Result<(), IrqError> {
    let handlers: [(u32, fn()); 3] = [(sgi::CALL, call::serve), (sgi::NUDGE, sched::on_timer), (sgi::STOP, stop::stopped)];
    handlers.into_iter().try_for_each(|(id, handler)| irq::register(Interrupt { id, trigger: Trigger::Edge }, handler))
}

/// Lets the interrupts between CPUs through to this one.
fn listen() -> Result<(), IrqError> {
    [sgi::CALL, sgi::NUDGE, sgi::STOP].into_iter().try_for_each(irq::enable)?;
    LISTENING.fetch_or(1 << arch::cpu::index(), Ordering::Release);
    Ok(())
}

/// Sends one of [`sgi`] to CPU `cpu`, if that runs; not from a CPU whose interrupt controller is not set up, for a panic may
/// come that early.
fn send(id: u32, cpu: usize) {
    if LISTENING.load(Ordering::Relaxed) >> arch::cpu::index() & 1 == 0 {
        return;
    }
    let sent = affinity(cpu).map_or(Ok(()), |affinity| irq::send(id, affinity));
    debug_assert_eq!(sent, Ok(()), "such interrupts exist");
}

/// Has the scheduler of CPU `cpu`, not this one, look at its queue.
pub(crate) fn nudge(cpu: usize) {
    send(sgi::NUDGE, cpu);
}
