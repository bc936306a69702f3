//! What a file system holds, as plain data that can be compared.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use fs::{Attr, Error, Fs, Kind, Node, Time};
use pmem_sim::SimMedium;
use units::FileOff;

/// Every path with what is found there.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    attr: Attr,
    /// A hash of the content: of large files many copies would be kept.
    content: u64,
}

impl Tree {
    /// Everything that can be reached from the root.
    ///
    /// # Errors
    /// Whatever a call on the way was refused with: a good file system refuses none of them.
    pub fn of(fs: &Arc<Fs<SimMedium>>) -> Result<Self, Error> {
        let mut tree = Self { entries: BTreeMap::new() };
        tree.add("", &fs.root())?;
        Ok(tree)
    }

    fn add(&mut self, path: &str, node: &Node<SimMedium>) -> Result<(), Error> {
        let mut attr = node.attr();
        // Kept in memory until the inode's next record.
        attr.atime = Time::default();
        let mut content = DefaultHasher::new();
        match attr.kind {
            Kind::Symlink => content.write(&node.read_link()?),
            Kind::Directory => {}
            Kind::File => {
                let mut bytes = vec![0; attr.size as usize];
                let len = node.read(FileOff::ZERO, bytes.len(), &mut &mut bytes[..])?;
                bytes.truncate(len);
                content.write_usize(len);
                content.write(&bytes);
            }
        }
        let content = content.finish();
        self.entries.insert(path.to_owned(), Entry { attr, content });
        if attr.kind == Kind::Directory {
            for name in names(node)? {
                self.add(&format!("{path}/{}", name.escape_ascii()), &node.lookup(&name)?)?;
            }
        }
        Ok(())
    }

    /// The same without the root's times, which every use of the root changes.
    pub(crate) fn without_root_times(mut self) -> Self {
        if let Some(root) = self.entries.get_mut("") {
            (root.attr.mtime, root.attr.ctime) = (Time::default(), Time::default());
        }
        self
    }

    /// The first difference to another tree, in words.
    pub fn difference(&self, other: &Self) -> String {
        let paths = self.entries.keys().chain(other.entries.keys());
        let differing = paths.filter(|path| self.entries.get(*path) != other.entries.get(*path)).min();
        let Some(path) = differing else { return "none".to_owned() };
        let show = |tree: &Self| tree.entries.get(path).map_or("nothing".to_owned(), Entry::to_string);
        format!("at '{path}': {} instead of {}", show(self), show(other))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with content {:#x}", self.attr, self.content)
    }
}

/// The names in a directory, `.` and `..` left out.
pub(crate) fn names(dir: &Node<SimMedium>) -> Result<Vec<Vec<u8>>, Error> {
    let mut names = Vec::new();
    dir.read_dir(0, &mut |entry| {
        if !matches!(entry.name, b"." | b"..") {
            names.push(entry.name.to_vec());
        }
        true
    })?;
    Ok(names)
}
