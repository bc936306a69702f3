//! What each CPU has of its own, reached by TPIDR_EL1.

use core::cell::Cell;
use core::ptr;

use arch::cpu::MAX_CPUS;

use crate::kmap::Depth;
use crate::task::Task;

/// One CPU's block. The vectors read `current`; `arch::cpu::index` reads the first word.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    index: u64,
    /// The task that runs here; null only before [`init`] and [`set_current`].
    pub(crate) current: Cell<*const Task>,
    /// Temporary mappings.
    pub(crate) kmap: Depth,
}

// SAFETY: a block is touched by its own CPU only, `current` with interrupts masked.
unsafe impl Sync for PerCpu {}

static BLOCKS: [PerCpu; MAX_CPUS] = {
    let mut blocks = [const { PerCpu { index: 0, current: Cell::new(ptr::null()), kmap: Depth::new() } }; MAX_CPUS];
    let mut index = 0;
    while index < MAX_CPUS {
        blocks[index].index = index as u64;
        index += 1;
    }
    blocks
};

/// Gives this CPU the block of `index`.
pub(crate) fn init(index: usize) {
    // SAFETY: the block is static, and its first word is its index.
    unsafe { arch::cpu::set_block(&raw const BLOCKS[index]) };
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
