//! What the terminal and the small devices of `/dev` answer.

use crate::console::terminal::{Patience, Refused, TERMINAL};
use crate::rng;
use crate::task::{current, group};
use crate::vfs::copy;
use crate::vfs::special::Special;
use abi::Errno;
use alloc::vec::Vec;
use pmem::medium::{Sink, Source};

/// Bytes of one line of the terminal at most.
const LINE_MAX: usize = 4096;

/// Reads a line, or what is left of one.
///
/// # Errors
/// `EINTR`, `EAGAIN`, `EFAULT`, `ENOMEM`; `EIO` in the background.
pub(super) fn read_terminal<K: Sink>(len: usize, patience: Patience, sink: &mut K) -> Result<usize, Errno> {
    if len == 0 {
        return Ok(0);
    }
    let mut line = Vec::new();
    let len = len.min(LINE_MAX);
    line.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    line.resize(len, 0);
    group::check_foreground(current())?;
    let got = TERMINAL.read(&mut line, patience)?;
    copy::give(sink, &line[..got]).map_err(|_| Errno::EFAULT)
}

/// Sends bytes to the terminal, unchanged.
///
/// # Errors
/// `EFAULT`; `EINTR` and `EAGAIN` where output is stopped.
pub(super) fn write_terminal<S: Source>(source: &mut S, patience: Patience) -> Result<usize, Errno> {
    let mut buffer = [0; copy::CHUNK];
    let mut done = 0;
    while source.remaining() > 0 {
        let chunk = &mut buffer[..copy::CHUNK.min(source.remaining())];
        let taken = copy::take(source, chunk).map_err(|_| Errno::EFAULT);
        match taken.and_then(|()| Ok(TERMINAL.write(chunk, patience)?)) {
            Ok(()) => done += chunk.len(),
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl From<Refused> for Errno {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Interrupted => Self::EINTR,
            Refused::WouldWait => Self::EAGAIN,
        }
    }
}

/// Reads `/dev/null` and its kin.
///
/// # Errors
/// `EFAULT`, `EIO` for what is no device.
pub(super) fn read<K: Sink>(special: Special, len: usize, sink: &mut K) -> Result<usize, Errno> {
    let done = match special {
        Special::Null => Ok(0),
        Special::Zero | Special::Full => copy::produce(sink, len, |chunk| chunk.fill(0)),
        Special::Urandom | Special::Random => copy::produce(sink, len, rng::fill),
        _ => return Err(Errno::EIO),
    };
    done.map_err(|_| Errno::EFAULT)
}

/// Writes `/dev/null` and its kin: what they are given is gone.
///
/// # Errors
/// `ENOSPC` from `/dev/full`, `EIO` for what is no device.
pub(super) fn write<S: Source>(special: Special, source: &mut S) -> Result<usize, Errno> {
    match special {
        Special::Null | Special::Zero | Special::Urandom | Special::Random => Ok(source.remaining()),
        Special::Full => Err(Errno::ENOSPC),
        _ => Err(Errno::EIO),
    }
}
