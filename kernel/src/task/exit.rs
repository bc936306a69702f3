//! Ends: of a thread, of a process, of the machine.

use alloc::sync::Arc;

use abi::Errno;
use abi::signal;
use abi::task::WaitStatus;

use super::process::{self, Left};
use super::{Task, current, futex, robust, sched};
use crate::syscall::Args;
use crate::uaccess::{UserPtr, write_user};
use crate::vfs::Closing;

/// `exit`: the calling thread ends.
pub(crate) fn sys_exit(a: &Args) -> Result<u64, Errno> {
    end_thread(WaitStatus::exited(a.a[0] as i32))
}

/// `exit_group`: every thread of the calling process ends.
pub(crate) fn sys_exit_group(a: &Args) -> Result<u64, Errno> {
    end_process(WaitStatus::exited(a.a[0] as i32))
}

/// Ends the calling process with `status`.
pub(crate) fn end_process(status: WaitStatus) -> ! {
    process::begin_end(current(), status);
    end_thread(status)
}

/// Ends the calling thread, which was told to: its process has decided on a status, or `execve` wants to be alone.
pub(super) fn exit_killed() -> ! {
    end_thread(WaitStatus::signaled(signal::SIGKILL))
}

/// Ends a task of the kernel.
pub(crate) fn end_kernel_task() -> ! {
    sched::end()
}

fn end_thread(status: WaitStatus) -> ! {
    let task = current();
    robust::release(task);
    clear_child_tid(task);
    let space = task.replace_space(None);
    task.finish_vfork();
    // Mappings, and the pins behind them, go before anybody learns of the end: what they held is free by then.
    drop(space);
    // Who looks after the end finds the files closed; other threads may still share them.
    if Arc::strong_count(&task.files) == 1 {
        task.files.close_range(0, u32::MAX, Closing::Now);
    }
    if let Left::Nothing(status) = process::leave(task, status)
        && task.process.pid == process::INIT
    {
        end_of_init(status)
    }
    sched::end()
}

/// `set_tid_address`'s promise: the word is 0, and who waits for that is woken (pthread_join).
fn clear_child_tid(task: &Task) {
    let word = task.clear_child_tid.load(core::sync::atomic::Ordering::Relaxed);
    if word != 0 && write_user(UserPtr::new(word), &0u32).is_ok() {
        futex::wake_word(task, word, 1);
    }
}

/// The first program ended, and with it the machine; nobody else is there to tell of a signal.
fn end_of_init(status: WaitStatus) -> ! {
    if let Some(text) = status.signal().and_then(signal::text) {
        crate::console::say(format_args!("{text}\n"));
    }
    crate::exit::exit(i32::from(status.shell_status()))
}
