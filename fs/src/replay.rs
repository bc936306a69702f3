//! Mounting: the log read from its first record on, and what it says.
//!
//! A record good in one copy counts, and the other copy is to be rewritten before anything is shown. One bad in both
//! copies ends the log where no later one is good (a torn tail: it was never acknowledged), and is a damage where one
//! is: the state before it is kept, and nothing may be changed. Replay changes nothing itself, so it may be cut and
//! begun again at will.
//!
//! Here is the way along the log; [`segment`] reads what it comes to, [`apply`] does what a record says, and [`later`]
//! tells a torn tail from a damage.

mod apply;
mod later;
mod segment;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use pmem::medium::Medium;
use units::{BlockNr, PmOff};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::crc::Salt;
use crate::error::{Damage, MountError, Wrong};
use crate::extents::Extents;
use crate::format::{
    RECORD_ALIGN, ROOT, RecordHeader, SEGMENT_BLOCKS, SEGMENT_BYTES, SUPERBLOCKS, SegmentHeader, Superblock,
};
use crate::items::{self, Meta};
use crate::log::{Copies, FIRST_RECORD, Tail};
use crate::names::Names;
use crate::space::Run;
use crate::superblock::{self, Found};
use crate::table::Table;
use crate::types::Kind;

/// An inode, as the log says.
pub(crate) struct Loaded {
    pub(crate) meta: Meta,
    pub(crate) extents: Extents,
    pub(crate) names: Names<u64>,
    pub(crate) target: Vec<u8>,
}

/// Something that is wrong on the medium, and heals.
pub(crate) struct Repair {
    pub(crate) what: Wrong,
    pub(crate) at: PmOff,
    pub(crate) bytes: Vec<u8>,
    /// The number of the record that was stored with it, of what a cut can leave bad.
    pub(crate) stored_with: Option<u64>,
}

/// What the log says.
pub(crate) struct Replayed {
    pub(crate) superblock: Superblock,
    pub(crate) tail: Tail,
    pub(crate) inodes: Table<Box<Loaded>>,
    /// Blocks of superblocks, segments and extent blocks.
    pub(crate) log: Vec<Run>,
    pub(crate) repairs: Vec<Repair>,
    /// Why the state is the one before some record.
    pub(crate) damage: Option<Damage>,
    /// Good records behind that one.
    pub(crate) behind: u64,
    /// Records passed over.
    pub(crate) missing: u64,
    /// Inodes of which something was said that is impossible, and passed over.
    pub(crate) incomplete: BTreeSet<u64>,
    pub(crate) records: u64,
    /// Above every number ever given.
    pub(crate) next_ino: u64,
}

/// A segment, read as far as somebody asked: a mount costs what lives, not what there is room for.
struct Segment {
    copies: Copies,
    /// Of each copy the bytes so far, in whole blocks.
    bytes: [Vec<u8>; 2],
    header: SegmentHeader,
}

impl Segment {
    /// Nothing of it so far.
    fn unread(copies: Copies) -> Self {
        Self { copies, bytes: [Vec::new(), Vec::new()], header: SegmentHeader::new_zeroed() }
    }
}

/// Reads everything.
///
/// # Errors
/// [`MountError`], where there is nothing to go on from.
pub(crate) fn replay(medium: &impl Medium) -> Result<Replayed, MountError> {
    let replayed = read(medium, &superblock::find(medium)?, Reading::Strict)?;
    match replayed.inodes.get(ROOT) {
        Some(root) if root.meta.kind == Kind::Directory => Ok(replayed),
        _ => {
            let at = BlockNr::new(replayed.superblock.first_segment[0].get()).base();
            Err(MountError::Damaged(replayed.damage.unwrap_or(Damage { at, what: Wrong::NoRoot })))
        }
    }
}

/// What to make of what is bad in both copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// The log ends before it, as for a mount.
    Strict,
    /// It is passed over, and all that is good is read. Of a segment's header everything but the place of the next one is known
    /// from elsewhere, and that is looked for on the whole medium.
    Salvage,
}

/// [`replay`] from this superblock, whether there is a root directory in the end or not.
///
/// # Errors
/// [`MountError`], where there is nothing to go on from.
pub(crate) fn read(medium: &impl Medium, found: &Found, reading: Reading) -> Result<Replayed, MountError> {
    match read_until(medium, found, reading, u64::MAX)? {
        Outcome::Whole(replayed) => Ok(*replayed),
        // The state before a record that turned out to be impossible halfway is the one that never saw it.
        Outcome::Half { seq, damage, behind } => match read_until(medium, found, reading, seq)? {
            Outcome::Whole(replayed) => Ok(Replayed { damage: Some(damage), behind, ..*replayed }),
            Outcome::Half { damage, .. } => Err(MountError::Damaged(damage)),
        },
    }
}

/// How far a reading went.
enum Outcome {
    /// As far as it should.
    Whole(Box<Replayed>),
    /// Some items of record `seq` were applied, and one could not be.
    Half { seq: u64, damage: Damage, behind: u64 },
}

/// Reads the records with numbers below `end`.
fn read_until(medium: &impl Medium, found: &Found, reading: Reading, end: u64) -> Result<Outcome, MountError> {
    let superblock = found.superblock;
    let salt = Salt(superblock.salt.get());
    let copies = superblock.first_segment.map(|first| BlockNr::new(first.get()));
    let repairs = found.bad.iter().map(|&at| {
        let what = Wrong::SuperblockCopy;
        Repair { what, at, bytes: superblock.as_bytes().to_vec(), stored_with: None }
    });
    let mut reader = Reader {
        medium,
        salt,
        total: superblock.blocks.get(),
        generation: superblock.generation.get(),
        listed: BTreeSet::new(),
        reading,
        salvaged: BTreeSet::new(),
        end,
        half: false,
        replayed: Replayed {
            superblock,
            tail: Tail {
                salt,
                generation: superblock.generation.get(),
                seq: superblock.first_seq.get(),
                segment: copies,
                index: 0,
                next: copies,
                used: FIRST_RECORD,
            },
            inodes: Table::default(),
            log: SUPERBLOCKS.map(|block| Run { start: block, blocks: 1 }).to_vec(),
            repairs: repairs.collect(),
            damage: None,
            behind: 0,
            missing: 0,
            incomplete: BTreeSet::new(),
            records: 0,
            next_ino: superblock.next_ino.get(),
        },
    };
    reader.run(copies)?;
    let Reader { replayed, half, .. } = reader;
    Ok(match replayed.damage {
        Some(damage) if half => Outcome::Half { seq: replayed.tail.seq, damage, behind: replayed.behind },
        _ => Outcome::Whole(Box::new(replayed)),
    })
}

struct Reader<'m, M: Medium> {
    medium: &'m M,
    salt: Salt,
    total: u64,
    generation: u64,
    /// Extent blocks read so far.
    listed: BTreeSet<u64>,
    reading: Reading,
    /// Segments that were salvaged, by their first copies: without a header the one behind is a guess, which may lead back.
    salvaged: BTreeSet<BlockNr>,
    /// The record to stop before.
    end: u64,
    /// Whether a record was applied in part.
    half: bool,
    replayed: Replayed,
}

/// Where a record is, in a segment's two copies.
enum Place {
    /// Good, in the copies that say so; this long.
    Good([bool; 2], usize),
    Bad,
}

impl<M: Medium> Reader<'_, M> {
    fn run(&mut self, first: Copies) -> Result<(), MountError> {
        let Some(mut segment) = self.read_segment(first, 0, self.replayed.tail.seq) else {
            return Err(MountError::Damaged(Damage { at: first[0].base(), what: Wrong::Segment }));
        };
        self.enter(&segment);
        loop {
            let (at, seq) = (self.replayed.tail.used, self.replayed.tail.seq);
            if seq >= self.end {
                return Ok(());
            }
            if let Place::Good(copies, length) = self.record_at(&mut segment, at, seq) {
                if let Err(what) = self.take(&segment, at, length, copies) {
                    self.damaged(&segment, at, what);
                    self.replayed.behind = self.count_behind(&mut segment, seq);
                    return Ok(());
                }
                continue;
            }
            if let Some((at, found)) = self.next_good(&mut segment, at, seq) {
                self.pass_over(found);
                self.replayed.tail.used = at;
                continue;
            }
            let next = segment.header.next.map(|block| BlockNr::new(block.get()));
            let index = segment.header.index.get().wrapping_add(1);
            // A header became durable with the record behind it, unless the cut came between the two: a segment
            // without a record is the last.
            let further = match self.reading {
                Reading::Strict if at > FIRST_RECORD => self.read_segment(next, index, seq),
                Reading::Strict => None,
                Reading::Salvage => self.salvage_segment(next, index, seq),
            };
            match further {
                Some(further) => {
                    segment = further;
                    self.pass_over(segment.header.first_seq.get());
                    self.enter(&segment);
                }
                None if self.reading == Reading::Salvage => return Ok(()),
                None => {
                    self.ends_at(&mut segment, at, (next, index), seq);
                    return Ok(());
                }
            }
        }
    }

    /// Where the next good record behind a bad one lies in this segment, and its number: for who passes over what is bad.
    fn next_good(&self, segment: &mut Segment, at: usize, seq: u64) -> Option<(usize, u64)> {
        if self.reading == Reading::Strict {
            return None;
        }
        self.reach(segment, SEGMENT_BYTES);
        let later = segment.bytes.iter().flat_map(|bytes| self.later_in(bytes, at, seq));
        later.min_by_key(|&(_, found)| found)
    }

    /// The next record is number `seq`; those before it cannot be read.
    fn pass_over(&mut self, seq: u64) {
        self.replayed.missing += seq - self.replayed.tail.seq;
        self.replayed.tail.seq = seq;
    }

    /// The segment `copies`, if there is anything in it from record `seq` on.
    fn salvage_segment(&mut self, copies: Copies, index: u64, seq: u64) -> Option<Segment> {
        if !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) || !self.salvaged.insert(copies[0]) {
            return None;
        }
        let (mut segment, before) = (Segment::unread(copies), seq.saturating_sub(1));
        self.reach(&mut segment, SEGMENT_BYTES);
        let header = segment.bytes.iter().find_map(|bytes| self.header_behind(bytes, index, before));
        let any = header.is_some() || self.later(&segment, FIRST_RECORD, before).next().is_some();
        let first = header.map_or(seq, |header| header.first_seq.get());
        if any { self.read_segment(copies, index, first) } else { None }
    }

    /// Record `seq` is not good at `at`. The log ends there, unless a later record is good: in this segment, or in
    /// `next`, which is to have this index.
    fn ends_at(&mut self, segment: &mut Segment, at: usize, (next, index): (Copies, u64), seq: u64) {
        if self.later_record(segment, at, seq) {
            self.damaged(segment, at, Wrong::Record);
        } else {
            match self.goes_on(next, index, seq) {
                None => return,
                Some(Wrong::Segment) => {
                    self.replayed.damage = Some(Damage { at: next[0].base(), what: Wrong::Segment });
                }
                Some(what) => self.damaged(segment, at, what),
            }
        }
        self.replayed.behind = self.count_behind(segment, seq);
    }

    /// How many good records with higher numbers than `seq` there are, in `segment` and those behind it.
    fn count_behind(&self, segment: &mut Segment, seq: u64) -> u64 {
        self.reach(segment, SEGMENT_BYTES);
        let mut behind = BTreeSet::new();
        let mut visited = BTreeSet::from([segment.header.index.get()]);
        behind.extend(self.later(segment, 0, seq));
        let mut header = segment.header;
        loop {
            let copies = header.next.map(|block| BlockNr::new(block.get()));
            let index = header.index.get().wrapping_add(1);
            if !visited.insert(index) || !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) {
                return behind.len() as u64;
            }
            let mut segment = Segment::unread(copies);
            self.reach(&mut segment, SEGMENT_BYTES);
            let next = segment.bytes.iter().find_map(|bytes| self.header_behind(bytes, index, seq));
            behind.extend(self.later(&segment, 0, seq));
            match next {
                Some(next) => header = next,
                None => return behind.len() as u64,
            }
        }
    }

    /// The header of segment `index`, if it is good and begins behind record `seq`.
    fn header_behind(&self, bytes: &[u8], index: u64, seq: u64) -> Option<SegmentHeader> {
        let (header, _) = SegmentHeader::read_from_prefix(bytes).ok()?;
        let first = header.first_seq.get();
        if first > seq { self.header(bytes, index, first) } else { None }
    }

    /// Notes that the log goes on in `segment`.
    fn enter(&mut self, segment: &Segment) {
        let tail = &mut self.replayed.tail;
        tail.segment = segment.copies;
        tail.index = segment.header.index.get();
        tail.next = segment.header.next.map(|block| BlockNr::new(block.get()));
        tail.used = FIRST_RECORD;
        if self.replayed.log.len() <= SUPERBLOCKS.len() {
            self.replayed.log.extend(segment.copies.map(|start| Run { start, blocks: SEGMENT_BLOCKS }));
        }
        self.replayed.log.extend(tail.next.map(|start| Run { start, blocks: SEGMENT_BLOCKS }));
    }

    fn damaged(&mut self, segment: &Segment, at: usize, what: Wrong) {
        let at = PmOff::new(segment.copies[0].base().get() + at as u64);
        self.replayed.damage = Some(Damage { at, what });
    }

    fn in_range(&self, start: u64, blocks: u64) -> bool {
        start > 0 && start.checked_add(blocks).is_some_and(|end| end <= self.total)
    }

    /// Applies a good record, and notes the copy that is not.
    fn take(&mut self, segment: &Segment, at: usize, length: usize, good: [bool; 2]) -> Result<(), Wrong> {
        let Some(source) = good.iter().position(|good| *good) else { return Err(Wrong::Record) };
        let record = &segment.bytes[source][at..at + length];
        let (header, mut payload) = RecordHeader::ref_from_prefix(record).map_err(|_| Wrong::Item)?;
        if self.reading == Reading::Salvage {
            self.take_what_is_possible(header.items.get(), payload);
            self.taken(at, length);
            return Ok(());
        }
        let mut parsed = Vec::new();
        for _ in 0..header.items.get().min((payload.len() / 8) as u32 + 1) {
            parsed.push(items::next(&mut payload).map_err(|_| Wrong::Item)?);
        }
        if !payload.is_empty() || parsed.len() as u32 != header.items.get() {
            return Err(Wrong::Item);
        }
        parsed.iter().try_for_each(|item| self.check(item))?;
        self.half = true;
        parsed.iter().try_for_each(|item| self.apply(item))?;
        self.half = false;
        for (copy, _) in segment.copies.iter().zip(good).filter(|(_, good)| !good) {
            let at = PmOff::new(copy.base().get() + at as u64);
            let (what, stored_with) = (Wrong::RecordCopy, Some(header.seq.get()));
            self.replayed.repairs.push(Repair { what, at, bytes: record.to_vec(), stored_with });
        }
        self.taken(at, length);
        Ok(())
    }

    fn taken(&mut self, at: usize, length: usize) {
        let tail = &mut self.replayed.tail;
        tail.used = at + length.next_multiple_of(RECORD_ALIGN);
        tail.seq += 1;
        self.replayed.records += 1;
    }
}
