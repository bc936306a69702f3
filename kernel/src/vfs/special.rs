//! `/proc` and `/dev`: a small fixed tree the kernel serves itself.
//!
//! The tree is a table; a row names its parent, and what a file holds is in [`super::proc`] (texts) and
//! [`super::file`] (devices). The two top directories cover whatever the medium has under the same names.

use super::proc;
use crate::task::current;
use abi::Errno;
use alloc::vec::Vec;
use fs::Kind;
use units::Ino;

/// A directory, text, link or device of the kernel's own tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Special {
    /// `/` while nothing is mounted.
    Root,
    /// `/dev`.
    Dev,
    /// `/dev/console`: the terminal.
    Console,
    /// `/dev/tty`: the terminal once more.
    Tty,
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/full`.
    Full,
    /// `/dev/urandom`.
    Urandom,
    /// `/dev/random`.
    Random,
    /// `/proc`.
    Proc,
    /// `/proc/self`: what the reading program asks about itself.
    ProcSelf,
    /// `/proc/self/exe`: a link to the program's file.
    SelfExe,
    /// `/proc/self/maps`.
    SelfMaps,
    /// `/proc/self/smaps`: the same, with the pages that are there.
    SelfSmaps,
    /// `/proc/self/statm`: sizes in pages, on one line.
    SelfStatm,
    /// `/proc/self/status`: who the program is, and its sizes.
    SelfStatus,
    /// `/proc/self/mounts`: what is mounted where.
    SelfMounts,
    /// `/proc/self/mountinfo`: the same, with numbers.
    SelfMountinfo,
    /// `/proc/self/fd`: a link for each descriptor of the reading program.
    SelfFd,
    /// One of them, by its number. It is no row of the tree.
    Descriptor(u16),
    /// `/proc/vitrine`.
    Vitrine,
    /// `/proc/vitrine/counters`: a line a counter.
    Counters,
    /// `/proc/vitrine/pmem`: a line a device.
    Pmem,
    /// `/proc/vitrine/stacks`: how deep the kernel's stacks were used.
    Stacks,
    /// `/proc/vitrine/namespaces`: a line a namespace; takes lines that make and remove them.
    Namespaces,
    /// `/proc/vitrine/badblocks`: a line a range of bad sectors; takes lines that change them.
    Badblocks,
    /// `/proc/vitrine/forget`: takes lines that leave out what makes stores persistent.
    Forget,
    /// `/proc/vitrine/stretch`: how long the kernel went without letting others run; takes the line that has it measured.
    Stretch,
    /// `/proc/vitrine/features`: a line for each feature of the CPU, and what it is used for.
    Features,
    /// `/proc/cpuinfo`: a paragraph for each CPU.
    Cpuinfo,
    /// `/proc/meminfo`: memory of the machine.
    Meminfo,
    /// `/proc/mounts`: a link to the program's own.
    Mounts,
    /// `/proc/filesystems`: the kinds there are.
    Filesystems,
    /// `/proc/uptime`: seconds since boot, and those in which nobody ran.
    Uptime,
    /// `/proc/version`: which kernel this is.
    Version,
    /// `/proc/sys`: what can be set.
    Sys,
    /// `/proc/sys/vm`: about memory.
    SysVm,
    /// `/proc/sys/vm/overcommit_memory`: which promises of memory are refused.
    OvercommitMemory,
    /// `/proc/sys/vm/overcommit_ratio`: percent of memory that are promised where promises are kept.
    OvercommitRatio,
}

/// What a row of the tree is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// Holds the rows that name it as their parent.
    Directory,
    /// A text made when it is opened.
    Text,
    /// A symbolic link whose target is made when it is read.
    Link,
    /// A character device with Linux's numbers.
    Device {
        /// Which driver, in Linux.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
}

struct Row {
    this: Special,
    parent: Special,
    name: &'static [u8],
    what: What,
    mode: u32,
}

const fn row(this: Special, parent: Special, name: &'static [u8], what: What, mode: u32) -> Row {
    Row { this, parent, name, what, mode }
}

const fn device(major: u32, minor: u32) -> What {
    What::Device { major, minor }
}

/// Everything but descriptors.
const TREE: [Row; 38] = {
    use Special::*;
    [
        row(Root, Root, b"/", What::Directory, 0o555),
        row(Dev, Root, b"dev", What::Directory, 0o755),
        row(Console, Dev, b"console", device(5, 1), 0o600),
        row(Tty, Dev, b"tty", device(5, 0), 0o666),
        row(Null, Dev, b"null", device(1, 3), 0o666),
        row(Zero, Dev, b"zero", device(1, 5), 0o666),
        row(Full, Dev, b"full", device(1, 7), 0o666),
        row(Urandom, Dev, b"urandom", device(1, 9), 0o666),
        row(Random, Dev, b"random", device(1, 8), 0o666),
        row(Proc, Root, b"proc", What::Directory, 0o555),
        row(ProcSelf, Proc, b"self", What::Directory, 0o555),
        row(SelfExe, ProcSelf, b"exe", What::Link, 0o777),
        row(SelfMaps, ProcSelf, b"maps", What::Text, 0o444),
        row(SelfSmaps, ProcSelf, b"smaps", What::Text, 0o444),
        row(SelfStatm, ProcSelf, b"statm", What::Text, 0o444),
        row(SelfStatus, ProcSelf, b"status", What::Text, 0o444),
        row(SelfMounts, ProcSelf, b"mounts", What::Text, 0o444),
        row(SelfMountinfo, ProcSelf, b"mountinfo", What::Text, 0o444),
        row(SelfFd, ProcSelf, b"fd", What::Directory, 0o500),
        row(Vitrine, Proc, b"vitrine", What::Directory, 0o555),
        row(Counters, Vitrine, b"counters", What::Text, 0o444),
        row(Pmem, Vitrine, b"pmem", What::Text, 0o444),
        row(Stacks, Vitrine, b"stacks", What::Text, 0o444),
        row(Namespaces, Vitrine, b"namespaces", What::Text, 0o644),
        row(Badblocks, Vitrine, b"badblocks", What::Text, 0o644),
        row(Forget, Vitrine, b"forget", What::Text, 0o644),
        row(Stretch, Vitrine, b"stretch", What::Text, 0o644),
        row(Features, Vitrine, b"features", What::Text, 0o444),
        row(Cpuinfo, Proc, b"cpuinfo", What::Text, 0o444),
        row(Meminfo, Proc, b"meminfo", What::Text, 0o444),
        row(Mounts, Proc, b"mounts", What::Link, 0o777),
        row(Filesystems, Proc, b"filesystems", What::Text, 0o444),
        row(Uptime, Proc, b"uptime", What::Text, 0o444),
        row(Version, Proc, b"version", What::Text, 0o444),
        row(Sys, Proc, b"sys", What::Directory, 0o555),
        row(SysVm, Sys, b"vm", What::Directory, 0o555),
        row(OvercommitMemory, SysVm, b"overcommit_memory", What::Text, 0o644),
        row(OvercommitRatio, SysVm, b"overcommit_ratio", What::Text, 0o644),
    ]
};

/// What all descriptors have in common: the name is a number, and no row.
const DESCRIPTOR: Row = row(Special::Descriptor(0), Special::SelfFd, b"", What::Link, 0o700);

/// Inode numbers of the kernel's tree begin here, far above any the medium gives out.
const INO_BASE: u64 = 0xffff_0000;
/// Those of descriptors begin here.
const INO_DESCRIPTORS: u64 = INO_BASE + 0x1000;

impl Special {
    fn row(self) -> &'static Row {
        TREE.iter().find(|row| row.this == self).unwrap_or(&DESCRIPTOR)
    }

    /// What this is.
    pub(crate) fn what(self) -> What {
        self.row().what
    }

    /// What `d_type` and `st_mode` say; a device counts as a file to those who only tell files from directories.
    pub(crate) fn kind(self) -> Kind {
        match self.what() {
            What::Directory => Kind::Directory,
            What::Link => Kind::Symlink,
            What::Text | What::Device { .. } => Kind::File,
        }
    }

    /// The twelve permission bits.
    pub(crate) fn mode(self) -> u32 {
        self.row().mode
    }

    /// Its name in its parent.
    pub(crate) fn name(self) -> &'static [u8] {
        self.row().name
    }

    /// The directory it lies in; [`Special::Root`] stands for whatever `/` is.
    pub(crate) fn parent(self) -> Special {
        self.row().parent
    }

    /// A number no file on the medium has.
    pub(crate) fn ino(self) -> Ino {
        match self {
            Special::Descriptor(fd) => Ino::new(INO_DESCRIPTORS + u64::from(fd)),
            _ => Ino::new(INO_BASE + TREE.iter().take_while(|row| row.this != self).count() as u64),
        }
    }

    /// Whether this is the terminal.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Special::Console | Special::Tty)
    }

    /// The rows whose parent this is, each with its place among them.
    pub(crate) fn children(self) -> impl Iterator<Item = Special> {
        TREE.iter().map(|row| row.this).filter(move |&child| child != Special::Root && child.parent() == self)
    }

    /// The row called `name` here.
    ///
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn lookup(self, name: &[u8]) -> Result<Special, Errno> {
        if self == Special::SelfFd {
            let fd = descriptor(name).ok_or(Errno::ENOENT)?;
            current().files.get_raw(fd.into()).map_err(|_| Errno::ENOENT)?;
            return Ok(Special::Descriptor(fd));
        }
        self.children().find(|child| child.name() == name).ok_or(Errno::ENOENT)
    }

    /// Where it is found.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn path(self) -> Result<Vec<u8>, Errno> {
        let mut path = super::path::of_directory(&super::Vnode::Kernel(self.parent()))?;
        path.try_reserve(1 + self.name().len()).map_err(|_| Errno::ENOMEM)?;
        path.push(b'/');
        path.extend_from_slice(self.name());
        Ok(path)
    }

    /// The target of a link.
    ///
    /// # Errors
    /// `EINVAL` where this is no link; `ENOENT` where there is nothing to point at.
    pub(crate) fn read_link(self) -> Result<Vec<u8>, Errno> {
        match self {
            Special::SelfExe => proc::exe(),
            Special::Mounts => proc::link(b"self/mounts"),
            Special::Descriptor(fd) => proc::descriptor(fd),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// The descriptor that `name` is the number of, written as the kernel does.
fn descriptor(name: &[u8]) -> Option<u16> {
    let plain = name == b"0" || !name.starts_with(b"0");
    let digits = name.iter().all(u8::is_ascii_digit) && plain;
    core::str::from_utf8(name).ok().filter(|_| digits)?.parse().ok()
}

/// The directory of the kernel's own that covers `name` in the mounted root. Asked for every name: byte patterns are
/// compared in place, where byte strings would call `memcmp`.
#[inline]
pub(crate) fn covering(name: &[u8]) -> Option<Special> {
    match name {
        [b'p', b'r', b'o', b'c'] => Some(Special::Proc),
        [b'd', b'e', b'v'] => Some(Special::Dev),
        _ => None,
    }
}
