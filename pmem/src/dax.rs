//! Direct access: from a page of a device to the kernel address and the frame that hold it.
//!
//! [`DaxOperations`] is what a driver offers, [`DaxDevice`] what everyone else asks: it bounds question and answer by
//! the device, so that a driver's arithmetic never meets an offset that is not there.

use units::{BlockNr, PAGE_SIZE, PageCount, Pfn, PmOff, VirtAddr};

use crate::medium::MediaError;

/// What the caller is about to do (`enum dax_access_mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaxMode {
    /// Read or write: a bad block in the range is an error.
    Normal,
    /// Write over bad blocks to heal them.
    RecoveryWrite,
}

/// A driver's answer. The addresses are right even where `pages` is an error: a recovery needs them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Where the kernel sees the first page.
    pub kaddr: VirtAddr,
    /// The frame that holds it.
    pub pfn: Pfn,
    /// How many pages can be used from there on, or the bad byte that forbids it (`EIO`).
    pub pages: Result<PageCount, MediaError>,
}

/// Why [`DaxDevice::direct_access`] gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaxError {
    /// The first page lies past the end of the device, or no page can be used (`ERANGE`).
    Range,
    /// No page was asked for (`EINVAL`).
    Invalid,
    /// A bad block lies in the range (`EIO`); the addresses are those of the first page.
    Media(MediaError, VirtAddr, Pfn),
}

/// What the driver of a device can do (`dax_operations`).
pub trait DaxOperations {
    /// Pages of data on the device.
    fn pages(&self) -> PageCount;

    /// Where page `pgoff` lies and how many pages can be used from there, [`DaxMode`] permitting.
    fn direct_access(&self, pgoff: BlockNr, pages: PageCount, mode: DaxMode) -> Access;
}

/// A device that can be reached by loads and stores.
#[derive(Debug)]
pub struct DaxDevice<O> {
    ops: O,
}

impl<O: DaxOperations> DaxDevice<O> {
    /// The device behind `ops`.
    pub const fn new(ops: O) -> Self {
        Self { ops }
    }

    /// The driver.
    pub fn ops(&self) -> &O {
        &self.ops
    }

    /// `dax_direct_access`: kernel address, frame and usable pages at `pgoff`; at most `pages`, and never past the
    /// device, whatever the driver answers.
    ///
    /// # Errors
    /// [`DaxError`], in the order `Invalid`, `Range`, `Media`.
    pub fn direct_access(
        &self,
        pgoff: BlockNr,
        pages: PageCount,
        mode: DaxMode,
    ) -> Result<(VirtAddr, Pfn, PageCount), DaxError> {
        if pages == PageCount::ZERO {
            return Err(DaxError::Invalid);
        }
        let left = self.ops.pages().get().checked_sub(pgoff.get()).filter(|&left| left > 0).ok_or(DaxError::Range)?;
        let asked = PageCount::new(pages.get().min(left));
        let answer = self.ops.direct_access(pgoff, asked, mode);
        let usable = answer.pages.map_err(|bad| DaxError::Media(bad, answer.kaddr, answer.pfn))?;
        match usable.min(asked) {
            PageCount::ZERO => Err(DaxError::Range),
            usable => Ok((answer.kaddr, answer.pfn, usable)),
        }
    }

    /// Whether `pages` from `at` can be used by direct access: page-aligned, on the device, and both ends answer.
    pub fn dax_supported(&self, at: PmOff, pages: PageCount) -> bool {
        let Some(last) = pages.get().checked_sub(1).and_then(|more| at.block().get().checked_add(more)) else {
            return false;
        };
        let one = PageCount::new(1);
        let answers = |block| self.direct_access(block, one, DaxMode::Normal).is_ok();
        at.get().is_multiple_of(PAGE_SIZE) && answers(at.block()) && answers(BlockNr::new(last))
    }
}
