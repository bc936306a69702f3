//! The model: what a file system is, said with maps and vectors and nothing clever.

use std::collections::{BTreeMap, BTreeSet};

use fs::{Error, Fallocate, Kind, Linkable, Rename};

use crate::common::BLOCK;

/// A number the model gives to an inode.
pub(crate) type Id = usize;

/// An inode.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) mtime: i64,
    pub(crate) ctime: i64,
    /// Of a file.
    pub(crate) bytes: Vec<u8>,
    /// Blocks of a file that were written and not truncated away.
    pub(crate) mapped: BTreeSet<u64>,
    /// Whether it may get a name though it has none.
    pub(crate) linkable: bool,
    /// Of a directory.
    pub(crate) names: BTreeMap<Vec<u8>, Id>,
    pub(crate) parent: Id,
    /// Of a symlink.
    pub(crate) target: Vec<u8>,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) inodes: BTreeMap<Id, Inode>,
    next: Id,
}

/// The root directory.
pub(crate) const ROOT: Id = 0;

impl Model {
    /// An empty file system.
    pub(crate) fn new() -> Self {
        let mut model = Self { inodes: BTreeMap::new(), next: 0 };
        model.add(Kind::Directory, 0o755, ROOT, 0);
        model
    }

    fn add(&mut self, kind: Kind, mode: u32, parent: Id, now: i64) -> Id {
        let id = self.next;
        self.next += 1;
        let nlink = if kind == Kind::Directory { 2 } else { 1 };
        let (bytes, mapped, names, target) = Default::default();
        let linkable = false;
        let inode = Inode { kind, mode, nlink, mtime: now, ctime: now, bytes, mapped, linkable, names, parent, target };
        self.inodes.insert(id, inode);
        id
    }

    /// An inode that is there.
    pub(crate) fn at(&mut self, id: Id) -> &mut Inode {
        self.inodes.get_mut(&id).expect("the model keeps what is in use")
    }

    /// All of a kind that have a name, and the root.
    pub(crate) fn all(&self, kind: Kind) -> Vec<Id> {
        self.inodes.iter().filter(|(_, inode)| inode.kind == kind && inode.nlink > 0).map(|(id, _)| *id).collect()
    }

    fn touch(&mut self, dir: Id, now: i64) {
        let dir = self.at(dir);
        (dir.mtime, dir.ctime) = (now, now);
    }

    pub(crate) fn create(&mut self, dir: Id, name: &[u8], kind: Kind, mode: u32, now: i64) -> Result<Id, Error> {
        if self.at(dir).names.contains_key(name) {
            return Err(Error::Exists);
        }
        let id = self.add(kind, mode, dir, now);
        self.touch(dir, now);
        self.at(dir).names.insert(name.to_vec(), id);
        self.at(dir).nlink += u32::from(kind == Kind::Directory);
        Ok(id)
    }

    /// Makes a file without a name.
    pub(crate) fn tmpfile(&mut self, mode: u32, linkable: Linkable, now: i64) -> Id {
        let id = self.add(Kind::File, mode, ROOT, now);
        let file = self.at(id);
        (file.nlink, file.linkable) = (0, linkable == Linkable::Yes);
        id
    }

    pub(crate) fn unlink(&mut self, dir: Id, name: &[u8], now: i64) -> Result<Id, Error> {
        let id = *self.at(dir).names.get(name).ok_or(Error::NotFound)?;
        if self.at(id).kind == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.touch(dir, now);
        self.at(dir).names.remove(name);
        self.at(id).nlink -= 1;
        self.at(id).ctime = now;
        Ok(id)
    }

    pub(crate) fn rmdir(&mut self, dir: Id, name: &[u8], now: i64) -> Result<Id, Error> {
        let id = *self.at(dir).names.get(name).ok_or(Error::NotFound)?;
        if self.at(id).kind != Kind::Directory {
            return Err(Error::NotDirectory);
        }
        if !self.at(id).names.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.touch(dir, now);
        self.at(dir).names.remove(name);
        self.at(dir).nlink -= 1;
        (self.at(id).nlink, self.at(id).ctime) = (0, now);
        Ok(id)
    }

    pub(crate) fn link(&mut self, dir: Id, name: &[u8], id: Id, now: i64) -> Result<(), Error> {
        if self.at(dir).names.contains_key(name) {
            return Err(Error::Exists);
        }
        if self.at(id).kind == Kind::Directory {
            return Err(Error::NotPermitted);
        }
        if self.at(id).nlink == 0 && !self.at(id).linkable {
            return Err(Error::NotFound);
        }
        self.at(id).linkable = false;
        self.touch(dir, now);
        self.at(dir).names.insert(name.to_vec(), id);
        self.at(id).nlink += 1;
        self.at(id).ctime = now;
        Ok(())
    }

    /// Whether `dir` is `ancestor` or lies below it.
    fn is_below(&mut self, dir: Id, ancestor: Id) -> bool {
        let mut at = dir;
        while at != ancestor && at != ROOT {
            at = self.at(at).parent;
        }
        at == ancestor
    }

    /// Answers what lost a name.
    pub(crate) fn rename(
        &mut self,
        (from, name): (Id, &[u8]),
        (to, to_name): (Id, &[u8]),
        how: Rename,
        now: i64,
    ) -> Result<Option<Id>, Error> {
        let moved = *self.at(from).names.get(name).ok_or(Error::NotFound)?;
        let there = self.at(to).names.get(to_name).copied();
        let moved_dir = self.at(moved).kind == Kind::Directory;
        let there_dir = there.is_some_and(|there| self.at(there).kind == Kind::Directory);
        match (there, how) {
            (None, Rename::Exchange) => return Err(Error::NotFound),
            (Some(_), Rename::NoReplace) => return Err(Error::Exists),
            _ => {}
        }
        if moved_dir && self.is_below(to, moved) {
            return Err(Error::Invalid);
        }
        if let Some(there) = there {
            if there_dir && self.is_below(from, there) {
                return Err(if how == Rename::Exchange { Error::Invalid } else { Error::NotEmpty });
            }
            if there == moved {
                return Ok(None);
            }
            if how == Rename::Replace {
                match (moved_dir, there_dir) {
                    (true, false) => return Err(Error::NotDirectory),
                    (false, true) => return Err(Error::IsDirectory),
                    (true, true) if !self.at(there).names.is_empty() => return Err(Error::NotEmpty),
                    _ => {}
                }
            }
        }
        self.touch(from, now);
        self.touch(to, now);
        self.at(moved).ctime = now;
        self.at(from).names.remove(name);
        self.at(from).nlink -= u32::from(moved_dir);
        self.at(to).nlink += u32::from(moved_dir);
        self.at(to).names.insert(to_name.to_vec(), moved);
        self.at(moved).parent = to;
        let Some(there) = there else { return Ok(None) };
        self.at(there).ctime = now;
        self.at(to).nlink -= u32::from(there_dir);
        if how == Rename::Exchange {
            self.at(from).names.insert(name.to_vec(), there);
            self.at(from).nlink += u32::from(there_dir);
            self.at(there).parent = from;
            return Ok(None);
        }
        let there_nlink = &mut self.at(there).nlink;
        *there_nlink = if there_dir { 0 } else { *there_nlink - 1 };
        Ok(Some(there))
    }

    pub(crate) fn write(&mut self, id: Id, at: u64, bytes: &[u8], now: i64) {
        let file = self.at(id);
        let end = at as usize + bytes.len();
        file.bytes.resize(file.bytes.len().max(end), 0);
        file.bytes[at as usize..end].copy_from_slice(bytes);
        file.mapped.extend(at / BLOCK..(end as u64).div_ceil(BLOCK));
        (file.mtime, file.ctime) = (now, now);
    }

    pub(crate) fn fallocate(&mut self, id: Id, how: Fallocate, at: u64, len: u64, now: i64) {
        let file = self.at(id);
        let (end, size) = (at + len, file.bytes.len() as u64);
        let whole = at.div_ceil(BLOCK)..if end >= size { end.div_ceil(BLOCK) } else { end / BLOCK };
        match how {
            Fallocate::Punch => file.mapped.retain(|block| !whole.contains(block)),
            _ => file.mapped.extend(at / BLOCK..end.div_ceil(BLOCK)),
        }
        if matches!(how, Fallocate::Allocate | Fallocate::Zero) {
            file.bytes.resize(size.max(end) as usize, 0);
        }
        if matches!(how, Fallocate::Punch | Fallocate::Zero | Fallocate::ZeroKeepSize) {
            let size = file.bytes.len();
            file.bytes[(at as usize).min(size)..(end as usize).min(size)].fill(0);
        }
        (file.mtime, file.ctime) = (now, now);
    }

    pub(crate) fn truncate(&mut self, id: Id, size: u64, now: i64) {
        let file = self.at(id);
        file.bytes.resize(size as usize, 0);
        file.mapped.retain(|block| *block < size.div_ceil(BLOCK));
        (file.mtime, file.ctime) = (now, now);
    }
}
