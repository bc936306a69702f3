//! Kernel stacks: 32 KiB each, in the upper half of a 64 KiB slot whose lower half is never mapped.
//!
//! So bit 15 of the stack pointer is set while there is room, which the vectors test at every exception. A stack that
//! is given back keeps its frames and is handed out again: no descriptor of the window ever changes once valid.
//!
//! The first slots hold each CPU's stack for telling of an overflow. It begins right above the guard, so an overflow of
//! that one is met by the same test.

use alloc::vec::Vec;

use arch::cpu::MAX_CPUS;
use sync::{Mutex, Rank};
use units::{ByteLen, VirtAddr, VirtRange};

use crate::heap::OutOfMemory;
use crate::layout::{STACKS_BASE, STACKS_SIZE};
use crate::paging;

/// Bytes of a kernel stack.
pub(crate) const SIZE: u64 = 32 << 10;
/// Bytes from one stack to the next: the stack, and the guard below it.
pub(crate) const SLOT: u64 = 2 * SIZE;
/// Slots that are the CPUs' own.
pub(crate) const OVERFLOW_SLOTS: u64 = MAX_CPUS as u64;
/// Bytes of a stack for telling of an overflow.
const OVERFLOW_SIZE: u64 = 16 << 10;

struct Slots {
    /// Slots of tasks in use, or free but mapped.
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
        if (OVERFLOW_SLOTS + index + 1) * SLOT > STACKS_SIZE {
            return Err(OutOfMemory);
        }
        // Giving a stack back must never need memory: there is room for every one ever made.
        let room = index as usize + 1 - slots.free.len();
        slots.free.try_reserve(room).map_err(|_| OutOfMemory)?;
        let top = map(OVERFLOW_SLOTS + index, SIZE)?;
        slots.made += 1;
        Ok(Self { top })
    }

    /// The address behind the last byte.
    pub(crate) fn top(&self) -> VirtAddr {
        self.top
    }
}

/// Maps the stack on which CPU `index` tells of an overflow; once for each CPU. Answers the address behind it.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn map_overflow_stack(index: usize) -> Result<VirtAddr, OutOfMemory> {
    map(index as u64, OVERFLOW_SIZE)
}

/// Maps `size` bytes of `slot`, from above its guard on; answers the address behind them.
fn map(slot: u64, size: u64) -> Result<VirtAddr, OutOfMemory> {
    let bottom = VirtAddr::new(STACKS_BASE + slot * SLOT + SIZE);
    let range = VirtRange::with_len(bottom, ByteLen::new(size)).ok_or(OutOfMemory)?;
    paging::map_fresh(range)?;
    Ok(range.end())
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        SLOTS.lock().free.push(self.top);
    }
}
