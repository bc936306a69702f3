//! QEMU's fw_cfg: files that the machine hands to whoever boots on it, read by its DMA interface.
//!
//! Registers (docs/specs/fw_cfg.txt of QEMU): data at 0, selector at 8 (16 bits), address of a request at 16 (64
//! bits), all big-endian. A request lies in memory; the device works it off before the store that named it returns to
//! the guest, and leaves 0 in its control word.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use safe_mmio::fields::{ReadPureWrite, ReadWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field};
use sync::{Mutex, Rank};
use units::{ByteLen, PhysRange, VirtAddr};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::mmio::{self, MapError};
use crate::paging;

/// Selectors that every fw_cfg has.
const SIGNATURE: u16 = 0x00;
const DIRECTORY: u16 = 0x19;
/// What the address register reads as, where there is a DMA interface: "QEMU CFG".
const DMA_SIGNATURE: u64 = u64::from_be_bytes(*b"QEMU CFG");
/// Bits of a request's control word.
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const SELECT: u32 = 1 << 3;
/// Bytes moved by one request.
const BOUNCE: usize = 4096;
/// More files than any machine has: what says so is not a directory.
const MAX_FILES: u32 = 4096;

#[repr(C)]
struct Registers {
    data: ReadWrite<u64>,
    selector: WriteOnly<u16>,
    reserved: [u16; 3],
    /// Address of a request, the high half first: storing the low half starts the work.
    address: [ReadPureWrite<U32>; 2],
}

/// One entry of the directory.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct Entry {
    size: U32,
    select: U16,
    reserved: U16,
    name: [u8; 56],
}

const _: () = assert!(size_of::<Entry>() == 64);

/// What the device reads and writes: one request, and the bytes that it moves. Used only under [`DEVICE`]'s lock.
#[repr(C, align(64))]
struct Shared {
    bytes: UnsafeCell<[u8; BOUNCE]>,
    control: UnsafeCell<U32>,
    length: UnsafeCell<U32>,
    address: UnsafeCell<U64>,
}

// SAFETY: touched by who holds `DEVICE`, and by the device while that waits for it.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared {
    bytes: UnsafeCell::new([0; BOUNCE]),
    control: UnsafeCell::new(U32::ZERO),
    length: UnsafeCell::new(U32::ZERO),
    address: UnsafeCell::new(U64::ZERO),
};

/// The device's registers.
struct Device {
    registers: NonNull<Registers>,
}

// SAFETY: the pointer is device registers, mapped for ever on every CPU, and used only under the lock.
unsafe impl Send for Device {}

static DEVICE: Mutex<Option<Device>> = Mutex::new(Rank::Device, None);

/// A file of fw_cfg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct File {
    select: u16,
    size: usize,
}

impl File {
    /// Bytes in it.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// Why fw_cfg gives nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FwCfgError {
    /// Its registers cannot be mapped.
    Map(MapError),
    /// What answers there is no fw_cfg, or one without DMA.
    Signature,
    /// The device refused a request.
    Refused,
    /// Its directory makes no sense.
    Directory,
    /// [`init`] has not run.
    NotReady,
}

impl fmt::Display for FwCfgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "fw_cfg: {error}"),
            Self::Signature => write!(f, "fw_cfg: no fw_cfg with DMA answers at its address"),
            Self::Refused => write!(f, "fw_cfg: the device refused a request"),
            Self::Directory => write!(f, "fw_cfg: the directory makes no sense"),
            Self::NotReady => write!(f, "fw_cfg: not set up"),
        }
    }
}

/// Maps the device and makes sure that it is one.
///
/// # Errors
/// [`FwCfgError`].
pub(crate) fn init(registers: PhysRange) -> Result<(), FwCfgError> {
    if registers.len().get() < size_of::<Registers>() as u64 {
        return Err(FwCfgError::Signature);
    }
    let len = ByteLen::new(size_of::<Registers>() as u64);
    let registers = mmio::map(registers.start(), len, "the registers of fw_cfg").map_err(FwCfgError::Map)?;
    if mmio::probe(registers, offset_of!(Registers, address)).is_none() {
        return Err(FwCfgError::Signature);
    }
    let registers = registers.cast();
    let mut slot = DEVICE.lock();
    let device = slot.insert(Device { registers });
    let answer = device.check();
    if answer.is_err() {
        *slot = None;
    }
    answer
}

/// The file of this name, if there is one.
///
/// # Errors
/// [`FwCfgError`].
pub(crate) fn find(name: &str) -> Result<Option<File>, FwCfgError> {
    let mut device = DEVICE.lock();
    let device = device.as_mut().ok_or(FwCfgError::NotReady)?;
    let mut count = U32::ZERO;
    device.read(DIRECTORY, 0, count.as_mut_bytes())?;
    if count.get() > MAX_FILES {
        return Err(FwCfgError::Directory);
    }
    for index in 0..count.get() as usize {
        let mut bytes = [0; size_of::<Entry>()];
        device.read(DIRECTORY, 4 + index * size_of::<Entry>(), &mut bytes)?;
        let entry = Entry::read_from_bytes(&bytes).map_err(|_| FwCfgError::Directory)?;
        let end = entry.name.iter().position(|&byte| byte == 0).unwrap_or(entry.name.len());
        if &entry.name[..end] == name.as_bytes() {
            return Ok(Some(File { select: entry.select.get(), size: entry.size.get() as usize }));
        }
    }
    Ok(None)
}

/// Reads the bytes of `file` from `offset` on into `to`. What lies behind the end of the file reads as zeroes.
///
/// # Errors
/// [`FwCfgError`].
pub(crate) fn read(file: File, offset: usize, to: &mut [u8]) -> Result<(), FwCfgError> {
    DEVICE.lock().as_mut().ok_or(FwCfgError::NotReady)?.read(file.select, offset, to)
}

impl Device {
    fn check(&mut self) -> Result<(), FwCfgError> {
        let mut registers = self.registers();
        let [high, low] = field!(registers, address).split().map(|half| half.read().get());
        if u64::from(high) << 32 | u64::from(low) != DMA_SIGNATURE {
            return Err(FwCfgError::Signature);
        }
        let mut signature = [0; 4];
        self.read(SIGNATURE, 0, &mut signature)?;
        if &signature == b"QEMU" { Ok(()) } else { Err(FwCfgError::Signature) }
    }

    /// Reads from `offset` of what `select` names, a piece at a time.
    fn read(&mut self, select: u16, offset: usize, to: &mut [u8]) -> Result<(), FwCfgError> {
        let skip = u32::try_from(offset).map_err(|_| FwCfgError::Refused)?;
        self.request(u32::from(select) << 16 | SELECT | SKIP, skip)?;
        for piece in to.chunks_mut(BOUNCE) {
            self.request(READ, piece.len() as u32)?;
            // SAFETY: the device is done with the bytes; `piece` is at most BOUNCE long and private.
            unsafe { ptr::copy_nonoverlapping(SHARED.bytes.get().cast(), piece.as_mut_ptr(), piece.len()) };
        }
        Ok(())
    }

    /// Has the device work off one request.
    fn request(&mut self, control: u32, length: u32) -> Result<(), FwCfgError> {
        // SAFETY: the lock is held, and the device looks only when it is told the address, below.
        unsafe {
            SHARED.length.get().write_volatile(U32::new(length));
            SHARED.address.get().write_volatile(U64::new(physical(SHARED.bytes.get())));
            SHARED.control.get().write_volatile(U32::new(control));
        }
        arch::barrier::dsb_sy();
        self.start(physical(SHARED.control.get()));
        loop {
            // SAFETY: the lock is held; the device writes whole words.
            let left = unsafe { SHARED.control.get().read_volatile() }.get();
            match left {
                0 => break,
                left if left & ERROR != 0 => return Err(FwCfgError::Refused),
                _ => core::hint::spin_loop(),
            }
        }
        // What the device wrote before the control word is read after it.
        arch::barrier::dsb_sy();
        Ok(())
    }

    /// Stores the address of a request.
    fn start(&mut self, request: u64) {
        let mut registers = self.registers();
        let [mut high, mut low] = field!(registers, address).split();
        high.write(U32::new((request >> 32) as u32));
        low.write(U32::new(request as u32));
    }

    fn registers(&mut self) -> UniqueMmioPointer<'_, Registers> {
        // SAFETY: `init` mapped the registers; `self` is borrowed while they are used.
        unsafe { UniqueMmioPointer::new(self.registers) }
    }
}

/// The physical address of something in the kernel image.
fn physical<T>(at: *const T) -> u64 {
    paging::image_phys(VirtAddr::new(at.addr() as u64)).get()
}
