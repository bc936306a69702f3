//! `mlock` and its kin. Every program is root and may lock what it likes.

use abi::Errno;
use abi::mem::{MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT};
use mm::space::{FaultError, LockAll, LockError, LockHow};
use units::VirtAddr;

use super::space;
use crate::layout::untagged;
use crate::syscall::Args;

fn lock_errno(error: LockError) -> Errno {
    match error {
        LockError::Forbidden => Errno::EPERM,
        LockError::Invalid => Errno::EINVAL,
        LockError::Limit | LockError::Unmapped | LockError::OutOfMemory => Errno::ENOMEM,
    }
}

fn lock(start: u64, len: u64, how: LockHow) -> Result<u64, Errno> {
    let space = space()?;
    let range = space.lock().lock(VirtAddr::new(untagged(start)), len, how).map_err(lock_errno)?;
    if let Some(range) = range {
        // What is locked on faults is passed over. `__mlock_posix_error_return`.
        space.populate(range).map_err(|error| match error {
            FaultError::OutOfMemory => Errno::EAGAIN,
            _ => Errno::ENOMEM,
        })?;
    }
    Ok(0)
}

/// `mlock(address, len)`.
pub(crate) fn sys_mlock(a: &Args) -> Result<u64, Errno> {
    lock(a.a[0], a.a[1], LockHow::Now)
}

/// `mlock2(address, len, flags)`.
pub(crate) fn sys_mlock2(a: &Args) -> Result<u64, Errno> {
    match a.a[2] {
        0 => lock(a.a[0], a.a[1], LockHow::Now),
        MLOCK_ONFAULT => lock(a.a[0], a.a[1], LockHow::OnFault),
        _ => Err(Errno::EINVAL),
    }
}

/// `munlock(address, len)`.
pub(crate) fn sys_munlock(a: &Args) -> Result<u64, Errno> {
    space()?.lock().unlock(VirtAddr::new(untagged(a.a[0])), a.a[1]).map_err(lock_errno)?;
    Ok(0)
}

/// `mlockall(flags)`.
pub(crate) fn sys_mlockall(a: &Args) -> Result<u64, Errno> {
    let what = match a.a[0] & !MCL_ONFAULT {
        MCL_CURRENT => LockAll::Current,
        MCL_FUTURE => LockAll::Future,
        both if both == MCL_CURRENT | MCL_FUTURE => LockAll::Both,
        _ => return Err(Errno::EINVAL),
    };
    let how = if a.a[0] & MCL_ONFAULT == 0 { LockHow::Now } else { LockHow::OnFault };
    let space = space()?;
    let range = space.lock().lock_all(what, how).map_err(lock_errno)?;
    if let Some(range) = range {
        // As on Linux, what cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(0)
}

/// `munlockall()`.
pub(crate) fn sys_munlockall(_: &Args) -> Result<u64, Errno> {
    space()?.lock().unlock_all();
    Ok(0)
}
