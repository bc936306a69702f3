//! Memory for `Vec` and its kin: freed blocks of each power of two in a list, large ones straight from the kernel.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use abi::mem::{MAP_PRIVATE, MapFlags, Prot};
use abi::nr;

use crate::call::call;

/// Bytes in the smallest block: room for the link of its list, and any primitive's alignment.
const SMALLEST: usize = 16;
/// Blocks above this are mappings of their own.
const LARGEST: usize = 2048;
/// Powers of two from [`SMALLEST`] to [`LARGEST`].
const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;
/// Bytes asked of the kernel at a time for small blocks.
const CHUNK: usize = 64 << 10;
const PAGE: usize = 4096;

/// The allocator of every program of this library.
pub struct Heap(UnsafeCell<State>);

struct State {
    /// For each class the first free block; its first word is the address of the next.
    free: [*mut u8; CLASSES],
    /// What is left of the newest chunk.
    chunk: *mut u8,
    left: usize,
}

// SAFETY: programs of this library have one thread, and no signal handler allocates.
unsafe impl Sync for Heap {}

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap::new();

impl Heap {
    /// An empty heap: nothing is asked of the kernel before the first allocation.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(State { free: [null_mut(); CLASSES], chunk: null_mut(), left: 0 }))
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn take(&mut self, class: usize) -> *mut u8 {
        let first = self.free[class];
        if !first.is_null() {
            // SAFETY: a block in a free list is ours, aligned, and holds the address of the next.
            self.free[class] = unsafe { first.cast::<*mut u8>().read() };
            return first;
        }
        let size = SMALLEST << class;
        // A chunk is cut in blocks of mixed sizes; each begins at a multiple of its own.
        let skip = self.chunk.align_offset(size);
        if self.left < size.saturating_add(skip) {
            (self.chunk, self.left) = (map(CHUNK), CHUNK);
            if self.chunk.is_null() {
                self.left = 0;
                return null_mut();
            }
            return self.cut(0, size);
        }
        self.cut(skip, size)
    }

    fn cut(&mut self, skip: usize, size: usize) -> *mut u8 {
        // SAFETY: the caller saw that skip + size bytes are left.
        let block = unsafe { self.chunk.add(skip) };
        // SAFETY: as above.
        self.chunk = unsafe { block.add(size) };
        self.left -= skip + size;
        block
    }

    fn give(&mut self, class: usize, block: *mut u8) {
        // SAFETY: the block was cut for this class, so that an address fits, and nobody uses it any more.
        unsafe { block.cast::<*mut u8>().write(self.free[class]) };
        self.free[class] = block;
    }
}

/// The class that serves `layout`; `None` when it gets a mapping of its own.
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(SMALLEST);
    (size <= LARGEST).then(|| (size.next_power_of_two() / SMALLEST).ilog2() as usize)
}

// SAFETY: blocks handed out lie in mappings made for this heap, do not overlap, are as large as asked and begin at a
// multiple of their power of two, or of the page for mappings of their own; greater alignments are refused.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(layout) {
            // SAFETY: one thread, and `take` calls nothing that allocates: this is the only reference.
            Some(class) => unsafe { &mut *self.0.get() }.take(class),
            None if layout.align() <= PAGE => map(layout.size()),
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            // SAFETY: as in `alloc`.
            Some(class) => unsafe { &mut *self.0.get() }.give(class, block),
            None => {
                // SAFETY: the block is a mapping of its own, of this length, and is not used any more. A refusal
                // leaves it mapped, which wastes it and harms nobody.
                let _ = unsafe { call(nr::MUNMAP, [block as u64, layout.size() as u64]) };
            }
        }
    }
}

/// Zeroed pages from the kernel, or null.
fn map(len: usize) -> *mut u8 {
    let (prot, flags) = (Prot::READ | Prot::WRITE, MapFlags::ANONYMOUS.bits() | MAP_PRIVATE);
    // SAFETY: an anonymous mapping at an address the kernel chooses touches nothing that is in use.
    let mapped = unsafe { call(nr::MMAP, [0, len as u64, prot.bits(), flags, u64::MAX, 0]) };
    mapped.map_or(null_mut(), |address| address as *mut u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_serves() {
        for size in 1..=LARGEST {
            let layout = Layout::from_size_align(size, 8).unwrap();
            let block = SMALLEST << class(layout).unwrap();
            assert!(block >= size && (block < 2 * size || block == SMALLEST));
        }
        assert_eq!(class(Layout::from_size_align(LARGEST + 1, 8).unwrap()), None);
        assert_eq!(class(Layout::from_size_align(8, 4096).unwrap()), None);
        assert_eq!(class(Layout::from_size_align(8, 64).unwrap()), Some(2));
    }
}
