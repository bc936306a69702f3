//! `read`, `pread64`, their vector forms, and `lseek`.

use super::{Args, buffer, fd, file, int, iovecs, offset, offset_or_position, rw_flags};
use crate::task::current;
use crate::uaccess::UserSink;
use crate::vfs::{Whence, check_span};
use abi::Errno;
use abi::file::{SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET};

/// `read(fd, buffer, count)`.
///
/// # Errors
/// `EBADF`, `EFAULT`, `EINVAL`, `EISDIR`, `EIO`, `EINTR`.
pub(crate) fn sys_read(a: &Args) -> Result<u64, Errno> {
    let file = current().files.get(fd(a, 0))?;
    let (to, len) = buffer(a, || file.check_readable())?;
    let mut sink = UserSink::new(to, len);
    file.read(len, &mut sink).map(|done| done as u64)
}

/// `pread64(fd, buffer, count, offset)`.
///
/// # Errors
/// As for [`sys_read`], and `ESPIPE`.
pub(crate) fn sys_pread64(a: &Args) -> Result<u64, Errno> {
    let at = offset(a.a[3])?;
    let file = current().files.get(fd(a, 0))?;
    let (to, len) = buffer(a, || file.check_seekable().and(file.check_readable()))?;
    let mut sink = UserSink::new(to, len);
    file.read_at(at, len, &mut sink).map(|done| done as u64)
}

/// `readv(fd, buffers, count)`.
///
/// # Errors
/// As for [`sys_read`].
pub(crate) fn sys_readv(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    file.check_readable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    file.read(buffers.left(), &mut buffers).map(|done| done as u64)
}

/// `preadv(fd, buffers, count, offset)`; on 64 bits the offset is in one register.
///
/// # Errors
/// As for [`sys_pread64`].
pub(crate) fn sys_preadv(a: &Args) -> Result<u64, Errno> {
    let at = offset(a.a[3])?;
    let file = file(a, 0)?;
    file.check_readable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    file.read_at(at, buffers.left(), &mut buffers).map(|done| done as u64)
}

/// `preadv2(fd, buffers, count, offset, _, flags)`; an offset of -1 is the position.
///
/// # Errors
/// As for [`sys_preadv`], and `EOPNOTSUPP`.
pub(crate) fn sys_preadv2(a: &Args) -> Result<u64, Errno> {
    let at = offset_or_position(a.a[3])?;
    let file = file(a, 0)?;
    if at.is_some() {
        file.check_seekable()?;
    }
    file.check_readable()?;
    let mut buffers = iovecs(a)?;
    if buffers.left() == 0 {
        return Ok(0);
    }
    if let Some(at) = at {
        check_span(at, buffers.left())?;
    }
    rw_flags(a)?;
    let done = match at {
        Some(at) => file.read_at(at, buffers.left(), &mut buffers)?,
        None => file.read(buffers.left(), &mut buffers)?,
    };
    Ok(done as u64)
}

/// `lseek(fd, offset, whence)`.
///
/// # Errors
/// `EBADF`, `EINVAL`, `ESPIPE`, `ENXIO`.
pub(crate) fn sys_lseek(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    let whence = match int(a, 2) {
        SEEK_SET => Whence::Set,
        SEEK_CUR => Whence::Current,
        SEEK_END => Whence::End,
        SEEK_DATA => Whence::Data,
        SEEK_HOLE => Whence::Hole,
        _ => return Err(Errno::EINVAL),
    };
    file.seek(a.a[1] as i64, whence)
}
