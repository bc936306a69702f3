//! Persistent memory devices: found, never assumed.
//!
//! [`claim`] runs before the frame allocator and says which ranges are no RAM; [`discover`] runs when there is a heap
//! and makes a [`Device`] of everything that a carrier names: NVDIMMs by the NFIT, `pmem-region` nodes, ranges by
//! `pmem=`. A range that lies where it must not is refused with a message. [`medium`] is what the file system gets,
//! [`cells`] the memory below it; [`dsm`] asks NVDIMMs for their labels, of which [`namespaces`] are made; [`inject`] takes bad blocks from people, and
//! [`poison`] makes real ones; [`forget`] leaves out what makes stores persistent, for a test.

mod cells;
mod discover;
mod dsm;
mod forget;
mod inject;
mod ivshmem;
mod medium;
mod namespaces;
mod pages;
pub(crate) mod poison;
mod root;

use core::fmt;

use arrayvec::ArrayVec;
use pmem::dax::DaxDevice;
use pmem::device::{DeviceFlags, PmemDevice};
use spin::Once;
use pmem::label::Namespace;
use pmem::medium::Medium;
use units::{Pfn, PhysAddr, PmOff, VirtAddr};

use cells::LinearCells;
use pages::Pages;
pub(crate) use cells::WriteBack;
pub(crate) use discover::{claim, discover, look_for_nvdimms};
pub(crate) use forget::{describe_forgotten, forget};
pub(crate) use inject::{describe_bad, inject};
pub(crate) use medium::PmemMedium;
pub(crate) use namespaces::{change_namespaces, describe_namespaces};
pub(crate) use root::mount_root;

use crate::layout;

/// Devices there is room for.
pub(crate) const MAX_DEVICES: usize = 16;

static DEVICES: Once<ArrayVec<Device, MAX_DEVICES>> = Once::new();

/// How a device was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// An NVDIMM, by this handle of the NFIT.
    Nvdimm(u32),
    /// A `pmem-region` node of the device tree.
    DeviceTree,
    /// `pmem=` on the command line.
    CommandLine,
    /// The memory behind an `ivshmem` device.
    Pci,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nvdimm(handle) => write!(f, "nvdimm handle {handle}"),
            Self::DeviceTree => f.write_str("dt"),
            Self::CommandLine => f.write_str("numa"),
            Self::Pci => f.write_str("ivshmem"),
        }
    }
}

/// The name of a device: `pmem` and its number, in the order of discovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name(usize);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pmem{}", self.0)
    }
}

/// A persistent memory device.
#[derive(Debug)]
pub(crate) struct Device {
    number: usize,
    carrier: Carrier,
    /// The part of an NVDIMM that it is, where labels say so.
    namespace: Option<Namespace>,
    dax: DaxDevice<PmemDevice<LinearCells>>,
    pages: Pages,
}

impl Device {
    /// Its name.
    pub(crate) fn name(&self) -> Name {
        Name(self.number)
    }

    /// The way to its pages.
    pub(crate) fn dax(&self) -> &DaxDevice<PmemDevice<LinearCells>> {
        &self.dax
    }

    /// The descriptors of its blocks.
    fn pages(&'static self) -> &'static Pages {
        &self.pages
    }

    /// Which byte of its data lies at `pa`, if one does.
    pub(crate) fn offset_of(&self, pa: PhysAddr) -> Option<PmOff> {
        self.dax.ops().offset_of(pa)
    }

    /// How its stores are written back.
    pub(crate) fn write_back(&self) -> WriteBack {
        self.dax.ops().memory().cells().write_back()
    }
}

/// A line as `/proc/vitrine/pmem` shows it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, geometry) = (self.dax.ops(), self.dax.ops().geometry());
        let (base, size) = (geometry.phys_addr.get(), device.len().get());
        write!(f, "{} base {base:#x} size {size} carrier {} persist ", self.name(), self.carrier)?;
        match self.write_back() {
            _ if device.flags().contains(DeviceFlags::VOLATILE) => write!(f, "never")?,
            WriteBack::NotNeeded => write!(f, "fence")?,
            WriteBack::Lines(arch::cache::CleanTo::Coherency | arch::cache::CleanTo::Announced, _) => write!(f, "cvac")?,
            WriteBack::Lines(arch::cache::CleanTo::Persistence, _) => write!(f, "cvap")?,
            WriteBack::Lines(arch::cache::CleanTo::DeepPersistence, _) => write!(f, "cvadp")?,
        }
        let mode = if device.flags().contains(DeviceFlags::READ_ONLY) { "ro" } else { "rw" };
        let mut bad = 0;
        device.memory().each_bad(&mut |range| bad += range.count);
        write!(f, " mode {mode} badblocks {bad}")?;
        match &self.namespace {
            Some(space) => write!(f, " namespace {} uuid {}", space.name(), namespaces::Uuid(space.uuid)),
            None => Ok(()),
        }
    }
}

/// Every device, in the order of discovery; none before [`discover`].
pub(crate) fn devices() -> &'static [Device] {
    DEVICES.get().map_or(&[], |devices| devices.as_slice())
}

/// The text of `/proc/vitrine/pmem`: a line a device.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
    devices().iter().try_for_each(|device| writeln!(out, "{device}"))
}

/// Where to go on after a fault of the kernel at `elr`, where that was pmem answering a copy with an error; called by
/// the vector, so ESR_EL1 and FAR_EL1 are still those of the fault.
pub(crate) fn fixup(elr: u64) -> Option<u64> {
    let external = arch::esr::Esr::new(arch::cpu::esr()).is_external_abort();
    let linear = (layout::LINEAR_BASE..layout::LINEAR_END).contains(&VirtAddr::new(arch::cpu::far()).get());
    (external && linear).then(|| arch::user::fixup(elr)).flatten()
}

/// The descriptor of a block of a device; `None` for what is none, and where there is no memory for it.
pub(crate) fn page(frame: Pfn) -> Option<&'static mm::Page> {
    devices().iter().find_map(|device| device.pages.get(frame))
}

/// Whether programs have stored to a block since this was asked last, as far as their tables have told.
pub(crate) fn take_dirty(frame: Pfn) -> bool {
    devices().iter().find_map(|device| device.pages.take_dirty(frame)).unwrap_or(false)
}

/// The device that holds the byte at a physical address, and where on it that is.
pub(crate) fn at_phys(address: PhysAddr) -> Option<(&'static Device, PmOff)> {
    devices().iter().find_map(|device| Some((device, device.dax.ops().offset_of(address)?)))
}

/// The byte at a physical address did not answer: where that is a device's, its page is bad from now on. Answers whether
/// it is.
pub(crate) fn note(address: PhysAddr) -> bool {
    let Some((device, at)) = at_phys(address) else { return false };
    device.dax.ops().memory().note(at);
    log::error!("{}: bad block at byte {:#x}", device.name(), at.get());
    true
}

/// Whether the page at a physical address, of a device or not, holds no bad block that is known.
pub(crate) fn page_is_good(page: PhysAddr) -> bool {
    let len = units::ByteLen::new(units::PAGE_SIZE);
    at_phys(page).is_none_or(|(device, at)| device.dax.ops().memory().check(at, len).is_ok())
}
