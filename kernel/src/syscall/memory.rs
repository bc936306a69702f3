//! Calls on the address space: `brk`, `mmap`, `munmap`, `mprotect`, `madvise`.

use abi::Errno;
use abi::mem::{MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MapFlags, Prot, madv};
use arch::features::{Feature, has};
use mm::VmaFlags;
use mm::space::{
    Advice, AdviseError, MapError, Place, ProtectError, Request, UnmapError, What, protect_range,
};
use units::{ByteLen, FileOff, PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use crate::heap;
use crate::layout::untagged;
use crate::space::{FilePin, Space, page_range};
use crate::syscall::Args;
use crate::task::current;

/// Heap that one call takes at most, in pieces.
const WORST_CASE: usize = 8 << 10;

/// The caller's address space; a call came from a program, so there is one.
fn space() -> Result<&'static Space, Errno> {
    heap::reserve(WORST_CASE)?;
    current().space().map(|space| &**space).ok_or(Errno::ENOMEM)
}

fn map_errno(error: MapError) -> Errno {
    match error {
        MapError::Invalid => Errno::EINVAL,
        MapError::Overflow => Errno::EOVERFLOW,
        MapError::OutOfMemory => Errno::ENOMEM,
        MapError::TooLow | MapError::LockForbidden => Errno::EPERM,
        MapError::LockLimit => Errno::EAGAIN,
        MapError::Exists => Errno::EEXIST,
    }
}

fn protection(prot: Prot) -> mm::Prot {
    let mut answer = mm::Prot::empty();
    for (asked, given) in
        [(Prot::READ, mm::Prot::READ), (Prot::WRITE, mm::Prot::WRITE), (Prot::EXEC, mm::Prot::EXEC)]
    {
        if prot.contains(asked) {
            answer |= given;
        }
    }
    if prot.contains(Prot::BTI) && !answer.is_empty() && has(Feature::Bti) {
        answer |= mm::Prot::BTI;
    }
    answer
}

/// `brk(end)`: the end of the heap from here on.
pub(crate) fn sys_brk(a: &Args) -> Result<u64, Errno> {
    let (end, released) = space()?.lock().brk(VirtAddr::new(a.a[0]));
    drop(released);
    Ok(end.get())
}

/// `mmap(address, len, prot, flags, fd, offset)`: memory, or a file as it is now (`MAP_PRIVATE`). A mapping that follows
/// a file (`MAP_SHARED`) is refused with `ENODEV`, as by a Linux file system that cannot do it.
pub(crate) fn sys_mmap(a: &Args) -> Result<u64, Errno> {
    let [address, len, prot, flags, fd, offset] = a.a;
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let prot = protection(Prot::from_bits_truncate(prot));
    let (kind, flags) = (flags & MapFlags::TYPE.bits(), MapFlags::from_bits_truncate(flags));
    let anonymous = flags.contains(MapFlags::ANONYMOUS);
    let file = if anonymous { None } else { Some(current().files.get(fd as i32)?) };
    if len == 0 || !matches!(kind, MAP_PRIVATE | MAP_SHARED | MAP_SHARED_VALIDATE) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(MapFlags::HUGETLB) {
        return Err(Errno::EINVAL);
    }
    let what = match file {
        // Address spaces are not copied yet, so memory that is shared and memory that is not are the same.
        None if kind != MAP_SHARED_VALIDATE => What::Anonymous,
        None => return Err(Errno::EINVAL),
        Some(file) => {
            if !file.readable() {
                return Err(Errno::EACCES);
            }
            let node = file.regular().filter(|_| kind == MAP_PRIVATE).ok_or(Errno::ENODEV)?;
            let range = page_range(FileOff::new(offset), len).ok_or(Errno::EOVERFLOW)?;
            let pin = node.pin(range).map_err(crate::vfs::error::errno)?;
            What::File { backing: FilePin::new(pin, node.ino()), pgoff: offset >> PAGE_SHIFT }
        }
    };
    let place = if flags.contains(MapFlags::FIXED_NOREPLACE) {
        Place::FixedNoReplace(VirtAddr::new(address))
    } else if flags.contains(MapFlags::FIXED) {
        Place::Fixed(VirtAddr::new(address))
    } else if address != 0 {
        Place::Hint(VirtAddr::new(address))
    } else {
        Place::Anywhere { align: PAGE_SIZE, offset: 0 }
    };
    let grows = if flags.contains(MapFlags::GROWSDOWN) { VmaFlags::GROWS_DOWN } else { VmaFlags::empty() };
    let space = space()?;
    let request = Request { place, len, prot, flags: grows, what };
    let mut mappings = space.lock();
    let mapped = mappings.map(request).map_err(map_errno)?;
    if flags.intersects(MapFlags::POPULATE | MapFlags::LOCKED)
        && let Some(range) = VirtRange::with_len(mapped.at, ByteLen::new(len))
    {
        // As on Linux, what cannot be had now is left to a fault.
        let _ = mappings.populate(range);
    }
    drop(mappings);
    drop(mapped.released);
    Ok(mapped.at.get())
}

/// `munmap(address, len)`.
pub(crate) fn sys_munmap(a: &Args) -> Result<u64, Errno> {
    let released = space()?.lock().unmap(VirtAddr::new(untagged(a.a[0])), a.a[1]).map_err(|error| match error {
        UnmapError::Invalid => Errno::EINVAL,
        UnmapError::OutOfMemory => Errno::ENOMEM,
    })?;
    drop(released);
    Ok(0)
}

/// `mprotect(address, len, prot)`.
pub(crate) fn sys_mprotect(a: &Args) -> Result<u64, Errno> {
    let [start, len, prot, ..] = a.a;
    let errno = |error| match error {
        ProtectError::Invalid => Errno::EINVAL,
        ProtectError::Unmapped | ProtectError::OutOfMemory => Errno::ENOMEM,
        ProtectError::Denied => Errno::EACCES,
    };
    let range = protect_range(VirtAddr::new(untagged(start)), len).map_err(errno)?;
    let prot = Prot::from_bits(prot).ok_or(Errno::EINVAL)?;
    // As Linux's `arch_validate_prot`: what this machine does not have cannot be asked for.
    let missing = if has(Feature::Bti) { Prot::MTE } else { Prot::MTE | Prot::BTI };
    if prot.intersects(missing | Prot::GROWSDOWN | Prot::GROWSUP) {
        return Err(Errno::EINVAL);
    }
    if let Some(range) = range {
        space()?.lock().protect(range, protection(prot)).map_err(errno)?;
    }
    Ok(0)
}

/// `madvise(address, len, advice)`.
pub(crate) fn sys_madvise(a: &Args) -> Result<u64, Errno> {
    let [start, len, advice, ..] = a.a;
    let advice = match advice {
        madv::NORMAL => Advice::Normal,
        madv::RANDOM => Advice::Random,
        madv::SEQUENTIAL => Advice::Sequential,
        madv::WILLNEED => Advice::WillNeed,
        madv::DONTFORK => Advice::DontFork,
        madv::DOFORK => Advice::DoFork,
        madv::HUGEPAGE => Advice::HugePage,
        madv::NOHUGEPAGE => Advice::NoHugePage,
        madv::DONTDUMP => Advice::DontDump,
        madv::DODUMP => Advice::DoDump,
        madv::COLD | madv::PAGEOUT => Advice::Hint,
        madv::DONTNEED => Advice::DontNeed,
        madv::DONTNEED_LOCKED => Advice::DontNeedLocked,
        madv::FREE => Advice::Free,
        madv::REMOVE => Advice::Remove,
        _ => return Err(Errno::EINVAL),
    };
    space()?.lock().advise(VirtAddr::new(untagged(start)), len, advice).map_err(|error| match error {
        AdviseError::Invalid => Errno::EINVAL,
        AdviseError::Unmapped => Errno::ENOMEM,
        AdviseError::Denied => Errno::EACCES,
        AdviseError::OutOfMemory => Errno::EAGAIN,
    })?;
    Ok(0)
}
