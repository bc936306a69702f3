//! Looking names up, and listing them.

use pmem::medium::Medium;

use super::Node;
use crate::error::Error;
use crate::inode::Content;
use crate::names::FIRST_CURSOR;
use crate::types::{DirEntry, Kind, MAX_NAME};

impl<M: Medium> Node<M> {
    /// The node this directory calls `name`; `.` and `..` are understood, the root's `..` is the root.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NameTooLong`], [`Error::NotFound`].
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Result<Self, Error> {
        self.directory()?;
        let body = self.inode.body.lock();
        let Content::Directory { names, parent } = &body.content else { return Err(Error::NotDirectory) };
        let found = match name {
            b"." => Some(self.inode.clone()),
            b".." => parent.upgrade(),
            // Of a removed directory nothing is looked at, not even how long the name is.
            _ if body.meta.nlink == 0 => None,
            _ if name.len() > MAX_NAME => return Err(Error::NameTooLong),
            _ => names.get(name).cloned(),
        };
        // The handle counts before the lock goes, so that an unlink behind it leaves the blocks alone.
        found.map(|inode| Self::new(inode)).ok_or(Error::NotFound)
    }

    /// Shows the entries from cursor `from` on (0: from the first), `.` and `..` among them, until `each` answers
    /// `false`. Cursors stay good while other entries come and go.
    ///
    /// `each` runs under the directory's lock: it touches no user memory and calls nothing of this file system.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::NotFound`] where this directory was removed.
    pub fn read_dir(&self, from: u64, each: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Error> {
        self.directory()?;
        let body = self.inode.body.lock();
        let Content::Directory { names, parent } = &body.content else { return Err(Error::NotDirectory) };
        if body.meta.nlink == 0 {
            return Err(Error::NotFound);
        }
        let above = parent.upgrade().map_or(self.inode.ino, |parent| parent.ino);
        let dots: [(u64, &[u8], _); 2] = [(0, b".", self.inode.ino), (1, b"..", above)];
        for (cursor, name, ino) in dots {
            if cursor >= from && !each(DirEntry { ino, kind: Kind::Directory, name, next: cursor + 1 }) {
                return Ok(());
            }
        }
        for (cursor, name, inode) in names.starting_at(from.max(FIRST_CURSOR)) {
            if !each(DirEntry { ino: inode.ino, kind: inode.kind, name, next: cursor + 1 }) {
                break;
            }
        }
        Ok(())
    }
}
