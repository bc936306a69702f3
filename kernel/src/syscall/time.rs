//! Clocks and sleeps.

use core::time::Duration;

use abi::Errno;
use abi::time::{self as clock, CpuClock, Timespec, Timeval};

use crate::syscall::Args;
use crate::task::restart::{self, Remainder};
use crate::task::{usage, wait};
use crate::timer;
use crate::uaccess::{UserPtr, read_user, write_user};

/// A program's time, where it is one.
///
/// # Errors
/// `EINVAL` for a negative time, or nanoseconds that make up a second.
pub(crate) fn duration(time: Timespec) -> Result<Duration, Errno> {
    if !time.is_valid() || time.sec < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Duration::new(time.sec as u64, time.nsec as u32))
}

/// A time as a program has it.
pub(crate) fn timespec(time: Duration) -> Timespec {
    Timespec { sec: time.as_secs() as i64, nsec: i64::from(time.subsec_nanos()) }
}

fn read_clock(id: u64) -> Result<Duration, Errno> {
    Ok(match id as u32 {
        clock::CLOCK_REALTIME | clock::CLOCK_REALTIME_COARSE => timer::now().saturating_add(timer::boot_time()),
        clock::CLOCK_MONOTONIC
        | clock::CLOCK_MONOTONIC_RAW
        | clock::CLOCK_MONOTONIC_COARSE
        | clock::CLOCK_BOOTTIME => timer::now(),
        id => return usage::read_clock(CpuClock::of(id).ok_or(Errno::EINVAL)?),
    })
}

/// `clock_gettime(clock, time)`.
pub(crate) fn sys_clock_gettime(a: &Args) -> Result<u64, Errno> {
    write_user(UserPtr::new(a.a[1]), &timespec(read_clock(a.a[0])?))?;
    Ok(0)
}

/// `clock_getres(clock, time)`: a nanosecond, as Linux says of high-resolution timers.
pub(crate) fn sys_clock_getres(a: &Args) -> Result<u64, Errno> {
    read_clock(a.a[0])?;
    if a.a[1] != 0 {
        write_user(UserPtr::new(a.a[1]), &Timespec { sec: 0, nsec: 1 })?;
    }
    Ok(0)
}

/// `gettimeofday(time, zone)`.
pub(crate) fn sys_gettimeofday(a: &Args) -> Result<u64, Errno> {
    let now = read_clock(clock::CLOCK_REALTIME.into())?;
    if a.a[0] != 0 {
        let time = Timeval { sec: now.as_secs() as i64, usec: i64::from(now.subsec_micros()) };
        write_user(UserPtr::new(a.a[0]), &time)?;
    }
    if a.a[1] != 0 {
        write_user(UserPtr::new(a.a[1]), &[0u32; 2])?;
    }
    Ok(0)
}

/// `nanosleep(time, left)`.
pub(crate) fn sys_nanosleep(a: &Args) -> Result<u64, Errno> {
    let time = duration(read_user(UserPtr::new(a.a[0]))?)?;
    sleep(timer::now().saturating_add(time), a.a[1])
}

/// Sleeps until then, time since boot. Where a signal cuts it short, what is left is stored at `left`, if that is not 0,
/// and `restart_syscall` goes on with it (`nanosleep_copyout`).
pub(crate) fn sleep(until: Duration, left: u64) -> Result<u64, Errno> {
    if wait::sleep_until(until).is_ok() {
        return Ok(0);
    }
    let now = timer::now();
    if until <= now {
        return Ok(0);
    }
    if left != 0 {
        write_user(UserPtr::new(left), &timespec(until - now))?;
    }
    restart::keep(Some(Remainder::Sleep { until, left }));
    Err(Errno::EINTR)
}

/// `clock_nanosleep(clock, flags, time, left)`. Only clocks that go on while nobody runs wake anybody.
pub(crate) fn sys_clock_nanosleep(a: &Args) -> Result<u64, Errno> {
    let [id, flags, time, left, ..] = a.a;
    let now = read_clock(id)?;
    if id as u32 == clock::CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    if !matches!(id as u32, clock::CLOCK_REALTIME | clock::CLOCK_MONOTONIC | clock::CLOCK_BOOTTIME) {
        return Err(Errno::EOPNOTSUPP);
    }
    let time = duration(read_user(UserPtr::new(time))?)?;
    match flags as u32 {
        0 => sleep(timer::now().saturating_add(time), left),
        // Nothing is left of a moment.
        clock::TIMER_ABSTIME => sleep(timer::now().saturating_add(time.saturating_sub(now)), 0),
        _ => Err(Errno::EINVAL),
    }
}
