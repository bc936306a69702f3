//! One range of persistent memory: where it lies, what of it is data, and which sectors are bad.
//!
//! Linux's `pmem_device`. Whoever found the range (NFIT, device tree, command line) makes one; a device is handed out
//! as a [`crate::dax::DaxDevice`].

use sync::{Mutex, Rank};
use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, PhysAddr, PhysRange, PmOff, SECTOR_SIZE, Sector, VirtAddr};

use crate::badblocks::{BadRange, Badblocks, BadblocksError};
use crate::dax::{Access, DaxMode, DaxOperations};
use crate::medium::MediaError;

bitflags::bitflags! {
    /// What a device is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct DeviceFlags: u32 {
        /// The device would not keep what is written to it now (NFIT 'not armed'): it may only be read.
        const READ_ONLY = 1 << 0;
        /// The range forgets when the power goes.
        const VOLATILE = 1 << 1;
        /// CPU caches reach the medium on power loss (eADR): a fence is all a store needs.
        const CACHE_PERSISTS = 1 << 2;
    }
}

/// Why a range can be no device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GeometryError {
    /// The base, the data offset or the pad is no multiple of the page size.
    Unaligned,
    /// Nothing is left between data offset and pad.
    Empty,
    /// The range wraps around the end of physical or virtual addresses.
    Wraps,
}

/// Where a device lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// The first physical address of the range.
    pub phys_addr: PhysAddr,
    /// Where the kernel sees it.
    pub virt_addr: VirtAddr,
    /// Bytes of the whole range, data offset and pad included.
    pub size: ByteLen,
    /// Bytes at the front that are not data (a namespace's own description).
    pub data_offset: ByteLen,
    /// Bytes at the end that are not data.
    pub pfn_pad: ByteLen,
}

/// A range of persistent memory.
#[derive(Debug)]
pub struct PmemDevice {
    geometry: Geometry,
    flags: DeviceFlags,
    pages: PageCount,
    badblocks: Mutex<Badblocks>,
}

impl PmemDevice {
    /// A device without bad blocks. A size that is no multiple of the page size loses its last bytes.
    ///
    /// # Errors
    /// [`GeometryError`] says what is impossible about `geometry`.
    pub fn new(geometry: Geometry, flags: DeviceFlags) -> Result<Self, GeometryError> {
        let Geometry { phys_addr, virt_addr, size, data_offset, pfn_pad } = geometry;
        let unaligned = |raw: u64| !raw.is_multiple_of(PAGE_SIZE);
        if [phys_addr.get(), virt_addr.get(), data_offset.get(), pfn_pad.get()].into_iter().any(unaligned) {
            return Err(GeometryError::Unaligned);
        }
        phys_addr.checked_add(size).and(virt_addr.checked_add(size)).ok_or(GeometryError::Wraps)?;
        let data = size.get().checked_sub(data_offset.get()).and_then(|rest| rest.checked_sub(pfn_pad.get()));
        let pages = data.map_or(0, |data| data / PAGE_SIZE);
        if pages == 0 {
            return Err(GeometryError::Empty);
        }
        let badblocks = Badblocks::new(pages * (PAGE_SIZE / SECTOR_SIZE));
        Ok(Self { geometry, flags, pages: PageCount::new(pages), badblocks: Mutex::new(Rank::BadBlocks, badblocks) })
    }

    /// Where the device lies.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What the device is.
    pub fn flags(&self) -> DeviceFlags {
        self.flags
    }

    /// Pages of data.
    pub fn pages(&self) -> PageCount {
        self.pages
    }

    /// Bytes of data, a multiple of the page size.
    pub fn len(&self) -> ByteLen {
        ByteLen::new(self.pages.get() * PAGE_SIZE)
    }

    /// Never: [`PmemDevice::new`] refuses a device without a page.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The whole physical range, data offset and pad included.
    pub fn range(&self) -> Option<PhysRange> {
        PhysRange::with_len(self.geometry.phys_addr, self.geometry.size)
    }

    /// Where the kernel sees the byte at `at`; `None` past the end.
    pub fn kaddr(&self, at: PmOff) -> Option<VirtAddr> {
        let base = self.geometry.virt_addr.checked_add(self.geometry.data_offset)?;
        (at.get() < self.len().get()).then_some(base)?.checked_add(ByteLen::new(at.get()))
    }

    /// The first bad byte among `len` from `at`, as a file system's reads ask for it.
    ///
    /// # Errors
    /// [`MediaError`] names that byte.
    pub fn check(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError> {
        if len == ByteLen::ZERO {
            return Ok(());
        }
        let first = at.sector();
        let last = PmOff::new(at.get().saturating_add(len.get() - 1)).sector();
        match self.badblocks.lock().check(first, last.get() - first.get() + 1) {
            None => Ok(()),
            Some(bad) => Err(MediaError { at: PmOff::new(at.get().max(bad.start.get() * SECTOR_SIZE)) }),
        }
    }

    /// Marks sectors bad, counted from the first byte of data.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn set_bad(&self, start: Sector, count: u64, acknowledged: bool) -> Result<(), BadblocksError> {
        self.badblocks.lock().set(start, count, acknowledged)
    }

    /// Marks sectors good.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn clear_bad(&self, start: Sector, count: u64) -> Result<(), BadblocksError> {
        self.badblocks.lock().clear(start, count)
    }

    /// Shows every bad range to `each`, in order, under the lock of the list.
    pub fn each_bad(&self, each: impl FnMut(&BadRange)) {
        self.badblocks.lock().ranges().iter().for_each(each);
    }
}

impl DaxOperations for PmemDevice {
    fn pages(&self) -> PageCount {
        self.pages
    }

    /// `__pmem_direct_access`. The answer is only as good as the offset: [`crate::dax::DaxDevice`] bounds both.
    fn direct_access(&self, pgoff: BlockNr, pages: PageCount, mode: DaxMode) -> Access {
        let Geometry { phys_addr, virt_addr, size, data_offset, pfn_pad } = self.geometry;
        let offset = pgoff.base().get().wrapping_add(data_offset.get());
        let pfn = PhysAddr::new(phys_addr.get().wrapping_add(offset)).pfn();
        let kaddr = VirtAddr::new(virt_addr.get().wrapping_add(offset));
        // The sector counts from the first byte of data, unlike the addresses.
        let sector = pgoff.base().sector();
        let count = pages.get().saturating_mul(PAGE_SIZE / SECTOR_SIZE);

        let bad = self.badblocks.lock();
        let usable = match bad.check(sector, count) {
            Some(found) if mode == DaxMode::Normal => {
                Err(MediaError { at: PmOff::new(found.start.max(sector).get() * SECTOR_SIZE) })
            }
            Some(found) => {
                // Up to the first bad sector, and the page it lies in with it; the stride of recovery is a page.
                let before = found.start.get().saturating_sub(sector.get());
                Ok(before.div_ceil(PAGE_SIZE / SECTOR_SIZE).max(1))
            }
            // What lies behind the range asked for is not known to be good.
            None if !bad.is_empty() => Ok(pages.get()),
            None => Ok(size.get().saturating_sub(pfn_pad.get()).saturating_sub(offset) / PAGE_SIZE),
        };
        Access { kaddr, pfn, pages: usable.map(PageCount::new) }
    }
}
