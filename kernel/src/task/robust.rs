//! Robust futexes: locks whose owner may die (Linux: `exit_robust_list`).
//!
//! A thread keeps a list of the words it holds in its own memory and says where it begins (`set_robust_list`). When it ends,
//! each of them that still bears its number is marked: `FUTEX_OWNER_DIED`, and one who waits is woken.

use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use abi::task::futex::{OWNER_DIED, TID_MASK, WAITERS};

use super::process::TREE;
use super::{Task, current, futex};
use crate::syscall::Args;
use crate::uaccess::{Fault, UserPtr, exchange_user, read_user, write_user};

/// Bytes of `struct robust_list_head`: the first entry, where the word lies from an entry, the entry that is being changed.
const HEAD: u64 = 24;
/// Entries that are looked at, for a list may be a ring (`ROBUST_LIST_LIMIT`).
const MOST: usize = 2048;

/// An address of an entry, whose lowest bit says that its word inherits priority.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn read(from: u64) -> Result<Self, Fault> {
        read_user(UserPtr::new(from)).map(Self)
    }

    fn address(self) -> u64 {
        self.0 & !1
    }

    fn inherits_priority(self) -> bool {
        self.0 & 1 != 0
    }
}

/// What the thread was about when it died.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The word is on the list.
    Listed,
    /// It was being taken or released.
    Pending,
}

/// `set_robust_list(head, len)`.
pub(crate) fn sys_set_robust_list(a: &Args) -> Result<u64, Errno> {
    if a.a[1] != HEAD {
        return Err(Errno::EINVAL);
    }
    current().robust_list.store(a.a[0], Relaxed);
    Ok(0)
}

/// `get_robust_list(pid, head, len)`.
pub(crate) fn sys_get_robust_list(a: &Args) -> Result<u64, Errno> {
    let [tid, head, len, ..] = a.a;
    let list = match tid as u32 {
        0 => current().robust_list.load(Relaxed),
        tid => {
            let tree = TREE.lock();
            let mut threads = tree.entries.values().flat_map(|entry| &entry.threads);
            threads.find(|task| task.tid == tid).ok_or(Errno::ESRCH)?.robust_list.load(Relaxed)
        }
    };
    write_user(UserPtr::new(len), &HEAD)?;
    write_user(UserPtr::new(head), &list)?;
    Ok(0)
}

/// `task`, the current one, lets its memory go: what it holds is marked. What cannot be read ends the walk.
pub(crate) fn release(task: &Task) {
    let head = task.robust_list.swap(0, Relaxed);
    if head != 0 {
        let _ = walk(task, head);
    }
}

fn walk(task: &Task, head: u64) -> Result<(), Fault> {
    let mut entry = Entry::read(head)?;
    let offset: u64 = read_user(UserPtr::new(head.wrapping_add(8)))?;
    let pending = Entry::read(head.wrapping_add(16))?;
    for _ in 0..MOST {
        if entry.address() == head {
            break;
        }
        // Read first: who is woken may use the entry's memory for something else.
        let next = Entry::read(entry.address());
        if entry.address() != pending.address() {
            let word = entry.address().wrapping_add(offset);
            mark(task, word, entry, Held::Listed)?;
        }
        entry = next?;
    }
    match pending.address() {
        0 => Ok(()),
        address => mark(task, address.wrapping_add(offset), pending, Held::Pending),
    }
}

/// `handle_futex_death`.
fn mark(task: &Task, word: u64, entry: Entry, held: Held) -> Result<(), Fault> {
    if !word.is_multiple_of(4) {
        return Err(Fault);
    }
    let at = UserPtr::new(word);
    let mut seen: u32 = read_user(at)?;
    loop {
        // Released already, and nobody has been told.
        if held == Held::Pending && !entry.inherits_priority() && seen & TID_MASK == 0 {
            futex::wake_word(task, word, 1);
            return Ok(());
        }
        if seen & TID_MASK != task.tid {
            return Ok(());
        }
        match exchange_user(at, seen, seen & WAITERS | OWNER_DIED)? {
            now if now == seen => break,
            now => seen = now,
        }
    }
    if !entry.inherits_priority() && seen & WAITERS != 0 {
        futex::wake_word(task, word, 1);
    }
    Ok(())
}
