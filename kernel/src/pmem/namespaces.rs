//! Namespaces of NVDIMMs: `/proc/vitrine/namespaces` lists them when it is read, and makes and removes them when it is
//! written. What is made becomes a device at the next boot.
//!
//! A written line is `create HANDLE NAME SIZE` (bytes, or with K, M or G; `-` for all that is left) or `delete HANDLE NAME`,
//! where a uuid stands for a name, too.

use core::fmt;

use abi::Errno;
use arrayvec::ArrayVec;
use pmem::label::{LabelError, Labels, Namespace, set_cookie};
use pmem::nfit::{ControlRegion, MemoryMap};
use spin::Once;
use sync::{Mutex, Rank};
use units::{ByteLen, PAGE_SIZE};

use super::dsm::DsmArea;
use crate::{heap, rng};

/// NVDIMMs there is room for.
const MAX_NVDIMMS: usize = 16;
/// Heap that reading and changing labels takes at most, in pieces.
const WORST_CASE: usize = 64 << 10;

/// An NVDIMM with a label area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nvdimm {
    handle: u32,
    capacity: ByteLen,
    cookie: u64,
    area: DsmArea,
}

static NVDIMMS: Once<ArrayVec<Nvdimm, MAX_NVDIMMS>> = Once::new();
/// Held by who changes labels: a change is several questions.
static CHANGE: Mutex<()> = Mutex::new(Rank::BadBlocks, ());

/// NVDIMMs on their way to being known.
pub(super) type Nvdimms = ArrayVec<Nvdimm, MAX_NVDIMMS>;

impl Nvdimm {
    /// The NVDIMM behind `map`, where it has a label area. It is told from others by who made it.
    pub(super) fn of(map: &MemoryMap, control: Option<ControlRegion>) -> Option<Self> {
        let area = DsmArea::of(map.handle)?;
        Some(Self { handle: map.handle, capacity: map.size, cookie: set_cookie(map, control), area })
    }

    /// Its labels.
    ///
    /// # Errors
    /// [`LabelError`].
    pub(super) fn labels(&self) -> Result<Labels<DsmArea>, LabelError> {
        heap::reserve(WORST_CASE).map_err(|_| LabelError::OutOfMemory)?;
        Labels::open(self.area, self.capacity)
    }
}

/// Makes the NVDIMMs known. Once.
pub(super) fn found(nvdimms: Nvdimms) {
    NVDIMMS.call_once(|| nvdimms);
}

fn all() -> &'static [Nvdimm] {
    NVDIMMS.get().map_or(&[], |all| all.as_slice())
}

/// A uuid as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Uuid(pub(super) [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The text of `/proc/vitrine/namespaces`: a line an NVDIMM with labels, and one a namespace.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe_namespaces(out: &mut dyn fmt::Write) -> fmt::Result {
    for nvdimm in all() {
        let (handle, capacity) = (nvdimm.handle, nvdimm.capacity.get());
        let labels = match nvdimm.labels() {
            Ok(labels) => labels,
            Err(error) => {
                writeln!(out, "nvdimm {handle} size {capacity} labels unreadable: {error}")?;
                continue;
            }
        };
        let (slots, free) = labels.slots();
        let used = if labels.is_initialised() { "in use" } else { "never used" };
        writeln!(out, "nvdimm {handle} size {capacity} labels {slots} free {free} {used}")?;
        for space in labels.namespaces().unwrap_or_default() {
            let (start, len) = (space.start.get(), space.len.get());
            writeln!(out, "nvdimm {handle} namespace {} uuid {} start {start} size {len}", space.name(), Uuid(space.uuid))?;
        }
    }
    Ok(())
}

/// Does what a written line says.
///
/// # Errors
/// `EINVAL` for a line that is neither; `ENODEV` for a handle nobody has; `EEXIST`, `ENOENT`, `ENOSPC`, `ENOMEM`, `EIO`.
pub(crate) fn change_namespaces(line: &[u8]) -> Result<(), Errno> {
    let line = core::str::from_utf8(line).map_err(|_| Errno::EINVAL)?;
    let words: ArrayVec<&str, 5> = line.split_ascii_whitespace().take(5).collect();
    let (&[verb, handle, name] | &[verb, handle, name, _]) = words.as_slice() else { return Err(Errno::EINVAL) };
    let handle: u32 = handle.parse().map_err(|_| Errno::EINVAL)?;
    let nvdimm = all().iter().find(|nvdimm| nvdimm.handle == handle).ok_or(Errno::ENODEV)?;
    let _change = CHANGE.lock();
    let mut labels = nvdimm.labels().map_err(errno)?;
    match (verb, words.get(3)) {
        ("create", Some(size)) => {
            let len = if *size == "-" { largest(&labels, nvdimm.capacity)? } else { size_of(size).ok_or(Errno::EINVAL)? };
            labels.create(name, random_uuid(), len, nvdimm.cookie).map(drop).map_err(errno)
        }
        ("delete", None) => labels.delete(|space| is_called(space, name)).map(drop).map_err(errno),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether `space` is called `name`, or `name` is its uuid.
fn is_called(space: &Namespace, name: &str) -> bool {
    use fmt::Write;
    let mut uuid = arrayvec::ArrayString::<36>::new();
    let shown = write!(uuid, "{}", Uuid(space.uuid)).is_ok();
    space.name() == name || shown && uuid.as_str() == name
}

/// The length of what lies behind the last namespace.
fn largest(labels: &Labels<DsmArea>, capacity: ByteLen) -> Result<ByteLen, Errno> {
    let spaces = labels.namespaces().map_err(errno)?;
    let end = spaces.iter().map(|space| space.start.get() + space.len.get()).max().unwrap_or(0);
    let start = end.next_multiple_of(units::HUGE_SIZE);
    let left = capacity.get().checked_sub(start).map(|left| left & !(PAGE_SIZE - 1));
    left.filter(|&left| left > 0).map(ByteLen::new).ok_or(Errno::ENOSPC)
}

/// `N`, perhaps followed by K, M or G.
fn size_of(text: &str) -> Option<ByteLen> {
    let (digits, shift) = match text.bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift).map(ByteLen::new)
}

/// Version 4, variant 1 of RFC 9562.
fn random_uuid() -> [u8; 16] {
    let mut uuid = [0; 16];
    rng::fill(&mut uuid);
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

fn errno(error: LabelError) -> Errno {
    match error {
        LabelError::Area(_) | LabelError::Size(_) => Errno::EIO,
        LabelError::NoSlot | LabelError::NoSpace => Errno::ENOSPC,
        LabelError::Exists => Errno::EEXIST,
        LabelError::NotFound => Errno::ENOENT,
        LabelError::Name | LabelError::Length => Errno::EINVAL,
        LabelError::OutOfMemory => Errno::ENOMEM,
    }
}
