//! Descriptors of the blocks of a device (`struct page` of Linux's `ZONE_DEVICE`): made for 2 MiB at a time, when one is asked for.
//!
//! Most blocks are never asked after: reading, writing and peeking need none. Who holds a page by its descriptor
//! (`FOLL_GET`) keeps the file system from using the block again, and the descriptor remembers that a program stored to it.

use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use mm::Page;
use units::{PAGE_SIZE, PageCount, Pfn, PhysRange};

use crate::{frames, layout};

/// Blocks whose descriptors are made together.
const TOGETHER: u64 = 512;
/// Frames that these take.
const FRAMES: PageCount = PageCount::new(TOGETHER * size_of::<Page>() as u64 / PAGE_SIZE);

/// The descriptors of one device.
#[derive(Debug)]
pub(super) struct Pages {
    first: u64,
    count: u64,
    chunks: Vec<AtomicPtr<Page>>,
    /// Whether there is any.
    any: AtomicBool,
    /// A descriptor was asked for and could not be made: what it was to remember is not known.
    lost: AtomicBool,
}

impl Pages {
    /// For the blocks in `range`. Where there is no memory for the list, they have none.
    pub(super) fn new(range: Option<PhysRange>) -> Self {
        let (first, count) = range.map_or((0, 0), |range| (range.start().pfn().get(), range.len().get() / PAGE_SIZE));
        let mut chunks = Vec::new();
        let wanted = count.div_ceil(TOGETHER) as usize;
        if chunks.try_reserve_exact(wanted).is_ok() {
            chunks.resize_with(wanted, || AtomicPtr::new(null_mut()));
        }
        Self { first, count, chunks, any: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    fn place(&self, frame: Pfn) -> Option<(&AtomicPtr<Page>, usize)> {
        let block = frame.get().checked_sub(self.first).filter(|&block| block < self.count)?;
        Some((self.chunks.get((block / TOGETHER) as usize)?, (block % TOGETHER) as usize))
    }

    /// The descriptor of a block; `None` for what is no block of the device, and where there is no memory for it.
    pub(super) fn get(&'static self, frame: Pfn) -> Option<&'static Page> {
        let (chunk, index) = self.place(frame)?;
        let made = match chunk.load(Ordering::Acquire) {
            made if made.is_null() => self.make(chunk)?,
            made => made,
        };
        // SAFETY: a chunk has as many descriptors as `place` counts by, of zeros or whatever was stored by atomics since, in
        // frames that are never given back.
        Some(unsafe { &*made.add(index) })
    }

    /// The descriptor of a block, if anybody has asked for it.
    pub(super) fn get_if_there(&'static self, frame: Pfn) -> Option<&'static Page> {
        let (chunk, _) = self.place(frame)?;
        if chunk.load(Ordering::Acquire).is_null() { None } else { self.get(frame) }
    }

    fn make(&self, chunk: &AtomicPtr<Page>) -> Option<*mut Page> {
        let Ok(first) = frames::alloc_block(FRAMES) else {
            self.lost.store(true, Ordering::Relaxed);
            return None;
        };
        // SAFETY: the frames were free, so they are RAM in the linear map that nobody uses.
        unsafe { arch::memory::zero_pages(layout::linear(first.base()), (FRAMES.get() * PAGE_SIZE) as usize) };
        let made = layout::linear(first.base()).cast::<Page>();
        self.any.store(true, Ordering::Release);
        match chunk.compare_exchange(null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(made),
            Err(other) => {
                // Another CPU was faster.
                frames::free_block(first, FRAMES);
                Some(other)
            }
        }
    }

    /// Whether somebody holds one of `count` blocks from `first` on by its descriptor.
    #[inline]
    pub(super) fn is_held(&'static self, first: Option<Pfn>, count: PageCount) -> bool {
        self.any.load(Ordering::Acquire) && first.is_some_and(|first| self.finds_held(first.get(), count.get()))
    }

    fn finds_held(&'static self, first: u64, count: u64) -> bool {
        let mut at = first;
        while at < first + count {
            match self.get_if_there(Pfn::new(at)) {
                Some(page) if page.count() > 0 => return true,
                Some(_) => at += 1,
                // None of those that are made together.
                None => at = self.first + ((at - self.first) / TOGETHER + 1) * TOGETHER,
            }
        }
        false
    }

    /// Whether programs have stored to a block since this was asked last, as far as their tables have told; `None` where it is
    /// no block of the device.
    pub(super) fn take_dirty(&'static self, frame: Pfn) -> Option<bool> {
        frame.get().checked_sub(self.first).filter(|&block| block < self.count)?;
        Some(match self.get_if_there(frame) {
            Some(page) => page.clear_page_dirty(),
            // Where there is no list, nobody could tell.
            None => self.chunks.is_empty() || self.lost.load(Ordering::Relaxed),
        })
    }
}
