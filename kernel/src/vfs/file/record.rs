//! Locks on ranges of files (`fcntl`): a process's, gone when it closes any descriptor of the file, and an open file's.
//!
//! They are advice, as `flock` is, and know nothing of it. [`ranges`] is what one owner's locks in one file become; here
//! are all files and owners, who waits for whom, and the end of locks. All of it is one table, as in [`super::flock`],
//! with a bound on its length, because it is searched with interrupts masked.

mod ranges;

use super::flock::{LockKind, Owner};
use crate::task::current;
use crate::task::wait::{Interrupted, WaitQueue};
use abi::Errno;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
pub(crate) use ranges::{Record, Span};
use sync::{Mutex, Rank};
use units::Ino;

/// Locks there are at most, in all files together.
const LIMIT: usize = 16 << 10;
/// Waiters that are followed from one to the next, to see whether they lead back (`MAX_DEADLK_ITERATIONS`).
const CHAIN: usize = 10;

/// The locks of one file: those of one owner behind each other, in their order; owners in the order they came.
struct FileRecords {
    ino: Ino,
    records: Vec<Record>,
}

/// A process that waits for another owner's lock to go. Open files do not wait here: nobody knows who uses them.
struct Waiter {
    tid: u32,
    owner: Owner,
    on: Owner,
}

struct Table {
    /// By number.
    files: Vec<FileRecords>,
    waiters: Vec<Waiter>,
}

static TABLE: Mutex<Table> = Mutex::new(Rank::FileLocks, Table { files: Vec::new(), waiters: Vec::new() });
/// How many locks there are: closing a file looks no further where there is none.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Who waits for any lock to go.
static WAITING: WaitQueue = WaitQueue::new();

/// What becomes of a lock that somebody else's stands against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// It is refused.
    Refuse,
    /// It is waited for, unless nobody could ever let go first.
    Until,
}

impl Table {
    fn of(&self, ino: Ino) -> &[Record] {
        self.files.binary_search_by_key(&ino, |file| file.ino).map_or(&[], |at| &self.files[at].records)
    }

    /// Makes `wanted` true of file `ino`, where no other owner's lock stands against it; else answers whose does.
    fn set(&mut self, ino: Ino, wanted: Record, kind: Option<LockKind>) -> Result<Option<Owner>, Errno> {
        let against = self.of(ino).iter().find(|there| kind.is_some_and(|kind| there.is_against(&wanted, kind)));
        if let Some(against) = against {
            return Ok(Some(against.owner));
        }
        let at = match self.files.binary_search_by_key(&ino, |file| file.ino) {
            Ok(at) => at,
            Err(_) if kind.is_none() => return Ok(None),
            Err(at) => {
                self.files.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
                self.files.insert(at, FileRecords { ino, records: Vec::new() });
                at
            }
        };
        let records = &mut self.files[at].records;
        let before = records.len();
        let done = match kind {
            Some(_) if COUNT.load(Relaxed) + ranges::GROWTH > LIMIT => Err(Errno::ENOLCK),
            kind => ranges::apply(records, wanted, kind).map_err(|_| Errno::ENOLCK),
        };
        COUNT.fetch_add(records.len().wrapping_sub(before), Relaxed);
        if records.is_empty() {
            self.files.remove(at);
        }
        // Who waited for this owner looks again, and says so again if it still does.
        self.waiters.retain(|waiter| waiter.on != wanted.owner);
        done.map(|()| None)
    }

    /// Notes that the current task waits for `on`.
    ///
    /// # Errors
    /// `EDEADLK` where that one, by way of others, waits for `owner`; `ENOLCK`.
    fn wait(&mut self, tid: u32, owner: Owner, on: Owner) -> Result<(), Errno> {
        self.forget(tid);
        if matches!(owner, Owner::File(_)) {
            return Ok(());
        }
        let mut blocker = on;
        for _ in 0..CHAIN {
            if blocker == owner {
                return Err(Errno::EDEADLK);
            }
            match self.waiters.iter().find(|waiter| waiter.owner == blocker) {
                Some(waiter) => blocker = waiter.on,
                None => break,
            }
        }
        self.waiters.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        self.waiters.push(Waiter { tid, owner, on });
        Ok(())
    }

    fn forget(&mut self, tid: u32) {
        self.waiters.retain(|waiter| waiter.tid != tid);
    }

    /// Ends the locks of `owner`, in file `only` or in all.
    fn end(&mut self, owner: Owner, only: Option<Ino>) {
        for file in self.files.iter_mut().filter(|file| only.is_none_or(|ino| ino == file.ino)) {
            let before = file.records.len();
            file.records.retain(|record| record.owner != owner);
            COUNT.fetch_sub(before - file.records.len(), Relaxed);
        }
        self.files.retain(|file| !file.records.is_empty());
        self.waiters.retain(|waiter| waiter.on != owner);
    }
}

/// The first lock in file `ino` that stands against `wanted` (`posix_test_lock`); with no kind to ask for, the first of the
/// owner's own there.
pub(super) fn test(ino: Ino, wanted: &Record, kind: Option<LockKind>) -> Option<Record> {
    let table = TABLE.lock();
    let stands = |there: &&Record| match kind {
        Some(kind) => there.is_against(wanted, kind),
        None => there.owner == wanted.owner && there.span.overlaps(wanted.span),
    };
    table.of(ino).iter().find(stands).copied()
}

/// Locks a range of file `ino`, or with no kind lets go of it (`posix_lock_inode`).
///
/// # Errors
/// `EAGAIN` where another owner's lock stands against it, and `wait` says so; `EDEADLK`, `EINTR`; `ENOLCK` where there is
/// no room for another lock.
pub(super) fn set(ino: Ino, wanted: Record, kind: Option<LockKind>, wait: Wait) -> Result<(), Errno> {
    let tid = current().tid;
    let try_once = || {
        let mut table = TABLE.lock();
        match table.set(ino, wanted, kind) {
            Ok(None) => Some(Ok(())),
            Ok(Some(on)) => table.wait(tid, wanted.owner, on).err().map(Err),
            Err(error) => Some(Err(error)),
        }
    };
    let done = match wait {
        Wait::Refuse => TABLE.lock().set(ino, wanted, kind).and_then(|on| on.map_or(Ok(()), |_| Err(Errno::EAGAIN))),
        Wait::Until => {
            let done = WAITING.wait_until_deadline(None, try_once);
            TABLE.lock().forget(tid);
            done.map_err(|_| Errno::from(Interrupted))?
        }
    };
    // Less may be locked than before, whichever kind this one is.
    WAITING.wake_all();
    done
}

/// Ends all locks of `owner`: it is gone.
pub(in crate::vfs) fn end_all(owner: Owner) {
    end(owner, None);
}

/// Ends the locks of `owner`, in file `only` or in all.
pub(super) fn end(owner: Owner, only: Option<Ino>) {
    if COUNT.load(Relaxed) > 0 {
        TABLE.lock().end(owner, only);
        WAITING.wake_all();
    }
}
