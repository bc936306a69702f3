//! Namespace labels of an NVDIMM: which parts of it are namespaces, by name and uuid (UEFI 2.10, 13.19, version 1.2).
//!
//! The label area begins with two index blocks, of which the one with the newer sequence number counts, and goes on with
//! slots of 256 bytes. A bit of the index says whether a slot is free. A change writes labels into free slots first, and
//! then the index block that does not count, with the next number: a cut leaves the namespaces before or those after.
//! Where no index block is good, the area has never been used, and the whole NVDIMM is one namespace.

use alloc::vec::Vec;

use units::{ByteLen, HUGE_SIZE, PAGE_SIZE};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::nfit::{ControlRegion, MemoryMap};

/// Bytes of the longest name, its NUL not counted.
pub const MAX_NAME: usize = 63;
/// Bytes of a label.
const SLOT: usize = size_of::<Label>();
/// Index blocks are as long as a multiple of this.
const INDEX_ALIGN: usize = 256;
/// The smallest label area.
const MIN_AREA: usize = 16 << 10;
/// More is not looked at: no platform has such areas.
const MAX_AREA: usize = 4 << 20;
const SIGNATURE: [u8; 16] = *b"NAMESPACE_INDEX\0";
/// Persistent memory, 66F0D379-B4F3-4074-AC43-0D3318B78CDB.
const TYPE_PERSISTENT: [u8; 16] = crate::nfit::GUID_PERSISTENT;

/// Where labels are kept: the firmware's label area, read and written in pieces of its own choice.
pub trait LabelArea {
    /// Bytes in it.
    fn size(&self) -> usize;

    /// Reads `to.len()` bytes at `at`.
    ///
    /// # Errors
    /// [`AreaError`], where the firmware refused.
    fn read(&self, at: usize, to: &mut [u8]) -> Result<(), AreaError>;

    /// Writes `bytes` at `at`, in order; a cut on the way leaves a part of them.
    ///
    /// # Errors
    /// [`AreaError`], where the firmware refused.
    fn write(&self, at: usize, bytes: &[u8]) -> Result<(), AreaError>;
}

/// The firmware refused to read or write the label area, with this status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaError(pub u32);

/// Why there is no answer, or a change was refused; the namespaces are as they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LabelError {
    /// The firmware refused.
    Area(AreaError),
    /// The area is too small, or larger than any is.
    Size(usize),
    /// Every slot is in use.
    NoSlot,
    /// No part of the NVDIMM that is free is as long.
    NoSpace,
    /// There is a namespace of this name or uuid.
    Exists,
    /// There is none.
    NotFound,
    /// The name is empty or longer than [`MAX_NAME`], or has a blank or a control character in it.
    Name,
    /// The length is no multiple of a page, or 0.
    Length,
    /// No memory.
    OutOfMemory,
}

impl From<AreaError> for LabelError {
    fn from(error: AreaError) -> Self {
        Self::Area(error)
    }
}

impl core::fmt::Display for LabelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Area(AreaError(status)) => write!(f, "the firmware refused, with status {status}"),
            Self::Size(size) => write!(f, "a label area of {size} bytes cannot be used"),
            Self::NoSlot => write!(f, "every label is in use"),
            Self::NoSpace => write!(f, "no free part is as long"),
            Self::Exists => write!(f, "there is such a namespace"),
            Self::NotFound => write!(f, "there is no such namespace"),
            Self::Name => write!(f, "a name has 1 to {MAX_NAME} characters, none of them a blank"),
            Self::Length => write!(f, "the length must be a multiple of 4096"),
            Self::OutOfMemory => write!(f, "out of memory"),
        }
    }
}

/// A namespace: a part of an NVDIMM under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Tells it from all others.
    pub uuid: [u8; 16],
    name: [u8; MAX_NAME + 1],
    /// Where it begins on the NVDIMM.
    pub start: ByteLen,
    /// How long it is.
    pub len: ByteLen,
    /// Whether it may only be read.
    pub read_only: bool,
}

impl Namespace {
    /// Its name, as far as it is UTF-8.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        let name = &self.name[..end];
        let valid = core::str::from_utf8(name).map_or_else(|error| error.valid_up_to(), str::len);
        core::str::from_utf8(&name[..valid]).unwrap_or("")
    }

    fn end(&self) -> u64 {
        self.start.get().saturating_add(self.len.get())
    }
}

/// The start of an index block; the bits of free slots follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Index {
    signature: [u8; 16],
    flags: [u8; 3],
    /// The length of a label is 128 times 2 to this.
    label_size: u8,
    /// 1, 2, 3, 1, …
    sequence: U32,
    my_offset: U64,
    my_size: U64,
    other_offset: U64,
    label_offset: U64,
    slots: U32,
    major: U16,
    minor: U16,
    /// Fletcher64 of the block with this field zero.
    checksum: U64,
}

/// A label.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Label {
    uuid: [u8; 16],
    name: [u8; MAX_NAME + 1],
    flags: U32,
    /// How many labels the namespace has, on all NVDIMMs that take turns in it.
    labels: U16,
    position: U16,
    /// Tells the set of NVDIMMs that take turns.
    set_cookie: U64,
    block_size: U64,
    device_address: U64,
    length: U64,
    slot: U32,
    alignment: u8,
    reserved: [u8; 3],
    kind: [u8; 16],
    abstraction: [u8; 16],
    reserved_too: [u8; 88],
    /// Fletcher64 of the label with this field zero.
    checksum: U64,
}

const _: () = assert!(size_of::<Index>() == 72 && size_of::<Label>() == 256);

/// The namespace may only be read.
const ROLABEL: u32 = 1;

/// The checksum of the specification: two sums over words of 32 bits.
pub fn fletcher64(bytes: &[u8]) -> u64 {
    let (mut low, mut high) = (0_u32, 0_u32);
    for word in bytes.chunks_exact(4) {
        low = low.wrapping_add(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        high = high.wrapping_add(low);
    }
    u64::from(high) << 32 | u64::from(low)
}

/// By which labels tell the NVDIMM, or the set of them, that they belong to: the sum of where each begins in the range and of
/// who made it (Linux: `nfit_set_info2`, 48 bytes each). A label with another cookie is another set's, to Linux.
pub fn set_cookie(map: &MemoryMap, control: Option<ControlRegion>) -> u64 {
    let mut info = [0; 48];
    info[..8].copy_from_slice(&map.offset.get().to_le_bytes());
    if let Some(control) = control {
        info[8..12].copy_from_slice(&control.serial.to_le_bytes());
        info[12..14].copy_from_slice(&control.vendor.to_le_bytes());
        if let Some((location, date)) = control.made {
            info[14..16].copy_from_slice(&date.to_le_bytes());
            info[16] = location;
        }
    }
    fletcher64(&info)
}

impl Label {
    fn sum(&self) -> u64 {
        let mut bare = *self;
        bare.checksum = 0.into();
        fletcher64(bare.as_bytes())
    }

    /// The namespace that the label in `slot` of an NVDIMM of `capacity` bytes stands for, if it is a right one.
    fn namespace(&self, slot: usize, capacity: ByteLen) -> Option<Namespace> {
        let (start, len) = (self.device_address.get(), self.length.get());
        let inside = start.checked_add(len).is_some_and(|end| end <= capacity.get());
        let right = self.checksum.get() == self.sum()
            && self.slot.get() as usize == slot
            // Of one NVDIMM alone: those that take turns are not known here.
            && self.labels.get() == 1
            && self.position.get() == 0
            && len > 0
            && inside;
        right.then(|| Namespace {
            uuid: self.uuid,
            name: self.name,
            start: ByteLen::new(start),
            len: ByteLen::new(len),
            read_only: self.flags.get() & ROLABEL != 0,
        })
    }
}

/// The labels of one NVDIMM.
#[derive(Debug)]
pub struct Labels<A> {
    area: A,
    /// Bytes of the NVDIMM, the label area not counted.
    capacity: ByteLen,
    /// The index block that counts, bits included; empty where there is none.
    index: Vec<u8>,
    /// Which of the two that is.
    copy: usize,
}

impl<A: LabelArea> Labels<A> {
    /// Reads the labels of an NVDIMM of `capacity` bytes.
    ///
    /// # Errors
    /// [`LabelError::Size`], [`LabelError::Area`], [`LabelError::OutOfMemory`].
    pub fn open(area: A, capacity: ByteLen) -> Result<Self, LabelError> {
        if !(MIN_AREA..=MAX_AREA).contains(&area.size()) {
            return Err(LabelError::Size(area.size()));
        }
        let mut labels = Self { area, capacity, index: Vec::new(), copy: 0 };
        let mut newest: Option<(Vec<u8>, usize, u32)> = None;
        for copy in [0, 1] {
            let Some((block, sequence)) = labels.read_index(copy)? else { continue };
            // Of two good ones the second counts only if it comes next.
            if newest.as_ref().is_none_or(|&(_, _, first)| next_in_turn(first) == sequence) {
                newest = Some((block, copy, sequence));
            }
        }
        if let Some((block, copy, _)) = newest {
            (labels.index, labels.copy) = (block, copy);
        }
        Ok(labels)
    }

    /// Whether the area has been used: without it the whole NVDIMM is one namespace.
    pub fn is_initialised(&self) -> bool {
        !self.index.is_empty()
    }

    /// How many labels there is room for, and how many of them are free.
    pub fn slots(&self) -> (usize, usize) {
        let all = geometry(self.area.size()).1;
        (all, if self.is_initialised() { (0..all).filter(|&slot| self.is_free(slot)).count() } else { all })
    }

    /// Every namespace, in the order of the labels.
    ///
    /// # Errors
    /// [`LabelError::Area`], [`LabelError::OutOfMemory`].
    pub fn namespaces(&self) -> Result<Vec<Namespace>, LabelError> {
        let mut found = Vec::new();
        for slot in self.used() {
            if let Some(namespace) = self.read_label(slot)?.namespace(slot, self.capacity) {
                found.try_reserve(1).map_err(|_| LabelError::OutOfMemory)?;
                found.push(namespace);
            }
        }
        Ok(found)
    }

    /// Makes a namespace of `len` bytes in the first free part that is as long; `cookie` tells the NVDIMM. An area that
    /// has never been used is taken into use.
    ///
    /// # Errors
    /// [`LabelError`], in the order `Name`, `Length`, `Exists`, `NoSpace`, `NoSlot`.
    pub fn create(&mut self, name: &str, uuid: [u8; 16], len: ByteLen, cookie: u64) -> Result<Namespace, LabelError> {
        let plain = |char: char| !char.is_whitespace() && !char.is_control();
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(LabelError::Name);
        }
        if len == ByteLen::ZERO || !len.get().is_multiple_of(PAGE_SIZE) {
            return Err(LabelError::Length);
        }
        let all = self.namespaces()?;
        if all.iter().any(|other| other.name() == name || other.uuid == uuid) {
            return Err(LabelError::Exists);
        }
        let start = self.room(&all, len.get()).ok_or(LabelError::NoSpace)?;
        let (slots, _) = self.slots();
        let slot = if self.is_initialised() { (0..slots).find(|&slot| self.is_free(slot)) } else { Some(0) };
        let slot = slot.ok_or(LabelError::NoSlot)?;
        let mut label = Label::new_zeroed();
        label.uuid = uuid;
        label.name[..name.len()].copy_from_slice(name.as_bytes());
        label.labels = 1.into();
        label.set_cookie = cookie.into();
        label.device_address = start.into();
        label.length = len.get().into();
        label.slot = (slot as u32).into();
        label.kind = TYPE_PERSISTENT;
        label.checksum = label.sum().into();
        let namespace = label.namespace(slot, self.capacity).ok_or(LabelError::NoSpace)?;
        // The slot is free in the index that counts: nobody looks at it yet.
        self.area.write(self.slot_at(slot), label.as_bytes())?;
        self.turn(|bits| bits[slot / 8] &= !(1 << (slot % 8)))?;
        Ok(namespace)
    }

    /// Removes the namespace that `which` picks. What lies in it stays as it is.
    ///
    /// # Errors
    /// [`LabelError::NotFound`], [`LabelError::Area`], [`LabelError::OutOfMemory`].
    pub fn delete(&mut self, which: impl Fn(&Namespace) -> bool) -> Result<Namespace, LabelError> {
        for slot in self.used() {
            let namespace = self.read_label(slot)?.namespace(slot, self.capacity);
            if let Some(namespace) = namespace.filter(&which) {
                self.turn(|bits| bits[slot / 8] |= 1 << (slot % 8))?;
                return Ok(namespace);
            }
        }
        Err(LabelError::NotFound)
    }

    /// The start of the first free part of `len` bytes, at a multiple of 2 MiB.
    fn room(&self, all: &[Namespace], len: u64) -> Option<u64> {
        let starts = core::iter::once(0).chain(all.iter().map(Namespace::end));
        let free = |&start: &u64| {
            let end = start.checked_add(len).filter(|&end| end <= self.capacity.get());
            end.is_some_and(|end| all.iter().all(|other| end <= other.start.get() || other.end() <= start))
        };
        starts.filter_map(|start| start.checked_next_multiple_of(HUGE_SIZE)).filter(free).min()
    }

    /// Makes the next index block count, with the bits changed.
    fn turn(&mut self, change: impl FnOnce(&mut [u8])) -> Result<(), LabelError> {
        let (size, slots) = geometry(self.area.size());
        let (mut block, sequence) = if self.is_initialised() {
            let mut block = Vec::new();
            block.try_reserve_exact(size).map_err(|_| LabelError::OutOfMemory)?;
            block.extend_from_slice(&self.index);
            (block, next_in_turn(head(&self.index).map_or(0, |index| index.sequence.get())))
        } else {
            (vec_of(size)?, 1)
        };
        let copy = if self.is_initialised() { 1 - self.copy } else { 0 };
        let mut index = Index::new_zeroed();
        index.signature = SIGNATURE;
        index.label_size = 1;
        index.sequence = sequence.into();
        index.my_offset = ((copy * size) as u64).into();
        index.my_size = (size as u64).into();
        index.other_offset = (((1 - copy) * size) as u64).into();
        index.label_offset = ((2 * size) as u64).into();
        index.slots = (slots as u32).into();
        (index.major, index.minor) = (1.into(), 2.into());
        if !self.is_initialised() {
            (0..slots).for_each(|slot| block[size_of::<Index>() + slot / 8] |= 1 << (slot % 8));
        }
        block[..size_of::<Index>()].copy_from_slice(index.as_bytes());
        change(&mut block[size_of::<Index>()..]);
        index.checksum = fletcher64(&block).into();
        block[..size_of::<Index>()].copy_from_slice(index.as_bytes());
        // Half of this is no good block: the other one counts until the last byte is there.
        self.area.write(copy * size, &block)?;
        (self.index, self.copy) = (block, copy);
        Ok(())
    }

    /// Index block `copy` and its number, where it is good.
    fn read_index(&self, copy: usize) -> Result<Option<(Vec<u8>, u32)>, LabelError> {
        let (size, slots) = geometry(self.area.size());
        let mut block = vec_of(size)?;
        self.area.read(copy * size, &mut block)?;
        let Some(index) = head(&block) else { return Ok(None) };
        let mut bare = index;
        bare.checksum = 0.into();
        block[..size_of::<Index>()].copy_from_slice(bare.as_bytes());
        let right = index.signature == SIGNATURE
            && fletcher64(&block) == index.checksum.get()
            && index.label_size == 1
            && (1..=3).contains(&index.sequence.get())
            && index.my_offset.get() == (copy * size) as u64
            && index.my_size.get() == size as u64
            && index.other_offset.get() == ((1 - copy) * size) as u64
            && index.label_offset.get() == (2 * size) as u64
            && index.slots.get() as usize <= slots;
        Ok(right.then(|| (block, index.sequence.get())))
    }

    /// The slots that hold labels.
    fn used(&self) -> Vec<usize> {
        let slots = head(&self.index).map_or(0, |index| index.slots.get() as usize);
        (0..slots).filter(|&slot| !self.is_free(slot)).collect()
    }

    fn is_free(&self, slot: usize) -> bool {
        let bits = self.index.get(size_of::<Index>() + slot / 8);
        bits.is_some_and(|bits| bits >> (slot % 8) & 1 != 0)
    }

    fn slot_at(&self, slot: usize) -> usize {
        2 * geometry(self.area.size()).0 + slot * SLOT
    }

    fn read_label(&self, slot: usize) -> Result<Label, LabelError> {
        let mut label = Label::new_zeroed();
        self.area.read(self.slot_at(slot), label.as_mut_bytes())?;
        Ok(label)
    }
}

/// How long an index block is in an area of `size` bytes, and how many slots there are behind the two.
fn geometry(size: usize) -> (usize, usize) {
    // As many bits as there could be slots: the few that the index blocks themselves take are never used.
    let index = (size_of::<Index>() + (size / SLOT).div_ceil(8)).next_multiple_of(INDEX_ALIGN);
    (index, (size - 2 * index) / SLOT)
}

fn next_in_turn(sequence: u32) -> u32 {
    sequence % 3 + 1
}

fn head(block: &[u8]) -> Option<Index> {
    Index::read_from_prefix(block).ok().map(|(index, _)| index)
}

fn vec_of(len: usize) -> Result<Vec<u8>, LabelError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| LabelError::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(bytes)
}
