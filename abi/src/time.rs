//! Clocks and moments.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct timespec`: seconds and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timespec {
    /// Whole seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999 in a valid value.
    pub nsec: i64,
}

impl Timespec {
    /// Whether the parts lie in their ranges, as the calls that wait require (`EINVAL` otherwise).
    pub const fn is_valid(self) -> bool {
        self.sec >= 0 && self.nsec >= 0 && self.nsec < 1_000_000_000
    }
}

/// `struct timeval`: seconds and microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeval {
    /// Whole seconds.
    pub sec: i64,
    /// Microseconds, 0 to 999,999 in a valid value.
    pub usec: i64,
}

crate::sizes! { Timespec = 16, Timeval = 16, }

/// `CLOCK_REALTIME`: the time of day, since 1970.
pub const CLOCK_REALTIME: u32 = 0;
/// `CLOCK_MONOTONIC`: since boot, never set back.
pub const CLOCK_MONOTONIC: u32 = 1;
/// `CLOCK_PROCESS_CPUTIME_ID`: CPU time of the process.
pub const CLOCK_PROCESS_CPUTIME_ID: u32 = 2;
/// `CLOCK_THREAD_CPUTIME_ID`: CPU time of the thread.
pub const CLOCK_THREAD_CPUTIME_ID: u32 = 3;
/// `CLOCK_MONOTONIC_RAW`: since boot, at the hardware's own rate.
pub const CLOCK_MONOTONIC_RAW: u32 = 4;
/// `CLOCK_REALTIME_COARSE`: the time of day at the last tick.
pub const CLOCK_REALTIME_COARSE: u32 = 5;
/// `CLOCK_MONOTONIC_COARSE`: since boot, at the last tick.
pub const CLOCK_MONOTONIC_COARSE: u32 = 6;
/// `CLOCK_BOOTTIME`: since boot, sleep included.
pub const CLOCK_BOOTTIME: u32 = 7;

/// A clock of CPU time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuClock {
    /// Of a process; 0 is the caller's.
    Process(u32),
    /// Of a thread; 0 is the caller.
    Thread(u32),
}

impl CpuClock {
    /// The clock with this number, as `clock_getcpuclockid` makes them (`CPUCLOCK_*` of Linux's `posix-timers.h`): of the
    /// process or thread that the upper 29 bits name inverted, bit 2 set for a thread. Bits 0 and 1 ask for the time in the program,
    /// in the kernel, or both; 3 would be the clock of a descriptor.
    pub const fn of(number: u32) -> Option<Self> {
        const OF_DESCRIPTOR: u32 = 3;
        const THREAD: u32 = 1 << 2;
        match number {
            CLOCK_PROCESS_CPUTIME_ID => Some(Self::Process(0)),
            CLOCK_THREAD_CPUTIME_ID => Some(Self::Thread(0)),
            _ if number as i32 >= 0 || number & OF_DESCRIPTOR == OF_DESCRIPTOR => None,
            _ => {
                let id = !(number as i32 >> 3) as u32;
                Some(if number & THREAD == 0 { Self::Process(id) } else { Self::Thread(id) })
            }
        }
    }
}

/// `TIMER_ABSTIME`: `clock_nanosleep` waits until a moment, not for a span.
pub const TIMER_ABSTIME: u32 = 1;

/// `UTIME_NOW` in `nsec`: set to the present.
pub const UTIME_NOW: i64 = (1 << 30) - 1;
/// `UTIME_OMIT` in `nsec`: leave as it is.
pub const UTIME_OMIT: i64 = (1 << 30) - 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_cpu_time_are_numbered_as_c_libraries_do() {
        let of = |id: i32, bits: u32| CpuClock::of((!id << 3) as u32 | bits);
        assert_eq!(CpuClock::of(CLOCK_PROCESS_CPUTIME_ID), Some(CpuClock::Process(0)));
        assert_eq!(CpuClock::of(CLOCK_THREAD_CPUTIME_ID), Some(CpuClock::Thread(0)));
        assert_eq!(of(7, 2), Some(CpuClock::Process(7)));
        assert_eq!(of(0, 6), Some(CpuClock::Thread(0)));
        assert_eq!(of(7, 3), None);
        assert_eq!(CpuClock::of(CLOCK_MONOTONIC), None);
    }
}
