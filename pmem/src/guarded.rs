//! Memory behind the list of its bad blocks: what a file system is mounted on.
//!
//! A sector is bad because somebody said so ([`Guarded::set_bad`]) or because it did not answer ([`Guarded::note`], a
//! whole page then: an abort says no more). It is good again when it is written over ([`Medium::recovery_write`]).
//! Every change of the list is written down at once where that is possible; a range is *acknowledged* when it is.

use core::sync::atomic::{AtomicBool, Ordering};

use sync::{Mutex, Rank};
use units::{ByteLen, PAGE_SIZE, Pfn, PmOff, SECTOR_SIZE, Sector};

use crate::badblocks::{BadRange, Badblocks, BadblocksError};
use crate::cells::Cells;
use crate::medium::{BadAddress, CopyError, MediaError, Medium, Sink, Source, Taken};

/// Sectors in a page.
pub(crate) const PAGE_SECTORS: u64 = PAGE_SIZE / SECTOR_SIZE;

/// Memory and its bad blocks.
#[derive(Debug)]
pub struct Guarded<C> {
    cells: C,
    list: Mutex<Badblocks>,
    /// Whether the list holds anything: read without the lock, so that good media cost a load and a branch.
    any: AtomicBool,
}

impl<C: Cells> Guarded<C> {
    /// `cells`, of which the ranges of `known` are bad. Ranges that do not lie on it are left out.
    pub fn new(cells: C, known: &[BadRange]) -> Self {
        let mut list = Badblocks::new(cells.len().get() / SECTOR_SIZE);
        for range in known {
            // What the medium says of itself is a claim like any other; what cannot be is no bad block.
            let _ = list.set(range.start, range.count, range.acknowledged);
        }
        let any = AtomicBool::new(!list.is_empty());
        Self { cells, list: Mutex::new(Rank::BadBlocks, list), any }
    }

    /// The memory itself.
    pub fn cells(&self) -> &C {
        &self.cells
    }

    /// Asks the list something; `None` where it is empty.
    #[inline]
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&Badblocks) -> T) -> Option<T> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        Some(ask(&self.list.lock()))
    }

    /// Changes the list and writes it down. What could be written down is acknowledged.
    fn change(
        &self,
        change: impl FnOnce(&mut Badblocks) -> Result<(), BadblocksError>,
    ) -> Result<bool, BadblocksError> {
        let mut list = self.list.lock();
        change(&mut list)?;
        self.any.store(!list.is_empty(), Ordering::Release);
        let kept = self.cells.keep(list.ranges());
        if kept {
            list.acknowledge_all();
        }
        Ok(kept)
    }

    /// Marks sectors bad; answers whether that is written down.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn set_bad(&self, start: Sector, count: u64) -> Result<bool, BadblocksError> {
        self.change(|list| list.set(start, count, false))
    }

    /// Marks sectors good, whatever they hold; answers whether that is written down.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn clear_bad(&self, start: Sector, count: u64) -> Result<bool, BadblocksError> {
        self.change(|list| list.clear(start, count))
    }

    /// The byte at `at` did not answer: its page is bad from now on.
    pub fn note(&self, at: PmOff) -> MediaError {
        // Without memory for a longer list the access fails all the same, and the next one meets the hole again.
        let _ = self.set_bad(at.block().base().sector(), PAGE_SECTORS);
        MediaError { at }
    }

    /// The first of `len` bytes from `at` that does not answer, asked once in each sector.
    fn hole(&self, at: PmOff, len: u64) -> Option<PmOff> {
        let first = at.align_down(SECTOR_SIZE).get();
        let sectors = (first..at.get() + len).step_by(SECTOR_SIZE as usize);
        sectors.map(|sector| PmOff::new(sector).max(at)).find(|&at| !self.cells.answers(at))
    }

    /// How many of `len` bytes from `at` on are known to be good.
    ///
    /// # Errors
    /// [`MediaError`] where the first is bad.
    #[inline]
    fn good(&self, at: PmOff, len: usize) -> Result<usize, MediaError> {
        match self.check(at, ByteLen::new(len as u64)) {
            Ok(()) => Ok(len),
            Err(bad) if bad.at <= at => Err(bad),
            Err(bad) => Ok((bad.at.get() - at.get()) as usize),
        }
    }

    /// Makes every bad sector of the pages that hold `len` bytes from `at` a good one that holds zeros; `false` where
    /// one cannot be cleared. Good sectors of the same pages keep what they hold.
    fn reclaim(&self, at: PmOff, len: u64) -> bool {
        let end = at.get().saturating_add(len).next_multiple_of(PAGE_SIZE).min(self.cells.len().get());
        let mut page = at.align_down(PAGE_SIZE).get();
        while page < end {
            if self.check(PmOff::new(page), ByteLen::new(PAGE_SIZE)).is_err() && !self.reclaim_page(PmOff::new(page)) {
                return false;
            }
            page += PAGE_SIZE;
        }
        true
    }

    fn reclaim_page(&self, page: PmOff) -> bool {
        if !self.cells.clear_poison(page, ByteLen::new(PAGE_SIZE)) {
            return false;
        }
        for sector in 0..PAGE_SECTORS {
            let at = PmOff::new(page.get() + sector * SECTOR_SIZE);
            let bad = self.check(at, ByteLen::new(SECTOR_SIZE)).is_err();
            if bad && self.cells.zero(at, ByteLen::new(SECTOR_SIZE)).get() < SECTOR_SIZE {
                return false;
            }
        }
        self.cells.clean(page, ByteLen::new(PAGE_SIZE));
        // Durable before the list says so: a cut between the two leaves a good block that counts as bad.
        self.cells.fence();
        self.clear_bad(page.sector(), PAGE_SECTORS).is_ok()
    }

    /// Shows `each` every page that holds a bad sector, some of them twice.
    pub fn each_bad_page(&self, mut each: impl FnMut(PmOff)) {
        self.each_bad(&mut |range| {
            let first = range.start.get() * SECTOR_SIZE / PAGE_SIZE;
            let end = (range.end().get() * SECTOR_SIZE).div_ceil(PAGE_SIZE);
            (first..end).for_each(|page| each(PmOff::new(page * PAGE_SIZE)));
        });
    }

    /// Carries out a store that goes on at the byte `step` answers, recovering each page that does not take it.
    fn stored(&self, at: PmOff, len: u64, mut step: impl FnMut(u64) -> u64) {
        if self.check(at, ByteLen::new(len)).is_err() {
            self.reclaim(at, len);
        }
        let (mut done, mut tried) = (0, None);
        while done < len {
            done += step(done);
            if done < len {
                let stopped = self.note(PmOff::new(at.get() + done)).at;
                let page = stopped.block().base();
                if tried == Some(page) || !self.reclaim(stopped, 1) {
                    // The page stays on the list, and who reads it is told.
                    done = (page.get() + PAGE_SIZE - at.get()).min(len);
                } else {
                    // What was stored in the page before went with the rest of it.
                    done = page.max(at).get() - at.get();
                }
                tried = Some(page);
            }
        }
    }

    /// A store where some block may be bad: what did not take it is recovered.
    #[cold]
    fn store_with_care(&self, at: PmOff, bytes: &[u8]) {
        self.stored(at, bytes.len() as u64, |done| {
            let rest = bytes.get(done as usize..).unwrap_or(&[]);
            self.cells.store(PmOff::new(at.get() + done), rest) as u64
        });
    }

    /// Writes `len` bytes, whole pages where there are bad blocks, over whatever is there.
    fn write_over<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        let whole = at.is_aligned(PAGE_SIZE) && (len as u64).is_multiple_of(PAGE_SIZE);
        if !whole {
            let bad = self.check(at, ByteLen::new(len as u64)).is_err();
            return if bad || self.over_page(at, len, source).is_err() { 0 } else { len };
        }
        for done in (0..len).step_by(PAGE_SIZE as usize) {
            let page = PmOff::new(at.get() + done as u64);
            let bad = self.check(page, ByteLen::new(PAGE_SIZE)).is_err() || self.hole(page, PAGE_SIZE).is_some();
            if bad && !self.cells.clear_poison(page, ByteLen::new(PAGE_SIZE)) {
                return done;
            }
            if self.over_page(page, PAGE_SIZE as usize, source).is_err() {
                return done;
            }
            if bad && self.clear_bad(page.sector(), PAGE_SECTORS).is_err() {
                return done;
            }
        }
        len
    }

    fn over_page<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress> {
        self.cells.store_from(at, len, source)?;
        self.cells.clean(at, ByteLen::new(len as u64));
        self.cells.fence();
        Ok(())
    }
}

/// Zero bytes, as many as are asked for.
pub struct Zeros(pub usize);

impl Source for Zeros {
    fn remaining(&self) -> usize {
        self.0
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        // SAFETY: the caller vouches for `len` writable bytes at `to`.
        unsafe { core::ptr::write_bytes(to, 0, len) };
        self.0 -= len;
        Ok(())
    }
}

impl<C: Cells> Medium for Guarded<C> {
    fn len(&self) -> ByteLen {
        self.cells.len()
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        self.check(at, ByteLen::new(to.len() as u64))?;
        match self.cells.load(at, to) {
            done if done == to.len() => Ok(()),
            done => Err(self.note(PmOff::new(at.get() + done as u64))),
        }
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        let good = self.good(at, len)?;
        let Err(Taken(taken)) = self.cells.load_to(at, good, sink) else { return Ok(good) };
        let stopped = PmOff::new(at.get() + taken as u64);
        let bad = if self.cells.answers(stopped) { None } else { Some(self.note(stopped)) };
        match (taken, bad) {
            (0, Some(bad)) => Err(bad.into()),
            (0, None) => Err(BadAddress.into()),
            (taken, _) => Ok(taken),
        }
    }

    #[inline]
    fn store(&self, at: PmOff, bytes: &[u8]) {
        // Where no bad block is known, nearly every store is taken as a whole.
        if self.any.load(Ordering::Acquire) || self.cells.store(at, bytes) < bytes.len() {
            self.store_with_care(at, bytes);
        }
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), CopyError> {
        if let Err(bad) = self.check(at, ByteLen::new(len as u64))
            && !self.reclaim(at, len as u64)
        {
            return Err(bad.into());
        }
        let Err(BadAddress) = self.cells.store_from(at, len, source) else { return Ok(()) };
        // Whose fault it was, each sector says for itself.
        match self.hole(at, len as u64) {
            Some(at) => Err(self.note(at).into()),
            None => Err(BadAddress.into()),
        }
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        self.stored(at, len.get(), |done| {
            self.cells.zero(PmOff::new(at.get() + done), ByteLen::new(len.get() - done)).get()
        });
    }

    fn clean(&self, at: PmOff, len: ByteLen) {
        self.cells.clean(at, len);
    }

    fn fence(&self) {
        self.cells.fence();
    }

    #[inline]
    fn check(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError> {
        self.ask(|list| list.first_bad(at, len)).unwrap_or(Ok(()))
    }

    fn each_bad(&self, each: &mut dyn FnMut(&BadRange)) {
        self.ask(|list| list.ranges().iter().for_each(each));
    }

    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        self.write_over(at, len, source)
    }

    fn pfn(&self, at: PmOff) -> Option<Pfn> {
        self.cells.pfn(at)
    }
}
