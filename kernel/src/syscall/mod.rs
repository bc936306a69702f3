//! System calls: Linux's numbers, arguments and errnos, and the four of our own.
//!
//! A call is a function from its six argument registers to an answer or an [`Errno`]; the table below names each, and
//! is the only place that does. What they do lives in the room it belongs to.

pub(crate) mod file;
mod info;
mod memory;
pub(crate) mod time;

pub(crate) use info::UTSNAME;

use abi::{Errno, nr};

use crate::heap::OutOfMemory;
use crate::task::restart::{self, Restart};
use crate::task::wait::Interrupted;
use crate::trap::TrapFrame;
use crate::{counters, peek, task};

/// The argument registers x0 to x5.
#[repr(C)]
pub(crate) struct Args {
    /// The words as the program left them.
    pub(crate) a: [u64; 6],
}

impl From<OutOfMemory> for Errno {
    fn from(_: OutOfMemory) -> Self {
        Errno::ENOMEM
    }
}

impl From<Interrupted> for Errno {
    fn from(_: Interrupted) -> Self {
        Errno::EINTR
    }
}

/// A call as the table has it, and as the vectors call it: what it answers is what goes to x0.
type Call = extern "C" fn(&Args) -> u64;

/// What x0 says of a call: its value, or its errno below zero.
#[inline(always)]
fn encode(answer: Result<u64, Errno>) -> u64 {
    match answer {
        Ok(value) => value,
        Err(errno) => errno.to_return(),
    }
}

/// Linux's numbers end below this.
pub(crate) const LINUX: usize = 512;
/// Ours begin here.
const OURS: usize = nr::PEEK as usize;

/// A function that the vectors can call, of one that answers or refuses.
macro_rules! call {
    ($call:path) => {{
        extern "C" fn call(args: &Args) -> u64 {
            encode($call(args))
        }
        call
    }};
}

/// The same of one that a signal can cut short, and how it then goes on.
macro_rules! restartable {
    ($call:path, $how:ident) => {{
        extern "C" fn call(args: &Args) -> u64 {
            let answer = $call(args);
            if answer == Err(Errno::EINTR) {
                restart::note(args, Restart::$how);
            }
            encode(answer)
        }
        call
    }};
}

macro_rules! calls {
    (@one $call:path) => { call!($call) };
    (@one $call:path, $how:ident) => { restartable!($call, $how) };
    ($($number:ident => $call:path $(; $how:ident)?,)*) => {{
        let mut table: [Option<Call>; LINUX] = [None; LINUX];
        $(table[nr::$number as usize] = Some(calls!(@one $call $(, $how)?));)*
        table
    }};
}

/// The calls, by number, with how they go on after a signal. The vectors look here first.
pub(crate) static CALLS: [Option<Call>; LINUX] = calls! {
    OPENAT => file::sys_openat,
    CLOSE => file::sys_close,
    CLOSE_RANGE => file::sys_close_range,
    DUP => file::sys_dup,
    DUP3 => file::sys_dup3,
    FCNTL => file::sys_fcntl; System,
    READ => file::sys_read; System,
    WRITE => file::sys_write; System,
    READV => file::sys_readv; System,
    WRITEV => file::sys_writev; System,
    PREAD64 => file::sys_pread64,
    PWRITE64 => file::sys_pwrite64,
    PREADV => file::sys_preadv,
    PWRITEV => file::sys_pwritev,
    PREADV2 => file::sys_preadv2; System,
    PWRITEV2 => file::sys_pwritev2; System,
    SENDFILE => file::sys_sendfile; System,
    COPY_FILE_RANGE => file::sys_copy_file_range,
    LSEEK => file::sys_lseek,
    FSTAT => file::sys_fstat,
    NEWFSTATAT => file::sys_newfstatat,
    STATX => file::sys_statx,
    GETDENTS64 => file::sys_getdents64,
    READLINKAT => file::sys_readlinkat,
    MKDIRAT => file::sys_mkdirat,
    MKNODAT => file::sys_mknodat,
    UNLINKAT => file::sys_unlinkat,
    LINKAT => file::sys_linkat,
    SYMLINKAT => file::sys_symlinkat,
    RENAMEAT => file::sys_renameat,
    RENAMEAT2 => file::sys_renameat2,
    FTRUNCATE => file::sys_ftruncate,
    TRUNCATE => file::sys_truncate,
    FALLOCATE => file::sys_fallocate,
    FLOCK => file::sys_flock; System,
    SYNC_FILE_RANGE => file::sys_sync_file_range,
    FADVISE64 => file::sys_fadvise64,
    READAHEAD => file::sys_readahead,
    FSYNC => file::sys_fsync,
    FDATASYNC => file::sys_fdatasync,
    SYNC => file::sys_sync,
    SYNCFS => file::sys_syncfs,
    FACCESSAT => file::sys_faccessat,
    FACCESSAT2 => file::sys_faccessat2,
    FCHMOD => file::sys_fchmod,
    FCHMODAT => file::sys_fchmodat,
    FCHMODAT2 => file::sys_fchmodat2,
    FCHOWN => file::sys_fchown,
    FCHOWNAT => file::sys_fchownat,
    UTIMENSAT => file::sys_utimensat,
    STATFS => file::sys_statfs,
    FSTATFS => file::sys_fstatfs,
    GETCWD => file::sys_getcwd,
    CHDIR => file::sys_chdir,
    FCHDIR => file::sys_fchdir,
    UMASK => file::sys_umask,
    IOCTL => file::sys_ioctl; System,
    PPOLL => file::sys_ppoll; WithoutHandler,

    BRK => memory::sys_brk,
    MMAP => memory::sys_mmap,
    MUNMAP => memory::sys_munmap,
    MPROTECT => memory::sys_mprotect,
    MADVISE => memory::sys_madvise,
    MREMAP => memory::sys_mremap,
    REMAP_FILE_PAGES => memory::sys_remap_file_pages,
    MINCORE => memory::sys_mincore,
    MSYNC => memory::sys_msync,
    MLOCK => memory::sys_mlock,
    MLOCK2 => memory::sys_mlock2,
    MUNLOCK => memory::sys_munlock,
    MLOCKALL => memory::sys_mlockall,
    MUNLOCKALL => memory::sys_munlockall,
    PERSONALITY => memory::sys_personality,

    EXIT => task::exit::sys_exit,
    EXIT_GROUP => task::exit::sys_exit_group,
    CLONE => task::clone::sys_clone,
    EXECVE => crate::exec::sys_execve,
    WAIT4 => task::reap::sys_wait4; System,
    WAITID => task::reap::sys_waitid; System,
    FUTEX => task::futex::sys_futex; Remainder,
    RT_SIGACTION => task::signal::sys_rt_sigaction,
    RT_SIGPROCMASK => task::signal::sys_rt_sigprocmask,
    RT_SIGPENDING => task::signal::sys_rt_sigpending,
    RT_SIGTIMEDWAIT => task::signal::sys_rt_sigtimedwait,
    RT_SIGSUSPEND => task::signal::sys_rt_sigsuspend; WithoutHandler,
    RT_SIGQUEUEINFO => task::signal::sys_rt_sigqueueinfo,
    RT_TGSIGQUEUEINFO => task::signal::sys_rt_tgsigqueueinfo,
    RT_SIGRETURN => task::signal::sys_rt_sigreturn,
    SIGALTSTACK => task::signal::sys_sigaltstack,
    RESTART_SYSCALL => task::restart::sys_restart_syscall; Remainder,
    KILL => task::kill::sys_kill,
    TKILL => task::kill::sys_tkill,
    TGKILL => task::kill::sys_tgkill,
    SETPGID => task::group::sys_setpgid,
    GETPGID => task::group::sys_getpgid,
    GETSID => task::group::sys_getsid,
    SETSID => task::group::sys_setsid,
    PRCTL => task::keys::sys_prctl,
    SCHED_YIELD => info::sys_sched_yield,

    GETPID => info::sys_getpid,
    GETPPID => info::sys_getppid,
    GETTID => info::sys_gettid,
    SYSINFO => info::sys_sysinfo,
    GETGROUPS => info::sys_getgroups,
    GETRESUID => info::sys_getresuid,
    GETRESGID => info::sys_getresuid,
    GETUID => info::sys_getuid,
    GETEUID => info::sys_getuid,
    GETGID => info::sys_getuid,
    GETEGID => info::sys_getuid,
    UNAME => info::sys_uname,
    SET_TID_ADDRESS => info::sys_set_tid_address,
    SET_ROBUST_LIST => task::robust::sys_set_robust_list,
    GET_ROBUST_LIST => task::robust::sys_get_robust_list,
    GETRUSAGE => task::usage::sys_getrusage,
    TIMES => task::usage::sys_times,
    PRLIMIT64 => info::sys_prlimit64,
    GETRANDOM => info::sys_getrandom,
    CLOCK_GETTIME => time::sys_clock_gettime,
    CLOCK_GETRES => time::sys_clock_getres,
    CLOCK_NANOSLEEP => time::sys_clock_nanosleep; Remainder,
    NANOSLEEP => time::sys_nanosleep; Remainder,
    GETTIMEOFDAY => time::sys_gettimeofday,
};

/// Ours, from [`OURS`] on.
static OUR_CALLS: [Call; 2] = [call!(peek::sys_peek), call!(peek::sys_unpeek)];

/// Serves a call that the vectors did not find in [`CALLS`]: one of ours, or one that nobody knows.
pub(crate) fn rare(frame: &mut TrapFrame) {
    let number = frame.x[8] as usize;
    // SAFETY: the first six words of `x` are an `Args`: the same size, the same alignment, plain words. The vectors
    // hand the others' arguments over in the same way.
    let args = unsafe { &*(&raw const frame.x).cast::<Args>() };
    frame.x[0] = match number.checked_sub(OURS).and_then(|index| OUR_CALLS.get(index)) {
        Some(call) => call(args),
        None => unknown(number),
    };
}

const _: () = assert!(core::mem::offset_of!(TrapFrame, x) == 0 && align_of::<TrapFrame>() >= align_of::<Args>());

#[cold]
fn unknown(number: usize) -> u64 {
    counters::UNKNOWN_CALLS.add(1);
    let name = nr::name(number as u64).unwrap_or("?");
    log::warn!("{:?}: system call {number} ({name}) is not there", task::current());
    encode(Err(Errno::ENOSYS))
}
