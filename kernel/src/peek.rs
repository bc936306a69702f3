//! `peek` and `unpeek`: a file's own pages in a program, read-only, as they are at this instant.
//!
//! The file system pins the blocks (`fs::Pin`), the address space shows them (`mm`); neither knows the other. What is
//! written to the file later goes to other blocks; those that were pinned are free when the last mapping goes.

use abi::Errno;
use mm::space::PeekError;
use units::{FileOff, VirtAddr};

use crate::heap;
use crate::space::{FilePin, page_range};
use crate::syscall::Args;
use crate::task::current;
use crate::vfs;

/// Heap that a peek takes at most, in pieces.
const WORST_CASE: usize = 16 << 10;

/// `peek(fd, offset, len)`: the address of the byte at `offset`. The errors come in the order of docs/ABI.md.
pub(crate) fn sys_peek(a: &Args) -> Result<u64, Errno> {
    let [fd, offset, len, ..] = a.a;
    let task = current();
    let file = task.files.get(fd as i32)?;
    if file.is_path() || !file.readable() {
        return Err(Errno::EBADF);
    }
    let node = file.regular().ok_or(Errno::ENODEV)?;
    let (Ok(_), Ok(signed_len)) = (i64::try_from(offset), i64::try_from(len)) else { return Err(Errno::EINVAL) };
    if signed_len == 0 || (offset as i64).checked_add(signed_len).is_none() {
        return Err(Errno::EINVAL);
    }
    let range = page_range(FileOff::new(offset), len).ok_or(Errno::EINVAL)?;
    heap::reserve(WORST_CASE)?;
    let space = task.space().ok_or(Errno::ENOMEM)?;
    let pin = node.pin(range).map_err(vfs::error::errno)?;
    if offset >= pin.size() {
        return Err(Errno::ENXIO);
    }
    let backing = FilePin::new(pin, node.ino())?;
    if !backing.is_good(range) {
        return Err(Errno::EIO);
    }
    let peeked = space.lock().peek(backing.into(), FileOff::new(offset), len);
    peeked.map(VirtAddr::get).map_err(|error| match error {
        PeekError::Invalid => Errno::EINVAL,
        PeekError::OutOfMemory => Errno::ENOMEM,
    })
}

/// `unpeek(pointer)`: ends what is left of the peek that returned `pointer`.
pub(crate) fn sys_unpeek(a: &Args) -> Result<u64, Errno> {
    let space = current().space().ok_or(Errno::EINVAL)?;
    let released = space.lock().unpeek(VirtAddr::new(a.a[0])).map_err(|_| Errno::EINVAL)?;
    // The pins go here, after the invalidation and with no lock held.
    drop(released);
    Ok(0)
}
