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
/// What must be free in one piece: half of it may become the heap.
const NEEDED: u64 = 2 * HEAP_LEAST;

/// Ranges in rising order, without overlap.
pub type Ranges = ArrayVec<PhysRange, MAX_RANGES>;

/// What becomes of the machine's memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What the linear map is to show, the kernel's image among it; whole pages.
    pub mapped: Ranges,
    /// The kernel heap, a part of `mapped`.
    pub heap: PhysRange,
    /// What the frame allocator is given, a part of `mapped`; whole pages.
    pub free: Ranges,
    /// RAM that is left alone because the kernel cannot reach it.
    pub beyond: ByteLen,
}

/// Memory that is spoken for before there is an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held<'a> {
    /// The kernel's image, which the linear map shows too.
    pub image: PhysRange,
    /// What else is neither mapped nor free: the device tree, pmem.
    pub others: &'a [PhysRange],
    /// Where the kernel's map of physical memory ends.
    pub reach: PhysAddr,
}

/// Why the machine's memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RamError {
    /// More pieces than there is room for.
    TooManyPieces,
    /// Only this much is free, in the largest piece.
    TooLittle(ByteLen),
    /// The kernel lies where the device tree names no memory.
    Outside(PhysRange),
}

impl fmt::Display for RamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPieces => write!(f, "memory: more than {MAX_RANGES} pieces"),
            Self::TooLittle(free) => {
                write!(
                    f,
                    "memory: too little to run in: {} KiB are free in one piece, of {} needed",
                    free.get() >> 10,
                    NEEDED >> 10
                )
            }
            Self::Outside(image) => write!(f, "memory: the kernel at {image:?} is not in what the device tree names"),
        }
    }
}

/// Divides the memory of `platform` that is RAM for the boot CPU, `mpidr`.
///
/// # Errors
/// [`RamError`].
pub fn plan(platform: &Platform, ram: Ram, mpidr: u64, held: Held<'_>) -> Result<Plan, RamError> {
    if !platform.memory.iter().any(|memory| memory.range.overlaps(held.image)) || !is_ram(platform, held.image) {
        return Err(RamError::Outside(held.image));
    }
    let (usable, beyond) = usable(platform, ram, mpidr, held.reach);
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
    Ok(Plan { mapped, heap, free, beyond })
}

/// Whether every byte of `range` is memory that the device tree names.
#[must_use]
pub fn is_ram(platform: &Platform, range: PhysRange) -> bool {
    // Sorted, without overlap: each piece must begin where the one before ended.
    let mut covered = range.start();
    for memory in &platform.memory {
        if memory.range.contains(covered) {
            covered = memory.range.end();
        }
    }
    covered >= range.end()
}

/// The whole pages of RAM by the device tree, up to `reach`, and how much lies behind. Memory of other NUMA nodes than
/// the boot CPU's only where `ram=all` says so.
fn usable(platform: &Platform, ram: Ram, mpidr: u64, reach: PhysAddr) -> (Ranges, ByteLen) {
    let home = platform.boot_node(mpidr);
    let ours = |node: Option<u32>| ram == Ram::All || node.is_none() || home.is_none() || node == home;
    let (mut all, mut beyond) = (Ranges::new(), 0);
    for range in platform.memory.iter().filter(|memory| ours(memory.node)).map(|memory| memory.range) {
        beyond += range.end().get() - reach.get().clamp(range.start().get(), range.end().get());
        let end = range.end().min(reach).align_down(PAGE_SIZE);
        let pages = range.start().align_up(PAGE_SIZE).and_then(|start| PhysRange::new(start, end));
        all.extend(pages.filter(|pages| !pages.is_empty()));
    }
    (all, ByteLen::new(beyond))
}

/// Takes `hole` out of `ranges`, whole pages of it.
fn remove(ranges: &mut Ranges, hole: PhysRange) -> Result<(), RamError> {
    let start = hole.start().align_down(PAGE_SIZE);
    let end = hole.end().align_up(PAGE_SIZE).unwrap_or(PhysAddr::new(!(PAGE_SIZE - 1)));
    if hole.is_empty() {
        return Ok(());
    }
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
    let largest = free.iter_mut().max_by_key(|range| range.len()).ok_or(RamError::TooLittle(ByteLen::ZERO))?;
    let wanted = (total / HEAP_SHARE).clamp(HEAP_LEAST, HEAP_MOST).next_multiple_of(PAGE_SIZE);
    // The programs need some, too; in many small pieces the heap is smaller than its share.
    let wanted = wanted.min((largest.len().get() / 2).max(HEAP_LEAST)) & !(PAGE_SIZE - 1);
    let too_little = RamError::TooLittle(largest.len());
    if largest.len().get() < NEEDED {
        return Err(too_little);
    }
    let start = largest.end().get().checked_sub(wanted).map(PhysAddr::new).ok_or(too_little)?;
    let heap = PhysRange::new(start, largest.end()).ok_or(too_little)?;
    *largest = PhysRange::new(largest.start(), start).ok_or(too_little)?;
    Ok(heap)
}
