//! The kernel heap: `linked_list_allocator` behind caches of the hot sizes, carved once at boot.
//!
//! Rust's collections panic when memory is out. So a call that may allocate first asks [`reserve`] for head-room above
//! its worst case and answers `ENOMEM` there; nothing fails later. Freeing a frame may take heap (the buddy allocator
//! keeps its free lists in trees), so a part of the heap is never counted as head-room.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use linked_list_allocator::Heap;
use sync::{Mutex, Rank};

/// There is no memory for what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfMemory;

/// Sizes above this go to the list allocator alone.
const LARGEST_CACHED: usize = 4096;
/// The smallest class; the classes are the powers of two from here.
const SMALLEST: usize = 16;
const CLASSES: usize = (LARGEST_CACHED / SMALLEST).ilog2() as usize + 1;
/// Objects of the smaller classes are carved from pieces of this size: the list allocator takes time for each.
const PIECE: usize = 4096;
/// The largest such class's objects.
const LARGEST_CARVED: usize = 512;

/// A freed object of a cached class, linked through its own memory.
struct Free {
    next: Option<NonNull<Free>>,
}

struct Kernel {
    heap: Heap,
    cached: [Option<NonNull<Free>>; CLASSES],
}

// SAFETY: the pointers lead to free memory that the heap alone owns, on whatever CPU it is used.
unsafe impl Send for Kernel {}

/// The allocator of `alloc`.
struct Locked(Mutex<Kernel>);

#[global_allocator]
static KERNEL: Locked = Locked(Mutex::new(Rank::Heap, Kernel { heap: Heap::empty(), cached: [None; CLASSES] }));

/// Bytes in use, by the sizes of the classes.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Bytes that [`reserve`] may promise in all.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Carves the heap out of `len` bytes at `start`, of which `held_back` are kept for freeing frames.
///
/// # Safety
/// The range is mapped, and the heap's alone for ever. Called once.
pub(crate) unsafe fn init(start: *mut u8, len: usize, held_back: usize) {
    // SAFETY: as the caller says.
    unsafe { KERNEL.0.lock().heap.init(start, len) };
    // A twentieth is lost between free pieces of the wrong size, and a piece of each class may be nearly unused; the list
    // allocator's headers are in `USED`.
    LIMIT.store(len.saturating_sub(held_back + len / 20 + CLASSES * PIECE), Ordering::Relaxed);
}

/// Makes sure that the next `bytes` bytes of allocations, in pieces of a page at most, will be found.
///
/// # Errors
/// [`OutOfMemory`] where head-room is smaller.
#[inline]
pub(crate) fn reserve(bytes: usize) -> Result<(), OutOfMemory> {
    // Each piece may be rounded up to the next power of two.
    let worst = USED.load(Ordering::Relaxed) + 2 * bytes;
    if worst <= LIMIT.load(Ordering::Relaxed) { Ok(()) } else { Err(OutOfMemory) }
}

/// Bytes in use and bytes there are.
pub(crate) fn usage() -> (usize, usize) {
    (USED.load(Ordering::Relaxed), LIMIT.load(Ordering::Relaxed))
}

/// The class that serves `layout`, and the size of its objects.
#[inline]
fn class(layout: Layout) -> Option<(usize, Layout)> {
    let last = (layout.size().max(layout.align()).saturating_sub(1)) | (SMALLEST - 1);
    if last >= LARGEST_CACHED {
        return None;
    }
    let index = (last / SMALLEST + 1).next_power_of_two().trailing_zeros() as usize;
    let size = SMALLEST << index;
    // An object as large as its alignment is aligned to its size, so that any layout of the class fits it.
    Layout::from_size_align(size, size.min(64)).ok().map(|object| (index, object))
}

impl Kernel {
    /// An object of the class `index`, whose objects have the layout `object`.
    #[inline]
    fn take(&mut self, index: usize, object: Layout) -> Option<NonNull<u8>> {
        if self.cached[index].is_none() {
            self.carve(index, object);
        }
        let head = self.cached[index]?;
        // SAFETY: what is in the list is free memory of the class, and its first word is the link.
        self.cached[index] = unsafe { head.as_ref() }.next;
        Some(head.cast())
    }

    /// Puts objects on the list of the class `index`, as many as a piece holds, or one.
    #[cold]
    fn carve(&mut self, index: usize, object: Layout) {
        let size = object.size();
        let piece = Layout::from_size_align(PIECE, 64).ok().filter(|_| size <= LARGEST_CARVED);
        if let Some(start) = piece.and_then(|piece| self.heap.allocate_first_fit(piece).ok()) {
            for at in (0..PIECE).step_by(size) {
                // SAFETY: `at` lies in the piece, which is ours, and so does an object behind it.
                unsafe { self.give(index, start.add(at)) };
            }
        } else if let Ok(start) = self.heap.allocate_first_fit(object) {
            // SAFETY: it was allocated for an object of the class.
            unsafe { self.give(index, start) };
        }
    }

    /// Puts an object on the list of the class `index`.
    ///
    /// # Safety
    /// It is free memory of that class, and nobody else's.
    #[inline]
    unsafe fn give(&mut self, index: usize, object: NonNull<u8>) {
        let free: NonNull<Free> = object.cast();
        // SAFETY: the object is free, says the caller, and large and aligned enough for the link.
        unsafe { free.write(Free { next: self.cached[index] }) };
        self.cached[index] = Some(free);
    }
}

/// Counts bytes that came into use or, with `wrapping_neg`, went out of it. Only who holds the heap's lock counts.
#[inline]
fn count(bytes: usize) {
    USED.store(USED.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
}

// SAFETY: an object is handed out once until it is freed: it comes from `Heap`, or from a list of objects of its
// class that were freed. Objects of a class are all at least as large and aligned as any layout that maps to it.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut kernel = self.0.lock();
        let (bytes, found) = match class(layout) {
            Some((index, object)) if layout.align() <= 64 => (object.size(), kernel.take(index, object)),
            _ => (layout.size(), kernel.heap.allocate_first_fit(layout).ok()),
        };
        match found {
            Some(start) => {
                count(bytes);
                start.as_ptr()
            }
            None => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        let Some(start) = NonNull::new(start) else { return };
        let mut kernel = self.0.lock();
        match class(layout) {
            Some((index, object)) if layout.align() <= 64 => {
                // SAFETY: the object is free now, and of the class, which its layout tells.
                unsafe { kernel.give(index, start) };
                count(object.size().wrapping_neg());
            }
            _ => {
                // SAFETY: it was allocated with this very layout, says the caller.
                unsafe { kernel.heap.deallocate(start, layout) };
                count(layout.size().wrapping_neg());
            }
        }
    }
}
