//! Memory behind a PCI device: where an `ivshmem` device is, and where its memory is put.
//!
//! Nobody has placed anything before a kernel that comes without firmware: each device's base address register (BAR) is
//! asked for its size, given a place in the host bridge's window, and switched on. Only bus 0 is looked at; offsets are
//! those of the PCI Local Bus Specification 3.0, 6.1 and 6.2.5.

/// A function of a device on bus 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
}

/// The configuration space of bus 0.
pub trait Config {
    /// Reads the register of 32 bits at `offset`, all ones where there is no such function.
    fn read(&self, function: Function, offset: u16) -> u32;

    /// Writes it.
    fn write(&self, function: Function, offset: u16, value: u32);
}

/// Bus addresses that can be given out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// The next one that is free.
    pub next: u64,
    /// The end.
    pub end: u64,
}

impl Window {
    /// `size` bytes, a power of two, at a multiple of their number.
    fn take(&mut self, size: u64) -> Option<u64> {
        // Address 0 is that of a BAR nobody has placed.
        let at = self.next.max(1).checked_next_multiple_of(size)?;
        let end = at.checked_add(size).filter(|&end| end <= self.end)?;
        self.next = end;
        Some(at)
    }
}

/// The windows of a host bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Windows {
    /// Below 4 GiB.
    pub low: Window,
    /// Anywhere.
    pub wide: Window,
}

/// Memory that was found and placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Whose it is.
    pub function: Function,
    /// Where it lies on the bus.
    pub at: u64,
    /// Bytes, a power of two.
    pub size: u64,
}

/// Why the memory of a device cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PciError {
    /// BAR 2 is no memory.
    NoMemory(Function),
    /// No window has room for so many bytes.
    NoRoom(Function, u64),
}

impl core::fmt::Display for PciError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let show =
            |f: &mut core::fmt::Formatter<'_>, at: &Function| write!(f, "PCI 00:{:02x}.{}: ", at.device, at.function);
        match self {
            Self::NoMemory(at) => show(f, at).and_then(|()| write!(f, "BAR 2 is no memory")),
            Self::NoRoom(at, size) => show(f, at).and_then(|()| write!(f, "no window has room for {size} bytes")),
        }
    }
}

/// Device 1110 of vendor 1af4.
const IVSHMEM: u32 = 0x1110_1af4;
const IDENTITY: u16 = 0x00;
const COMMAND: u16 = 0x04;
const HEADER_TYPE: u16 = 0x0c;
const BAR2: u16 = 0x18;
/// In the command register: the device answers to its memory addresses.
const MEMORY_SPACE: u32 = 1 << 1;

/// Places the memory (BAR 2) of every `ivshmem` device, and tells `each` of it.
pub fn ivshmem(config: &impl Config, windows: &mut Windows, mut each: impl FnMut(Result<Placed, PciError>)) {
    for device in 0..32 {
        let first = Function { device, function: 0 };
        if config.read(first, IDENTITY) == u32::MAX {
            continue;
        }
        let several = config.read(first, HEADER_TYPE) >> 23 & 1 != 0;
        for function in 0..if several { 8 } else { 1 } {
            let at = Function { device, function };
            if config.read(at, IDENTITY) == IVSHMEM {
                each(place(config, windows, at));
            }
        }
    }
}

fn place(config: &impl Config, windows: &mut Windows, at: Function) -> Result<Placed, PciError> {
    let kind = config.read(at, BAR2);
    // Bit 0: I/O ports. Bits 2 and 1: 0 for 32 bits of address, 2 for 64.
    let is_wide = match (kind & 1, kind >> 1 & 3) {
        (0, 0) => false,
        (0, 2) => true,
        _ => return Err(PciError::NoMemory(at)),
    };
    let command = config.read(at, COMMAND);
    // Status bits, in the upper half, are cleared by writing ones.
    config.write(at, COMMAND, command & 0xffff & !MEMORY_SPACE);
    config.write(at, BAR2, u32::MAX);
    let mut mask = u64::from(config.read(at, BAR2) & !0xf) | u64::from(u32::MAX) << 32;
    if is_wide {
        config.write(at, BAR2 + 4, u32::MAX);
        mask = mask & u64::from(u32::MAX) | u64::from(config.read(at, BAR2 + 4)) << 32;
    }
    let size = (!mask).wrapping_add(1);
    if size < 4096 || !size.is_power_of_two() {
        return Err(PciError::NoMemory(at));
    }
    let wide = if is_wide { windows.wide.take(size) } else { None };
    let base = wide.or_else(|| windows.low.take(size)).ok_or(PciError::NoRoom(at, size))?;
    config.write(at, BAR2, base as u32);
    if is_wide {
        config.write(at, BAR2 + 4, (base >> 32) as u32);
    }
    config.write(at, COMMAND, command & 0xffff | MEMORY_SPACE);
    Ok(Placed { function: at, at: base, size })
}
