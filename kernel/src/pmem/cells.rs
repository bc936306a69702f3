//! A device's memory itself, through the linear map: copies that end where the memory answers with an error.
//!
//! A program may have the same pages mapped, so nothing here forms a reference to them. Loads and stores go through the
//! copy routines with a fix-up: a page that went bad answers with a synchronous external abort, which ends the copy at
//! the byte. `dc zva` is never used: whoever watches stores would miss it.

use arch::cache;
use fs::badlist;
use pmem::badblocks::BadRange;
use pmem::cells::Cells;
use pmem::device::{DeviceFlags, Geometry};
use platform::cmdline::Recorder;
use pmem::medium::{BadAddress, Sink, Source, Taken};
use units::{ByteLen, PAGE_SIZE, Pfn, PhysAddr, PmOff, VirtAddr};

use super::forget::{Step, forgets};
use super::poison;
use crate::counters::{FENCES, LINES_CLEANED};

/// How a store of a device is written back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteBack {
    /// Line by line, this far, in lines of this many bytes.
    Lines(cache::CleanTo, usize),
    /// Not at all: the caches themselves outlive the power (eADR), or the memory does not either.
    NotNeeded,
}

impl WriteBack {
    /// What a device of this kind needs, seen by a recorder or not.
    fn choose(flags: DeviceFlags, recorder: Recorder) -> Self {
        match (flags.intersects(DeviceFlags::CACHE_PERSISTS | DeviceFlags::VOLATILE), recorder) {
            (true, _) => Self::NotNeeded,
            (false, Recorder::Absent) => Self::Lines(cache::CleanTo::furthest(), cache::data_line()),
            (false, Recorder::Watching) => Self::Lines(cache::CleanTo::Announced, cache::data_line()),
        }
    }
}

/// The bytes of data of one device.
#[derive(Debug)]
pub(crate) struct LinearCells {
    start: VirtAddr,
    phys: PhysAddr,
    len: ByteLen,
    write_back: WriteBack,
    flags: DeviceFlags,
}

impl LinearCells {
    /// The data of a device at `geometry`, which the linear map shows; `len` bytes.
    pub(super) fn new(geometry: &Geometry, len: ByteLen, flags: DeviceFlags, recorder: Recorder) -> Self {
        let offset = geometry.data_offset.get();
        Self {
            start: VirtAddr::new(geometry.virt_addr.get() + offset),
            phys: PhysAddr::new(geometry.phys_addr.get() + offset),
            len,
            write_back: WriteBack::choose(flags, recorder),
            flags,
        }
    }

    /// How its stores are written back.
    pub(super) fn write_back(&self) -> WriteBack {
        self.write_back
    }

    /// Where the kernel sees `len` bytes at `at`.
    ///
    /// # Panics
    /// Where they do not lie on the device: the file system checks what it reads before it follows it.
    #[inline]
    fn reach(&self, at: PmOff, len: u64) -> *mut u8 {
        let inside = at.get().checked_add(len).is_some_and(|end| end <= self.len.get());
        assert!(inside, "{at}, {len} bytes: not on a device of {}", self.len);
        core::ptr::with_exposed_provenance_mut((self.start.get() + at.get()) as usize)
    }
}

impl Cells for LinearCells {
    fn len(&self) -> ByteLen {
        self.len
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> usize {
        let from = self.reach(at, to.len() as u64);
        // SAFETY: `reach` found the range on the device, which the linear map shows for ever; `to` is private memory.
        to.len() - unsafe { arch::user::copy(to.as_mut_ptr(), from, to.len()) }
    }

    #[inline]
    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<(), Taken> {
        let from = self.reach(at, len as u64);
        // SAFETY: as in `load`; a sink copies by raw pointer and holds no reference to what a program may write.
        unsafe { sink.copy_from(from, len) }
    }

    #[inline]
    fn store(&self, at: PmOff, bytes: &[u8]) -> usize {
        let to = self.reach(at, bytes.len() as u64);
        // SAFETY: `reach` found the range on the device; `bytes` is private memory.
        bytes.len() - unsafe { arch::user::copy(to, bytes.as_ptr(), bytes.len()) }
    }

    #[inline]
    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress> {
        let to = self.reach(at, len as u64);
        // SAFETY: `reach` found the range on the device, to whose bytes no reference is ever formed.
        unsafe { source.copy_to(to, len) }
    }

    fn zero(&self, at: PmOff, len: ByteLen) -> ByteLen {
        let to = self.reach(at, len.get());
        // SAFETY: as in `store`.
        let left = unsafe { arch::user::zero(to, len.get() as usize) };
        ByteLen::new(len.get() - left as u64)
    }

    #[inline]
    fn clean(&self, at: PmOff, len: ByteLen) {
        let start = self.reach(at, len.get());
        let WriteBack::Lines(reach, line) = self.write_back else { return };
        let mut len = len.get() as usize;
        if forgets(Step::Clean) {
            return;
        }
        if forgets(Step::LastLine) {
            len = (len - 1) & !(line - 1);
        }
        if len > 0 {
            // SAFETY: `reach` found the range on the device, which is mapped in whole pages.
            let lines = unsafe { cache::clean(start, len, line, reach) };
            LINES_CLEANED.add(lines as u64);
        }
    }

    fn fence(&self) {
        if forgets(Step::Fence) {
            return;
        }
        // A clean is complete, at the point of persistence, when a `dsb` behind it is (Arm ARM B2.3.12, D7.5.9). The
        // full system: the memory controller is no member of the inner domain.
        arch::barrier::dsb_sy();
        FENCES.add(1);
    }

    fn answers(&self, at: PmOff) -> bool {
        self.load(at, &mut [0]) == 1
    }

    fn clear_poison(&self, at: PmOff, len: ByteLen) -> bool {
        if self.flags.contains(DeviceFlags::READ_ONLY) {
            return false;
        }
        let pages = (at.get()..at.get() + len.get()).step_by(PAGE_SIZE as usize);
        pages.for_each(|page| poison::heal(PhysAddr::new(self.phys.get() + page)));
        self.answers(at)
    }

    fn keep(&self, bad: &[BadRange]) -> bool {
        let kept = !self.flags.contains(DeviceFlags::READ_ONLY) && badlist::write(self, bad);
        if !kept && !bad.is_empty() {
            let at = self.phys.get();
            log::error!("pmem at {at:#x}: no place to keep the list of its bad blocks: it lasts until the power goes");
        }
        kept
    }

    fn pfn(&self, at: PmOff) -> Option<Pfn> {
        (at.get() < self.len.get()).then_some(())?;
        Some(self.phys.checked_add(ByteLen::new(at.get()))?.pfn())
    }
}
