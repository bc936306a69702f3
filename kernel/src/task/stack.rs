//! Kernel stacks: 32 KiB each, in the upper half of a 64 KiB slot whose lower half is never mapped.
//!
//! So bit 15 of the stack pointer is set while there is room, which the vectors test at every exception. A stack that
//! is given back keeps its frames and is handed out again: no descriptor of the window ever changes once valid.

use alloc::vec::Vec;

use sync::{Mutex, Rank};
use units::{ByteLen, VirtAddr, VirtRange};

use crate::heap::OutOfMemory;
use crate::layout::{STACKS_BASE, STACKS_SIZE};
use crate::paging;

/// Bytes of a kernel stack.
pub(crate) const SIZE: u64 = 32 << 10;
const SLOT: u64 = 2 * SIZE;

struct Slots {
    made: u64,
    free: Vec<VirtAddr>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Rank::Stacks, Slots { made: 0, free: Vec::new() });

/// A mapped stack, and the guard below it.
pub(crate) struct KernelStack {
    top: VirtAddr,
}

impl KernelStack {
    /// A stack holding anything.
    ///
    /// # Errors
    /// [`OutOfMemory`] where frames, tables, heap or the window of stacks are used up.
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let mut slots = SLOTS.lock();
        if let Some(top) = slots.free.pop() {
            return Ok(Self { top });
        }
        let index = slots.made;
        if (index + 1) * SLOT > STACKS_SIZE {
            return Err(OutOfMemory);
        }
        // Giving a stack back must never need memory: there is room for every one ever made.
        let room = index as usize + 1 - slots.free.len();
        slots.free.try_reserve(room).map_err(|_| OutOfMemory)?;
        let bottom = VirtAddr::new(STACKS_BASE + index * SLOT + SIZE);
        let range = VirtRange::with_len(bottom, ByteLen::new(SIZE)).ok_or(OutOfMemory)?;
        paging::map_fresh(range)?;
        slots.made += 1;
        Ok(Self { top: range.end() })
    }

    /// The address behind the last byte.
    pub(crate) fn top(&self) -> VirtAddr {
        self.top
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        SLOTS.lock().free.push(self.top);
    }
}
