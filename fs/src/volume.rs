//! A mounted file system as a whole: mkfs, mount, and what all its nodes share.
//!
//! Every change runs under the commit lock, from its checks to its effect: the record is built, appended and durable
//! before anybody sees what it says.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::mem::size_of;
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pmem::medium::Medium;
use pmem::order::{self, Batch, Durable};
use smallvec::SmallVec;
use sync::{Mutex, MutexGuard, Rank};
use units::{BlockNr, ByteLen, Ino, PmOff};
use zerocopy::{FromZeros, IntoBytes};

use crate::badlist;
use crate::check::{self, Report};
use crate::checkpoint::{self, Progress, Upkeep};
use crate::crc::Salt;
use crate::error::{Damage, Error, FormatError, MountError};
use crate::extents::Extents;
use crate::format::{
    BLOCK, FEATURES, MAGIC, MAX_COUNT, MIN_BLOCKS, ROOT, SEGMENT_BLOCKS, SUPERBLOCKS, Superblock, VERSION,
};
use crate::head_room;
use crate::inode::{Freed, Inode};
use crate::items::Meta;
use crate::log::Tail;
use crate::node::Node;
use crate::payload::Payload;
use crate::recover::{self, Sorted};
use crate::replay::{self, Replayed};
use crate::seeded::{Bug, seeded};
use crate::space::{FreeSpace, Purpose, Run};
use crate::superblock;
use crate::table::Table;
use crate::torn;
use crate::tree::{self, Reached};
use crate::types::{Access, Format, Kind, Mount, Space};

/// A mounted file system: the [`Volume`] and the root of its tree.
pub struct Fs<M: Medium> {
    root: Arc<Inode<M>>,
    volume: Arc<Volume<M>>,
}

/// What every node of a mounted file system shares.
pub struct Volume<M: Medium> {
    medium: M,
    uuid: [u8; 16],
    read_only: bool,
    damage: Option<Damage>,
    commit: Mutex<Commit>,
    space: Mutex<FreeSpace>,
    nodes: Mutex<Table<Weak<Inode<M>>>>,
    /// Fences of checkpoints and repairs.
    upkeep_fences: AtomicU64,
    /// Whether bad blocks that nobody has wait to be healed.
    pub(crate) sick: AtomicBool,
    /// Whether blocks wait for somebody outside to let go of them.
    awaited: AtomicBool,
}

/// What only the one change under way may touch.
pub(crate) struct Commit {
    pub(crate) tail: Tail,
    next_ino: u64,
    pub(crate) upkeep: Upkeep,
    /// The last record's, for the next.
    memory: Vec<u64>,
}

impl<M: Medium> Fs<M> {
    /// Makes an empty file system on all of `medium` (mkfs).
    ///
    /// # Errors
    /// [`FormatError::TooSmall`]; [`FormatError::BadBlock`] among the blocks whose places are fixed.
    pub fn format(medium: &M, options: &Format) -> Result<(), FormatError> {
        let (found, needed) = (medium.len(), ByteLen::new(MIN_BLOCKS * BLOCK));
        if found < needed {
            return Err(FormatError::TooSmall { needed, found });
        }
        // The first segment and the one behind it lie behind the superblocks.
        let first = SUPERBLOCKS[1].get() + 1;
        let segment = |index: u64| BlockNr::new(first + index * SEGMENT_BLOCKS);
        // Whatever an old file system left behind in the same places is of an older generation, even with the same salt.
        let generation = superblock::find(medium).map_or(1, |found| found.superblock.fresh_generation().max(1));
        let mut tail = Tail::new(Salt(options.salt), generation, [segment(0), segment(1)], [segment(2), segment(3)]);
        let mut payload = Payload::default();
        let (now, mode) = (options.now, options.root_mode & 0o7777);
        let root =
            Meta { kind: Kind::Directory, mode, nlink: 2, uid: 0, gid: 0, size: 0, atime: now, mtime: now, ctime: now };
        payload.inode(Ino::new(ROOT), &root);
        let taken = ByteLen::new(segment(4).base().get());
        // What cannot be read there was an older file system's, or nobody's.
        let _ = recover::heal_log(medium, &[Run::new(0, taken.get() / BLOCK)]);
        if let Err(bad) = medium.check(PmOff::ZERO, taken) {
            return Err(FormatError::BadBlock { at: bad.at });
        }
        // An old file system that lay here is gone first: a cut on the way leaves none, not half of one. The list of
        // bad blocks behind each superblock is the medium's, and stays.
        let superblock_len = ByteLen::new(size_of::<Superblock>() as u64);
        let blank = SUPERBLOCKS.map(|block| order::zero(medium, block.base(), superblock_len).clean(medium));
        let _ = order::fence(medium, blank);
        tail.begin(medium, &mut payload);
        let mut superblock = Superblock::new_zeroed();
        superblock.magic = MAGIC;
        superblock.version = options.version.unwrap_or(VERSION).into();
        superblock.incompat = FEATURES.into();
        superblock.block_size = (BLOCK as u32).into();
        superblock.uuid = options.uuid;
        superblock.blocks = (found.get() / BLOCK).into();
        superblock.serial = 1.into();
        superblock.salt = options.salt.into();
        superblock.generation = generation.into();
        superblock.first_segment = [segment(0).get().into(), segment(1).get().into()];
        superblock.first_seq = 1.into();
        superblock.created_secs = now.secs.into();
        superblock.created_nanos = now.nanos.into();
        superblock.segment_blocks = (SEGMENT_BLOCKS as u32).into();
        superblock.next_ino = (ROOT + 1).into();
        superblock.generations = (generation + 1).into();
        superblock.crc = superblock.checksum().into();
        let copies = SUPERBLOCKS.map(|block| order::store(medium, block.base(), superblock.as_bytes()).clean(medium));
        let _ = order::fence(medium, copies);
        Ok(())
    }

    /// Brings back the state of the last record, repairing what one good copy allows to repair.
    ///
    /// # Errors
    /// [`MountError`]; the medium is unchanged then.
    pub fn mount(medium: M, options: Mount) -> Result<Arc<Self>, MountError> {
        let replayed = replay::replay(&medium)?;
        let owned = tree::owned(&replayed).map_err(MountError::Damaged)?;
        // What contradicts itself is shown as far as it goes, but not changed.
        let mut contradiction = None;
        let start = replayed.superblock.first_segment[0].get();
        let reached = tree::survey(&replayed.inodes, |what, _| {
            contradiction.get_or_insert(Damage { at: at(start), what });
        });
        let damage = replayed.damage.or(contradiction);
        Ok(Self::assemble(medium, State { replayed, owned, reached, damage, log: Log::GoesOn }, options))
    }

    /// Makes a mounted file system of what was read. Changes nothing on the medium but for what heals.
    pub(crate) fn assemble(medium: M, state: State, options: Mount) -> Arc<Self> {
        let State { replayed, owned, reached, damage, log: goes_on } = state;
        let read_only = options.access == Access::ReadOnly || damage.is_some();
        let mut upkeep_fences = 0;
        let mut is_bad = false;
        if !read_only {
            upkeep_fences += badlist::repair(&medium);
        }
        if !read_only && goes_on == Log::GoesOn {
            upkeep_fences += repair(&medium, &replayed);
            upkeep_fences += torn::erase(&medium, &replayed.tail);
            upkeep_fences += recover::heal_log(&medium, &replayed.log);
            is_bad = recover::is_bad(&medium, &replayed.log);
        }
        let total = replayed.superblock.blocks.get();
        let Sorted { good, bad } = recover::sort(&medium, tree::gaps(&owned, total));
        let sick = !bad.is_empty() && !read_only;
        let mut space = FreeSpace::new(total, good);
        space.keep_out(bad);
        space.log = replayed.log.iter().map(|run| run.blocks).sum();
        let Replayed { superblock, tail, inodes, log, next_ino, .. } = replayed;
        // A damaged log may have named a superblock's block as its own, and a repair have joined the two: that one stays.
        let own =
            SUPERBLOCKS.iter().fold(log, |own, &superblock| own.iter().flat_map(|run| run.but(superblock)).collect());
        let slack = options.slack.map(ByteLen::get);
        let upkeep = Upkeep::new(superblock, own, inodes.iter().map(|(_, loaded)| &**loaded), slack);
        let volume = Arc::new(Volume {
            medium,
            uuid: superblock.uuid,
            read_only,
            damage,
            commit: Mutex::new(Rank::FsCommit, Commit { tail, next_ino, upkeep, memory: Vec::new() }),
            space: Mutex::new(Rank::FsSpace, space),
            nodes: Mutex::new(Rank::FsNodes, Table::default()),
            upkeep_fences: AtomicU64::new(upkeep_fences),
            sick: AtomicBool::new(sick),
            awaited: AtomicBool::new(false),
        });
        let root = tree::build(&volume, inodes, reached);
        if is_bad {
            // The log moves away from blocks that do not heal. Where there is no room it stays, in its other copies.
            let _ = volume.compact();
        }
        Arc::new(Self { root, volume })
    }

    /// Examines a file system that is not mounted, changing nothing (fsck).
    pub fn check(medium: &M) -> Report {
        check::check(medium)
    }

    /// The root directory.
    pub fn root(self: &Arc<Self>) -> Node<M> {
        Node::new(self.root.clone())
    }

    /// The node of this number.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, or it has no name any more.
    pub fn node(self: &Arc<Self>, ino: Ino) -> Result<Node<M>, Error> {
        let found = self.volume.nodes.lock().get(ino.get()).and_then(Weak::upgrade);
        let node = Node::new(found.ok_or(Error::NotFound)?);
        if node.attr().nlink == 0 { Err(Error::NotFound) } else { Ok(node) }
    }

    /// What all nodes share; the same as [`Node::fs`].
    pub fn volume(&self) -> &Arc<Volume<M>> {
        &self.volume
    }

    /// What `statfs` tells.
    pub fn space(&self) -> Space {
        self.volume.space()
    }

    /// The medium below.
    pub fn medium(&self) -> &M {
        self.volume.medium()
    }

    /// Why the file system is mounted read-only though it was to be changed, where a damage forced that.
    pub fn damage(&self) -> Option<Damage> {
        self.volume.damage()
    }
}

/// What was read from a medium, and looked through.
pub(crate) struct State {
    pub(crate) replayed: Replayed,
    /// Every run that somebody owns, sorted.
    pub(crate) owned: Vec<Run>,
    pub(crate) reached: Reached,
    /// Why it must not be changed.
    pub(crate) damage: Option<Damage>,
    pub(crate) log: Log,
}

/// What becomes of the log that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Log {
    /// The next record goes behind its last.
    GoesOn,
    /// No record does: another takes its place at once, and until then it stays as it is. What it says of its own blocks
    /// may be wrong, so nothing is written there.
    IsReplaced,
}

/// Rewrites every bad copy with what its good twin says; one fence for all, and none for nothing: answers how many.
fn repair(medium: &impl Medium, replayed: &Replayed) -> u64 {
    let mut batch = Batch::new();
    for repair in replayed.repairs.iter().filter(|_| !seeded(Bug::CopyNotRewritten)) {
        batch.add(order::store(medium, repair.at, &repair.bytes).clean(medium));
    }
    u64::from(!batch.fence(medium).is_empty())
}

impl<M: Medium> Volume<M> {
    /// The medium below.
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// What `statfs` tells.
    pub fn space(&self) -> Space {
        let space = self.space.lock();
        Space {
            blocks: space.total,
            free: space.free_blocks(),
            available: space.available(),
            pinned: if space.pinned > space.total { 0 } else { space.pinned },
            log: space.log,
            bad: space.lost,
            inodes: space.inodes,
        }
    }

    /// The name given by [`Format::uuid`].
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// Whether every change is refused.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Why it is, where a damage forced that.
    pub fn damage(&self) -> Option<Damage> {
        self.damage
    }

    /// Fences that checkpoints and the repairs of the mount needed, those of calls not among them.
    pub fn upkeep_fences(&self) -> u64 {
        self.upkeep_fences.load(Ordering::Relaxed)
    }

    pub(crate) fn count_upkeep(&self, fences: u64) {
        self.upkeep_fences.fetch_add(fences, Ordering::Relaxed);
    }

    /// Writes the log anew, with what lives alone, so that the next mount reads no more than that.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::NoSpace`] where there is no room for a second log, and nothing has changed.
    pub fn compact(&self) -> Result<(), Error> {
        let mut begun = None;
        loop {
            // Others may go on between two steps.
            let mut commit = self.begin()?;
            let generation = commit.tail.generation;
            match begun {
                None => checkpoint::begin(self, &mut commit),
                Some(begun) if begun != generation => return Ok(()),
                Some(_) => {}
            }
            begun.get_or_insert(generation);
            if checkpoint::advance(self, &mut commit) == Progress::Done {
                return if commit.tail.generation == generation { Err(Error::NoSpace) } else { Ok(()) };
            }
        }
    }

    /// Begins a change; it ends when the guard goes.
    pub(crate) fn begin(&self) -> Result<MutexGuard<'_, Commit>, Error> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        head_room::need(head_room::CHANGE)?;
        let mut commit = self.commit.lock();
        if self.awaited.load(Ordering::Relaxed) {
            self.look_after_held();
        }
        if self.sick.load(Ordering::Relaxed) {
            recover::step(self);
        }
        checkpoint::step(self, &mut commit);
        Ok(commit)
    }

    /// Shows `each` the blocks that hold metadata.
    pub(crate) fn each_log_run(&self, mut each: impl FnMut(Run)) {
        SUPERBLOCKS.into_iter().for_each(|start| each(Run { start, blocks: 1 }));
        self.commit.lock().upkeep.each_run(each);
    }

    /// No change is under way while this lives, and none begins.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, Commit> {
        self.commit.lock()
    }

    /// The first inode with this number or a higher one.
    pub(crate) fn inode_from(&self, ino: u64) -> Option<Arc<Inode<M>>> {
        self.nodes.lock().starting_at(ino).find_map(|(_, inode)| inode.upgrade())
    }

    /// Makes the transaction that `payload` says durable; from here on it has happened.
    pub(crate) fn record(&self, commit: &mut Commit, payload: Payload, purpose: Purpose) -> Result<(), Error> {
        self.record_data(commit, payload, purpose, Batch::new().fence(&self.medium))
    }

    /// [`Volume::record`], where the transaction names blocks: `data` is all that lies in them.
    #[inline]
    pub(crate) fn record_data(
        &self,
        commit: &mut Commit,
        mut payload: Payload,
        purpose: Purpose,
        data: Batch<Durable>,
    ) -> Result<(), Error> {
        let take = || self.space.lock().take_segment(purpose);
        let room = commit.tail.reserve(&payload, take).or_else(|refused| {
            // A checkpoint may have what is put aside for this.
            checkpoint::abandon(self, commit);
            commit.tail.reserve(&payload, take).map_err(|_| refused)
        })?;
        commit.upkeep.own_segment(room.taken());
        let _ = commit.tail.append(&self.medium, &mut payload, room, &data);
        checkpoint::repeat(self, commit, &payload);
        commit.memory = payload.into_memory();
        Ok(())
    }

    /// Free blocks, locked.
    pub(crate) fn free_space(&self) -> MutexGuard<'_, FreeSpace> {
        self.space.lock()
    }

    /// Gives blocks back, whose going is durable.
    pub(crate) fn give(&self, freed: &Freed) {
        if freed.runs.is_empty() && freed.homes.is_empty() && freed.pinned == 0 {
            return;
        }
        let is_free = |run: &Run| !self.is_held(run) && recover::are_good(&self.medium, slice::from_ref(run));
        if freed.runs.iter().chain(&freed.homes).all(is_free) {
            let mut space = self.space.lock();
            space.count_pinned(freed.pinned, freed.unpinned);
            space.give(&freed.runs);
            space.give_homes(&freed.homes);
            return;
        }
        self.give_with_care(freed);
    }

    /// [`Volume::give`], where some block is held by somebody outside, or bad.
    #[cold]
    fn give_with_care(&self, freed: &Freed) {
        let freed = self.without_held(freed);
        let sorted = recover::sort(&self.medium, freed.runs.into_vec());
        let homes = recover::sort(&self.medium, freed.homes.into_vec());
        {
            let mut space = self.space.lock();
            space.count_pinned(freed.pinned, freed.unpinned);
            space.give(&sorted.good);
            space.give_homes(&homes.good);
        }
        self.keep_out(sorted.bad);
        self.keep_out(homes.bad);
    }

    /// Whether somebody outside holds a block of `run`.
    #[inline]
    fn is_held(&self, run: &Run) -> bool {
        self.medium.is_held(run.start.base(), ByteLen::new(run.blocks * BLOCK))
    }

    /// What of `freed` nobody outside holds. The rest counts as pinned until it is let go of: the changes that come look.
    fn without_held(&self, freed: &Freed) -> Freed {
        let is_held = |run: &Run| self.is_held(run);
        let (runs, homes) = (freed.runs.clone(), freed.homes.clone());
        if !runs.iter().chain(&homes).any(is_held) {
            return Freed { runs, homes, pinned: freed.pinned, unpinned: freed.unpinned };
        }
        let blocks_of = |run: Run| (0..run.blocks).map(move |n| Run::new(run.start.get() + n, 1));
        let (held, runs): (Vec<Run>, _) = runs.into_iter().chain(homes).flat_map(blocks_of).partition(is_held);
        self.space.lock().held.extend_from_slice(&held);
        self.awaited.store(true, Ordering::Relaxed);
        let blocks = held.iter().map(|run| run.blocks).sum::<u64>();
        Freed {
            runs: SmallVec::from_vec(runs),
            pinned: freed.pinned + blocks,
            unpinned: freed.unpinned,
            ..Freed::default()
        }
    }

    /// Gives back what was held by somebody outside, if it is no more.
    #[cold]
    fn look_after_held(&self) {
        self.awaited.store(false, Ordering::Relaxed);
        let runs = core::mem::take(&mut self.space.lock().held);
        let unpinned = runs.iter().map(|run| run.blocks).sum();
        self.give(&Freed { runs: SmallVec::from_vec(runs), unpinned, ..Freed::default() });
    }

    /// Gives back what a file had, a few extents at a time, so that others have their turn between them.
    pub(crate) fn give_extents(&self, gone: &Extents) {
        if gone.blocks() == 0 {
            return;
        }
        let mut freed = Freed::default();
        for extent in gone.iter() {
            freed.runs.push(Run::new(extent.start, extent.blocks.into()));
            if freed.runs.len() == head_room::STEP {
                self.give(&freed);
                freed.runs.clear();
                head_room::pause();
            }
        }
        self.give(&freed);
    }

    /// Gives blocks of a log back.
    pub(crate) fn give_log(&self, runs: Vec<Run>) {
        let blocks = runs.iter().map(|run| run.blocks).sum::<u64>();
        let sorted = recover::sort(&self.medium, runs);
        {
            let mut space = self.space.lock();
            space.log -= blocks;
            space.give(&sorted.good);
        }
        self.keep_out(sorted.bad);
    }

    /// Bad blocks that nobody has any more: some are healed now, the rest with the next changes.
    fn keep_out(&self, bad: Vec<Run>) {
        if !bad.is_empty() {
            self.space.lock().keep_out(bad);
            if !self.read_only {
                self.sick.store(true, Ordering::Relaxed);
                recover::step(self);
            }
        }
    }

    /// Makes an inode known.
    pub(crate) fn remember(&self, inode: &Arc<Inode<M>>) {
        self.nodes.lock().insert(inode.ino.get(), Arc::downgrade(inode));
        self.space.lock().inodes += 1;
    }

    /// Makes the inodes known that a mount has found.
    pub(crate) fn remember_all(&self, inodes: Table<Weak<Inode<M>>>) {
        self.space.lock().inodes = inodes.len() as u64;
        *self.nodes.lock() = inodes;
    }

    /// An inode without a name is gone, and its blocks are free.
    pub(crate) fn forget(&self, ino: Ino, freed: &Freed) {
        let gone = self.nodes.lock().remove(ino.get());
        drop(gone);
        self.space.lock().inodes -= 1;
        self.give(freed);
    }
}

impl Commit {
    /// A record's content, empty so far.
    #[inline]
    pub(crate) fn payload(&mut self) -> Payload {
        Payload::reusing(core::mem::take(&mut self.memory))
    }

    /// A number no inode has had.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where all have been given.
    pub(crate) fn fresh_ino(&mut self) -> Result<Ino, Error> {
        if self.next_ino >= MAX_COUNT {
            return Err(Error::NoSpace);
        }
        let ino = Ino::new(self.next_ino);
        self.next_ino += 1;
        Ok(ino)
    }

    /// What [`Commit::fresh_ino`] gives next.
    pub(crate) fn next_ino(&self) -> u64 {
        self.next_ino
    }

    /// The log's generation and salt, for extent blocks.
    pub(crate) fn stamp(&self) -> (u64, Salt) {
        (self.tail.generation, self.tail.salt)
    }
}

/// Where a block begins.
pub(crate) fn at(block: u64) -> PmOff {
    BlockNr::new(block).base()
}
