//! What an open file is called (Linux's `struct path` and `d_path`): in `/proc/self/maps`, `/proc/self/fd` and `/proc/self/exe`.
//!
//! There is no cache of names. An open file remembers the directory and the name it was found by; whether that still is
//! its name is looked up when somebody asks. A file that was renamed is then searched for, in all directories: that is
//! rare, and costs nothing where nobody asks.

use super::error::errno;
use super::path::of_directory;
use super::{Node, Vnode, root_node};
use abi::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write;
use fs::{DirEntry, Kind};
use units::Ino;

/// Bytes of a name that need no heap.
const SHORT: usize = 23;

/// What stands behind the path of a file that has lost its name.
const DELETED: &[u8] = b" (deleted)";

/// The place a file was found at.
pub(crate) struct Named {
    directory: Node,
    name: Name,
}

enum Name {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
    /// It never had one (`O_TMPFILE`).
    None,
}

impl Named {
    /// The file that `directory` calls `name`.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[inline(always)]
    pub(crate) fn new(directory: &Node, name: &[u8]) -> Result<Self, Errno> {
        let name = match u8::try_from(name.len()) {
            Ok(len) if name.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..name.len()].copy_from_slice(name);
                Name::Short(len, short)
            }
            _ => Name::Long(copied(name)?.into_boxed_slice()),
        };
        Ok(Self { directory: directory.clone(), name })
    }

    /// A file without a name, made in `directory`.
    pub(crate) fn unnamed(directory: &Node) -> Self {
        Self { directory: directory.clone(), name: Name::None }
    }

    fn name(&self) -> Option<&[u8]> {
        match &self.name {
            Name::Short(len, name) => name.get(..usize::from(*len)),
            Name::Long(name) => Some(name),
            Name::None => None,
        }
    }

    /// The path of `node`, the file this is the name of, as it is now. Where it has none any more, the last that is known,
    /// and that it is deleted.
    ///
    /// # Errors
    /// `ENOMEM`, `EIO`, `ENAMETOOLONG`.
    pub(crate) fn path(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        let Some(name) = self.name() else {
            let mut number = arrayvec::ArrayString::<24>::new();
            write!(number, "#{}", node.ino().get()).map_err(|_| Errno::ENOMEM)?;
            return joined(self.directory_path()?, number.as_bytes(), DELETED);
        };
        if self.directory.lookup(name).is_ok_and(|found| found.ino() == node.ino()) {
            return joined(self.directory_path()?, name, b"");
        }
        match if node.attr().nlink > 0 { search(node.ino())? } else { None } {
            Some(path) => Ok(path),
            None => joined(self.directory_path()?, name, DELETED),
        }
    }

    /// The directory's path; that of a directory which is gone is not known.
    fn directory_path(&self) -> Result<Vec<u8>, Errno> {
        match of_directory(&Vnode::Disk(self.directory.clone())) {
            Err(Errno::ENOENT) => Ok(Vec::new()),
            found => found,
        }
    }
}

fn copied(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// `directory`, a slash, `name`, and what stands behind it.
fn joined(mut directory: Vec<u8>, name: &[u8], behind: &[u8]) -> Result<Vec<u8>, Errno> {
    directory.try_reserve(1 + name.len() + behind.len()).map_err(|_| Errno::ENOMEM)?;
    if directory != b"/" {
        directory.push(b'/');
    }
    directory.extend_from_slice(name);
    directory.extend_from_slice(behind);
    Ok(directory)
}

/// A path of the file `ino`, looked for in every directory.
fn search(ino: Ino) -> Result<Option<Vec<u8>>, Errno> {
    let mut rest = Vec::new();
    if let Some(root) = root_node() {
        remember(&mut rest, root.clone())?;
    }
    while let Some(directory) = rest.pop() {
        let mut found = None;
        let mut below = Vec::new();
        let mut done = Ok(());
        let mut each = |entry: DirEntry<'_>| {
            if entry.ino == ino {
                found = Some(copied(entry.name));
            } else if entry.kind == Kind::Directory && entry.name != b"." && entry.name != b".." {
                done = copied(entry.name).and_then(|name| remember(&mut below, name));
            }
            found.is_none() && done.is_ok()
        };
        directory.read_dir(0, &mut each).map_err(errno)?;
        done?;
        if let Some(name) = found {
            return joined(of_directory(&Vnode::Disk(directory))?, &name?, b"").map(Some);
        }
        for name in below {
            // What has gone meanwhile is not searched.
            if let Ok(next) = directory.lookup(&name) {
                remember(&mut rest, next)?;
            }
        }
    }
    Ok(None)
}

fn remember<T>(list: &mut Vec<T>, item: T) -> Result<(), Errno> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(item);
    Ok(())
}

/// A program's file: what runs, and its name (`mm->exe_file`).
///
/// Linux once counted the mappings that a program was started by (`VM_EXECUTABLE`), and let go of the file with the last of
/// them (`removed_exe_file_vma`). As in Linux by now, the process keeps it whatever becomes of its mappings.
pub(crate) struct Program {
    node: Node,
    name: Named,
}

impl Program {
    /// The file `node`, found by `name`.
    pub(super) fn new(node: Node, name: Named) -> Self {
        Self { node, name }
    }

    /// The file.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Where it is now (`/proc/self/exe`).
    ///
    /// # Errors
    /// As [`Named::path`].
    pub(crate) fn path(&self) -> Result<Vec<u8>, Errno> {
        self.name.path(&self.node)
    }
}
