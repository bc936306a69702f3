//! Changes of names and attributes: each one record, one fence.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pmem::medium::Medium;
use pmem::order::Batch;
use sync::MutexGuard;

use super::Node;
use super::write::Mapping;
use crate::error::Error;
use crate::extents::{Extent, Extents};
use crate::head_room;
use crate::inode::{Body, Content, FileBody, Inode};
use crate::items::Meta;
use crate::names::{self, Names};
use crate::payload::Payload;
use crate::seeded::{Bug, seeded};
use crate::space::Purpose;
use crate::types::{Kind, Linkable, MAX_TARGET, NewNode, Privileges, SetAttr, Time};
use crate::volume::Commit;

/// Links an inode can have.
pub(super) const MAX_LINKS: u32 = u32::MAX - 1;

impl<M: Medium> Body<M> {
    /// The names of a directory.
    pub(super) fn names(&mut self) -> Result<&mut Names<Arc<Inode<M>>>, Error> {
        match &mut self.content {
            Content::Directory { names, .. } => Ok(names),
            _ => Err(Error::NotDirectory),
        }
    }
}

/// `.` and `..` are always there.
fn special(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// A directory with something new or gone in it.
pub(super) fn touched(meta: &Meta, now: Time) -> Meta {
    Meta { mtime: now, ctime: now, ..*meta }
}

impl<M: Medium> Node<M> {
    /// Makes a new file, directory or symlink called `name`.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NameTooLong`], [`Error::Exists`], [`Error::NotFound`] where this directory was
    /// removed, [`Error::Invalid`] for a name with `/` or NUL and a target that is empty or too long,
    /// [`Error::NoSpace`], [`Error::TooManyLinks`], [`Error::ReadOnly`].
    pub fn create(&self, name: &[u8], new: NewNode<'_>, now: Time) -> Result<Self, Error> {
        self.directory()?;
        if special(name) {
            return Err(Error::Exists);
        }
        self.checked(name)?;
        let (kind, mode, target) = match new {
            NewNode::File { mode } => (Kind::File, mode, None),
            NewNode::Directory { mode } => (Kind::Directory, mode, None),
            NewNode::Symlink { target } => (Kind::Symlink, 0o777, Some(target)),
        };
        match target {
            Some([]) => return Err(Error::NotFound),
            Some(target) if target.len() > MAX_TARGET => return Err(Error::NameTooLong),
            Some(target) if target.contains(&0) => return Err(Error::Invalid),
            _ => {}
        }
        let mut commit = self.begin_new(name)?;
        let above = self.parent_for_new(name, kind, now)?;
        let ino = commit.fresh_ino()?;
        let nlink = if kind == Kind::Directory { 2 } else { 1 };
        let mode = mode & 0o7777;
        let meta = Meta { kind, mode, nlink, uid: 0, gid: 0, size: 0, atime: now, mtime: now, ctime: now };

        let mut payload = commit.payload();
        if !seeded(Bug::EntryWithoutInode) {
            payload.inode(ino, &meta);
        }
        if let Some(target) = target {
            payload.target(ino, target);
        }
        payload.entry(self.inode.ino, name, Some(ino));
        if !seeded(Bug::DirectoryTimesLost) {
            payload.inode(self.inode.ino, &above);
        }
        self.inode.volume.record(&mut commit, payload, Purpose::Grow)?;

        let content = match (kind, target) {
            (Kind::Directory, _) => {
                let parent = Arc::downgrade(&self.inode);
                Content::Directory { names: Names::new(commit.stamp().1.0 ^ ino.get()), parent }
            }
            (_, Some(target)) => Content::Symlink(target.to_vec()),
            _ => Content::File(FileBody::new(Extents::default())),
        };
        let inode = Inode::new(ino, meta, content, self.inode.volume.clone());
        self.inode.volume.remember(&inode);
        let mut body = self.inode.body.lock();
        body.meta = above;
        body.names()?.put(name, inode.clone());
        drop(body);
        Ok(Self::new(inode))
    }

    /// Makes a file without a name in the file system this directory lies in (`O_TMPFILE`). It is gone with its last
    /// handle, or with the power, unless [`Node::link`] gives it a name.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NotPermitted`] in a directory that is gone, [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn tmpfile(&self, mode: u32, linkable: Linkable, now: Time) -> Result<Self, Error> {
        self.directory()?;
        if self.inode.body.lock().meta.nlink == 0 {
            return Err(Error::NotPermitted);
        }
        let ino = self.inode.volume.begin()?.fresh_ino()?;
        let (kind, mode) = (Kind::File, mode & 0o7777);
        let meta = Meta { kind, mode, nlink: 0, uid: 0, gid: 0, size: 0, atime: now, mtime: now, ctime: now };
        let mut file = FileBody::new(Extents::default());
        file.linkable = linkable;
        let inode = Inode::new(ino, meta, Content::File(file), self.inode.volume.clone());
        self.inode.volume.remember(&inode);
        Ok(Self::new(inode))
    }

    /// Refuses a name that cannot be; in a removed directory, as in Linux, because nothing is there at all.
    #[inline]
    fn checked(&self, name: &[u8]) -> Result<(), Error> {
        names::checked(name).map_err(|bad| if self.inode.body.lock().meta.nlink == 0 { Error::NotFound } else { bad })
    }

    /// Begins a change that brings a new `name`. As in Linux, one that exists counts before a read-only file system.
    #[inline]
    fn begin_new(&self, name: &[u8]) -> Result<MutexGuard<'_, Commit>, Error> {
        let begun = self.inode.volume.begin();
        if begun.is_err() && self.inode.body.lock().names()?.get(name).is_some() {
            return Err(Error::Exists);
        }
        begun
    }

    /// Whether this directory can take a new `name`; answers its attributes afterwards.
    #[inline]
    fn parent_for_new(&self, name: &[u8], kind: Kind, now: Time) -> Result<Meta, Error> {
        let mut body = self.inode.body.lock();
        if body.meta.nlink == 0 {
            return Err(Error::NotFound);
        }
        if body.names()?.get(name).is_some() {
            return Err(Error::Exists);
        }
        let mut above = touched(&body.meta, now);
        if kind == Kind::Directory {
            if above.nlink >= MAX_LINKS {
                return Err(Error::TooManyLinks);
            }
            above.nlink += 1;
        }
        Ok(above)
    }

    /// Takes the name of a file or symlink away.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsDirectory`], [`Error::NotDirectory`], [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn unlink(&self, name: &[u8], now: Time) -> Result<(), Error> {
        self.directory()?;
        if special(name) {
            return Err(Error::IsDirectory);
        }
        self.checked(name)?;
        let mut commit = self.inode.volume.begin()?;
        let (victim, above) = {
            let mut body = self.inode.body.lock();
            let victim = body.names()?.get(name).cloned().ok_or(Error::NotFound)?;
            (victim, touched(&body.meta, now))
        };
        if victim.kind == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        let before = victim.body.lock().meta;
        let meta = Meta { nlink: before.nlink.saturating_sub(1), ctime: now, ..before };
        let mut payload = commit.payload();
        payload.entry(self.inode.ino, name, None);
        payload.inode(victim.ino, &meta);
        payload.inode(self.inode.ino, &above);
        self.inode.volume.record(&mut commit, payload, Purpose::Shrink)?;

        victim.body.lock().meta = meta;
        self.remove_name(name, above)?;
        drop(commit);
        victim.release_if_orphan();
        // Without a handle or a pin this is the end of it, outside the commit.
        drop(victim);
        Ok(())
    }

    #[inline]
    fn remove_name(&self, name: &[u8], above: Meta) -> Result<(), Error> {
        let mut body = self.inode.body.lock();
        body.meta = above;
        let gone = body.names()?.remove(name);
        drop(body);
        drop(gone);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::NotEmpty`] (also for `..`), [`Error::Invalid`] for `.`,
    /// [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn rmdir(&self, name: &[u8], now: Time) -> Result<(), Error> {
        self.directory()?;
        match name {
            b"." => return Err(Error::Invalid),
            b".." => return Err(Error::NotEmpty),
            _ => self.checked(name)?,
        }
        let mut commit = self.inode.volume.begin()?;
        let (victim, mut above) = {
            let mut body = self.inode.body.lock();
            let victim = body.names()?.get(name).cloned().ok_or(Error::NotFound)?;
            (victim, touched(&body.meta, now))
        };
        let meta = gone_directory(&victim, now)?;
        above.nlink = above.nlink.saturating_sub(1);
        let mut payload = commit.payload();
        payload.entry(self.inode.ino, name, None);
        payload.inode(victim.ino, &meta);
        payload.inode(self.inode.ino, &above);
        self.inode.volume.record(&mut commit, payload, Purpose::Shrink)?;

        forget_directory(&victim, meta);
        self.remove_name(name, above)?;
        drop(commit);
        drop(victim);
        Ok(())
    }

    /// Gives `target` one more name.
    ///
    /// # Errors
    /// As [`Node::create`]; [`Error::NotPermitted`] for a directory, [`Error::NotFound`] for a target without a name but
    /// one of [`Node::tmpfile`] that is [`Linkable`],
    /// [`Error::CrossDevice`].
    pub fn link(&self, name: &[u8], target: &Self, now: Time) -> Result<(), Error> {
        self.directory()?;
        if !Arc::ptr_eq(&self.inode.volume, &target.inode.volume) {
            return Err(Error::CrossDevice);
        }
        if special(name) {
            return Err(Error::Exists);
        }
        self.checked(name)?;
        let mut commit = self.begin_new(name)?;
        let above = self.parent_for_new(name, Kind::File, now)?;
        if target.kind() == Kind::Directory {
            return Err(Error::NotPermitted);
        }
        let before = target.inode.body.lock().meta;
        if before.nlink >= MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        let meta = Meta { nlink: before.nlink + 1, ctime: now, ..before };
        let mut payload = commit.payload();
        payload.entry(self.inode.ino, name, Some(target.inode.ino));
        payload.inode(self.inode.ino, &above);
        if before.nlink == 0 {
            target.record_first_name(&mut commit, payload, meta)?;
        } else {
            payload.inode(target.inode.ino, if seeded(Bug::WrongLinkCount) { &before } else { &meta });
            self.inode.volume.record(&mut commit, payload, Purpose::Grow)?;
        }

        target.inode.body.lock().meta = meta;
        let mut body = self.inode.body.lock();
        body.meta = above;
        body.names()?.put(name, target.inode.clone());
        Ok(())
    }

    /// Records a name, which `payload` says, of a file that had none: until now no record said what the file is.
    fn record_first_name(&self, commit: &mut Commit, payload: Payload, meta: Meta) -> Result<(), Error> {
        let (_, mapping) = self.mapping().map_err(|_| Error::NotFound)?;
        if self.inode.body.lock().file()?.linkable == Linkable::No {
            return Err(Error::NotFound);
        }
        head_room::need((mapping.count() as usize).saturating_mul(head_room::EXTENT))?;
        let mut extents: Vec<Extent> = mapping.iter().copied().collect();
        if seeded(Bug::FirstNameWithoutMapping) {
            extents.clear();
        }
        let change = Mapping { range: (0, mapping.end()), meta, purpose: Purpose::Grow };
        // The data is durable since it was written.
        self.record_mapping(commit, payload, &extents, Batch::new(), &change)?;
        self.inode.body.lock().file()?.linkable = Linkable::No;
        Ok(())
    }

    /// Assigns attributes.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn set_attr(&self, set: SetAttr, now: Time) -> Result<(), Error> {
        let mut commit = self.inode.volume.begin()?;
        let before = self.inode.body.lock().meta;
        let meta = Meta {
            mode: set.mode.map_or(before.mode, |mode| mode & 0o7777) & !dropped(&set, &before),
            uid: set.uid.unwrap_or(before.uid),
            gid: set.gid.unwrap_or(before.gid),
            atime: set.atime.unwrap_or(before.atime),
            mtime: set.mtime.unwrap_or(before.mtime),
            ctime: now,
            ..before
        };
        if meta.atime.nanos >= 1_000_000_000 || meta.mtime.nanos >= 1_000_000_000 {
            return Err(Error::Invalid);
        }
        // An inode without a name is gone after a cut whatever a record says; its attributes live in memory alone.
        if before.nlink > 0 {
            let mut payload = commit.payload();
            payload.inode(self.inode.ino, &meta);
            self.inode.volume.record(&mut commit, payload, Purpose::Grow)?;
        }
        self.inode.body.lock().meta = meta;
        Ok(())
    }
}

/// The bits of the mode that go with what is set.
fn dropped(set: &SetAttr, before: &Meta) -> u32 {
    if set.privileges == Privileges::Keep || before.kind == Kind::Directory {
        return 0;
    }
    let (set_uid, set_gid, group_executes) = (0o4000, 0o2000, before.mode & 0o010 != 0);
    if group_executes { set_uid | set_gid } else { set_uid }
}

/// The attributes of `victim` once it is removed.
pub(super) fn gone_directory<M: Medium>(victim: &Inode<M>, now: Time) -> Result<Meta, Error> {
    if victim.kind != Kind::Directory {
        return Err(Error::NotDirectory);
    }
    let mut body = victim.body.lock();
    if body.names()?.len() > 0 {
        return Err(Error::NotEmpty);
    }
    Ok(Meta { nlink: 0, ctime: now, ..body.meta })
}

/// A removed directory stays for those who stand in it. It still leads to the one above, as in Linux, while that lives.
pub(super) fn forget_directory<M: Medium>(victim: &Inode<M>, meta: Meta) {
    victim.body.lock().meta = meta;
}
