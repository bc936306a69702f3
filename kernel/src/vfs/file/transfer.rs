//! Bytes from one file to another without a stop in a program: `sendfile`, `copy_file_range`.
//!
//! What is copied is the source at one instant, and to a regular file it is one write: all of it or nothing.

use super::{Behaviour, File, check_span, extent};
use crate::pmem::PmemMedium;
use crate::vfs::copy::{CHUNK, Shorten};
use crate::vfs::error::errno;
use abi::Errno;
use fs::{IomapKind, Kind, Pin};
use pmem::medium::{BadAddress, Medium, Source};
use units::{ByteLen, FileOff, FileRange};

/// A file's bytes at one instant, on their way.
struct Pinned {
    pin: Pin<PmemMedium>,
    at: u64,
    left: usize,
    /// A bad block was met.
    is_damaged: bool,
}

impl Pinned {
    /// At most `len` bytes of `file`, a regular one, from `at` on.
    #[inline]
    fn new(file: &File, at: u64, len: usize) -> Result<Self, Errno> {
        let node = file.regular().ok_or(Errno::EINVAL)?;
        let range = FileRange::with_len(FileOff::new(at), ByteLen::new(len as u64)).ok_or(Errno::EINVAL)?;
        let pin = node.pin(range).map_err(errno)?;
        file.accessed();
        let left = usize::try_from(pin.size().saturating_sub(at)).unwrap_or(usize::MAX).min(len);
        Ok(Self { pin, at, left, is_damaged: false })
    }

    /// What went wrong with a write of these bytes, in truth.
    fn blame(&self, said: Errno) -> Errno {
        if self.is_damaged { Errno::EIO } else { said }
    }
}

impl Shorten for Pinned {
    fn shorten(&mut self, len: usize) {
        self.left = self.left.min(len);
    }
}

impl Source for Pinned {
    fn remaining(&self) -> usize {
        self.left
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        let mut piece = [0; CHUNK];
        let mut done = 0;
        while done < len {
            let iomap = self.pin.iomap(FileOff::new(self.at));
            let there = usize::try_from(iomap.length.get()).unwrap_or(usize::MAX);
            let bytes = &mut piece[..CHUNK.min(len - done).min(there)];
            match iomap.kind {
                IomapKind::Mapped if self.pin.fs().medium().load(iomap.addr, bytes).is_err() => {
                    self.is_damaged = true;
                    return Err(BadAddress);
                }
                IomapKind::Mapped => {}
                IomapKind::Hole | IomapKind::Unwritten => bytes.fill(0),
            }
            if bytes.is_empty() {
                return Err(BadAddress);
            }
            // SAFETY: the caller vouches for `len` bytes at `to`, to which nobody holds a reference; `done` and these
            // together are at most that.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(done), bytes.len()) };
            done += bytes.len();
            self.at += bytes.len() as u64;
            self.left -= bytes.len();
        }
        Ok(())
    }
}

impl File {
    /// The position, where nobody is moving it.
    ///
    /// # Errors
    /// `EINTR`.
    pub(crate) fn position(&self) -> Result<u64, Errno> {
        Ok(self.turn()?.get())
    }

    /// Moves the position to `to`.
    ///
    /// # Errors
    /// `EINTR`.
    pub(crate) fn set_position(&self, to: u64) -> Result<(), Errno> {
        self.turn()?.set(to);
        Ok(())
    }

    /// Writes at most `len` bytes of `from`, beginning at `at` there, as [`File::write`] does.
    ///
    /// # Errors
    /// `EINVAL` where `from` is neither a regular file nor a text of the kernel, or this was opened with `O_APPEND`;
    /// those of a write.
    pub(crate) fn send(&self, from: &File, at: u64, len: usize) -> Result<usize, Errno> {
        if self.flags().contains(abi::file::OpenFlags::APPEND) {
            return Err(Errno::EINVAL);
        }
        if from.behaviour == Behaviour::Text {
            let rest = usize::try_from(at).ok().and_then(|at| from.text.get(at..)).unwrap_or(&[]);
            return self.write(&mut &rest[..len.min(rest.len())]);
        }
        let mut bytes = Pinned::new(from, at, len)?;
        if bytes.left == 0 { Ok(0) } else { self.write(&mut bytes).map_err(|said| bytes.blame(said)) }
    }

    /// Writes at most `len` bytes of `from`, beginning at `at` there, to the place `to` here (`generic_copy_file_checks`).
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL` for what is no regular file and for ranges of one file that overlap, `EBADF`, `EOVERFLOW`,
    /// `EFBIG`, and those of a write.
    pub(crate) fn copy_range(&self, from: &File, (at, to): (u64, u64), len: usize) -> Result<usize, Errno> {
        if [from, self].iter().any(|file| file.vnode.kind() == Kind::Directory) {
            return Err(Errno::EISDIR);
        }
        let (Some(source), Some(target)) = (from.regular(), self.regular()) else { return Err(Errno::EINVAL) };
        if !from.readable() || !self.writable() || self.flags().contains(abi::file::OpenFlags::APPEND) {
            return Err(Errno::EBADF);
        }
        check_span(at, len).and(check_span(to, len)).map_err(|_| Errno::EOVERFLOW)?;
        let mut bytes = Pinned::new(from, at, len)?;
        bytes.shorten(extent::room(to, bytes.left)?);
        let len = bytes.left as u64;
        if source.is_same(target) && to < at + len && at < to + len {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(0);
        }
        self.write_at(to, &mut bytes).map_err(|said| bytes.blame(said))
    }
}
