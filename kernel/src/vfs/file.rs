//! An open file (Linux's `struct file`, POSIX's open file description): a vnode, what it may be used for, where it is.
//!
//! Reading and writing are generic over the program's side, so a single buffer costs nothing for vectors to exist.
//! What a device answers is in `device`, listing a directory in `list`, whole-file locks in `flock`, locks on ranges in `record`, bytes from file to
//! file in `transfer`, how long a file may become in `extent`.

mod device;
mod extent;
mod flock;
mod list;
mod record;
mod transfer;

pub(crate) use extent::truncate;
pub(crate) use flock::{LockKind, Number, Owner, Waits};
pub(super) use record::end_all as end_all_records;
pub(crate) use record::{Record, Span, Wait};

use super::copy::{self, Shorten};
use super::error::errno;
use super::name::Named;
use super::position::{Position, Turn};
use super::special::{Special, What};
use super::{Node, Vnode, WriteAccess};
use crate::console::terminal::Patience;
use crate::heap;
use crate::space::Shared;
use abi::Errno;
use abi::file::OpenFlags;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use fs::{Fallocate, IomapIter, IomapKind, IomapOp, Kind, MAX_FILE_SIZE, WriteAt, iomap_iter};
use pmem::medium::Sink;
use units::{ByteLen, FileBlock, FileOff, FileRange, PAGE_SIZE};

/// Largest position (`MAX_LFS_FILESIZE`).
const POSITION_MAX: u64 = i64::MAX as u64;

/// Flags of an open file that `fcntl` may change.
const CHANGEABLE: OpenFlags = OpenFlags::APPEND
    .union(OpenFlags::NONBLOCK)
    .union(OpenFlags::ASYNC)
    .union(OpenFlags::DIRECT)
    .union(OpenFlags::NOATIME);

/// Flags of `openat` that say how to open and are not kept (`do_dentry_open`).
const FORGOTTEN: OpenFlags =
    OpenFlags::CREAT.union(OpenFlags::EXCL).union(OpenFlags::NOCTTY).union(OpenFlags::TRUNC).union(OpenFlags::CLOEXEC);

/// From where `lseek` counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whence {
    /// The beginning.
    Set,
    /// The position.
    Current,
    /// The end.
    End,
    /// The next byte that is data, from the offset on.
    Data,
    /// The next byte that is in a hole, from the offset on; the end of the file counts as one.
    Hole,
}

/// Whether a write goes to the end of the file wherever else it was to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Append {
    /// Where the file was opened with `O_APPEND`.
    AsOpened,
    /// It does.
    Always,
    /// It does not.
    Never,
}

/// What a vnode does when it is read and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behaviour {
    Regular,
    Directory,
    Text,
    Terminal,
    Device(Special),
    /// Opened by `O_PATH`, or a link: neither read nor written.
    Place,
}

/// An open file.
pub(crate) struct File {
    vnode: Vnode,
    /// What it was called when it was opened, if it is a file on the medium.
    name: Option<Named>,
    behaviour: Behaviour,
    /// `O_*` as `fcntl(F_GETFL)` shows them. The access mode in it never changes.
    flags: AtomicU32,
    position: Position,
    /// What a kernel text said when it was opened.
    text: Vec<u8>,
    _writing: Option<WriteAccess>,
    lock: flock::Held,
    shared: Shared,
}

impl File {
    /// Opens `vnode`. `writing` is there exactly if this is a regular file to be written.
    ///
    /// # Errors
    /// `ENOMEM`, and what making a kernel text gives.
    pub(super) fn new(
        vnode: Vnode,
        name: Option<Named>,
        flags: OpenFlags,
        writing: Option<WriteAccess>,
    ) -> Result<Arc<Self>, Errno> {
        let behaviour = if flags.contains(OpenFlags::PATH) { Behaviour::Place } else { behaviour_of(&vnode) };
        let text = match (&vnode, behaviour) {
            (Vnode::Kernel(special), Behaviour::Text) => super::proc::text(*special)?,
            _ => Vec::new(),
        };
        let flags = AtomicU32::new(flags.difference(FORGOTTEN).bits());
        // The two counts of an `Arc` lie in front.
        heap::reserve(size_of::<Self>() + 16)?;
        Ok(Arc::new(Self { vnode, name, behaviour, flags, position: Position::new(), text, _writing: writing, lock: flock::Held::new(), shared: Shared::new() }))
    }

    /// The terminal, to be read and written.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn terminal() -> Result<Arc<Self>, Errno> {
        Self::new(Vnode::Kernel(Special::Console), None, OpenFlags::RDWR | OpenFlags::LARGEFILE, None)
    }

    /// What is open.
    pub(crate) fn vnode(&self) -> &Vnode {
        &self.vnode
    }

    /// Where what is open is now (`d_path`).
    ///
    /// # Errors
    /// As [`Named::path`].
    pub(crate) fn path(&self) -> Result<Vec<u8>, Errno> {
        match (&self.vnode, &self.name) {
            (Vnode::Disk(node), Some(name)) => name.path(node),
            (Vnode::Disk(_), None) => super::path::of_directory(&self.vnode),
            (Vnode::Kernel(special), _) => special.path(),
        }
    }

    /// The regular file on the medium that this is, to be mapped or peeked at.
    pub(crate) fn regular(&self) -> Option<&Node> {
        match &self.vnode {
            Vnode::Disk(node) if self.behaviour == Behaviour::Regular => Some(node),
            _ => None,
        }
    }

    /// Who shares what is open, once this has been mapped so.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The block of the medium that holds block `block` of the file, 0 for a hole (`FIBMAP`).
    ///
    /// # Errors
    /// `ENOTTY` where this is no regular file on the medium, `EIO`, `ERANGE` for a number larger than the call can give.
    pub(crate) fn block_at(&self, block: u32) -> Result<i32, Errno> {
        let node = self.regular().ok_or(Errno::ENOTTY)?;
        let at = FileBlock::new(block.into()).base();
        let range = FileRange::with_len(at, ByteLen::new(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
        let pin = node.hold(range).map_err(errno)?;
        let mut walk = IomapIter::new(node.ino(), at, range.len(), IomapOp::REPORT, ());
        let mapped = iomap_iter(&mut walk, &pin).map_err(errno)? && walk.iomap.kind == IomapKind::Mapped;
        i32::try_from(if mapped { walk.iomap.addr.block().get() } else { 0 }).map_err(|_| Errno::ERANGE)
    }

    /// Whether this is a place in the tree only (`O_PATH`).
    pub(crate) fn is_path(&self) -> bool {
        self.behaviour == Behaviour::Place
    }

    /// Whether this is the terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.behaviour == Behaviour::Terminal
    }

    /// `O_*` as `fcntl(F_GETFL)` shows them.
    pub(crate) fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Relaxed))
    }

    /// Takes over those of `flags` that may change while a file is open.
    pub(crate) fn set_flags(&self, flags: OpenFlags) {
        let kept = self.flags().difference(CHANGEABLE);
        self.flags.store(kept.union(flags.intersection(CHANGEABLE)).bits(), Relaxed);
    }

    /// Whether it was opened to be read.
    pub(crate) fn readable(&self) -> bool {
        self.flags().readable()
    }

    /// Whether it was opened to be written.
    pub(crate) fn writable(&self) -> bool {
        self.flags().writable()
    }

    /// Reads up to `len` bytes at the position and moves it.
    ///
    /// # Errors
    /// `EBADF`, `EISDIR`, `EFAULT`, `EIO`, `EINTR`.
    pub(crate) fn read<K: Sink>(&self, len: usize, sink: &mut K) -> Result<usize, Errno> {
        self.check_readable()?;
        if self.is_terminal() {
            return self.read_from(0, len, sink);
        }
        let turn = self.turn()?;
        let done = self.read_from(turn.get(), len, sink)?;
        turn.set(turn.get() + done as u64);
        Ok(done)
    }

    /// Reads up to `len` bytes at `at`.
    ///
    /// # Errors
    /// `EBADF`, `ESPIPE`, `EISDIR`, `EINVAL`, `EFAULT`, `EIO`.
    pub(crate) fn read_at<K: Sink>(&self, at: u64, len: usize, sink: &mut K) -> Result<usize, Errno> {
        self.check_seekable()?;
        self.check_readable()?;
        self.read_from(at, len, sink)
    }

    /// Writes all of `source` at the position, or at the end with `O_APPEND`, and moves the position behind it.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EFBIG`, `ENOSPC`, `EFAULT`, `EIO`, `EINTR`; of a regular file nothing has changed then.
    pub(crate) fn write<S: Shorten>(&self, source: &mut S) -> Result<usize, Errno> {
        self.write_as(Append::AsOpened, source)
    }

    /// As [`File::write`], where `append` says what becomes of `O_APPEND` (`RWF_APPEND`, `RWF_NOAPPEND`).
    ///
    /// # Errors
    /// As for [`File::write`].
    pub(crate) fn write_as<S: Shorten>(&self, append: Append, source: &mut S) -> Result<usize, Errno> {
        self.check_writable()?;
        if self.is_terminal() {
            return self.write_to(0, append, source).map(|(done, _)| done);
        }
        let turn = self.turn()?;
        let (done, end) = self.write_to(turn.get(), append, source)?;
        turn.set(end);
        Ok(done)
    }

    /// Writes all of `source` at `at`, or, as Linux has it, at the end with `O_APPEND`.
    ///
    /// # Errors
    /// As for [`File::write`], and `ESPIPE`.
    pub(crate) fn write_at<S: Shorten>(&self, at: u64, source: &mut S) -> Result<usize, Errno> {
        self.write_at_as(at, Append::AsOpened, source)
    }

    /// As [`File::write_at`], where `append` says what becomes of `O_APPEND`.
    ///
    /// # Errors
    /// As for [`File::write_at`].
    pub(crate) fn write_at_as<S: Shorten>(&self, at: u64, append: Append, source: &mut S) -> Result<usize, Errno> {
        self.check_seekable()?;
        self.check_writable()?;
        self.write_to(at, append, source).map(|(done, _)| done)
    }

    /// Moves the position and answers it.
    ///
    /// # Errors
    /// `ESPIPE` for the terminal; `EINVAL` for a place before the beginning, or behind where a file can end; `ENXIO` for
    /// data or holes behind the end.
    pub(crate) fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        self.check_seekable()?;
        if let Behaviour::Device(_) = self.behaviour {
            return Ok(0);
        }
        let turn = self.turn()?;
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => turn.get(),
            Whence::End => self.size()?,
            Whence::Data | Whence::Hole => {
                let found = self.find(offset, whence)?;
                turn.set(found);
                return Ok(found);
            }
        };
        let last = if self.behaviour == Behaviour::Regular { MAX_FILE_SIZE } else { POSITION_MAX };
        let to = base.checked_add_signed(offset).filter(|&to| to <= last).ok_or(Errno::EINVAL)?;
        turn.set(to);
        Ok(to)
    }

    /// Makes the file `size` bytes long.
    ///
    /// # Errors
    /// `EINVAL` where it is no regular file open for writing; `EFBIG`, `ENOSPC`, `EIO`, `EROFS`.
    pub(crate) fn truncate(&self, size: u64) -> Result<(), Errno> {
        match self.regular() {
            Some(node) if self.writable() => extent::truncate(node, size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Gives blocks to `len` bytes from `at` on, or takes them away; where `how` is none of what can be done, refuses it last.
    ///
    /// # Errors
    /// `EBADF` where it is not open for writing, `ENODEV` where it is no regular file; `EFBIG`, `EOPNOTSUPP`, `ENOSPC`,
    /// `EIO`, `EROFS`.
    pub(crate) fn fallocate(&self, how: Option<Fallocate>, at: u64, len: u64) -> Result<(), Errno> {
        self.check_writable()?;
        let node = self.regular().ok_or(Errno::ENODEV)?;
        let range = FileRange::with_len(FileOff::new(at), ByteLen::new(len)).ok_or(Errno::EFBIG)?;
        let how = how.ok_or(Errno::EOPNOTSUPP)?;
        if matches!(how, Fallocate::Allocate | Fallocate::Zero) {
            extent::check_size(node, range.end().get())?;
        }
        node.fallocate(how, range, super::now()).map_err(errno)
    }

    /// The number by which locks of this open file are known.
    pub(crate) fn lock_owner(&self) -> Owner {
        Owner::File(self.lock.owner())
    }

    /// The first lock that stands against `wanted`; with no kind to ask for, the first of the owner's own there.
    pub(crate) fn test_record(&self, wanted: &Record, kind: Option<LockKind>) -> Option<Record> {
        record::test(self.vnode.ino(), wanted, kind)
    }

    /// Locks a range of the file, or with no kind lets go of it.
    ///
    /// # Errors
    /// `EAGAIN`, `EDEADLK`, `EINTR`, `ENOLCK`.
    pub(crate) fn set_record(&self, wanted: Record, kind: Option<LockKind>, wait: Wait) -> Result<(), Errno> {
        record::set(self.vnode.ino(), wanted, kind, wait)
    }

    /// Ends the locks that those who share a table of descriptors have on ranges of this file: one of them closes it.
    pub(super) fn end_records(&self, number: u64) {
        record::end(Owner::Files(number), Some(self.vnode.ino()));
    }

    /// Whether a read or write may wait for whoever sits at the other end.
    fn patience(&self) -> Patience {
        if self.flags().contains(OpenFlags::NONBLOCK) { Patience::Never } else { Patience::Waits }
    }

    /// The right to move the position. The terminal has none: a thread that writes must not wait for one that reads.
    fn turn(&self) -> Result<Turn<'_>, Errno> {
        Ok(self.position.turn()?)
    }

    /// Refuses what was not opened to be read.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn check_readable(&self) -> Result<(), Errno> {
        if self.readable() { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Refuses what was not opened to be written.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn check_writable(&self) -> Result<(), Errno> {
        if self.writable() { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Refuses what has no position.
    ///
    /// # Errors
    /// `ESPIPE`.
    pub(crate) fn check_seekable(&self) -> Result<(), Errno> {
        if self.is_terminal() { Err(Errno::ESPIPE) } else { Ok(()) }
    }

    fn read_from<K: Sink>(&self, at: u64, len: usize, sink: &mut K) -> Result<usize, Errno> {
        match (self.behaviour, &self.vnode) {
            (Behaviour::Regular, Vnode::Disk(node)) => {
                check_span(at, len)?;
                let done = node.read(FileOff::new(at), len, sink).map_err(errno)?;
                if len > 0 {
                    self.accessed();
                }
                Ok(done)
            }
            (Behaviour::Text, _) => {
                check_span(at, len)?;
                let rest = usize::try_from(at).ok().and_then(|at| self.text.get(at..)).unwrap_or(&[]);
                copy::give(sink, &rest[..len.min(rest.len())]).map_err(|_| Errno::EFAULT)
            }
            (Behaviour::Terminal, _) => device::read_terminal(len, self.patience(), sink),
            (Behaviour::Device(special), _) => check_span(at, len).and_then(|()| device::read(special, len, sink)),
            (Behaviour::Directory, _) => check_span(at, len).and(Err(Errno::EISDIR)),
            (Behaviour::Place | Behaviour::Regular, _) => Err(Errno::EBADF),
        }
    }

    /// Notes that what is open was read (`file_accessed`).
    fn accessed(&self) {
        if !self.flags().contains(OpenFlags::NOATIME) {
            self.vnode.touch_atime();
        }
    }

    /// Answers how many bytes were written, and the position behind them.
    fn write_to<S: Shorten>(&self, at: u64, append: Append, source: &mut S) -> Result<(usize, u64), Errno> {
        match (self.behaviour, &self.vnode) {
            (Behaviour::Regular, Vnode::Disk(node)) => {
                check_span(at, source.remaining())?;
                if source.remaining() == 0 {
                    return Ok((0, at));
                }
                let at_end = match append {
                    Append::AsOpened => self.flags().contains(OpenFlags::APPEND),
                    Append::Always => true,
                    Append::Never => false,
                };
                let place = if at_end { WriteAt::End } else { WriteAt::Offset(FileOff::new(at)) };
                extent::limit(node, place, source)?;
                let written = node.write(place, source, super::now()).map_err(|refused| extent::blame(refused, source))?;
                Ok((written.len, written.end.get()))
            }
            (Behaviour::Terminal, _) => device::write_terminal(source, self.patience()).map(|done| (done, at)),
            (Behaviour::Device(special), _) => {
                check_span(at, source.remaining())?;
                device::write(special, source).map(|done| (done, at))
            }
            (Behaviour::Directory, _) => Err(Errno::EISDIR),
            (Behaviour::Text, Vnode::Kernel(special)) => {
                super::proc::write(*special, source).map(|done| (done, at + done as u64))
            }
            (Behaviour::Text | Behaviour::Place | Behaviour::Regular, _) => Err(Errno::EBADF),
        }
    }

    /// Bytes up to the end, for `SEEK_END`.
    fn size(&self) -> Result<u64, Errno> {
        match (self.behaviour, &self.vnode) {
            (Behaviour::Regular, Vnode::Disk(node)) => Ok(node.attr().size),
            (Behaviour::Text, _) => Ok(self.text.len() as u64),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The first byte from `offset` on that is data, or in a hole.
    fn find(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let size = self.size()?;
        let from = u64::try_from(offset).ok().filter(|&from| from < size).ok_or(Errno::ENXIO)?;
        let Some(node) = self.regular() else {
            return Ok(if whence == Whence::Data { from } else { size });
        };
        let range = FileRange::new(FileOff::new(from), FileOff::new(size)).ok_or(Errno::ENXIO)?;
        let pin = node.hold(range).map_err(errno)?;
        let size = size.min(pin.size());
        let len = ByteLen::new(size.saturating_sub(from));
        let mut walk = IomapIter::new(node.ino(), FileOff::new(from), len, IomapOp::REPORT, ());
        while iomap_iter(&mut walk, &pin).map_err(errno)? {
            if (walk.iomap.kind == IomapKind::Mapped) == (whence == Whence::Data) {
                return Ok(walk.pos.get());
            }
            walk.processed = Ok(walk.length());
        }
        if whence == Whence::Data { Err(Errno::ENXIO) } else { Ok(size) }
    }
}

/// Refuses a range whose end is no file offset (`rw_verify_area`).
pub(crate) fn check_span(at: u64, len: usize) -> Result<(), Errno> {
    match at.checked_add(len as u64) {
        Some(end) if end <= POSITION_MAX => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn behaviour_of(vnode: &Vnode) -> Behaviour {
    match vnode {
        Vnode::Disk(node) => match node.kind() {
            Kind::File => Behaviour::Regular,
            Kind::Directory => Behaviour::Directory,
            Kind::Symlink => Behaviour::Place,
        },
        Vnode::Kernel(special) if special.is_terminal() => Behaviour::Terminal,
        Vnode::Kernel(special) => match special.what() {
            What::Directory => Behaviour::Directory,
            What::Text => Behaviour::Text,
            What::Link => Behaviour::Place,
            What::Device { .. } => Behaviour::Device(*special),
        },
    }
}
