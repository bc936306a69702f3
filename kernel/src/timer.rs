//! Time: the virtual timer of the generic timer, and the clock on the wall.
//!
//! [`now`] is the counter and needs nothing set up, so log lines and the panic report have it from the first
//! instruction. Each CPU has one comparator, set to the nearer of its next tick and the deadline its scheduler gave;
//! with neither it is off, and an idle CPU sleeps undisturbed.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use arch::cpu::MAX_CPUS;
use safe_mmio::SharedMmioPointer;
use safe_mmio::fields::ReadPure;
use units::PhysRange;

use crate::fdt;
use crate::{irq, mmio, task};

/// How often a running task is looked at while others want its CPU.
pub(crate) const TICK: Duration = Duration::from_millis(10);

const NANOS: u64 = 1_000_000_000;
/// No time at all: what is not set never comes.
const NEVER: u64 = u64::MAX;

/// What one CPU waits for, in counts of the counter.
struct Waits {
    tick: AtomicU64,
    deadline: AtomicU64,
}

static WAITS: [Waits; MAX_CPUS] =
    [const { Waits { tick: AtomicU64::new(NEVER), deadline: AtomicU64::new(NEVER) } }; MAX_CPUS];

/// Nanoseconds from 1970 to the counter's zero.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Takes the virtual timer of this CPU into use; every CPU runs [`init_cpu`] for itself.
///
/// # Errors
/// Where its interrupt cannot be taken.
pub(crate) fn init(timer: &fdt::Timer) -> Result<(), irq::IrqError> {
    irq::register(timer.virt, interrupt)?;
    init_cpu(timer)
}

/// Switches this CPU's timer on, with nothing to wait for yet.
///
/// # Errors
/// Where its interrupt cannot be taken.
pub(crate) fn init_cpu(timer: &fdt::Timer) -> Result<(), irq::IrqError> {
    program();
    irq::enable(timer.virt.id)
}

/// Reads the PL031: from then on [`wall_clock`] tells the time of day.
///
/// # Errors
/// Where its registers cannot be mapped.
pub(crate) fn init_wall_clock(rtc: PhysRange) -> Result<(), mmio::MapError> {
    let registers = mmio::map(rtc.start(), rtc.len())?;
    // SAFETY: the device tree says that a PL031 lies here, whose first register, RTCDR, counts seconds and is only
    // read; the mapping stays.
    let seconds = unsafe { SharedMmioPointer::<ReadPure<u32>>::from(&*registers.cast().as_ptr()) }.read();
    let since_boot = now().as_nanos() as u64;
    EPOCH.store((u64::from(seconds) * NANOS).saturating_sub(since_boot), Ordering::Relaxed);
    Ok(())
}

/// Time since the counter started: since reset, on QEMU. Never goes back.
pub(crate) fn now() -> Duration {
    duration(count())
}

/// Time since 1970 in UTC; since boot where the machine has no clock.
pub(crate) fn wall_clock() -> Duration {
    now().saturating_add(Duration::from_nanos(EPOCH.load(Ordering::Relaxed)))
}

/// Has the scheduler called every [`TICK`] on this CPU.
pub(crate) fn start_tick() {
    change(|waits| {
        let first = count().saturating_add(counts(TICK));
        // A tick that runs already keeps its beat.
        let _ = waits.tick.compare_exchange(NEVER, first, Ordering::Relaxed, Ordering::Relaxed);
    });
}

/// Ends what [`start_tick`] began.
pub(crate) fn stop_tick() {
    change(|waits| waits.tick.store(NEVER, Ordering::Relaxed));
}

/// Has the scheduler called once at `at`, a time as [`now`] gives it, or at once where that has passed. Takes the
/// place of the deadline before; `None` is no deadline.
pub(crate) fn set_deadline(at: Option<Duration>) {
    change(|waits| waits.deadline.store(at.map_or(NEVER, counts), Ordering::Relaxed));
}

/// Changes what this CPU waits for, and sets its comparator to that.
fn change(act: impl FnOnce(&Waits)) {
    let irq = arch::irq::save();
    act(&WAITS[arch::cpu::index()]);
    program();
    arch::irq::restore(irq);
}

/// Sets this CPU's comparator to the nearest thing it waits for. Interrupts are masked.
fn program() {
    let waits = &WAITS[arch::cpu::index()];
    let next = waits.tick.load(Ordering::Relaxed).min(waits.deadline.load(Ordering::Relaxed));
    // CNTV_CTL_EL0: bit 0 enables, bit 1 would mask.
    let control = u64::from(next != NEVER);
    // SAFETY: the virtual timer is the kernel's own; nothing but its interrupt follows from this.
    unsafe {
        asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) next, in(reg) control,
            options(nostack, preserves_flags));
    }
}

/// The interrupt handler.
fn interrupt() {
    let (waits, now) = (&WAITS[arch::cpu::index()], count());
    let (tick, deadline) = (waits.tick.load(Ordering::Relaxed), waits.deadline.load(Ordering::Relaxed));
    if tick <= now {
        let period = counts(TICK).max(1);
        // Ticks that were missed are not made up for, and the beat is kept.
        waits.tick.store(tick + ((now - tick) / period + 1) * period, Ordering::Relaxed);
    }
    if deadline <= now {
        waits.deadline.store(NEVER, Ordering::Relaxed);
    }
    program();
    task::sched::on_timer();
}

/// The counter.
#[inline]
fn count() -> u64 {
    let count: u64;
    // SAFETY: reads CNTVCT_EL0; the `isb` keeps the read from being early.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nostack, preserves_flags)) };
    count
}

/// Counts in a second; never 0.
#[inline]
fn frequency() -> u64 {
    let frequency: u64;
    // SAFETY: reads CNTFRQ_EL0.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
    frequency.max(1)
}

fn duration(counts: u64) -> Duration {
    let frequency = frequency();
    // The rest is below 2^32 on every real machine, so the product fits; the shorter way costs two divisions.
    let nanos = u128::from(counts % frequency) * u128::from(NANOS) / u128::from(frequency);
    Duration::new(counts / frequency, nanos as u32)
}

/// Counts in a time, rounded up, so that nothing is woken early.
fn counts(time: Duration) -> u64 {
    let counts = (time.as_nanos() * u128::from(frequency())).div_ceil(u128::from(NANOS));
    u64::try_from(counts).unwrap_or(NEVER)
}
