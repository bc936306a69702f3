//! Memory behind PCI: every `ivshmem` device on bus 0 is given a place in the bridge's windows.

use core::ptr::NonNull;

use platform::fdt::{PciHost, PciSpace};
use pmem::pci::{self, Config, Function, PciError, Window, Windows};
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::ReadPureWrite;
use units::{ByteLen, HUGE_SIZE, PhysAddr, PhysRange};

use crate::mmio::{self, MapError};

/// Bytes of configuration space of one function.
const FUNCTION: usize = 4096;
/// Bytes of bus 0: 32 devices of 8 functions.
const BUS: u64 = 32 * 8 * FUNCTION as u64;

/// The configuration space of bus 0.
struct Ecam(NonNull<u8>);

impl Ecam {
    fn register(&self, at: Function, offset: u16) -> UniqueMmioPointer<'_, ReadPureWrite<u32>> {
        let place = (usize::from(at.device) * 8 + usize::from(at.function)) * FUNCTION + usize::from(offset);
        // SAFETY: `at` and `offset` keep below `BUS`, which `find` mapped for ever as device memory; discovery alone uses it.
        unsafe { UniqueMmioPointer::new(self.0.add(place).cast()) }
    }
}

impl Config for Ecam {
    fn read(&self, function: Function, offset: u16) -> u32 {
        self.register(function, offset).read()
    }

    fn write(&self, function: Function, offset: u16, value: u32) {
        self.register(function, offset).write(value);
    }
}

/// Why the bus cannot be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoBus {
    /// Its configuration space is shorter than one bus.
    Short,
    /// It cannot be mapped.
    Map(MapError),
}

impl core::fmt::Display for NoBus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => write!(f, "the configuration space is shorter than a bus"),
            Self::Map(error) => write!(f, "the configuration space cannot be mapped: {error}"),
        }
    }
}

/// Places the memory of every `ivshmem` device, and tells `each` where the CPU sees it.
///
/// # Errors
/// [`NoBus`].
pub(super) fn find(host: &PciHost, mut each: impl FnMut(Result<PhysRange, PciError>)) -> Result<(), NoBus> {
    if host.ecam.len().get() < BUS {
        return Err(NoBus::Short);
    }
    // As much as one block shows, where that may be: a bus alone would be 256 pages.
    let len = if host.ecam.len().get() >= HUGE_SIZE { HUGE_SIZE } else { BUS };
    let ecam = mmio::map(host.ecam.start(), ByteLen::new(len), "the configuration space of PCI").map_err(NoBus::Map)?;
    let windows = host.windows.iter();
    let mut bus = Windows::default();
    for window in windows.clone() {
        let place = Window { next: window.bus, end: window.bus.saturating_add(window.range.len().get()) };
        match window.space {
            PciSpace::Memory32 => bus.low = place,
            PciSpace::Memory64 => bus.wide = place,
        }
    }
    pci::ivshmem(&Ecam(ecam), &mut bus, |placed| {
        each(placed.and_then(|placed| {
            let seen = windows.clone().find_map(|window| {
                let into = placed.at.checked_sub(window.bus)?;
                let start = PhysAddr::new(window.range.start().get().checked_add(into)?);
                PhysRange::with_len(start, ByteLen::new(placed.size)).filter(|range| window.range.covers(*range))
            });
            seen.ok_or(PciError::NoRoom(placed.function, placed.size))
        }));
    });
    Ok(())
}
