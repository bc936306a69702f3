//! Opening, walking and naming files: flags of the calls, directory entries, vectors of buffers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

bitflags::bitflags! {
    /// `O_*` of `openat`, with arm64's values (which are not x86's).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write only; neither this nor [`OpenFlags::RDWR`] is read only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// The two bits of the access mode.
        const ACCMODE = 0o3;
        /// Create the file when it is missing.
        const CREAT = 0o100;
        /// With `CREAT`: refuse a file that exists.
        const EXCL = 0o200;
        /// Do not take a terminal as the controlling one.
        const NOCTTY = 0o400;
        /// Cut the file to nothing.
        const TRUNC = 0o1000;
        /// Every write goes to the end.
        const APPEND = 0o2000;
        /// Do not wait.
        const NONBLOCK = 0o4000;
        /// Data is durable when a write returns.
        const DSYNC = 0o10000;
        /// Signal when input or output is possible.
        const ASYNC = 0o20000;
        /// Refuse what is not a directory.
        const DIRECTORY = 0o40000;
        /// Refuse a symbolic link.
        const NOFOLLOW = 0o100000;
        /// Past every cache.
        const DIRECT = 0o200000;
        /// Without meaning on 64 bits.
        const LARGEFILE = 0o400000;
        /// Leave the access time alone.
        const NOATIME = 0o1000000;
        /// Close on `execve`.
        const CLOEXEC = 0o2000000;
        /// Data and attributes are durable when a write returns.
        const SYNC = 0o4010000;
        /// A place in the tree, not an open file.
        const PATH = 0o10000000;
        /// An unnamed file.
        const TMPFILE = 0o20040000;
    }
}

impl OpenFlags {
    /// `O_RDONLY`: no bit at all.
    pub const RDONLY: Self = Self::empty();

    /// Whether the access mode lets the descriptor be read.
    pub const fn readable(self) -> bool {
        matches!(self.bits() & Self::ACCMODE.bits(), 0 | 2)
    }

    /// Whether the access mode lets the descriptor be written.
    pub const fn writable(self) -> bool {
        matches!(self.bits() & Self::ACCMODE.bits(), 1 | 2)
    }
}

bitflags::bitflags! {
    /// `AT_*` of the calls that take a directory descriptor and a path.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AtFlags: u32 {
        /// Act on a symbolic link itself.
        const SYMLINK_NOFOLLOW = 0x100;
        /// `faccessat2`: as the effective user.
        const EACCESS = 0x200;
        /// `unlinkat`: remove a directory. The same bit as [`AtFlags::EACCESS`].
        const REMOVEDIR = 0x200;
        /// `linkat`: follow a symbolic link.
        const SYMLINK_FOLLOW = 0x400;
        /// Do not mount on the way.
        const NO_AUTOMOUNT = 0x800;
        /// An empty path means the descriptor itself.
        const EMPTY_PATH = 0x1000;
        /// `statx`: ask the server afresh.
        const STATX_FORCE_SYNC = 0x2000;
        /// `statx`: what is cached will do.
        const STATX_DONT_SYNC = 0x4000;
    }
}

/// `AT_FDCWD`: in place of a directory descriptor, the working directory.
pub const AT_FDCWD: i32 = -100;

/// `PATH_MAX`: bytes of a path with its final 0.
pub const PATH_MAX: usize = 4096;
/// `NAME_MAX`: bytes of one name.
pub const NAME_MAX: usize = 255;
/// `IOV_MAX`: buffers in one `readv` or `writev`.
pub const IOV_MAX: usize = 1024;
/// `MAX_RW_COUNT`: bytes one call moves at most.
pub const MAX_RW_COUNT: u64 = 0x7fff_f000;

/// `SEEK_SET`: from the beginning.
pub const SEEK_SET: u32 = 0;
/// `SEEK_CUR`: from the present offset.
pub const SEEK_CUR: u32 = 1;
/// `SEEK_END`: from the end of file.
pub const SEEK_END: u32 = 2;
/// `SEEK_DATA`: to the next data.
pub const SEEK_DATA: u32 = 3;
/// `SEEK_HOLE`: to the next hole.
pub const SEEK_HOLE: u32 = 4;

/// `F_OK` of `faccessat`: the file exists.
pub const F_OK: u32 = 0;
/// `X_OK` of `faccessat`: it may be executed.
pub const X_OK: u32 = 1;
/// `W_OK` of `faccessat`: it may be written.
pub const W_OK: u32 = 2;
/// `R_OK` of `faccessat`: it may be read.
pub const R_OK: u32 = 4;

/// `F_DUPFD` of `fcntl`: duplicate to the lowest free descriptor not below the argument.
pub const F_DUPFD: u32 = 0;
/// `F_GETFD` of `fcntl`: descriptor flags.
pub const F_GETFD: u32 = 1;
/// `F_SETFD` of `fcntl`: set descriptor flags.
pub const F_SETFD: u32 = 2;
/// `F_GETFL` of `fcntl`: flags of the open file.
pub const F_GETFL: u32 = 3;
/// `F_SETFL` of `fcntl`: set flags of the open file.
pub const F_SETFL: u32 = 4;
/// `F_GETLK` of `fcntl`: the first lock that stands against one of this process's.
pub const F_GETLK: u32 = 5;
/// `F_SETLK` of `fcntl`: lock a range for the process, or let go of it.
pub const F_SETLK: u32 = 6;
/// `F_SETLKW` of `fcntl`: the same, waiting for others.
pub const F_SETLKW: u32 = 7;
/// `F_OFD_GETLK` of `fcntl`: as `F_GETLK`, for the open file.
pub const F_OFD_GETLK: u32 = 36;
/// `F_OFD_SETLK` of `fcntl`: as `F_SETLK`, for the open file.
pub const F_OFD_SETLK: u32 = 37;
/// `F_OFD_SETLKW` of `fcntl`: as `F_SETLKW`, for the open file.
pub const F_OFD_SETLKW: u32 = 38;
/// `F_RDLCK` in [`Flock::kind`]: others may share it.
pub const F_RDLCK: i16 = 0;
/// `F_WRLCK` in [`Flock::kind`]: nobody else has it.
pub const F_WRLCK: i16 = 1;
/// `F_UNLCK` in [`Flock::kind`]: no lock.
pub const F_UNLCK: i16 = 2;
/// `F_DUPFD_CLOEXEC` of `fcntl`: as `F_DUPFD`, closed on `execve`.
pub const F_DUPFD_CLOEXEC: u32 = 1030;
/// `FD_CLOEXEC`: the one descriptor flag.
pub const FD_CLOEXEC: u32 = 1;

/// `struct flock`: a lock on a range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flock {
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub kind: i16,
    /// From where `start` counts: `SEEK_SET`, `SEEK_CUR`, `SEEK_END`.
    pub whence: i16,
    /// Unused.
    pub pad: u32,
    /// The first byte; the byte behind the last where `len` is negative.
    pub start: i64,
    /// Bytes, before `start` if negative; 0 for all to the end, wherever that will be.
    pub len: i64,
    /// The process that has it, -1 where an open file has.
    pub pid: i32,
    /// Unused.
    pub pad_end: u32,
}

const _: () = assert!(size_of::<Flock>() == 32);

bitflags::bitflags! {
    /// `RENAME_*` of `renameat2`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RenameFlags: u32 {
        /// Refuse when the new name exists.
        const NOREPLACE = 1;
        /// Swap the two names.
        const EXCHANGE = 2;
        /// Leave a whiteout behind.
        const WHITEOUT = 4;
    }
}

bitflags::bitflags! {
    /// `FALLOC_FL_*` of `fallocate`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FallocFlags: u32 {
        /// The size stays.
        const KEEP_SIZE = 0x01;
        /// Free the range.
        const PUNCH_HOLE = 0x02;
        /// Take the range out and move up what follows.
        const COLLAPSE_RANGE = 0x08;
        /// The range reads as zeros.
        const ZERO_RANGE = 0x10;
        /// Make room in the middle.
        const INSERT_RANGE = 0x20;
        /// Give the range blocks of its own.
        const UNSHARE_RANGE = 0x40;
    }
}

bitflags::bitflags! {
    /// `RWF_*` of `preadv2` and `pwritev2`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RwFlags: u32 {
        /// Of high priority, by polling.
        const HIPRI = 0x01;
        /// Data is durable at return.
        const DSYNC = 0x02;
        /// Data and attributes are durable at return.
        const SYNC = 0x04;
        /// Do not wait.
        const NOWAIT = 0x08;
        /// Go to the end of the file.
        const APPEND = 0x10;
        /// Do not, whatever it was opened with.
        const NOAPPEND = 0x20;
    }
}

/// `LOCK_SH` of `flock`: shared.
pub const LOCK_SH: u32 = 1;
/// `LOCK_EX` of `flock`: exclusive.
pub const LOCK_EX: u32 = 2;
/// `LOCK_NB` of `flock`: do not wait.
pub const LOCK_NB: u32 = 4;
/// `LOCK_UN` of `flock`: let go.
pub const LOCK_UN: u32 = 8;

/// `DT_*`: what a directory entry names.
pub mod dirent {
    /// Unknown.
    pub const UNKNOWN: u8 = 0;
    /// Pipe.
    pub const FIFO: u8 = 1;
    /// Character device.
    pub const CHR: u8 = 2;
    /// Directory.
    pub const DIR: u8 = 4;
    /// Block device.
    pub const BLK: u8 = 6;
    /// Regular file.
    pub const REG: u8 = 8;
    /// Symbolic link.
    pub const LNK: u8 = 10;
    /// Socket.
    pub const SOCK: u8 = 12;
}

/// The head of `struct linux_dirent64`: the name follows, ended by a 0 byte, and the whole is padded to 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C, packed)]
pub struct Dirent64 {
    /// Inode number.
    pub ino: u64,
    /// Where to seek to for the entry after this one.
    pub off: i64,
    /// Bytes of the whole record.
    pub reclen: u16,
    /// One of [`dirent`].
    pub kind: u8,
}

impl Dirent64 {
    /// Bytes of the record for a name of `len` bytes: head, name, its final 0, padding to 8.
    pub const fn record_len(len: usize) -> usize {
        (size_of::<Self>() + len + 1).next_multiple_of(8)
    }
}

/// `struct iovec`: one buffer of a vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Iovec {
    /// Address in the program.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

/// `struct pollfd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollFd {
    /// The descriptor; one below 0 is passed over.
    pub fd: i32,
    /// What is asked: `POLL*` bits.
    pub events: i16,
    /// What it is ready for.
    pub revents: i16,
}

/// A read would not wait.
pub const POLLIN: i16 = 0x1;
/// A write would not wait.
pub const POLLOUT: i16 = 0x4;
/// The descriptor is not open; told without being asked.
pub const POLLNVAL: i16 = 0x20;

crate::sizes! { Dirent64 = 19, Iovec = 16, PollFd = 8, }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes() {
        assert!(OpenFlags::RDONLY.readable() && !OpenFlags::RDONLY.writable());
        assert!(!OpenFlags::WRONLY.readable() && OpenFlags::WRONLY.writable());
        assert!(OpenFlags::RDWR.readable() && OpenFlags::RDWR.writable());
        assert!(!OpenFlags::ACCMODE.readable() && !OpenFlags::ACCMODE.writable());
    }

    #[test]
    fn directory_records_are_padded_to_eight() {
        assert_eq!(Dirent64::record_len(1), 24);
        assert_eq!(Dirent64::record_len(4), 24);
        assert_eq!(Dirent64::record_len(5), 32);
        assert_eq!(Dirent64::record_len(NAME_MAX), 280);
    }
}
