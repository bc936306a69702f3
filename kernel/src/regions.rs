//! The named regions of the kernel's half: everything that is mapped there is part of exactly one.
//!
//! The image has its parts by the linker's symbols, each a second time in the linear map; stacks lie in slots that
//! `task::stack` counts; whatever else is mapped, [`add`]s itself. Nothing here takes a lock, so that the panic report
//! may ask whose an address is. A test compares the list with the live tables, both ways.

use core::sync::atomic::{AtomicUsize, Ordering};

use mm::desc::Attributes;
use spin::Once;
use units::{VirtAddr, VirtRange};

use crate::task::stack;
use crate::{layout, paging};

/// Regions there is room for, beside the image and the stacks.
const ROOM: usize = 160;

/// A part of the kernel's half, mapped from end to end with the same attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    /// Whose it is.
    pub(crate) name: &'static str,
    /// Whole pages.
    pub(crate) range: VirtRange,
    /// What every leaf there allows.
    pub(crate) attributes: Attributes,
}

static ADDED: [Once<Region>; ROOM] = [const { Once::new() }; ROOM];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// There is no room for one region more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// Names what is about to be mapped, for ever.
///
/// # Errors
/// [`Full`].
pub(crate) fn add(region: Region) -> Result<(), Full> {
    let count = COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < ROOM).then_some(count + 1));
    ADDED[count.map_err(|_| Full)?].call_once(|| region);
    Ok(())
}

/// Every region.
pub(crate) fn all() -> impl Iterator<Item = Region> {
    image().chain(ADDED.iter().filter_map(Once::get).copied()).chain(stacks())
}

/// The region that `va` is part of.
pub(crate) fn find(va: VirtAddr) -> Option<Region> {
    all().find(|region| region.range.contains(va))
}

/// The parts of the image, each at its own address and in the linear map, where nothing is executable.
fn image() -> impl Iterator<Item = Region> {
    let (text, rodata, data) = (Attributes::KERNEL_TEXT, Attributes::KERNEL_RODATA, Attributes::KERNEL_DATA);
    let parts = [
        (["kernel text", "the linear map of kernel text"], layout::text(), [text, rodata]),
        (["kernel read-only data", "the linear map of kernel read-only data"], layout::rodata(), [rodata, rodata]),
        (["kernel data", "the linear map of kernel data"], layout::data(), [data, data]),
        (["the boot stack", "the linear map of the boot stack"], layout::boot_stack(), [data, data]),
    ];
    parts.into_iter().flat_map(|(names, range, attributes)| {
        let ranges = [range, layout::linear_range(paging::image_part(range))];
        let places = names.into_iter().zip(ranges).zip(attributes);
        places.map(|((name, range), attributes)| Region { name, range, attributes })
    })
}

/// The stacks of CPUs and tasks.
fn stacks() -> impl Iterator<Item = Region> {
    let attributes = Attributes::KERNEL_DATA;
    let overflow = stack::overflow_stacks().map(|range| ("a CPU's stack for overflows", range));
    let tasks = stack::task_stacks().map(|range| ("a kernel stack", range));
    overflow.chain(tasks).map(move |(name, range)| Region { name, range, attributes })
}
