//! `flock`: whole-file locks.

use super::{Args, file, int};
use crate::vfs::{LockKind, Waits};
use abi::Errno;
use abi::file::{LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN};

/// `LOCK_MAND`: locks that Linux no longer has, and says nothing about.
const LOCK_MAND: u32 = 32;

/// `flock(fd, operation)`.
///
/// # Errors
/// `EINVAL`, `EBADF`, `EAGAIN` with `LOCK_NB`, `EINTR`, `ENOMEM`.
pub(crate) fn sys_flock(a: &Args) -> Result<u64, Errno> {
    let operation = int(a, 1);
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    let kind = match operation & !LOCK_NB {
        LOCK_SH => Some(LockKind::Shared),
        LOCK_EX => Some(LockKind::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = file(a, 0)?;
    let waits = if operation & LOCK_NB == 0 { Waits::Yes } else { Waits::No };
    match kind {
        Some(kind) => file.lock(kind, waits)?,
        None => file.unlock(),
    }
    Ok(0)
}
