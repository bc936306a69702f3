//! Names come and go: `mkdirat`, `mknodat`, `unlinkat`, `linkat`, `symlinkat`, `readlinkat`, `renameat2`.

use super::{Args, Base, PathRoom, fd, int, ptr};
use crate::task::current;
use crate::uaccess::copy_to_user;
use crate::vfs::error::errno;
use crate::vfs::now;
use crate::vfs::path::{Follow, Last, Walker, resolve};
use crate::vfs::{Node, Vnode};
use abi::Errno;
use abi::file::{AtFlags, RenameFlags};
use abi::stat::{
    S_IALLUGO, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_IRWXUGO, S_ISGID, S_ISVTX,
};
use fs::{NewNode, Rename};

/// `mkdirat(dirfd, path, mode)`.
///
/// # Errors
/// `EEXIST`, `EROFS`, `ENOSPC`, `EMLINK`, `EFAULT`, `EBADF`, and those of the walk.
pub(crate) fn sys_mkdirat(a: &Args) -> Result<u64, Errno> {
    let mode = current().place.masked(int(a, 2) & (S_IRWXUGO | S_ISVTX));
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 1))?;
    let base = Base::new(fd(a, 0), path)?;
    let mut walk = Walker::new(base.vnode(), path)?;
    let last = walk.reach_last()?;
    let directory = new_name(&walk, last, Slash::Allowed)?;
    // A directory that hands its group on hands that habit on.
    let mode = mode | (directory.attr().mode & S_ISGID);
    directory.create(walk.name(), NewNode::Directory { mode }, now()).map_err(errno)?;
    Ok(0)
}

/// `mknodat(dirfd, path, mode, device)`: an empty file. Pipes, sockets and devices have no place on the medium.
///
/// # Errors
/// `EPERM` for what cannot be made so, `EINVAL` for what is nothing; as for [`sys_mkdirat`].
pub(crate) fn sys_mknodat(a: &Args) -> Result<u64, Errno> {
    let kind = int(a, 2) & S_IFMT;
    match kind {
        0 | S_IFREG | S_IFIFO | S_IFSOCK | S_IFCHR | S_IFBLK => {}
        S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    let mode = current().place.masked(int(a, 2) & S_IALLUGO);
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 1))?;
    let base = Base::new(fd(a, 0), path)?;
    let mut walk = Walker::new(base.vnode(), path)?;
    let last = walk.reach_last()?;
    let directory = new_name(&walk, last, Slash::Refused)?;
    if !matches!(kind, 0 | S_IFREG) {
        return match walk.look() {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Err(Errno::EPERM),
            Err(other) => Err(other),
        };
    }
    directory.create(walk.name(), NewNode::File { mode }, now()).map_err(errno)?;
    Ok(0)
}

/// `unlinkat(dirfd, path, flags)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EBADF`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EBUSY`, `EROFS`, `ENOSPC`, and those of the walk.
pub(crate) fn sys_unlinkat(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 2));
    if !AtFlags::REMOVEDIR.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 1))?;
    let base = Base::new(fd(a, 0), path)?;
    let mut walk = Walker::new(base.vnode(), path)?;
    let last = walk.reach_last()?;
    if flags.contains(AtFlags::REMOVEDIR) { remove_directory(&walk, last) } else { unlink(&walk, last) }?;
    Ok(0)
}

fn remove_directory(walk: &Walker<'_>, last: Last) -> Result<(), Errno> {
    match last {
        Last::Root => return Err(Errno::EBUSY),
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Name => {}
    }
    if walk.here().covered(walk.name()).is_some() {
        return Err(Errno::EBUSY);
    }
    changeable(walk)?.rmdir(walk.name(), now()).map_err(errno)
}

fn unlink(walk: &Walker<'_>, last: Last) -> Result<(), Errno> {
    if last != Last::Name || walk.here().covered(walk.name()).is_some() {
        return Err(Errno::EISDIR);
    }
    let directory = changeable(walk)?;
    if walk.slash() {
        return Err(if walk.look()?.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    directory.unlink(walk.name(), now()).map_err(errno)
}

/// `symlinkat(target, dirfd, path)`.
///
/// # Errors
/// `EFAULT`, `ENOENT`, `ENAMETOOLONG`, `EBADF`, `EEXIST`, `EROFS`, `ENOSPC`, and those of the walk.
pub(crate) fn sys_symlinkat(a: &Args) -> Result<u64, Errno> {
    let (mut target_room, mut room) = (PathRoom::new(), PathRoom::new());
    let target = target_room.read_some(ptr(a, 0))?;
    let path = room.read_some(ptr(a, 2))?;
    let base = Base::new(fd(a, 1), path)?;
    let mut walk = Walker::new(base.vnode(), path)?;
    let last = walk.reach_last()?;
    let directory = new_name(&walk, last, Slash::Refused)?;
    directory.create(walk.name(), NewNode::Symlink { target }, now()).map_err(errno)?;
    Ok(0)
}

/// `linkat(old_dirfd, old_path, new_dirfd, new_path, flags)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EBADF`, `EEXIST`, `EXDEV`, `EPERM` for a directory, `EMLINK`, `EROFS`, `ENOSPC`, and those of
/// the walks.
pub(crate) fn sys_linkat(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 4));
    if !(AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let (mut old_room, mut room) = (PathRoom::new(), PathRoom::new());
    let old = old_room.read(ptr(a, 1))?;
    let follow = if flags.contains(AtFlags::SYMLINK_FOLLOW) { Follow::Yes } else { Follow::No };
    let target = match (old.is_empty(), flags.contains(AtFlags::EMPTY_PATH)) {
        (true, true) => Base::of(fd(a, 0))?.vnode().clone(),
        (true, false) => return Err(Errno::ENOENT),
        (false, _) => resolve(Base::new(fd(a, 0), old)?.vnode(), old, follow)?,
    };
    let path = room.read_some(ptr(a, 3))?;
    let base = Base::new(fd(a, 2), path)?;
    let mut walk = Walker::new(base.vnode(), path)?;
    let last = walk.reach_last()?;
    let directory = new_name(&walk, last, Slash::Refused)?;
    let target = target.disk().map_err(|_| Errno::EXDEV)?;
    directory.link(walk.name(), target, now()).map_err(errno)?;
    Ok(0)
}

/// `readlinkat(dirfd, path, buffer, bytes)`: as much of the target as fits, without a NUL.
///
/// # Errors
/// `EINVAL` for what is no link and for no room, `EFAULT`, `EBADF`, `EIO`, and those of the walk.
pub(crate) fn sys_readlinkat(a: &Args) -> Result<u64, Errno> {
    let bytes = usize::try_from(int(a, 3) as i32).ok().filter(|&bytes| bytes > 0).ok_or(Errno::EINVAL)?;
    let mut room = PathRoom::new();
    let path = room.read(ptr(a, 1))?;
    let link = match path.is_empty() {
        // An empty path is a link opened by `O_PATH | O_NOFOLLOW`; of anything else Linux says that it is not there.
        true => {
            let base = Base::of(fd(a, 0))?;
            let link = base.vnode().clone();
            if link.kind() == fs::Kind::Symlink { link } else { return Err(Errno::ENOENT) }
        }
        false => resolve(Base::new(fd(a, 0), path)?.vnode(), path, Follow::No)?,
    };
    let target = link.read_link()?;
    link.touch_atime();
    let fits = &target[..target.len().min(bytes)];
    copy_to_user(ptr(a, 2), fits)?;
    Ok(fits.len() as u64)
}

/// `renameat(old_dirfd, old_path, new_dirfd, new_path)`.
///
/// # Errors
/// As for [`sys_renameat2`].
pub(crate) fn sys_renameat(a: &Args) -> Result<u64, Errno> {
    rename(a, Rename::Replace)
}

/// `renameat2(old_dirfd, old_path, new_dirfd, new_path, flags)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `EBADF`, `EBUSY`, `EEXIST`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EXDEV`, `EMLINK`, `EROFS`,
/// `ENOSPC`, and those of the walks.
pub(crate) fn sys_renameat2(a: &Args) -> Result<u64, Errno> {
    let flags = RenameFlags::from_bits_retain(int(a, 4));
    let how = if flags.is_empty() {
        Rename::Replace
    } else if flags == RenameFlags::NOREPLACE {
        Rename::NoReplace
    } else if flags == RenameFlags::EXCHANGE {
        Rename::Exchange
    } else {
        return Err(Errno::EINVAL);
    };
    rename(a, how)
}

fn rename(a: &Args, how: Rename) -> Result<u64, Errno> {
    let (mut old_room, mut new_room) = (PathRoom::new(), PathRoom::new());
    let old_path = old_room.read_some(ptr(a, 1))?;
    let old_base = Base::new(fd(a, 0), old_path)?;
    let mut old = Walker::new(old_base.vnode(), old_path)?;
    let old_last = old.reach_last()?;
    let new_path = new_room.read_some(ptr(a, 3))?;
    let new_base = Base::new(fd(a, 2), new_path)?;
    let mut new = Walker::new(new_base.vnode(), new_path)?;
    let new_last = new.reach_last()?;
    if matches!(old.here(), Vnode::Disk(_)) != matches!(new.here(), Vnode::Disk(_)) {
        return Err(Errno::EXDEV);
    }
    if old_last != Last::Name {
        return Err(Errno::EBUSY);
    }
    if new_last != Last::Name {
        return Err(if how == Rename::NoReplace { Errno::EEXIST } else { Errno::EBUSY });
    }
    let (from, to) = (changeable(&old)?, changeable(&new)?);
    if old.here().covered(old.name()).is_some() || new.here().covered(new.name()).is_some() {
        return Err(Errno::EBUSY);
    }
    check_slashes(&old, &new, how)?;
    from.rename(old.name(), to, new.name(), how, now()).map_err(errno)?;
    Ok(0)
}

/// A slash behind a name that is no directory's is refused, but only after what is refused of the names themselves.
fn check_slashes(old: &Walker<'_>, new: &Walker<'_>, how: Rename) -> Result<(), Errno> {
    if !old.slash() && !new.slash() {
        return Ok(());
    }
    let moved = old.look()?;
    let target = match new.look() {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) if new.here().stat().nlink > 0 => None,
        Err(refused) => return Err(refused),
    };
    match (how, target) {
        (Rename::NoReplace, Some(_)) => return Err(Errno::EEXIST),
        (Rename::Exchange, None) => return Err(Errno::ENOENT),
        (Rename::Exchange, Some(target)) if new.slash() && !target.is_directory() => return Err(Errno::ENOTDIR),
        (Rename::Replace | Rename::NoReplace | Rename::Exchange, _) => {}
    }
    let slash = old.slash() || (new.slash() && how != Rename::Exchange);
    if slash && !moved.is_directory() { Err(Errno::ENOTDIR) } else { Ok(()) }
}

/// Whether a slash may follow a name to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    /// A directory is made.
    Allowed,
    /// Anything else is.
    Refused,
}

/// The directory to make a new name in, that the walk has come to (`filename_create`).
fn new_name<'a>(walk: &'a Walker<'_>, last: Last, slash: Slash) -> Result<&'a Node, Errno> {
    if last != Last::Name {
        return Err(Errno::EEXIST);
    }
    if (walk.slash() && slash == Slash::Refused) || !matches!(walk.here(), Vnode::Disk(_)) {
        return match walk.look() {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if walk.slash() && slash == Slash::Refused => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => Err(Errno::EROFS),
            Err(other) => Err(other),
        };
    }
    if walk.here().covered(walk.name()).is_some() {
        return Err(Errno::EEXIST);
    }
    walk.here().disk()
}

/// The directory the walk has come to, to be changed.
#[inline]
fn changeable<'a>(walk: &'a Walker<'_>) -> Result<&'a Node, Errno> {
    match walk.here().disk() {
        Ok(node) => Ok(node),
        // What is not there is not there, whoever may change it.
        Err(read_only) => Err(walk.look().err().unwrap_or(read_only)),
    }
}
