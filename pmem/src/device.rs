//! One range of persistent memory: where it lies, what of it is data, and which sectors are bad.
//!
//! Linux's `pmem_device`. Whoever found the range (NFIT, device tree, command line) makes one; a device is handed out
//! as a [`crate::dax::DaxDevice`].

use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, PhysAddr, PhysRange, PmOff, SECTOR_SIZE, VirtAddr};

use crate::badblocks::BadRange;
use crate::cells::Cells;
use crate::dax::{Access, DaxMode, DaxOperations};
use crate::guarded::{Guarded, Zeros};
use crate::medium::{MediaError, Medium, Source};

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
    /// There is not as much memory as data.
    Cells,
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

/// A range of persistent memory: where it lies, and its memory behind the list of its bad blocks.
#[derive(Debug)]
pub struct PmemDevice<C> {
    geometry: Geometry,
    flags: DeviceFlags,
    pages: PageCount,
    memory: Guarded<C>,
}

impl Geometry {
    /// Whole pages of data: a size that is no multiple of the page size loses its last bytes.
    ///
    /// # Errors
    /// [`GeometryError`] says what is impossible.
    pub fn pages(&self) -> Result<PageCount, GeometryError> {
        let &Self { phys_addr, virt_addr, size, data_offset, pfn_pad } = self;
        let unaligned = |raw: u64| !raw.is_multiple_of(PAGE_SIZE);
        if [phys_addr.get(), virt_addr.get(), data_offset.get(), pfn_pad.get()].into_iter().any(unaligned) {
            return Err(GeometryError::Unaligned);
        }
        phys_addr.checked_add(size).and(virt_addr.checked_add(size)).ok_or(GeometryError::Wraps)?;
        let data = size.get().checked_sub(data_offset.get()).and_then(|rest| rest.checked_sub(pfn_pad.get()));
        match data.map_or(0, |data| data / PAGE_SIZE) {
            0 => Err(GeometryError::Empty),
            pages => Ok(PageCount::new(pages)),
        }
    }
}

impl<C: Cells> PmemDevice<C> {
    /// A device whose data are `cells`, of which those of `known` are bad.
    ///
    /// # Errors
    /// [`GeometryError`] says what is impossible about `geometry`, or that `cells` are not as many.
    pub fn new(geometry: Geometry, flags: DeviceFlags, cells: C, known: &[BadRange]) -> Result<Self, GeometryError> {
        let pages = geometry.pages()?;
        if pages.bytes() != Some(cells.len()) {
            return Err(GeometryError::Cells);
        }
        Ok(Self { geometry, flags, pages, memory: Guarded::new(cells, known) })
    }

    /// Where the device lies.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What the device is.
    pub fn flags(&self) -> DeviceFlags {
        self.flags
    }

    /// Its data, as a file system is mounted on them.
    #[inline]
    pub fn memory(&self) -> &Guarded<C> {
        &self.memory
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

    /// Where in physical memory the byte of data at `at` lies; `None` past the end.
    pub fn phys_of(&self, at: PmOff) -> Option<PhysAddr> {
        let data = self.geometry.phys_addr.checked_add(self.geometry.data_offset)?;
        (at.get() < self.len().get()).then_some(data)?.checked_add(ByteLen::new(at.get()))
    }

    /// The byte of data at a physical address; `None` where that is not the device's, or no data.
    pub fn offset_of(&self, address: PhysAddr) -> Option<PmOff> {
        let data = self.geometry.phys_addr.checked_add(self.geometry.data_offset)?;
        let at = address.checked_sub(data)?;
        (at < self.len()).then_some(PmOff::new(at.get()))
    }
}

impl<C: Cells> DaxOperations for PmemDevice<C> {
    fn pages(&self) -> PageCount {
        self.pages
    }

    /// `__pmem_direct_access`. The answer is only as good as the offset: [`crate::dax::DaxDevice`] bounds both.
    #[inline]
    fn direct_access(&self, pgoff: BlockNr, pages: PageCount, mode: DaxMode) -> Access {
        let Geometry { phys_addr, virt_addr, size, data_offset, pfn_pad } = self.geometry;
        let offset = pgoff.base().get().wrapping_add(data_offset.get());
        let pfn = PhysAddr::new(phys_addr.get().wrapping_add(offset)).pfn();
        let kaddr = VirtAddr::new(virt_addr.get().wrapping_add(offset));
        // The sector counts from the first byte of data, unlike the addresses.
        let sector = pgoff.base().sector();
        let count = pages.get().saturating_mul(PAGE_SIZE / SECTOR_SIZE);

        let usable = match self.memory.ask(|bad| bad.check(sector, count)) {
            Some(Some(found)) if mode == DaxMode::Normal => {
                Err(MediaError { at: PmOff::new(found.start.max(sector).get() * SECTOR_SIZE) })
            }
            Some(Some(found)) => {
                // Up to the first bad sector, and the page it lies in with it; the stride of recovery is a page.
                let before = found.start.get().saturating_sub(sector.get());
                Ok(before.div_ceil(PAGE_SIZE / SECTOR_SIZE).max(1))
            }
            // What lies behind the range asked for is not known to be good.
            Some(None) => Ok(pages.get()),
            None => Ok(size.get().saturating_sub(pfn_pad.get()).saturating_sub(offset) / PAGE_SIZE),
        };
        Access { kaddr, pfn, pages: usable.map(PageCount::new) }
    }

    /// `pmem_dax_zero_page_range`: a bad page is good afterwards.
    fn zero_page_range(&self, pgoff: BlockNr, pages: PageCount) -> Result<(), MediaError> {
        for page in pgoff.get()..pgoff.get().saturating_add(pages.get()) {
            let at = BlockNr::new(page).base();
            let done = self.recovery_write(at, PAGE_SIZE as usize, &mut Zeros(PAGE_SIZE as usize));
            if done < PAGE_SIZE as usize {
                return Err(MediaError { at });
            }
        }
        Ok(())
    }

    /// `pmem_recovery_write`. A device that may only be read clears nothing.
    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        if self.flags.contains(DeviceFlags::READ_ONLY) { 0 } else { self.memory.recovery_write(at, len, source) }
    }
}
