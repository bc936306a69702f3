//! `fsync`, `fdatasync`, `sync`, `syncfs`: what was written is durable already, so these only check their arguments.

use super::{Args, file};
use abi::Errno;

/// `fsync(fd)`.
///
/// # Errors
/// `EBADF`; `EINVAL` for what is not on the medium.
pub(crate) fn sys_fsync(a: &Args) -> Result<u64, Errno> {
    file(a, 0)?.vnode().disk().map(|_| 0).map_err(|_| Errno::EINVAL)
}

/// `fdatasync(fd)`.
///
/// # Errors
/// As for [`sys_fsync`].
pub(crate) fn sys_fdatasync(a: &Args) -> Result<u64, Errno> {
    sys_fsync(a)
}

/// `sync()`.
///
/// # Errors
/// None.
pub(crate) fn sys_sync(_: &Args) -> Result<u64, Errno> {
    Ok(0)
}

/// `syncfs(fd)`.
///
/// # Errors
/// `EBADF`.
pub(crate) fn sys_syncfs(a: &Args) -> Result<u64, Errno> {
    file(a, 0).map(|_| 0)
}
