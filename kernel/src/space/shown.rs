//! What a mapping shows besides memory of the program's own: a file as it was, or memory that programs share.

use abi::Errno;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use mm::page::{self, Mapping};
use mm::seams::Mapper;
use mm::space::{Access, FaultError};
use mm::{Backing, Frames, PageOf, Run};
use sync::{Mutex, Rank};
use units::{PAGE_SHIFT, PageCount, Pfn};

use super::{FilePin, SharedFile};
use crate::heap::{self, OutOfMemory};
use crate::mmu::{self, KernelFrames};
use crate::task::current;

/// What is behind a VMA.
#[derive(Clone)]
pub(crate) enum Shown {
    /// A file, as it was when the mapping was made.
    File(FilePin),
    /// A file as it is: `MAP_SHARED`.
    Shared(SharedFile),
    /// `MAP_SHARED | MAP_ANONYMOUS`.
    Memory(SharedMemory),
    /// The page that handlers of signals return to.
    Trampoline,
}

impl From<FilePin> for Shown {
    fn from(file: FilePin) -> Self {
        Self::File(file)
    }
}

impl From<SharedFile> for Shown {
    fn from(file: SharedFile) -> Self {
        Self::Shared(file)
    }
}

impl Shown {
    /// What tells it from all other memory that programs share; `None` where none is shared.
    pub(super) fn identity(&self) -> Option<usize> {
        match self {
            Self::Shared(file) => Some(file.identity()),
            Self::Memory(memory) => Some(Arc::as_ptr(&memory.0).addr()),
            Self::File(_) | Self::Trampoline => None,
        }
    }

    /// The number of the file.
    pub(super) fn inode(&self) -> u64 {
        match self {
            Self::File(file) => file.inode(),
            Self::Shared(file) => file.inode(),
            Self::Memory(memory) => memory.0.number,
            Self::Trampoline => 0,
        }
    }

    /// Makes page `index` ready for an access, which [`Backing::page`] or [`Backing::may_store`] said it is not.
    ///
    /// # Errors
    /// [`FaultError`]: what the fault comes to.
    pub(super) fn prepare(&self, index: u64, access: Access) -> Result<(), FaultError> {
        match self {
            Self::File(_) | Self::Trampoline => Ok(()),
            Self::Shared(file) => file.prepare(index, access),
            Self::Memory(memory) => memory.prepare(index).map_err(|OutOfMemory| FaultError::OutOfMemory),
        }
    }
}

impl Shown {
    /// Pages `index` and what follows read as zeros from now on, for everybody who has them (`FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` of what cannot be stored to; of a file what `fallocate` refuses.
    pub(crate) fn remove(&self, index: u64, count: PageCount) -> Result<(), Errno> {
        match self {
            Self::Memory(memory) => {
                memory.clear(index, count);
                Ok(())
            }
            Self::Shared(file) => file.punch(index, count),
            Self::File(_) | Self::Trampoline => Err(Errno::EOPNOTSUPP),
        }
    }
}

impl Backing for Shown {
    fn run(&self, index: u64, max: PageCount) -> Run {
        match self {
            Self::File(file) => file.run(index, max),
            Self::Shared(file) => file.run(index, max),
            Self::Memory(memory) => Run { page: memory.page(index), count: PageCount::new(1) },
            Self::Trampoline if index == 0 => Run { page: PageOf::Frame(mmu::trampoline()), count: PageCount::new(1) },
            Self::Trampoline => Run { page: PageOf::Beyond, count: max },
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one.same(other),
            (Self::Shared(one), Self::Shared(other)) => one.same(other),
            (Self::Memory(one), Self::Memory(other)) => Arc::ptr_eq(&one.0, &other.0),
            _ => false,
        }
    }

    fn joined(&self, own: (u64, u64), other: &Self, theirs: (u64, u64)) -> Result<Option<Self>, mm::OutOfMemory> {
        match (self, other) {
            (Self::File(one), Self::File(other)) => Ok(one.joined(own, other, theirs)?.map(Self::File)),
            _ => Ok(None),
        }
    }

    fn is_dax(&self) -> bool {
        matches!(self, Self::File(_) | Self::Shared(_))
    }

    #[inline]
    fn link(&self, mapper: Mapper) -> Result<(), mm::OutOfMemory> {
        if let Self::Shared(file) = self { file.link(mapper) } else { Ok(()) }
    }

    fn relink(&self, old: Mapper, new: Mapper) {
        if let Self::Shared(file) = self {
            file.relink(old, new);
        }
    }

    #[inline]
    fn unlink(&self, mapper: Mapper) {
        if let Self::Shared(file) = self {
            file.unlink(mapper);
        }
    }

    fn may_store(&self, index: u64, count: PageCount) -> bool {
        match self {
            Self::Shared(file) => file.may_store(index, count),
            // Asked of pages that are there.
            Self::Memory(_) => true,
            Self::File(_) | Self::Trampoline => false,
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::File(_) | Self::Shared(_) => self.inode(),
            // The pages know whose they are since they were made.
            Self::Memory(_) | Self::Trampoline => 0,
        }
    }
}

/// Memory that those who have it mapped share, parents and children (Linux: an unlinked file of `shmem`). A page is made at
/// its first touch, and stays until the last mapping is gone.
#[derive(Clone)]
pub(crate) struct SharedMemory(Arc<Pages>);

struct Pages {
    /// How long it is; pages behind that are SIGBUS.
    count: u64,
    /// Pages promised to nobody else (`VM_ACCOUNT`).
    promised: PageCount,
    number: u64,
    present: Mutex<BTreeMap<u64, Pfn>>,
}

impl SharedMemory {
    /// Heap that a page takes at most in the table of pages.
    const WORST_CASE: usize = 4 << 10;

    /// `count` pages, of which none is there yet. With `promise`, memory for all of them is promised now.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(count: u64, promise: Promise) -> Result<Self, OutOfMemory> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        heap::reserve(size_of::<Pages>() + 64)?;
        let promised = PageCount::new(if promise == Promise::Made { count } else { 0 });
        KernelFrames.commit().charge(promised).map_err(|mm::OutOfMemory| OutOfMemory)?;
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let present = Mutex::new(Rank::SharedMemory, BTreeMap::new());
        Ok(Self(Arc::new(Pages { count, promised, number, present })))
    }

    fn page(&self, index: u64) -> PageOf {
        if index >= self.0.count {
            return PageOf::Beyond;
        }
        self.0.present.lock().get(&index).map_or(PageOf::Unprepared, |frame| PageOf::Frame(*frame))
    }

    /// Clears the pages that are there, where they are: who has them mapped sees zeros too.
    fn clear(&self, index: u64, count: PageCount) {
        let mut at = index;
        while at - index < count.get() && !current().killed() {
            let present = self.0.present.lock();
            let Some((&page, &frame)) = present.range(at..).next().filter(|(page, _)| **page - index < count.get()) else {
                return;
            };
            // What is memory of our own is never poisoned.
            let _ = KernelFrames.copy(KernelFrames.zero_page(), frame);
            at = page + 1;
        }
    }

    fn prepare(&self, index: u64) -> Result<(), OutOfMemory> {
        let frame = crate::frames::alloc_zeroed()?;
        if let Some(page) = KernelFrames.page(frame) {
            page.born_unmapped(Mapping::File(self.0.number), index);
        }
        let room = heap::reserve(Self::WORST_CASE);
        let mut present = self.0.present.lock();
        let mut spare = Some(frame);
        if room.is_ok() {
            // Another thread may have been first.
            present.entry(index).or_insert_with(|| spare.take().unwrap_or(frame));
        }
        drop(present);
        if let Some(spare) = spare {
            page::put_frame(&KernelFrames, spare);
        }
        room
    }
}

/// Whether memory is promised when a mapping is made, or not (`MAP_NORESERVE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Promise {
    /// It is.
    Made,
    /// It is not: a touch may find that there is none.
    NotMade,
}

impl Drop for Pages {
    /// The last mapping is gone, out of every TLB too. Who holds a page by its count keeps it.
    fn drop(&mut self) {
        let present = core::mem::take(&mut *self.present.lock());
        present.into_values().for_each(|frame| page::put_frame(&KernelFrames, frame));
        KernelFrames.commit().release(self.promised);
    }
}

/// `count` pages in bytes, for who has counted the bytes in pages before.
pub(crate) const fn pages_of(len: u64) -> u64 {
    len.div_ceil(1 << PAGE_SHIFT)
}
