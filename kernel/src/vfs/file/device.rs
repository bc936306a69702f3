//! What the terminal and the small devices of `/dev` answer.

use crate::vfs::copy;
use crate::vfs::special::Special;
use crate::{console, rng};
use abi::Errno;
use alloc::vec::Vec;
use pmem::medium::{Sink, Source};

/// Bytes of one line of the terminal at most.
const LINE_MAX: usize = 4096;

/// Reads a line, or what is left of one.
///
/// # Errors
/// `EINTR`, `EFAULT`, `ENOMEM`.
pub(super) fn read_terminal<K: Sink>(len: usize, sink: &mut K) -> Result<usize, Errno> {
    if len == 0 {
        return Ok(0);
    }
    let mut line = Vec::new();
    let len = len.min(LINE_MAX);
    line.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    line.resize(len, 0);
    let got = console::read(&mut line)?;
    copy::give(sink, &line[..got]).map_err(|_| Errno::EFAULT)
}

/// Sends bytes to the terminal, unchanged.
///
/// # Errors
/// `EFAULT`.
pub(super) fn write_terminal<S: Source>(source: &mut S) -> Result<usize, Errno> {
    let len = source.remaining();
    copy::consume(source, len, console::write).map_err(|_| Errno::EFAULT)
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
