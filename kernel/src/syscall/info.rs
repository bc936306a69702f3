//! Who a program is, and what machine it is on.

use core::sync::atomic::Ordering;

use abi::Errno;
use abi::task::{Rlimit64, Sysinfo, Utsname, rlimit};
use units::PAGE_SHIFT;

use crate::syscall::Args;
use crate::task::{current, sched};
use crate::uaccess::{UserPtr, copy_to_user, read_user, write_user};
use crate::{frames, rng, task, timer};

/// What the kernel calls itself.
pub(crate) const UTSNAME: Utsname = Utsname {
    sysname: Utsname::field("Linux"),
    nodename: Utsname::field("vitrine"),
    release: Utsname::field("6.1.0-vitrine"),
    version: Utsname::field(concat!("Vitrine ", env!("CARGO_PKG_VERSION"))),
    machine: Utsname::field("aarch64"),
    domainname: Utsname::field("(none)"),
};

/// `getpid`.
pub(crate) fn sys_getpid(_: &Args) -> Result<u64, Errno> {
    Ok(u64::from(current().process.pid))
}

/// `getppid`.
pub(crate) fn sys_getppid(_: &Args) -> Result<u64, Errno> {
    Ok(u64::from(current().process.parent()))
}

/// `gettid`.
pub(crate) fn sys_gettid(_: &Args) -> Result<u64, Errno> {
    Ok(u64::from(current().tid))
}

/// `getuid` and its kin: there is one user, root.
pub(crate) fn sys_getuid(_: &Args) -> Result<u64, Errno> {
    Ok(0)
}

/// `sched_yield`.
pub(crate) fn sys_sched_yield(_: &Args) -> Result<u64, Errno> {
    sched::yield_now();
    Ok(0)
}

/// `uname`. The release is the Linux whose interface this is, so that C libraries do not refuse to start.
pub(crate) fn sys_uname(a: &Args) -> Result<u64, Errno> {
    write_user(UserPtr::new(a.a[0]), &UTSNAME)?;
    Ok(0)
}

/// `getgroups(size, groups)`: none beside the first.
pub(crate) fn sys_getgroups(a: &Args) -> Result<u64, Errno> {
    if (a.a[0] as i32) < 0 { Err(Errno::EINVAL) } else { Ok(0) }
}

/// `getresuid` and `getresgid`: root, and nobody else.
pub(crate) fn sys_getresuid(a: &Args) -> Result<u64, Errno> {
    a.a[..3].iter().try_for_each(|&to| write_user(UserPtr::new(to), &0u32))?;
    Ok(0)
}

/// `sysinfo(to)`. How many were ready over minutes is not kept: 0.
pub(crate) fn sys_sysinfo(a: &Args) -> Result<u64, Errno> {
    let (used, total) = frames::usage();
    let now = timer::now();
    let info = Sysinfo {
        // Rounded up, as Linux does.
        uptime: (now.as_secs() + u64::from(now.subsec_nanos() > 0)) as i64,
        totalram: total.get() << PAGE_SHIFT,
        freeram: total.get().saturating_sub(used.get()) << PAGE_SHIFT,
        procs: u16::try_from(task::process::threads()).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    write_user(UserPtr::new(a.a[0]), &info)?;
    Ok(0)
}

/// `set_tid_address(word)`.
pub(crate) fn sys_set_tid_address(a: &Args) -> Result<u64, Errno> {
    let task = current();
    task.clear_child_tid.store(a.a[0], Ordering::Relaxed);
    Ok(u64::from(task.tid))
}

/// `prlimit64(pid, resource, new, old)`. The limits of the stack, of locked memory, of addresses and of files can be set, by
/// root to anything; the others are what they are, and setting one to that succeeds.
pub(crate) fn sys_prlimit64(a: &Args) -> Result<u64, Errno> {
    let [pid, resource, new, old, ..] = a.a;
    let task = current();
    let wanted = if new == 0 { None } else { Some(read_user::<Rlimit64>(UserPtr::new(new))?) };
    if pid as u32 != 0 && pid as u32 != task.process.pid {
        return Err(Errno::ESRCH);
    }
    if resource as u32 >= rlimit::COUNT || wanted.is_some_and(|wanted| wanted.cur > wanted.max) {
        return Err(Errno::EINVAL);
    }
    let before = exchange_limit(resource as u32, wanted)?;
    if old != 0 {
        write_user(UserPtr::new(old), &before)?;
    }
    Ok(0)
}

/// Sets a limit of the current process, where one is wanted; answers what it was.
fn exchange_limit(resource: u32, wanted: Option<Rlimit64>) -> Result<Rlimit64, Errno> {
    let task = current();
    let mut limits = task.process.limits.lock();
    let Some(limit) = limits.resource(resource) else {
        let fixed = fixed_limit(resource);
        return if wanted.is_none_or(|wanted| wanted == fixed) { Ok(fixed) } else { Err(Errno::EPERM) };
    };
    let before = *limit;
    if let Some(wanted) = wanted {
        *limit = wanted;
        task.process.set_file_end(limits.file_end());
        if let Some(space) = task.space() {
            space.lock().set_limits(limits.of_space());
        }
    }
    Ok(before)
}

/// What Linux gives a first process, where it means something here.
fn fixed_limit(resource: u32) -> Rlimit64 {
    let same = |value| Rlimit64 { cur: value, max: value };
    match resource {
        rlimit::NOFILE => same(crate::vfs::Files::LIMIT as u64),
        rlimit::CORE => same(0),
        _ => same(rlimit::INFINITY),
    }
}

/// `getrandom(buffer, len, flags)`.
pub(crate) fn sys_getrandom(a: &Args) -> Result<u64, Errno> {
    const KNOWN: u64 = 0b111;
    const BOTH: u64 = 0b110;
    let [buffer, len, flags, ..] = a.a;
    if flags & !KNOWN != 0 || flags & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let len = len.min(i32::MAX as u64);
    let mut piece = [0; 256];
    let mut done = 0;
    while done < len {
        let step = (len - done).min(piece.len() as u64);
        let piece = &mut piece[..step as usize];
        rng::fill(piece);
        match copy_to_user(UserPtr::new(buffer).add(done), piece) {
            Ok(()) => done += step,
            Err(_) if done > 0 => break,
            Err(fault) => return Err(fault.into()),
        }
        if current().killed() {
            break;
        }
    }
    Ok(done)
}
