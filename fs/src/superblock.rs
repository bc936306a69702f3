//! The superblock's two copies: making, choosing, refusing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::size_of;

use pmem::medium::Medium;
use pmem::order::{self, Batch, Durable};
use units::{BlockNr, ByteLen, PmOff};
use zerocopy::{FromBytes, IntoBytes};

use crate::crc;
use crate::error::{Damage, MountError, Wrong};
use crate::format::{BLOCK, FEATURES, MAGIC, MAX_COUNT, MIN_BLOCKS, SEGMENT_BLOCKS, SUPERBLOCKS, Superblock, VERSION};
use crate::seeded::{Bug, seeded};

const SIZE: usize = size_of::<Superblock>();
/// Generations left out where it is not known which were begun.
const GUESSED: u64 = 1 << 10;

impl Superblock {
    /// The checksum that belongs into `crc`.
    pub(crate) fn checksum(&self) -> u32 {
        let mut bare = *self;
        bare.crc = 0.into();
        crc::plain(&[bare.as_bytes()])
    }

    /// A generation that no log here ever had, not even one whose checkpoint was cut.
    pub(crate) fn fresh_generation(&self) -> u64 {
        self.generations.get().max(self.generation.get().wrapping_add(1))
    }
}

/// Makes `superblock`, with the next serial number and its checksum, the one that counts: one copy, then the other. It
/// counts from the first fence on. All it points to is durable: `_log` says so.
pub(crate) fn publish(medium: &impl Medium, superblock: &mut Superblock, _log: &Batch<Durable>) {
    superblock.serial = superblock.serial.get().wrapping_add(1).into();
    superblock.crc = superblock.checksum().into();
    for block in [SUPERBLOCKS[1], SUPERBLOCKS[0]] {
        let copy = order::store(medium, block.base(), superblock.as_bytes()).clean(medium);
        if !seeded(Bug::SuperblocksAtOnce) || block == SUPERBLOCKS[0] {
            let _ = order::fence(medium, [copy]);
        }
    }
}

/// Whether the copy at `at` differs from `newest` only in what [`publish`] may change: then a cut came while one of them was
/// stored.
pub(crate) fn is_half_published(medium: &impl Medium, at: PmOff, newest: &Superblock) -> bool {
    let mut bytes = [0; SIZE];
    let loaded = medium.load(at, &mut bytes).is_ok();
    let Some(mut copy) = Superblock::read_from_bytes(&bytes).ok().filter(|_| loaded) else { return false };
    (copy.crc, copy.serial, copy.next_ino) = (newest.crc, newest.serial, newest.next_ino);
    (copy.generation, copy.generations) = (newest.generation, newest.generations);
    (copy.first_segment, copy.first_seq) = (newest.first_segment, newest.first_seq);
    copy == *newest
}

/// One copy, as it was found.
enum Copy {
    Good(Box<Superblock>),
    Bad,
    Foreign,
}

fn read(medium: &impl Medium, block: BlockNr) -> Copy {
    let mut bytes = [0; SIZE];
    let inside = block.base().get() + SIZE as u64 <= medium.len().get();
    if !inside {
        return Copy::Foreign;
    }
    if medium.load(block.base(), &mut bytes).is_err() {
        return Copy::Bad;
    }
    match Superblock::read_from_bytes(&bytes) {
        Ok(found) if found.magic != MAGIC => Copy::Foreign,
        Ok(found) if found.crc.get() == found.checksum() => Copy::Good(Box::new(found)),
        _ => Copy::Bad,
    }
}

/// The superblock that counts, and the copies to be rewritten with it.
pub(crate) struct Found {
    pub(crate) superblock: Superblock,
    pub(crate) bad: Vec<PmOff>,
}

/// Reads both copies and takes the good one with the higher serial number.
///
/// # Errors
/// [`MountError`]: nothing there, not ours, damaged, or longer than the medium.
pub(crate) fn find(medium: &impl Medium) -> Result<Found, MountError> {
    let copies = SUPERBLOCKS.map(|block| (block.base(), read(medium, block)));
    let newest = copies
        .iter()
        .filter_map(|(_, copy)| if let Copy::Good(found) = copy { Some(**found) } else { None })
        .max_by_key(|found| found.serial.get());
    let Some(superblock) = newest else {
        let ours = copies.iter().find(|(_, copy)| matches!(copy, Copy::Bad));
        // A medium that cannot be read at all is not called foreign.
        return Err(ours
            .map_or(MountError::Foreign, |(at, _)| MountError::Damaged(Damage { at: *at, what: Wrong::Superblocks })));
    };
    check(&superblock, medium.len())?;
    let stale = |copy: &Copy| !matches!(copy, Copy::Good(found) if **found == superblock);
    let bad = copies.iter().filter(|(_, copy)| stale(copy)).map(|(at, _)| *at).collect();
    Ok(Found { superblock, bad })
}

/// A superblock made of the readable copies where no checksum is right: what is the same on every medium as it has to be, the
/// rest as it is found. It is no more than a guess, for who looks at the log it names.
pub(crate) fn guesses(medium: &impl Medium) -> impl Iterator<Item = Superblock> {
    SUPERBLOCKS.into_iter().filter_map(|block| {
        let mut bytes = [0; SIZE];
        let inside = block.base().get() + SIZE as u64 <= medium.len().get();
        let loaded = inside && medium.load(block.base(), &mut bytes).is_ok();
        let mut guess = Superblock::read_from_bytes(&bytes).ok().filter(|_| loaded)?;
        (guess.magic, guess.version, guess.incompat) = (MAGIC, VERSION.into(), FEATURES.into());
        (guess.block_size, guess.segment_blocks) = ((BLOCK as u32).into(), (SEGMENT_BLOCKS as u32).into());
        // A generation that was begun and given up may not be had twice; the number of the last may be what is wrong.
        guess.generations = guess.fresh_generation().min(MAX_COUNT - GUESSED).wrapping_add(GUESSED).into();
        guess.crc = guess.checksum().into();
        check(&guess, medium.len()).ok().map(|()| guess)
    })
}

fn check(superblock: &Superblock, found: ByteLen) -> Result<(), MountError> {
    if superblock.version.get() != VERSION {
        return Err(MountError::Version { found: superblock.version.get() });
    }
    if superblock.incompat.get() & !FEATURES != 0 {
        return Err(MountError::Features { unknown: superblock.incompat.get() & !FEATURES });
    }
    let impossible = MountError::Damaged(Damage { at: PmOff::ZERO, what: Wrong::SuperblockField });
    let blocks = superblock.blocks.get();
    let recorded = blocks.checked_mul(BLOCK).map(ByteLen::new).ok_or(impossible)?;
    let segment = |first: u64| first > 0 && first.checked_add(SEGMENT_BLOCKS).is_some_and(|end| end <= blocks);
    let right = superblock.block_size.get() == BLOCK as u32
        && superblock.segment_blocks.get() == SEGMENT_BLOCKS as u32
        && blocks >= MIN_BLOCKS
        && [superblock.generation, superblock.first_seq, superblock.next_ino, superblock.generations]
            .iter()
            .all(|count| count.get() <= MAX_COUNT)
        && superblock.first_segment.iter().all(|first| segment(first.get()));
    if !right {
        return Err(impossible);
    }
    if recorded > found { Err(MountError::Truncated { recorded, found }) } else { Ok(()) }
}
