//! The simulated medium as bare memory: it answers or does not, and keeps no list of what is bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pmem::badblocks::BadRange;
use pmem::cells::Cells;
use pmem::medium::{BadAddress, CopyError, Medium, Sink, Source, Taken};
use units::{ByteLen, Pfn, PmOff, SECTOR_SIZE};

use crate::SimMedium;

/// What [`SimCells`] does with the list of bad blocks.
type Keep = dyn Fn(&SimMedium, &[BadRange]) -> bool + Send + Sync;

/// A [`SimMedium`] whose poison nobody was told of.
#[derive(Clone)]
pub struct SimCells {
    medium: SimMedium,
    keep: Arc<Keep>,
    clearable: Arc<AtomicBool>,
}

impl SimCells {
    /// `medium`, where a list of bad blocks has no place.
    pub fn new(medium: SimMedium) -> Self {
        Self::keeping(medium, |_, _| false)
    }

    /// `medium`, where `keep` writes the list down.
    pub fn keeping(medium: SimMedium, keep: impl Fn(&SimMedium, &[BadRange]) -> bool + Send + Sync + 'static) -> Self {
        Self { medium, keep: Arc::new(keep), clearable: Arc::new(AtomicBool::new(true)) }
    }

    /// The medium itself.
    pub fn medium(&self) -> &SimMedium {
        &self.medium
    }

    /// From now on nothing can be cleared.
    pub fn clear_nothing(&self) {
        self.clearable.store(false, Ordering::Relaxed);
    }

    /// How many of `len` bytes from `at` answer.
    fn good(&self, at: PmOff, len: usize) -> usize {
        match self.medium.check(at, ByteLen::new(len as u64)) {
            Ok(()) => len,
            Err(bad) => (bad.at.get() - at.get()) as usize,
        }
    }
}

impl Cells for SimCells {
    fn len(&self) -> ByteLen {
        self.medium.len()
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> usize {
        let good = self.good(at, to.len());
        self.medium.load(at, &mut to[..good]).map_or(0, |()| good)
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<(), Taken> {
        match self.medium.load_to(at, len, sink) {
            Ok(done) if done == len => Ok(()),
            Ok(done) => Err(Taken(done)),
            Err(CopyError::Media(_) | CopyError::Address(_)) => Err(Taken(0)),
        }
    }

    fn store(&self, at: PmOff, bytes: &[u8]) -> usize {
        let good = self.good(at, bytes.len());
        self.medium.store(at, &bytes[..good]);
        good
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress> {
        if self.good(at, len) < len {
            return Err(BadAddress);
        }
        self.medium.store_from(at, len, source).map_err(|_| BadAddress)
    }

    fn zero(&self, at: PmOff, len: ByteLen) -> ByteLen {
        let good = ByteLen::new(self.good(at, len.get() as usize) as u64);
        self.medium.zero(at, good);
        good
    }

    fn clean(&self, at: PmOff, len: ByteLen) {
        self.medium.clean(at, len);
    }

    fn fence(&self) {
        self.medium.fence();
    }

    fn answers(&self, at: PmOff) -> bool {
        self.good(at, 1) == 1
    }

    fn clear_poison(&self, at: PmOff, len: ByteLen) -> bool {
        let clears = self.clearable.load(Ordering::Relaxed);
        clears && self.medium.clear_bad(at.sector(), len.get() / SECTOR_SIZE).is_ok()
    }

    fn keep(&self, bad: &[BadRange]) -> bool {
        (self.keep)(&self.medium, bad)
    }

    fn pfn(&self, at: PmOff) -> Option<Pfn> {
        self.medium.pfn(at)
    }
}
