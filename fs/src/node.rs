//! What callers do: one method a call, on a handle to one inode.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pmem::medium::{Medium, Sink, Source};
use units::{FileOff, FileRange, Ino};

use crate::error::Error;
use crate::pin::Pin;
use crate::types::{Attr, DirEntry, Kind, NewNode, Rename, SetAttr, Time, WriteAt, Written};
use crate::volume::Volume;

/// A handle to a file, directory or symlink.
///
/// An unlinked inode stays as long as a handle does, as with an open file descriptor; its blocks are free when the
/// last handle and the last pin have gone. Cloning and dropping are cheap. Dropping may take locks of the file system.
pub struct Node<M: Medium> {
    volume: Arc<Volume<M>>,
}

impl<M: Medium> Clone for Node<M> {
    fn clone(&self) -> Self {
        Self { volume: self.volume.clone() }
    }
}

impl<M: Medium> Node<M> {
    /// The inode's number.
    pub fn ino(&self) -> Ino {
        unimplemented!()
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        unimplemented!()
    }

    /// What `stat` tells, all of it of one instant.
    pub fn attr(&self) -> Attr {
        unimplemented!()
    }

    /// The file system it belongs to.
    pub fn fs(&self) -> &Arc<Volume<M>> {
        &self.volume
    }

    /// Whether the two are handles to the same inode.
    pub fn is_same(&self, _other: &Self) -> bool {
        unimplemented!()
    }

    /// Notes an access, as `relatime` does: in memory, on the medium with the inode's next record.
    pub fn touch_atime(&self, _now: Time) {
        unimplemented!()
    }

    /// The node this directory calls `name`; `.` and `..` are understood, the root's `..` is the root.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NameTooLong`], [`Error::NotFound`].
    pub fn lookup(&self, _name: &[u8]) -> Result<Self, Error> {
        unimplemented!()
    }

    /// Makes a new file, directory or symlink called `name`.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NameTooLong`], [`Error::Exists`], [`Error::NotFound`] where this directory was
    /// removed, [`Error::Invalid`] for a name with `/` or NUL and a target that is empty or too long,
    /// [`Error::NoSpace`], [`Error::TooManyLinks`], [`Error::ReadOnly`].
    pub fn create(&self, _name: &[u8], _new: NewNode<'_>, _now: Time) -> Result<Self, Error> {
        unimplemented!()
    }

    /// Takes the name of a file or symlink away.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsDirectory`], [`Error::NotDirectory`], [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn unlink(&self, _name: &[u8], _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::NotEmpty`] (also for `..`), [`Error::Invalid`] for `.`,
    /// [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn rmdir(&self, _name: &[u8], _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Gives `target` one more name.
    ///
    /// # Errors
    /// As [`Node::create`]; [`Error::NotPermitted`] for a directory, [`Error::NotFound`] for a target without a name,
    /// [`Error::CrossDevice`].
    pub fn link(&self, _name: &[u8], _target: &Self, _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Moves `name` to `to_name` in `to_dir`.
    ///
    /// # Errors
    /// Those of Linux's `rename`: [`Error::NotFound`], [`Error::Exists`], [`Error::NotDirectory`],
    /// [`Error::IsDirectory`], [`Error::NotEmpty`], [`Error::Invalid`] for a directory moved into itself,
    /// [`Error::Busy`] for `.` and `..`, [`Error::CrossDevice`], [`Error::TooManyLinks`], [`Error::NoSpace`],
    /// [`Error::ReadOnly`].
    pub fn rename(&self, _name: &[u8], _to_dir: &Self, _to_name: &[u8], _how: Rename, _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Shows the entries from cursor `from` on (0: from the first), `.` and `..` among them, until `each` answers
    /// `false`. Cursors stay good while other entries come and go.
    ///
    /// `each` runs under the directory's lock: it touches no user memory and calls nothing of this file system.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NotFound`] where this directory was removed.
    pub fn read_dir(&self, _from: u64, _each: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Error> {
        unimplemented!()
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// [`Error::Invalid`] where this is no symlink.
    pub fn read_link(&self) -> Result<Vec<u8>, Error> {
        unimplemented!()
    }

    /// Copies up to `len` bytes from `at` to `sink`, all of one instant; holes read as zeros. Answers how many: 0 at
    /// the end of the file, less than `len` where the file ends or something went wrong after the first byte.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink; [`Error::Media`], [`Error::BadAddress`] where nothing was copied.
    pub fn read<K: Sink>(&self, _at: FileOff, _len: usize, _sink: &mut K) -> Result<usize, Error> {
        unimplemented!()
    }

    /// Writes all of `source` (at most [`crate::MAX_TRANSFER`] bytes) into fresh blocks and makes them the file's:
    /// atomic, and durable at return.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink, [`Error::TooLarge`], [`Error::NoSpace`],
    /// [`Error::BadAddress`], [`Error::Media`] where an edge cannot be read, [`Error::ReadOnly`]; nothing has changed.
    pub fn write<S: Source>(&self, _at: WriteAt, _source: &mut S, _now: Time) -> Result<Written, Error> {
        unimplemented!()
    }

    /// Makes the file `size` bytes long; bytes gained are zero.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink, [`Error::TooLarge`], [`Error::NoSpace`],
    /// [`Error::Media`], [`Error::ReadOnly`].
    pub fn truncate(&self, _size: u64, _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Assigns attributes.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn set_attr(&self, _set: SetAttr, _now: Time) -> Result<(), Error> {
        unimplemented!()
    }

    /// Pins the blocks that hold `range`, as they are now.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink.
    pub fn pin(&self, _range: FileRange) -> Result<Pin<M>, Error> {
        unimplemented!()
    }

    /// Pins the whole file.
    ///
    /// # Errors
    /// As [`Node::pin`].
    pub fn pin_all(&self) -> Result<Pin<M>, Error> {
        unimplemented!()
    }

    /// Keeps the file from being opened for writing while it is run (`deny_write_access`).
    ///
    /// # Errors
    /// [`Error::TextBusy`] where it is open for writing.
    pub fn deny_write(&self) -> Result<DenyWrite<M>, Error> {
        unimplemented!()
    }

    /// Held by what is open for writing (`get_write_access`).
    ///
    /// # Errors
    /// [`Error::TextBusy`] while the file is run.
    pub fn write_access(&self) -> Result<WriteAccess<M>, Error> {
        unimplemented!()
    }
}

/// While this lives, nobody opens the file for writing.
pub struct DenyWrite<M: Medium> {
    _node: Node<M>,
}

/// While this lives, the file is not run.
pub struct WriteAccess<M: Medium> {
    _node: Node<M>,
}
