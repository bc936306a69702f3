//! What lies on the medium: every structure, its size and offsets. `docs/FORMAT.md` shows the same tables.
//!
//! All numbers are little-endian by type. Nothing here reads or writes a medium; who does checks every number.

use core::mem::{offset_of, size_of};

use units::{BlockNr, PAGE_SIZE};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first eight bytes of every version.
pub(crate) const MAGIC: [u8; 8] = *b"VITRINE\0";
/// The version written and understood here.
pub(crate) const VERSION: u32 = 1;
/// Incompatible features understood here.
pub(crate) const FEATURES: u32 = 0;
/// The blocks that hold the two superblock copies, in their first [`Superblock`] bytes.
pub(crate) const SUPERBLOCKS: [BlockNr; 2] = [BlockNr::new(0), BlockNr::new(16)];
/// Bytes in a block.
pub(crate) const BLOCK: u64 = PAGE_SIZE;
/// Blocks in one copy of a log segment.
pub(crate) const SEGMENT_BLOCKS: u64 = 32;
/// Bytes in one copy of a log segment.
pub(crate) const SEGMENT_BYTES: usize = (SEGMENT_BLOCKS * BLOCK) as usize;
/// Records begin at multiples of this, the size of a cache line.
pub(crate) const RECORD_ALIGN: usize = 64;
/// Bytes in the longest record: all of a segment behind its header.
pub(crate) const RECORD_MAX: usize = SEGMENT_BYTES - size_of::<SegmentHeader>();
/// Extents of one record at most; a longer list goes to blocks of its own.
pub(crate) const INLINE_RUNS: usize = 1024;
/// Blocks in the smallest file system.
pub(crate) const MIN_BLOCKS: u64 = 512;
/// Generations, record and inode numbers go no further, so that counting on never overflows.
pub(crate) const MAX_COUNT: u64 = i64::MAX as u64;
/// The root directory.
pub(crate) const ROOT: u64 = 1;

/// First four bytes of a segment header, `VSEG`.
pub(crate) const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"VSEG");
/// First four bytes of a record, `VREC`.
pub(crate) const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"VREC");
/// First four bytes of a list of bad blocks, `VBAD`.
pub(crate) const BAD_MAGIC: u32 = u32::from_le_bytes(*b"VBAD");
/// Where a list of bad blocks begins, in the block of a superblock copy.
pub(crate) const BAD_LIST_AT: u64 = size_of::<Superblock>() as u64;
/// Entries in a list of bad blocks.
pub(crate) const BAD_ENTRIES: usize = (BLOCK - BAD_LIST_AT) as usize / 8 - size_of::<BadListHeader>() / 8;
/// First four bytes of an extent block, `VEXT`.
pub(crate) const EXTENT_MAGIC: u32 = u32::from_le_bytes(*b"VEXT");

/// The start of everything; two copies.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) magic: [u8; 8],
    pub(crate) version: U32,
    /// Features a reader must know.
    pub(crate) incompat: U32,
    /// CRC32C of the 512 bytes with this field zero.
    pub(crate) crc: U32,
    pub(crate) block_size: U32,
    pub(crate) uuid: [u8; 16],
    /// Blocks in the file system.
    pub(crate) blocks: U64,
    /// Counts rewrites; the good copy with the higher number is the one.
    pub(crate) serial: U64,
    /// Enters every checksum but this structure's.
    pub(crate) salt: U64,
    /// The log's generation: every segment and record carries it.
    pub(crate) generation: U64,
    /// First blocks of the two copies of the log's first segment.
    pub(crate) first_segment: [U64; 2],
    /// Number of the first record in it.
    pub(crate) first_seq: U64,
    pub(crate) created_secs: I64,
    pub(crate) created_nanos: U32,
    pub(crate) segment_blocks: U32,
    /// No inode with this number or a higher one was made before the first record.
    pub(crate) next_ino: U64,
    /// No log of this generation or a higher one was ever begun; 0 where only this one was.
    pub(crate) generations: U64,
    pub(crate) reserved: [u8; 384],
}

/// The start of a list of bad blocks, behind each superblock copy; its entries follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct BadListHeader {
    pub(crate) magic: U32,
    /// CRC32C of these 32 bytes with this field zero, and of the entries in use.
    pub(crate) crc: U32,
    /// Counts rewrites; the good copy with the higher number is the one.
    pub(crate) serial: U64,
    /// Entries in use.
    pub(crate) count: U32,
    pub(crate) reserved: [u8; 12],
}

/// The start of each copy of a log segment. Both copies are the same, byte by byte.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct SegmentHeader {
    pub(crate) magic: U32,
    /// CRC32C of the salt and these 64 bytes with this field zero.
    pub(crate) crc: U32,
    pub(crate) generation: U64,
    /// 0 for the first segment of a generation, one more for each after.
    pub(crate) index: U64,
    /// Number of the record behind this header.
    pub(crate) first_seq: U64,
    /// First blocks of the two copies of the next segment, allocated but perhaps not written yet.
    pub(crate) next: [U64; 2],
    pub(crate) reserved: [u8; 16],
}

/// The start of a record; its items follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RecordHeader {
    pub(crate) magic: U32,
    /// CRC32C of the salt and `length` bytes from here with this field zero.
    pub(crate) crc: U32,
    /// Bytes, header included, a multiple of 8.
    pub(crate) length: U32,
    pub(crate) items: U32,
    pub(crate) generation: U64,
    pub(crate) seq: U64,
}

/// The start of an item.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct ItemHeader {
    /// One of [`kind`].
    pub(crate) kind: U16,
    /// Bytes of the name or target, else 0.
    pub(crate) text: U16,
    /// Bytes, header included, a multiple of 8.
    pub(crate) length: U32,
}

/// The kinds of items.
pub(crate) mod kind {
    pub(crate) const INODE: u16 = 1;
    pub(crate) const EXTENTS: u16 = 2;
    pub(crate) const EXTENT_LIST: u16 = 3;
    pub(crate) const ENTRY: u16 = 4;
    pub(crate) const TARGET: u16 = 5;
}

/// Assigns an inode's attributes. One with `nlink` 0 is gone at the next mount.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct InodeItem {
    pub(crate) header: ItemHeader,
    pub(crate) ino: U64,
    /// Bytes of a file; 0 for others.
    pub(crate) size: U64,
    /// `st_mode`, kind included.
    pub(crate) mode: U32,
    pub(crate) nlink: U32,
    pub(crate) uid: U32,
    pub(crate) gid: U32,
    pub(crate) atime_secs: I64,
    pub(crate) mtime_secs: I64,
    pub(crate) ctime_secs: I64,
    pub(crate) atime_nanos: U32,
    pub(crate) mtime_nanos: U32,
    pub(crate) ctime_nanos: U32,
    pub(crate) flags: U32,
}

/// Assigns the mapping of a file's range: the [`RunItem`]s that follow tile it from `first` on.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct ExtentsItem {
    pub(crate) header: ItemHeader,
    pub(crate) ino: U64,
    /// The file block the range begins at.
    pub(crate) first: U64,
}

/// Assigns a mapping too long for a record: the runs lie in a chain of extent blocks.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct ExtentListItem {
    pub(crate) header: ItemHeader,
    pub(crate) ino: U64,
    /// The file block the range begins at.
    pub(crate) first: U64,
    /// The two copies of the chain's first block.
    pub(crate) list: [U64; 2],
    /// Runs in the whole chain.
    pub(crate) runs: U64,
}

/// Some blocks of a file that lie one behind the other, or are not there.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RunItem {
    /// First block on the medium; 0 in a hole.
    pub(crate) start: U64,
    pub(crate) blocks: U32,
    /// One of [`run`].
    pub(crate) state: U32,
}

/// The states of a run.
pub(crate) mod run {
    pub(crate) const HOLE: u32 = 0;
    pub(crate) const WRITTEN: u32 = 1;
    pub(crate) const UNWRITTEN: u32 = 2;
}

/// The start of an extent block; [`RunItem`]s follow. Both copies are the same, byte by byte.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct ExtentBlockHeader {
    pub(crate) magic: U32,
    /// CRC32C of the salt and the whole block with this field zero.
    pub(crate) crc: U32,
    pub(crate) generation: U64,
    pub(crate) ino: U64,
    /// Place in the chain, from 0.
    pub(crate) index: U32,
    /// Runs in this block.
    pub(crate) count: U32,
    /// The two copies of the next block, 0 in the last.
    pub(crate) next: [U64; 2],
    pub(crate) reserved: [u8; 16],
}

/// Runs in a full extent block.
pub(crate) const RUNS_PER_BLOCK: usize = (BLOCK as usize - size_of::<ExtentBlockHeader>()) / size_of::<RunItem>();

/// Assigns what a name in a directory leads to; the name follows, zero-padded to a multiple of 8.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct EntryItem {
    pub(crate) header: ItemHeader,
    /// The directory.
    pub(crate) dir: U64,
    /// The inode named, 0 when the name goes.
    pub(crate) ino: U64,
}

/// Assigns a symlink's target, which follows, zero-padded to a multiple of 8.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct TargetItem {
    pub(crate) header: ItemHeader,
    pub(crate) ino: U64,
}

/// A structure as it lies on the medium: its name, its bytes, and where each field begins.
#[cfg(test)]
pub(crate) type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

macro_rules! layouts {
    ($($type:ident, $size:literal, $($field:ident @ $offset:literal),*;)*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(offset_of!($type, $field) == $offset);)*
        };)*

        /// What `docs/FORMAT.md` is held against.
        #[cfg(test)]
        pub(crate) const LAYOUTS: &[Layout] =
            &[$((stringify!($type), $size, &[$((stringify!($field), $offset)),*])),*];
    };
}

layouts! {
    Superblock, 512, magic @ 0, version @ 8, incompat @ 12, crc @ 16, block_size @ 20, uuid @ 24, blocks @ 40, serial @ 48, salt @ 56, generation @ 64, first_segment @ 72, first_seq @ 88, created_secs @ 96, created_nanos @ 104, segment_blocks @ 108, next_ino @ 112, generations @ 120, reserved @ 128;
    BadListHeader, 32, magic @ 0, crc @ 4, serial @ 8, count @ 16, reserved @ 20;
    SegmentHeader, 64, magic @ 0, crc @ 4, generation @ 8, index @ 16, first_seq @ 24, next @ 32, reserved @ 48;
    RecordHeader, 32, magic @ 0, crc @ 4, length @ 8, items @ 12, generation @ 16, seq @ 24;
    ItemHeader, 8, kind @ 0, text @ 2, length @ 4;
    InodeItem, 80, header @ 0, ino @ 8, size @ 16, mode @ 24, nlink @ 28, uid @ 32, gid @ 36, atime_secs @ 40, mtime_secs @ 48, ctime_secs @ 56, atime_nanos @ 64, mtime_nanos @ 68, ctime_nanos @ 72, flags @ 76;
    ExtentsItem, 24, header @ 0, ino @ 8, first @ 16;
    ExtentListItem, 48, header @ 0, ino @ 8, first @ 16, list @ 24, runs @ 40;
    RunItem, 16, start @ 0, blocks @ 8, state @ 12;
    ExtentBlockHeader, 64, magic @ 0, crc @ 4, generation @ 8, ino @ 16, index @ 24, count @ 28, next @ 32, reserved @ 48;
    EntryItem, 24, header @ 0, dir @ 8, ino @ 16;
    TargetItem, 16, header @ 0, ino @ 8;
}
const _: () = assert!(RUNS_PER_BLOCK == 252 && BAD_ENTRIES == 444);
