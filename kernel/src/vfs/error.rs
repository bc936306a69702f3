//! The one place where a refusal of the file system becomes an errno.

use abi::Errno;
use fs::Error;

/// The errno Linux gives for what the file system refused.
pub(crate) fn errno(error: Error) -> Errno {
    match error {
        Error::NotFound => Errno::ENOENT,
        Error::Exists => Errno::EEXIST,
        Error::NotDirectory => Errno::ENOTDIR,
        Error::IsDirectory => Errno::EISDIR,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::NameTooLong => Errno::ENAMETOOLONG,
        Error::NoSpace => Errno::ENOSPC,
        Error::NoMemory => Errno::ENOMEM,
        Error::TooLarge => Errno::EFBIG,
        Error::Media(_) => Errno::EIO,
        Error::BadAddress => Errno::EFAULT,
        Error::TextBusy => Errno::ETXTBSY,
        Error::ReadOnly => Errno::EROFS,
        Error::TooManyLinks => Errno::EMLINK,
        Error::NotPermitted => Errno::EPERM,
        Error::CrossDevice => Errno::EXDEV,
        Error::Busy => Errno::EBUSY,
        Error::Invalid => Errno::EINVAL,
    }
}
