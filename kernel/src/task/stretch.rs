//! How long the kernel goes without a moment at which others could run: `/proc/vitrine/stretch`.
//!
//! Such a moment is a resched point or the way back to the program. A task that writes `watch` there is watched from then on:
//! reading the text says the longest time between two such moments of that task since, in nanoseconds, which under
//! `-icount` are instructions. The few instructions its program runs between two calls are counted too; a task that is not
//! watched pays nothing. Programs run on one CPU, so there is one measure.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

use super::{current, flag};
use crate::timer;

/// The last such moment.
static LAST: AtomicU64 = AtomicU64::new(0);
/// The longest time so far.
static LONGEST: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    timer::now().as_nanos() as u64
}

/// Begins a stretch.
pub(super) fn begin() {
    LAST.store(now(), Ordering::Relaxed);
}

/// Ends one, and begins the next.
pub(super) fn point() {
    let now = now();
    let stretch = now.saturating_sub(LAST.swap(now, Ordering::Relaxed));
    LONGEST.fetch_max(stretch, Ordering::Relaxed);
}

/// The text: the longest stretch since `watch` was written.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "{}", LONGEST.load(Ordering::Relaxed))
}

/// Watches the calling task from now on, for `watch`.
///
/// # Errors
/// `EINVAL` for any other line.
pub(crate) fn watch(line: &[u8]) -> Result<(), Errno> {
    if line != b"watch" {
        return Err(Errno::EINVAL);
    }
    current().raise(flag::WATCHED);
    LONGEST.store(0, Ordering::Relaxed);
    begin();
    Ok(())
}
