//! Mounting: the log read from its first record on, and what it says.
//!
//! A record good in one copy counts, and the other copy is to be rewritten before anything is shown. One bad in both
//! copies ends the log where no later one is good (a torn tail: it was never acknowledged), and is a damage where one
//! is: the state before it is kept, and nothing may be changed. Replay changes nothing itself, so it may be cut and
//! begun again at will.

mod later;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem::size_of;

use pmem::medium::Medium;
use units::{BlockNr, PmOff};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::crc::Salt;
use crate::error::{Damage, MountError, Wrong};
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::{
    BLOCK, EntryItem, MAX_COUNT, RECORD_ALIGN, RECORD_MAGIC, ROOT, RecordHeader, RunItem, SEGMENT_BLOCKS,
    SEGMENT_BYTES, SEGMENT_MAGIC, SUPERBLOCKS, SegmentHeader, Superblock, run,
};
use crate::items::{self, Item, Meta};
use crate::lists;
use crate::log::{Copies, FIRST_RECORD, Tail};
use crate::names::Names;
use crate::seeded::{Bug, seeded};
use crate::space::Run;
use crate::superblock::{self, Found};
use crate::table::Table;
use crate::types::{Kind, MAX_FILE_SIZE, MAX_NAME, MAX_TARGET};

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
        if !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) {
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

    /// Reads a segment whose header is good in at least one copy and says what it should.
    fn read_segment(&mut self, copies: Copies, index: u64, first_seq: u64) -> Option<Segment> {
        if !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) {
            return None;
        }
        let mut segment = Segment::unread(copies);
        self.reach(&mut segment, FIRST_RECORD);
        let headers = [0, 1].map(|copy: usize| self.header(&segment.bytes[copy], index, first_seq));
        let header = match headers.into_iter().flatten().next() {
            Some(header) => header,
            None if self.reading == Reading::Salvage => self.rebuilt(copies, index, first_seq),
            None => return None,
        };
        if !header.next.iter().all(|next| self.in_range(next.get(), SEGMENT_BLOCKS)) {
            return None;
        }
        for (copy, found) in copies.iter().zip(headers) {
            // One that was rebuilt is a guess, and stays one.
            if found != Some(header) && headers != [None; 2] {
                let (what, at) = (Wrong::SegmentCopy, copy.base());
                let (bytes, stored_with) = (header.as_bytes().to_vec(), Some(first_seq));
                self.replayed.repairs.push(Repair { what, at, bytes, stored_with });
            }
        }
        segment.header = header;
        Some(segment)
    }

    /// What the header of the segment `copies` says, but for where the next one lies: that is looked for. Where there is
    /// none, this is the last, and another will be taken.
    fn rebuilt(&self, copies: Copies, index: u64, first_seq: u64) -> SegmentHeader {
        let mut next = (1..self.total.saturating_sub(SEGMENT_BLOCKS - 1)).filter(|&block| {
            let mut bytes = [0; size_of::<SegmentHeader>()];
            let loaded = self.medium.load(BlockNr::new(block).base(), &mut bytes).is_ok();
            loaded && self.header_behind(&bytes, index.wrapping_add(1), first_seq).is_some()
        });
        let next = match (next.next(), next.next()) {
            (Some(first), second) => [first, second.unwrap_or(first)],
            (None, _) => copies.map(BlockNr::get),
        };
        let mut header = SegmentHeader {
            magic: SEGMENT_MAGIC.into(),
            crc: 0.into(),
            generation: self.generation.into(),
            index: index.into(),
            first_seq: first_seq.into(),
            next: next.map(Into::into),
            reserved: [0; 16],
        };
        header.crc = self.salt.crc_of(header.as_bytes()).into();
        header
    }

    /// Reads on in both copies, until `end` bytes of each are there. Blocks that cannot be read are zeros.
    fn reach(&self, segment: &mut Segment, end: usize) {
        let end = end.min(SEGMENT_BYTES).next_multiple_of(BLOCK as usize);
        for (copy, bytes) in segment.copies.iter().zip(&mut segment.bytes) {
            while bytes.len() < end {
                let at = bytes.len();
                bytes.resize(at + BLOCK as usize, 0);
                self.load_block(*copy, &mut bytes[at..], at);
            }
        }
    }

    /// Fills `block` with the one at byte `at` of a segment's copy, with zeros where it cannot be read.
    fn load_block(&self, copy: BlockNr, block: &mut [u8], at: usize) {
        if self.medium.load(PmOff::new(copy.base().get() + at as u64), block).is_err() {
            block.fill(0);
        }
    }

    fn header(&self, bytes: &[u8], index: u64, first_seq: u64) -> Option<SegmentHeader> {
        let (header, _) = SegmentHeader::read_from_prefix(bytes).ok()?;
        let good = header.magic.get() == SEGMENT_MAGIC
            && header.generation.get() == self.generation
            && header.index.get() == index
            && header.first_seq.get() == first_seq
            && header.crc.get() == self.salt.crc_of(header.as_bytes());
        good.then_some(header)
    }

    /// Whether what lies at `at` says that it is a record of this generation; answers its number and length.
    fn claim(&self, bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        let (header, _) = RecordHeader::ref_from_prefix(bytes.get(at..)?).ok()?;
        let length = header.length.get() as usize;
        let ours = header.generation.get() == self.generation || seeded(Bug::GenerationNotChecked);
        let whole = length >= size_of::<RecordHeader>() && length.is_multiple_of(8);
        (header.magic.get() == RECORD_MAGIC && ours && whole).then_some((header.seq.get(), length))
    }

    /// Whether a good record of this generation lies at `at`, all of it read; answers its number and length.
    fn good_record(&self, bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        let (seq, length) = self.claim(bytes, at)?;
        let record = bytes.get(at..)?.get(..length)?;
        let (header, _) = RecordHeader::ref_from_prefix(record).ok()?;
        (self.salt.crc_of(record) == header.crc.get() || seeded(Bug::CrcNotChecked)).then_some((seq, length))
    }

    fn record_at(&self, segment: &mut Segment, at: usize, seq: u64) -> Place {
        self.reach(segment, at + size_of::<RecordHeader>());
        // A length that is wrong belongs to a record that is not good, whatever is read for it.
        let longest = segment.bytes.iter().filter_map(|bytes| self.claim(bytes, at)).map(|claim| claim.1).max();
        self.reach(segment, at + longest.unwrap_or(0));
        let segment = &*segment;
        let good = |copy: usize| {
            let length = self
                .good_record(&segment.bytes[copy], at)
                .filter(|found| found.0 == seq || seeded(Bug::SeqNotChecked))?
                .1;
            Some(&segment.bytes[copy][at..at + length])
        };
        // Of two good copies that differ the first counts, and the second is rewritten as a bad one is: so it need
        // only be compared.
        if let Some(first) = good(0) {
            let same = segment.bytes[1].get(at..at + first.len()) == Some(first);
            return Place::Good([true, same], first.len());
        }
        good(1)
            .filter(|_| !seeded(Bug::SecondCopyIgnored))
            .map_or(Place::Bad, |second| Place::Good([false, true], second.len()))
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

    /// Applies each item that can be applied.
    fn take_what_is_possible(&mut self, items: u32, mut payload: &[u8]) {
        for _ in 0..items {
            let Ok(item) = items::next(&mut payload) else { return };
            if self.check(&item).and_then(|()| self.apply(&item)).is_err() {
                self.replayed.incomplete.insert(item.subject());
            }
        }
    }

    /// Whether an item says something that can be, before any of its record is applied.
    fn check(&self, item: &Item<'_>) -> Result<(), Wrong> {
        let text = |ok: bool| if ok { Ok(()) } else { Err(Wrong::Item) };
        match item {
            Item::Inode(ino, meta) => {
                text((ROOT..MAX_COUNT).contains(ino) && (meta.kind == Kind::File || meta.size == 0))
            }
            Item::Extents(_, runs) => self.check_runs(runs),
            Item::ExtentList(item) => text(item.list.iter().all(|block| self.in_range(block.get(), 1))),
            Item::Entry(EntryItem { .. }, name) => {
                let bad = name.is_empty() || name.len() > MAX_NAME || *name == b"." || *name == b"..";
                text(!bad && !name.contains(&b'/') && !name.contains(&0))
            }
            Item::Target(_, target) => text(!target.is_empty() && target.len() <= MAX_TARGET && !target.contains(&0)),
        }
    }

    fn check_runs(&self, runs: &[RunItem]) -> Result<(), Wrong> {
        for item in runs {
            let (start, blocks) = (item.start.get(), u64::from(item.blocks.get()));
            let fine = match item.state.get() {
                run::HOLE => start == 0,
                run::WRITTEN | run::UNWRITTEN => self.in_range(start, blocks),
                _ => return Err(Wrong::Item),
            };
            if !fine || blocks == 0 {
                return Err(Wrong::OutOfRange);
            }
        }
        Ok(())
    }

    fn apply(&mut self, item: &Item<'_>) -> Result<(), Wrong> {
        match item {
            Item::Inode(ino, meta) => self.apply_inode(*ino, meta),
            Item::Extents(item, runs) => self.map(item.ino.get(), item.first.get(), runs),
            Item::ExtentList(item) => {
                let first = item.list.map(|block| block.get());
                let (key, salt) = ((self.generation, item.ino.get()), self.salt);
                let chain =
                    lists::load(self.medium, salt, key, (first, item.runs.get()), self.total, &mut self.listed)?;
                self.check_runs(&chain.runs)?;
                for (block, bytes) in chain.bad_copies {
                    let (what, at) = (Wrong::ExtentBlockCopy, BlockNr::new(block).base());
                    self.replayed.repairs.push(Repair { what, at, bytes, stored_with: None });
                }
                self.replayed.log.extend(chain.blocks.iter().map(|&block| Run::new(block, 1)));
                self.map(item.ino.get(), item.first.get(), &chain.runs)
            }
            Item::Entry(item, name) => {
                let dir = self.loaded(item.dir.get(), Kind::Directory)?;
                match item.ino.get() {
                    0 => drop(dir.names.remove(name)),
                    ino => drop(dir.names.put(name, ino)),
                }
                Ok(())
            }
            Item::Target(item, target) => {
                self.loaded(item.ino.get(), Kind::Symlink)?.target = target.to_vec();
                Ok(())
            }
        }
    }

    fn apply_inode(&mut self, ino: u64, meta: &Meta) -> Result<(), Wrong> {
        self.replayed.next_ino = self.replayed.next_ino.max(ino + 1);
        let inodes = &mut self.replayed.inodes;
        let Some(loaded) = inodes.get_mut(ino) else {
            // Nothing is open after a cut: what has no name is gone, and its blocks are free.
            if meta.nlink != 0 || seeded(Bug::UnlinkedKept) {
                let (extents, names, target) = (Extents::default(), Names::new(self.salt.0 ^ ino), Vec::new());
                inodes.insert(ino, Box::new(Loaded { meta: *meta, extents, names, target }));
            }
            return Ok(());
        };
        if loaded.meta.kind != meta.kind {
            return Err(Wrong::WrongContent);
        }
        let links = if seeded(Bug::ReplayAdds) { loaded.meta.nlink } else { 0 };
        loaded.meta = Meta { nlink: meta.nlink.wrapping_add(links), ..*meta };
        if meta.nlink == 0 && !seeded(Bug::UnlinkedKept) {
            inodes.remove(ino);
        }
        Ok(())
    }

    fn loaded(&mut self, ino: u64, kind: Kind) -> Result<&mut Loaded, Wrong> {
        let loaded = self.replayed.inodes.get_mut(ino).ok_or(Wrong::Item)?;
        if loaded.meta.kind == kind { Ok(loaded) } else { Err(Wrong::WrongContent) }
    }

    /// Makes `runs` the mapping of the file `ino` from file block `first` on.
    fn map(&mut self, ino: u64, first: u64, runs: &[RunItem]) -> Result<(), Wrong> {
        // Who passes over records may find a block with two owners, of whom the later has it; nobody else tells births apart.
        let (birth, newest_pin) = match self.reading {
            Reading::Strict => (0, None),
            Reading::Salvage => (self.replayed.tail.seq, Some(u64::MAX)),
        };
        let mut extents = Vec::new();
        let mut at = first;
        for item in runs {
            let end = at.checked_add(item.blocks.get().into()).ok_or(Wrong::Item)?;
            if end > MAX_FILE_SIZE / BLOCK {
                return Err(Wrong::Item);
            }
            let state = match item.state.get() {
                run::WRITTEN => Some(ExtentState::Written),
                run::UNWRITTEN => Some(ExtentState::Unwritten),
                _ => None,
            };
            let (start, blocks) = (item.start.get(), item.blocks.get());
            extents.extend(state.map(|state| Extent { file: at, start, birth, blocks, state }));
            at = end;
        }
        let loaded = self.loaded(ino, Kind::File)?;
        loaded.extents.replace((first, at), &extents, newest_pin, drop);
        Ok(())
    }
}
