//! `mremap`.

use abi::Errno;
use abi::mem::RemapFlags;
use mm::space::{RemapError, RemapPlace};
use units::VirtAddr;

use super::space;
use crate::layout::untagged;
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

/// `mremap(address, old_len, new_len, flags, new_address)`.
pub(crate) fn sys_mremap(a: &Args) -> Result<u64, Errno> {
    let [start, old_len, new_len, flags, to, _] = a.a;
    let place = place(flags, old_len == new_len, to).ok_or(Errno::EINVAL)?;
    let space = space()?;
    let remapped = space.lock().remap(VirtAddr::new(untagged(start)), old_len, new_len, place);
    let remapped = remapped.map_err(|error| match error {
        RemapError::Invalid => Errno::EINVAL,
        RemapError::Fault => Errno::EFAULT,
        RemapError::OutOfMemory => Errno::ENOMEM,
        RemapError::LockLimit => Errno::EAGAIN,
        RemapError::TooLow => Errno::EPERM,
    })?;
    drop(remapped.released);
    drop(remapped.replaced);
    if let Some(range) = remapped.populate {
        // What cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(remapped.at.get())
}
