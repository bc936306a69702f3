//! Who a program is, and what machine it is on.

use core::sync::atomic::Ordering;

use abi::Errno;
use abi::task::{Rlimit64, Utsname};

use crate::syscall::Args;
use crate::task::{current, sched};
use crate::uaccess::{UserPtr, copy_to_user, read_user, write_user};
use crate::rng;

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
    const NAME: Utsname = Utsname {
        sysname: Utsname::field("Linux"),
        nodename: Utsname::field("vitrine"),
        release: Utsname::field("6.1.0-vitrine"),
        version: Utsname::field(concat!("Vitrine ", env!("CARGO_PKG_VERSION"))),
        machine: Utsname::field("aarch64"),
        domainname: Utsname::field("(none)"),
    };
    write_user(UserPtr::new(a.a[0]), &NAME)?;
    Ok(0)
}

/// `set_tid_address(word)`.
pub(crate) fn sys_set_tid_address(a: &Args) -> Result<u64, Errno> {
    let task = current();
    task.clear_child_tid.store(a.a[0], Ordering::Relaxed);
    Ok(u64::from(task.tid))
}

/// `set_robust_list(head, len)`: taken, and not walked: no memory is shared between processes yet, so that the owner of
/// a robust futex and its waiters end together.
pub(crate) fn sys_set_robust_list(a: &Args) -> Result<u64, Errno> {
    const HEAD: u64 = 24;
    if a.a[1] == HEAD { Ok(0) } else { Err(Errno::EINVAL) }
}

/// `prlimit64(pid, resource, new, old)`: the limits are what they are; setting one to what it is succeeds.
pub(crate) fn sys_prlimit64(a: &Args) -> Result<u64, Errno> {
    let [pid, resource, new, old, ..] = a.a;
    if pid != 0 && pid != u64::from(current().process.pid) {
        return Err(Errno::ESRCH);
    }
    let limit = limit(resource as u32).ok_or(Errno::EINVAL)?;
    if new != 0 {
        let wanted: Rlimit64 = read_user(UserPtr::new(new))?;
        if wanted.cur > wanted.max {
            return Err(Errno::EINVAL);
        }
        if wanted != limit {
            return Err(Errno::EPERM);
        }
    }
    if old != 0 {
        write_user(UserPtr::new(old), &limit)?;
    }
    Ok(0)
}

/// What Linux gives a first process, where it means something here.
fn limit(resource: u32) -> Option<Rlimit64> {
    use abi::task::rlimit;
    let same = |value| Rlimit64 { cur: value, max: value };
    Some(match resource {
        rlimit::STACK => Rlimit64 { cur: mm::space::DEFAULT_STACK_LIMIT, max: rlimit::INFINITY },
        rlimit::NOFILE => same(crate::vfs::Files::LIMIT as u64),
        rlimit::CORE => same(0),
        resource if resource < rlimit::COUNT => same(rlimit::INFINITY),
        _ => return None,
    })
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
