//! Attributes: modes, owners, times, sizes, and what a program may do.

use super::{Args, Base, PathRoom, fd, file, int, offset, ptr};
use crate::uaccess::{UserPtr, read_user};
use crate::vfs::Vnode;
use crate::vfs::error::errno;
use crate::vfs::{now, truncate};
use crate::vfs::path::{Follow, resolve};
use abi::Errno;
use abi::file::{AT_FDCWD, AtFlags, R_OK, W_OK, X_OK};
use abi::stat::S_IALLUGO;
use abi::time::{Timespec, UTIME_NOW, UTIME_OMIT};
use fs::{Kind, Privileges, SetAttr, Time};

/// `faccessat(dirfd, path, mode)`.
///
/// # Errors
/// As for [`sys_faccessat2`].
pub(crate) fn sys_faccessat(a: &Args) -> Result<u64, Errno> {
    access(a, AtFlags::empty())
}

/// `faccessat2(dirfd, path, mode, flags)`. Programs run as root: they may read and write everything, and execute what
/// anybody may.
///
/// # Errors
/// `EINVAL`, `EACCES`, `EROFS`, `EFAULT`, `EBADF`, and those of the walk.
pub(crate) fn sys_faccessat2(a: &Args) -> Result<u64, Errno> {
    access(a, AtFlags::from_bits_retain(int(a, 3)))
}

fn access(a: &Args, flags: AtFlags) -> Result<u64, Errno> {
    let mode = int(a, 2);
    let known = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EACCESS | AtFlags::EMPTY_PATH;
    if mode & !(R_OK | W_OK | X_OK) != 0 || !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let vnode = target(fd(a, 0), ptr(a, 1), flags)?;
    if mode & X_OK != 0 && vnode.kind() == Kind::File && vnode.mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    match &vnode {
        Vnode::Disk(node) if mode & W_OK != 0 && node.fs().is_read_only() => Err(Errno::EROFS),
        Vnode::Kernel(special) if mode & W_OK != 0 && special.mode() & 0o222 == 0 => Err(Errno::EROFS),
        Vnode::Disk(_) | Vnode::Kernel(_) => Ok(0),
    }
}

/// `fchmod(fd, mode)`.
///
/// # Errors
/// `EBADF`, `EROFS`, `ENOSPC`.
pub(crate) fn sys_fchmod(a: &Args) -> Result<u64, Errno> {
    set(file(a, 0)?.vnode(), mode(int(a, 1)))
}

/// `fchmodat(dirfd, path, mode)`.
///
/// # Errors
/// `EFAULT`, `EBADF`, `EROFS`, `ENOSPC`, and those of the walk.
pub(crate) fn sys_fchmodat(a: &Args) -> Result<u64, Errno> {
    set(&target(fd(a, 0), ptr(a, 1), AtFlags::empty())?, mode(int(a, 2)))
}

/// `fchmodat2(dirfd, path, mode, flags)`.
///
/// # Errors
/// `EINVAL`, `EOPNOTSUPP` for a link, which has no mode of its own; as for [`sys_fchmodat`].
pub(crate) fn sys_fchmodat2(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 3));
    if !(AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let vnode = target(fd(a, 0), ptr(a, 1), flags)?;
    if vnode.kind() == Kind::Symlink { Err(Errno::EOPNOTSUPP) } else { set(&vnode, mode(int(a, 2))) }
}

fn mode(mode: u32) -> SetAttr {
    SetAttr { mode: Some(mode & S_IALLUGO), ..SetAttr::default() }
}

/// `fchown(fd, uid, gid)`.
///
/// # Errors
/// `EBADF`, `EROFS`, `ENOSPC`.
pub(crate) fn sys_fchown(a: &Args) -> Result<u64, Errno> {
    set(file(a, 0)?.vnode(), owner(int(a, 1), int(a, 2)))
}

/// `fchownat(dirfd, path, uid, gid, flags)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EBADF`, `EROFS`, `ENOSPC`, and those of the walk.
pub(crate) fn sys_fchownat(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 4));
    if !(AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
        return Err(Errno::EINVAL);
    }
    set(&target(fd(a, 0), ptr(a, 1), flags)?, owner(int(a, 2), int(a, 3)))
}

/// All ones leaves an owner as it is. A program that would run as the old one does not as the new one.
fn owner(uid: u32, gid: u32) -> SetAttr {
    let some = |id: u32| (id != u32::MAX).then_some(id);
    SetAttr { uid: some(uid), gid: some(gid), privileges: Privileges::Drop, ..SetAttr::default() }
}

/// `utimensat(dirfd, path, times, flags)`; without a path, of `dirfd` itself; without times, now.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EBADF`, `EROFS`, `ENOSPC`, and those of the walk.
pub(crate) fn sys_utimensat(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 3));
    let now = Timespec { sec: 0, nsec: UTIME_NOW };
    let [atime, mtime] = if a.a[2] == 0 { [now; 2] } else { read_user(ptr(a, 2))? };
    if atime.nsec == UTIME_OMIT && mtime.nsec == UTIME_OMIT {
        return Ok(0);
    }
    let vnode = if a.a[1] == 0 && fd(a, 0) != AT_FDCWD {
        if !flags.is_empty() {
            return Err(Errno::EINVAL);
        }
        file(a, 0)?.vnode().clone()
    } else {
        if !(AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
            return Err(Errno::EINVAL);
        }
        target(fd(a, 0), ptr(a, 1), flags)?
    };
    set(&vnode, SetAttr { atime: moment(atime)?, mtime: moment(mtime)?, ..SetAttr::default() })
}

/// What a `timespec` of `utimensat` asks for; `None` leaves the time as it is.
fn moment(time: Timespec) -> Result<Option<Time>, Errno> {
    match time.nsec {
        UTIME_NOW => Ok(Some(now())),
        UTIME_OMIT => Ok(None),
        nsec @ 0..1_000_000_000 => Ok(Some(Time::new(time.sec, nsec as u32))),
        _ => Err(Errno::EINVAL),
    }
}

/// `ftruncate(fd, size)`.
///
/// # Errors
/// `EINVAL`, `EBADF`, `EFBIG`, `ENOSPC`, `EIO`, `EROFS`.
pub(crate) fn sys_ftruncate(a: &Args) -> Result<u64, Errno> {
    let size = offset(a.a[1])?;
    file(a, 0)?.truncate(size).map(|()| 0)
}

/// `truncate(path, size)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EISDIR`, `ETXTBSY`, `EFBIG`, `ENOSPC`, `EIO`, `EROFS`, and those of the walk.
pub(crate) fn sys_truncate(a: &Args) -> Result<u64, Errno> {
    let size = offset(a.a[1])?;
    let vnode = target(AT_FDCWD, ptr(a, 0), AtFlags::empty())?;
    match (&vnode, vnode.kind()) {
        (_, Kind::Directory) => Err(Errno::EISDIR),
        (Vnode::Disk(node), Kind::File) => {
            let _writing = node.write_access().map_err(errno)?;
            truncate(node, size)?;
            Ok(0)
        }
        (Vnode::Disk(_) | Vnode::Kernel(_), _) => Err(Errno::EINVAL),
    }
}

/// What a directory descriptor and a path name.
fn target(dirfd: i32, path: UserPtr, flags: AtFlags) -> Result<Vnode, Errno> {
    let mut room = PathRoom::new();
    let path = room.read(path)?;
    if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
        return Ok(Base::of(dirfd)?.vnode().clone());
    }
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let follow = if flags.contains(AtFlags::SYMLINK_NOFOLLOW) { Follow::No } else { Follow::Yes };
    resolve(Base::new(dirfd, path)?.vnode(), path, follow)
}

fn set(vnode: &Vnode, attributes: SetAttr) -> Result<u64, Errno> {
    vnode.disk()?.set_attr(attributes, now()).map_err(errno)?;
    Ok(0)
}
