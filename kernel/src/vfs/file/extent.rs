//! How long a file may become: the largest there is, and `RLIMIT_FSIZE`, whose breach is also told by `SIGXFSZ`.
//!
//! As in Linux, a write that begins below the limit is cut short at it, and one that begins there is refused.

use super::super::Node;
use crate::task::{current, kill};
use crate::vfs::copy::{self, Shorten};
use crate::vfs::error::errno;
use abi::Errno;
use fs::{Error, MAX_FILE_SIZE, WriteAt};
use pmem::medium::BadAddress;

/// Cuts `source` to what may be written at `place`.
///
/// # Errors
/// `EFBIG` where that is nothing.
#[inline]
pub(super) fn limit<S: Shorten>(node: &Node, place: WriteAt, source: &mut S) -> Result<(), Errno> {
    let end = current().process.file_end();
    let begins = match place {
        // The file system looks at its own limit; the end is asked for only where there is another.
        WriteAt::End if end == MAX_FILE_SIZE => return Ok(()),
        WriteAt::End => node.attr().size,
        WriteAt::Offset(at) => at.get(),
    };
    let len = source.remaining();
    if begins.saturating_add(len as u64) > end {
        source.shorten(room(begins, len)?);
    }
    Ok(())
}

/// How many of `len` bytes may be written from `at` on (`generic_write_check_limits`).
///
/// # Errors
/// `EFBIG` where that is nothing, also of no bytes.
pub(super) fn room(at: u64, len: usize) -> Result<usize, Errno> {
    let end = current().process.file_end();
    if at >= end {
        return Err(refuse(end));
    }
    Ok(usize::try_from(end - at).unwrap_or(usize::MAX).min(len))
}

/// What a program is told of a write that the file system refused: bytes that cannot be read count before bytes for which
/// there is no room.
#[cold]
pub(super) fn blame<S: Shorten>(refused: Error, source: &mut S) -> Errno {
    let unread = source.remaining() > 0 && refused == Error::NoSpace;
    if unread && copy::take(source, &mut [0]) == Err(BadAddress) { Errno::EFAULT } else { errno(refused) }
}

/// Makes a file `size` bytes long, where the program may.
///
/// # Errors
/// `EFBIG`, `ENOSPC`, `EIO`, `EROFS`.
pub(crate) fn truncate(node: &Node, size: u64) -> Result<(), Errno> {
    check_size(node, size)?;
    node.truncate(size, crate::vfs::now()).map_err(errno)
}

/// Refuses to make a file longer than it may be (`inode_newsize_ok`).
///
/// # Errors
/// `EFBIG`.
pub(super) fn check_size(node: &Node, size: u64) -> Result<(), Errno> {
    let end = current().process.file_end();
    if size > end && size > node.attr().size { Err(refuse(end)) } else { Ok(()) }
}

/// What going past `end` answers; where that is the program's own limit, it gets the signal, too.
#[cold]
fn refuse(end: u64) -> Errno {
    if end == MAX_FILE_SIZE {
        return Errno::EFBIG;
    }
    kill::file_too_large().err().unwrap_or(Errno::EFBIG)
}
