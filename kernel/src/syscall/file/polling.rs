//! `ppoll`: which descriptors are ready. Files and devices always are; the terminal is when a read or a write would not wait.

use core::time::Duration;

use abi::Errno;
use abi::file::{POLLIN, POLLNVAL, POLLOUT, PollFd};
use abi::signal::Sigset;
use abi::time::Timespec;
use alloc::vec::Vec;

use crate::console::terminal::TERMINAL;
use crate::heap;
use crate::syscall::{Args, time};
use crate::task::{current, signal};
use crate::task::wait::Ended;
use crate::timer;
use crate::uaccess::{UserPtr, read_user, write_user};
use crate::vfs::Files;

/// `ppoll(fds, count, timeout, mask, size)`. While it waits, the thread blocks `mask` and no other signals.
pub(crate) fn sys_ppoll(a: &Args) -> Result<u64, Errno> {
    let [fds, count, timeout, mask, size, _] = a.a;
    let deadline = match timeout {
        0 => None,
        pointer => {
            let wait = time::duration(read_user::<Timespec>(UserPtr::new(pointer))?)?;
            Some(timer::now().saturating_add(wait))
        }
    };
    if mask != 0 {
        if size != size_of::<Sigset>() as u64 {
            return Err(Errno::EINVAL);
        }
        signal::block_meanwhile(current(), read_user::<Sigset>(UserPtr::new(mask))?);
    }
    let outcome = poll(UserPtr::new(fds), count, deadline);
    if mask != 0 && outcome != Err(Errno::EINTR) {
        signal::restore_mask(current());
    }
    if let Some(deadline) = deadline {
        // Linux tells what is left, and does not mind where that cannot be stored.
        let left = deadline.saturating_sub(timer::now());
        let _ = write_user(UserPtr::new(timeout), &time::timespec(left));
    }
    outcome
}

fn poll(fds: UserPtr, count: u64, deadline: Option<Duration>) -> Result<u64, Errno> {
    if count > Files::LIMIT as u64 {
        return Err(Errno::EINVAL);
    }
    let mut asked = read_all(fds, count as usize)?;
    let ready = wait(&mut asked, deadline)?;
    for (index, one) in asked.iter().enumerate() {
        write_user(fds.add((index * size_of::<PollFd>()) as u64), one)?;
    }
    Ok(ready)
}

fn read_all(from: UserPtr, count: usize) -> Result<Vec<PollFd>, Errno> {
    heap::reserve(count * size_of::<PollFd>())?;
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        all.push(read_user(from.add((index * size_of::<PollFd>()) as u64))?);
    }
    Ok(all)
}

/// Waits until something is ready, or for the deadline; answers how many are.
fn wait(asked: &mut [PollFd], deadline: Option<Duration>) -> Result<u64, Errno> {
    let ready = look(asked);
    if ready > 0 || deadline.is_some_and(|deadline| deadline <= timer::now()) {
        return Ok(ready);
    }
    match TERMINAL.wait_for_input(deadline, || Some(look(asked)).filter(|ready| *ready > 0)) {
        Ok(ready) => Ok(ready),
        Err(Ended::TimedOut) => Ok(0),
        Err(Ended::Interrupted) => Err(Errno::EINTR),
    }
}

/// Sets what each is ready for; answers how many are ready for anything.
fn look(asked: &mut [PollFd]) -> u64 {
    let mut ready = 0;
    for one in asked {
        one.revents = events(one);
        ready += u64::from(one.revents != 0);
    }
    ready
}

fn events(one: &PollFd) -> i16 {
    if one.fd < 0 {
        return 0;
    }
    match current().files.get(one.fd) {
        Err(_) => POLLNVAL,
        Ok(file) if file.is_terminal() => {
            let readable = if TERMINAL.ready_to_read() { POLLIN } else { 0 };
            let writable = if TERMINAL.ready_to_write() { POLLOUT } else { 0 };
            one.events & (readable | writable)
        }
        Ok(_) => one.events & (POLLIN | POLLOUT),
    }
}
