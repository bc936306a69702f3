//! An open file's position, and the turn of whoever moves it.
//!
//! `read`, `write`, `lseek` and `getdents64` on one open file happen one after another, as POSIX asks of threads that
//! share it. They touch user memory meanwhile, so the turn is no spin lock: who finds it taken waits.

use crate::task::wait::{Interrupted, WaitQueue};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may be waiting.
const WANTED: u32 = 2;

/// A position nobody reads or moves without a [`Turn`].
pub(crate) struct Position {
    state: AtomicU32,
    value: AtomicU64,
    waiting: WaitQueue,
}

/// The right to move a position until it is dropped.
pub(crate) struct Turn<'a>(&'a Position);

impl Position {
    /// At the beginning.
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU32::new(FREE), value: AtomicU64::new(0), waiting: WaitQueue::new() }
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// [`Interrupted`] where the caller is to end instead.
    pub(crate) fn turn(&self) -> Result<Turn<'_>, Interrupted> {
        if self.state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.waiting.wait_until(|| (self.state.swap(WANTED, Ordering::Acquire) == FREE).then_some(()))?;
        }
        Ok(Turn(self))
    }
}

impl Turn<'_> {
    /// The position, in bytes; in a directory, a cursor of its own kind.
    pub(crate) fn get(&self) -> u64 {
        self.0.value.load(Ordering::Relaxed)
    }

    /// Moves it.
    pub(crate) fn set(&self, value: u64) {
        self.0.value.store(value, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(FREE, Ordering::Release) == WANTED {
            self.0.waiting.wake_one();
        }
    }
}
