//! A device as the file system sees it: plain copies through the linear map, and real cache maintenance.
//!
//! A program may have the same pages mapped, so nothing here forms a reference to them. Loads go through the copy
//! routine with a fix-up: a page that went bad answers with a synchronous external abort, which ends the copy at the
//! byte and marks the sector bad. `dc zva` is never used: whoever watches stores would miss it.

use arch::cache;
use pmem::medium::{BadAddress, CopyError, MediaError, Medium, Sink, Source, Taken};
use units::{ByteLen, Pfn, PmOff};

use super::Device;
use crate::counters::{FENCES, LINES_CLEANED};

/// How a store of this device is written back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteBack {
    /// Line by line, this far, in lines of this many bytes.
    Lines(cache::CleanTo, usize),
    /// Not at all: the caches themselves outlive the power (eADR).
    NotNeeded,
}

impl WriteBack {
    /// What this machine needs, whose caches outlive the power or do not.
    pub(super) fn choose(caches_persist: bool) -> Self {
        if caches_persist {
            Self::NotNeeded
        } else {
            Self::Lines(cache::CleanTo::furthest(), cache::data_line())
        }
    }
}

/// A pmem device, as the file system's medium.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PmemMedium {
    device: &'static Device,
}

impl PmemMedium {
    /// The medium that `device` is.
    pub(crate) fn new(device: &'static Device) -> Self {
        Self { device }
    }

    /// Where the kernel sees `len` bytes at `at`.
    ///
    /// # Panics
    /// Where they do not lie on the device: the file system checks what it reads before it follows it.
    fn reach(&self, at: PmOff, len: u64) -> *mut u8 {
        let inside = at.get().checked_add(len).is_some_and(|end| end <= self.len().get());
        assert!(inside, "{at}, {len} bytes: not on {}", self.device.name());
        let base = self.device.dax().ops().geometry();
        let start = base.virt_addr.get() + base.data_offset.get() + at.get();
        core::ptr::with_exposed_provenance_mut(start as usize)
    }

    /// How many bytes from `at` can be read, at most `len`.
    fn readable(&self, at: PmOff, len: usize) -> Result<usize, MediaError> {
        match self.device.dax().ops().check(at, ByteLen::new(len as u64)) {
            Ok(()) => Ok(len),
            Err(bad) if bad.at <= at => Err(bad),
            Err(bad) => Ok((bad.at.get() - at.get()) as usize),
        }
    }

    /// An access to the byte at `at` was answered with an error: the sector is bad from now on.
    fn met_bad(&self, at: PmOff) -> MediaError {
        // The list being full or out of memory changes nothing for this access, which fails either way.
        let _ = self.device.dax().ops().set_bad(at.sector(), 1, false);
        MediaError { at }
    }
}

impl Medium for PmemMedium {
    fn len(&self) -> ByteLen {
        self.device.dax().ops().len()
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        let from = self.reach(at, to.len() as u64);
        let good = self.readable(at, to.len())?;
        if good < to.len() {
            return Err(MediaError { at: PmOff::new(at.get() + good as u64) });
        }
        // SAFETY: `reach` found the range on the device, which the linear map shows for ever; `to` is private memory.
        match unsafe { arch::user::copy(to.as_mut_ptr(), from, to.len()) } {
            0 => Ok(()),
            left => Err(self.met_bad(PmOff::new(at.get() + (to.len() - left) as u64))),
        }
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        let from = self.reach(at, len as u64);
        let good = self.readable(at, len)?;
        // SAFETY: as in `load`; a sink copies by raw pointer and holds no reference to what a program may write.
        match unsafe { sink.copy_from(from, good) } {
            Ok(()) => Ok(good),
            Err(Taken(0)) => Err(BadAddress.into()),
            Err(Taken(taken)) => Ok(taken),
        }
    }

    fn store(&self, at: PmOff, bytes: &[u8]) {
        let to = self.reach(at, bytes.len() as u64);
        // SAFETY: `reach` found the range on the device; `bytes` is private memory.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress> {
        let to = self.reach(at, len as u64);
        // SAFETY: `reach` found the range on the device, to whose bytes no reference is ever formed.
        unsafe { source.copy_to(to, len) }
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        let to = self.reach(at, len.get());
        // SAFETY: as in `store`; our `memset` stores, and never uses `dc zva`.
        unsafe { core::ptr::write_bytes(to, 0, len.get() as usize) };
    }

    fn clean(&self, at: PmOff, len: ByteLen) {
        let start = self.reach(at, len.get());
        let WriteBack::Lines(reach, line) = self.device.write_back() else { return };
        if len > ByteLen::ZERO {
            // SAFETY: `reach` found the range on the device, which is mapped in whole pages.
            let lines = unsafe { cache::clean(start, len.get() as usize, line, reach) };
            LINES_CLEANED.add(lines as u64);
        }
    }

    fn fence(&self) {
        // A clean is complete, at the point of persistence, when a `dsb` behind it is (Arm ARM B2.3.12, D7.5.9). The
        // full system: the memory controller is no member of the inner domain.
        arch::barrier::dsb_sy();
        FENCES.add(1);
    }

    fn pfn(&self, at: PmOff) -> Option<Pfn> {
        let geometry = self.device.dax().ops().geometry();
        let offset = geometry.data_offset.get().checked_add(at.get())?;
        (at.get() < self.len().get()).then_some(())?;
        Some(geometry.phys_addr.checked_add(ByteLen::new(offset))?.pfn())
    }
}
