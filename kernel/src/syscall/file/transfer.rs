//! From file to file: `sendfile`, `copy_file_range`.

use super::{Args, fd, offset, ptr};
use crate::task::current;
use crate::uaccess::{UserPtr, read_user, write_user};
use crate::vfs::File;
use abi::Errno;
use abi::file::MAX_RW_COUNT;

/// Where a file is read or written: at an offset the program keeps, or at the position of the open file.
fn place(file: &File, kept: UserPtr, is_kept: bool) -> Result<u64, Errno> {
    if is_kept { Ok(read_user::<u64>(kept)?) } else { file.position() }
}

/// Notes that the place is `to` now.
fn moved(file: &File, kept: UserPtr, is_kept: bool, to: u64) -> Result<(), Errno> {
    if is_kept { Ok(write_user(kept, &to)?) } else { file.set_position(to) }
}

/// `sendfile(out_fd, in_fd, offset, count)`.
///
/// # Errors
/// `EFAULT`, `EBADF`, `EINVAL`, `ESPIPE`, and those of a write.
pub(crate) fn sys_sendfile(a: &Args) -> Result<u64, Errno> {
    let (kept, is_kept) = (ptr(a, 2), a.a[2] != 0);
    if is_kept {
        // Before anything else is looked at, as in Linux.
        read_user::<u64>(kept)?;
    }
    let files = &current().files;
    let from = files.get(fd(a, 1))?;
    from.check_readable()?;
    if from.is_terminal() {
        return Err(if is_kept { Errno::ESPIPE } else { Errno::EINVAL });
    }
    let at = offset(place(&from, kept, is_kept)?)?;
    let len = offset(a.a[3])?.min(MAX_RW_COUNT);
    at.checked_add(len).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
    let to = files.get(fd(a, 0))?;
    to.check_writable()?;
    let done = to.send(&from, at, len as usize)? as u64;
    moved(&from, kept, is_kept, at + done)?;
    Ok(done)
}

/// `copy_file_range(in_fd, in_offset, out_fd, out_offset, len, flags)`: one write, so all of it or nothing.
///
/// # Errors
/// `EBADF`, `EFAULT`, `EINVAL`, `EISDIR`, `EOVERFLOW`, `EFBIG`, and those of a write.
pub(crate) fn sys_copy_file_range(a: &Args) -> Result<u64, Errno> {
    let files = &current().files;
    let (from, to) = (files.get(fd(a, 0))?, files.get(fd(a, 2))?);
    let (in_kept, in_is_kept) = (ptr(a, 1), a.a[1] != 0);
    let (out_kept, out_is_kept) = (ptr(a, 3), a.a[3] != 0);
    if !in_is_kept && from.is_terminal() || !out_is_kept && to.is_terminal() {
        return Err(Errno::EINVAL);
    }
    let at = place(&from, in_kept, in_is_kept)?;
    let out_at = place(&to, out_kept, out_is_kept)?;
    if a.a[5] as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let (at, out_at) = (offset(at)?, offset(out_at)?);
    let len = a.a[4].min(MAX_RW_COUNT);
    let done = to.copy_range(&from, (at, out_at), len as usize)? as u64;
    if done > 0 {
        moved(&from, in_kept, in_is_kept, at + done)?;
        moved(&to, out_kept, out_is_kept, out_at + done)?;
    }
    Ok(done)
}
