//! Takes the machine's memory into use: the linear map, the kernel heap and the frame allocator, in this order.
//!
//! `platform::ram` says what is whose.

use core::fmt;

use platform::cmdline::Ram;
use platform::fdt::Platform;
use platform::ram::{self, Held, Plan};
use units::{ByteLen, PAGE_SIZE, PhysAddr, PhysRange};

use crate::{frames, heap, layout, paging};

/// Heap kept for the buddy allocator's trees: measured at 10 bytes a frame at worst.
const HEAP_PER_FRAME: u64 = 10;
/// Bytes between two words of memory that are tried out.
const TRIAL_STEP: usize = 16 << 20;

/// Why the machine's memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RamError {
    /// There is no way to divide it.
    Plan(ram::RamError),
    /// The device tree names memory that is not there, as is seen here.
    Absent(PhysAddr),
    /// A range cannot be shown in the linear map.
    Map(PhysRange, paging::MapError),
}

impl fmt::Display for RamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => write!(f, "{error}"),
            Self::Absent(at) => write!(f, "memory: the device tree names some that is not there, at {:#x}", at.get()),
            Self::Map(range, error) => write!(f, "memory: {range:?} cannot be mapped: {error}"),
        }
    }
}

/// Maps and hands out all memory of `platform` that is RAM and neither the image nor in `held`. Never inlined: the lists of
/// ranges are not to stay on the boot stack.
///
/// # Errors
/// [`RamError`].
#[inline(never)]
pub(crate) fn init(platform: &Platform, ram: Ram, held: &[PhysRange]) -> Result<(), RamError> {
    let held = Held { image: paging::image(), others: held, reach: paging::reach() };
    let plan = ram::plan(platform, ram, arch::cpu::mpidr(), held).map_err(RamError::Plan)?;
    for range in &plan.mapped {
        paging::map_linear(*range, "RAM").map_err(|error| RamError::Map(*range, error))?;
    }
    try_out(&plan)?;
    if plan.beyond > ByteLen::ZERO {
        log::warn!("memory: {} MiB out of reach", plan.beyond.get() >> 20);
    }
    let all_frames = plan.mapped.iter().map(|range| range.len().get()).sum::<u64>() / PAGE_SIZE;
    // SAFETY: the heap is mapped above, was taken out of the free ranges, and nobody else has it.
    unsafe {
        heap::init(
            layout::linear(plan.heap.start()),
            plan.heap.len().get() as usize,
            (HEAP_PER_FRAME * all_frames) as usize,
        );
    }
    // The largest first, whose descriptors are then the first that anybody looks among.
    let largest = plan.free.iter().max_by_key(|range| range.len().get());
    for range in largest.into_iter().chain(plan.free.iter().filter(|&range| Some(range) != largest)) {
        // SAFETY: free RAM, mapped above, given once.
        unsafe { frames::give(*range) };
    }
    Ok(())
}

/// Writes a word here and there, at both ends and at regular steps, and reads them all back: a device tree may name memory
/// that is not there, or something that is no memory.
fn try_out(plan: &Plan) -> Result<(), RamError> {
    let words = || {
        plan.free.iter().copied().chain([plan.heap]).flat_map(|range| {
            let last = range.end().get() - size_of::<u64>() as u64;
            // The end first: where memory is shorter than it should be, nothing is tried twice.
            core::iter::once(last).chain((range.start().get()..last).step_by(TRIAL_STEP)).map(PhysAddr::new)
        })
    };
    words().try_for_each(|at| tried(at, &mut pattern(at), Trial::Write).then_some(()).ok_or(RamError::Absent(at)))?;
    words().try_for_each(|at| {
        let mut found = 0;
        let same = tried(at, &mut found, Trial::Read) && found == pattern(at);
        same.then_some(()).ok_or(RamError::Absent(at))
    })
}

/// What is written at `at`: another word everywhere, so that two addresses of the same memory are told apart.
fn pattern(at: PhysAddr) -> u64 {
    at.get() ^ 0x5a5a_a5a5_c3c3_3c3c
}

/// Which way a word goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trial {
    Read,
    Write,
}

/// Moves a word from or to memory at `at`; `false` where nothing answers.
fn tried(at: PhysAddr, word: &mut u64, way: Trial) -> bool {
    let (memory, word) = (layout::linear(at), (&raw mut *word).cast::<u8>());
    let (to, from) = if way == Trial::Write { (memory, word) } else { (word, memory) };
    // SAFETY: mapped, free and nobody's; where it is not there, the routine's fix-up ends the copy.
    unsafe { arch::user::copy(to, from, size_of::<u64>()) == 0 }
}
