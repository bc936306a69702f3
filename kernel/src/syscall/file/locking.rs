//! Locks: of whole files (`flock`), and of ranges (`fcntl`).

use super::{Args, file, int};
use crate::task::current;
use crate::uaccess::{UserPtr, read_user, write_user};
use crate::vfs::{File, LockKind, Record, Span, Wait, Waits};
use abi::Errno;
use abi::file::{
    F_RDLCK, F_UNLCK, F_WRLCK, Flock, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, SEEK_CUR, SEEK_END, SEEK_SET,
};
use alloc::sync::Arc;

/// `LOCK_MAND`: locks that Linux no longer has, and says nothing about.
const LOCK_MAND: u32 = 32;
/// The last byte a file can have.
const LAST: u64 = i64::MAX as u64;

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

/// Whose a lock on a range is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LockOf {
    /// The process's: gone when it closes any descriptor of the file.
    Process,
    /// The open file's (`F_OFD_*`): gone with its last descriptor.
    OpenFile,
}

/// `fcntl(fd, F_GETLK or F_OFD_GETLK, flock)`: tells of the first lock that stands against the one described.
///
/// # Errors
/// `EFAULT`, `EINVAL`, `EOVERFLOW`, `EINTR`.
pub(super) fn get(file: &File, at: UserPtr, of: LockOf) -> Result<u64, Errno> {
    let asked: Flock = read_user(at)?;
    if of == LockOf::Process && !matches!(asked.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let (wanted, kind) = describe(file, &asked, of)?;
    check_pid(&asked, of)?;
    let told = match file.test_record(&wanted, kind) {
        None => Flock { kind: F_UNLCK, ..asked },
        Some(Record { pid, kind, span, .. }) => Flock {
            kind: if kind == LockKind::Shared { F_RDLCK } else { F_WRLCK },
            whence: SEEK_SET as i16,
            start: span.first as i64,
            len: if span.last == LAST { 0 } else { (span.last - span.first + 1) as i64 },
            pid,
            ..asked
        },
    };
    write_user(at, &told)?;
    Ok(0)
}

/// `fcntl(fd, F_SETLK, F_SETLKW or their F_OFD_ forms, flock)`: locks a range, or lets go of it.
///
/// # Errors
/// `EFAULT`, `EINVAL`, `EOVERFLOW`; `EBADF` where the file is not open for what is locked; `EAGAIN`, `EDEADLK`, `EINTR`,
/// `ENOLCK`.
pub(super) fn set(fd: i32, at: UserPtr, of: LockOf, wait: Wait) -> Result<u64, Errno> {
    let files = &current().files;
    let file = files.get(fd)?;
    let asked: Flock = read_user(at)?;
    let (wanted, kind) = describe(&file, &asked, of)?;
    match kind {
        Some(LockKind::Shared) => file.check_readable()?,
        Some(LockKind::Exclusive) => file.check_writable()?,
        None => {}
    }
    check_pid(&asked, of)?;
    file.set_record(wanted, kind, wait)?;
    // Another thread may have closed the descriptor before there was anything to let go of.
    let still = || files.get(fd).is_ok_and(|now| Arc::ptr_eq(&now, &file));
    if of == LockOf::Process && kind.is_some() && !still() {
        file.set_record(wanted, None, Wait::Refuse)?;
        return Err(Errno::EBADF);
    }
    Ok(0)
}

/// The process of an open file's lock has to be 0.
fn check_pid(asked: &Flock, of: LockOf) -> Result<(), Errno> {
    if of == LockOf::OpenFile && asked.pid != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// What a program describes: whose lock, where, and of what kind, if any (`flock64_to_posix_lock`).
fn describe(file: &File, asked: &Flock, of: LockOf) -> Result<(Record, Option<LockKind>), Errno> {
    let base = match asked.whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => file.position()?,
        SEEK_END => file.vnode().stat().size as u64,
        _ => return Err(Errno::EINVAL),
    };
    let span = span(base, asked)?;
    let kind = match asked.kind {
        F_RDLCK => Some(LockKind::Shared),
        F_WRLCK => Some(LockKind::Exclusive),
        F_UNLCK => None,
        _ => return Err(Errno::EINVAL),
    };
    let task = current();
    let (owner, pid) = match of {
        LockOf::Process => (task.files.lock_owner(), task.process.pid as i32),
        LockOf::OpenFile => (file.lock_owner(), -1),
    };
    Ok((Record { owner, pid, kind: kind.unwrap_or(LockKind::Shared), span }, kind))
}

/// The bytes that `asked` means, counted from `base`.
///
/// # Errors
/// `EOVERFLOW` where they pass the last byte a file can have, `EINVAL` where they begin before the first.
fn span(base: u64, asked: &Flock) -> Result<Span, Errno> {
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(asked.start).ok_or(Errno::EOVERFLOW)?;
    let first = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    match asked.len {
        0 => Ok(Span { first, last: LAST }),
        1.. => match first.checked_add(asked.len as u64 - 1) {
            Some(last) if last <= LAST => Ok(Span { first, last }),
            _ => Err(Errno::EOVERFLOW),
        },
        // The bytes before it.
        ..0 => match first.checked_sub(asked.len.unsigned_abs()) {
            Some(begin) => Ok(Span { first: begin, last: first - 1 }),
            None => Err(Errno::EINVAL),
        },
    }
}
