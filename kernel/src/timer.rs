//! Time: the virtual timer of the generic timer, and the clock on the wall.
//!
//! [`now`] is the counter and needs nothing set up, so log lines and the panic report have it from the first
//! instruction. Each CPU has one comparator, set to the deadline its scheduler gave: the end of a time slice or the
//! nearest sleeper. Without one it is off: there is no tick, and an idle CPU sleeps undisturbed.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use fs::Time;
use platform::fdt;
use safe_mmio::SharedMmioPointer;
use safe_mmio::fields::ReadPure;
use units::PhysRange;

use crate::mmio::{DeviceError, PrimeCell};
use crate::{irq, percpu, task};

const NANOS: u64 = 1_000_000_000;
/// No time at all: what is not set never comes.
const NEVER: u64 = u64::MAX;

/// How often to look for the interrupt of a timer that has fired.
const PATIENCE: u32 = 10_000;

/// Nanoseconds from 1970 to the counter's zero.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Takes the virtual timer of this CPU into use; every CPU runs [`init_cpu`] for itself.
///
/// # Errors
/// Where its interrupt cannot be taken, or is not the one that the tree names: whoever waits would wait for ever.
pub(crate) fn init(timer: &fdt::Timer) -> Result<(), irq::IrqError> {
    irq::register(timer.virt, interrupt)?;
    set_deadline(Some(Duration::ZERO));
    let fires = (0..PATIENCE).any(|_| irq::is_pending(timer.virt.id));
    set_deadline(None);
    if fires { init_cpu(timer) } else { Err(irq::IrqError::Silent(timer.virt.id)) }
}

/// Switches this CPU's timer on, with nothing to wait for yet.
///
/// # Errors
/// Where its interrupt cannot be taken.
pub(crate) fn init_cpu(timer: &fdt::Timer) -> Result<(), irq::IrqError> {
    set_deadline(None);
    irq::enable(timer.virt.id)
}

/// Reads the PL031: from then on [`wall_clock`] tells the time of day.
///
/// # Errors
/// Where there is none, or its registers cannot be mapped.
pub(crate) fn init_wall_clock(rtc: PhysRange) -> Result<(), DeviceError> {
    let registers = PrimeCell::PL031.map(rtc, "the registers of the clock")?;
    // SAFETY: a PL031 says of itself that it lies here, whose first register, RTCDR, counts seconds and is only read;
    // the mapping stays.
    let seconds = unsafe { SharedMmioPointer::<ReadPure<u32>>::from(&*registers.cast().as_ptr()) }.read();
    let since_boot = now().as_nanos() as u64;
    EPOCH.store((u64::from(seconds) * NANOS).saturating_sub(since_boot), Ordering::Relaxed);
    Ok(())
}

/// Time since the counter started: since reset, on QEMU. Never goes back.
#[inline]
pub(crate) fn now() -> Duration {
    duration(count())
}

/// The time of day, in UTC; as if booted in 1970 where the machine has no clock.
#[inline(never)]
pub(crate) fn wall_clock() -> Time {
    let since_1970 = EPOCH.load(Ordering::Relaxed).wrapping_add(nanos(count()));
    Time::new((since_1970 / NANOS) as i64, (since_1970 % NANOS) as u32)
}

/// From 1970 to when [`now`] was 0: what to add to it for the time of day.
pub(crate) fn boot_time() -> Duration {
    Duration::from_nanos(EPOCH.load(Ordering::Relaxed))
}

/// Has the scheduler called once at `at`, a time as [`now`] gives it, or at once where that has passed. Takes the
/// place of the deadline before; `None` is no deadline.
pub(crate) fn set_deadline(at: Option<Duration>) {
    let count = at.map_or(NEVER, counts);
    // CNTV_CTL_EL0: bit 0 enables, bit 1 would mask.
    let control = u64::from(count != NEVER);
    // SAFETY: the virtual timer is the kernel's own; nothing but its interrupt follows from this.
    unsafe {
        asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) count, in(reg) control,
            options(nostack, preserves_flags));
    }
}

/// The interrupt handler.
fn interrupt() {
    // The line stays up until the comparator moves; the scheduler sets the next deadline.
    set_deadline(None);
    percpu::this().timer_interrupts.fetch_add(1, Ordering::Relaxed);
    task::sched::on_timer();
}

/// The counter; [`duration`] says how long so many counts are.
#[inline]
pub(crate) fn count() -> u64 {
    let count: u64;
    // SAFETY: reads CNTVCT_EL0; the `isb` keeps the read from being early.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nostack, preserves_flags)) };
    count
}

/// Counts in a second; never 0.
#[inline]
pub(crate) fn frequency() -> u64 {
    let frequency: u64;
    // SAFETY: reads CNTFRQ_EL0.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
    frequency.max(1)
}

/// How long so many counts are.
#[inline(never)]
pub(crate) fn duration(counts: u64) -> Duration {
    Duration::from_nanos(nanos(counts))
}

/// How many nanoseconds so many counts are: 584 years of them at most.
#[inline]
fn nanos(counts: u64) -> u64 {
    let frequency = frequency();
    let (seconds, rest) = (counts / frequency, counts % frequency);
    // On every real machine the product fits: divisions of 128 bits are for others.
    let fraction = rest.checked_mul(NANOS).map_or_else(|| wide_fraction(rest, frequency), |product| product / frequency);
    seconds.wrapping_mul(NANOS).wrapping_add(fraction)
}

#[cold]
#[inline(never)]
fn wide_fraction(rest: u64, frequency: u64) -> u64 {
    (u128::from(rest) * u128::from(NANOS) / u128::from(frequency)) as u64
}

/// Counts in a time, rounded up, so that nothing is woken early.
fn counts(time: Duration) -> u64 {
    let counts = (time.as_nanos() * u128::from(frequency())).div_ceil(u128::from(NANOS));
    u64::try_from(counts).unwrap_or(NEVER)
}
