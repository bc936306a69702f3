//! What callers do: one method a call, on a handle to one inode. One file a kind of call.

mod allocate;
mod change;
mod directory;
mod fault;
mod fresh;
mod read;
mod rename;
mod truncate;
mod write;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pmem::medium::Medium;
use units::{FileRange, Ino};

pub use self::fault::Faulted;
use crate::error::Error;
use crate::inode::{Content, Inode, Keeps};
use crate::pin::Pin;
use crate::types::{Attr, Kind, Time};
use crate::volume::Volume;

/// A handle to a file, directory or symlink.
///
/// An unlinked inode stays as long as a handle does, as with an open file descriptor; its blocks are free when the
/// last handle and the last pin have gone. Cloning and dropping are cheap. Dropping may take locks of the file system.
pub struct Node<M: Medium> {
    inode: Arc<Inode<M>>,
}

impl<M: Medium> Clone for Node<M> {
    fn clone(&self) -> Self {
        Self::new(self.inode.clone())
    }
}

impl<M: Medium> Drop for Node<M> {
    fn drop(&mut self) {
        if self.inode.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inode.release_if_orphan();
        }
    }
}

/// A [`Node`] that keeps nothing.
pub struct WeakNode<M: Medium> {
    inode: Weak<Inode<M>>,
}

impl<M: Medium> WeakNode<M> {
    /// Whether the inode is gone for good.
    pub fn is_gone(&self) -> bool {
        self.inode.strong_count() == 0
    }

    /// A handle, where the inode is there: it has a name, or somebody has a handle to it.
    pub fn upgrade(&self) -> Option<Node<M>> {
        self.inode.upgrade().map(Node::new)
    }
}

/// A day, in seconds, after which `relatime` notes an access whatever else happened.
const RELATIME: i64 = 24 * 60 * 60;

impl<M: Medium> Node<M> {
    /// A handle to `inode`.
    pub(crate) fn new(inode: Arc<Inode<M>>) -> Self {
        inode.handles.fetch_add(1, Ordering::AcqRel);
        Self { inode }
    }

    /// The same, without keeping it.
    pub fn downgrade(&self) -> WeakNode<M> {
        WeakNode { inode: Arc::downgrade(&self.inode) }
    }

    /// The inode's number.
    pub fn ino(&self) -> Ino {
        self.inode.ino
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.inode.kind
    }

    /// What `stat` tells, all of it of one instant.
    #[inline]
    pub fn attr(&self) -> Attr {
        self.inode.attr()
    }

    /// The file system it belongs to.
    pub fn fs(&self) -> &Arc<Volume<M>> {
        &self.inode.volume
    }

    /// Whether the two are handles to the same inode.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inode, &other.inode)
    }

    /// Notes an access, as `relatime` does: in memory, on the medium with the inode's next record. Where that will never
    /// come, because nothing may be changed, it is not noted.
    pub fn touch_atime(&self, now: Time) {
        if self.inode.volume.is_read_only() {
            return;
        }
        let meta = &mut self.inode.body.lock().meta;
        if meta.atime <= meta.mtime || meta.atime <= meta.ctime || now.secs.saturating_sub(meta.atime.secs) >= RELATIME
        {
            meta.atime = now;
        }
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// [`Error::Invalid`] where this is no symlink.
    pub fn read_link(&self) -> Result<Vec<u8>, Error> {
        match &self.inode.body.lock().content {
            Content::Symlink(target) => Ok(target.clone()),
            _ => Err(Error::Invalid),
        }
    }

    /// Pins the blocks that hold `range`, and what is in them, as they are now. Those who share the file lose the right to store
    /// to them; where there is any such program this takes the commit lock, and locks of address spaces.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink.
    #[inline]
    pub fn pin(&self, range: FileRange) -> Result<Pin<M>, Error> {
        self.file()?;
        Pin::take(&self.inode, Some(range), Keeps::Content).ok_or(Error::Invalid)
    }

    /// Pins the whole file.
    ///
    /// # Errors
    /// As [`Node::pin`].
    pub fn pin_all(&self) -> Result<Pin<M>, Error> {
        self.file()?;
        Pin::take(&self.inode, None, Keeps::Content).ok_or(Error::Invalid)
    }

    /// Keeps the file from being opened for writing while it is run (`deny_write_access`).
    ///
    /// # Errors
    /// [`Error::TextBusy`] where it is open for writing.
    pub fn deny_write(&self) -> Result<DenyWrite<M>, Error> {
        self.inode.claim_writing(-1)?;
        Ok(DenyWrite { inode: self.inode.clone() })
    }

    /// Held by what is open for writing (`get_write_access`).
    ///
    /// # Errors
    /// [`Error::TextBusy`] while the file is run.
    pub fn write_access(&self) -> Result<WriteAccess<M>, Error> {
        self.inode.claim_writing(1)?;
        Ok(WriteAccess { inode: self.inode.clone() })
    }

    /// Refuses what is no regular file.
    fn file(&self) -> Result<(), Error> {
        match self.inode.kind {
            Kind::File => Ok(()),
            Kind::Directory => Err(Error::IsDirectory),
            Kind::Symlink => Err(Error::Invalid),
        }
    }

    /// Refuses what is no directory.
    fn directory(&self) -> Result<(), Error> {
        if self.inode.kind == Kind::Directory { Ok(()) } else { Err(Error::NotDirectory) }
    }
}

/// While this lives, nobody opens the file for writing.
pub struct DenyWrite<M: Medium> {
    inode: Arc<Inode<M>>,
}

/// While this lives, the file is not run.
pub struct WriteAccess<M: Medium> {
    inode: Arc<Inode<M>>,
}

impl<M: Medium> Drop for DenyWrite<M> {
    fn drop(&mut self) {
        self.inode.release_writing(-1);
    }
}

impl<M: Medium> Drop for WriteAccess<M> {
    fn drop(&mut self) {
        self.inode.release_writing(1);
    }
}
