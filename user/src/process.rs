//! Starting programs, waiting for them, ending.
//!
//! A child is made as `vfork` does: it runs in its parent's memory, on its parent's stack, until `execve` gives it its
//! own. Rust may not return twice from a function, so the child's few instructions are assembly that never touches
//! the stack.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use abi::task::{CloneFlags, WaitStatus};
use abi::{Errno, nr, signal};

use crate::call::call;

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

/// Runs the program at `path` as a child and returns once it has started.
///
/// # Errors
/// Those of `clone` and, reported through the memory the child shares, of `execve`.
pub fn spawn<S: AsRef<CStr>, E: AsRef<CStr>>(path: &CStr, args: &[S], environment: &[E]) -> Result<Pid, Errno> {
    let (args, environment) = (vector(args), vector(environment));
    let mut failure = 0;
    // SAFETY: as for `exec`; `failure` outlives the child's use of it, because this program does not go on before the
    // child has ended or runs in memory of its own.
    let child = unsafe { vfork_exec(path.as_ptr(), args.as_ptr(), environment.as_ptr(), &raw mut failure) };
    let pid = Pid(Errno::from_return(child)? as u32);
    match Errno::from_return(failure) {
        Ok(_) => Ok(pid),
        Err(error) => {
            wait(pid)?;
            Err(error)
        }
    }
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

/// Makes a child that shares this memory and runs the program at `path`; returns what `clone` returned. When `execve`
/// fails in the child, its negative result is stored to `failure`.
///
/// # Safety
/// `path` is a string ended by 0, `args` and `environment` are vectors of such, ended by null; `failure` is writable.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
unsafe fn vfork_exec(
    path: *const c_char,
    args: *const *const c_char,
    environment: *const *const c_char,
    failure: *mut u64,
) -> u64 {
    const FLAGS: u64 = CloneFlags::VM.bits() | CloneFlags::VFORK.bits() | signal::SIGCHLD as u64;
    let child;
    // SAFETY: the parent is stopped while the child runs. The child uses registers only, all of its own, and the one
    // word at `failure`; it leaves this block by `execve` or `exit` and in no other way.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",          // the parent, or an error
            "mov x0, {path}",
            "mov x1, {args}",
            "mov x2, {environment}",
            "mov x8, {execve}",
            "svc #0",
            "str x0, [{failure}]",  // still here: execve was refused
            "mov x0, #127",
            "mov x8, {exit}",
            "svc #0",
            "brk #0",
            "2:",
            path = in(reg) path,
            args = in(reg) args,
            environment = in(reg) environment,
            failure = in(reg) failure,
            execve = const nr::EXECVE,
            exit = const nr::EXIT_GROUP,
            inlateout("x8") nr::CLONE => _,
            inlateout("x0") FLAGS => child,
            inlateout("x1") 0u64 => _,  // the child keeps this stack pointer
            inlateout("x2") 0u64 => _,
            inlateout("x3") 0u64 => _,
            inlateout("x4") 0u64 => _,
            options(nostack),
        );
    }
    child
}

/// # Safety
/// None is needed: there is no such kernel under a host.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
unsafe fn vfork_exec(
    _path: *const c_char,
    _args: *const *const c_char,
    _environment: *const *const c_char,
    _failure: *mut u64,
) -> u64 {
    let _ = CloneFlags::VFORK;
    Errno::ENOSYS.to_return()
}
