//! The list of bad blocks on the medium: behind each superblock copy, in the rest of its block.
//!
//! The list is the medium's, not the file system's: it is read before a mount, written while one goes on, and kept by a
//! new `mkfs`. Of two good copies the one with the higher serial counts. A change goes to the other copy first and to
//! this one only when that is durable, so a cut leaves the list before or the list after. Everything is done in small
//! pieces: a list is written deep down in other work, where neither stack nor heap is plenty.

use alloc::vec::Vec;
use core::mem::size_of;

use pmem::badblocks::BadRange;
use pmem::cells::Cells;
use pmem::medium::Medium;
use pmem::order::{self, Batch};
use units::{BlockNr, ByteLen, PmOff, Sector};
use zerocopy::little_endian::U64;
use zerocopy::{FromZeros, IntoBytes};

use crate::crc::Stream;
use crate::format::{BAD_ENTRIES, BAD_LIST_AT, BAD_MAGIC, BLOCK, BadListHeader, MAGIC, SUPERBLOCKS};

/// Sectors that one entry can name.
const MOST: u64 = 1 << 20;
/// Sectors that an entry can count to.
const SECTORS: u64 = 1 << 44;
/// Entries moved at once.
const PIECE: usize = 32;
/// Bytes of an entry: the first sector in the high 44 bits, one less than their number in the low 20.
const ENTRY: u64 = size_of::<U64>() as u64;

/// Reads bytes of the medium; whether they could be read.
type Load<'a> = dyn FnMut(PmOff, &mut [u8]) -> bool + 'a;

fn header_at(copy: BlockNr) -> PmOff {
    PmOff::new(copy.base().get() + BAD_LIST_AT)
}

fn entry_at(copy: BlockNr, index: usize) -> PmOff {
    PmOff::new(header_at(copy).get() + size_of::<BadListHeader>() as u64 + index as u64 * ENTRY)
}

/// The header of a copy, if that is good; shows `each` every entry on the way, whether it turns out to be good or not.
fn walk(load: &mut Load<'_>, copy: BlockNr, each: &mut dyn FnMut(u64)) -> Option<BadListHeader> {
    let mut header = BadListHeader::new_zeroed();
    if !load(header_at(copy), header.as_mut_bytes()) || header.magic.get() != BAD_MAGIC {
        return None;
    }
    let count = Some(header.count.get() as usize).filter(|&count| count <= BAD_ENTRIES)?;
    let mut bare = header;
    bare.crc = 0.into();
    let mut crc = Stream::new();
    crc.add(bare.as_bytes());
    let mut entries = [U64::ZERO; PIECE];
    for from in (0..count).step_by(PIECE) {
        let piece = &mut entries[..PIECE.min(count - from)];
        if !load(entry_at(copy, from), piece.as_mut_bytes()) {
            return None;
        }
        crc.add(piece.as_bytes());
        piece.iter().for_each(|entry| each(entry.get()));
    }
    (crc.finish() == header.crc.get()).then_some(header)
}

/// The headers of the good copies.
fn headers(load: &mut Load<'_>) -> [Option<BadListHeader>; 2] {
    SUPERBLOCKS.map(|copy| walk(load, copy, &mut |_| {}))
}

fn serial(header: &Option<BadListHeader>) -> Option<u64> {
    header.as_ref().map(|header| header.serial.get())
}

/// The number of the copy that counts.
fn newest(headers: &[Option<BadListHeader>; 2]) -> Option<usize> {
    match (serial(&headers[0]), serial(&headers[1])) {
        (None, None) => None,
        (first, second) => Some(usize::from(second > first)),
    }
}

/// Whether the medium has a superblock to keep a list behind.
fn is_ours(cells: &impl Cells) -> bool {
    SUPERBLOCKS.iter().any(|copy| {
        let mut magic = [0; MAGIC.len()];
        let inside = copy.base().get() + BLOCK <= cells.len().get();
        inside && cells.load(copy.base(), &mut magic) == magic.len() && magic == MAGIC
    })
}

fn load_of<C: Cells>(cells: &C) -> impl FnMut(PmOff, &mut [u8]) -> bool + '_ {
    |at, to| cells.load(at, to) == to.len()
}

/// The bad blocks that the medium knows of; none where it has no Vitrine superblock or no list.
pub fn read(cells: &impl Cells) -> Vec<BadRange> {
    let mut bad = Vec::new();
    let mut load = load_of(cells);
    let copy = if is_ours(cells) { newest(&headers(&mut load)) } else { None };
    if let Some(copy) = copy {
        let _ = walk(&mut load, SUPERBLOCKS[copy], &mut |entry| {
            let (start, count) = (Sector::new(entry >> 20), (entry & (MOST - 1)) + 1);
            bad.push(BadRange { start, count, acknowledged: true });
        });
    }
    bad
}

/// The entries that say `bad`.
fn entries(bad: &[BadRange]) -> impl Iterator<Item = U64> + '_ {
    bad.iter().flat_map(|range| {
        let pieces = (0..range.count).step_by(MOST as usize);
        let entry = |done: u64| (range.start.get() + done) << 20 | ((range.count - done).min(MOST) - 1);
        pieces.map(move |done| U64::new(entry(done)))
    })
}

/// Shows `each` the entries in pieces, with the number of the first.
fn in_pieces(bad: &[BadRange], mut each: impl FnMut(usize, &[U64])) {
    let (mut piece, mut from, mut fill) = ([U64::ZERO; PIECE], 0, 0);
    for entry in entries(bad) {
        piece[fill] = entry;
        fill += 1;
        if fill == PIECE {
            each(from, &piece);
            (from, fill) = (from + PIECE, 0);
        }
    }
    if fill > 0 {
        each(from, &piece[..fill]);
    }
}

/// Writes the list of bad blocks; `false` where the medium has no place for it, because there is no Vitrine superblock
/// or because it is longer than a copy, or where no copy could be written. Durable when it returns. Takes no heap.
pub fn write(cells: &impl Cells, bad: &[BadRange]) -> bool {
    let count: u64 = bad.iter().map(|range| range.count.div_ceil(MOST)).sum();
    let past = bad.last().is_some_and(|last| last.end().get() > SECTORS);
    if count > BAD_ENTRIES as u64 || past || !is_ours(cells) {
        return false;
    }
    let before = headers(&mut load_of(cells));
    let newest = newest(&before);
    let mut header = BadListHeader::new_zeroed();
    header.magic = BAD_MAGIC.into();
    header.serial = newest.and_then(|copy| serial(&before[copy])).map_or(1, |serial| serial.wrapping_add(1)).into();
    header.count = (count as u32).into();
    let mut crc = Stream::new();
    crc.add(header.as_bytes());
    in_pieces(bad, |_, piece| crc.add(piece.as_bytes()));
    header.crc = crc.finish().into();
    // The copy that does not count goes first; the other is touched when this one is durable.
    let order = if newest == Some(0) { [1, 0] } else { [0, 1] };
    let mut written = false;
    for copy in order.map(|copy| SUPERBLOCKS[copy]) {
        let mut whole = put(cells, header_at(copy), header.as_bytes());
        in_pieces(bad, |from, piece| whole &= put(cells, entry_at(copy, from), piece.as_bytes()));
        // No state is minted by `order`: nothing but another list depends on this one.
        cells.fence();
        written |= whole;
    }
    written
}

fn put(cells: &impl Cells, at: PmOff, bytes: &[u8]) -> bool {
    let whole = cells.store(at, bytes) == bytes.len();
    cells.clean(at, ByteLen::new(bytes.len() as u64));
    whole
}

/// Whether the two copies say the same, as far as one of them says anything.
pub(crate) fn copies_agree(medium: &impl Medium) -> bool {
    let [first, second] = headers(&mut |at, to| medium.load(at, to).is_ok());
    // The checksum covers the entries.
    first == second
}

/// Makes the other copy what the one that counts is; answers how many fences that took.
pub(crate) fn repair(medium: &impl Medium) -> u64 {
    // To read a copy or to write it may bring a bad block to light: the list is another one then.
    (0..3).map(|_| if copies_agree(medium) { 0 } else { copy_over(medium) }).sum()
}

fn copy_over(medium: &impl Medium) -> u64 {
    let mut load = |at: PmOff, to: &mut [u8]| medium.load(at, to).is_ok();
    let before = headers(&mut load);
    let Some(good) = newest(&before).filter(|_| before[0] != before[1]) else { return 0 };
    let (Some(header), from, to) = (before[good], SUPERBLOCKS[good], SUPERBLOCKS[1 - good]) else { return 0 };
    let mut batch = Batch::new();
    batch.add(order::store(medium, header_at(to), header.as_bytes()).clean(medium));
    let mut at = 0;
    let mut copy = |entry: u64| {
        batch.add(order::store(medium, entry_at(to, at), U64::new(entry).as_bytes()).clean(medium));
        at += 1;
    };
    let _ = walk(&mut load, from, &mut copy);
    u64::from(!batch.fence(medium).is_empty())
}
