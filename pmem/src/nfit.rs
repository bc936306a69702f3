//! The NFIT: where the firmware says persistent memory is, read without running any AML.
//!
//! QEMU hands the ACPI tables over as one blob (fw_cfg `etc/acpi/tables`), back to back and not yet linked: pointers
//! are unpatched and checksums zero, so [`parse`] walks it by header lengths and asks for neither. Then [`Nfit`]:
//! [`Nfit::ranges`] are the SPA ranges, [`Nfit::maps`] the memory devices behind one, [`Nfit::platform`] what the
//! machine saves by itself when the power goes. Names and offsets are those of the ACPI specification 6.5, 5.2.25.
//!
//! The whole table is checked first, so what is handed out later needs no second error path.

use core::iter;

use units::{ByteLen, PhysAddr, PhysRange};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What is wrong with the tables, and where: offsets count from the start of the blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NfitError {
    /// No table is an NFIT: the machine has no NVDIMM.
    Missing,
    /// A table's length is shorter than its header or leads past the end.
    BadTable {
        /// Where the table begins.
        at: usize,
    },
    /// An NFIT structure is shorter than its type asks for, or leads past the end of the NFIT.
    BadStructure {
        /// Where the structure begins.
        at: usize,
    },
    /// A range wraps around the end of the address space.
    BadRange {
        /// Where its structure begins.
        at: usize,
    },
}

impl core::fmt::Display for NfitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("no NFIT among the ACPI tables"),
            Self::BadTable { at } => write!(f, "ACPI table at {at:#x} has an impossible length"),
            Self::BadStructure { at } => write!(f, "NFIT structure at {at:#x} has an impossible length"),
            Self::BadRange { at } => write!(f, "NFIT range at {at:#x} wraps around"),
        }
    }
}

impl core::error::Error for NfitError {}

/// What a range is for, by its GUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeKind {
    /// Persistent memory.
    Persistent,
    /// Memory that forgets.
    Volatile,
    /// Registers, virtual disks and whatever else is no plain memory.
    Other([u8; 16]),
}

/// A range of system physical addresses (SPA) and what lies there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaRange {
    /// The number by which [`MemoryMap`]s name this range; 0 for one that no device stands behind.
    pub index: u16,
    /// What the range is for.
    pub kind: RangeKind,
    /// Where it lies.
    pub range: PhysRange,
    /// Memory attributes as UEFI gives them (`EFI_MEMORY_WB` is 8, `EFI_MEMORY_NV` 0x8000).
    pub attributes: u64,
    /// The NUMA node, where the firmware says one.
    pub proximity_domain: Option<u32>,
}

impl SpaRange {
    /// Whether this is persistent memory.
    pub fn is_persistent(&self) -> bool {
        self.kind == RangeKind::Persistent
    }

    /// Whether this is memory that forgets.
    pub fn is_volatile(&self) -> bool {
        self.kind == RangeKind::Volatile
    }
}

bitflags::bitflags! {
    /// The state of a memory device at hand-over.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct MapFlags: u16 {
        /// The last save to the persistent part failed.
        const SAVE_FAILED = 1 << 0;
        /// The last restore from it failed.
        const RESTORE_FAILED = 1 << 1;
        /// The platform's last flush failed: data may be lost.
        const FLUSH_FAILED = 1 << 2;
        /// The device will not save on power loss: it may be read, never written.
        const NOT_ARMED = 1 << 3;
        /// The device reported health events.
        const HEALTH_EVENTS = 1 << 4;
        /// The firmware is told of health events.
        const HEALTH_NOTIFIES = 1 << 5;
        /// The firmware did not map the device.
        const NOT_MAPPED = 1 << 6;
        const _ = !0;
    }
}

/// A memory device's part in a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryMap {
    /// The name of the device in _DSM calls.
    pub handle: u32,
    /// Its SMBIOS handle.
    pub physical_id: u16,
    /// The [`SpaRange::index`] it stands behind; 0 for none.
    pub range_index: u16,
    /// The [`ControlRegion::index`] that describes it; 0 for none.
    pub control_index: u16,
    /// Bytes of the device in this range.
    pub size: ByteLen,
    /// Where they begin, from the start of the range.
    pub offset: ByteLen,
    /// Where they begin on the device.
    pub device_address: u64,
    /// How many devices take turns in the range; 0 and 1 are the same.
    pub interleave_ways: u16,
    /// The device's state.
    pub flags: MapFlags,
}

/// Who made a memory device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlRegion {
    /// The number by which [`MemoryMap`]s name it.
    pub index: u16,
    /// JEDEC or PCI vendor.
    pub vendor: u16,
    /// The vendor's number for the device.
    pub device: u16,
    /// The vendor's serial number.
    pub serial: u32,
    /// Region format interface code.
    pub format: u16,
    /// Where and when it was made, in the vendor's own terms, where the firmware says.
    pub made: Option<(u8, u16)>,
}

/// What the platform saves by itself on power loss. Without the structure it is nothing: lines must be cleaned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Platform {
    /// eADR: CPU caches reach the medium too, so a fence is all a store needs.
    pub cpu_cache_flush: bool,
    /// ADR: what has left the caches reaches the medium.
    pub memory_controller_flush: bool,
    /// The memory controller mirrors persistent memory.
    pub mirrored: bool,
}

/// A checked NFIT.
#[derive(Clone, Copy, Debug)]
pub struct Nfit<'a> {
    /// The structures, back to back; every length and every known structure in here has been checked.
    body: &'a [u8],
    platform: Platform,
}

/// Finds the NFIT among `tables`, the ACPI tables back to back, and checks it. A second NFIT is not looked at.
///
/// # Errors
/// [`NfitError`] names the first thing that is wrong.
pub fn parse(tables: &[u8]) -> Result<Nfit<'_>, NfitError> {
    let mut at = 0;
    loop {
        // Tables may be aligned, and the blob ends in zeros.
        let zeros = tables[at..].iter().take_while(|&&byte| byte == 0).count();
        at += zeros;
        if at == tables.len() {
            return Err(NfitError::Missing);
        }
        let bad = NfitError::BadTable { at };
        let (header, _) = SdtHeader::ref_from_prefix(&tables[at..]).map_err(|_| bad)?;
        let length = usize::try_from(header.length.get()).map_err(|_| bad)?;
        let table = tables[at..].get(..length).filter(|table| table.len() >= size_of::<SdtHeader>()).ok_or(bad)?;
        if header.signature == *b"NFIT" {
            return check(table, at);
        }
        at += length;
    }
}

/// The register that a _DSM call is handed over by, where the tables say one (QEMU's `docs/specs/acpi_nvdimm.txt`): the
/// AML of the SSDT declares it as the operation region `NPIO` in system memory, which is looked for as its bytes, for
/// nothing else of the AML is wanted.
pub fn doorbell(tables: &[u8]) -> Option<PhysAddr> {
    // OperationRegion (NPIO, SystemMemory, a DWord or a QWord, …)
    const REGION: [u8; 7] = *b"\x5b\x80NPIO\x00";
    let at = tables.windows(REGION.len()).position(|window| window == REGION)? + REGION.len();
    let address = match tables.get(at..at + 9)? {
        [0x0c, a, b, c, d, ..] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        [0x0e, rest @ ..] => u64::from_le_bytes(rest.try_into().ok()?),
        _ => return None,
    };
    Some(PhysAddr::new(address))
}

/// Checks every structure of the NFIT `table`, which begins at offset `base` of the blob.
fn check(table: &[u8], base: usize) -> Result<Nfit<'_>, NfitError> {
    const HEADER: usize = size_of::<SdtHeader>() + 4;
    let body = table.get(HEADER..).ok_or(NfitError::BadTable { at: base })?;
    let mut platform = Platform::default();
    let mut rest = body;
    while !rest.is_empty() {
        let at = base + HEADER + (body.len() - rest.len());
        let bad = NfitError::BadStructure { at };
        let (structure, behind) = split(rest).ok_or(bad)?;
        match structure.kind {
            SPA_RANGE => {
                let spa = structure.read::<SpaRecord>().ok_or(bad)?;
                spa.to_range().ok_or(NfitError::BadRange { at })?;
            }
            MEMORY_MAP => _ = structure.read::<MapRecord>().ok_or(bad)?,
            CONTROL_REGION => _ = structure.read::<ControlRecord>().ok_or(bad)?,
            CAPABILITIES => platform = structure.read::<CapabilitiesRecord>().ok_or(bad)?.to_platform(),
            // Interleave (2), SMBIOS (3), block windows (5), flush hints (6) and types still to come.
            _ => {}
        }
        rest = behind;
    }
    Ok(Nfit { body, platform })
}

impl<'a> Nfit<'a> {
    /// Every range, in the table's order.
    pub fn ranges(&self) -> impl Iterator<Item = SpaRange> + 'a {
        self.records(SPA_RANGE).filter_map(|record: SpaRecord| record.to_range())
    }

    /// The memory devices behind the range of number `range_index`.
    pub fn maps(&self, range_index: u16) -> impl Iterator<Item = MemoryMap> + 'a {
        let all = self.records(MEMORY_MAP).map(|record: MapRecord| record.to_map());
        all.filter(move |map| range_index != 0 && map.range_index == range_index)
    }

    /// The control region of number `control_index`.
    pub fn control_region(&self, control_index: u16) -> Option<ControlRegion> {
        let mut all = self.records(CONTROL_REGION).map(|record: ControlRecord| record.to_region());
        all.find(|region| region.index == control_index)
    }

    /// What the platform saves by itself on power loss.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// Whether some device behind `range` may not be written, because it would not keep what it is told.
    pub fn is_unarmed(&self, range: &SpaRange) -> bool {
        self.maps(range.index).any(|map| map.flags.contains(MapFlags::NOT_ARMED))
    }

    fn records<T: FromBytes>(&self, kind: u16) -> impl Iterator<Item = T> + use<'a, T> {
        let mut rest = self.body;
        let all = iter::from_fn(move || {
            let (structure, behind) = split(rest)?;
            rest = behind;
            Some(structure)
        });
        all.filter(move |structure| structure.kind == kind).filter_map(|structure| structure.read())
    }
}

/// One structure: its type, and its bytes from the type on.
struct Structure<'a> {
    kind: u16,
    bytes: &'a [u8],
}

impl Structure<'_> {
    /// A copy of the leading bytes; the table may grow fields at the end of a structure.
    fn read<T: FromBytes>(&self) -> Option<T> {
        T::read_from_prefix(self.bytes).ok().map(|(record, _)| record)
    }
}

/// Takes the first structure off `rest`; `None` at the end, or where its length cannot be true.
fn split(rest: &[u8]) -> Option<(Structure<'_>, &[u8])> {
    let (head, _) = Head::ref_from_prefix(rest).ok()?;
    let (bytes, behind) = rest.split_at_checked(usize::from(head.length.get()))?;
    (bytes.len() >= size_of::<Head>()).then_some((Structure { kind: head.kind.get(), bytes }, behind))
}

const SPA_RANGE: u16 = 0;
const MEMORY_MAP: u16 = 1;
const CONTROL_REGION: u16 = 4;
const CAPABILITIES: u16 = 7;

/// 66F0D379-B4F3-4074-AC43-0D3318B78CDB, as it lies in memory.
pub(crate) const GUID_PERSISTENT: [u8; 16] = guid(0x66f0_d379, 0xb4f3, 0x4074, 0xac43_0d33_18b7_8cdb);
/// 7305944F-FDDA-44E3-B16C-3F22D252E5D0.
const GUID_VOLATILE: [u8; 16] = guid(0x7305_944f, 0xfdda, 0x44e3, 0xb16c_3f22_d252_e5d0);

/// The first three fields of a GUID lie little-endian in memory, the rest as written.
const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The header every ACPI table opens with; the NFIT adds four reserved bytes.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SdtHeader {
    signature: [u8; 4],
    length: U32,
    revision: u8,
    checksum: u8,
    oem_id: [u8; 6],
    oem_table_id: [u8; 8],
    oem_revision: U32,
    creator_id: [u8; 4],
    creator_revision: U32,
}

/// What every NFIT structure opens with.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    kind: U16,
    length: U16,
}

#[derive(FromBytes)]
#[repr(C)]
struct SpaRecord {
    head: Head,
    index: U16,
    flags: U16,
    reserved: U32,
    proximity_domain: U32,
    guid: [u8; 16],
    base: U64,
    length: U64,
    attributes: U64,
}

#[derive(FromBytes)]
#[repr(C)]
struct MapRecord {
    head: Head,
    handle: U32,
    physical_id: U16,
    region_id: U16,
    range_index: U16,
    control_index: U16,
    size: U64,
    offset: U64,
    device_address: U64,
    interleave_index: U16,
    interleave_ways: U16,
    flags: U16,
    reserved: U16,
}

/// The part a device without block windows has too.
#[derive(FromBytes)]
#[repr(C)]
struct ControlRecord {
    head: Head,
    index: U16,
    vendor: U16,
    device: U16,
    revision: U16,
    subsystem: [U16; 3],
    valid_fields: u8,
    manufacturing_location: u8,
    manufacturing_date: U16,
    reserved: [u8; 2],
    serial: U32,
    format: U16,
    windows: U16,
}

#[derive(FromBytes)]
#[repr(C)]
struct CapabilitiesRecord {
    head: Head,
    highest_valid: u8,
    reserved: [u8; 3],
    capabilities: U32,
    reserved_too: U32,
}

const _: () = assert!(size_of::<SdtHeader>() == 36);
const _: () = assert!(size_of::<SpaRecord>() == 56);
const _: () = assert!(size_of::<MapRecord>() == 48);
const _: () = assert!(size_of::<ControlRecord>() == 32);
const _: () = assert!(size_of::<CapabilitiesRecord>() == 16);

impl SpaRecord {
    /// The range, or `None` where it wraps around.
    fn to_range(&self) -> Option<SpaRange> {
        const PROXIMITY_VALID: u16 = 1 << 1;
        let kind = match self.guid {
            GUID_PERSISTENT => RangeKind::Persistent,
            GUID_VOLATILE => RangeKind::Volatile,
            other => RangeKind::Other(other),
        };
        Some(SpaRange {
            index: self.index.get(),
            kind,
            range: PhysRange::with_len(PhysAddr::new(self.base.get()), ByteLen::new(self.length.get()))?,
            attributes: self.attributes.get(),
            proximity_domain: (self.flags.get() & PROXIMITY_VALID != 0).then(|| self.proximity_domain.get()),
        })
    }
}

impl MapRecord {
    fn to_map(&self) -> MemoryMap {
        MemoryMap {
            handle: self.handle.get(),
            physical_id: self.physical_id.get(),
            range_index: self.range_index.get(),
            control_index: self.control_index.get(),
            size: ByteLen::new(self.size.get()),
            offset: ByteLen::new(self.offset.get()),
            device_address: self.device_address.get(),
            interleave_ways: self.interleave_ways.get(),
            flags: MapFlags::from_bits_retain(self.flags.get()),
        }
    }
}

impl ControlRecord {
    fn to_region(&self) -> ControlRegion {
        ControlRegion {
            index: self.index.get(),
            vendor: self.vendor.get(),
            device: self.device.get(),
            serial: self.serial.get(),
            format: self.format.get(),
            made: (self.valid_fields & 1 != 0).then(|| (self.manufacturing_location, self.manufacturing_date.get())),
        }
    }
}

impl CapabilitiesRecord {
    fn to_platform(&self) -> Platform {
        // A bit above the highest valid one says nothing.
        let has = |bit: u8| bit <= self.highest_valid && self.capabilities.get() & (1 << bit) != 0;
        Platform { cpu_cache_flush: has(0), memory_controller_flush: has(1), mirrored: has(2) }
    }
}
