//! Direct access: from a page of a device to the kernel address and the frame that hold it.
//!
//! [`DaxOperations`] is what a driver offers, [`DaxDevice`] what everyone else asks: it bounds question and answer by
//! the device, so that a driver's arithmetic never meets an offset that is not there.

use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, Pfn, PmOff, VirtAddr};

use crate::medium::{MediaError, Source};

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

/// Why [`DaxDevice::zero_page_range`] stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZeroError {
    /// The pages do not all lie on the device (`ERANGE`); nothing has changed.
    Range,
    /// A page cannot be written (`EIO`); those before it are zero.
    Media(MediaError),
}

/// What the driver of a device can do (`dax_operations`).
pub trait DaxOperations {
    /// Pages of data on the device.
    fn pages(&self) -> PageCount;

    /// Where page `pgoff` lies and how many pages can be used from there, [`DaxMode`] permitting.
    fn direct_access(&self, pgoff: BlockNr, pages: PageCount, mode: DaxMode) -> Access;

    /// Makes pages hold zeros, durably; bad blocks among them are good afterwards.
    ///
    /// # Errors
    /// [`MediaError`]: the page that cannot be written.
    fn zero_page_range(&self, pgoff: BlockNr, pages: PageCount) -> Result<(), MediaError>;

    /// Writes over bad blocks: [`crate::medium::Medium::recovery_write`].
    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize;
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
    #[inline]
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

    /// Makes pages hold zeros, durably (`dax_zero_page_range`); bad blocks among them are good afterwards.
    ///
    /// # Errors
    /// [`ZeroError::Range`] where they do not all lie on the device, before anything is changed; [`ZeroError::Media`].
    pub fn zero_page_range(&self, pgoff: BlockNr, pages: PageCount) -> Result<(), ZeroError> {
        let end = pgoff.get().checked_add(pages.get()).filter(|&end| end <= self.ops.pages().get());
        end.ok_or(ZeroError::Range)?;
        self.ops.zero_page_range(pgoff, pages).map_err(ZeroError::Media)
    }

    /// Writes `len` bytes of `source` over bad blocks, which are good afterwards (`dax_recovery_write`); answers how many
    /// bytes were written: 0 where the range is not on the device, does not begin and end with a page though there is a
    /// bad block in it, or cannot be cleared.
    pub fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        let room = self.ops.pages().bytes().and_then(|all| all.get().checked_sub(at.get()));
        let fits = room.is_some_and(|room| ByteLen::new(len as u64).get() <= room) && len <= source.remaining();
        if fits { self.ops.recovery_write(at, len, source) } else { 0 }
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
