//! Free frames: `buddy_system_allocator::FrameAllocator` over all RAM that nobody reserved, behind a small cache.
//!
//! One lock; a cache of single frames makes the common case an array access. It is filled from a block and emptied by as
//! many at a time, and all of it goes back to the allocator where a block is wanted and none is there. Counters replace the
//! statistics that the allocator lacks; checked builds look through the cache for a frame freed twice.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use mm::Page;
use buddy_system_allocator::FrameAllocator;
use sync::{Mutex, Rank};
use units::{PAGE_SIZE, PageCount, Pfn, PhysRange};

use crate::heap::OutOfMemory;
use crate::layout;

/// Block orders: the largest block has 2^(ORDERS - 1) frames, 64 GiB.
const ORDERS: usize = 25;
/// Single frames kept at hand: a program that maps and unmaps 2 MiB by pages never asks the allocator.
const CACHED: usize = 1024;
/// Frames that go from the allocator to the cache, or back, at once (`pcp->batch`).
const BATCH: usize = 32;

struct Pool {
    buddy: FrameAllocator<ORDERS>,
    cache: ArrayVec<u64, CACHED>,
    /// Frames that are somebody's.
    used: u64,
}

impl Pool {
    const EMPTY: Self = Self { buddy: FrameAllocator::new(), cache: ArrayVec::new_const(), used: 0 };

    /// Fills the empty cache with a block, or a single frame where there is none, and answers one of it (`rmqueue_bulk`).
    #[cold]
    fn refill(&mut self) -> Option<u64> {
        let Some(first) = self.buddy.alloc(BATCH) else { return self.buddy.alloc(1).map(|frame| frame as u64) };
        // The lowest comes out first.
        self.cache.extend((first..first + BATCH).rev().map(|frame| frame as u64));
        self.cache.pop()
    }

    /// Gives what was cached last back to the allocator (`free_pcppages_bulk`). Answers whether there was any.
    #[cold]
    fn drain(&mut self) -> bool {
        let kept = self.cache.len().saturating_sub(BATCH);
        let Self { buddy, cache, .. } = self;
        cache.drain(kept..).map(|frame| buddy.dealloc(frame as usize, 1)).count() > 0
    }
}

static POOL: Mutex<Pool> = Mutex::new(Rank::Frames, Pool::EMPTY);
static TOTAL: AtomicU64 = AtomicU64::new(0);

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
struct Section {
    first: AtomicU64,
    /// 0 until the rest is there.
    count: AtomicU64,
    pages: AtomicPtr<Page>,
}

impl Section {
    const fn vacant() -> Self {
        Self { first: AtomicU64::new(0), count: AtomicU64::new(0), pages: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The descriptors of the section and the number of its first frame; `None` where there is no section.
    #[inline]
    fn pages(&self) -> Option<(u64, &'static [Page])> {
        let count = self.count.load(Ordering::Acquire);
        if count == 0 {
            return None;
        }
        let (first, pages) = (self.first.load(Ordering::Relaxed), self.pages.load(Ordering::Relaxed));
        // SAFETY: `describe` stored `count` last: so many descriptors are there, in RAM that nobody else has and that stays
        // what it is. They are atomics, of which any bits are one.
        Some((first, unsafe { core::slice::from_raw_parts(pages, count as usize) }))
    }
}

/// As many ranges as are given at most.
const SECTIONS: usize = 32;
static DESCRIBED: [Section; SECTIONS] = [const { Section::vacant() }; SECTIONS];

/// Takes the first of the frames `first..last` for descriptors of the rest. Answers the first that is left. What the
/// descriptors hold is set when a frame is handed to a program; nobody looks before.
///
/// # Safety
/// As for [`give`].
unsafe fn describe(first: u64, last: u64) -> u64 {
    let bytes = (last - first) * size_of::<Page>() as u64;
    let left = first + bytes.div_ceil(PAGE_SIZE);
    let free = DESCRIBED.iter().find(|section| section.pages().is_none());
    let (Some(section), true) = (free, left < last) else { return first };
    section.pages.store(layout::linear(Pfn::new(first).base()).cast(), Ordering::Relaxed);
    section.first.store(left, Ordering::Relaxed);
    // The count of blocks is looked at for every frame in reach of one: the first of each block begins as nobody's.
    let pages: *mut Page = layout::linear(Pfn::new(first).base()).cast();
    let step = mm::desc::Level::Pmd.pages().get();
    for head in (left.next_multiple_of(step)..last).step_by(step as usize) {
        // SAFETY: the descriptor of a frame of the range, in memory that is nobody else's yet.
        unsafe { pages.add((head - left) as usize).write(Page::new()) };
    }
    section.count.store(last - left, Ordering::Release);
    left
}

/// The descriptor of a frame; `None` for what is no frame of the allocator's.
#[inline]
pub(crate) fn page(frame: Pfn) -> Option<&'static Page> {
    // Most machines have one section, which a hundred places ask.
    DESCRIBED[0].pages().and_then(|section| among(frame, section)).or_else(|| elsewhere(frame))
}

#[inline]
fn among(frame: Pfn, (first, pages): (u64, &'static [Page])) -> Option<&'static Page> {
    pages.get(frame.get().wrapping_sub(first) as usize)
}

#[inline(never)]
fn elsewhere(frame: Pfn) -> Option<&'static Page> {
    DESCRIBED[1..].iter().map_while(Section::pages).find_map(|section| among(frame, section))
}

/// The descriptors of `count` frames from `first` on; `None` where not all of them lie in one range that was given.
pub(crate) fn pages(first: Pfn, count: PageCount) -> Option<&'static [Page]> {
    DESCRIBED.iter().map_while(Section::pages).find_map(|(start, pages)| {
        let index = first.get().checked_sub(start)?;
        pages.get(index as usize..index.checked_add(count.get())? as usize)
    })
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
#[inline]
pub(crate) fn alloc() -> Result<Pfn, OutOfMemory> {
    let mut pool = POOL.lock();
    let frame = match pool.cache.pop() {
        Some(frame) => frame,
        None => pool.refill().ok_or(OutOfMemory)?,
    };
    pool.used += 1;
    Ok(Pfn::new(frame))
}

/// One frame of zeroes.
///
/// # Errors
/// [`OutOfMemory`] where none is free.
#[inline]
pub(crate) fn alloc_zeroed() -> Result<Pfn, OutOfMemory> {
    let frame = alloc()?;
    // SAFETY: the frame was free, so it is RAM in the linear map that nobody uses.
    unsafe { arch::memory::zero_pages(layout::linear(frame.base()), PAGE_SIZE as usize) };
    Ok(frame)
}

/// `count` adjoining frames, a power of two, aligned to their number; holding anything.
///
/// # Errors
/// [`OutOfMemory`] where there is no such block.
pub(crate) fn alloc_block(count: PageCount) -> Result<Pfn, OutOfMemory> {
    loop {
        let mut pool = POOL.lock();
        if let Some(frame) = pool.buddy.alloc(count.get() as usize) {
            pool.used += count.get();
            return Ok(Pfn::new(frame as u64));
        }
        // With the lock open in between: many merges take long.
        if !pool.drain() {
            return Err(OutOfMemory);
        }
    }
}

/// Takes a frame back. Nothing maps or names it any more.
#[inline]
pub(crate) fn free(frame: Pfn) {
    let mut pool = POOL.lock();
    debug_assert!(!pool.cache.contains(&frame.get()), "{frame} freed twice");
    if pool.cache.is_full() {
        pool.drain();
    }
    pool.cache.push(frame.get());
    pool.used -= 1;
}

/// Takes back what [`alloc_block`] gave.
pub(crate) fn free_block(first: Pfn, count: PageCount) {
    let mut pool = POOL.lock();
    pool.buddy.dealloc(first.get() as usize, count.get() as usize);
    pool.used -= count.get();
}

/// Frames in use, and frames there are.
pub(crate) fn usage() -> (PageCount, PageCount) {
    (PageCount::new(POOL.lock().used), PageCount::new(TOTAL.load(Ordering::Relaxed)))
}
