//! A device as the file system sees it: the memory behind the device's list of bad blocks.

use pmem::badblocks::BadRange;
use pmem::guarded::Guarded;
use pmem::medium::{CopyError, MediaError, Medium, Sink, Source};
use units::{ByteLen, Pfn, PmOff};

use super::Device;
use super::cells::LinearCells;

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

    /// The device itself.
    pub(crate) fn device(&self) -> &'static Device {
        self.device
    }

    #[inline]
    fn memory(&self) -> &'static Guarded<LinearCells> {
        self.device.dax().ops().memory()
    }
}

impl Medium for PmemMedium {
    fn len(&self) -> ByteLen {
        self.memory().len()
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        self.memory().load(at, to)
    }

    #[inline]
    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        self.memory().load_to(at, len, sink)
    }

    #[inline]
    fn store(&self, at: PmOff, bytes: &[u8]) {
        self.memory().store(at, bytes);
    }

    #[inline]
    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), CopyError> {
        self.memory().store_from(at, len, source)
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        self.memory().zero(at, len);
    }

    #[inline]
    fn clean(&self, at: PmOff, len: ByteLen) {
        self.memory().clean(at, len);
    }

    fn fence(&self) {
        self.memory().fence();
    }

    #[inline]
    fn check(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError> {
        self.memory().check(at, len)
    }

    fn each_bad(&self, each: &mut dyn FnMut(&BadRange)) {
        self.memory().each_bad(each);
    }

    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        self.device.dax().recovery_write(at, len, source)
    }

    #[inline]
    fn is_held(&self, at: PmOff, len: ByteLen) -> bool {
        self.device.pages().is_held(self.memory().pfn(at), len.pages_up())
    }

    fn pfn(&self, at: PmOff) -> Option<Pfn> {
        self.memory().pfn(at)
    }
}
