//! Starting programs, waiting for them, ending.
//!
//! A child is made as `vfork` does: it runs in its parent's memory, on its parent's stack, until `execve` gives it its
//! own. Rust may not return twice from a function, so the child's few instructions are assembly that never touches
//! the stack: a loop over prepared calls.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use abi::signal::{Sigaction, Sigset};
use abi::task::{CloneFlags, WaitStatus};
use abi::tty::TIOCSPGRP;
use abi::{Errno, nr, signal};

use crate::call::call;
use crate::file::Fd;

/// A child's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pid(u32);

/// Ends the program with `status`, of which a parent sees the low 8 bits.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: no address is passed.
        let _ = unsafe { call(nr::EXIT_GROUP, [status as u64]) };
    }
}

/// Runs the program at `path` in place of this one.
///
/// Returns only to say why that failed: the errors of `execve`.
pub fn exec<S: AsRef<CStr>, E: AsRef<CStr>>(path: &CStr, args: &[S], environment: &[E]) -> Errno {
    let (args, environment) = (vector(args), vector(environment));
    let arguments = [path.as_ptr() as u64, args.as_ptr() as u64, environment.as_ptr() as u64];
    // SAFETY: path and vectors are strings ended by 0 and vectors ended by null, which the kernel only reads.
    unsafe { call(nr::EXECVE, arguments) }.err().unwrap_or(Errno::EIO)
}

/// Where a program runs, as seen from the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// In the group of its parent.
    Parents,
    /// In a group of its own, in the foreground of this terminal, ended by ^C and ^\ whatever its parent made of those.
    Foreground(Fd),
}

/// Runs the program at `path` as a child and returns once it has started.
///
/// # Errors
/// Those of `clone` and, reported through the memory the child shares, of `execve`.
pub fn spawn<S: AsRef<CStr>, E: AsRef<CStr>>(path: &CStr, args: &[S], environment: &[E]) -> Result<Pid, Errno> {
    spawn_as(Job::Parents, path, args, environment)
}

/// As [`spawn`], and says where it runs.
///
/// # Errors
/// As for [`spawn`].
pub fn spawn_as<S: AsRef<CStr>, E: AsRef<CStr>>(
    job: Job,
    path: &CStr,
    args: &[S],
    environment: &[E],
) -> Result<Pid, Errno> {
    let (args, environment) = (vector(args), vector(environment));
    let (mut failure, mut number, default) = (0, 0u32, Sigaction::default());
    let mut steps = Vec::new();
    if let Job::Foreground(terminal) = job {
        // The kernel has stored the child's number by the time the child begins.
        let child = (&raw mut number) as u64;
        steps.push(Step::new(nr::SETPGID, [0; 4]));
        steps.push(Step::new(nr::IOCTL, [terminal.argument(), TIOCSPGRP.into(), child, 0]));
        for signal in FROM_TERMINAL {
            let action = (&raw const default) as u64;
            steps.push(Step::new(nr::RT_SIGACTION, [signal.into(), action, 0, size_of::<Sigset>() as u64]));
        }
    }
    steps.push(Step::new(nr::EXECVE, [path.as_ptr() as u64, args.as_ptr() as u64, environment.as_ptr() as u64, 0]));
    // SAFETY: the steps read strings ended by 0, vectors of such ended by null, and words above; all of it and
    // `failure` outlive the child's use, because this program does not go on before the child has ended or runs in
    // memory of its own.
    let child = unsafe { vfork(&steps, &raw mut number, &raw mut failure) };
    let pid = Pid(Errno::from_return(child)? as u32);
    match Errno::from_return(failure) {
        Ok(_) => Ok(pid),
        Err(error) => {
            wait(pid)?;
            Err(error)
        }
    }
}

/// The signals of the terminal's keys, and that of who writes to it from behind.
const FROM_TERMINAL: [u32; 4] = [signal::SIGINT, signal::SIGQUIT, signal::SIGTSTP, signal::SIGTTOU];

/// Takes no notice of the signals of the terminal's keys from now on, as a shell does.
///
/// # Errors
/// Those of `rt_sigaction`.
pub fn ignore_keys() -> Result<(), Errno> {
    let ignore = Sigaction { handler: signal::SIG_IGN, ..Sigaction::default() };
    for signal in FROM_TERMINAL {
        let arguments = [signal.into(), (&raw const ignore) as u64, 0, size_of::<Sigset>() as u64];
        // SAFETY: the kernel reads one `Sigaction`.
        unsafe { call(nr::RT_SIGACTION, arguments) }?;
    }
    Ok(())
}

/// The program's process group.
///
/// # Errors
/// Those of `getpgid`.
pub fn group() -> Result<u32, Errno> {
    // SAFETY: no address is passed.
    unsafe { call(nr::GETPGID, [0]) }.map(|group| group as u32)
}

/// Waits until the child `pid` has ended.
///
/// # Errors
/// Those of `wait4`: `ECHILD` when it is no child of this program.
pub fn wait(pid: Pid) -> Result<WaitStatus, Errno> {
    let mut status = WaitStatus::default();
    // SAFETY: the kernel writes one word.
    unsafe { call(nr::WAIT4, [pid.0.into(), (&raw mut status.0) as u64, 0, 0]) }?;
    Ok(status)
}

/// What a shell prints about a child that a signal ended; `None` for one that exited.
pub fn death(status: WaitStatus) -> Option<&'static str> {
    status.signal().map(|number| signal::text(number).unwrap_or("Killed by a real-time signal"))
}

/// The addresses of `strings`, ended by null.
fn vector<S: AsRef<CStr>>(strings: &[S]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ref().as_ptr()).chain([core::ptr::null()]).collect()
}

/// One call of a child before it is a program of its own: the number, then the arguments.
#[derive(Clone, Copy)]
#[repr(C)]
struct Step([u64; 6]);

impl Step {
    const fn new(number: u64, [a, b, c, d]: [u64; 4]) -> Self {
        Self([number, a, b, c, d, 0])
    }
}

/// Makes a child that shares this memory and makes the calls of `steps`, the last of which makes a program of it;
/// returns what `clone` returned. The child's number is stored to `number` before it begins. When the last call fails
/// its negative result is stored to `failure`; others may fail unseen.
///
/// # Safety
/// The addresses in `steps` are what their calls want; `number` and `failure` are writable.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
unsafe fn vfork(steps: &[Step], number: *mut u32, failure: *mut u64) -> u64 {
    const FLAGS: u64 =
        CloneFlags::VM.bits() | CloneFlags::VFORK.bits() | CloneFlags::PARENT_SETTID.bits() | signal::SIGCHLD as u64;
    let child;
    // SAFETY: the parent is stopped while the child runs. The child uses registers only, all of its own, reads the
    // steps and writes the one word at `failure`; it leaves this block by `execve` or `exit` and in no other way.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",                  // the parent, or an error
            "1:",
            "ldp x8, x0, [{step}]",
            "ldp x1, x2, [{step}, #16]",
            "ldr x3, [{step}, #32]",
            "add {step}, {step}, #48",
            "svc #0",
            "sub {left}, {left}, #1",
            "cbnz {left}, 1b",
            "str x0, [{failure}]",          // still here: execve was refused
            "mov x0, #127",
            "mov x8, {exit}",
            "svc #0",
            "brk #0",
            "2:",
            step = inout(reg) steps.as_ptr() => _,
            left = inout(reg) steps.len() => _,
            failure = in(reg) failure,
            exit = const nr::EXIT_GROUP,
            inlateout("x8") nr::CLONE => _,
            inlateout("x0") FLAGS => child,
            inlateout("x1") 0u64 => _,      // the child keeps this stack pointer
            inlateout("x2") number => _,
            inlateout("x3") 0u64 => _,
            inlateout("x4") 0u64 => _,
            options(nostack),
        );
    }
    child
}

const _: () = assert!(size_of::<Step>() == 48);

/// # Safety
/// None is needed: there is no such kernel under a host.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
unsafe fn vfork(steps: &[Step], _number: *mut u32, _failure: *mut u64) -> u64 {
    let _ = (CloneFlags::VFORK, steps.iter().map(|step| step.0.len()).sum::<usize>());
    Errno::ENOSYS.to_return()
}
