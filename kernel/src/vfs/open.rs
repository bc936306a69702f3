//! Opening: from a path and `O_*` to an open file, in Linux's order of refusals.

use super::error::errno;
use super::name::Named;
use super::path::{Follow, Last, Walker, resolve};
use super::{File, Vnode, WriteAccess};
use abi::Errno;
use abi::file::OpenFlags;
use abi::stat::S_IALLUGO;
use crate::task::current;
use alloc::sync::Arc;
use fs::{Error, Kind, Linkable, NewNode};

/// `O_TMPFILE` without the `O_DIRECTORY` in it.
const TMPFILE_ALONE: OpenFlags = OpenFlags::TMPFILE.difference(OpenFlags::DIRECTORY);

/// What `O_PATH` leaves of the other flags.
const WITH_PATH: OpenFlags =
    OpenFlags::PATH.union(OpenFlags::DIRECTORY).union(OpenFlags::NOFOLLOW).union(OpenFlags::CLOEXEC);

/// How to open, checked (Linux's `build_open_flags`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct How {
    flags: OpenFlags,
    /// Permission bits of a file to be created, the umask applied.
    mode: u32,
}

/// A vnode found, and whether this very call made it.
struct Opened {
    vnode: Vnode,
    /// Its name, where it is a file on the medium.
    name: Option<Named>,
    made: bool,
    /// A slash followed: it has to be a directory.
    slash: bool,
}

impl How {
    /// Checks the `flags` of `openat`; bits it does not know are dropped, as Linux does. `mode` is masked already.
    ///
    /// # Errors
    /// `EINVAL` for combinations that mean nothing.
    #[inline]
    pub(crate) fn new(flags: u32, mode: u32) -> Result<Self, Errno> {
        let flags = OpenFlags::from_bits_truncate(flags);
        if flags.contains(OpenFlags::PATH) {
            return Ok(Self { flags: flags.intersection(WITH_PATH), mode: 0 });
        }
        // Every 64-bit program may open large files.
        let flags = flags.union(OpenFlags::LARGEFILE);
        if flags.intersects(TMPFILE_ALONE) {
            let whole = flags.contains(OpenFlags::TMPFILE) && !flags.contains(OpenFlags::CREAT);
            // The access mode 3 asks for the right to write, though not for writing.
            if !whole || !flags.intersects(OpenFlags::ACCMODE) {
                return Err(Errno::EINVAL);
            }
        } else if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        Ok(Self { flags, mode: mode & S_IALLUGO })
    }

    /// Whether the descriptor ends at `execve`.
    pub(crate) fn cloexec(self) -> bool {
        self.flags.contains(OpenFlags::CLOEXEC)
    }

    fn has(self, flags: OpenFlags) -> bool {
        self.flags.contains(flags)
    }

    /// Whether a link at the end of the path stands for what it points at.
    fn follows(self) -> bool {
        !self.has(OpenFlags::NOFOLLOW) && !self.has(OpenFlags::CREAT | OpenFlags::EXCL)
    }

    /// Whether opening asks for the right to change what is there. The access mode 3, which gives a descriptor that
    /// can neither be read nor written, asks for both rights.
    fn writes(self) -> bool {
        self.flags.intersects(OpenFlags::ACCMODE) || self.has(OpenFlags::TRUNC)
    }
}

/// Opens what `path` names, from `base` if it is relative; makes a file there with `O_CREAT`.
///
/// # Errors
/// Those of the walk; `EEXIST`, `EISDIR`, `ENOTDIR`, `ELOOP`, `ETXTBSY`, `EROFS`, `ENOSPC`, `ENOMEM`, `EIO`.
pub(crate) fn open(base: &Vnode, path: &[u8], how: How) -> Result<Arc<File>, Errno> {
    if how.has(OpenFlags::TMPFILE) {
        return open_unnamed(base, path, how);
    }
    let opened = find_or_make(base, path, how)?;
    if how.has(OpenFlags::PATH) {
        check_directory(&opened, how)?;
        return File::new(opened.vnode, opened.name, how.flags, None);
    }
    if !opened.made {
        check(&opened, how)?;
    }
    let writing = write_access(&opened, how)?;
    File::new(opened.vnode, opened.name, how.flags, writing)
}

/// Opens a new file without a name in the directory that `path` names (`do_tmpfile`).
fn open_unnamed(base: &Vnode, path: &[u8], how: How) -> Result<Arc<File>, Errno> {
    let follow = if how.has(OpenFlags::NOFOLLOW) { Follow::No } else { Follow::Yes };
    let directory = resolve(base, path, follow)?;
    if !directory.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let Vnode::Disk(directory) = directory else { return Err(Errno::EOPNOTSUPP) };
    let linkable = if how.has(OpenFlags::EXCL) { Linkable::No } else { Linkable::Yes };
    let node = directory.tmpfile(how.mode, linkable, super::now()).map_err(errno)?;
    let writing = node.write_access().map_err(errno)?;
    File::new(Vnode::Disk(node), Some(Named::unnamed(&directory)), how.flags, Some(writing))
}

fn find_or_make(base: &Vnode, path: &[u8], how: How) -> Result<Opened, Errno> {
    let mut walk = Walker::new(base, path)?;
    loop {
        let last = walk.reach_last()?;
        let vnode = match last {
            Last::Root | Last::Dot => walk.here().clone(),
            Last::DotDot => walk.here().parent()?,
            Last::Name if how.has(OpenFlags::CREAT) && walk.slash() => return Err(Errno::EISDIR),
            Last::Name => match walk.look() {
                Err(Errno::ENOENT) if how.has(OpenFlags::CREAT) => match make(&walk, how)? {
                    Some(vnode) => {
                        let name = walk.named(&vnode)?;
                        return Ok(Opened { vnode, name, made: true, slash: false });
                    }
                    // Somebody was faster: open theirs.
                    None => walk.look()?,
                },
                found => found?,
            },
        };
        let follow = walk.slash() || how.follows();
        if vnode.kind() == Kind::Symlink && follow {
            walk.follow(&vnode)?;
        } else {
            let name = if last == Last::Name { walk.named(&vnode)? } else { None };
            return Ok(Opened { vnode, name, made: false, slash: walk.slash() });
        }
    }
}

/// Makes the file the walk has come to; `None` where there is one by now.
fn make(walk: &Walker<'_>, how: How) -> Result<Option<Vnode>, Errno> {
    let new = NewNode::File { mode: how.mode };
    match walk.here().disk()?.create(walk.name(), new, super::now()) {
        Ok(node) => Ok(Some(Vnode::Disk(node))),
        Err(Error::Exists) => Ok(None),
        Err(error) => Err(errno(error)),
    }
}

/// What speaks against opening something that was there already (`do_open`, `may_open`).
fn check(opened: &Opened, how: How) -> Result<(), Errno> {
    let kind = opened.vnode.kind();
    if how.has(OpenFlags::CREAT) {
        if how.has(OpenFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        if kind == Kind::Directory {
            return Err(Errno::EISDIR);
        }
    }
    check_directory(opened, how)?;
    match kind {
        Kind::Symlink => Err(Errno::ELOOP),
        Kind::Directory if how.writes() => Err(Errno::EISDIR),
        // `/dev/tty` is the caller's own terminal, if it has one.
        Kind::File if opened.vnode.is_own_terminal() && !current().process.has_terminal() => Err(Errno::ENXIO),
        Kind::Directory | Kind::File => Ok(()),
    }
}

fn check_directory(opened: &Opened, how: How) -> Result<(), Errno> {
    let must = opened.slash || how.has(OpenFlags::DIRECTORY);
    if must && !opened.vnode.is_directory() { Err(Errno::ENOTDIR) } else { Ok(()) }
}

/// Claims the right to write, and cuts the file to nothing with `O_TRUNC`.
fn write_access(opened: &Opened, how: How) -> Result<Option<WriteAccess>, Errno> {
    match &opened.vnode {
        Vnode::Disk(node) if how.writes() => {
            let writing = node.write_access().map_err(errno)?;
            if how.has(OpenFlags::TRUNC) && !opened.made {
                node.truncate(0, super::now()).map_err(errno)?;
            }
            Ok(how.flags.writable().then_some(writing))
        }
        Vnode::Kernel(special) if how.flags.writable() && special.mode() & 0o222 == 0 => Err(Errno::EACCES),
        Vnode::Disk(_) | Vnode::Kernel(_) => Ok(None),
    }
}
