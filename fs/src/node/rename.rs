//! `rename`: one record that moves a name, replaces what the new one led to, or exchanges the two.

use alloc::sync::Arc;

use pmem::medium::Medium;
use smallvec::SmallVec;

use super::Node;
use super::change::{MAX_LINKS, forget_directory, gone_directory, touched};
use crate::error::Error;
use crate::inode::{Content, Inode};
use crate::items::Meta;
use crate::names;
use crate::seeded::{Bug, seeded};
use crate::space::Purpose;
use crate::types::{Kind, Rename, Time};

/// The two names and what they lead to.
struct Move<'a, M: Medium> {
    from: &'a Node<M>,
    name: &'a [u8],
    to: &'a Node<M>,
    to_name: &'a [u8],
    moved: Arc<Inode<M>>,
    /// What the new name leads to before.
    there: Option<Arc<Inode<M>>>,
}

/// New attributes, by inode; the last word counts.
type Metas<M> = SmallVec<[(Arc<Inode<M>>, Meta); 4]>;

/// What a move that is allowed comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Planned {
    /// Both names lead to the same inode already.
    Nothing,
    Change,
}

impl<M: Medium> Node<M> {
    /// Moves `name` to `to_name` in `to_dir`.
    ///
    /// # Errors
    /// Those of Linux's `rename`: [`Error::NotFound`], [`Error::Exists`], [`Error::NotDirectory`],
    /// [`Error::IsDirectory`], [`Error::NotEmpty`], [`Error::Invalid`] for a directory moved into itself,
    /// [`Error::Busy`] for `.` and `..`, [`Error::CrossDevice`], [`Error::TooManyLinks`], [`Error::NoSpace`],
    /// [`Error::ReadOnly`].
    pub fn rename(&self, name: &[u8], to_dir: &Self, to_name: &[u8], how: Rename, now: Time) -> Result<(), Error> {
        self.directory()?;
        to_dir.directory()?;
        if !Arc::ptr_eq(&self.inode.volume, &to_dir.inode.volume) {
            return Err(Error::CrossDevice);
        }
        if [name, to_name].iter().any(|name| matches!(*name, b"." | b"..")) {
            return Err(Error::Busy);
        }
        let mut commit = self.inode.volume.begin()?;
        // In Linux's order: all that speaks against the old name comes before what speaks against the new one.
        let moved = self.child(name)?;
        names::checked(name)?;
        let moved = moved.ok_or(Error::NotFound)?;
        let there = to_dir.child(to_name)?;
        names::checked(to_name)?;
        let all = Move { from: self, name, to: to_dir, to_name, moved, there };
        let mut metas = Metas::new();
        if all.plan(how, now, &mut metas)? == Planned::Nothing {
            return Ok(());
        }
        let mut payload = commit.payload();
        let back = if how == Rename::Exchange { all.there.as_ref().map(|inode| inode.ino) } else { None };
        if !seeded(Bug::LostRenameHalf) {
            payload.entry(self.inode.ino, name, back.filter(|_| !seeded(Bug::LostExchangeHalf)));
        }
        payload.entry(to_dir.inode.ino, to_name, Some(all.moved.ino));
        for (inode, meta) in &metas {
            payload.inode(inode.ino, meta);
        }
        let purpose = if all.there.is_some() && how == Rename::Replace { Purpose::Shrink } else { Purpose::Grow };
        self.inode.volume.record(&mut commit, payload, purpose)?;
        all.apply(how, &metas)?;
        drop(commit);
        if let Some(there) = &all.there {
            there.release_if_orphan();
        }
        Ok(())
    }

    /// What this directory, which still has a name, calls `name`.
    #[inline]
    fn child(&self, name: &[u8]) -> Result<Option<Arc<Inode<M>>>, Error> {
        let mut body = self.inode.body.lock();
        if body.meta.nlink == 0 {
            return Err(Error::NotFound);
        }
        Ok(body.names()?.get(name).cloned())
    }

    /// Whether this directory is `ancestor` or lies below it.
    fn is_below(&self, ancestor: &Arc<Inode<M>>) -> bool {
        let mut at = self.inode.clone();
        loop {
            if Arc::ptr_eq(&at, ancestor) {
                return true;
            }
            let above = match &at.body.lock().content {
                Content::Directory { parent, .. } => parent.upgrade(),
                _ => None,
            };
            match above {
                Some(above) if !Arc::ptr_eq(&above, &at) => at = above,
                _ => return false,
            }
        }
    }
}

impl<M: Medium> Move<'_, M> {
    /// Checks everything, and puts the attributes afterwards into `metas`.
    fn plan(&self, how: Rename, now: Time, metas: &mut Metas<M>) -> Result<Planned, Error> {
        let is_dir = |inode: &Inode<M>| inode.kind == Kind::Directory;
        match (&self.there, how) {
            (None, Rename::Exchange) => return Err(Error::NotFound),
            (Some(_), Rename::NoReplace) => return Err(Error::Exists),
            _ if is_dir(&self.moved) && self.to.is_below(&self.moved) => return Err(Error::Invalid),
            (Some(there), Rename::Exchange) if is_dir(there) && self.from.is_below(there) => {
                return Err(Error::Invalid);
            }
            (Some(there), Rename::Replace) if is_dir(there) && self.from.is_below(there) => {
                return Err(Error::NotEmpty);
            }
            (Some(there), _) if Arc::ptr_eq(there, &self.moved) => return Ok(Planned::Nothing),
            _ => {}
        }
        let here = self.from.inode.clone();
        let before = here.body.lock().meta;
        metas.push((here, touched(&before, now)));
        if !Arc::ptr_eq(&self.from.inode, &self.to.inode) {
            let before = self.to.inode.body.lock().meta;
            metas.push((self.to.inode.clone(), touched(&before, now)));
        }
        let last = metas.len() - 1;
        if is_dir(&self.moved) {
            metas[0].1.nlink = metas[0].1.nlink.saturating_sub(1);
            metas[last].1.nlink += u32::from(!seeded(Bug::DirectoryNotCounted));
        }
        if let Some(there) = &self.there {
            self.plan_there(there, how, now, metas)?;
        }
        if metas[..=last].iter().any(|(_, meta)| meta.nlink > MAX_LINKS) {
            return Err(Error::TooManyLinks);
        }
        let before = self.moved.body.lock().meta;
        metas.push((self.moved.clone(), Meta { ctime: now, ..before }));
        Ok(Planned::Change)
    }

    /// What becomes of the inode that has the new name.
    fn plan_there(&self, there: &Arc<Inode<M>>, how: Rename, now: Time, metas: &mut Metas<M>) -> Result<(), Error> {
        let last = metas.len() - 1;
        let before = there.body.lock().meta;
        if how == Rename::Exchange {
            if there.kind == Kind::Directory {
                metas[last].1.nlink = metas[last].1.nlink.saturating_sub(1);
                metas[0].1.nlink += 1;
            }
            metas.push((there.clone(), Meta { ctime: now, ..before }));
            return Ok(());
        }
        match (self.moved.kind == Kind::Directory, there.kind == Kind::Directory) {
            (true, false) => return Err(Error::NotDirectory),
            (false, true) => return Err(Error::IsDirectory),
            (true, true) => {
                let meta = gone_directory(there, now)?;
                metas[last].1.nlink = metas[last].1.nlink.saturating_sub(1);
                metas.push((there.clone(), meta));
            }
            (false, false) => {
                metas.push((there.clone(), Meta { nlink: before.nlink.saturating_sub(1), ctime: now, ..before }));
            }
        }
        Ok(())
    }

    /// Shows what the record said.
    fn apply(&self, how: Rename, metas: &Metas<M>) -> Result<(), Error> {
        for (inode, meta) in metas {
            inode.body.lock().meta = *meta;
        }
        let exchanged = self.there.as_ref().filter(|_| how == Rename::Exchange);
        let gone = {
            // Both directories are held, so that nobody sees the name twice or not at all.
            let mut from = self.from.inode.body.lock();
            let same = Arc::ptr_eq(&self.from.inode, &self.to.inode);
            let mut to = if same { None } else { Some(self.to.inode.body.lock_second(&from)) };
            let gone = match exchanged {
                Some(there) => from.names()?.put(self.name, there.clone()),
                None => from.names()?.remove(self.name),
            };
            let to = to.as_deref_mut().unwrap_or(&mut *from);
            (gone, to.names()?.put(self.to_name, self.moved.clone()))
        };
        self.moved.move_below(&self.to.inode);
        match (exchanged, &self.there) {
            (Some(there), _) => there.move_below(&self.from.inode),
            (None, Some(there)) if there.kind == Kind::Directory => {
                let meta = there.body.lock().meta;
                forget_directory(there, meta);
            }
            _ => {}
        }
        drop(gone);
        Ok(())
    }
}

impl<M: Medium> Inode<M> {
    /// Notes that a directory now lies in `above`.
    pub(crate) fn move_below(&self, above: &Arc<Self>) {
        if self.kind != Kind::Directory {
            return;
        }
        if let Content::Directory { parent, .. } = &mut self.body.lock().content {
            *parent = Arc::downgrade(above);
        }
    }
}
