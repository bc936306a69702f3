//! System calls on files: Linux's numbers, signatures and errno, in Linux's order.
//!
//! One file a verb. What they share is here: a path comes to a buffer on the stack when it is short, so that opening
//! by a short path takes nothing from the heap for it; a directory descriptor becomes the vnode a walk begins at.

mod attributes;
mod descriptors;
mod directories;
mod ioctl;
mod locking;
mod names;
mod opening;
mod polling;
mod reading;
mod room;
mod status;
mod sync;
mod transfer;
mod vectors;
mod writing;

pub(crate) use attributes::{
    sys_faccessat, sys_faccessat2, sys_fchmod, sys_fchmodat, sys_fchmodat2, sys_fchown, sys_fchownat, sys_ftruncate, sys_truncate,
    sys_utimensat,
};
pub(crate) use descriptors::{sys_close, sys_close_range, sys_dup, sys_dup3, sys_fcntl};
pub(crate) use directories::{sys_chdir, sys_fchdir, sys_getcwd, sys_getdents64};
pub(crate) use ioctl::sys_ioctl;
pub(crate) use locking::sys_flock;
pub(crate) use names::{
    sys_linkat, sys_mkdirat, sys_mknodat, sys_readlinkat, sys_renameat, sys_renameat2, sys_symlinkat, sys_unlinkat,
};
pub(crate) use polling::sys_ppoll;
pub(crate) use opening::{sys_openat, sys_umask};
pub(crate) use reading::{sys_lseek, sys_pread64, sys_preadv, sys_preadv2, sys_read, sys_readv};
pub(crate) use room::{sys_fadvise64, sys_fallocate, sys_readahead, sys_sync_file_range};
pub(crate) use status::{sys_fstat, sys_fstatfs, sys_newfstatat, sys_statfs, sys_statx};
pub(crate) use sync::{sys_fdatasync, sys_fsync, sys_sync, sys_syncfs};
pub(crate) use transfer::{sys_copy_file_range, sys_sendfile};
pub(crate) use writing::{sys_pwrite64, sys_pwritev, sys_pwritev2, sys_write, sys_writev};

use super::Args;
use crate::layout;
use crate::task::current;
use crate::uaccess::{CstrError, UserPtr, read_cstr_into};
use crate::vfs::{File, Vnode};
use abi::Errno;
use abi::file::{AT_FDCWD, MAX_RW_COUNT, PATH_MAX, RwFlags};
use alloc::sync::Arc;
use alloc::vec::Vec;
use vectors::UserIovecs;

/// Paths below this many bytes, their NUL included, take no heap.
const SHORT_PATH: usize = 64;

/// Room for a path of the program.
struct PathRoom {
    short: [u8; SHORT_PATH],
    long: Vec<u8>,
}

impl PathRoom {
    #[inline]
    fn new() -> Self {
        Self { short: [0; SHORT_PATH], long: Vec::new() }
    }

    /// Copies the string at `from` here.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` from [`PATH_MAX`] on; `ENOMEM`.
    #[inline]
    fn read(&mut self, from: UserPtr) -> Result<&[u8], Errno> {
        match read_cstr_into(&mut self.short, from) {
            Ok(len) => Ok(&self.short[..len]),
            Err(CstrError::Fault) => Err(Errno::EFAULT),
            Err(CstrError::OutOfMemory) => Err(Errno::ENOMEM),
            Err(CstrError::TooLong) => {
                self.long.try_reserve_exact(PATH_MAX).map_err(|_| Errno::ENOMEM)?;
                self.long.resize(PATH_MAX, 0);
                let len = read_cstr_into(&mut self.long, from).map_err(|error| match error {
                    CstrError::Fault => Errno::EFAULT,
                    CstrError::TooLong => Errno::ENAMETOOLONG,
                    CstrError::OutOfMemory => Errno::ENOMEM,
                })?;
                Ok(&self.long[..len])
            }
        }
    }

    /// As [`PathRoom::read`], for a path that must name something.
    ///
    /// # Errors
    /// `ENOENT` for an empty one.
    fn read_some(&mut self, from: UserPtr) -> Result<&[u8], Errno> {
        let path = self.read(from)?;
        if path.is_empty() { Err(Errno::ENOENT) } else { Ok(path) }
    }
}

/// Where a walk begins.
enum Base {
    Vnode(Vnode),
    File(Arc<File>),
}

impl Base {
    /// What `dirfd` says, for a path that begins `path`. An absolute path does not look at it.
    ///
    /// # Errors
    /// `EBADF`.
    #[inline]
    fn new(dirfd: i32, path: &[u8]) -> Result<Self, Errno> {
        if path.first() == Some(&b'/') { Ok(Self::Vnode(crate::vfs::root())) } else { Self::of(dirfd) }
    }

    /// The place `dirfd` itself names.
    ///
    /// # Errors
    /// `EBADF`.
    #[inline]
    fn of(dirfd: i32) -> Result<Self, Errno> {
        match dirfd {
            AT_FDCWD => Ok(Self::Vnode(current().place.cwd())),
            fd => current().files.get_raw(fd).map(Self::File),
        }
    }

    fn vnode(&self) -> &Vnode {
        match self {
            Base::Vnode(vnode) => vnode,
            Base::File(file) => file.vnode(),
        }
    }
}

/// Argument `index` as a descriptor; the upper half of the register does not count.
fn fd(a: &Args, index: usize) -> i32 {
    a.a[index] as i32
}

/// Argument `index` as a 32-bit number.
fn int(a: &Args, index: usize) -> u32 {
    a.a[index] as u32
}

/// Argument `index` as an address in the program.
fn ptr(a: &Args, index: usize) -> UserPtr {
    UserPtr::new(a.a[index])
}

/// The open file behind argument `index`.
#[inline]
fn file(a: &Args, index: usize) -> Result<Arc<File>, Errno> {
    current().files.get(fd(a, index))
}

/// The flags of `preadv2` and `pwritev2`, as ext4 takes them. Writes are durable and nothing waits whatever they say.
///
/// # Errors
/// `EOPNOTSUPP` for others, `EINVAL` for both wishes about `O_APPEND`.
fn rw_flags(a: &Args) -> Result<RwFlags, Errno> {
    let flags = RwFlags::from_bits(int(a, 5)).ok_or(Errno::EOPNOTSUPP)?;
    if flags.contains(RwFlags::APPEND | RwFlags::NOAPPEND) { Err(Errno::EINVAL) } else { Ok(flags) }
}

/// Where `preadv2` and `pwritev2` begin; `None` is the position.
///
/// # Errors
/// `EINVAL`.
fn offset_or_position(raw: u64) -> Result<Option<u64>, Errno> {
    if raw == u64::MAX { Ok(None) } else { offset(raw).map(Some) }
}

/// The buffer that arguments 1 and 2 describe, as a call moves it: at most [`MAX_RW_COUNT`] bytes. `allowed` says what speaks
/// against the call otherwise, and counts first.
///
/// # Errors
/// `EFAULT` where it cannot be memory of a program's, whatever would be moved (`access_ok`).
fn buffer(a: &Args, allowed: impl FnOnce() -> Result<(), Errno>) -> Result<(UserPtr, usize), Errno> {
    let (at, len) = (a.a[1], a.a[2]);
    if layout::user_range(at, len).is_none() {
        allowed()?;
        return Err(Errno::EFAULT);
    }
    Ok((UserPtr::new(at), len.min(MAX_RW_COUNT) as usize))
}

/// A file offset.
///
/// # Errors
/// `EINVAL` where it is negative.
fn offset(raw: u64) -> Result<u64, Errno> {
    if raw > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(raw) }
}

/// The buffers that arguments 1 and 2 describe.
///
/// # Errors
/// `EFAULT`, `EINVAL`.
fn iovecs(a: &Args) -> Result<UserIovecs, Errno> {
    UserIovecs::new(ptr(a, 1), a.a[2])
}
