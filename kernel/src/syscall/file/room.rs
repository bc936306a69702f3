//! Room in files, and hints about them: `fallocate`, `sync_file_range`, `fadvise64`, `readahead`.

use super::{Args, fd, file, int};
use crate::task::current;
use abi::Errno;
use abi::file::FallocFlags;
use fs::{Fallocate, Kind};

/// `fallocate(fd, mode, offset, len)`. There is neither `COLLAPSE_RANGE` nor `INSERT_RANGE`, and nothing to unshare.
///
/// # Errors
/// `EBADF`, `EINVAL`, `EOPNOTSUPP`, `ENODEV`, `EFBIG`, `ENOSPC`, `EIO`, `EROFS`.
pub(crate) fn sys_fallocate(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    let (at, len) = (a.a[2], a.a[3]);
    if at > i64::MAX as u64 || len > i64::MAX as u64 || len == 0 {
        return Err(Errno::EINVAL);
    }
    let mode = FallocFlags::from_bits_retain(int(a, 1));
    let keeps = mode.contains(FallocFlags::KEEP_SIZE);
    let how = match mode.difference(FallocFlags::KEEP_SIZE) {
        FallocFlags::PUNCH_HOLE if keeps => Some(Fallocate::Punch),
        FallocFlags::ZERO_RANGE if keeps => Some(Fallocate::ZeroKeepSize),
        FallocFlags::ZERO_RANGE => Some(Fallocate::Zero),
        // Which Linux knows, and leaves to the file system to refuse, once it has looked at the file.
        FallocFlags::UNSHARE_RANGE => None,
        FallocFlags::COLLAPSE_RANGE | FallocFlags::INSERT_RANGE if !keeps => None,
        none if none.is_empty() => Some(if keeps { Fallocate::AllocateKeepSize } else { Fallocate::Allocate }),
        _ => return Err(Errno::EOPNOTSUPP),
    };
    file.fallocate(how, at, len).map(|()| 0)
}

/// What `sync_file_range` may be asked to do and wait for.
const SYNC_FILE_RANGE_FLAGS: u32 = 7;
/// `POSIX_FADV_NOREUSE`, the last of the hints.
const LAST_ADVICE: u32 = 5;

/// `sync_file_range(fd, offset, len, flags)`: what was written is durable already.
///
/// # Errors
/// `EBADF`, `EINVAL`, `ESPIPE` for what is not a file, directory or link.
pub(crate) fn sys_sync_file_range(a: &Args) -> Result<u64, Errno> {
    let file = file(a, 0)?;
    let (at, len) = (a.a[1] as i64, a.a[2] as i64);
    let end = at.wrapping_add(len);
    if int(a, 3) & !SYNC_FILE_RANGE_FLAGS != 0 || at < 0 || end < 0 || end < at {
        return Err(Errno::EINVAL);
    }
    if file.vnode().is_device() { Err(Errno::ESPIPE) } else { Ok(0) }
}

/// `fadvise64(fd, offset, len, advice)`: there is no cache to advise.
///
/// # Errors
/// `EBADF`, `EINVAL`.
pub(crate) fn sys_fadvise64(a: &Args) -> Result<u64, Errno> {
    file(a, 0)?;
    if a.a[2] > i64::MAX as u64 || int(a, 3) > LAST_ADVICE { Err(Errno::EINVAL) } else { Ok(0) }
}

/// `readahead(fd, offset, count)`: nothing is farther away than anything else.
///
/// # Errors
/// `EBADF` where it is not open for reading, `EINVAL` where it is no regular file.
pub(crate) fn sys_readahead(a: &Args) -> Result<u64, Errno> {
    let file = current().files.get(fd(a, 0))?;
    file.check_readable()?;
    if a.a[2] > i64::MAX as u64 || file.vnode().kind() != Kind::File || file.vnode().is_device() { Err(Errno::EINVAL) } else { Ok(0) }
}
