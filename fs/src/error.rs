//! What can be refused, and about what. The turn into an errno is the kernel's.

use core::fmt;

use pmem::medium::{BadAddress, CopyError, MediaError};
use units::{ByteLen, PmOff};

/// Why a call on a mounted file system was refused; nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No such name, or the directory itself is gone (`ENOENT`).
    NotFound,
    /// The name is taken (`EEXIST`).
    Exists,
    /// A directory is needed (`ENOTDIR`).
    NotDirectory,
    /// A directory will not do (`EISDIR`).
    IsDirectory,
    /// The directory has entries (`ENOTEMPTY`).
    NotEmpty,
    /// A name or a symlink's target is too long (`ENAMETOOLONG`).
    NameTooLong,
    /// Too few free blocks, for data or for the log (`ENOSPC`).
    NoSpace,
    /// Too little heap for what the call would take (`ENOMEM`).
    NoMemory,
    /// The file would pass its largest size (`EFBIG`).
    TooLarge,
    /// One more name would overflow the link count (`EMLINK`).
    TooManyLinks,
    /// A hard link to a directory, or a file without a name in a directory that is gone (`EPERM`).
    NotPermitted,
    /// The two lie on different file systems (`EXDEV`).
    CrossDevice,
    /// `.` and `..` cannot be renamed (`EBUSY`).
    Busy,
    /// A bad block was met (`EIO`).
    Media(MediaError),
    /// The program's memory was not there (`EFAULT`).
    BadAddress,
    /// The file is being run, or is open for writing (`ETXTBSY`).
    TextBusy,
    /// The file system may not be changed (`EROFS`).
    ReadOnly,
    /// Not to be done with this kind of inode, this name or these numbers (`EINVAL`).
    Invalid,
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        Self::Media(error)
    }
}

impl From<BadAddress> for Error {
    fn from(_: BadAddress) -> Self {
        Self::BadAddress
    }
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Media(error) => Self::Media(error),
            CopyError::Address(_) => Self::BadAddress,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file or directory"),
            Self::Exists => f.write_str("the name exists already"),
            Self::NotDirectory => f.write_str("not a directory"),
            Self::IsDirectory => f.write_str("is a directory"),
            Self::NotEmpty => f.write_str("directory not empty"),
            Self::NameTooLong => f.write_str("name too long"),
            Self::NoSpace => f.write_str("no space left on the medium"),
            Self::NoMemory => f.write_str("out of memory"),
            Self::TooLarge => f.write_str("file too large"),
            Self::TooManyLinks => f.write_str("too many links"),
            Self::NotPermitted => f.write_str("operation not permitted"),
            Self::CrossDevice => f.write_str("on different file systems"),
            Self::Busy => f.write_str("in use"),
            Self::Media(error) => write!(f, "bad block at byte {:#x}", error.at.get()),
            Self::BadAddress => f.write_str("bad address"),
            Self::TextBusy => f.write_str("text file busy"),
            Self::ReadOnly => f.write_str("read-only file system"),
            Self::Invalid => f.write_str("invalid argument"),
        }
    }
}

impl core::error::Error for Error {}

/// Why a medium was not mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MountError {
    /// Neither superblock begins with `VITRINE\0`.
    Foreign,
    /// A checksummed superblock of a version this code does not know.
    Version {
        /// The version found.
        found: u32,
    },
    /// A checksummed superblock that asks for features this code does not have.
    Features {
        /// The bits not known.
        unknown: u32,
    },
    /// The file system is longer than the medium.
    Truncated {
        /// Bytes the superblock speaks of.
        recorded: ByteLen,
        /// Bytes there are.
        found: ByteLen,
    },
    /// Metadata that cannot be right, or cannot be read.
    Damaged(Damage),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a Vitrine file system"),
            Self::Version { found } => write!(f, "version {found} of the format is not known here"),
            Self::Features { unknown } => write!(f, "asks for unknown features {unknown:#x}"),
            Self::Truncated { recorded, found } => {
                write!(f, "truncated: the file system has {}, the medium {}", recorded, found)
            }
            Self::Damaged(damage) => write!(f, "damaged: {damage}"),
        }
    }
}

impl core::error::Error for MountError {}

/// Where metadata is wrong, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The byte of the medium it was found at.
    pub at: PmOff,
    /// What is wrong there.
    pub what: Wrong,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {:#x})", self.what, self.at.get())
    }
}

macro_rules! wrong {
    ($($(#[doc = $doc:literal])* $name:ident => $said:literal,)*) => {
        /// The ways metadata can be wrong.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Wrong { $($(#[doc = $doc])* $name,)* }

        impl fmt::Display for Wrong {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $said,)* })
            }
        }
    };
}

wrong! {
    /// One superblock copy is unreadable or has a wrong checksum.
    SuperblockCopy => "a superblock copy is bad",
    /// One copy of the list of bad blocks is unreadable, older than the other, or has a wrong checksum.
    BadListCopy => "a copy of the list of bad blocks is bad",
    /// Both superblock copies are unreadable or have wrong checksums.
    Superblocks => "both superblock copies are bad",
    /// A number in a checksummed superblock cannot be.
    SuperblockField => "a number in the superblock is impossible",
    /// A segment header is good in one copy only.
    SegmentCopy => "a segment header is bad in one copy",
    /// A segment header is bad in both copies, and records lie in or behind it.
    Segment => "a segment header is bad in both copies",
    /// A record is good in one copy only.
    RecordCopy => "a record is bad in one copy",
    /// A record is bad in both copies, and later ones are good.
    Record => "a record is bad in both copies, and later ones are good",
    /// A good record holds something this version does not write.
    Item => "a record's content is impossible",
    /// A block of an extent list is unreadable or has a wrong checksum, in both copies.
    ExtentBlock => "an extent block is bad in both copies",
    /// A block of an extent list is good in one copy only.
    ExtentBlockCopy => "an extent block is bad in one copy",
    /// A block belongs to two owners.
    DoublyOwned => "a block has two owners",
    /// A block lies outside the file system.
    OutOfRange => "a block lies outside the file system",
    /// There is no root directory.
    NoRoot => "there is no root directory",
    /// A name leads to an inode that is not there.
    DanglingName => "a name leads to an inode that is not there",
    /// A directory has two names, or is its own ancestor.
    DirectoryLoop => "a directory is reached twice",
    /// An inode has links, but no name leads to it.
    Unreachable => "an inode cannot be reached",
    /// A link count is not the number of names.
    LinkCount => "a link count is wrong",
    /// An inode has content its kind cannot have.
    WrongContent => "an inode holds what its kind cannot",
    /// A mapped block lies behind the end of its file.
    BeyondEnd => "blocks are mapped behind the end of a file",
}

/// Why a medium was not formatted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FormatError {
    /// Shorter than the smallest file system.
    TooSmall {
        /// Bytes needed at least.
        needed: ByteLen,
        /// Bytes there are.
        found: ByteLen,
    },
    /// A block among the first, whose place is fixed, is bad and does not heal.
    BadBlock {
        /// The byte of the medium that cannot be read.
        at: PmOff,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed, found } => write!(f, "the medium has {found}, a file system needs {needed}"),
            Self::BadBlock { at } => {
                write!(f, "bad block at byte {:#x}, where the first blocks have to lie", at.get())
            }
        }
    }
}

impl core::error::Error for FormatError {}
