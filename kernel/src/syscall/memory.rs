//! Calls on the address space. What they mean is in the crate `mm`; here are Linux's flags, errnos and order of checks.

mod advise;
mod lock;
mod map;
mod remap;

use abi::Errno;
use abi::mem::Prot;
use abi::task::persona;
use arch::features::{Feature, has};
use mm::VmaFlags;
use mm::space::{ProtectError, Released, UnmapError, protect_range, unmap_range};
use units::{VirtAddr, VirtRange};

use crate::heap;
use crate::layout::untagged;
use crate::space::Space;
use crate::syscall::Args;
use crate::task::{current, sched};

pub(crate) use advise::{sys_madvise, sys_mincore, sys_msync};
pub(crate) use lock::{sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall};
pub(crate) use map::{sys_mmap, sys_remap_file_pages};
pub(crate) use remap::sys_mremap;

/// Heap that one call takes at most, in pieces.
const WORST_CASE: usize = 8 << 10;

/// The caller's address space; a call came from a program, so there is one.
fn space() -> Result<&'static Space, Errno> {
    heap::reserve(WORST_CASE)?;
    current().space().map(|space| &**space).ok_or(Errno::ENOMEM)
}

fn protection(prot: Prot) -> mm::Prot {
    // The same bits, both Linux's.
    let mut answer = mm::Prot::from_bits_truncate(prot.bits() as u8) - mm::Prot::BTI;
    if prot.contains(Prot::BTI) && !answer.is_empty() && has(Feature::Bti) {
        answer |= mm::Prot::BTI;
    }
    answer
}

/// The rights asked for, and those that the program's personality adds (`READ_IMPLIES_EXEC`).
#[inline]
fn with_implied(prot: Prot) -> Prot {
    let implies = || current().process.limits.lock().personality & persona::READ_IMPLIES_EXEC != 0;
    if prot.contains(Prot::READ) && !prot.contains(Prot::EXEC) && implies() { prot | Prot::EXEC } else { prot }
}

/// `brk(end)`: the end of the heap from here on.
pub(crate) fn sys_brk(a: &Args) -> Result<u64, Errno> {
    let space = space()?;
    let mut mappings = space.lock();
    let before = mappings.heap().end();
    let (end, released) = mappings.brk(VirtAddr::new(a.a[0]));
    let locked = mappings.locked_vm().get() > 0
        && mappings.find_vma(before).is_some_and(|heap| heap.flags().contains(VmaFlags::LOCKED));
    drop(mappings);
    drop(released);
    if locked
        && let Some(range) = VirtRange::new(before, end)
    {
        // Where `mlockall` has said so; what cannot be had now is left to a fault.
        space.populate_what_can_be(range);
    }
    Ok(end.get())
}

/// `munmap(address, len)`. Much of it goes in pieces, between which others run.
pub(crate) fn sys_munmap(a: &Args) -> Result<u64, Errno> {
    let mut range = unmap_range(VirtAddr::new(untagged(a.a[0])), a.a[1]).map_err(unmap_errno)?;
    let space = space()?;
    loop {
        let mut released = Released::none();
        let left = space.lock().unmap_piece(range, &mut released).map_err(unmap_errno)?;
        drop(released);
        let Some(left) = left else { return Ok(0) };
        range = left;
        sched::resched();
    }
}

fn unmap_errno(error: UnmapError) -> Errno {
    match error {
        UnmapError::Invalid => Errno::EINVAL,
        UnmapError::OutOfMemory => Errno::ENOMEM,
    }
}

fn protect_errno(error: ProtectError) -> Errno {
    match error {
        ProtectError::Invalid => Errno::EINVAL,
        ProtectError::Unmapped | ProtectError::OutOfMemory => Errno::ENOMEM,
        ProtectError::Denied => Errno::EACCES,
    }
}

/// `mprotect(address, len, prot)`.
pub(crate) fn sys_mprotect(a: &Args) -> Result<u64, Errno> {
    let [start, len, prot, ..] = a.a;
    const GROWS: u64 = Prot::GROWSDOWN.bits() | Prot::GROWSUP.bits();
    let (grows, prot) = (Prot::from_bits_truncate(prot & GROWS), prot & !GROWS);
    if grows.bits() == GROWS {
        return Err(Errno::EINVAL);
    }
    let range = protect_range(VirtAddr::new(untagged(start)), len).map_err(protect_errno)?;
    let Some(range) = range else { return Ok(0) };
    // As Linux's `arch_validate_prot`: what this machine does not have cannot be asked for.
    let missing = |prot: Prot| prot.contains(Prot::MTE) || prot.contains(Prot::BTI) && !has(Feature::Bti);
    let prot = Prot::from_bits(prot).filter(|prot| !missing(*prot)).ok_or(Errno::EINVAL)?;
    let prot = protection(with_implied(prot));
    let space = space()?;
    let mut mappings = space.lock();
    let range = match grows {
        Prot::GROWSDOWN => mappings.grows_down_range(range).map_err(protect_errno)?,
        // Nothing grows up on this architecture.
        Prot::GROWSUP => {
            let mapped = mappings.find_vma(range.start()).is_some_and(|vma| vma.start() <= range.start());
            return Err(if mapped { Errno::EINVAL } else { Errno::ENOMEM });
        }
        _ => range,
    };
    let mut copies = None;
    let protected = mappings.protect_noting(range, prot, &mut copies);
    drop(mappings);
    if let Some(copies) = copies {
        space.populate_locked(copies);
    }
    protected.map(|()| 0).map_err(protect_errno)
}

/// `personality(persona)`: sets it, unless it is [`persona::QUERY`], and answers what it was. There is nobody to run the
/// programs of another machine.
pub(crate) fn sys_personality(a: &Args) -> Result<u64, Errno> {
    let wanted = a.a[0] as u32;
    let mut limits = current().process.limits.lock();
    let before = limits.personality;
    if wanted == persona::QUERY {
        return Ok(before.into());
    }
    if wanted & persona::KIND == persona::LINUX32 && before & persona::KIND != persona::LINUX32 {
        return Err(Errno::EINVAL);
    }
    limits.personality = wanted;
    let mut mappings = space()?.lock();
    let order = mappings.layout().order;
    mappings.set_search(order, limits.reach());
    Ok(before.into())
}

