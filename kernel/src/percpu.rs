//! What each CPU has of its own, reached by TPIDR_EL1.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::cpu::MAX_CPUS;

use units::VirtAddr;

use crate::heap::OutOfMemory;
use crate::kmap::Slots;
use crate::task::{Task, stack};

/// One CPU's block. The vectors read `current` and `overflow_stack`; `arch::cpu::index` reads the first word.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    index: u64,
    /// The task that runs here; null only before [`init`] and [`set_current`].
    pub(crate) current: Cell<*const Task>,
    /// The address behind the stack on which an overflow of any other is told.
    pub(crate) overflow_stack: Cell<u64>,
    /// Temporary mappings.
    pub(crate) kmap: Slots,
    /// How often this CPU's timer went off.
    pub(crate) timer_interrupts: AtomicU64,
}

// SAFETY: the cells are touched by the block's own CPU only, `current` with interrupts masked; before that CPU has been
// started, by the boot CPU.
unsafe impl Sync for PerCpu {}

static BLOCKS: [PerCpu; MAX_CPUS] = {
    let mut blocks = [const { PerCpu::new() }; MAX_CPUS];
    let mut index = 0;
    while index < MAX_CPUS {
        blocks[index].index = index as u64;
        index += 1;
    }
    blocks
};

impl PerCpu {
    const fn new() -> Self {
        Self {
            index: 0,
            current: Cell::new(ptr::null()),
            overflow_stack: Cell::new(0),
            kmap: Slots::new(),
            timer_interrupts: AtomicU64::new(0),
        }
    }
}

/// Gives this CPU, which is the first, its block.
pub(crate) fn init() {
    // SAFETY: the block is static, and its first word is its index.
    unsafe { arch::cpu::set_block(&raw const BLOCKS[0]) };
}

/// Gives this CPU, which is the first, the stack on which an overflow is told.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn init_overflow_stack() -> Result<(), OutOfMemory> {
    this().overflow_stack.set(stack::map_overflow_stack(0)?.get());
    Ok(())
}

/// Fills the block of CPU `index` before it starts, and answers it.
///
/// # Safety
/// That CPU has not started. `idle` is a task that nobody else runs, and lives for ever.
pub(crate) unsafe fn prepare(index: usize, idle: *const Task, overflow_stack: VirtAddr) -> *const PerCpu {
    let block = &BLOCKS[index];
    block.current.set(idle);
    block.overflow_stack.set(overflow_stack.get());
    block
}

/// How often the timer of CPU `index` went off.
pub(crate) fn timer_interrupts(index: usize) -> u64 {
    BLOCKS[index].timer_interrupts.load(Ordering::Relaxed)
}

/// The block of this CPU.
#[inline(always)]
pub(crate) fn this() -> &'static PerCpu {
    let block: *const PerCpu = arch::cpu::block();
    // SAFETY: `init` put a static block there before anybody asked.
    unsafe { &*block }
}

/// The task that runs here; null before there is one.
pub(crate) fn current_or_null() -> *const Task {
    let block: *const PerCpu = arch::cpu::block();
    // SAFETY: null before `init`, else a static block.
    unsafe { block.as_ref() }.map_or(ptr::null(), |block| block.current.get())
}

/// The address behind this CPU's stack for overflows; 0 before there is one.
pub(crate) fn overflow_stack_or_0() -> u64 {
    let block: *const PerCpu = arch::cpu::block();
    // SAFETY: as above.
    unsafe { block.as_ref() }.map_or(0, |block| block.overflow_stack.get())
}
