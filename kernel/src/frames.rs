//! Free frames: `buddy_system_allocator::FrameAllocator` over all RAM that nobody reserved, behind a small cache.
//!
//! One lock; a cache of single frames makes the common case an array access. Counters replace the statistics that
//! the allocator lacks; a bitmap in debug builds catches a frame freed twice.

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use mm::Page;
use buddy_system_allocator::FrameAllocator;
use sync::{Mutex, Rank};
use units::{PAGE_SIZE, PageCount, Pfn, PhysRange};

use crate::heap::OutOfMemory;
use crate::layout;

/// Block orders: the largest block has 2^(ORDERS - 1) frames, 64 GiB.
const ORDERS: usize = 25;
/// Single frames kept at hand.
const CACHED: usize = 64;

struct Pool {
    buddy: FrameAllocator<ORDERS>,
    cache: ArrayVec<u64, CACHED>,
}

static POOL: Mutex<Pool> = Mutex::new(Rank::Frames, Pool { buddy: FrameAllocator::new(), cache: ArrayVec::new_const() });
static TOTAL: AtomicU64 = AtomicU64::new(0);
static USED: AtomicU64 = AtomicU64::new(0);

/// Gives the frames of `range` to the allocator.
///
/// # Safety
/// The range is RAM in the linear map that nothing else uses, and was not given before.
pub(crate) unsafe fn give(range: PhysRange) {
    let (Some(first), last) = (range.start().align_up(PAGE_SIZE), range.end().align_down(PAGE_SIZE)) else { return };
    if first >= last {
        return;
    }
    // SAFETY: as the caller says; what the descriptors take is not given on.
    let first = unsafe { describe(first.pfn().get(), last.pfn().get()) };
    POOL.lock().buddy.add_frame(first as usize, last.pfn().get() as usize);
    TOTAL.fetch_add(last.pfn().get() - first, Ordering::Relaxed);
}

/// Frames with descriptors (Linux: `mem_section`).
struct Described {
    first: u64,
    count: u64,
    pages: *const Page,
}

// SAFETY: the descriptors are atomics, in memory that stays what it is.
unsafe impl Sync for Described {}
// SAFETY: as above.
unsafe impl Send for Described {}

/// As many ranges as are given at most.
const SECTIONS: usize = 32;
static DESCRIBED: [spin::Once<Described>; SECTIONS] = [const { spin::Once::new() }; SECTIONS];

/// Takes the first of the frames `first..last` for descriptors of the rest. Answers the first that is left. What the
/// descriptors hold is set when a frame is handed to a program; nobody looks before.
///
/// # Safety
/// As for [`give`].
unsafe fn describe(first: u64, last: u64) -> u64 {
    let bytes = (last - first) * size_of::<Page>() as u64;
    let left = first + bytes.div_ceil(PAGE_SIZE);
    let free = DESCRIBED.iter().find(|section| section.get().is_none());
    let (Some(section), true) = (free, left < last) else { return first };
    let pages = layout::linear(Pfn::new(first).base()).cast::<Page>().cast_const();
    section.call_once(|| Described { first: left, count: last - left, pages });
    left
}

/// The descriptor of a frame; `None` for what is no frame of the allocator's.
#[inline]
pub(crate) fn page(frame: Pfn) -> Option<&'static Page> {
    for section in &DESCRIBED {
        let Described { first, count, pages } = section.get()?;
        let index = frame.get().wrapping_sub(*first);
        if index < *count {
            // SAFETY: the section has `count` descriptors, in RAM that nobody else has; any bits are a descriptor.
            return Some(unsafe { &*pages.add(index as usize) });
        }
    }
    None
}

/// Gives one frame, which needs no heap: for the time before there is one. At most as many as the cache holds.
///
/// # Safety
/// As for [`give`].
pub(crate) unsafe fn give_one(frame: Pfn) {
    POOL.lock().cache.push(frame.get());
    TOTAL.fetch_add(1, Ordering::Relaxed);
}

/// One frame, holding anything.
///
/// # Errors
/// [`OutOfMemory`] where none is free.
pub(crate) fn alloc() -> Result<Pfn, OutOfMemory> {
    let mut pool = POOL.lock();
    let frame = match pool.cache.pop() {
        Some(frame) => frame,
        None => pool.buddy.alloc(1).ok_or(OutOfMemory)? as u64,
    };
    drop(pool);
    USED.fetch_add(1, Ordering::Relaxed);
    Ok(Pfn::new(frame))
}

/// One frame of zeroes.
///
/// # Errors
/// [`OutOfMemory`] where none is free.
pub(crate) fn alloc_zeroed() -> Result<Pfn, OutOfMemory> {
    let frame = alloc()?;
    // SAFETY: the frame was free, so it is RAM in the linear map that nobody uses.
    unsafe { arch::memory::zero_page(layout::linear(frame.base())) };
    Ok(frame)
}

/// `count` adjoining frames, a power of two, aligned to their number; holding anything.
///
/// # Errors
/// [`OutOfMemory`] where there is no such block.
pub(crate) fn alloc_block(count: PageCount) -> Result<Pfn, OutOfMemory> {
    let frame = POOL.lock().buddy.alloc(count.get() as usize).ok_or(OutOfMemory)?;
    USED.fetch_add(count.get(), Ordering::Relaxed);
    Ok(Pfn::new(frame as u64))
}

/// Takes a frame back. Nothing maps or names it any more.
pub(crate) fn free(frame: Pfn) {
    let mut pool = POOL.lock();
    debug_assert!(!pool.cache.contains(&frame.get()), "{frame} freed twice");
    if pool.cache.is_full() {
        // Half of them at once, so that the next frees and allocs stay in the cache.
        for _ in 0..CACHED / 2 {
            if let Some(old) = pool.cache.pop() {
                pool.buddy.dealloc(old as usize, 1);
            }
        }
    }
    pool.cache.push(frame.get());
    drop(pool);
    USED.fetch_sub(1, Ordering::Relaxed);
}

/// Takes back what [`alloc_block`] gave.
pub(crate) fn free_block(first: Pfn, count: PageCount) {
    POOL.lock().buddy.dealloc(first.get() as usize, count.get() as usize);
    USED.fetch_sub(count.get(), Ordering::Relaxed);
}

/// Frames in use, and frames there are.
pub(crate) fn usage() -> (PageCount, PageCount) {
    (PageCount::new(USED.load(Ordering::Relaxed)), PageCount::new(TOTAL.load(Ordering::Relaxed)))
}
