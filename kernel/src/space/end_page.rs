//! A copy of a file's last page, for who sees the file as it was: where a program that shares the file has stored behind its
//! end in the same block, nobody else is to see that.

use mm::page::{self, Mapping};
use mm::Frames;
use pmem::medium::Medium;
use units::{FileOff, Ino, PAGE_SHIFT, PAGE_SIZE, Pfn};

use crate::heap::OutOfMemory;
use crate::layout;
use crate::mmu::KernelFrames;
use crate::pmem::PmemMedium;
use crate::vfs::copy::KernelSink;

/// The page: the file's bytes up to its end, then zeros.
pub(super) struct EndPage(Pfn);

impl EndPage {
    /// Copies the last page of what `pin` holds; `None` where it cannot be read, which whoever touches it finds out.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn of(pin: &fs::Pin<PmemMedium>, inode: Ino) -> Result<Option<Self>, OutOfMemory> {
        let (index, len) = (pin.size() >> PAGE_SHIFT, (pin.size() & (PAGE_SIZE - 1)) as usize);
        let frame = crate::frames::alloc_zeroed()?;
        if let Some(page) = KernelFrames.page(frame) {
            page.born_unmapped(Mapping::File(inode.get()), index);
        }
        let end = Self(frame);
        let from = pin.iomap(FileOff::new(index << PAGE_SHIFT)).addr;
        // SAFETY: a frame that was free is RAM in the linear map, of which nobody else knows yet.
        let bytes = unsafe { core::slice::from_raw_parts_mut(layout::linear(frame.base()), len) };
        let copied = pin.fs().medium().load_to(from, len, &mut KernelSink::new(bytes));
        Ok((copied == Ok(len)).then_some(end))
    }

    /// Where it lies.
    pub(super) fn frame(&self) -> Pfn {
        self.0
    }
}

impl Drop for EndPage {
    fn drop(&mut self) {
        page::put_frame(&KernelFrames, self.0);
    }
}
