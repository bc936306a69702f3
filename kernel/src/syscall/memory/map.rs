//! `mmap` and `remap_file_pages`.

use alloc::sync::Arc;

use abi::Errno;
use abi::mem::{MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MapFlags, Prot};
use mm::VmaFlags;
use mm::space::{MapError, NonlinearError, Place, Released, Request, What};
use units::{ByteLen, FileOff, HUGE_SIZE, PAGE_SHIFT, PAGE_SIZE, VirtAddr, VirtRange};

use super::{protection, space, with_implied};
use crate::space::{FilePin, Mappings, Promise, SharedFile, SharedMemory, Shown, Space, page_range, pages_of};
use crate::syscall::Args;
use crate::task::current;
use crate::vfs::special::Special;
use crate::vfs::{File, Vnode};

/// The flags that Linux knew before `MAP_SHARED_VALIDATE` (`LEGACY_MAP_MASK`): others are refused with that.
const LEGACY: MapFlags = MapFlags::TYPE
    .union(MapFlags::FIXED)
    .union(MapFlags::ANONYMOUS)
    .union(MapFlags::GROWSDOWN)
    .union(MapFlags::DENYWRITE)
    .union(MapFlags::EXECUTABLE)
    .union(MapFlags::LOCKED)
    .union(MapFlags::NORESERVE)
    .union(MapFlags::POPULATE)
    .union(MapFlags::NONBLOCK)
    .union(MapFlags::STACK)
    .union(MapFlags::HUGETLB)
    // `MAP_UNINITIALIZED`, and the sizes of huge pages.
    .union(MapFlags::from_bits_retain(0x1f << 26));

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

/// `mmap(address, len, prot, flags, fd, offset)`: memory, a file as it is now (`MAP_PRIVATE`), or the file itself (`MAP_SHARED`).
pub(crate) fn sys_mmap(a: &Args) -> Result<u64, Errno> {
    let [address, len, prot, flags, fd, offset] = a.a;
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let flags = MapFlags::from_bits_retain(flags);
    let file = if flags.contains(MapFlags::ANONYMOUS) { None } else { Some(current().files.get(fd as i32)?) };
    if flags.contains(MapFlags::HUGETLB) || len == 0 {
        return Err(Errno::EINVAL);
    }
    let space = space()?;
    let prot = with_implied(Prot::from_bits_truncate(prot));
    let place = place(address, flags);
    let what = match what(file.as_ref(), len, offset, prot, flags) {
        Ok(what) => what,
        // Linux looks for room before it looks at the file.
        Err(error) => return Err(refused_before(&space.lock(), place, len, offset).unwrap_or(error)),
    };
    let mut asked = vma_flags(flags);
    if let What::Shared { backing: Shown::Shared(_), .. } = &what {
        current().space().map_or(Ok(()), Space::begin_sharing)?;
        asked |= shared_flags(file.as_deref(), flags);
    }
    let mut mappings = space.lock();
    let place = in_step(&mappings, place, len, &what);
    let request = Request { place, len, prot: protection(prot), flags: asked, what };
    let mut released = Released::none();
    let at = mappings.map_into(request, &mut released).map_err(map_errno)?;
    // Also where `mlockall` has said so of all that comes.
    let locked = asked.contains(VmaFlags::LOCKED) || mappings.locks_what_comes();
    drop(mappings);
    drop(released);
    let populated = flags & (MapFlags::POPULATE | MapFlags::NONBLOCK) == MapFlags::POPULATE;
    if (populated || locked)
        && let Some(range) = VirtRange::with_len(at, ByteLen::new(len))
    {
        // As on Linux, what cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(at.get())
}

fn place(address: u64, flags: MapFlags) -> Place {
    let at = VirtAddr::new(address);
    if flags.contains(MapFlags::FIXED_NOREPLACE) {
        Place::FixedNoReplace(at)
    } else if flags.contains(MapFlags::FIXED) {
        Place::Fixed(at)
    } else if address != 0 {
        Place::Hint(at)
    } else {
        Place::ANYWHERE
    }
}

/// For a file that may lie in blocks of 2 MiB, an address that agrees with its offset (`thp_get_unmapped_area`), if there is room.
fn in_step(mappings: &Mappings, place: Place, len: u64, what: &What<Shown>) -> Place {
    match what {
        What::File { pgoff, .. } | What::Shared { backing: Shown::Shared(_), pgoff }
            if place == Place::ANYWHERE && len >= HUGE_SIZE =>
        {
            let stepped = Place::Anywhere { align: HUGE_SIZE, offset: (pgoff << PAGE_SHIFT) & (HUGE_SIZE - 1) };
            mappings.get_unmapped_area(stepped, len).map_or(place, |range| Place::Hint(range.start()))
        }
        _ => place,
    }
}

/// What `mmap` may ask for that its VMA remembers.
const REMEMBERED: [(MapFlags, VmaFlags); 5] = [
    (MapFlags::GROWSDOWN, VmaFlags::GROWS_DOWN),
    (MapFlags::LOCKED, VmaFlags::LOCKED),
    (MapFlags::NORESERVE, VmaFlags::NO_RESERVE),
    (MapFlags::SYNC, VmaFlags::SYNC),
    // A block would be there whole for the few pages that most stacks use.
    (MapFlags::STACK, VmaFlags::NO_HUGE_PAGE),
];

fn vma_flags(flags: MapFlags) -> VmaFlags {
    const ANY: MapFlags = MapFlags::GROWSDOWN
        .union(MapFlags::LOCKED)
        .union(MapFlags::NORESERVE)
        .union(MapFlags::SYNC)
        .union(MapFlags::STACK);
    if !flags.intersects(ANY) {
        return VmaFlags::empty();
    }
    let asked = REMEMBERED.into_iter().filter(|(asked, _)| flags.contains(*asked));
    asked.map(|(_, given)| given).fold(VmaFlags::empty(), VmaFlags::union)
}

/// What the VMA of a shared file is besides: never written where the file was opened for reading alone (`VM_MAYWRITE`), and
/// synchronous where that was asked for in the way that cannot be overheard.
fn shared_flags(file: Option<&File>, flags: MapFlags) -> VmaFlags {
    let mut answer = VmaFlags::empty();
    answer.set(VmaFlags::NEVER_WRITE, file.is_some_and(|file| !file.writable()));
    let validated = (flags & MapFlags::TYPE).bits() == MAP_SHARED_VALIDATE;
    answer.set(VmaFlags::SYNC, validated && flags.contains(MapFlags::SYNC));
    answer
}

/// What the mapping is to show; the refusals that come after the search for room, in Linux's order.
fn what(file: Option<&Arc<File>>, len: u64, offset: u64, prot: Prot, flags: MapFlags) -> Result<What<Shown>, Errno> {
    let kind = (flags & MapFlags::TYPE).bits();
    let Some(file) = file else { return anonymous(kind, len, flags) };
    // `file_mmap_ok`.
    if file.regular().is_some() && offset > fs::MAX_FILE_SIZE - len.min(fs::MAX_FILE_SIZE) {
        return Err(Errno::EOVERFLOW);
    }
    let is_shared = matches!(kind, MAP_SHARED | MAP_SHARED_VALIDATE);
    if is_shared {
        // Every file on the medium can do what `MAP_SYNC` promises, and nothing else can.
        let known = if file.regular().is_some() { LEGACY.union(MapFlags::SYNC) } else { LEGACY };
        if kind == MAP_SHARED_VALIDATE && !known.contains(flags) {
            return Err(Errno::EOPNOTSUPP);
        }
        if prot.contains(Prot::WRITE) && !file.writable() {
            return Err(Errno::EACCES);
        }
    } else if kind != MAP_PRIVATE {
        return Err(Errno::EINVAL);
    }
    if !file.readable() {
        return Err(Errno::EACCES);
    }
    if matches!(file.vnode(), Vnode::Kernel(Special::Zero)) {
        return anonymous(if kind == MAP_PRIVATE { MAP_PRIVATE } else { MAP_SHARED }, len, flags);
    }
    let node = file.regular().ok_or(Errno::ENODEV)?;
    if flags.contains(MapFlags::GROWSDOWN) {
        return Err(Errno::EINVAL);
    }
    let range = page_range(FileOff::new(offset), len).ok_or(Errno::EOVERFLOW)?;
    if is_shared {
        let shared = SharedFile::new(file).ok_or(Errno::ENODEV)?;
        return Ok(What::Shared { backing: shared.into(), pgoff: offset >> PAGE_SHIFT });
    }
    let pin = node.pin(range).map_err(crate::vfs::error::errno)?;
    Ok(What::File { backing: FilePin::of_open(pin, node.ino(), file.clone())?.into(), pgoff: offset >> PAGE_SHIFT })
}

#[inline]
fn anonymous(kind: u64, len: u64, flags: MapFlags) -> Result<What<Shown>, Errno> {
    match kind {
        MAP_PRIVATE => Ok(What::Anonymous),
        MAP_SHARED if !flags.contains(MapFlags::GROWSDOWN) => {
            let promise = if flags.contains(MapFlags::NORESERVE) { Promise::NotMade } else { Promise::Made };
            Ok(What::Shared { backing: Shown::Memory(SharedMemory::new(pages_of(len), promise)?), pgoff: 0 })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What `do_mmap` refuses before it looks at the file or the kind of mapping.
fn refused_before(mappings: &Mappings, place: Place, len: u64, offset: u64) -> Option<Errno> {
    let Some(aligned) = len.checked_next_multiple_of(PAGE_SIZE) else { return Some(Errno::ENOMEM) };
    if (offset >> PAGE_SHIFT).checked_add(aligned >> PAGE_SHIFT).is_none() {
        return Some(Errno::EOVERFLOW);
    }
    if mappings.map_count() > mm::space::MAX_MAP_COUNT {
        return Some(Errno::ENOMEM);
    }
    mappings.get_unmapped_area(place, len).err().map(map_errno)
}

/// `remap_file_pages(address, size, prot, page, flags)`: as Linux emulates it. Shared memory alone can be mapped so.
pub(crate) fn sys_remap_file_pages(a: &Args) -> Result<u64, Errno> {
    let [start, size, prot, page, flags, _] = a.a;
    if prot != 0 {
        return Err(Errno::EINVAL);
    }
    let space = space()?;
    let mapped = space.lock().remap_file_pages(VirtAddr::new(start), size, page).map_err(|error| match error {
        NonlinearError::Invalid => Errno::EINVAL,
        NonlinearError::Map(error) => map_errno(error),
    })?;
    drop(mapped.released);
    if !MapFlags::from_bits_retain(flags).contains(MapFlags::NONBLOCK)
        && let Some(range) = VirtRange::with_len(mapped.at, ByteLen::new(size & !(PAGE_SIZE - 1)))
    {
        // What cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(0)
}
