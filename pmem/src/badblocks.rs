//! Bad blocks: which 512-byte sectors of a device cannot be read, as sorted ranges.
//!
//! Linux's `badblocks`: [`Badblocks::set`], [`Badblocks::clear`], [`Badblocks::check`]. A range is *acknowledged* once
//! it has been written where it outlives the power. All three changes are one walk over the list, [`Badblocks::paint`],
//! which splits ranges at the edges of the change and merges what then touches.

use alloc::vec::Vec;
use units::{ByteLen, PmOff, SECTOR_SIZE, Sector};

use crate::medium::MediaError;

/// A run of bad sectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRange {
    /// The first bad sector.
    pub start: Sector,
    /// How many are bad, never 0.
    pub count: u64,
    /// Whether the run is recorded where it outlives the power.
    pub acknowledged: bool,
}

impl BadRange {
    /// The first sector behind.
    pub fn end(&self) -> Sector {
        Sector::new(self.start.get().saturating_add(self.count))
    }
}

/// Why a change of the list was refused; the list is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadblocksError {
    /// The sectors do not all lie on the device.
    PastEnd,
    /// No memory for a longer list.
    OutOfMemory,
}

/// The bad sectors of one device.
#[derive(Clone, Debug)]
pub struct Badblocks {
    /// Sorted, apart from one another unless they differ in `acknowledged`, and below `sectors`.
    ranges: Vec<BadRange>,
    sectors: u64,
}

impl Badblocks {
    /// No bad sector on a device of `sectors`.
    pub const fn new(sectors: u64) -> Self {
        Self { ranges: Vec::new(), sectors }
    }

    /// Whether the whole device is good: Linux's `bb->count == 0`.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Every bad range, in order.
    pub fn ranges(&self) -> &[BadRange] {
        &self.ranges
    }

    /// The first bad range that has a sector among the `count` from `start`; it may begin before `start`
    /// (`badblocks_check`, with its `first_bad` and `num_bad`).
    pub fn check(&self, start: Sector, count: u64) -> Option<BadRange> {
        let end = Sector::new(start.get().saturating_add(count));
        let first = self.ranges.partition_point(|range| range.end() <= start);
        self.ranges.get(first).copied().filter(|range| range.start < end)
    }

    /// The first bad byte among `len` from `at`.
    ///
    /// # Errors
    /// [`MediaError`] names that byte.
    pub fn first_bad(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError> {
        if len == ByteLen::ZERO {
            return Ok(());
        }
        let first = at.sector();
        let last = PmOff::new(at.get().saturating_add(len.get() - 1)).sector();
        match self.check(first, last.get() - first.get() + 1) {
            None => Ok(()),
            Some(bad) => Err(MediaError { at: PmOff::new(at.get().max(bad.start.get() * SECTOR_SIZE)) }),
        }
    }

    /// Marks `count` sectors from `start` bad. One that was acknowledged before stays so.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn set(&mut self, start: Sector, count: u64, acknowledged: bool) -> Result<(), BadblocksError> {
        self.paint(start, count, |was| Some(acknowledged || was == Some(true)))
    }

    /// Marks `count` sectors from `start` good.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed. A clear in the middle of a range makes two of it.
    pub fn clear(&mut self, start: Sector, count: u64) -> Result<(), BadblocksError> {
        self.paint(start, count, |_| None)
    }

    /// Marks the bad ones among `count` sectors from `start` as recorded.
    ///
    /// # Errors
    /// [`BadblocksError`]; nothing has changed.
    pub fn acknowledge(&mut self, start: Sector, count: u64) -> Result<(), BadblocksError> {
        self.paint(start, count, |was| was.map(|_| true))
    }

    /// Marks every bad sector as recorded, in place: neighbours that differed in that alone become one.
    pub fn acknowledge_all(&mut self) {
        self.ranges.iter_mut().for_each(|range| range.acknowledged = true);
        self.ranges.dedup_by(|next, range| {
            let touch = range.end() == next.start;
            if touch {
                range.count += next.count;
            }
            touch
        });
    }

    /// Gives every sector of a range a new colour, made from its old one: `None` is good, `Some(acknowledged)` bad.
    fn paint(
        &mut self,
        start: Sector,
        count: u64,
        colour: impl Fn(Option<bool>) -> Option<bool>,
    ) -> Result<(), BadblocksError> {
        let (start, end) = (start.get(), start.get().checked_add(count).ok_or(BadblocksError::PastEnd)?);
        if end > self.sectors {
            return Err(BadblocksError::PastEnd);
        }
        let mut painted = Painted(Vec::new());
        // The two edges split a range each, and there is one gap more than ranges.
        painted.0.try_reserve(self.ranges.len() * 2 + 3).map_err(|_| BadblocksError::OutOfMemory)?;
        let mut inside = start;
        for old in &self.ranges {
            let (from, to, was) = (old.start.get(), old.end().get(), Some(old.acknowledged));
            painted.add(from, to.min(start), was);
            let (hit_from, hit_to) = (from.clamp(start, end), to.clamp(start, end));
            painted.add(inside, hit_from, colour(None));
            painted.add(hit_from, hit_to, colour(was));
            inside = inside.max(hit_to);
            if from >= end {
                painted.add(inside, end, colour(None));
                inside = end;
            }
            painted.add(from.max(end), to, was);
        }
        painted.add(inside, end, colour(None));
        self.ranges = painted.0;
        Ok(())
    }

    /// Panics unless the ranges are sorted, merged, not empty and on the device. For tests and debug builds.
    pub fn validate(&self) {
        for range in &self.ranges {
            assert!(range.count > 0 && range.end().get() <= self.sectors);
        }
        for pair in self.ranges.windows(2) {
            let touching = pair[0].end() == pair[1].start && pair[0].acknowledged != pair[1].acknowledged;
            assert!(pair[0].end() < pair[1].start || touching);
        }
    }
}

/// A list under construction, from low to high.
struct Painted(Vec<BadRange>);

impl Painted {
    /// Appends `from..to` unless it is empty or good, to the last range where the two touch and agree.
    fn add(&mut self, from: u64, to: u64, colour: Option<bool>) {
        let Some(acknowledged) = colour else { return };
        if from >= to {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end().get() == from && last.acknowledged == acknowledged => last.count += to - from,
            _ => self.0.push(BadRange { start: Sector::new(from), count: to - from, acknowledged }),
        }
    }
}
