//! Which memory is free: what the device tree names, less what somebody holds. From it the linear map, the kernel heap
//! and the frame allocator are made, in this order.

use arrayvec::ArrayVec;
use units::{ByteLen, PAGE_SIZE, PhysAddr, PhysRange};

use crate::cmdline::Ram;
use crate::fdt::Platform;
use crate::{frames, heap, layout, paging};

/// Free ranges there is room for.
const MAX_RANGES: usize = 96;
/// The heap is one part in this many of RAM.
const HEAP_SHARE: u64 = 16;
const HEAP_LEAST: u64 = 4 << 20;
const HEAP_MOST: u64 = 512 << 20;
/// Heap kept for the buddy allocator's trees: measured at 10 bytes a frame at worst.
const HEAP_PER_FRAME: u64 = 10;

/// Free ranges, in rising order.
type Ranges = ArrayVec<PhysRange, MAX_RANGES>;

/// Why the machine's memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RamError {
    /// More pieces than there is room for.
    TooManyPieces,
    /// Not even a heap fits.
    TooLittle,
    /// A range cannot be shown in the linear map.
    Map(PhysRange, paging::MapError),
}

impl core::fmt::Display for RamError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooManyPieces => write!(f, "memory: more than {MAX_RANGES} pieces"),
            Self::TooLittle => write!(f, "memory: too little to run in"),
            Self::Map(range, error) => write!(f, "memory: {range:?} cannot be mapped: {error}"),
        }
    }
}

/// Maps and hands out all memory of `platform` that is RAM and not in `held`.
///
/// # Errors
/// [`RamError`].
pub(crate) fn init(platform: &Platform, ram: Ram, held: &[PhysRange]) -> Result<(), RamError> {
    let usable = usable(platform, ram);
    let mut free = usable.clone();
    let no_map = platform.reserved.iter().filter(|reserved| reserved.no_map).map(|reserved| reserved.range);
    let mut mapped = usable;
    for hole in no_map.chain(held.iter().copied().filter(|range| *range != paging::image())) {
        remove(&mut mapped, hole)?;
    }
    for range in &mapped {
        paging::map_linear(*range).map_err(|error| RamError::Map(*range, error))?;
    }
    for hole in platform.reserved.iter().map(|reserved| reserved.range).chain(held.iter().copied()) {
        remove(&mut free, hole)?;
    }
    let heap = carve_heap(&mut free)?;
    let all_frames = platform.memory.iter().map(|memory| memory.range.len().get()).sum::<u64>() / PAGE_SIZE;
    // SAFETY: `heap` is mapped above, was taken out of the free ranges, and nobody else has it.
    unsafe {
        heap::init(
            layout::linear(heap.start()),
            heap.len().get() as usize,
            (HEAP_PER_FRAME * all_frames) as usize,
        );
    }
    for range in &free {
        // SAFETY: free RAM, mapped above, given once.
        unsafe { frames::give(*range) };
    }
    Ok(())
}

/// RAM by the device tree; memory of other NUMA nodes than the boot CPU's only where `ram=all` says so.
fn usable(platform: &Platform, ram: Ram) -> Ranges {
    let home = platform.boot_node(arch::cpu::mpidr());
    let ours = |node: Option<u32>| ram == Ram::All || node.is_none() || home.is_none() || node == home;
    platform.memory.iter().filter(|memory| ours(memory.node)).map(|memory| memory.range).collect()
}

/// Takes `hole` out of `ranges`, whole pages of it.
fn remove(ranges: &mut Ranges, hole: PhysRange) -> Result<(), RamError> {
    let start = hole.start().align_down(PAGE_SIZE);
    let end = hole.end().align_up(PAGE_SIZE).unwrap_or(PhysAddr::new(!(PAGE_SIZE - 1)));
    let mut left = Ranges::new();
    for range in ranges.iter() {
        let pieces = [
            PhysRange::new(range.start(), range.end().min(start)),
            PhysRange::new(range.start().max(end), range.end()),
        ];
        for piece in pieces.into_iter().flatten().filter(|piece| !piece.is_empty()) {
            left.try_push(piece).map_err(|_| RamError::TooManyPieces)?;
        }
    }
    *ranges = left;
    Ok(())
}

/// Takes the heap from the end of the largest free range.
fn carve_heap(free: &mut Ranges) -> Result<PhysRange, RamError> {
    let total: u64 = free.iter().map(|range| range.len().get()).sum();
    let largest = free.iter_mut().max_by_key(|range| range.len().get()).ok_or(RamError::TooLittle)?;
    let wanted = (total / HEAP_SHARE).clamp(HEAP_LEAST, HEAP_MOST).next_multiple_of(PAGE_SIZE);
    let end = largest.end().align_down(PAGE_SIZE);
    let start = end.get().checked_sub(wanted).map(PhysAddr::new).ok_or(RamError::TooLittle)?;
    let heap = PhysRange::with_len(start, ByteLen::new(wanted)).ok_or(RamError::TooLittle)?;
    // The programs need some, too.
    if !largest.covers(heap) || largest.len().get() < 2 * wanted {
        return Err(RamError::TooLittle);
    }
    *largest = PhysRange::new(largest.start(), heap.start()).ok_or(RamError::TooLittle)?;
    Ok(heap)
}
