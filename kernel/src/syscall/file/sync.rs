//! `fsync`, `fdatasync`, `sync`, `syncfs`: what was written is durable already; what programs have stored to files that they
//! share is made so here.

use super::{Args, file};
use crate::space::{sync_all_stores, sync_stores};
use crate::vfs::error::errno;
use abi::Errno;

/// `fsync(fd)`.
///
/// # Errors
/// `EBADF`; `EINVAL` for what is not on the medium; `ENOMEM`.
pub(crate) fn sys_fsync(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    let node = file.vnode().disk().map_err(|_| Errno::EINVAL)?;
    sync_stores(node, (0, u64::MAX)).map_err(errno)?;
    Ok(0)
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
    // As on Linux, there is nobody to tell what could not be done.
    let _ = sync_all_stores();
    Ok(0)
}

/// `syncfs(fd)`.
///
/// # Errors
/// `EBADF`, `ENOMEM`.
pub(crate) fn sys_syncfs(a: &Args) -> Result<u64, Errno> {
    file(a, 0)?;
    sync_all_stores().map_err(errno)?;
    Ok(0)
}
