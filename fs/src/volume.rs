//! A mounted file system as a whole.

use alloc::sync::Arc;

use pmem::medium::Medium;
use units::Ino;

use crate::check::Report;
use crate::error::{Damage, Error, FormatError, MountError};
use crate::node::Node;
use crate::types::{Format, Mount, Space};

/// A mounted file system: the [`Volume`] and the root of its tree.
pub struct Fs<M: Medium> {
    volume: Arc<Volume<M>>,
}

/// What every node of a mounted file system shares.
pub struct Volume<M: Medium> {
    medium: M,
}

impl<M: Medium> Fs<M> {
    /// Makes an empty file system on all of `medium` (mkfs).
    ///
    /// # Errors
    /// [`FormatError::TooSmall`].
    pub fn format(_medium: &M, _options: &Format) -> Result<(), FormatError> {
        unimplemented!()
    }

    /// Brings back the state of the last record, repairing what one good copy allows to repair.
    ///
    /// # Errors
    /// [`MountError`]; the medium is unchanged then.
    pub fn mount(_medium: M, _options: Mount) -> Result<Arc<Self>, MountError> {
        unimplemented!()
    }

    /// Examines a file system that is not mounted, changing nothing (fsck).
    pub fn check(_medium: &M) -> Report {
        unimplemented!()
    }

    /// The root directory.
    pub fn root(self: &Arc<Self>) -> Node<M> {
        unimplemented!()
    }

    /// The node of this number.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, or it has no name any more.
    pub fn node(self: &Arc<Self>, _ino: Ino) -> Result<Node<M>, Error> {
        unimplemented!()
    }

    /// What all nodes share; the same as [`Node::fs`].
    pub fn volume(&self) -> &Arc<Volume<M>> {
        &self.volume
    }

    /// What `statfs` tells.
    pub fn space(&self) -> Space {
        self.volume.space()
    }

    /// The medium below.
    pub fn medium(&self) -> &M {
        self.volume.medium()
    }

    /// Why the file system is mounted read-only though it was to be changed, where a damage forced that.
    pub fn damage(&self) -> Option<Damage> {
        self.volume.damage()
    }
}

impl<M: Medium> Volume<M> {
    /// The medium below.
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// What `statfs` tells.
    pub fn space(&self) -> Space {
        unimplemented!()
    }

    /// The name given by [`Format::uuid`].
    pub fn uuid(&self) -> [u8; 16] {
        unimplemented!()
    }

    /// Whether every change is refused.
    pub fn is_read_only(&self) -> bool {
        unimplemented!()
    }

    /// Why it is, where a damage forced that.
    pub fn damage(&self) -> Option<Damage> {
        unimplemented!()
    }
}
