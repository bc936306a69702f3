//! Which memory is whose: what the device tree names, less what somebody holds.

use core::fmt;

use arrayvec::ArrayVec;
use units::{ByteLen, PAGE_SIZE, PhysAddr, PhysRange};

use crate::cmdline::Ram;
use crate::fdt::Platform;

/// Ranges there is room for.
pub const MAX_RANGES: usize = 96;
/// The heap is one part in this many of RAM.
const HEAP_SHARE: u64 = 16;
const HEAP_LEAST: u64 = 4 << 20;
const HEAP_MOST: u64 = 512 << 20;

/// Ranges in rising order, without overlap.
pub type Ranges = ArrayVec<PhysRange, MAX_RANGES>;

/// What becomes of the machine's memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What the linear map is to show, the kernel's image among it.
    pub mapped: Ranges,
    /// The kernel heap, a part of `mapped`.
    pub heap: PhysRange,
    /// What the frame allocator is given, a part of `mapped`; whole pages.
    pub free: Ranges,
}

/// Memory that is spoken for before there is an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held<'a> {
    /// The kernel's image, which the linear map shows too.
    pub image: PhysRange,
    /// What else is neither mapped nor free: the device tree, pmem.
    pub others: &'a [PhysRange],
}

/// Why the machine's memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RamError {
    /// More pieces than there is room for.
    TooManyPieces,
    /// Not even a heap fits.
    TooLittle,
}

impl fmt::Display for RamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPieces => write!(f, "memory: more than {MAX_RANGES} pieces"),
            Self::TooLittle => write!(f, "memory: too little to run in"),
        }
    }
}

/// Divides the memory of `platform` that is RAM for the boot CPU, `mpidr`.
///
/// # Errors
/// [`RamError`].
pub fn plan(platform: &Platform, ram: Ram, mpidr: u64, held: Held<'_>) -> Result<Plan, RamError> {
    let usable = usable(platform, ram, mpidr);
    let (mut mapped, mut free) = (usable.clone(), usable);
    let no_map = platform.reserved.iter().filter(|reserved| reserved.no_map).map(|reserved| reserved.range);
    for hole in no_map.chain(held.others.iter().copied()) {
        remove(&mut mapped, hole)?;
    }
    let reserved = platform.reserved.iter().map(|reserved| reserved.range);
    for hole in reserved.chain(held.others.iter().copied()).chain([held.image]) {
        remove(&mut free, hole)?;
    }
    let heap = carve_heap(&mut free)?;
    Ok(Plan { mapped, heap, free })
}

/// RAM by the device tree; memory of other NUMA nodes than the boot CPU's only where `ram=all` says so.
fn usable(platform: &Platform, ram: Ram, mpidr: u64) -> Ranges {
    let home = platform.boot_node(mpidr);
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
