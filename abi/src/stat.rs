//! What is known about a file or a file system: modes, `stat`, `statx`, `statfs`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::time::Timespec;

/// `S_IFMT`: the bits of a mode that say what kind of file it is.
pub const S_IFMT: u32 = 0o170000;
/// `S_IFSOCK`: socket.
pub const S_IFSOCK: u32 = 0o140000;
/// `S_IFLNK`: symbolic link.
pub const S_IFLNK: u32 = 0o120000;
/// `S_IFREG`: regular file.
pub const S_IFREG: u32 = 0o100000;
/// `S_IFBLK`: block device.
pub const S_IFBLK: u32 = 0o060000;
/// `S_IFDIR`: directory.
pub const S_IFDIR: u32 = 0o040000;
/// `S_IFCHR`: character device.
pub const S_IFCHR: u32 = 0o020000;
/// `S_IFIFO`: pipe.
pub const S_IFIFO: u32 = 0o010000;
/// `S_ISUID`: run as the owner.
pub const S_ISUID: u32 = 0o4000;
/// `S_ISGID`: run as the group.
pub const S_ISGID: u32 = 0o2000;
/// `S_ISVTX`: only owners remove entries.
pub const S_ISVTX: u32 = 0o1000;
/// The bits of a mode that `chmod` sets.
pub const S_IALLUGO: u32 = 0o7777;
/// The bits of a mode that grant reading, writing and executing to owner, group and others.
pub const S_IRWXUGO: u32 = 0o777;

/// `struct stat` of arm64, for `fstat` and `newfstatat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stat {
    /// The device the file lies on.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Kind ([`S_IFMT`]) and permissions.
    pub mode: u32,
    /// How many names it has.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device it is, if it is one.
    pub rdev: u64,
    /// Always 0.
    pub pad1: u64,
    /// Bytes up to the end of file.
    pub size: i64,
    /// Bytes that are good to read or write at a time.
    pub blksize: i32,
    /// Always 0.
    pub pad2: i32,
    /// Allocated space in units of 512 bytes.
    pub blocks: i64,
    /// Last read.
    pub atime: Timespec,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Last change of content or attributes.
    pub ctime: Timespec,
    /// Always 0.
    pub unused: [u32; 2],
}

/// `struct statx_timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatxTimestamp {
    /// Whole seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
    /// Always 0.
    pub reserved: i32,
}

/// `struct statx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Statx {
    /// Which fields are filled in: [`StatxMask`].
    pub mask: u32,
    /// Bytes that are good to read or write at a time.
    pub blksize: u32,
    /// [`StatxAttributes`] that hold.
    pub attributes: u64,
    /// How many names it has.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Kind ([`S_IFMT`]) and permissions.
    pub mode: u16,
    /// Always 0.
    pub pad1: u16,
    /// Inode number.
    pub ino: u64,
    /// Bytes up to the end of file.
    pub size: u64,
    /// Allocated space in units of 512 bytes.
    pub blocks: u64,
    /// Which [`StatxAttributes`] this file system can tell.
    pub attributes_mask: u64,
    /// Last read.
    pub atime: StatxTimestamp,
    /// Creation.
    pub btime: StatxTimestamp,
    /// Last change of content or attributes.
    pub ctime: StatxTimestamp,
    /// Last change of the content.
    pub mtime: StatxTimestamp,
    /// Major number of the device it is.
    pub rdev_major: u32,
    /// Minor number of the device it is.
    pub rdev_minor: u32,
    /// Major number of the device it lies on.
    pub dev_major: u32,
    /// Minor number of the device it lies on.
    pub dev_minor: u32,
    /// The mount it was found through.
    pub mnt_id: u64,
    /// Alignment in memory for direct input and output.
    pub dio_mem_align: u32,
    /// Alignment in the file for direct input and output.
    pub dio_offset_align: u32,
    /// Always 0.
    pub spare: [u64; 12],
}

bitflags::bitflags! {
    /// `STATX_*`: fields of [`Statx`] wanted or filled in.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StatxMask: u32 {
        /// Kind of file.
        const TYPE = 0x001;
        /// Permissions.
        const MODE = 0x002;
        /// Link count.
        const NLINK = 0x004;
        /// Owner.
        const UID = 0x008;
        /// Group.
        const GID = 0x010;
        /// Last read.
        const ATIME = 0x020;
        /// Last change of the content.
        const MTIME = 0x040;
        /// Last change of content or attributes.
        const CTIME = 0x080;
        /// Inode number.
        const INO = 0x100;
        /// Size.
        const SIZE = 0x200;
        /// Allocated blocks.
        const BLOCKS = 0x400;
        /// All that `stat` gives.
        const BASIC_STATS = 0x7ff;
        /// Creation.
        const BTIME = 0x800;
        /// The mount.
        const MNT_ID = 0x1000;
        /// Alignment for direct input and output.
        const DIOALIGN = 0x2000;
        /// Reserved: asking for it is `EINVAL`.
        const RESERVED = 0x8000_0000;
    }
}

bitflags::bitflags! {
    /// `STATX_ATTR_*`: properties in [`Statx::attributes`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StatxAttributes: u64 {
        /// Cannot be changed.
        const IMMUTABLE = 0x10;
        /// Can only be appended to.
        const APPEND = 0x20;
        /// The root of a mount.
        const MOUNT_ROOT = 0x2000;
        /// Mapped straight from persistent memory.
        const DAX = 0x0020_0000;
    }
}

bitflags::bitflags! {
    /// `ST_*`: how a file system is mounted.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct StatfsFlags: u64 {
        /// Nothing can be changed.
        const RDONLY = 0x1;
        /// The flags are told at all.
        const VALID = 0x20;
        /// `atime` moves when it is older than `mtime` or a day.
        const RELATIME = 0x1000;
    }
}

/// `struct statfs` of arm64, for `statfs` and `fstatfs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Statfs {
    /// Magic number of the kind of file system.
    pub kind: u64,
    /// Bytes in a block.
    pub bsize: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for everybody.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Identity of the file system.
    pub fsid: [i32; 2],
    /// Longest name, in bytes.
    pub namelen: u64,
    /// Bytes in a fragment, the unit of the counts.
    pub frsize: u64,
    /// Mount flags.
    pub flags: u64,
    /// Always 0.
    pub spare: [u64; 4],
}

crate::sizes! { Stat = 128, StatxTimestamp = 16, Statx = 256, Statfs = 120, }
const _: () = assert!(core::mem::offset_of!(Stat, size) == 48 && core::mem::offset_of!(Stat, atime) == 72);
const _: () = assert!(core::mem::offset_of!(Statx, atime) == 64 && core::mem::offset_of!(Statx, mnt_id) == 144);
