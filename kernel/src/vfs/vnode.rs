//! Anything a path can name: something on the medium, or a row of the kernel's own tree.

use super::error::errno;
use super::special::{self, Special, What};
use super::{Node, root, root_node};
use abi::Errno;
use abi::file::NAME_MAX;
use abi::stat::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, Stat};
use abi::time::Timespec;
use alloc::vec::Vec;
use fs::{Attr, Kind, Time};
use units::Ino;

/// A file, directory, link or device, wherever it lies. While it exists, what it names does too, unlinked or not.
#[derive(Clone)]
pub(crate) enum Vnode {
    /// On the mounted medium.
    Disk(Node),
    /// In the kernel's own tree.
    Kernel(Special),
}

/// `st_dev` of the medium: 259:0, the number Linux gives the first pmem disk.
pub(super) const DISK_DEV: u64 = device_number(259, 0);
/// `st_dev` of the kernel's own tree, an unnamed device as in Linux.
pub(super) const KERNEL_DEV: u64 = device_number(0, 5);
/// What `st_blksize` says of every file.
const BLOCK_SIZE: i32 = 4096;

/// Linux's `new_encode_dev` for numbers as small as ours: major below 4096, minor below 256.
const fn device_number(major: u32, minor: u32) -> u64 {
    ((major as u64) << 8) | minor as u64
}

impl Vnode {
    /// File, directory or symbolic link; a device counts as a file.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Vnode::Disk(node) => node.kind(),
            Vnode::Kernel(special) => special.kind(),
        }
    }

    /// Whether names can be looked up in it.
    #[inline]
    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Whether it is a character device.
    pub(crate) fn is_device(&self) -> bool {
        matches!(self, Vnode::Kernel(special) if matches!(special.what(), What::Device { .. }))
    }

    /// Whether it is what stands for the terminal of whoever opens it: `/dev/tty`.
    pub(crate) fn is_own_terminal(&self) -> bool {
        matches!(self, Vnode::Kernel(Special::Tty))
    }

    /// The node, to be changed.
    ///
    /// # Errors
    /// `EROFS`: the kernel's own tree is what it is.
    pub(crate) fn disk(&self) -> Result<&Node, Errno> {
        match self {
            Vnode::Disk(node) => Ok(node),
            Vnode::Kernel(_) => Err(Errno::EROFS),
        }
    }

    /// What `name`, neither `.` nor `..`, means in this directory.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `ENAMETOOLONG`, `EIO`.
    #[inline]
    pub(crate) fn lookup(&self, name: &[u8]) -> Result<Vnode, Errno> {
        match self {
            Vnode::Disk(node) => match self.covered(name) {
                Some(special) => Ok(Vnode::Kernel(special)),
                None => node.lookup(name).map(Vnode::Disk).map_err(errno),
            },
            Vnode::Kernel(_) if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            Vnode::Kernel(special) => special.lookup(name).map(Vnode::Kernel),
        }
    }

    /// The kernel's directory that hides `name` of this directory, if one does.
    #[inline]
    pub(crate) fn covered(&self, name: &[u8]) -> Option<Special> {
        special::covering(name).filter(|_| self.is_root())
    }

    /// Whether this is `/`.
    pub(crate) fn is_root(&self) -> bool {
        match self {
            Vnode::Disk(node) => root_node().is_some_and(|root| root.ino() == node.ino()),
            Vnode::Kernel(special) => *special == Special::Root,
        }
    }

    /// The directory this directory lies in; `/` lies in itself.
    ///
    /// # Errors
    /// `ENOENT` where the directory was removed.
    pub(crate) fn parent(&self) -> Result<Vnode, Errno> {
        match self {
            Vnode::Disk(_) if self.is_root() => Ok(self.clone()),
            Vnode::Disk(node) => node.lookup(b"..").map(Vnode::Disk).map_err(errno),
            Vnode::Kernel(special) => match special.parent() {
                Special::Root => Ok(root()),
                parent => Ok(Vnode::Kernel(parent)),
            },
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` where this is none; `EIO`, `ENOENT`.
    pub(crate) fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self {
            Vnode::Disk(node) if node.kind() == Kind::Symlink => node.read_link().map_err(errno),
            Vnode::Disk(_) => Err(Errno::EINVAL),
            Vnode::Kernel(special) => special.read_link(),
        }
    }

    /// Notes an access; in the kernel's own tree nobody asks when one was.
    pub(crate) fn touch_atime(&self) {
        if let Vnode::Disk(node) = self {
            node.touch_atime(super::now());
        }
    }

    /// The twelve permission bits.
    pub(crate) fn mode(&self) -> u32 {
        match self {
            Vnode::Disk(node) => node.attr().mode & 0o7777,
            Vnode::Kernel(special) => special.mode(),
        }
    }

    /// Its number. Those of the kernel's own tree are none of the medium's.
    pub(crate) fn ino(&self) -> Ino {
        match self {
            Vnode::Disk(node) => node.ino(),
            Vnode::Kernel(special) => special.ino(),
        }
    }

    /// What `stat` tells.
    #[inline]
    pub(crate) fn stat(&self) -> Stat {
        match self {
            Vnode::Disk(node) => disk_stat(&node.attr()),
            Vnode::Kernel(special) => kernel_stat(*special),
        }
    }
}

fn disk_stat(attr: &Attr) -> Stat {
    let format = match attr.kind {
        Kind::File => S_IFREG,
        Kind::Directory => S_IFDIR,
        Kind::Symlink => S_IFLNK,
    };
    Stat {
        dev: DISK_DEV,
        ino: attr.ino.get(),
        mode: format | (attr.mode & 0o7777),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        pad1: 0,
        size: attr.size as i64,
        blksize: BLOCK_SIZE,
        pad2: 0,
        blocks: attr.blocks as i64,
        atime: timespec(attr.atime),
        mtime: timespec(attr.mtime),
        ctime: timespec(attr.ctime),
        unused: [0; 2],
    }
}

fn kernel_stat(special: Special) -> Stat {
    let (format, nlink, rdev) = match special.what() {
        What::Directory => (S_IFDIR, 2, 0),
        What::Text => (S_IFREG, 1, 0),
        What::Link => (S_IFLNK, 1, 0),
        What::Device { major, minor } => (S_IFCHR, 1, device_number(major, minor)),
    };
    Stat {
        dev: KERNEL_DEV,
        ino: special.ino().get(),
        mode: format | special.mode(),
        nlink,
        rdev,
        blksize: BLOCK_SIZE,
        ..Stat::default()
    }
}

/// A moment as programs see it.
fn timespec(time: Time) -> Timespec {
    Timespec { sec: time.secs, nsec: i64::from(time.nanos) }
}
