//! `clone`: threads, and children that borrow the address space until they run a program of their own.

use alloc::sync::Arc;

use abi::Errno;
use abi::signal::SIGCHLD;
use abi::task::CloneFlags;

use super::process;
use super::wait::Completion;
use super::{Parts, Start, Task, Tls, current, sched};
use crate::heap;
use crate::syscall::Args;
use crate::trap::TrapFrame;
use crate::uaccess::{UserPtr, write_user};

/// What is allowed to differ between the calls this kernel serves: a thread, or a `vfork`.
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
/// A copy of the address space (`fork`, no `CLONE_VM`) is refused with `ENOSYS`; other refusals as Linux's
/// `copy_process`.
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
    if flags.contains(CloneFlags::PARENT_SETTID) || flags.contains(CloneFlags::CHILD_SETTID) {
        // One address space, so both words can be stored from here. Linux ignores a bad pointer here too.
        for (asked, word) in [(CloneFlags::PARENT_SETTID, parent_tid), (CloneFlags::CHILD_SETTID, child_tid)] {
            if flags.contains(asked) {
                let _ = write_user(UserPtr::new(word), &tid);
            }
        }
    }
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        child.clear_child_tid.store(child_tid, core::sync::atomic::Ordering::Relaxed);
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
    let exit_signal = (flags & CloneFlags::CSIGNAL).bits() as u32;
    if !flags.contains(CloneFlags::THREAD) && exit_signal != SIGCHLD && exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    if !flags.contains(CloneFlags::VM) {
        log::warn!("clone without CLONE_VM (fork) is not there yet");
        return Err(Errno::ENOSYS);
    }
    Ok(())
}

/// The child, not yet running, and what its maker waits for.
fn make(flags: CloneFlags, stack: u64, tls: u64) -> Result<(Arc<Task>, Option<Arc<Completion>>), Errno> {
    let parent = current();
    let tid = process::fresh_id().map_err(|_| Errno::EAGAIN)?;
    let thread = flags.contains(CloneFlags::THREAD);
    let process = if thread { parent.process.clone() } else { process::create_child(tid, &parent.process) };
    let files = if flags.contains(CloneFlags::FILES) { Ok(parent.files.clone()) } else { parent.files.copy().map(Arc::new) };
    let place = if flags.contains(CloneFlags::FS) { parent.place.clone() } else { Arc::new(parent.place.copy()) };
    let finish = |files| {
        let parts = Parts { process: process.clone(), files, place, space: parent.space().cloned() };
        let tls = if flags.contains(CloneFlags::SETTLS) { tls } else { super::tls() };
        let child = Task::new(tid, parts, Start::Program(&child_frame(parent, stack), Tls(tls)))?;
        let blocked = *parent.blocked.lock();
        *child.blocked.lock() = blocked;
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
