//! Free blocks: runs by place and by length, with a reserve so that a full medium can still be emptied.
//!
//! Nothing of this is on the medium. A mount takes everything no live record names as free.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use units::BlockNr;

use crate::error::Error;
use crate::format::SEGMENT_BLOCKS;

/// Blocks that only what frees blocks may take.
const RESERVE: u64 = 16;
/// Segment copies put aside, at least: one segment for records that free blocks, and two for a new log.
const SPARES: usize = 6;
/// Blocks in 2 MiB.
pub(crate) const HUGE: u64 = 512;
/// Runs of at least 2 MiB looked through for one that holds an aligned part.
const TRIES: usize = 64;

/// Blocks that lie one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Run {
    pub(crate) start: BlockNr,
    pub(crate) blocks: u64,
}

impl Run {
    pub(crate) fn new(start: u64, blocks: u64) -> Self {
        Self { start: BlockNr::new(start), blocks }
    }

    fn first(self) -> u64 {
        self.start.get()
    }

    fn end(self) -> u64 {
        self.start.get() + self.blocks
    }
}

/// What blocks are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Something new: the reserve stays.
    Grow,
    /// Something that frees more than it takes: the reserve is for this.
    Shrink,
    /// A new log, which frees the old one: the reserve is for this too.
    Checkpoint,
}

/// Where blocks are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// How many.
    pub(crate) blocks: u64,
    /// The file block they begin at: where there is room, the medium's block agrees with it modulo 2 MiB.
    pub(crate) file: u64,
    /// The block behind the file's last.
    pub(crate) goal: Option<BlockNr>,
    /// What for.
    pub(crate) purpose: Purpose,
}

/// What is free, and what is pinned.
pub(crate) struct FreeSpace {
    by_start: BTreeMap<u64, u64>,
    /// Length, then start.
    by_length: BTreeSet<(u64, u64)>,
    free: u64,
    /// First blocks of free segment copies, put aside.
    spares: Vec<BlockNr>,
    /// How many there are to be.
    wanted: usize,
    /// Blocks in the file system.
    pub(crate) total: u64,
    /// Blocks of the log and its extent blocks.
    pub(crate) log: u64,
    /// Bad blocks that nobody has: those that wait to be healed, and those that could not be.
    pub(crate) lost: u64,
    /// The former.
    sick: Vec<Run>,
    /// Blocks that only pins hold.
    pub(crate) pinned: u64,
    /// Inodes that live.
    pub(crate) inodes: u64,
}

impl FreeSpace {
    /// Everything in `free` is free; `total` blocks there are.
    pub(crate) fn new(total: u64, free: impl IntoIterator<Item = Run>) -> Self {
        let mut space = Self {
            by_start: BTreeMap::new(),
            by_length: BTreeSet::new(),
            free: 0,
            spares: Vec::with_capacity(SPARES),
            wanted: SPARES,
            total,
            log: 0,
            lost: 0,
            sick: Vec::new(),
            pinned: 0,
            inodes: 0,
        };
        for run in free.into_iter().filter(|run| run.blocks > 0) {
            space.insert(run);
        }
        space.refill();
        space
    }

    /// Blocks in no use, those put aside among them.
    pub(crate) fn free_blocks(&self) -> u64 {
        self.free + self.spares.len() as u64 * SEGMENT_BLOCKS
    }

    /// Blocks that [`Purpose::Grow`] can have.
    pub(crate) fn available(&self) -> u64 {
        self.free.saturating_sub(RESERVE)
    }

    /// Takes blocks, in as few runs as there are and aligned to 2 MiB where many are wanted, and gives each run to `each`.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; nothing is taken then.
    pub(crate) fn take(&mut self, wish: Wish, mut each: impl FnMut(Run)) -> Result<(), Error> {
        let limit = match wish.purpose {
            Purpose::Grow => self.available(),
            Purpose::Shrink | Purpose::Checkpoint => self.free,
        };
        if wish.blocks > limit {
            return Err(Error::NoSpace);
        }
        let (mut file, mut left, mut goal) = (wish.file, wish.blocks, wish.goal);
        while left > 0 {
            let Some(run) = self.pick(file, left, goal) else { return Err(Error::NoSpace) };
            self.cut(run);
            each(run);
            (file, left, goal) = (file + run.blocks, left - run.blocks, None);
        }
        Ok(())
    }

    /// How many runs so many blocks can come in, at most.
    pub(crate) fn pieces(&self, blocks: u64) -> usize {
        self.by_start.len().min(usize::try_from(blocks).unwrap_or(usize::MAX))
    }

    /// Takes two copies of a log segment.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; nothing is taken then.
    pub(crate) fn take_segment(&mut self, purpose: Purpose) -> Result<[BlockNr; 2], Error> {
        let found = self.take_copies(purpose);
        if found.is_ok() {
            self.log += 2 * SEGMENT_BLOCKS;
        }
        found
    }

    fn take_copies(&mut self, purpose: Purpose) -> Result<[BlockNr; 2], Error> {
        self.refill();
        let may = purpose != Purpose::Grow || self.spares.len() >= self.wanted;
        if may
            && self.available() >= 2 * SEGMENT_BLOCKS
            && let Some(first) = self.take_copy()
        {
            if let Some(second) = self.take_copy() {
                return Ok([first, second]);
            }
            self.insert(Run { start: first, blocks: SEGMENT_BLOCKS });
        }
        match (purpose, self.spares.as_slice()) {
            (Purpose::Shrink | Purpose::Checkpoint, [.., second, first]) => {
                let pair = [*first, *second];
                self.spares.truncate(self.spares.len() - 2);
                Ok(pair)
            }
            _ => Err(Error::NoSpace),
        }
    }

    /// Gives blocks back.
    pub(crate) fn give(&mut self, runs: &[Run]) {
        for run in runs {
            self.insert(*run);
        }
        if self.spares.len() < self.wanted {
            self.refill();
        }
    }

    /// Keeps bad blocks, which nobody has, out of use until they are healed.
    pub(crate) fn keep_out(&mut self, runs: Vec<Run>) {
        self.lost += runs.iter().map(|run| run.blocks).sum::<u64>();
        self.sick.extend(runs);
    }

    /// The next blocks to be healed, `most` at most.
    pub(crate) fn next_sick(&mut self, most: u64) -> Option<Run> {
        let last = self.sick.last_mut()?;
        if last.blocks <= most {
            return self.sick.pop();
        }
        last.blocks -= most;
        Some(Run::new(last.end(), most))
    }

    /// Gives blocks back that were bad.
    pub(crate) fn give_healed(&mut self, runs: &[Run]) {
        self.lost -= runs.iter().map(|run| run.blocks).sum::<u64>();
        self.give(runs);
    }

    /// Puts aside so many segments, of two copies each, as far as there is room; never fewer than three. While there are
    /// fewer, nothing that grows has a segment.
    pub(crate) fn keep_aside(&mut self, segments: usize) {
        self.wanted = SPARES.max(2 * segments);
        while self.spares.len() > self.wanted {
            let Some(start) = self.spares.pop() else { break };
            self.insert(Run { start, blocks: SEGMENT_BLOCKS });
        }
        self.refill();
    }

    /// Whether [`Purpose::Grow`] could have a segment.
    pub(crate) fn has_segment(&self) -> bool {
        self.spares.len() >= self.wanted && self.available() >= 2 * SEGMENT_BLOCKS && self.has_copies(self.wanted + 2)
    }

    /// Whether there is room for so many copies of segments, those put aside among them.
    pub(crate) fn has_copies(&self, wanted: usize) -> bool {
        let mut missing = wanted.saturating_sub(self.spares.len()) as u64;
        for &(blocks, _) in self.by_length.iter().rev().take_while(|run| run.0 >= SEGMENT_BLOCKS) {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(blocks / SEGMENT_BLOCKS);
        }
        missing == 0
    }

    fn take_copy(&mut self) -> Option<BlockNr> {
        let &(_, start) = self.by_length.range((SEGMENT_BLOCKS, 0)..).next()?;
        self.cut(Run::new(start, SEGMENT_BLOCKS));
        Some(BlockNr::new(start))
    }

    fn refill(&mut self) {
        while self.spares.len() < self.wanted {
            let Some(copy) = self.take_copy() else { return };
            self.spares.push(copy);
        }
    }

    /// The best run for file block `file` and, as far as it goes, the `left` behind it. Nothing is taken yet.
    fn pick(&self, file: u64, left: u64, goal: Option<BlockNr>) -> Option<Run> {
        let huge = left >= HUGE || (file >= HUGE && file.is_multiple_of(HUGE));
        if let Some(run) = goal.and_then(|goal| self.at_goal(goal.get(), file, left, huge)) {
            return Some(run);
        }
        if huge && let Some(run) = self.aligned(file, left) {
            return Some(run);
        }
        if let Some(&(_, start)) = self.by_length.range((left, 0)..).next() {
            return Some(Run::new(start, left));
        }
        self.by_length.last().map(|&(blocks, start)| Run::new(start, blocks))
    }

    /// The run at `goal`, unless it would keep a large file out of step with 2 MiB.
    fn at_goal(&self, goal: u64, file: u64, left: u64, huge: bool) -> Option<Run> {
        let (&start, &blocks) = self.by_start.range(..=goal).next_back()?;
        let room = (start + blocks).checked_sub(goal).filter(|&room| room > 0)?;
        (!huge || goal % HUGE == file % HUGE).then(|| Run::new(goal, room.min(left)))
    }

    /// A run that agrees with `file` modulo 2 MiB and is as long as can be, whole multiples where it is not all.
    fn aligned(&self, file: u64, left: u64) -> Option<Run> {
        let fit = |&(blocks, start): &(u64, u64)| {
            let first = start + (file % HUGE + HUGE - start % HUGE) % HUGE;
            let room = (start + blocks).checked_sub(first)?;
            // A run that does not hold all ends where the next can go on aligned.
            let whole = if room >= left { left } else { room.saturating_sub((file + room) % HUGE) };
            (whole >= HUGE.min(left) && whole > 0).then(|| Run::new(first, whole))
        };
        let all = self.by_length.range((left.saturating_add(HUGE - 1), 0)..).next();
        if let Some(run) = all.and_then(fit) {
            return Some(run);
        }
        self.by_length.iter().rev().take_while(|(blocks, _)| *blocks >= HUGE.min(left)).take(TRIES).find_map(fit)
    }

    /// Takes `run`, which is free, out.
    fn cut(&mut self, run: Run) {
        let Some((&start, &blocks)) = self.by_start.range(..=run.first()).next_back() else { return };
        debug_assert!(start + blocks >= run.end(), "{run:?} is not free");
        self.by_start.remove(&start);
        self.by_length.remove(&(blocks, start));
        for (start, end) in [(start, run.first()), (run.end(), start + blocks)] {
            if start < end {
                self.by_start.insert(start, end - start);
                self.by_length.insert((end - start, start));
            }
        }
        self.free -= run.blocks;
    }

    /// Puts `run`, which is not free, in, as one with its neighbours.
    fn insert(&mut self, run: Run) {
        let (mut first, mut end) = (run.first(), run.end());
        if let Some((&start, &blocks)) = self.by_start.range(..first).next_back() {
            debug_assert!(start + blocks <= first, "{run:?} is free already");
            if start + blocks == first {
                self.by_start.remove(&start);
                self.by_length.remove(&(blocks, start));
                first = start;
            }
        }
        if let Some((&start, &blocks)) = self.by_start.range(run.first()..).next() {
            debug_assert!(start >= end, "{run:?} is free already");
            if start == end {
                self.by_start.remove(&start);
                self.by_length.remove(&(blocks, start));
                end += blocks;
            }
        }
        self.by_start.insert(first, end - first);
        self.by_length.insert((end - first, first));
        self.free += run.blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    impl FreeSpace {
        /// Restates what always holds.
        fn validate(&self) {
            let by_start: Vec<(u64, u64)> = self.by_start.iter().map(|(&start, &blocks)| (blocks, start)).collect();
            assert!(by_start.iter().all(|run| self.by_length.contains(run)));
            assert_eq!(by_start.len(), self.by_length.len());
            assert_eq!(by_start.iter().map(|run| run.0).sum::<u64>(), self.free);
            assert!(by_start.windows(2).all(|pair| pair[0].1 + pair[0].0 < pair[1].1), "neighbours are one run");
        }
    }

    fn wish(blocks: u64, file: u64) -> Wish {
        Wish { blocks, file, goal: None, purpose: Purpose::Grow }
    }

    proptest! {
        #[test]
        fn no_block_is_given_twice(
            steps in prop::collection::vec((1u64..1500, 0u64..2000, prop::option::of(0u64..8192), any::<bool>()), 1..200)
        ) {
            const TOTAL: u64 = 8192;
            let mut space = FreeSpace::new(TOTAL, [Run::new(3, TOTAL - 3)]);
            let mut owner = vec![false; TOTAL as usize];
            let mut held: Vec<Vec<Run>> = Vec::new();
            for (blocks, file, goal, give) in steps {
                if give && !held.is_empty() {
                    let runs = held.swap_remove(blocks as usize % held.len());
                    for run in &runs {
                        owner[run.first() as usize..run.end() as usize].fill(false);
                    }
                    space.give(&runs);
                } else {
                    let (available, mut runs) = (space.available(), Vec::new());
                    let taken = space.take(Wish { goal: goal.map(BlockNr::new), ..wish(blocks, file) }, |run| runs.push(run));
                    prop_assert_eq!(taken.is_ok(), blocks <= available);
                    prop_assert_eq!(runs.iter().map(|run| run.blocks).sum::<u64>(), if taken.is_ok() { blocks } else { 0 });
                    for run in &runs {
                        let blocks = &mut owner[run.first() as usize..run.end() as usize];
                        prop_assert!(blocks.iter().all(|taken| !taken), "{:?} was taken before", run);
                        blocks.fill(true);
                    }
                    held.push(runs);
                }
                space.validate();
                let owned = owner.iter().filter(|taken| **taken).count() as u64;
                prop_assert_eq!(space.free_blocks(), TOTAL - 3 - owned);
            }
        }
    }

    #[test]
    fn large_runs_keep_step_with_the_file_and_small_ones_fill_the_gaps() {
        let mut space = FreeSpace::new(8192, [Run::new(100, 8000)]);
        let mut runs = Vec::new();
        space.take(wish(1000, 5), |run| runs.push(run)).unwrap();
        assert_eq!((runs.len(), runs[0].first() % HUGE), (1, 5));
        let mut small = Vec::new();
        space.take(wish(10, 0), |run| small.push(run)).unwrap();
        assert!(small[0].end() < runs[0].first(), "the gap before comes first");
    }

    #[test]
    fn the_reserve_is_for_what_shrinks() {
        let mut space = FreeSpace::new(512, [Run::new(17, 495)]);
        let mut runs = Vec::new();
        space.take(wish(space.available(), 0), |run| runs.push(run)).unwrap();
        assert_eq!(space.take(wish(1, 0), |run| runs.push(run)), Err(Error::NoSpace));
        assert_eq!(space.take_segment(Purpose::Grow), Err(Error::NoSpace));
        space.take(Wish { purpose: Purpose::Shrink, ..wish(1, 0) }, |run| runs.push(run)).unwrap();
        for _ in 0..SPARES / 2 {
            space.take_segment(Purpose::Shrink).unwrap();
        }
        assert_eq!(space.take_segment(Purpose::Shrink), Err(Error::NoSpace));
    }
}
