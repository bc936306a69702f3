//! Real poison: pages of devices that answer no access, by stage 2 of the translation.
//!
//! With `poison` on the command line every CPU's addresses go through a second set of tables, which map each address to
//! itself in blocks of 1 GiB, and devices in pages. A page is made a hole by clearing its descriptor: whoever touches it
//! takes an abort to EL2, which shows it to EL1 as a synchronous external abort (`boot/src/el2.s`), exactly as memory that
//! has lost its content would. The tables of pages are there before stage 2 is on, so no live block is ever split.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::features;
use boot::{El2, Stage2};
use platform::fdt::Platform;
use spin::Once;
use sync::{Mutex, Rank};
use units::{PAGE_SIZE, PageCount, PhysAddr, PhysRange};

use super::{Device, devices};
use crate::heap::OutOfMemory;
use crate::{frames, layout, smp};

/// Entries of a table.
const ENTRIES: u64 = 512;
/// Bytes that an entry of level 1 maps.
const GIB: u64 = 1 << 30;
/// Bytes that an entry of level 2 maps.
const HUGE: u64 = 2 << 20;
/// Address bits that up to sixteen tables of level 1, one behind the other, translate: more are not looked at.
const MAX_BITS: u32 = 43;

/// A descriptor of stage 2 (Arm ARM D8.3.2): Normal write-back, so that stage 1 alone decides; read and write; inner
/// shareable; accessed; executable.
const ATTRIBUTES: u64 = 0b1111 << 2 | 0b11 << 6 | 0b11 << 8 | 1 << 10;
const BLOCK: u64 = 0b01;
const TABLE: u64 = 0b11;
const PAGE: u64 = 0b11;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// VTCR_EL2 without T0SZ and PS: walks begin at level 1, 4 KiB granule, tables write-back and inner shareable.
const CONTROL: u64 = 1 << 31 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12;

/// Why there is no real poison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPoison {
    /// The machine was not entered at EL2.
    NotAtEl2,
    /// Some memory or device lies further up than the tables reach.
    TooHigh(PhysRange),
    /// No memory for the tables.
    OutOfMemory,
}

impl fmt::Display for NoPoison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAtEl2 => write!(f, "wants a machine that is entered at EL2 (qemu-run.sh --el 2)"),
            Self::TooHigh(range) => write!(f, "{range:?} lies further up than stage 2 reaches here"),
            Self::OutOfMemory => write!(f, "no memory for the tables of stage 2"),
        }
    }
}

impl From<OutOfMemory> for NoPoison {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The tables, once they are in use.
struct Tables {
    el2: El2,
    root: PhysAddr,
    stage2: Stage2,
}

static TABLES: Once<Tables> = Once::new();
/// Held by who changes a descriptor.
static CHANGE: Mutex<()> = Mutex::new(Rank::Device, ());

/// Turns stage 2 on, on every CPU there is and every one that comes, and makes holes of all bad blocks that are known.
///
/// # Errors
/// [`NoPoison`]; nothing has changed.
pub(crate) fn enable(platform: &Platform) -> Result<(), NoPoison> {
    let el2 = El2::here().ok_or(NoPoison::NotAtEl2)?;
    let registers = features::common();
    let bits = features::physical_bits(&registers).min(MAX_BITS);
    let ranges = platform.memory.iter().map(|memory| memory.range);
    let ranges = ranges.chain(devices().iter().filter_map(|device| device.dax().ops().range()));
    if let Some(range) = ranges.into_iter().find(|range| range.end().get() > 1 << bits) {
        return Err(NoPoison::TooHigh(range));
    }
    let root = identity(bits)?;
    for device in devices() {
        for_pages(device, |page| slot_or_new(root, page).map(drop))?;
    }
    let control = CONTROL | u64::from(64 - bits) | features::physical_range(&registers).min(5) << 16;
    let stage2 = Stage2 { control, root: root.get() };
    let tables = TABLES.call_once(|| Tables { el2, root, stage2 });
    for device in devices() {
        device.dax().ops().memory().each_bad_page(|at| {
            if let Some(page) = device.dax().ops().phys_of(at) {
                hole(page);
            }
        });
    }
    // SAFETY: the tables map every address to itself, and are never freed.
    unsafe { tables.el2.keep(tables.stage2) };
    smp::on_each(enable_here);
    Ok(())
}

fn enable_here() {
    if let Some(tables) = TABLES.get() {
        // SAFETY: as in `enable`.
        unsafe { tables.el2.enable(tables.stage2) };
    }
}

/// Whether pages can be made holes.
pub(crate) fn is_on() -> bool {
    TABLES.get().is_some()
}

/// Makes a page of a device a hole; whether it is one now.
pub(crate) fn hole(page: PhysAddr) -> bool {
    set(page, 0)
}

/// Makes a page of a device answer again, where it was a hole.
pub(crate) fn heal(page: PhysAddr) {
    set(page, page.align_down(PAGE_SIZE).get() | ATTRIBUTES | PAGE);
}

/// Makes `descriptor` the one of `page`, where there are tables and they map it in pages.
fn set(page: PhysAddr, descriptor: u64) -> bool {
    let Some(tables) = TABLES.get() else { return false };
    let Some(slot) = slot(tables.root, page) else { return false };
    let _change = CHANGE.lock();
    let before = slot.swap(descriptor, Ordering::Release);
    arch::barrier::dsb_ishst();
    arch::barrier::isb();
    // From valid to invalid: no CPU uses what it remembers. The other way there is nothing to remember.
    if before != 0 && descriptor == 0 {
        tables.el2.forget(page.get());
    }
    true
}

/// A root, of as many tables of level 1 as `bits` of address need, that maps every GiB to itself.
fn identity(bits: u32) -> Result<PhysAddr, OutOfMemory> {
    let tables = PageCount::new(1 << bits.saturating_sub(39));
    let root = frames::alloc_block(tables)?.base();
    for index in 0..tables.get() * ENTRIES {
        let inside = index * GIB < 1 << bits;
        entry(root, index).store(if inside { (index * GIB) | ATTRIBUTES | BLOCK } else { 0 }, Ordering::Relaxed);
    }
    Ok(root)
}

/// Entry `index` of the table at `table`.
fn entry(table: PhysAddr, index: u64) -> &'static AtomicU64 {
    // SAFETY: a table's frames are in the linear map for ever, and are used through atomics alone.
    unsafe { &*layout::linear(PhysAddr::new(table.get() + index * 8)).cast() }
}

/// The descriptor of `page`, where that is mapped as a page.
fn slot(root: PhysAddr, page: PhysAddr) -> Option<&'static AtomicU64> {
    let below = |entry: u64| (entry & 0b11 == TABLE).then_some(PhysAddr::new(entry & ADDRESS));
    let middle = below(entry(root, page.get() / GIB).load(Ordering::Relaxed))?;
    let last = below(entry(middle, page.get() / HUGE % ENTRIES).load(Ordering::Relaxed))?;
    Some(entry(last, page.get() / PAGE_SIZE % ENTRIES))
}

/// The same, with tables made where they are missing. Stage 2 is not on yet: blocks become tables just so.
fn slot_or_new(root: PhysAddr, page: PhysAddr) -> Result<&'static AtomicU64, OutOfMemory> {
    let middle = below_or_new(entry(root, page.get() / GIB), HUGE, BLOCK)?;
    let last = below_or_new(entry(middle, page.get() / HUGE % ENTRIES), PAGE_SIZE, PAGE)?;
    Ok(entry(last, page.get() / PAGE_SIZE % ENTRIES))
}

fn below_or_new(above: &AtomicU64, step: u64, kind: u64) -> Result<PhysAddr, OutOfMemory> {
    let was = above.load(Ordering::Relaxed);
    if was & 0b11 == TABLE {
        return Ok(PhysAddr::new(was & ADDRESS));
    }
    let table = frames::alloc()?.base();
    for index in 0..ENTRIES {
        entry(table, index).store(((was & ADDRESS) + index * step) | ATTRIBUTES | kind, Ordering::Relaxed);
    }
    above.store(table.get() | TABLE, Ordering::Release);
    Ok(table)
}

/// Shows `each` one page in every 2 MiB of a device's range, and its last.
fn for_pages<E>(device: &Device, mut each: impl FnMut(PhysAddr) -> Result<(), E>) -> Result<(), E> {
    let Some(range) = device.dax().ops().range().filter(|range| !range.is_empty()) else { return Ok(()) };
    let mut page = range.start();
    while page < range.end() {
        each(page)?;
        page = PhysAddr::new(page.align_down(HUGE).get() + HUGE);
    }
    Ok(())
}
