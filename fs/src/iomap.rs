//! Walking a file's range extent by extent: `iomap_iter`, and what it shows.
//!
//! Read, write, fault and peek all move through a file with [`iomap_iter`]: the caller works on
//! [`IomapIter::iomap`], says in [`IomapIter::processed`] how far it got, and calls again until it answers `false`.

use bitflags::bitflags;
use units::{ByteLen, FileOff, Ino, PmOff};

use crate::error::Error;

/// What lies behind a range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IomapKind {
    /// No block: reads zeros (`IOMAP_HOLE`).
    #[default]
    Hole,
    /// Blocks that were never written: reads zeros (`IOMAP_UNWRITTEN`).
    Unwritten,
    /// Blocks with data (`IOMAP_MAPPED`).
    Mapped,
}

/// One stretch of a file and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Iomap {
    /// What is there.
    pub kind: IomapKind,
    /// The file offset it begins at.
    pub offset: FileOff,
    /// How long it is.
    pub length: ByteLen,
    /// Where it begins on the medium; 0 for a hole.
    pub addr: PmOff,
    /// What else is to be known.
    pub flags: IomapFlags,
}

bitflags! {
    /// What else is to be known of a mapping (`IOMAP_F_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct IomapFlags: u16 {
        /// The blocks were allocated for this operation (`IOMAP_F_NEW`).
        const NEW = 1;
        /// The blocks may not be written in place: copy on write (`IOMAP_F_SHARED`).
        const SHARED = 4;
    }
}

bitflags! {
    /// What the walk is for (`IOMAP_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct IomapOp: u32 {
        /// Writing; blocks must be allocated (`IOMAP_WRITE`).
        const WRITE = 1 << 0;
        /// Zeroing; holes may be skipped (`IOMAP_ZERO`).
        const ZERO = 1 << 1;
        /// Reporting the mapping, as FIEMAP does (`IOMAP_REPORT`).
        const REPORT = 1 << 2;
        /// A page fault (`IOMAP_FAULT`).
        const FAULT = 1 << 3;
        /// Data goes past any cache (`IOMAP_DIRECT`).
        const DIRECT = 1 << 4;
        /// The mapping must not wait (`IOMAP_NOWAIT`).
        const NOWAIT = 1 << 5;
        /// Only what is mapped already may be written (`IOMAP_OVERWRITE_ONLY`).
        const OVERWRITE_ONLY = 1 << 6;
        /// Shared blocks are to be replaced by own ones (`IOMAP_UNSHARE`).
        const UNSHARE = 1 << 7;
        /// The caller touches the medium itself (`IOMAP_DAX`).
        const DAX = 1 << 8;
    }
}

impl Iomap {
    /// The file offset behind the mapping.
    pub fn end(&self) -> FileOff {
        FileOff::new(self.offset.get().saturating_add(self.length.get()))
    }

    /// Where on the medium the file offset `pos`, inside the mapping, lies; `None` for a hole.
    pub fn addr_at(&self, pos: FileOff) -> Option<PmOff> {
        let into = pos.checked_sub(self.offset)?;
        if self.kind == IomapKind::Hole || into >= self.length {
            return None;
        }
        self.addr.checked_add(into)
    }
}

/// The state of one walk (`struct iomap_iter`).
#[derive(Clone, Debug)]
pub struct IomapIter<P = ()> {
    /// The file walked.
    pub inode: Ino,
    /// Where the walk stands.
    pub pos: FileOff,
    /// Bytes left from `pos` on.
    pub len: ByteLen,
    /// What the caller did with the mapping shown last: bytes, or why not; 0 bytes stop the walk.
    pub processed: Result<u64, Error>,
    /// What the walk is for.
    pub flags: IomapOp,
    /// The mapping at `pos`.
    pub iomap: Iomap,
    /// Where a copy on write copies from; a hole where nothing is copied.
    pub srcmap: Iomap,
    /// The caller's own.
    pub private: P,
}

impl<P> IomapIter<P> {
    /// A walk over `len` bytes from `pos`.
    pub fn new(inode: Ino, pos: FileOff, len: ByteLen, flags: IomapOp, private: P) -> Self {
        let (iomap, srcmap) = (Iomap::default(), Iomap::default());
        Self { inode, pos, len, processed: Ok(0), flags, iomap, srcmap, private }
    }

    /// Bytes of the present mapping that belong to the walk, from `pos` on (`iomap_length`).
    pub fn length(&self) -> u64 {
        self.iomap.end().get().saturating_sub(self.pos.get()).min(self.len.get())
    }
}

/// Where mappings come from (`struct iomap_ops`).
pub trait IomapOps<P = ()> {
    /// Sets `iomap` to a mapping that holds `pos`, and `srcmap` where data is to be copied from another place.
    ///
    /// # Errors
    /// Whatever keeps the mapping from being made.
    fn iomap_begin(&self, iter: &mut IomapIter<P>) -> Result<(), Error>;
}

/// Moves on by what was processed and shows the next mapping; `false` when the walk is over.
///
/// # Errors
/// The caller's own error in [`IomapIter::processed`], or what `iomap_begin` met.
#[inline]
pub fn iomap_iter<P>(iter: &mut IomapIter<P>, ops: &impl IomapOps<P>) -> Result<bool, Error> {
    if iter.iomap.length != ByteLen::ZERO {
        let done = core::mem::replace(&mut iter.processed, Ok(0))?.min(iter.length());
        if done == 0 {
            return Ok(false);
        }
        iter.pos = FileOff::new(iter.pos.get() + done);
        iter.len = ByteLen::new(iter.len.get() - done);
        (iter.iomap, iter.srcmap) = (Iomap::default(), Iomap::default());
    }
    if iter.len == ByteLen::ZERO {
        return Ok(false);
    }
    ops.iomap_begin(iter)?;
    Ok(iter.length() != 0)
}
