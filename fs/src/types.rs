//! The words callers and file system share: attributes, names of choices, counts.

use units::{ByteLen, FileOff, Ino};

/// Bytes a file can have at most: 16 TiB.
pub const MAX_FILE_SIZE: u64 = 1 << 44;
/// Bytes a name can have at most (`NAME_MAX`).
pub const MAX_NAME: usize = 255;
/// Bytes a symlink's target can have at most (`PATH_MAX` less the NUL).
pub const MAX_TARGET: usize = 4095;
/// Bytes one call moves at most (Linux's `MAX_RW_COUNT`).
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl Kind {
    /// The `S_IFMT` bits of `st_mode` that say this.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
        }
    }

    /// The kind these `S_IFMT` bits name, if it is one of ours.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        match mode & 0o170_000 {
            0o100_000 => Some(Self::File),
            0o040_000 => Some(Self::Directory),
            0o120_000 => Some(Self::Symlink),
            _ => None,
        }
    }
}

/// A point in time, as `struct timespec` counts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC.
    pub secs: i64,
    /// Nanoseconds of the second begun, below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    /// `secs` seconds and `nanos` nanoseconds after 1970 began.
    pub const fn new(secs: i64, nanos: u32) -> Self {
        Self { secs, nanos }
    }
}

/// All that `stat` tells of an inode, as it stood at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// The inode's number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` at most; [`Attr::st_mode`] adds the kind.
    pub mode: u32,
    /// Names that lead here; for a directory 2 and one for each directory inside.
    pub nlink: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes: of a file, of a symlink's target, of a directory's names.
    pub size: u64,
    /// Space taken, in 512-byte units.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or attributes.
    pub ctime: Time,
}

impl Attr {
    /// Kind and permissions as `st_mode` has them.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }
}

/// What [`crate::Node::create`] makes; owner and group are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewNode<'a> {
    /// An empty regular file.
    File {
        /// Permission bits; others are ignored.
        mode: u32,
    },
    /// An empty directory.
    Directory {
        /// Permission bits; others are ignored.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, 1 to [`MAX_TARGET`] bytes without NUL.
        target: &'a [u8],
    },
}

/// Whether a file made without a name may be given one ([`crate::Node::tmpfile`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linkable {
    /// It may, once; until then its data is durable, but not a record says so.
    Yes,
    /// It never has a name (`O_TMPFILE | O_EXCL`).
    No,
}

/// What [`crate::Node::fallocate`] does to a range (`FALLOC_FL_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fallocate {
    /// Holes get unwritten blocks, and the file grows to hold the range.
    Allocate,
    /// Holes get unwritten blocks, behind the end of the file too (`KEEP_SIZE`).
    AllocateKeepSize,
    /// The range becomes a hole, as far as it has whole blocks, and zeros else (`PUNCH_HOLE`, which keeps the size).
    Punch,
    /// The range becomes unwritten blocks, as far as it has whole ones, and zeros else; the file grows to hold it
    /// (`ZERO_RANGE`).
    Zero,
    /// The same, and the size stays.
    ZeroKeepSize,
}

/// What becomes of the bits of a file's mode by which it runs as its owner or group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Privileges {
    /// They stay.
    #[default]
    Keep,
    /// The owner's goes, and the group's where the group may execute the file (`setattr_should_drop_suidgid`).
    Drop,
}

/// Attributes to assign; `None` leaves one as it is. `ctime` becomes the time of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Time>,
    /// Last change of the content.
    pub mtime: Option<Time>,
    /// What a new owner means to the mode; of directories nothing.
    pub privileges: Privileges,
}

/// What a rename does where the new name exists (`renameat2`'s flags).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rename {
    /// It is replaced.
    Replace,
    /// The rename is refused (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// Where a write goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteAt {
    /// There.
    Offset(FileOff),
    /// Behind what is last in the file at the moment of the commit (`O_APPEND`).
    End,
}

/// What a write did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Bytes written.
    pub len: usize,
    /// The file offset behind the last of them.
    pub end: FileOff,
}

/// One entry of a directory, as [`crate::Node::read_dir`] shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// The inode named.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// The name.
    pub name: &'a [u8],
    /// The cursor that continues behind this entry (`d_off`).
    pub next: u64,
}

/// What `statfs` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    /// Blocks of 4096 bytes in the whole file system.
    pub blocks: u64,
    /// Blocks in no use.
    pub free: u64,
    /// Free blocks that data can have: without the reserve that lets a full medium be emptied.
    pub available: u64,
    /// Blocks no file has any more, but a pin still sees.
    pub pinned: u64,
    /// Blocks of the record log.
    pub log: u64,
    /// Blocks that nobody has and that cannot be used, because they are bad.
    pub bad: u64,
    /// Inodes in use.
    pub inodes: u64,
}

/// What [`crate::Fs::format`] makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// Names this file system among all others.
    pub uuid: [u8; 16],
    /// A random number nobody but the file system knows: it goes into every checksum of the log, so that a file's
    /// content can never pass for a record.
    pub salt: u64,
    /// The version to put into the superblock, for tests of the refusal; `None` is the real one.
    pub version: Option<u32>,
    /// The root directory's times.
    pub now: Time,
    /// The root directory's permission bits.
    pub root_mode: u32,
}

impl Default for Format {
    fn default() -> Self {
        Self { uuid: [0; 16], salt: 0, version: None, now: Time::default(), root_mode: 0o755 }
    }
}

/// How to mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mount {
    /// Whether the medium may be changed, by repairs of the mount and afterwards.
    pub access: Access,
    /// How much longer than its live content the log may become before a checkpoint begins; `None` goes by the size of
    /// the medium.
    pub slack: Option<ByteLen>,
}

/// Whether a mounted medium may be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// It may.
    #[default]
    ReadWrite,
    /// Not a byte of it.
    ReadOnly,
}
