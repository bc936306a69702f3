//! Which ranges are persistent memory, and which of those are refused.

use alloc::vec::Vec;
use core::fmt;

use arrayvec::ArrayVec;
use pmem::dax::DaxDevice;
use pmem::device::{DeviceFlags, Geometry, PmemDevice};
use pmem::label::Namespace;
use pmem::nfit::{self, Nfit, NfitError};
use units::{ByteLen, PAGE_SIZE, PageCount, PhysRange, VirtAddr};

use super::cells::LinearCells;
use super::namespaces::{self, Nvdimm, Nvdimms};
use super::pages::Pages;
use super::{Carrier, DEVICES, Device, MAX_DEVICES, devices, dsm, ivshmem};
use platform::cmdline::{CommandLine, MAX_PMEM, Recorder};
use platform::fdt::Platform;
use platform::ram::is_ram;

use crate::fw_cfg::{self, FwCfgError};
use crate::mmio::MapError;
use crate::{heap, layout, paging};

/// Ranges that the device tree and the command line can name together.
const MAX_CLAIMS: usize = MAX_PMEM + 8;
/// The file of fw_cfg that holds the ACPI tables back to back.
const TABLES: &str = "etc/acpi/tables";
/// How many bytes of them are read at first.
const FIRST_LOOK: usize = 16 << 10;
/// Heap that reading a list of bad blocks takes at most, in pieces.
const BAD_LIST: usize = 64 << 10;
/// More than any machine's tables.
const MAX_TABLES: usize = 4 << 20;

/// Why a range is not taken as pmem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It does not lie in RAM as a whole.
    NotRam,
    /// It overlaps this, at this range.
    Overlaps(&'static str, PhysRange),
    /// It does not begin and end with a page.
    Unaligned,
    /// There is no room in the list.
    TooMany,
    /// There is no memory for its list of bad blocks.
    OutOfMemory,
    /// It cannot be mapped.
    Map(MapError),
}

/// A range that is refused, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    range: PhysRange,
    why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range {:?} refused: ", self.range)?;
        match self.why {
            Refusal::NotRam => write!(f, "it is not RAM as a whole"),
            Refusal::Overlaps(what, range) => write!(f, "it overlaps {what} at {range:?}"),
            Refusal::Unaligned => write!(f, "it does not begin and end with a page"),
            Refusal::TooMany => write!(f, "there are too many ranges"),
            Refusal::OutOfMemory => write!(f, "out of memory"),
            Refusal::Map(error) => write!(f, "{error}"),
        }
    }
}

/// Ranges that are pmem and so no RAM.
pub(crate) type Claims = ArrayVec<PhysRange, MAX_CLAIMS>;

/// The ranges that the device tree and the command line name, to be left out of RAM. `image` and `blob` are where the
/// kernel and the device tree lie.
///
/// # Errors
/// [`Refused`]: the first range that lies where it must not.
pub(crate) fn claim(
    platform: &Platform,
    line: &CommandLine<'_>,
    image: PhysRange,
    blob: PhysRange,
) -> Result<Claims, Refused> {
    let mut claims = Claims::new();
    let regions = platform.pmem_regions.iter().map(|region| region.range);
    for range in regions.chain(line.pmem.iter().copied()) {
        let refused = |why| Refused { range, why };
        if !range.start().is_aligned(PAGE_SIZE) || !range.end().is_aligned(PAGE_SIZE) {
            return Err(refused(Refusal::Unaligned));
        }
        let taken = [("the kernel", image), ("the device tree", blob)].into_iter();
        let taken = taken.chain(platform.reserved.iter().map(|reserved| ("reserved memory", reserved.range)));
        let taken = taken.chain(platform.registers());
        let mut taken = taken.chain(claims.iter().map(|&other| ("other pmem", other)));
        if let Some((what, other)) = taken.find(|(_, other)| other.overlaps(range)) {
            return Err(refused(Refusal::Overlaps(what, other)));
        }
        if line.pmem.contains(&range) && !is_ram(platform, range) {
            return Err(refused(Refusal::NotRam));
        }
        claims.try_push(range).map_err(|_| refused(Refusal::TooMany))?;
    }
    Ok(claims)
}

/// Makes a device of every range of persistent memory; those that lie where they must not are refused in the log.
/// `claims` is what [`claim`] gave. Once.
pub(crate) fn discover(platform: &Platform, line: &CommandLine<'_>, claims: &Claims) {
    find(platform, line, claims);
    devices().iter().for_each(|device| log::info!("{device}"));
}

/// Never inlined, so that the devices are on the boot stack only meanwhile.
#[inline(never)]
fn find(platform: &Platform, line: &CommandLine<'_>, claims: &Claims) {
    let mut found = Found { all: ArrayVec::new(), platform, claims, recorder: line.recorder };
    if platform.fw_cfg.is_some() {
        match nvdimms(&mut found) {
            Ok(()) | Err(NvdimmError::Nfit(NfitError::Missing)) => {}
            Err(error) => log::error!("pmem: no NVDIMM looked for: {error}"),
        }
    }
    for region in &platform.pmem_regions {
        let flags = if region.volatile { DeviceFlags::VOLATILE } else { DeviceFlags::empty() };
        found.add(region.range, Carrier::DeviceTree, flags);
    }
    for &range in &line.pmem {
        found.add(range, Carrier::CommandLine, DeviceFlags::empty());
    }
    if let Some(host) = &platform.pci {
        let looked = ivshmem::find(host, |placed| match placed {
            Ok(range) => found.add(range, Carrier::Pci, DeviceFlags::empty()),
            Err(error) => log::error!("pmem: {error}"),
        });
        if let Err(error) = looked {
            log::error!("pmem: no PCI device looked for: {error}");
        }
    }
    DEVICES.call_once(|| found.all);
}

/// Devices so far, and what a further one must not overlap.
struct Found<'a> {
    all: ArrayVec<Device, MAX_DEVICES>,
    platform: &'a Platform,
    claims: &'a Claims,
    recorder: Recorder,
}

impl Found<'_> {
    fn add(&mut self, range: PhysRange, carrier: Carrier, flags: DeviceFlags) {
        self.add_namespace(range, carrier, flags, None);
    }

    fn add_namespace(&mut self, range: PhysRange, carrier: Carrier, flags: DeviceFlags, namespace: Option<Namespace>) {
        if let Err(why) = self.try_add(range, carrier, flags, namespace) {
            log::error!("pmem: {}", Refused { range, why });
        }
    }

    fn try_add(
        &mut self,
        range: PhysRange,
        carrier: Carrier,
        flags: DeviceFlags,
        namespace: Option<Namespace>,
    ) -> Result<(), Refusal> {
        // The other carriers' ranges were looked at by `claim`.
        if matches!(carrier, Carrier::Nvdimm(_) | Carrier::Pci) {
            self.check_outside_ram(range)?;
        }
        let before = self.all.iter().filter_map(|device| device.dax.ops().range());
        if let Some(other) = before.into_iter().find(|other| other.overlaps(range)) {
            return Err(Refusal::Overlaps("another device", other));
        }
        paging::map_linear(range, "persistent memory").map_err(Refusal::Map)?;
        let geometry = Geometry {
            phys_addr: range.start(),
            virt_addr: VirtAddr::new(layout::linear(range.start()).expose_provenance() as u64),
            size: range.len(),
            data_offset: ByteLen::ZERO,
            pfn_pad: ByteLen::ZERO,
        };
        let len = geometry.pages().ok().and_then(PageCount::bytes).ok_or(Refusal::Unaligned)?;
        let cells = LinearCells::new(&geometry, len, flags, self.recorder);
        heap::reserve(BAD_LIST).map_err(|_| Refusal::OutOfMemory)?;
        let known = fs::badlist::read(&cells);
        let device = PmemDevice::new(geometry, flags, cells, &known).map_err(|_| Refusal::Unaligned)?;
        let pages = Pages::new(device.range());
        let device = Device { number: self.all.len(), carrier, namespace, dax: DaxDevice::new(device), pages };
        self.all.try_push(device).map_err(|_| Refusal::TooMany)
    }

    /// What the NFIT names must be none of what the device tree calls memory, nor what it gives to a device.
    fn check_outside_ram(&self, range: PhysRange) -> Result<(), Refusal> {
        if !range.start().is_aligned(PAGE_SIZE) {
            return Err(Refusal::Unaligned);
        }
        let memory = self.platform.memory.iter().map(|memory| ("RAM", memory.range));
        let claims = self.claims.iter().map(|&claim| ("other pmem", claim));
        let registers = self.platform.registers();
        match memory.chain(claims).chain(registers).find(|(_, other)| other.overlaps(range)) {
            Some((what, other)) => Err(Refusal::Overlaps(what, other)),
            None => Ok(()),
        }
    }
}

/// Why NVDIMMs cannot be looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NvdimmError {
    FwCfg(FwCfgError),
    Nfit(NfitError),
    TooLarge(usize),
    OutOfMemory,
}

impl fmt::Display for NvdimmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FwCfg(error) => write!(f, "{error}"),
            Self::Nfit(error) => write!(f, "{error}"),
            Self::TooLarge(size) => write!(f, "{size} bytes of ACPI tables cannot be right"),
            Self::OutOfMemory => write!(f, "no memory to read the ACPI tables into"),
        }
    }
}

/// How many persistent ranges the NFIT names, for the bench: what [`discover`] does before it makes devices of them.
pub(crate) fn look_for_nvdimms() -> usize {
    let Ok(Some(tables)) = acpi_tables() else { return 0 };
    nfit::parse(&tables).map_or(0, |nfit| nfit.ranges().filter(nfit::SpaRange::is_persistent).count())
}

/// The ACPI tables, back to back, as far as an NFIT is among them; `None` where the machine has none.
fn acpi_tables() -> Result<Option<Vec<u8>>, NvdimmError> {
    let Some(file) = fw_cfg::find(TABLES).map_err(NvdimmError::FwCfg)? else { return Ok(None) };
    if file.size() > MAX_TABLES {
        return Err(NvdimmError::TooLarge(file.size()));
    }
    // QEMU fills the file up to 128 KiB; the tables themselves are a tenth of that.
    let mut tables = read_tables(file, file.size().min(FIRST_LOOK))?;
    if nfit::parse(&tables).is_err() {
        tables = read_tables(file, file.size())?;
    }
    Ok(Some(tables))
}

/// Adds every persistent range of the NFIT, where the machine has one.
fn nvdimms(found: &mut Found<'_>) -> Result<(), NvdimmError> {
    let Some(registers) = found.platform.fw_cfg else { return Ok(()) };
    fw_cfg::init(registers).map_err(NvdimmError::FwCfg)?;
    let Some(tables) = acpi_tables()? else { return Ok(()) };
    let nfit = nfit::parse(&tables).map_err(NvdimmError::Nfit)?;
    if let Some(register) = nfit::doorbell(&tables)
        && let Err(error) = dsm::init(register)
    {
        log::error!("pmem: no labels looked for: the doorbell: {error}");
    }
    let mut labelled = Nvdimms::new();
    for spa in nfit.ranges().filter(|spa| spa.is_persistent()) {
        let (mut maps, flags) = (nfit.maps(spa.index), flags(&nfit, &spa));
        let (map, alone) = (maps.next(), maps.next().is_none());
        let carrier = Carrier::Nvdimm(map.map_or(0, |map| map.handle));
        // Labels of NVDIMMs that take turns in a range are not known here: the range is one device.
        let nvdimm = map.filter(|_| alone).and_then(|map| Nvdimm::of(&map, nfit.control_region(map.control_index)));
        match nvdimm {
            Some(nvdimm) if labelled.try_push(nvdimm).is_ok() => namespaces_of(found, &nvdimm, spa.range, carrier, flags),
            _ => found.add(whole_pages(spa.range), carrier, flags),
        }
    }
    namespaces::found(labelled);
    Ok(())
}

/// Adds what the labels of `nvdimm`, which lies at `range`, call namespaces; all of it where it was never labelled.
fn namespaces_of(found: &mut Found<'_>, nvdimm: &Nvdimm, range: PhysRange, carrier: Carrier, flags: DeviceFlags) {
    let spaces = match nvdimm.labels().and_then(|labels| Ok((labels.is_initialised(), labels.namespaces()?))) {
        Ok((false, _)) => return found.add(whole_pages(range), carrier, flags),
        Ok((true, spaces)) => spaces,
        Err(error) => return log::error!("pmem: {carrier}: labels: {error}"),
    };
    for space in spaces {
        let mut flags = flags;
        flags.set(DeviceFlags::READ_ONLY, flags.contains(DeviceFlags::READ_ONLY) || space.read_only);
        let part = range.start().checked_add(space.start).and_then(|start| PhysRange::with_len(start, space.len));
        match part.filter(|part| range.covers(*part)) {
            Some(part) => found.add_namespace(whole_pages(part), carrier, flags, Some(space)),
            None => log::error!("pmem: {carrier}: namespace {} does not lie on it", space.name()),
        }
    }
}

/// The first `len` bytes of the tables.
fn read_tables(file: fw_cfg::File, len: usize) -> Result<Vec<u8>, NvdimmError> {
    heap::reserve(len).map_err(|_| NvdimmError::OutOfMemory)?;
    let mut tables = Vec::new();
    tables.try_reserve_exact(len).map_err(|_| NvdimmError::OutOfMemory)?;
    tables.resize(len, 0);
    fw_cfg::read(file, 0, &mut tables).map_err(NvdimmError::FwCfg)?;
    Ok(tables)
}

fn flags(nfit: &Nfit<'_>, spa: &nfit::SpaRange) -> DeviceFlags {
    let mut flags = DeviceFlags::empty();
    flags.set(DeviceFlags::READ_ONLY, nfit.is_unarmed(spa));
    flags.set(DeviceFlags::CACHE_PERSISTS, nfit.platform().cpu_cache_flush);
    flags
}

/// `range` without the last bytes that fill no page: a file whose size is no multiple of a page ends so.
fn whole_pages(range: PhysRange) -> PhysRange {
    PhysRange::new(range.start(), range.end().align_down(PAGE_SIZE)).unwrap_or(range)
}
