//! Kernel stacks: 32 KiB each, in the upper half of a 64 KiB slot whose lower half is never mapped.
//!
//! So bit 15 of the stack pointer is set while there is room, which the vectors test at every exception. A stack that
//! is given back keeps its frames and is handed out again: no descriptor of the window ever changes once valid.
//!
//! The first slots hold each CPU's stack for telling of an overflow. It begins right above the guard, so an overflow of
//! that one is met by the same test.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arch::cpu::MAX_CPUS;
use sync::{Mutex, Rank};
use units::{ByteLen, VirtAddr, VirtRange};

use crate::heap::OutOfMemory;
use crate::layout::{self, STACKS_BASE, STACKS_SIZE};
use crate::paging;

/// Bytes of a kernel stack.
pub(crate) const SIZE: u64 = 32 << 10;
/// Bytes from one stack to the next: the stack, and the guard below it.
pub(crate) const SLOT: u64 = 2 * SIZE;
/// Slots that are the CPUs' own.
pub(crate) const OVERFLOW_SLOTS: u64 = MAX_CPUS as u64;
/// Bytes of a stack for telling of an overflow.
pub(crate) const OVERFLOW_SIZE: u64 = 16 << 10;

/// Stacks that were given back.
static FREE: Mutex<Vec<VirtAddr>> = Mutex::new(Rank::Stacks, Vec::new());
/// Slots of tasks that are mapped. Changed under the lock of [`FREE`].
static MADE: AtomicU64 = AtomicU64::new(0);
/// CPUs whose slots are mapped, one bit each.
static CPUS: AtomicU32 = AtomicU32::new(0);

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
        let mut free = FREE.lock();
        if let Some(top) = free.pop() {
            return Ok(Self { top });
        }
        let index = MADE.load(Ordering::Relaxed);
        if (OVERFLOW_SLOTS + index + 1) * SLOT > STACKS_SIZE {
            return Err(OutOfMemory);
        }
        // Giving a stack back must never need memory: there is room for every one ever made.
        let room = index as usize + 1 - free.len();
        free.try_reserve(room).map_err(|_| OutOfMemory)?;
        let range = stack_in(OVERFLOW_SLOTS + index, SIZE);
        paging::map_fresh(range)?;
        MADE.store(index + 1, Ordering::Relaxed);
        Ok(Self { top: range.end() })
    }

    /// The address behind the last byte.
    pub(crate) fn top(&self) -> VirtAddr {
        self.top
    }

    /// All of it.
    pub(crate) fn range(&self) -> VirtRange {
        let bottom = VirtAddr::new(self.top.get() - SIZE);
        VirtRange::new(bottom, self.top).unwrap_or_else(|| unreachable!("a stack lies below its top"))
    }
}

/// Maps the stack on which CPU `index` tells of an overflow; once for each CPU. Answers the address behind it.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn map_overflow_stack(index: usize) -> Result<VirtAddr, OutOfMemory> {
    let range = stack_in(index as u64, OVERFLOW_SIZE);
    paging::map_fresh(range)?;
    CPUS.fetch_or(1 << index, Ordering::Relaxed);
    Ok(range.end())
}

/// `size` bytes of a slot, right above its guard.
fn stack_in(slot: u64, size: u64) -> VirtRange {
    let bottom = VirtAddr::new(STACKS_BASE + slot * SLOT + SIZE);
    VirtRange::with_len(bottom, ByteLen::new(size)).unwrap_or_else(|| unreachable!("the window has an end"))
}

/// The stacks of CPUs that are mapped.
pub(crate) fn overflow_stacks() -> impl Iterator<Item = VirtRange> {
    let mapped = CPUS.load(Ordering::Relaxed);
    (0..OVERFLOW_SLOTS).filter(move |slot| mapped >> slot & 1 != 0).map(|slot| stack_in(slot, OVERFLOW_SIZE))
}

/// The stacks of tasks that are mapped, whether in use or given back.
pub(crate) fn task_stacks() -> impl Iterator<Item = VirtRange> {
    (0..MADE.load(Ordering::Relaxed)).map(|index| stack_in(OVERFLOW_SLOTS + index, SIZE))
}

/// Bytes of a stack that have been used, at most so far: down to the lowest word that is not zero, as all are in fresh frames.
pub(crate) fn used(stack: VirtRange) -> u64 {
    let word = |at: &u64| {
        let at: *const u64 = core::ptr::with_exposed_provenance(*at as usize);
        // SAFETY: a word of a stack that is mapped; whoever runs there may write it meanwhile.
        unsafe { at.read_volatile() }
    };
    let mut words = (stack.start().get()..stack.end().get()).step_by(8);
    words.find(|at| word(at) != 0).map_or(0, |lowest| stack.end().get() - lowest)
}

/// The most that any task has used of its stack.
pub(crate) fn deepest() -> u64 {
    task_stacks().map(used).max().unwrap_or(0)
}

/// The text of `/proc/vitrine/stacks`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
    let made = task_stacks().count();
    writeln!(out, "task stacks {made} size {SIZE} deepest {}", deepest())?;
    // What a loader left in its memory would count, too.
    let boot = layout::boot_stack();
    writeln!(out, "boot stack size {} deepest {}", boot.len().get(), used(boot))
}

/// Makes a stack look fresh, so that what an overflow left there is not measured.
///
/// # Safety
/// It is mapped, and nobody runs there ever again who expects to find anything.
pub(crate) unsafe fn forget(stack: VirtRange) {
    let start: *mut u8 = core::ptr::with_exposed_provenance_mut(stack.start().get() as usize);
    // SAFETY: as the caller says.
    unsafe { start.write_bytes(0, stack.len().get() as usize) };
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        FREE.lock().push(self.top);
    }
}
