//! `getdents64`, `getcwd`, `chdir`, `fchdir`.

use super::{Args, Base, PathRoom, fd, file, int, ptr};
use crate::task::current;
use crate::uaccess::copy_to_user;
use crate::vfs::Vnode;
use crate::vfs::path::{self, Follow};
use abi::Errno;
use abi::file::AT_FDCWD;

/// Bytes of records one call gives at most: what it holds in kernel memory meanwhile.
const LIST_MAX: usize = 32 << 10;

/// `getdents64(fd, buffer, bytes)`.
///
/// # Errors
/// `EBADF`, `ENOTDIR`, `EINVAL` for a buffer too small or of a negative length, `ENOENT` for a removed directory, `EFAULT`, `ENOMEM`.
pub(crate) fn sys_getdents64(a: &Args) -> Result<u64, Errno> {
    let to = ptr(a, 1);
    // In nothing there is no room for a record, and in less than nothing neither.
    let room = usize::try_from(int(a, 2) as i32).unwrap_or(0).min(LIST_MAX);
    let listed = file(a, 0)?.list(room, |records| Ok(copy_to_user(to, records)?))?;
    Ok(listed as u64)
}

/// `getcwd(buffer, bytes)`: answers how many bytes the path takes, its NUL included.
///
/// # Errors
/// `ENOENT` where the directory was removed, `ERANGE`, `ENAMETOOLONG`, `EFAULT`, `ENOMEM`.
pub(crate) fn sys_getcwd(a: &Args) -> Result<u64, Errno> {
    let mut path = path::of_directory(&current().place.cwd())?;
    path.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    path.push(0);
    if (path.len() as u64) > a.a[1] {
        return Err(Errno::ERANGE);
    }
    copy_to_user(ptr(a, 0), &path)?;
    Ok(path.len() as u64)
}

/// `chdir(path)`.
///
/// # Errors
/// `EFAULT`, `ENOTDIR`, and those of the walk.
pub(crate) fn sys_chdir(a: &Args) -> Result<u64, Errno> {
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 0))?;
    let base = Base::new(AT_FDCWD, path)?;
    change(path::resolve(base.vnode(), path, Follow::Yes)?)
}

/// `fchdir(fd)`.
///
/// # Errors
/// `EBADF`, `ENOTDIR`.
pub(crate) fn sys_fchdir(a: &Args) -> Result<u64, Errno> {
    change(current().files.get_raw(fd(a, 0))?.vnode().clone())
}

fn change(to: Vnode) -> Result<u64, Errno> {
    if !to.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    current().place.change(to);
    Ok(0)
}
