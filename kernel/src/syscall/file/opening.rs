//! `openat`, `umask`.

use super::{Args, Base, PathRoom, fd, int, ptr};
use crate::task::current;
use crate::vfs::open::{How, open};
use abi::Errno;

/// `openat(dirfd, path, flags, mode)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `ENOENT`, `ENAMETOOLONG`, `EMFILE`, `EBADF`, and those of [`open`].
pub(crate) fn sys_openat(a: &Args) -> Result<u64, Errno> {
    let task = current();
    let how = How::new(int(a, 2), task.place.masked(int(a, 3)))?;
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 1))?;
    let reserved = task.files.reserve(0, how.cloexec())?;
    let base = Base::new(fd(a, 0), path)?;
    let file = open(base.vnode(), path, how)?;
    Ok(reserved.install(file))
}

/// `umask(mask)`: answers the old one.
///
/// # Errors
/// None.
pub(crate) fn sys_umask(a: &Args) -> Result<u64, Errno> {
    Ok(current().place.set_umask(int(a, 0)).into())
}
