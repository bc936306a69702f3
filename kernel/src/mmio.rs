//! Device registers: mapped once, never unmapped, and believed only when they say what they are.
//!
//! A device tree may be wrong. A register read where nothing is, or a wait for a flag in something that is no such device,
//! would be the end of the boot without a word; so each device is asked for its identification registers first, by a
//! read that may be answered with an abort.

use core::fmt;
use core::ptr::NonNull;

use units::{ByteLen, PhysAddr, PhysRange};

use crate::layout::{MMIO_BASE, MMIO_SIZE};
pub(crate) use crate::paging::{MapError, map_device as map};

/// Why a device is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeviceError {
    /// Its registers cannot be mapped.
    Map(MapError),
    /// Nothing answers at its address, or something that is not this.
    Absent {
        /// What should be there.
        wanted: &'static str,
        /// Where.
        at: PhysAddr,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "the registers cannot be mapped: {error}"),
            Self::Absent { wanted, at } => write!(f, "no {wanted} answers at {:#x}", at.get()),
        }
    }
}

impl From<MapError> for DeviceError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// An Arm PrimeCell peripheral: its name, and its part number in PeriphID0 and PeriphID1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PrimeCell {
    name: &'static str,
    part: u32,
}

impl PrimeCell {
    /// The UART.
    pub(crate) const PL011: Self = Self { name: "PL011", part: 0x011 };
    /// The clock.
    pub(crate) const PL031: Self = Self { name: "PL031", part: 0x031 };

    /// Maps the registers at `range`, and makes sure that they are this device's.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn map(self, range: PhysRange, name: &'static str) -> Result<NonNull<u8>, DeviceError> {
        /// Bytes of registers; the last 32 are four identification registers of 8 bits each, twice.
        const LEN: ByteLen = ByteLen::new(0x1000);
        const IDS: usize = 0xfe0;
        const CELL: u32 = 0xb105_f00d;
        let registers = map(range.start(), LEN, name)?;
        // A byte a word.
        let ids = |from: usize| {
            (0..4).try_fold(0, |word, index| {
                let byte = probe(registers, IDS + 4 * (from + index))? & 0xff;
                Some(word | byte << (8 * index))
            })
        };
        match (ids(0), ids(4)) {
            (Some(id), Some(CELL)) if id & 0xfff == self.part => Ok(registers),
            _ => Err(DeviceError::Absent { wanted: self.name, at: range.start() }),
        }
    }
}

/// Reads the 32-bit register at `offset`; `None` where nothing answers. `registers` is what [`map`] gave, for a length
/// that holds the register, and to read it changes nothing.
pub(crate) fn probe(registers: NonNull<u8>, offset: usize) -> Option<u32> {
    let at = NonNull::new(registers.as_ptr().wrapping_add(offset))?;
    // SAFETY: mapped for ever, as device memory, by `map`; the caller asks for registers that do nothing when read.
    unsafe { arch::device::probe(at) }
}

/// Where to go on after a fault at `elr` whose address, `far`, lies among the device registers.
pub(crate) fn fixup(elr: u64, far: u64) -> Option<u64> {
    (MMIO_BASE..MMIO_BASE + MMIO_SIZE).contains(&far).then(|| arch::user::fixup(elr)).flatten()
}
