//! `close`, `close_range`, `dup`, `dup3`, `fcntl`.

use super::locking::{self, LockOf};
use super::{Args, fd, int, ptr};
use crate::task::current;
use crate::vfs::{Closing, Wait};
use abi::Errno;
use abi::file::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETFD, F_SETFL,
    F_SETLK, F_SETLKW, FD_CLOEXEC, OpenFlags,
};
use alloc::sync::Arc;

/// `CLOSE_RANGE_UNSHARE`: first stop sharing the table.
const CLOSE_RANGE_UNSHARE: u32 = 2;
/// `CLOSE_RANGE_CLOEXEC`: mark instead of closing.
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// `close(fd)`.
///
/// # Errors
/// `EBADF`.
pub(crate) fn sys_close(a: &Args) -> Result<u64, Errno> {
    current().files.close(fd(a, 0)).map(|()| 0)
}

/// `close_range(first, last, flags)`. To unshare is to do nothing where the table is not shared, and refused where it
/// is: a task's table is its own for life.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn sys_close_range(a: &Args) -> Result<u64, Errno> {
    let (first, last, flags) = (int(a, 0), int(a, 1), int(a, 2));
    let files = &current().files;
    let shared = Arc::strong_count(files) > 1;
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0
        || first > last
        || (flags & CLOSE_RANGE_UNSHARE != 0 && shared)
    {
        return Err(Errno::EINVAL);
    }
    let closing = if flags & CLOSE_RANGE_CLOEXEC != 0 { Closing::OnExec } else { Closing::Now };
    files.close_range(first, last, closing);
    Ok(0)
}

/// `dup(fd)`.
///
/// # Errors
/// `EBADF`, `EMFILE`, `ENOMEM`.
pub(crate) fn sys_dup(a: &Args) -> Result<u64, Errno> {
    current().files.duplicate(fd(a, 0), 0, false)
}

/// `dup3(old, new, flags)`.
///
/// # Errors
/// `EINVAL`, `EBADF`, `EBUSY`, `ENOMEM`.
pub(crate) fn sys_dup3(a: &Args) -> Result<u64, Errno> {
    let flags = OpenFlags::from_bits_retain(int(a, 2));
    if !OpenFlags::CLOEXEC.contains(flags) {
        return Err(Errno::EINVAL);
    }
    current().files.duplicate_to(fd(a, 0), fd(a, 1), !flags.is_empty())
}

/// `fcntl(fd, command, argument)`: descriptors, flags and locks; no leases or signals.
///
/// # Errors
/// `EBADF`, also for what a place (`O_PATH`) has not; `EINVAL` for an unknown command or an impossible descriptor; `EMFILE`,
/// `ENOMEM`; those of [`locking::get`] and [`locking::set`].
pub(crate) fn sys_fcntl(a: &Args) -> Result<u64, Errno> {
    let files = &current().files;
    let (fd, argument) = (fd(a, 0), a.a[2]);
    match int(a, 1) {
        F_DUPFD => files.duplicate(fd, argument & 0xffff_ffff, false),
        F_DUPFD_CLOEXEC => files.duplicate(fd, argument & 0xffff_ffff, true),
        F_GETFD => files.is_cloexec(fd).map(u64::from),
        F_SETFD => files.set_cloexec(fd, argument as u32 & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => files.get_raw(fd).map(|file| file.flags().bits().into()),
        F_SETFL => {
            files.get(fd)?.set_flags(OpenFlags::from_bits_retain(argument as u32));
            Ok(0)
        }
        F_GETLK => locking::get(&*files.get(fd)?, ptr(a, 2), LockOf::Process),
        F_OFD_GETLK => locking::get(&*files.get(fd)?, ptr(a, 2), LockOf::OpenFile),
        F_SETLK => locking::set(fd, ptr(a, 2), LockOf::Process, Wait::Refuse),
        F_SETLKW => locking::set(fd, ptr(a, 2), LockOf::Process, Wait::Until),
        F_OFD_SETLK => locking::set(fd, ptr(a, 2), LockOf::OpenFile, Wait::Refuse),
        F_OFD_SETLKW => locking::set(fd, ptr(a, 2), LockOf::OpenFile, Wait::Until),
        _ => Err(files.get(fd).err().unwrap_or(Errno::EINVAL)),
    }
}
