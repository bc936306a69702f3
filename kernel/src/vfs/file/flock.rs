//! Whole-file locks of open files (`flock`): shared by all descriptors of one open file, gone with the last of them.
//!
//! They are advice: nothing but another `flock` asks for them. All of the machine are in one table, for they are few and
//! short.

use super::{File, record};
use crate::task::wait::{Interrupted, WaitQueue};
use abi::Errno;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use sync::{Mutex, Rank};
use units::Ino;

/// What a lock lets others have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// Others may share it (`LOCK_SH`).
    Shared,
    /// Nobody else has it (`LOCK_EX`).
    Exclusive,
}

/// Whose a lock is. The numbers are given once only, to both kinds together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// An open file's.
    File(u64),
    /// Those who share a table of descriptors: a process, for it has one.
    Files(u64),
}

struct Lock {
    owner: u64,
    /// Numbers of the kernel's own tree are none of the medium's.
    ino: Ino,
    kind: LockKind,
}

static LOCKS: Mutex<Vec<Lock>> = Mutex::new(Rank::FileLocks, Vec::new());
/// Who waits for any lock to go.
static WAITING: WaitQueue = WaitQueue::new();
/// The number of the next open file that takes a lock.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

/// The number by which an owner's locks are known: none until its first.
pub(crate) struct Number(AtomicU64);

impl Number {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The number, given now if there was none.
    pub(crate) fn get(&self) -> u64 {
        let fresh = NEXT_OWNER.fetch_add(1, Relaxed);
        self.0.compare_exchange(0, fresh, Relaxed, Relaxed).map_or_else(|there| there, |_| fresh)
    }

    /// The number, where there is one.
    pub(crate) fn given(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|number| *number != 0)
    }
}

/// What an open file has in the tables: nothing until its first lock.
pub(super) struct Held {
    number: Number,
}

impl Held {
    pub(super) const fn new() -> Self {
        Self { number: Number::new() }
    }

    pub(super) fn owner(&self) -> u64 {
        self.number.get()
    }

    #[inline]
    fn release(&self) {
        let Some(owner) = self.number.given() else { return };
        LOCKS.lock().retain(|lock| lock.owner != owner);
        WAITING.wake_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(owner) = self.number.given() {
            self.release();
            record::end_all(Owner::File(owner));
        }
    }
}

/// Takes the lock, if nobody's stands against it.
fn take(wanted: &Lock) -> Result<(), Errno> {
    let mut locks = LOCKS.lock();
    let against = |lock: &Lock| {
        let both_share = lock.kind == LockKind::Shared && wanted.kind == LockKind::Shared;
        lock.ino == wanted.ino && lock.owner != wanted.owner && !both_share
    };
    if locks.iter().any(against) {
        return Err(Errno::EAGAIN);
    }
    locks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    locks.retain(|lock| lock.owner != wanted.owner);
    locks.push(Lock { ..*wanted });
    Ok(())
}

impl File {
    /// Locks the file, waiting for others where `waits` says so. As in Linux, a lock of the other kind that it had goes
    /// first, and is gone if this one is refused.
    ///
    /// # Errors
    /// `EBADF` where it is open for neither reading nor writing; `EAGAIN` where it would have to wait and is not to;
    /// `EINTR`, `ENOMEM`.
    pub(crate) fn lock(&self, kind: LockKind, waits: Waits) -> Result<(), Errno> {
        if !self.readable() && !self.writable() {
            return Err(Errno::EBADF);
        }
        let wanted = Lock { owner: self.lock.owner(), ino: self.vnode.ino(), kind };
        if LOCKS.lock().iter().any(|lock| lock.owner == wanted.owner && lock.kind != kind) {
            self.lock.release();
        }
        let try_once = || match take(&wanted) {
            Err(Errno::EAGAIN) => None,
            done => Some(done),
        };
        match waits {
            Waits::No => try_once().unwrap_or(Err(Errno::EAGAIN)),
            Waits::Yes => WAITING.wait_until_deadline(None, try_once).map_err(|_| Interrupted)?,
        }
    }

    /// Lets go of the lock, if there is one.
    pub(crate) fn unlock(&self) {
        self.lock.release();
    }
}

/// Whether a lock that somebody else has is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    /// It is.
    Yes,
    /// It is not (`LOCK_NB`).
    No,
}
