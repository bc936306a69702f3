//! `mremap`.

use abi::Errno;
use abi::mem::RemapFlags;
use mm::space::{Released, RemapError, RemapPlace};
use units::{FileOff, FileRange, PAGE_SIZE, PageCount, VirtAddr};

use super::space;
use crate::layout::untagged;
use crate::space::{FilePin, Shown, Space};
use crate::syscall::Args;

/// Where the flags say the mapping may go.
fn place(flags: u64, same_length: bool, to: u64) -> Option<RemapPlace> {
    let flags = RemapFlags::from_bits(flags)?;
    let moves = flags.contains(RemapFlags::MAYMOVE);
    let (fixed, twin) = (flags.contains(RemapFlags::FIXED), flags.contains(RemapFlags::DONTUNMAP));
    if (fixed || twin) && !moves || twin && !same_length {
        return None;
    }
    let to = VirtAddr::new(to);
    Some(match (fixed, twin) {
        (true, true) => RemapPlace::FixedTwin(to),
        (true, false) => RemapPlace::Fixed(to),
        (false, true) => RemapPlace::Twin(to),
        (false, false) if moves => RemapPlace::Anywhere,
        (false, false) => RemapPlace::Here,
    })
}

/// A private mapping is about to show more of its file: as it is now. A program's own grows into nothing: it is pinned as a
/// whole.
fn pin_more(space: &Space, start: VirtAddr, file: &FilePin, (first, count): (u64, u64)) -> Result<(), Errno> {
    let Some((open, node)) = file.open_file().and_then(|open| Some((open, open.regular()?))) else { return Ok(()) };
    let at = first.checked_mul(PAGE_SIZE).map(FileOff::new);
    let range = at.zip(PageCount::new(count).bytes()).and_then(|(at, len)| FileRange::with_len(at, len));
    // Past the end of 64 bits: what follows refuses it.
    let Some(range) = range else { return Ok(()) };
    let pin = node.pin(range).map_err(crate::vfs::error::errno)?;
    let more = FilePin::of_open(pin, node.ino(), open.clone())?.into();
    space.lock().extend(start, &more, first, count).map_err(|mm::OutOfMemory| Errno::ENOMEM)
}

/// `mremap(address, old_len, new_len, flags, new_address)`.
pub(crate) fn sys_mremap(a: &Args) -> Result<u64, Errno> {
    let [start, old_len, new_len, flags, to, _] = a.a;
    let place = place(flags, old_len == new_len, to).ok_or(Errno::EINVAL)?;
    let space = space()?;
    let start = VirtAddr::new(untagged(start));
    let growth = space.lock().growth(start, old_len, new_len);
    if let Some((Shown::File(file), first, count)) = growth {
        pin_more(space, start, &file, (first, count))?;
    }
    let mut replaced = Released::none();
    let remapped = space.lock().remap(start, old_len, new_len, place, &mut replaced);
    drop(replaced);
    let remapped = remapped.map_err(|error| match error {
        RemapError::Invalid => Errno::EINVAL,
        RemapError::Fault => Errno::EFAULT,
        RemapError::OutOfMemory => Errno::ENOMEM,
        RemapError::LockLimit => Errno::EAGAIN,
        RemapError::TooLow => Errno::EPERM,
    })?;
    drop(remapped.released);
    if let Some(range) = remapped.populate {
        // What cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(remapped.at.get())
}
