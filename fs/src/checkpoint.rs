//! Checkpoints: the log written anew, with what lives alone, a little in each call.
//!
//! The log only grows, so from time to time a new one is begun in other segments, under a generation no log here ever
//! had. Each change of the file system first takes the new log a bounded step further: it records inodes as they are now,
//! in rising number. Every record that goes to the old log meanwhile goes to the new one too, as far as it is about
//! inodes that are there already; the others are still to come. Items assign, so what is said twice does no harm.
//!
//! Nobody reads the new log until the superblock names it, so it needs no fence but one before that. From that moment on
//! the old log's blocks are free, and are given back a few in each call. A cut before leaves the old log, which has
//! everything, and a little free space with old records in it: their generation is never used again, for the
//! superblock has said so before the first of them was stored.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pmem::medium::Medium;
use pmem::order::{Batch, Cleaned};
use units::Ino;

use crate::error::Error;
use crate::extents::Extents;
use crate::format::{BLOCK, InodeItem, MAX_COUNT, SEGMENT_BLOCKS, SEGMENT_BYTES, Superblock};
use crate::inode::{Content, Inode};
use crate::items::{self, Item};
use crate::log::{Copies, Tail};
use crate::names::Names;
use crate::payload::{Payload, runs_of};
use crate::replay::Loaded;
use crate::seeded::{Bug, seeded};
use crate::space::{Purpose, Run};
use crate::superblock;
use crate::types::MAX_FILE_SIZE;
use crate::volume::{Commit, Volume};

/// Bytes of items recorded in one step, about.
const STEP: usize = 4096;
/// Extents of one file recorded in one step.
const PIECE: usize = 128;
/// Runs of an old log given back in one step.
const GIVEN: usize = 16;
/// A segment with less room than this may be too full for the call that comes.
const NEARLY_FULL: u64 = 16 << 10;
/// Bytes of the item of an inode's attributes.
const INODE: u64 = size_of::<InodeItem>() as u64;
/// Where the number of what follows an inode's attributes begins: a file's blocks, a directory's cursors.
const START: u64 = 0;

/// What keeps the log short; a part of [`Commit`].
pub(crate) struct Upkeep {
    superblock: Superblock,
    /// The log's own blocks: both copies of its segments and of its extent blocks.
    blocks: Vec<Run>,
    /// Bytes that what lives took when it was last counted.
    live: u64,
    /// How many more the log may have before it is written anew.
    slack: u64,
    /// Below this length of the log none is begun: there was no room for one.
    wait_until: u64,
    running: Option<Checkpoint>,
    /// Blocks of an old log, to be given back.
    garbage: Vec<Run>,
}

/// A new log on its way.
struct Checkpoint {
    tail: Tail,
    first: Copies,
    blocks: Vec<Run>,
    stores: Batch<Cleaned>,
    /// Inodes below are in the new log; of this one, what lies before `part` is.
    at: u64,
    part: u64,
    /// Inodes from here on were made since, and are in it by their records.
    end: u64,
    /// Files whose mapping is to be recorded once more: a record named a list of the old log's.
    again: BTreeSet<u64>,
    /// Where the first of them is.
    again_part: u64,
}

impl Upkeep {
    /// For a log that has been replayed: its `blocks`, and what its `inodes` weigh.
    pub(crate) fn new<'a>(
        superblock: Superblock,
        blocks: Vec<Run>,
        inodes: impl Iterator<Item = &'a Loaded>,
        slack: Option<u64>,
    ) -> Self {
        // As much as is replayed in a fraction of a second; a segment on the smallest media.
        let usual = (superblock.blocks.get() * BLOCK / 256).clamp(SEGMENT_BYTES as u64, 4 * SEGMENT_BYTES as u64);
        Self {
            superblock,
            blocks,
            live: inodes.map(weight).sum(),
            slack: slack.unwrap_or(usual),
            wait_until: 0,
            running: None,
            garbage: Vec::new(),
        }
    }

    /// Whether a log of so many bytes is to be written anew.
    #[inline]
    fn is_due(&self, length: u64) -> bool {
        length > self.live.saturating_mul(2).saturating_add(self.slack)
    }

    /// Shows `each` the blocks of the log, of one that is on its way, and of one that is gone but not yet free.
    pub(crate) fn each_run(&self, each: impl FnMut(Run)) {
        let running = self.running.iter().flat_map(|running| &running.blocks);
        self.blocks.iter().chain(running).chain(&self.garbage).copied().for_each(each);
    }

    /// Notes that the log has these blocks too.
    pub(crate) fn own(&mut self, runs: impl IntoIterator<Item = Run>) {
        self.blocks.extend(runs);
    }

    /// Notes a segment of the log.
    pub(crate) fn own_segment(&mut self, copies: Option<Copies>) {
        if copies.is_some() {
            self.own(segment(copies));
        }
    }
}

/// The blocks of a segment.
fn segment(copies: Option<Copies>) -> impl Iterator<Item = Run> {
    copies.into_iter().flatten().map(|start| Run { start, blocks: SEGMENT_BLOCKS })
}

/// Bytes of items that say all of an inode.
fn weight(inode: &Loaded) -> u64 {
    let target = if inode.target.is_empty() { 0 } else { 24 + inode.target.len() as u64 };
    INODE + target + weight_of_names(&inode.names) + weight_of_extents(&inode.extents)
}

fn weight_of_names<T>(names: &Names<T>) -> u64 {
    names.len() as u64 * 32 + names.bytes()
}

fn weight_of_extents(extents: &Extents) -> u64 {
    match extents.count() {
        0 => 0,
        // A run for each, and one for a hole before it.
        runs => 24 + 32 * runs,
    }
}

/// Bytes of items that say all that lives now. Looks at every inode.
fn live_now<M: Medium>(volume: &Volume<M>) -> u64 {
    let (mut live, mut from) = (0, 0);
    while let Some(inode) = volume.inode_from(from) {
        let body = inode.body.lock();
        live += INODE
            + match &body.content {
                Content::Directory { names, .. } => weight_of_names(names),
                Content::Symlink(target) => 24 + target.len() as u64,
                Content::File(file) => weight_of_extents(&file.extents),
            };
        from = inode.ino.get() + 1;
    }
    live
}

/// Segments that a log of so many bytes has, and the one behind it.
fn segments_for(bytes: u64) -> usize {
    // A record never crosses the end of a segment, which may leave a step's worth unused.
    (bytes / (SEGMENT_BYTES - 3 * STEP) as u64) as usize + 2
}

/// The share of the log's upkeep that falls to one change; called before the change looks at anything.
#[inline]
pub(crate) fn step<M: Medium>(volume: &Volume<M>, commit: &mut Commit) {
    let upkeep = &commit.upkeep;
    let segment_ends = SEGMENT_BYTES as u64 - commit.tail.used() < NEARLY_FULL;
    if upkeep.is_due(commit.tail.bytes()) || segment_ends || upkeep.running.is_some() || !upkeep.garbage.is_empty() {
        work(volume, commit, segment_ends);
    }
}

fn work<M: Medium>(volume: &Volume<M>, commit: &mut Commit, segment_ends: bool) {
    give_some(volume, commit);
    let length = commit.tail.bytes();
    let stuck = |volume: &Volume<M>| segment_ends && !volume.free_space().has_segment();
    if segment_ends {
        // As much as the log takes now is enough for one that says the same, whatever comes.
        volume.free_space().keep_aside(segments_for(length) + 1);
    }
    let upkeep = &commit.upkeep;
    if upkeep.running.is_none() && length >= upkeep.wait_until && (upkeep.is_due(length) || stuck(volume)) {
        begin(volume, commit);
    }
    // Where the old log cannot go on, the new one is finished first; what that costs is bounded by what lives.
    while advance(volume, commit) == Progress::More && stuck(volume) {}
}

/// Gives back a few blocks of an old log.
fn give_some<M: Medium>(volume: &Volume<M>, commit: &mut Commit) {
    let garbage = &mut commit.upkeep.garbage;
    let some = garbage.split_off(garbage.len().saturating_sub(GIVEN));
    if !some.is_empty() {
        volume.give_log(some);
    }
}

/// Begins a checkpoint, if none is under way and there is room for one.
pub(crate) fn begin<M: Medium>(volume: &Volume<M>, commit: &mut Commit) {
    let end = commit.next_ino();
    let upkeep = &mut commit.upkeep;
    if upkeep.running.is_some() {
        return;
    }
    if seeded(Bug::LogFreedEarly) {
        volume.give_log(core::mem::take(&mut upkeep.blocks));
    }
    let generation = upkeep.superblock.fresh_generation();
    let fits = generation < MAX_COUNT && fits(volume, commit.tail.bytes());
    let taken = if fits { take_two(volume) } else { Err(Error::NoSpace) };
    let Ok([first, next]) = taken else {
        upkeep.wait_until = commit.tail.bytes() + NEARLY_FULL / 2;
        return;
    };
    if !seeded(Bug::GenerationUsedAgain) {
        upkeep.superblock.generations = (generation + 1).into();
    }
    let nothing = Batch::new().fence(volume.medium());
    superblock::publish(volume.medium(), &mut upkeep.superblock, &nothing);
    volume.count_upkeep(2);
    let mut tail = Tail::new(commit.tail.salt, generation, first, next);
    let mut stores = Batch::new();
    tail.open(volume.medium()).into_iter().for_each(|store| stores.add(store));
    upkeep.running = Some(Checkpoint {
        tail,
        first,
        blocks: segment(Some(first)).chain(segment(Some(next))).collect(),
        stores,
        at: 0,
        part: START,
        end,
        again: BTreeSet::new(),
        again_part: START,
    });
}

/// Whether there is room for a log that says what one of `length` bytes does, and whether it would be shorter.
fn fits<M: Medium>(volume: &Volume<M>, length: u64) -> bool {
    if volume.free_space().has_copies(2 * segments_for(length) + 2) {
        return true;
    }
    let live = live_now(volume);
    let (segments, now) = (segments_for(live + live / 16), length / SEGMENT_BYTES as u64 + 2);
    (segments as u64) < now && volume.free_space().has_copies(2 * segments)
}

/// A log's first segment, and the one behind it.
fn take_two<M: Medium>(volume: &Volume<M>) -> Result<[Copies; 2], Error> {
    let first = volume.free_space().take_segment(Purpose::Checkpoint)?;
    let next = volume.free_space().take_segment(Purpose::Checkpoint);
    let next = next.inspect_err(|_| volume.give_log(segment(Some(first)).collect()))?;
    Ok([first, next])
}

/// How a checkpoint goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// There is more to record.
    More,
    /// None is under way, or no more.
    Done,
}

/// Records a little more, or changes over to the new log when all is there.
#[inline]
pub(crate) fn advance<M: Medium>(volume: &Volume<M>, commit: &mut Commit) -> Progress {
    let Some(running) = &mut commit.upkeep.running else { return Progress::Done };
    let mut payload = Payload::default();
    running.collect(volume, &mut payload);
    if payload.items() == 0 || seeded(Bug::FlipTooEarly) {
        change_over(volume, commit);
        return Progress::Done;
    }
    if running.put(volume, &mut payload).is_err() {
        abandon(volume, commit);
        return Progress::Done;
    }
    Progress::More
}

/// Puts into the new log what has just gone into the old one.
pub(crate) fn repeat<M: Medium>(volume: &Volume<M>, commit: &mut Commit, payload: &Payload) {
    let Some(running) = &mut commit.upkeep.running else { return };
    let mut repeated = running.repeated(payload);
    if repeated.items() > 0 && !seeded(Bug::NotRepeated) && running.put(volume, &mut repeated).is_err() {
        abandon(volume, commit);
    }
}

/// There is no room for a new log, or the old one needs it; the old one goes on.
pub(crate) fn abandon<M: Medium>(volume: &Volume<M>, commit: &mut Commit) {
    let Some(running) = commit.upkeep.running.take() else { return };
    volume.give_log(running.blocks);
    commit.upkeep.wait_until = commit.tail.bytes() + NEARLY_FULL / 2;
}

/// The new log has everything: it counts from here on.
fn change_over<M: Medium>(volume: &Volume<M>, commit: &mut Commit) {
    let next_ino = commit.next_ino();
    let upkeep = &mut commit.upkeep;
    let Some(Checkpoint { tail, first, blocks, stores, .. }) = upkeep.running.take() else { return };
    let log = if seeded(Bug::FlipBeforeLog) { Batch::new() } else { stores }.fence(volume.medium());
    let superblock = &mut upkeep.superblock;
    superblock.generation = tail.generation.into();
    superblock.first_segment = first.map(|copy| copy.get().into());
    superblock.first_seq = 1.into();
    superblock.next_ino = next_ino.into();
    superblock::publish(volume.medium(), superblock, &log);
    volume.count_upkeep(3);
    upkeep.garbage.append(&mut upkeep.blocks);
    upkeep.blocks = blocks;
    upkeep.live = tail.bytes();
    upkeep.wait_until = 0;
    commit.tail = tail;
}

impl Checkpoint {
    /// Whether the new log has this inode, wholly or in part.
    fn has(&self, ino: u64) -> bool {
        ino < self.at || ino >= self.end || (ino == self.at && self.part != START)
    }

    /// Appends a record to the new log.
    fn put<M: Medium>(&mut self, volume: &Volume<M>, payload: &mut Payload) -> Result<(), Error> {
        let room = self.tail.reserve(payload, || volume.free_space().take_segment(Purpose::Checkpoint))?;
        self.blocks.extend(segment(room.taken()));
        let stores = self.tail.prepare(volume.medium(), payload, room);
        stores.into_iter().for_each(|store| self.stores.add(store));
        Ok(())
    }

    /// What of a record is about inodes the new log has.
    fn repeated(&mut self, payload: &Payload) -> Payload {
        let mut repeated = Payload::default();
        let mut rest = payload.bytes();
        while !rest.is_empty() {
            let before = rest;
            let Ok(item) = items::next(&mut rest) else { break };
            if !self.has(item.subject()) {
                continue;
            }
            match item {
                // Its blocks are of the old generation, and go with it.
                Item::ExtentList(item) => self.record_again(item.ino.get()),
                _ => repeated.copy(&before[..before.len() - rest.len()]),
            }
        }
        repeated
    }

    fn record_again(&mut self, ino: u64) {
        if self.again.insert(ino) || self.again.first() == Some(&ino) {
            self.again_part = START;
        }
    }

    /// Adds the next inodes that the new log lacks, about a step's worth; nothing where it has all.
    fn collect<M: Medium>(&mut self, volume: &Volume<M>, payload: &mut Payload) {
        while payload.bytes().len() < STEP && self.at < self.end {
            let Some(inode) = volume.inode_from(self.at).filter(|inode| inode.ino.get() < self.end) else {
                (self.at, self.part) = (self.end, START);
                break;
            };
            if inode.ino.get() != self.at {
                (self.at, self.part) = (inode.ino.get(), START);
            }
            match describe(&inode, self.part, Beyond::Nothing, payload) {
                Some(part) => self.part = part,
                None => (self.at, self.part) = (self.at + 1, START),
            }
        }
        while payload.bytes().len() < STEP
            && self.at >= self.end
            && let Some(&ino) = self.again.first()
        {
            let inode = volume.inode_from(ino).filter(|inode| inode.ino.get() == ino);
            match inode.and_then(|inode| describe(&inode, self.again_part, Beyond::Hole, payload)) {
                Some(part) => self.again_part = part,
                None => {
                    self.again.remove(&ino);
                    self.again_part = START;
                }
            }
        }
    }
}

/// What a file's mapping says of the blocks behind its last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beyond {
    /// Nothing: the new log has nothing there.
    Nothing,
    /// That they are a hole: the new log may have something there.
    Hole,
}

/// Adds what `inode` is from `part` on; answers where to go on. One without a name is not recorded at all.
fn describe<M: Medium>(inode: &Arc<Inode<M>>, part: u64, beyond: Beyond, payload: &mut Payload) -> Option<u64> {
    let body = inode.body.lock();
    if body.meta.nlink == 0 {
        return None;
    }
    if part == START {
        payload.inode(inode.ino, &body.meta);
    }
    match &body.content {
        Content::Directory { names, .. } => list_names(inode.ino, names, part, payload),
        Content::Symlink(target) => {
            payload.target(inode.ino, target);
            None
        }
        Content::File(file) => {
            let extents = file.extents.clone();
            drop(body);
            list_extents(inode.ino, &extents, part, beyond, payload)
        }
    }
}

fn list_names<M: Medium>(ino: Ino, names: &Names<Arc<Inode<M>>>, from: u64, payload: &mut Payload) -> Option<u64> {
    for (cursor, name, child) in names.starting_at(from) {
        if payload.bytes().len() >= STEP {
            return Some(cursor);
        }
        payload.entry(ino, name, Some(child.ino));
    }
    None
}

fn list_extents(ino: Ino, extents: &Extents, from: u64, beyond: Beyond, payload: &mut Payload) -> Option<u64> {
    let (mut piece, mut at) = (Vec::new(), from);
    let mut next = extents.at_or_after(at);
    while let Some(extent) = next.filter(|_| piece.len() < PIECE) {
        piece.push(extent.cut(at, extent.end()));
        at = extent.end();
        next = extents.at_or_after(at);
    }
    let more = next.is_some();
    let to = if beyond == Beyond::Hole && !more { MAX_FILE_SIZE / BLOCK } else { at };
    let runs = runs_of(&piece, (from, to));
    if !runs.is_empty() {
        payload.extents(ino, from, &runs);
    }
    more.then_some(at)
}
