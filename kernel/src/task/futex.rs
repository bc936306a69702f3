//! `futex`: sleeping on a word of user memory (Linux: `kernel/futex`).
//!
//! A waiter is in the list before it looks at the word, so a waker that changed the word first is seen. A key is the
//! address space and the address, or for memory that programs share, that memory and the place in it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use abi::Errno;
use abi::task::futex as op;
use abi::time::Timespec;
use sync::{Mutex, Rank};
use units::VirtAddr;

use super::restart::{self, Remainder};
use super::wait::{Cut, Ended, park};
use super::{Task, current, current_arc, sched};
use crate::syscall::Args;
use crate::timer;
use crate::uaccess::{UserPtr, read_user};

/// Who may use a word (`FUTEX_PRIVATE_FLAG`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    /// The threads of one process.
    Private,
    /// Every program that has the memory.
    Shared,
}

/// Whose word: address space and address, or memory and place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    space: usize,
    word: u64,
}

/// One who waits, and whether it was woken.
struct Waiter {
    key: Key,
    ticket: u64,
    mask: u32,
    woken: bool,
    task: Arc<Task>,
}

/// Everybody who waits, longest first.
static WAITERS: Mutex<Vec<Waiter>> = Mutex::new(Rank::Futex, Vec::new());
static TICKETS: AtomicU64 = AtomicU64::new(0);

impl Key {
    /// Of a word that only its process uses, or that others may use as well (`get_futex_key`).
    fn of(task: &Task, word: u64, reach: Reach) -> Result<Self, Errno> {
        if !word.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if let (Reach::Shared, Some(space)) = (reach, task.space())
            && let Some((space, word)) = space.shared_word(VirtAddr::new(word))
        {
            return Ok(Self { space, word });
        }
        let space = task.space().map_or(0, |space| Arc::as_ptr(space).addr());
        Ok(Self { space, word })
    }
}

/// `futex(word, op, value, timeout or value2, word2, value3)`.
pub(crate) fn sys_futex(a: &Args) -> Result<u64, Errno> {
    let [word, operation, value, fourth, word2, value3] = a.a;
    let operation = operation as u32;
    let reach = if operation & op::PRIVATE_FLAG != 0 { Reach::Private } else { Reach::Shared };
    let key = |word| Key::of(current(), word, reach);
    match operation & op::CMD_MASK {
        op::WAIT => {
            let deadline = deadline(fourth, Clock::Relative)?;
            wait(Wait { word, reach, expected: value as u32, mask: op::BITSET_MATCH_ANY, deadline })
        }
        op::WAIT_BITSET => {
            let clock =
                if operation & op::CLOCK_REALTIME != 0 { Clock::Realtime } else { Clock::Monotonic };
            let deadline = deadline(fourth, clock)?;
            wait(Wait { word, reach, expected: value as u32, mask: value3 as u32, deadline })
        }
        op::WAKE => wake(key(word)?, value as u32 as i32, op::BITSET_MATCH_ANY),
        op::WAKE_BITSET => wake(key(word)?, value as u32 as i32, value3 as u32),
        op::REQUEUE => requeue(key(word)?, key(word2)?, value as u32 as i32, fourth as u32 as i32),
        op::CMP_REQUEUE => {
            let (from, to) = (key(word)?, key(word2)?);
            if read_user::<u32>(UserPtr::new(word))? != value3 as u32 {
                return Err(Errno::EAGAIN);
            }
            requeue(from, to, value as u32 as i32, fourth as u32 as i32)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Wakes up to `count` who wait on `word`: for the kernel's own stores.
pub(super) fn wake_word(task: &Task, word: u64, count: i32) {
    if let Ok(key) = Key::of(task, word, Reach::Shared) {
        let _ = wake(key, count, op::BITSET_MATCH_ANY);
    }
}

enum Clock {
    Relative,
    Monotonic,
    Realtime,
}

/// The time since boot at which a wait ends; none where the pointer is null.
fn deadline(pointer: u64, clock: Clock) -> Result<Option<Duration>, Errno> {
    if pointer == 0 {
        return Ok(None);
    }
    let time: Timespec = read_user(UserPtr::new(pointer))?;
    let time = crate::syscall::time::duration(time)?;
    Ok(Some(match clock {
        Clock::Relative => timer::now().saturating_add(time),
        Clock::Monotonic => time,
        Clock::Realtime => time.saturating_sub(timer::boot_time()),
    }))
}

/// A wait that a call asks for, or `restart_syscall` goes on with.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    word: u64,
    reach: Reach,
    expected: u32,
    mask: u32,
    deadline: Option<Duration>,
}

impl Wait {
    /// Goes on with it.
    pub(super) fn run(self) -> Result<u64, Errno> {
        wait(self)
    }
}

fn wait(asked: Wait) -> Result<u64, Errno> {
    let Wait { word, reach, expected, mask, deadline } = asked;
    let key = Key::of(current(), word, reach)?;
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    let ticket = TICKETS.fetch_add(1, Ordering::Relaxed);
    let task = current_arc();
    {
        let mut waiters = WAITERS.lock();
        waiters.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        waiters.push(Waiter { key, ticket, mask, woken: false, task });
    }
    let outcome = match read_user::<u32>(UserPtr::new(word)) {
        Err(fault) => Err(fault.into()),
        Ok(now) if now != expected => Err(Errno::EAGAIN),
        Ok(_) => park(deadline, Cut::BySignals, || woken(ticket)).map_err(|ended| match ended {
            Ended::TimedOut => Errno::ETIMEDOUT,
            Ended::Interrupted => Errno::EINTR,
        }),
    };
    // A wake that was spent on this waiter counts, whatever else happened meanwhile.
    if forget(ticket) {
        return Ok(0);
    }
    if outcome == Err(Errno::EINTR) {
        // Without a deadline the call begins again as it was.
        restart::keep(deadline.map(|_| Remainder::Futex(asked)));
    }
    outcome.map(|()| 0)
}

fn woken(ticket: u64) -> Option<()> {
    WAITERS.lock().iter().any(|waiter| waiter.ticket == ticket && waiter.woken).then_some(())
}

/// Takes the waiter out of the list; whether it was woken.
fn forget(ticket: u64) -> bool {
    let mut waiters = WAITERS.lock();
    let gone = waiters.iter().position(|waiter| waiter.ticket == ticket).map(|at| waiters.remove(at));
    drop(waiters);
    gone.is_some_and(|waiter| waiter.woken)
}

fn wake(key: Key, count: i32, mask: u32) -> Result<u64, Errno> {
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    let mut waiters = WAITERS.lock();
    let meant = |waiter: &&mut Waiter| waiter.key == key && waiter.mask & mask != 0 && !waiter.woken;
    let mut woken = 0;
    for waiter in waiters.iter_mut().filter(meant).take(count.max(1) as usize) {
        waiter.woken = true;
        sched::wake(&waiter.task);
        woken += 1;
    }
    Ok(woken)
}

fn requeue(from: Key, to: Key, wake_count: i32, move_count: i32) -> Result<u64, Errno> {
    if wake_count < 0 || move_count < 0 {
        return Err(Errno::EINVAL);
    }
    let woken = if wake_count > 0 { wake(from, wake_count, op::BITSET_MATCH_ANY)? } else { 0 };
    let mut waiters = WAITERS.lock();
    let mut moved = 0;
    for waiter in waiters.iter_mut().filter(|waiter| waiter.key == from && !waiter.woken).take(move_count as usize) {
        waiter.key = to;
        moved += 1;
    }
    Ok(woken + moved)
}
