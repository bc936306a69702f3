//! `write`, `pwrite64` and their vector forms.

use super::{Args, buffer, file, iovecs, offset, offset_or_position, rw_flags};
use crate::uaccess::UserSource;
use crate::vfs::{Append, check_span};
use abi::Errno;
use abi::file::RwFlags;

/// `write(fd, buffer, count)`.
///
/// # Errors
/// `EBADF`, `EFAULT`, `EINVAL`, `EFBIG`, `ENOSPC`, `EIO`, `EINTR`.
pub(crate) fn sys_write(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    let (from, len) = buffer(a, || file.check_writable())?;
    let mut source = UserSource::new(from, len);
    file.write(&mut source).map(|done| done as u64)
}

/// `pwrite64(fd, buffer, count, offset)`.
///
/// # Errors
/// As for [`sys_write`], and `ESPIPE`.
pub(crate) fn sys_pwrite64(a: &Args) -> Result<u64, Errno> {
    let at = offset(a.a[3])?;
    let file = file(a, 0)?;
    let (from, len) = buffer(a, || file.check_seekable().and(file.check_writable()))?;
    let mut source = UserSource::new(from, len);
    file.write_at(at, &mut source).map(|done| done as u64)
}

/// `writev(fd, buffers, count)`: one write of all of them, so of a regular file one change.
///
/// # Errors
/// As for [`sys_write`].
pub(crate) fn sys_writev(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    file.check_writable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    file.write(&mut buffers).map(|done| done as u64)
}

/// `pwritev(fd, buffers, count, offset)`.
///
/// # Errors
/// As for [`sys_pwrite64`].
pub(crate) fn sys_pwritev(a: &Args) -> Result<u64, Errno> {
    let at = offset(a.a[3])?;
    let file = file(a, 0)?;
    file.check_writable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    file.write_at(at, &mut buffers).map(|done| done as u64)
}

/// `pwritev2(fd, buffers, count, offset, _, flags)`; an offset of -1 is the position.
///
/// # Errors
/// As for [`sys_pwritev`], and `EOPNOTSUPP`.
pub(crate) fn sys_pwritev2(a: &Args) -> Result<u64, Errno> {
    let at = offset_or_position(a.a[3])?;
    let file = file(a, 0)?;
    if at.is_some() {
        file.check_seekable()?;
    }
    file.check_writable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    if let Some(at) = at {
        check_span(at, buffers.left())?;
    }
    let flags = rw_flags(a)?;
    let append = if flags.contains(RwFlags::APPEND) {
        Append::Always
    } else if flags.contains(RwFlags::NOAPPEND) {
        Append::Never
    } else {
        Append::AsOpened
    };
    let done = match at {
        Some(at) => file.write_at_as(at, append, &mut buffers)?,
        None => file.write_as(append, &mut buffers)?,
    };
    Ok(done as u64)
}
