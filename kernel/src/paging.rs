//! The kernel's half of the address space: `init_mm`, made by `boot` and completed here.
//!
//! `boot` mapped the image, each part with the permissions it keeps. Here come the linear map of RAM and pmem, device
//! registers and kernel stacks; every change is one from nothing to something.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::features::{machine, physical_bits};
use mm::desc::{Attributes, Level, Owner};
use mm::table::TableError;
use mm::{Asid, Tables};
use platform::fdt::PHYS_END;
use spin::Once;
use sync::{Mutex, Rank};
use units::{ByteLen, HUGE_SIZE, PAGE_SIZE, Pfn, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::heap::OutOfMemory;
use crate::layout::{self, MMIO_BASE, MMIO_SIZE};
use crate::mmu::{KernelFrames, KernelMmu};
use crate::regions::{self, Full, Region};

type KernelTables = Tables<KernelFrames, KernelMmu>;

static INIT_MM: Once<Mutex<KernelTables>> = Once::new();
/// Bytes of the window of device registers in use. Changed under the lock of the tables.
static MMIO_USED: AtomicU64 = AtomicU64::new(0);
/// See [`highest`].
static HIGHEST: AtomicU64 = AtomicU64::new(0);
/// The physical address of `_text`.
static LOADED: AtomicU64 = AtomicU64::new(0);

fn init_mm() -> &'static Mutex<KernelTables> {
    INIT_MM.get().unwrap_or_else(|| unreachable!("paging::init comes before every map"))
}

/// The physical range of the whole image, its stack included.
pub(crate) fn image() -> PhysRange {
    image_part(layout::image())
}

/// The physical range of a part of the kernel image.
pub(crate) fn image_part(part: VirtRange) -> PhysRange {
    let (start, end) = (image_phys(part.start()), image_phys(part.end()));
    PhysRange::new(start, end).unwrap_or_else(|| unreachable!("the ends keep their order"))
}

/// The physical address of something in the kernel image.
pub(crate) fn image_phys(va: VirtAddr) -> PhysAddr {
    PhysAddr::new(va.get() - layout::text_start().get() + LOADED.load(Ordering::Relaxed))
}

/// Frames for the tables of the linear map, before RAM is known: a part of the image.
const EARLY_FRAMES: usize = 32;

#[repr(C, align(4096))]
struct Early(UnsafeCell<[[u8; PAGE_SIZE as usize]; EARLY_FRAMES]>);

// SAFETY: handed to the frame allocator once, by `init`; nobody touches it by this name.
unsafe impl Sync for Early {}

static EARLY: Early = Early(UnsafeCell::new([[0; PAGE_SIZE as usize]; EARLY_FRAMES]));

/// Takes over the tables that `boot` left, in an image loaded at `loaded`, and gives the frame allocator its first
/// frames.
pub(crate) fn init(loaded: PhysAddr) {
    LOADED.store(loaded.get(), Ordering::Relaxed);
    let early = image_phys(VirtAddr::new(EARLY.0.get().addr() as u64)).pfn().get();
    for frame in early..early + EARLY_FRAMES as u64 {
        // SAFETY: frames of `EARLY`, which nobody else uses, in the linear map by `boot`'s work; given once.
        unsafe { crate::frames::give_one(Pfn::new(frame)) };
    }
    let root = image_phys(layout::init_pg_dir()).pfn();
    INIT_MM.call_once(|| Mutex::new(Rank::KernelSpace, Tables::adopt(KernelFrames, KernelMmu, Asid::GLOBAL, root)));
}

/// Why the kernel could not map something for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MapError {
    /// No frame for a table.
    OutOfMemory,
    /// The window is used up, or the address is one the linear map does not reach.
    NoRoom,
    /// Something is there already.
    Occupied,
    /// More regions than there are names for.
    TooMany,
    /// It is mapped, but a load from there ends in an abort.
    NoAnswer,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "out of memory",
            Self::NoRoom => "outside what the kernel can map",
            Self::Occupied => "something is mapped there already",
            Self::TooMany => "too many regions",
            Self::NoAnswer => "nothing answers at its address",
        })
    }
}

impl From<TableError> for MapError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::OutOfMemory => Self::OutOfMemory,
            TableError::Occupied(_) | TableError::Unaligned => Self::Occupied,
        }
    }
}

impl From<Full> for MapError {
    fn from(Full: Full) -> Self {
        Self::TooMany
    }
}

/// The first physical address that the linear map or a CPU does not reach; while they are not all known, this one.
pub(crate) fn reach() -> PhysAddr {
    PhysAddr::new(1 << physical_bits(&machine::common_or_own())).min(layout::LINEAR_REACH)
}

/// Where the highest memory in the linear map ends: every CPU must reach it.
pub(crate) fn highest() -> PhysAddr {
    PhysAddr::new(HIGHEST.load(Ordering::Relaxed))
}

/// Shows `range`, of RAM or pmem, in the linear map, as the region `name`; whole pages, in the largest entries that fit.
/// The image is there already (`boot`), text and read-only data read-only.
///
/// # Errors
/// [`MapError`].
pub(crate) fn map_linear(range: PhysRange, name: &'static str) -> Result<(), MapError> {
    let (start, end) = (range.start().align_down(PAGE_SIZE), range.end().align_up(PAGE_SIZE));
    let range = end.and_then(|end| PhysRange::new(start, end)).ok_or(MapError::NoRoom)?;
    if range.end() > reach() {
        return Err(MapError::NoRoom);
    }
    HIGHEST.fetch_max(range.end().get(), Ordering::Relaxed);
    let image = image().intersection(range);
    let (before, after) = match image {
        Some(image) => (PhysRange::new(range.start(), image.start()), PhysRange::new(image.end(), range.end())),
        None => (Some(range), None),
    };
    for part in [before, after].into_iter().flatten().filter(|part| !part.is_empty()) {
        let shown = layout::linear_range(part);
        let attributes = Attributes::KERNEL_DATA;
        // The linear map stays as it is for as long as the machine runs.
        init_mm().lock().map_for_good(shown, part.start(), attributes, Level::Pud)?;
        regions::add(Region { name, range: shown, attributes })?;
    }
    Ok(())
}

/// Maps `len` bytes of device registers at `base` (Linux: `ioremap`), as the region `name`; answers where they are seen.
///
/// # Errors
/// [`MapError`].
pub(crate) fn map_device(base: PhysAddr, len: ByteLen, name: &'static str) -> Result<NonNull<u8>, MapError> {
    map_window(base, len, Attributes::KERNEL_DEVICE, name)
}

/// Shows `len` bytes that the firmware left at `base` in RAM, before there is a linear map, as the region `name`.
///
/// # Errors
/// [`MapError`].
pub(crate) fn map_blob(base: PhysAddr, len: ByteLen, name: &'static str) -> Result<&'static [u8], MapError> {
    let (start, len) = (map_window(base, len, Attributes::KERNEL_RODATA, name)?.as_ptr(), len.get() as usize);
    // SAFETY: mapped above.
    if !unsafe { answers(start, len) } {
        return Err(MapError::NoAnswer);
    }
    // SAFETY: mapped for ever; the blob's memory is reserved, so nobody writes it.
    Ok(unsafe { core::slice::from_raw_parts(start, len) })
}

/// Whether there is memory behind `len` bytes at `start`, looked at once a page: an address that the firmware handed
/// over may be one where nothing is. Only before the first task ([`crate::trap`]).
///
/// # Safety
/// The bytes are mapped, or the MMU is off.
pub(crate) unsafe fn answers(start: *const u8, len: usize) -> bool {
    let mut byte = 0;
    let mut looks = (0..len).step_by(PAGE_SIZE as usize).chain(len.checked_sub(1));
    // SAFETY: a load that may fault, of what the caller says, into a byte of our own.
    looks.all(|at| unsafe { arch::user::copy(&mut byte, start.wrapping_add(at), 1) } == 0)
}

/// Maps `len` bytes at `base` at the next free place of the window.
fn map_window(
    base: PhysAddr,
    len: ByteLen,
    attributes: Attributes,
    name: &'static str,
) -> Result<NonNull<u8>, MapError> {
    if base.get().checked_add(len.get()).is_none_or(|end| end > PHYS_END) {
        return Err(MapError::NoRoom);
    }
    let offset = base.page_offset();
    let pages = ByteLen::new(offset.checked_add(len.get()).ok_or(MapError::NoRoom)?).pages_up();
    let bytes = pages.bytes().ok_or(MapError::NoRoom)?;
    // Large windows begin where a block descriptor may.
    let align = if bytes.get() >= HUGE_SIZE { HUGE_SIZE } else { PAGE_SIZE };
    let mut tables = init_mm().lock();
    let used = MMIO_USED.load(Ordering::Relaxed).next_multiple_of(align);
    if bytes.get() > MMIO_SIZE - used.min(MMIO_SIZE) {
        return Err(MapError::NoRoom);
    }
    let start = VirtAddr::new(MMIO_BASE + used);
    let range = VirtRange::with_len(start, bytes).ok_or(MapError::NoRoom)?;
    let device = base.align_down(PAGE_SIZE);
    tables.map(range, device, attributes, Owner::Other, Level::Pmd)?;
    MMIO_USED.store(used + bytes.get(), Ordering::Relaxed);
    regions::add(Region { name, range, attributes })?;
    NonNull::new(core::ptr::with_exposed_provenance_mut((start.get() + offset) as usize)).ok_or(MapError::NoRoom)
}

/// Backs `range`, where nothing is, with fresh frames: kernel data.
///
/// # Errors
/// [`OutOfMemory`]; nothing is mapped then.
pub(crate) fn map_fresh(range: VirtRange) -> Result<(), OutOfMemory> {
    let mut page = range.start();
    while page < range.end() {
        let frame = crate::frames::alloc_zeroed()?;
        let one = VirtRange::with_len(page, ByteLen::new(PAGE_SIZE)).ok_or(OutOfMemory)?;
        let mapped =
            init_mm().lock().map(one, frame.base(), Attributes::KERNEL_DATA, Owner::Tree, Level::Pte);
        if mapped.is_err() {
            crate::frames::free(frame);
            return Err(OutOfMemory);
        }
        page = page.checked_add(ByteLen::new(PAGE_SIZE)).ok_or(OutOfMemory)?;
    }
    Ok(())
}

/// Shows every leaf of the kernel's tables, in rising order of address, under their lock: `each` may take none before
/// `Frames`.
pub(crate) fn each_leaf(mut each: impl FnMut(mm::table::Leaf)) {
    init_mm().lock().each_leaf(&mut each);
}

/// The level-0 table of the kernel's half.
pub(crate) fn root() -> Pfn {
    init_mm().lock().root()
}

/// What the kernel's tables say of `va`.
pub(crate) fn walk(va: VirtAddr) -> Option<mm::table::Leaf> {
    init_mm().lock().walk(va)
}
