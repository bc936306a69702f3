//! The content of a record that is being made: items, in words that are stored from where they were made.
//!
//! Each item is put together as the little-endian words it lies on the medium in. The structures of `format` say the same
//! byte by byte; the tests below hold the two against each other.

use alloc::vec::Vec;
use core::mem::size_of;

use units::Ino;
use zerocopy::IntoBytes;

use crate::crc::{self, Salt};
use crate::extents::{Extent, ExtentState};
use crate::format::{ExtentsItem, InodeItem, RECORD_MAGIC, RecordHeader, RunItem, SegmentHeader, kind, run};
use crate::items::Meta;

/// The items, with room for the record's header and a segment's in front.
pub(crate) struct Payload {
    words: Vec<u64>,
    items: u32,
}

/// Bytes in a word.
const WORD: usize = size_of::<u64>();
/// The word a record begins at in the memory of its payload, behind the room for a segment's header, and its items.
const RECORD: usize = size_of::<SegmentHeader>() / WORD;
const ITEMS: usize = RECORD + size_of::<RecordHeader>() / WORD;
/// Words that most records need no more than.
const USUAL: usize = 64;

impl Default for Payload {
    fn default() -> Self {
        Self::reusing(Vec::new())
    }
}

/// The first word of an item: its kind, the length of its name or target, its own in bytes.
fn header(kind: u16, text: usize, words: usize) -> u64 {
    // Names and targets are below 64 KiB, and a record below a segment.
    u64::from(kind) | (text as u64 & 0xffff) << 16 | ((words * WORD) as u64) << 32
}

/// Two halves of a word.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Payload {
    /// An empty one, in memory that an earlier one had.
    #[inline]
    pub(crate) fn reusing(mut words: Vec<u64>) -> Self {
        if words.len() < ITEMS {
            words.reserve(USUAL);
            words.resize(ITEMS, 0);
        }
        // What lies before the items is stored anew when the record is sealed.
        words.truncate(ITEMS);
        Self { words, items: 0 }
    }

    /// The memory, to be used again.
    pub(crate) fn into_memory(self) -> Vec<u64> {
        self.words
    }

    /// The items' bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.words[ITEMS..].as_bytes()
    }

    /// How many there are.
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// The record of these items under this generation and number; behind `segment`, the header of the segment it begins.
    pub(crate) fn seal(&mut self, (generation, seq): (u64, u64), segment: Option<&SegmentHeader>, salt: Salt) -> &[u8] {
        // Below a segment's length, as `Tail::reserve` saw to.
        let length = ((self.words.len() - RECORD) * WORD) as u32;
        let header = [pair(RECORD_MAGIC, 0), pair(length, self.items), generation, seq];
        self.words[RECORD..ITEMS].copy_from_slice(&header.map(u64::to_le));
        // The salt goes where the segment's header ends, so that the checksum is of one piece.
        self.words[RECORD - 1] = salt.0.to_le();
        let crc = crc::plain(&[self.words[RECORD - 1..].as_bytes()]);
        self.words[RECORD] = pair(RECORD_MAGIC, crc).to_le();
        let Some(segment) = segment else { return self.words[RECORD..].as_bytes() };
        self.words[..RECORD].as_mut_bytes().copy_from_slice(segment.as_bytes());
        self.words.as_bytes()
    }

    /// Assigns the attributes of `ino`.
    pub(crate) fn inode(&mut self, ino: Ino, meta: &Meta) {
        self.push([
            header(kind::INODE, 0, size_of::<InodeItem>() / WORD),
            ino.get(),
            meta.size,
            pair(meta.kind.mode_bits() | meta.mode, meta.nlink),
            pair(meta.uid, meta.gid),
            meta.atime.secs as u64,
            meta.mtime.secs as u64,
            meta.ctime.secs as u64,
            pair(meta.atime.nanos, meta.mtime.nanos),
            pair(meta.ctime.nanos, 0),
        ]);
        self.items += 1;
    }

    /// Assigns the mapping of `ino` from file block `first` on.
    pub(crate) fn extents(&mut self, ino: Ino, first: u64, runs: &[RunItem]) {
        let words = (size_of::<ExtentsItem>() + size_of_val(runs)) / WORD;
        self.push([header(kind::EXTENTS, 0, words), ino.get(), first]);
        self.append(runs.as_bytes());
        self.items += 1;
    }

    /// Assigns the mapping of `ino` in the file blocks `range`, not empty: `extents`, and holes between.
    pub(crate) fn mapping(&mut self, ino: Ino, range: (u64, u64), extents: &[Extent]) {
        let at = self.words.len();
        self.push([0, ino.get(), range.0]);
        each_run(extents, range, |start, blocks, state| self.push([start, pair(blocks, state)]));
        self.words[at] = header(kind::EXTENTS, 0, self.words.len() - at).to_le();
        self.items += 1;
    }

    /// Assigns a mapping that lies in extent blocks.
    pub(crate) fn extent_list(&mut self, ino: Ino, first: u64, list: [u64; 2], runs: u64) {
        self.push([header(kind::EXTENT_LIST, 0, 6), ino.get(), first, list[0], list[1], runs]);
        self.items += 1;
    }

    /// Lets `name` in `dir` lead to `ino`, or to nothing.
    pub(crate) fn entry(&mut self, dir: Ino, name: &[u8], ino: Option<Ino>) {
        let words = 3 + name.len().div_ceil(WORD);
        self.push([header(kind::ENTRY, name.len(), words), dir.get(), ino.map_or(0, Ino::get)]);
        self.append(name);
        self.items += 1;
    }

    /// Assigns a symlink's target.
    pub(crate) fn target(&mut self, ino: Ino, target: &[u8]) {
        self.push([header(kind::TARGET, target.len(), 2 + target.len().div_ceil(WORD)), ino.get()]);
        self.append(target);
        self.items += 1;
    }

    /// Takes an item over from another record.
    pub(crate) fn copy(&mut self, item: &[u8]) {
        self.append(item);
        self.items += 1;
    }

    #[inline]
    fn push<const N: usize>(&mut self, words: [u64; N]) {
        self.words.extend_from_slice(&words.map(u64::to_le));
    }

    /// Adds bytes, and zeros up to a whole word.
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        let at = self.words.len();
        self.words.resize(at + bytes.len().div_ceil(WORD), 0);
        self.words[at..].as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    }
}

/// The runs that say `extents`, with holes between, over the file blocks `from..to`.
pub(crate) fn runs_of(extents: &[Extent], range: (u64, u64)) -> Vec<RunItem> {
    let mut runs = Vec::new();
    each_run(extents, range, |start, blocks, state| {
        runs.push(RunItem { start: start.into(), blocks: blocks.into(), state: state.into() });
    });
    runs
}

/// Shows each run: its first block on the medium, its blocks, its state.
#[inline]
fn each_run(extents: &[Extent], (from, to): (u64, u64), mut push: impl FnMut(u64, u32, u32)) {
    let mut at = from;
    for extent in extents {
        each_hole(at, extent.file, &mut push);
        let state = match extent.state {
            ExtentState::Written => run::WRITTEN,
            ExtentState::Unwritten => run::UNWRITTEN,
        };
        push(extent.start, extent.blocks, state);
        at = extent.end();
    }
    each_hole(at, to, &mut push);
}

#[inline]
fn each_hole(mut from: u64, to: u64, push: &mut impl FnMut(u64, u32, u32)) {
    while from < to {
        let blocks = u32::try_from(to - from).unwrap_or(u32::MAX);
        push(0, blocks, run::HOLE);
        from += u64::from(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{EntryItem, ExtentListItem, ItemHeader, TargetItem};
    use crate::items::{self, Item};
    use crate::types::{Kind, Time};

    fn head(kind: u16, text: u16, length: usize) -> ItemHeader {
        ItemHeader { kind: kind.into(), text: text.into(), length: (length as u32).into() }
    }

    #[test]
    fn the_words_are_the_bytes_of_the_format() {
        let (ino, dir) = (Ino::new(0x0102_0304_0506_0708), Ino::new(77));
        let meta = Meta {
            kind: Kind::File,
            mode: 0o4751,
            nlink: 0x1122_3344,
            uid: 0x5566_7788,
            gid: 0x99aa_bbcc,
            size: 0x001a_2b3c_4d5e,
            atime: Time::new(-5, 111),
            mtime: Time::new(1 << 40, 222),
            ctime: Time::new(7, 999_999_999),
        };
        let item = InodeItem {
            header: head(kind::INODE, 0, size_of::<InodeItem>()),
            ino: ino.get().into(),
            size: meta.size.into(),
            mode: (meta.kind.mode_bits() | meta.mode).into(),
            nlink: meta.nlink.into(),
            uid: meta.uid.into(),
            gid: meta.gid.into(),
            atime_secs: meta.atime.secs.into(),
            mtime_secs: meta.mtime.secs.into(),
            ctime_secs: meta.ctime.secs.into(),
            atime_nanos: meta.atime.nanos.into(),
            mtime_nanos: meta.mtime.nanos.into(),
            ctime_nanos: meta.ctime.nanos.into(),
            flags: 0.into(),
        };
        let mut expected: Vec<u8> = item.as_bytes().to_vec();
        let extent = Extent { file: 12, start: 0xabcdef, birth: 0, blocks: 3, state: ExtentState::Unwritten };
        let runs = [
            RunItem { start: 0.into(), blocks: 2.into(), state: run::HOLE.into() },
            RunItem { start: 0xabcdef.into(), blocks: 3.into(), state: run::UNWRITTEN.into() },
            RunItem { start: 0.into(), blocks: 1.into(), state: run::HOLE.into() },
        ];
        for _ in 0..2 {
            let length = size_of::<ExtentsItem>() + size_of_val(&runs);
            let item = ExtentsItem { header: head(kind::EXTENTS, 0, length), ino: ino.get().into(), first: 10.into() };
            expected.extend([item.as_bytes(), runs.as_bytes()].concat());
        }
        let header = head(kind::EXTENT_LIST, 0, size_of::<ExtentListItem>());
        let list = [8.into(), 9.into()];
        let item = ExtentListItem { header, ino: ino.get().into(), first: 4.into(), list, runs: 5.into() };
        expected.extend(item.as_bytes());
        let header = head(kind::ENTRY, 5, size_of::<EntryItem>() + 8);
        expected.extend(EntryItem { header, dir: 77.into(), ino: ino.get().into() }.as_bytes());
        expected.extend(b"hello\0\0\0");
        let header = head(kind::TARGET, 8, size_of::<TargetItem>() + 8);
        expected.extend(TargetItem { header, ino: ino.get().into() }.as_bytes());
        expected.extend(b"/a/b/c/d");

        let mut payload = Payload::default();
        payload.inode(ino, &meta);
        payload.mapping(ino, (10, 16), &[extent]);
        payload.extents(ino, 10, &runs_of(&[extent], (10, 16)));
        payload.extent_list(ino, 4, [8, 9], 5);
        payload.entry(dir, b"hello", Some(ino));
        payload.target(ino, b"/a/b/c/d");
        assert_eq!(payload.bytes(), expected);
        assert_eq!(payload.items(), 6);
        let length = (size_of::<RecordHeader>() + expected.len()) as u32;
        let (generation, seq) = (0x0012_3456_789a, 0xfedc_ba98);
        let mut record = RecordHeader {
            magic: RECORD_MAGIC.into(),
            crc: 0.into(),
            length: length.into(),
            items: 6.into(),
            generation: generation.into(),
            seq: seq.into(),
        };
        let salt = Salt(3);
        record.crc = salt.crc_of(&[record.as_bytes(), &expected].concat()).into();
        assert_eq!(payload.seal((generation, seq), None, salt), [record.as_bytes(), &expected].concat());
        let mut rest = payload.bytes();
        assert!(matches!(items::next(&mut rest), Ok(Item::Inode(_, read)) if read == meta));
        let mut copy = Payload::default();
        copy.copy(&payload.bytes()[..size_of::<InodeItem>()]);
        assert_eq!(copy.bytes(), &expected[..size_of::<InodeItem>()]);
    }
}
