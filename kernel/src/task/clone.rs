//! `clone`: threads, children with a copy of the address space (`fork`), and such as borrow it until they run a program of
//! their own (`vfork`).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use abi::task::CloneFlags;

use super::pending::{NO_STACK, Own};
use super::process;
use super::wait::Completion;
use super::{Parts, Start, Task, Tls, current, flag, sched};
use crate::heap;
use crate::syscall::Args;
use crate::trap::TrapFrame;
use crate::uaccess::{UserPtr, write_user};

/// What the calls that this kernel serves may ask for: a thread, a `fork` or a `vfork`.
const KNOWN: CloneFlags = CloneFlags::CSIGNAL
    .union(CloneFlags::VM)
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::VFORK)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM)
    .union(CloneFlags::SETTLS)
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_CLEARTID)
    .union(CloneFlags::CHILD_SETTID)
    .union(CloneFlags::DETACHED)
    .union(CloneFlags::UNTRACED)
    .union(CloneFlags::IO);

/// Heap that a task and its process take in pieces.
const WORST_CASE: usize = 32 << 10;

/// `clone(flags, stack, parent_tid, tls, child_tid)`.
///
/// Refusals as Linux's `copy_process`.
pub(crate) fn sys_clone(a: &Args) -> Result<u64, Errno> {
    let [flags, stack, parent_tid, tls, child_tid, _] = a.a;
    let flags = CloneFlags::from_bits_retain(flags);
    check(flags)?;
    heap::reserve(WORST_CASE)?;
    sched::admit().map_err(|_| Errno::EAGAIN)?;
    let made = make(flags, stack, tls);
    let (child, completion) = match made {
        Ok(made) => made,
        Err(error) => {
            sched::dismiss();
            return Err(error);
        }
    };
    let tid = child.tid;
    if flags.contains(CloneFlags::PARENT_SETTID) {
        // Linux ignores a bad pointer here too.
        let _ = write_user(UserPtr::new(parent_tid), &tid);
    }
    if flags.contains(CloneFlags::CHILD_SETTID) {
        child.set_child_tid.store(child_tid, Relaxed);
        child.raise(flag::NEW);
    }
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        child.clear_child_tid.store(child_tid, Relaxed);
    }
    sched::wake(&child);
    drop(child);
    if let Some(completion) = completion {
        // Where the wait is cut short this thread ends too, and touches nothing the child still borrows.
        let _ = completion.wait();
    }
    Ok(u64::from(tid))
}

fn check(flags: CloneFlags) -> Result<(), Errno> {
    if flags.contains(CloneFlags::THREAD) && !flags.contains(CloneFlags::SIGHAND) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::SIGHAND) && !flags.contains(CloneFlags::VM) {
        return Err(Errno::EINVAL);
    }
    if !KNOWN.contains(flags) {
        return Err(Errno::EINVAL);
    }
    // Linux lets two processes share their handlers.
    if flags.contains(CloneFlags::SIGHAND) && !flags.contains(CloneFlags::THREAD) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The first thing a child does where it was asked to (`schedule_tail`).
pub(super) fn store_own_number(task: &Task) {
    // Linux ignores a bad pointer here too.
    let _ = write_user(UserPtr::new(task.set_child_tid.load(Relaxed)), &task.tid);
}

/// The child, not yet running, and what its maker waits for.
fn make(flags: CloneFlags, stack: u64, tls: u64) -> Result<(Arc<Task>, Option<Arc<Completion>>), Errno> {
    let parent = current();
    let tid = process::fresh_id().map_err(|_| Errno::EAGAIN)?;
    let thread = flags.contains(CloneFlags::THREAD);
    let exit_signal = (flags & CloneFlags::CSIGNAL).bits() as u32;
    let process = if thread { parent.process.clone() } else { process::create_child(tid, &parent.process, exit_signal) };
    let files = if flags.contains(CloneFlags::FILES) { Ok(parent.files.clone()) } else { parent.files.copy().map(Arc::new) };
    let place = if flags.contains(CloneFlags::FS) { parent.place.clone() } else { Arc::new(parent.place.copy()) };
    let finish = |files| {
        let space = match parent.space() {
            Some(space) if !flags.contains(CloneFlags::VM) => Some(space.fork()?),
            space => space.cloned(),
        };
        let parts = Parts { process: process.clone(), files, place, space };
        let tls = if flags.contains(CloneFlags::SETTLS) { tls } else { super::tls() };
        let child = Task::new(tid, parts, Start::Program(&child_frame(parent, stack), Tls(tls)))?;
        let (blocked, mut stack) = {
            let own = parent.signals.lock();
            (own.blocked, own.stack)
        };
        // Two who run in one space at a time cannot run on one stack.
        if flags & (CloneFlags::VM | CloneFlags::VFORK) == CloneFlags::VM {
            stack = NO_STACK;
        }
        *child.signals.lock() = Own::new(blocked, stack);
        process::join(&child)?;
        Ok(child)
    };
    match files.and_then(finish) {
        Ok(child) => {
            let completion = flags.contains(CloneFlags::VFORK).then(|| Arc::new(Completion::new()));
            *child.vfork.lock() = completion.clone();
            Ok((child, completion))
        }
        Err(error) => {
            if !thread {
                process::abandon(tid);
            }
            Err(error)
        }
    }
}

/// The parent's registers, with 0 as the answer, and the stack the parent gave.
fn child_frame(parent: &Task, stack: u64) -> TrapFrame {
    // SAFETY: the parent is the current task, in a system call of its program; the frame is only read.
    let mut frame = unsafe { *parent.program_frame() };
    frame.x[0] = 0;
    if stack != 0 {
        frame.sp = stack;
    }
    frame
}
