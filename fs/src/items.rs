//! The items of a record: each assigns one key, so that replaying one twice, or over a later state, does no harm.

use alloc::vec::Vec;
use core::mem::{offset_of, size_of};

use units::Ino;
use zerocopy::{FromBytes, IntoBytes};

use crate::crc::Salt;
use crate::extents::{Extent, ExtentState};
use crate::format::{
    EntryItem, ExtentListItem, ExtentsItem, InodeItem, ItemHeader, RecordHeader, RunItem, SegmentHeader, TargetItem,
    kind, run,
};
use crate::types::{Kind, Time};

/// What an [`InodeItem`] assigns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

/// The content of a record that is being made, with room for the record's header and a segment's in front: it is stored
/// from where it was made.
pub(crate) struct Payload {
    bytes: Vec<u8>,
    items: u32,
}

/// Where a record begins in the memory of its payload, behind the room for a segment's header, and its items.
const RECORD: usize = size_of::<SegmentHeader>();
const ITEMS: usize = RECORD + size_of::<RecordHeader>();
/// Bytes that most records need no more than.
const USUAL: usize = 512;

impl Default for Payload {
    fn default() -> Self {
        Self::reusing(Vec::new())
    }
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

fn header(kind: u16, text: usize, length: usize) -> ItemHeader {
    // Names and targets are below 64 KiB, and a record below a segment.
    ItemHeader { kind: kind.into(), text: (text as u16).into(), length: (length as u32).into() }
}

impl Payload {
    /// An empty one, in memory that an earlier one had.
    pub(crate) fn reusing(mut bytes: Vec<u8>) -> Self {
        if bytes.capacity() < USUAL {
            bytes.reserve(USUAL - bytes.len());
        }
        bytes.resize(ITEMS, 0);
        Self { bytes, items: 0 }
    }

    /// The memory, to be used again.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// The items' bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[ITEMS..]
    }

    /// The record of these items, whose header is `record` with its length, count and checksum; behind `segment`, the
    /// header of the segment it begins.
    pub(crate) fn seal(&mut self, mut record: RecordHeader, segment: Option<&SegmentHeader>, salt: Salt) -> &[u8] {
        // Below a segment's length, as `Tail::reserve` saw to.
        record.length = ((self.bytes.len() - RECORD) as u32).into();
        record.items = self.items.into();
        self.bytes[RECORD..ITEMS].copy_from_slice(record.as_bytes());
        let crc = salt.crc_of(&self.bytes[RECORD..]);
        let field = RECORD + offset_of!(RecordHeader, crc);
        self.bytes[field..field + 4].copy_from_slice(&crc.to_le_bytes());
        let Some(segment) = segment else { return &self.bytes[RECORD..] };
        self.bytes[..RECORD].copy_from_slice(segment.as_bytes());
        &self.bytes
    }

    /// How many there are.
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// Assigns the attributes of `ino`.
    pub(crate) fn inode(&mut self, ino: Ino, meta: &Meta) {
        let item = InodeItem {
            header: header(kind::INODE, 0, size_of::<InodeItem>()),
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
        self.push(item.as_bytes(), &[]);
    }

    /// Assigns the mapping of `ino` from file block `first` on.
    pub(crate) fn extents(&mut self, ino: Ino, first: u64, runs: &[RunItem]) {
        let length = size_of::<ExtentsItem>() + size_of_val(runs);
        let item = ExtentsItem { header: header(kind::EXTENTS, 0, length), ino: ino.get().into(), first: first.into() };
        self.push(item.as_bytes(), runs.as_bytes());
    }

    /// Assigns the mapping of `ino` in the file blocks `range`, not empty: `extents`, and holes between.
    pub(crate) fn mapping(&mut self, ino: Ino, range: (u64, u64), extents: &[Extent]) {
        let at = self.bytes.len();
        self.extents(ino, range.0, &[]);
        each_run(extents, range, |run| self.bytes.extend_from_slice(run.as_bytes()));
        let length = (self.bytes.len() - at) as u32;
        let field = at + offset_of!(ItemHeader, length);
        self.bytes[field..field + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Assigns a mapping that lies in extent blocks.
    pub(crate) fn extent_list(&mut self, ino: Ino, first: u64, list: [u64; 2], runs: u64) {
        let item = ExtentListItem {
            header: header(kind::EXTENT_LIST, 0, size_of::<ExtentListItem>()),
            ino: ino.get().into(),
            first: first.into(),
            list: list.map(Into::into),
            runs: runs.into(),
        };
        self.push(item.as_bytes(), &[]);
    }

    /// Lets `name` in `dir` lead to `ino`, or to nothing.
    pub(crate) fn entry(&mut self, dir: Ino, name: &[u8], ino: Option<Ino>) {
        let length = size_of::<EntryItem>() + padded(name.len());
        let item = EntryItem {
            header: header(kind::ENTRY, name.len(), length),
            dir: dir.get().into(),
            ino: ino.map_or(0, Ino::get).into(),
        };
        self.push(item.as_bytes(), name);
    }

    /// Assigns a symlink's target.
    pub(crate) fn target(&mut self, ino: Ino, target: &[u8]) {
        let length = size_of::<TargetItem>() + padded(target.len());
        let item = TargetItem { header: header(kind::TARGET, target.len(), length), ino: ino.get().into() };
        self.push(item.as_bytes(), target);
    }

    /// Takes an item over from another record.
    pub(crate) fn copy(&mut self, item: &[u8]) {
        self.push(item, &[]);
    }

    #[inline]
    fn push(&mut self, item: &[u8], rest: &[u8]) {
        self.bytes.extend_from_slice(item);
        if !rest.is_empty() {
            self.bytes.extend_from_slice(rest);
            let end = padded(self.bytes.len());
            self.bytes.resize(end, 0);
        }
        self.items += 1;
    }
}

/// The runs that say `extents`, with holes between, over the file blocks `from..to`.
pub(crate) fn runs_of(extents: &[Extent], range: (u64, u64)) -> Vec<RunItem> {
    let mut runs = Vec::new();
    each_run(extents, range, |run| runs.push(run));
    runs
}

fn each_run(extents: &[Extent], (from, to): (u64, u64), mut push: impl FnMut(RunItem)) {
    let mut at = from;
    for extent in extents {
        each_hole(at, extent.file, &mut push);
        let state = match extent.state {
            ExtentState::Written => run::WRITTEN,
            ExtentState::Unwritten => run::UNWRITTEN,
        };
        push(RunItem { start: extent.start.into(), blocks: extent.blocks.into(), state: state.into() });
        at = extent.end();
    }
    each_hole(at, to, &mut push);
}

fn each_hole(mut from: u64, to: u64, push: &mut impl FnMut(RunItem)) {
    while from < to {
        let blocks = u32::try_from(to - from).unwrap_or(u32::MAX);
        push(RunItem { start: 0.into(), blocks: blocks.into(), state: run::HOLE.into() });
        from += u64::from(blocks);
    }
}

/// An item of a record that was read.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Inode(u64, Meta),
    Extents(&'a ExtentsItem, &'a [RunItem]),
    ExtentList(&'a ExtentListItem),
    Entry(&'a EntryItem, &'a [u8]),
    Target(&'a TargetItem, &'a [u8]),
}

impl Item<'_> {
    /// The inode it says something of.
    pub(crate) fn subject(&self) -> u64 {
        match self {
            Self::Inode(ino, _) => *ino,
            Self::Extents(item, _) => item.ino.get(),
            Self::ExtentList(item) => item.ino.get(),
            Self::Entry(item, _) => item.dir.get(),
            Self::Target(item, _) => item.ino.get(),
        }
    }
}

/// A record's content is not what this version writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadItem;

/// Takes the first item off `payload`.
pub(crate) fn next<'a>(payload: &mut &'a [u8]) -> Result<Item<'a>, BadItem> {
    let (head, _) = ItemHeader::ref_from_prefix(payload).map_err(|_| BadItem)?;
    let (length, text) = (head.length.get() as usize, usize::from(head.text.get()));
    if !length.is_multiple_of(8) || length > payload.len() || length < size_of::<ItemHeader>() {
        return Err(BadItem);
    }
    let (bytes, rest) = payload.split_at(length);
    *payload = rest;
    let text_of =
        |rest: &'a [u8]| if rest.len() == padded(text) { rest.get(..text).ok_or(BadItem) } else { Err(BadItem) };
    match head.kind.get() {
        kind::INODE => meta(InodeItem::ref_from_bytes(bytes).map_err(|_| BadItem)?),
        kind::EXTENTS => {
            let (item, rest) = ExtentsItem::ref_from_prefix(bytes).map_err(|_| BadItem)?;
            Ok(Item::Extents(item, <[RunItem]>::ref_from_bytes(rest).map_err(|_| BadItem)?))
        }
        kind::EXTENT_LIST => Ok(Item::ExtentList(ExtentListItem::ref_from_bytes(bytes).map_err(|_| BadItem)?)),
        kind::ENTRY => {
            let (item, rest) = EntryItem::ref_from_prefix(bytes).map_err(|_| BadItem)?;
            Ok(Item::Entry(item, text_of(rest)?))
        }
        kind::TARGET => {
            let (item, rest) = TargetItem::ref_from_prefix(bytes).map_err(|_| BadItem)?;
            Ok(Item::Target(item, text_of(rest)?))
        }
        _ => Err(BadItem),
    }
}

fn meta(item: &InodeItem) -> Result<Item<'static>, BadItem> {
    let mode = item.mode.get();
    let time = |secs: i64, nanos: u32| if nanos < 1_000_000_000 { Ok(Time::new(secs, nanos)) } else { Err(BadItem) };
    let meta = Meta {
        kind: Kind::from_mode(mode).ok_or(BadItem)?,
        mode: mode & 0o7777,
        nlink: item.nlink.get(),
        uid: item.uid.get(),
        gid: item.gid.get(),
        size: item.size.get(),
        atime: time(item.atime_secs.get(), item.atime_nanos.get())?,
        mtime: time(item.mtime_secs.get(), item.mtime_nanos.get())?,
        ctime: time(item.ctime_secs.get(), item.ctime_nanos.get())?,
    };
    if mode >> 16 != 0 || meta.size > crate::types::MAX_FILE_SIZE {
        return Err(BadItem);
    }
    Ok(Item::Inode(item.ino.get(), meta))
}
