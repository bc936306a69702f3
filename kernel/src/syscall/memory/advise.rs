//! What a program says of its memory and asks about it: `madvise`, `mincore`, `msync`.

use abi::Errno;
use abi::mem::{SyncFlags, madv};
use mm::space::{Access, Advice, AdviseError, Cached, FaultError, Holes, PopulateError, Removal, ResidenceError, SyncError};
use mm::space::{advise_range, sync_range};
use units::{PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use super::space;
use crate::layout::{USER_END, untagged};
use crate::space::{Shown, sync_stores};
use crate::syscall::Args;
use crate::task::{current, sched};
use crate::uaccess::{UserPtr, copy_to_user};

fn advice(number: u64) -> Option<Advice> {
    Some(match number {
        madv::NORMAL => Advice::Normal,
        madv::RANDOM => Advice::Random,
        madv::SEQUENTIAL => Advice::Sequential,
        madv::WILLNEED => Advice::WillNeed,
        madv::DONTNEED => Advice::DontNeed,
        madv::DONTNEED_LOCKED => Advice::DontNeedLocked,
        madv::FREE => Advice::Free,
        madv::DONTFORK => Advice::DontFork,
        madv::DOFORK => Advice::DoFork,
        madv::WIPEONFORK => Advice::WipeOnFork,
        madv::KEEPONFORK => Advice::KeepOnFork,
        madv::DONTDUMP => Advice::DontDump,
        madv::DODUMP => Advice::DoDump,
        madv::HUGEPAGE => Advice::HugePage,
        madv::NOHUGEPAGE => Advice::NoHugePage,
        madv::COLD | madv::PAGEOUT | madv::MERGEABLE | madv::UNMERGEABLE => Advice::Hint,
        _ => return None,
    })
}

/// `madvise(address, len, advice)`.
pub(crate) fn sys_madvise(a: &Args) -> Result<u64, Errno> {
    let [start, len, number, ..] = a.a;
    let start = VirtAddr::new(untagged(start));
    match number {
        madv::POPULATE_READ => return populate(start, len, Access::Read),
        madv::REMOVE => return remove(start, len),
        madv::POPULATE_WRITE => return populate(start, len, Access::Write),
        _ => {}
    }
    let advice = advice(number).ok_or(Errno::EINVAL)?;
    let (mut left, mut holes) = (advise_range(start, len).map_err(advise_errno)?, Holes::None);
    while let Some(range) = left {
        left = space()?.lock().advise_piece(range, advice, &mut holes).map_err(advise_errno)?;
        sched::resched();
    }
    holes.refused().map(|()| 0).map_err(advise_errno)
}

fn advise_errno(error: AdviseError) -> Errno {
    match error {
        AdviseError::Invalid => Errno::EINVAL,
        AdviseError::Unmapped => Errno::ENOMEM,
        AdviseError::Denied => Errno::EACCES,
        AdviseError::OutOfMemory => Errno::EAGAIN,
    }
}

/// `MADV_REMOVE`: what is behind shared mappings goes, for everybody who has it.
fn remove(start: VirtAddr, len: u64) -> Result<u64, Errno> {
    let Some(range) = advise_range(start, len).map_err(advise_errno)? else { return Ok(0) };
    let mut at = range.start();
    let mut holes = false;
    while let Some(rest) = VirtRange::new(at, range.end()).filter(|rest| !rest.is_empty()) {
        let part = space()?.lock().removal(rest).map_err(advise_errno)?;
        let Some(Removal { range, file, index }) = part else { return Err(Errno::ENOMEM) };
        holes |= range.start() > at;
        file.remove(index, PageCount::new(range.len().get() >> PAGE_SHIFT))?;
        at = range.end();
    }
    if holes { Err(Errno::ENOMEM) } else { Ok(0) }
}

/// `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`, some pages at a time.
fn populate(start: VirtAddr, len: u64, access: Access) -> Result<u64, Errno> {
    const PIECE: u64 = 256 * PAGE_SIZE;
    let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| start.get().checked_add(len));
    let end = end.filter(|_| start.is_aligned(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
    let mut at = start.get();
    while at < end {
        let space = space()?;
        let piece = PIECE.min(end - at);
        let populated = space.lock().populate_for(VirtAddr::new(at), piece, access);
        match populated {
            Ok(()) => at += piece,
            Err(PopulateError::Invalid) => return Err(Errno::EINVAL),
            Err(PopulateError::Unmapped) => return Err(Errno::ENOMEM),
            Err(PopulateError::Fault(page, FaultError::Unprepared)) => {
                // What is behind the mapping is asked with no lock held.
                space.fault(page, access).map_err(fault_errno)?;
                at = page.get();
            }
            Err(PopulateError::Fault(_, error)) => return Err(fault_errno(error)),
        }
        sched::resched();
        if current().killed() {
            return Err(Errno::EINTR);
        }
    }
    Ok(0)
}

fn fault_errno(error: FaultError) -> Errno {
    match error {
        FaultError::OutOfMemory => Errno::ENOMEM,
        FaultError::Poisoned => Errno::EHWPOISON,
        FaultError::Unmapped | FaultError::Denied | FaultError::Beyond | FaultError::Unprepared => Errno::EFAULT,
    }
}

/// `mincore(address, len, vector)`: a byte for each page, 1 where a touch would find it in memory.
pub(crate) fn sys_mincore(a: &Args) -> Result<u64, Errno> {
    const PIECE: usize = 256;
    let [start, len, vector, ..] = a.a;
    let start = untagged(start);
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if start > USER_END || len > USER_END - start {
        return Err(Errno::ENOMEM);
    }
    let pages = len.div_ceil(PAGE_SIZE);
    if vector > USER_END || pages > USER_END - vector {
        return Err(Errno::EFAULT);
    }
    let mut done = 0;
    while done < pages {
        let mut answers = [0u8; PIECE];
        let mut told = 0;
        let wanted = (pages - done).min(PIECE as u64);
        let at = VirtAddr::new(start + (done << PAGE_SHIFT));
        let asked = space()?.lock().residence(at, wanted << PAGE_SHIFT, |present| {
            if let Some(answer) = answers.get_mut(told) {
                *answer = present.into();
                told += 1;
            }
        });
        copy_to_user(UserPtr::new(vector).add(done), &answers[..told])?;
        asked.map_err(|error| match error {
            ResidenceError::Invalid => Errno::EINVAL,
            ResidenceError::Unmapped => Errno::ENOMEM,
        })?;
        done += wanted;
    }
    Ok(0)
}

/// `msync(address, len, flags)`: with `MS_SYNC`, what was stored to shared files there is durable.
pub(crate) fn sys_msync(a: &Args) -> Result<u64, Errno> {
    let [start, len, flags, ..] = a.a;
    let flags = SyncFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let errno = |error| match error {
        SyncError::Invalid => Errno::EINVAL,
        SyncError::Unmapped => Errno::ENOMEM,
        SyncError::Locked => Errno::EBUSY,
    };
    let start = VirtAddr::new(untagged(start));
    if !start.is_aligned(PAGE_SIZE) || flags.contains(SyncFlags::ASYNC | SyncFlags::SYNC) {
        return Err(Errno::EINVAL);
    }
    let Some(range) = sync_range(start, len).map_err(errno)? else { return Ok(0) };
    let cached = if flags.contains(SyncFlags::INVALIDATE) { Cached::Invalidate } else { Cached::Keep };
    let mut at = range.start();
    let mut holes = false;
    while let Some(rest) = VirtRange::new(at, range.end()).filter(|rest| !rest.is_empty()) {
        let part = space()?.lock().sync_part(rest, cached).map_err(errno)?;
        let Some(part) = part else { return Err(Errno::ENOMEM) };
        holes |= part.after_hole;
        if holes && flags == SyncFlags::ASYNC {
            break;
        }
        at = part.range.end();
        if flags.contains(SyncFlags::SYNC)
            && let Some((Shown::Shared(file), first)) = &part.file
        {
            let pages = part.range.len().get() >> PAGE_SHIFT;
            sync_stores(file.node(), (*first, first.saturating_add(pages))).map_err(crate::vfs::error::errno)?;
        }
    }
    if holes { Err(Errno::ENOMEM) } else { Ok(0) }
}
