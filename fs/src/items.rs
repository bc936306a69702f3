//! The items of a record that was read: each assigns one key, so that replaying one twice, or over a later state, does no harm.

use core::mem::size_of;

use zerocopy::FromBytes;

use crate::format::{EntryItem, ExtentListItem, ExtentsItem, InodeItem, ItemHeader, RunItem, TargetItem, kind};
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

fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
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
