//! Takes the machine's memory into use: the linear map, the kernel heap and the frame allocator, in this order.
//!
//! `platform::ram` says what is whose.

use core::fmt;

use platform::cmdline::Ram;
use platform::fdt::Platform;
use platform::ram::{self, Held};
use units::{PAGE_SIZE, PhysRange};

use crate::{frames, heap, layout, paging};

/// Heap kept for the buddy allocator's trees: measured at 10 bytes a frame at worst.
const HEAP_PER_FRAME: u64 = 10;

/// Why the machine's memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RamError {
    /// There is no way to divide it.
    Plan(ram::RamError),
    /// A range cannot be shown in the linear map.
    Map(PhysRange, paging::MapError),
}

impl fmt::Display for RamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => write!(f, "{error}"),
            Self::Map(range, error) => write!(f, "memory: {range:?} cannot be mapped: {error}"),
        }
    }
}

/// Maps and hands out all memory of `platform` that is RAM and neither the image nor in `held`.
///
/// # Errors
/// [`RamError`].
pub(crate) fn init(platform: &Platform, ram: Ram, held: &[PhysRange]) -> Result<(), RamError> {
    let held = Held { image: paging::image(), others: held, reach: layout::LINEAR_REACH };
    let plan = ram::plan(platform, ram, arch::cpu::mpidr(), held).map_err(RamError::Plan)?;
    for range in &plan.mapped {
        paging::map_linear(*range, "RAM").map_err(|error| RamError::Map(*range, error))?;
    }
    let all_frames = platform.memory.iter().map(|memory| memory.range.len().get()).sum::<u64>() / PAGE_SIZE;
    // SAFETY: the heap is mapped above, was taken out of the free ranges, and nobody else has it.
    unsafe {
        heap::init(
            layout::linear(plan.heap.start()),
            plan.heap.len().get() as usize,
            (HEAP_PER_FRAME * all_frames) as usize,
        );
    }
    for range in &plan.free {
        // SAFETY: free RAM, mapped above, given once.
        unsafe { frames::give(*range) };
    }
    Ok(())
}
