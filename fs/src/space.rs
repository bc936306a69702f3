//! Free blocks: by groups of 2 MiB, with a reserve so that a full medium can still be emptied.
//!
//! Nothing of this is on the medium. A mount takes everything no live record names as free.
//!
//! A group that is free as a whole is kept for what is large: small wishes go to groups that are in use already, the
//! fullest first, and break a whole one only where no other has room. So large files find aligned 2 MiB however long the
//! medium has been in use, and a block costs a bit, not a node of a tree. A large file's block, overwritten, goes back
//! to its aligned place as soon as that is free.

mod group;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use units::BlockNr;

use crate::error::Error;
use crate::format::SEGMENT_BLOCKS;
use crate::seeded::{Bug, seeded};
use group::Group;
pub(crate) use group::HUGE;

/// Blocks that only what frees blocks may take.
const RESERVE: u64 = 16;
/// Segment copies put aside, at least: one segment for records that free blocks, and two for a new log.
const SPARES: usize = 6;
/// Groups looked at for one that fits well.
const TRIES: usize = 64;
/// Blocks in a piece that is worth taking for what is not large.
const PIECE: u64 = 16;
/// Segment copies in a group.
const COPIES: u64 = HUGE / SEGMENT_BLOCKS;

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

    /// All of it but `block`: what lies before and what behind.
    pub(crate) fn but(self, block: BlockNr) -> impl Iterator<Item = Self> {
        let cut = block.get().clamp(self.first(), self.end());
        let behind = (block.get() + 1).clamp(self.first(), self.end());
        [Self::new(self.first(), cut - self.first()), Self::new(behind, self.end() - behind)]
            .into_iter()
            .filter(|part| part.blocks > 0)
    }

    /// Its first part, of at most so many blocks.
    fn at_most(self, blocks: u64) -> Self {
        Self { blocks: self.blocks.min(blocks), ..self }
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
    /// Where they are wanted most.
    pub(crate) near: Near,
    /// What for.
    pub(crate) purpose: Purpose,
}

/// Good places for blocks of a file.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Near {
    /// The block behind the file's last.
    pub(crate) goal: Option<BlockNr>,
    /// Where the first would lie in step with those of the same 2 MiB of the file.
    pub(crate) home: Option<BlockNr>,
    /// What the same 2 MiB of the file will hold.
    pub(crate) around: Around,
}

/// What a file will hold around a block that it gets, in the same 2 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Around {
    /// Nobody knows.
    #[default]
    Unknown,
    /// All of it, in any order, and nothing has a block yet.
    Nothing,
    /// All of it, in any order, and something has a block.
    Some,
}

/// Whether a wish is for whole 2 MiB, or begins one of a file that has them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

/// What is free, and what is pinned.
pub(crate) struct FreeSpace {
    /// Groups of which some blocks are free, by number.
    partial: BTreeMap<u64, Group>,
    /// Runs of groups that are wholly free: the first group, how many.
    whole: BTreeMap<u64, u64>,
    /// Groups in them.
    whole_groups: u64,
    /// Groups in use that may have room for a copy of a segment. Those that have are here.
    roomy: BTreeSet<u64>,
    /// Runs of free blocks in groups in use.
    runs: i64,
    /// The groups that small wishes are served from: those below [`PIECE`], and others.
    current: [u64; 2],
    /// The one group among those in use that may have nothing free.
    drained: u64,
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
    /// Free but for somebody outside who holds a page of them.
    pub(crate) held: Vec<Run>,
    /// Blocks that only pins hold.
    pub(crate) pinned: u64,
    /// Inodes that live.
    pub(crate) inodes: u64,
}

impl FreeSpace {
    /// Everything in `free` is free; `total` blocks there are.
    pub(crate) fn new(total: u64, free: impl IntoIterator<Item = Run>) -> Self {
        let mut space = Self {
            partial: BTreeMap::new(),
            whole: BTreeMap::new(),
            whole_groups: 0,
            roomy: BTreeSet::new(),
            runs: 0,
            current: [0; 2],
            drained: 0,
            free: 0,
            spares: Vec::with_capacity(SPARES),
            wanted: SPARES,
            total,
            log: 0,
            lost: 0,
            sick: Vec::new(),
            held: Vec::new(),
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

    /// Takes blocks, in few runs and aligned to 2 MiB where many are wanted, and gives each run to `each`.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; nothing is taken then.
    pub(crate) fn take(&mut self, wish: Wish, mut each: impl FnMut(Run)) -> Result<(), Error> {
        let limit = match wish.purpose {
            Purpose::Grow if !seeded(Bug::ReserveIgnored) => self.available(),
            Purpose::Grow | Purpose::Shrink | Purpose::Checkpoint => self.free,
        };
        if wish.blocks > limit {
            return Err(Error::NoSpace);
        }
        let (mut file, mut left, mut near) = (wish.file, wish.blocks, wish.near);
        while left > 0 {
            // There are as many free blocks as are wanted, and each one is in a group.
            let Some((run, size)) = self.pick(file, left, near) else { return Err(Error::NoSpace) };
            self.cut(run);
            if size == Size::Large {
                // The rest of the last group is for what comes behind it in the file.
                self.keep(run.end() / HUGE);
            }
            each(run);
            (file, left) = (file + run.blocks, left - run.blocks);
            near = Near { goal: Some(BlockNr::new(run.end())), ..Near::default() };
        }
        Ok(())
    }

    /// How many runs so many blocks can come in, at most.
    pub(crate) fn pieces(&self, blocks: u64) -> usize {
        if blocks == 1 {
            return 1;
        }
        let runs = usize::try_from(self.runs).unwrap_or(0) + 2 * self.whole.len();
        runs.min(usize::try_from(blocks).unwrap_or(usize::MAX))
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

    /// Notes blocks that only pins hold, and others that not even those do any more.
    pub(crate) fn count_pinned(&mut self, more: u64, less: u64) {
        // On two CPUs the end of a pin may get here before the change that retired what it saw.
        self.pinned = self.pinned.wrapping_add(more).wrapping_sub(less);
    }

    /// Gives blocks back that a large file may want again.
    pub(crate) fn give_homes(&mut self, runs: &[Run]) {
        if runs.is_empty() {
            return;
        }
        self.give(runs);
        for run in runs {
            self.keep(run.first() / HUGE);
            self.keep((run.end() - 1) / HUGE);
        }
    }

    /// Has others stay out of what is free in a group in use, while there is room elsewhere.
    fn keep(&mut self, number: u64) {
        if let Some(group) = self.partial.get_mut(&number) {
            group.kept = true;
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
    pub(crate) fn has_segment(&mut self) -> bool {
        self.spares.len() >= self.wanted && self.available() >= 2 * SEGMENT_BLOCKS && self.has_copies(self.wanted + 2)
    }

    /// Whether there is room for so many copies of segments, those put aside among them.
    pub(crate) fn has_copies(&mut self, wanted: usize) -> bool {
        let mut missing = wanted.saturating_sub(self.spares.len()) as u64;
        missing = missing.saturating_sub(self.whole_groups.saturating_mul(COPIES));
        let mut from = 0;
        while missing > 0
            && let Some(&number) = self.roomy.range(from..).next()
        {
            let runs = self.partial.get(&number).into_iter().flat_map(Group::runs);
            let copies: u64 = runs.map(|run| u64::from(run.1) / SEGMENT_BLOCKS).sum();
            if copies == 0 {
                self.unlist(number);
            }
            (missing, from) = (missing.saturating_sub(copies), number + 1);
        }
        missing == 0
    }

    fn take_copy(&mut self) -> Option<BlockNr> {
        let run = self.roomy_run()?;
        self.cut(run);
        Some(run.start)
    }

    /// A run for a copy of a segment: in the fullest group in use, in a wholly free one, or in one that is kept.
    fn roomy_run(&mut self) -> Option<Run> {
        let (mut best, mut from, mut tries) = (None, 0, TRIES);
        while let Some(&number) = self.roomy.range(from..).next().filter(|_| tries > 0) {
            from = number + 1;
            let group = self.partial.get(&number);
            match group
                .and_then(|group| Some((group.kept, group.free(), number, group.first_fit(SEGMENT_BLOCKS as u32)?)))
            {
                Some(found) => (best, tries) = (Some(best.map_or(found, |best| found.min(best))), tries - 1),
                // Nobody looks there again before something in it is given back.
                None => self.unlist(number),
            }
        }
        let whole = || self.whole_group().filter(|_| best.is_none_or(|(kept, ..)| kept));
        let in_use = best.map(|(.., number, at)| Run::new(number * HUGE + u64::from(at), SEGMENT_BLOCKS));
        whole().or(in_use).map(|run| run.at_most(SEGMENT_BLOCKS))
    }

    fn unlist(&mut self, number: u64) {
        self.roomy.remove(&number);
        if let Some(group) = self.partial.get_mut(&number) {
            group.listed = false;
        }
    }

    fn refill(&mut self) {
        while self.spares.len() < self.wanted {
            let Some(copy) = self.take_copy() else { return };
            self.spares.push(copy);
        }
    }

    /// The best run for file block `file` and, as far as it goes, the `left` behind it. Nothing is taken yet.
    fn pick(&mut self, file: u64, left: u64, near: Near) -> Option<(Run, Size)> {
        let into = file % HUGE;
        let begins_huge = match near.around {
            Around::Nothing => true,
            Around::Some => false,
            Around::Unknown => into == 0 && (file >= HUGE || near.home.is_some()),
        };
        let is_large = left >= HUGE || (begins_huge && self.is_roomy());
        let in_step = near.goal.filter(|goal| goal.get() % HUGE == into);
        // What is large wants all of its 2 MiB, so that those that follow find their places.
        let reaches = |run: &Run| !is_large || run.blocks >= HUGE - into;
        let size = if is_large { Size::Large } else { Size::Small };
        if let Some(run) = in_step.and_then(|goal| self.run_at(goal.get(), size)).filter(reaches) {
            return Some((run.at_most(left), size));
        }
        if is_large && let Some(run) = self.aligned(file, left) {
            return Some((run, size));
        }
        let home = near.home.and_then(|home| self.run_at(home.get(), Size::Small));
        let behind = || near.goal.filter(|_| left < HUGE).and_then(|goal| self.run_at(goal.get(), Size::Small));
        if let Some(run) = home.or_else(behind) {
            return Some((run.at_most(left), Size::Small));
        }
        self.small(left).map(|run| (run, Size::Small))
    }

    /// The free run that begins at block `at`, as far as its group goes; in a wholly free one only for what is large.
    fn run_at(&self, at: u64, size: Size) -> Option<Run> {
        let number = at / HUGE;
        if let Some(group) = self.partial.get(&number) {
            let room = group.room_at((at % HUGE) as u32);
            return (room > 0).then(|| Run::new(at, room.into()));
        }
        let (&first, &groups) = self.whole.range(..=number).next_back().filter(|_| size == Size::Large)?;
        let room = ((first + groups) * HUGE).checked_sub(at).filter(|&room| room > 0)?;
        Some(Run::new(at, room))
    }

    /// A run in wholly free groups that agrees with `file` modulo 2 MiB, of as many of the `left` blocks as can be.
    fn aligned(&self, file: u64, left: u64) -> Option<Run> {
        let into = file % HUGE;
        let wanted = (into + left).div_ceil(HUGE);
        let mut runs = self.whole.iter().take(TRIES);
        let found = runs.clone().find(|run| *run.1 >= wanted).or_else(|| runs.by_ref().max_by_key(|run| *run.1));
        let run = found.map(|(&first, &groups)| Run::new(first * HUGE + into, groups * HUGE - into).at_most(left))?;
        // Where little is whole any more, what is left behind the last whole 2 MiB goes to groups in use.
        let behind = run.end() % HUGE;
        Some(if run.blocks > behind && !self.is_roomy() { run.at_most(run.blocks - behind) } else { run })
    }

    /// Whether most of what is free is wholly free groups: one more may be begun without thrift.
    fn is_roomy(&self) -> bool {
        2 * self.whole_groups * HUGE >= self.free
    }

    /// A run for at most `left` blocks in a group that is in use already, or else in one that is not. What is no multiple of
    /// 2 MiB gains little by lying in one piece, so a piece of [`PIECE`] blocks will do.
    fn small(&mut self, left: u64) -> Option<Run> {
        let wanted = left.min(PIECE) as u32;
        let fits = |group: &Group| match wanted {
            1 => group.first_free().map(|at| (at, 1)),
            _ => group.longest().filter(|run| run.1 >= wanted),
        };
        let run_in = |number: u64, (at, blocks): (u32, u32)| {
            Run::new(number * HUGE + u64::from(at), blocks.into()).at_most(left)
        };
        let size = usize::from(left >= PIECE);
        let current = self.current[size];
        if let Some(run) = self.partial.get(&current).filter(|group| !group.kept).and_then(fits) {
            return Some(run_in(current, run));
        }
        let behind = self.partial.range((Bound::Excluded(current), Bound::Unbounded));
        let others = behind.chain(self.partial.range(..=current)).take(TRIES);
        let fitting = others.clone().filter_map(|(&number, group)| Some((group, number, fits(group)?)));
        // The fullest; one with places of a large file is better than breaking a whole one only where these are few.
        let best = fitting.min_by_key(|(group, ..)| (group.kept, group.free()));
        if let Some((group, number, run)) = best
            && !(group.kept && self.is_roomy())
        {
            self.current[size] = number;
            return Some(run_in(number, run));
        }
        if let Some(run) = self.whole_group() {
            self.current[size] = run.first() / HUGE;
            return Some(run.at_most(left));
        }
        let longest = others.filter_map(|(&number, group)| Some((number, group.longest()?)));
        let (number, run) = longest.max_by_key(|found| found.1.1)?;
        Some(run_in(number, run))
    }

    /// A wholly free group, of those that lie together in small numbers.
    fn whole_group(&self) -> Option<Run> {
        let (&first, _) = self.whole.iter().take(TRIES).min_by_key(|run| *run.1)?;
        Some(Run::new(first * HUGE, HUGE))
    }

    /// Takes `run`, which is free and lies in one group or in wholly free ones, out.
    fn cut(&mut self, run: Run) {
        self.free -= run.blocks;
        let (number, from) = (run.first() / HUGE, (run.first() % HUGE) as u32);
        if let Some(group) = self.partial.get_mut(&number) {
            self.runs += group.take(from, from + run.blocks as u32);
            if group.free() == 0 {
                self.note_drained(number);
            }
            return;
        }
        let Some((&first, &groups)) = self.whole.range(..=number).next_back() else { return };
        let (end, behind) = (first + groups, run.end().div_ceil(HUGE));
        debug_assert!(behind <= end, "{run:?} is not free");
        self.whole.remove(&first);
        self.whole_groups -= behind - number;
        for (from, to) in [(first, number), (behind, end)] {
            if from < to {
                self.whole.insert(from, to - from);
            }
        }
        // What the run leaves of its first and its last group.
        self.free_in_groups(number * HUGE, run.first());
        self.free_in_groups(run.end(), behind * HUGE);
    }

    /// Nothing is left in group `number`. The last such group stays known: what is given back next is often its own.
    fn note_drained(&mut self, number: u64) {
        let before = core::mem::replace(&mut self.drained, number);
        if before != number && self.partial.get(&before).is_some_and(|group| group.free() == 0) {
            self.partial.remove(&before);
        }
    }

    /// Puts `run`, which is not free, in.
    fn insert(&mut self, run: Run) {
        self.free += run.blocks;
        if run.blocks == 1 {
            return self.free_in_groups(run.first(), run.end());
        }
        let (first, behind) = (run.first().div_ceil(HUGE), run.end() / HUGE);
        if first < behind {
            self.free_in_groups(run.first(), first * HUGE);
            self.insert_whole(first, behind);
            self.free_in_groups(behind * HUGE, run.end());
        } else {
            let middle = (behind * HUGE).clamp(run.first(), run.end());
            self.free_in_groups(run.first(), middle);
            self.free_in_groups(middle, run.end());
        }
    }

    /// Makes the blocks `from..to`, all of one group and not all of it, or none at all, free.
    fn free_in_groups(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let number = from / HUGE;
        let group = self.partial.entry(number).or_insert_with(Group::used);
        let first = (from % HUGE) as u32;
        self.runs += group.give(first, first + (to - from) as u32);
        group.kept = false;
        if u64::from(group.free()) == HUGE {
            self.runs -= 1;
            self.partial.remove(&number);
            self.insert_whole(number, number + 1);
        } else if !group.listed && u64::from(group.free()) >= SEGMENT_BLOCKS {
            group.listed = true;
            self.roomy.insert(number);
        }
    }

    /// Notes that the groups `first..behind` are wholly free.
    fn insert_whole(&mut self, mut first: u64, mut behind: u64) {
        self.whole_groups += behind - first;
        if let Some((&before, &groups)) = self.whole.range(..first).next_back()
            && before + groups == first
        {
            self.whole.remove(&before);
            first = before;
        }
        if let Some(groups) = self.whole.remove(&behind) {
            behind += groups;
        }
        self.whole.insert(first, behind - first);
    }
}

#[cfg(test)]
mod tests;
