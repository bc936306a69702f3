//! Whose the bad blocks are: a file's, with the place in it and a path that leads there; the log's; or nobody's.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pmem::badblocks::BadRange;
use pmem::medium::Medium;
use units::{FileOff, Ino, SECTOR_SIZE, Sector};

use crate::error::Error;
use crate::extents::{Extent, Extents};
use crate::format::{BLOCK, ROOT};
use crate::head_room;
use crate::inode::{Content, Inode};
use crate::replay::Loaded;
use crate::space::Run;
use crate::table::Table;
use crate::types::Kind;
use crate::volume::Volume;

/// Sectors in a block.
const BLOCK_SECTORS: u64 = BLOCK / SECTOR_SIZE;

/// Bad sectors that lie one behind the other, and whose they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hurt {
    /// The sectors.
    pub range: BadRange,
    /// Whose they are.
    pub holder: Holder,
}

/// Whose a bad block is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A superblock's, the log's, or an extent list's. Each has a second copy.
    Metadata,
    /// A file's, whose bytes there cannot be read.
    File {
        /// The file.
        ino: Ino,
        /// The file offset of the first sector.
        at: FileOff,
        /// A path that leads to the file, from the root on; `None` where no name does, or none could be found.
        path: Option<Vec<u8>>,
    },
    /// No file's: it is free, or only a pin sees it.
    Nobody,
}

impl Holder {
    /// Whether this and, so many sectors further, `other` are one.
    fn goes_on_as(&self, sectors: u64, other: &Self) -> bool {
        match (self, other) {
            (Self::File { ino, at, .. }, Self::File { ino: same, at: next, .. }) => {
                ino == same && at.get() + sectors * SECTOR_SIZE == next.get()
            }
            (one, other) => one == other,
        }
    }
}

/// `byte 4096 of /a/file`, `metadata` or `free`; bytes of a path that are no plain ASCII are escaped.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("metadata"),
            Self::Nobody => f.write_str("free"),
            Self::File { at, path: Some(path), .. } => write!(f, "byte {} of {}", at.get(), path.escape_ascii()),
            Self::File { at, ino, path: None } => write!(f, "byte {} of inode {}", at.get(), ino.get()),
        }
    }
}

/// The bad sectors of a medium, being told apart.
pub(crate) struct Census {
    /// In rising order.
    bad: Vec<BadRange>,
    found: Vec<Hurt>,
}

impl Census {
    /// Nobody's so far.
    pub(crate) fn of(medium: &impl Medium) -> Self {
        let mut bad = Vec::new();
        medium.each_bad(&mut |range| bad.push(*range));
        Self { bad, found: Vec::new() }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bad.is_empty()
    }

    /// These blocks hold metadata.
    pub(crate) fn metadata(&mut self, run: Run) {
        self.claim(run, |_| Holder::Metadata);
    }

    /// These blocks are the file's.
    pub(crate) fn extent(&mut self, ino: Ino, extent: &Extent) {
        let (first, file) = (extent.start * BLOCK, extent.file * BLOCK);
        self.claim(Run::new(extent.start, extent.blocks.into()), |sector| {
            let at = FileOff::new(file + (sector * SECTOR_SIZE - first));
            Holder::File { ino, at, path: None }
        });
    }

    fn claim(&mut self, run: Run, holder: impl Fn(u64) -> Holder) {
        let (from, to) = (run.start.get() * BLOCK_SECTORS, (run.start.get() + run.blocks) * BLOCK_SECTORS);
        let first = self.bad.partition_point(|range| range.end().get() <= from);
        for range in self.bad[first..].iter().take_while(|range| range.start.get() < to) {
            let (start, end) = (range.start.get().max(from), range.end().get().min(to));
            self.found.push(Hurt { range: part(range, start, end), holder: holder(start) });
        }
    }

    /// The files that have any.
    pub(crate) fn files(&self) -> BTreeSet<u64> {
        let ino = |hurt: &Hurt| if let Holder::File { ino, .. } = hurt.holder { Some(ino.get()) } else { None };
        let mut files = BTreeSet::new();
        files.extend(self.found.iter().filter_map(ino));
        files
    }

    /// All of them in rising order, with the `paths` of files.
    pub(crate) fn finish(mut self, paths: &BTreeMap<u64, Vec<u8>>) -> Vec<Hurt> {
        self.found.sort_unstable_by_key(|hurt| hurt.range.start);
        let mut all: Vec<Hurt> = Vec::new();
        let mut found = self.found.into_iter().peekable();
        for range in &self.bad {
            let mut at = range.start.get();
            while at < range.end().get() {
                let next = found.next_if(|hurt| hurt.range.start.get() <= at);
                let end = found.peek().map_or(u64::MAX, |hurt| hurt.range.start.get()).min(range.end().get());
                let mut hurt = next.unwrap_or_else(|| Hurt { range: part(range, at, end), holder: Holder::Nobody });
                at = at.max(hurt.range.end().get());
                if let Holder::File { ino, path, .. } = &mut hurt.holder {
                    *path = paths.get(&ino.get()).cloned();
                }
                match all.last_mut() {
                    Some(last)
                        if last.range.end() == hurt.range.start
                            && last.range.acknowledged == hurt.range.acknowledged
                            && last.holder.goes_on_as(last.range.count, &hurt.holder) =>
                    {
                        last.range.count += hurt.range.count;
                    }
                    _ => all.push(hurt),
                }
            }
        }
        all
    }
}

fn part(range: &BadRange, start: u64, end: u64) -> BadRange {
    BadRange { start: Sector::new(start), count: end - start, ..*range }
}

impl<M: Medium> Volume<M> {
    /// Every bad sector that is known, in rising order, and whose it is. Looks at every file, where there are any.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn hurt(&self) -> Result<Vec<Hurt>, Error> {
        head_room::need(head_room::CHANGE)?;
        let mut census = Census::of(self.medium());
        if census.is_empty() {
            return Ok(Vec::new());
        }
        self.each_log_run(|run| census.metadata(run));
        let mut from = 0;
        while let Some(inode) = self.inode_from(from) {
            head_room::need(head_room::CHANGE)?;
            // The mapping as it is now, so that others have the file and the CPU between two pieces of a long one.
            let extents = match &inode.body.lock().content {
                Content::File(file) => file.extents.clone(),
                _ => Extents::default(),
            };
            for (number, extent) in extents.iter().enumerate() {
                census.extent(inode.ino, extent);
                if number % head_room::STEP == 0 {
                    head_room::pause();
                }
            }
            from = inode.ino.get() + 1;
        }
        let paths = self.paths(census.files());
        Ok(census.finish(&paths))
    }

    /// A path to each inode of `wanted` that has a name, as far as there is memory for them.
    fn paths(&self, mut wanted: BTreeSet<u64>) -> BTreeMap<u64, Vec<u8>> {
        let mut paths = BTreeMap::new();
        let mut path = Vec::new();
        let mut open: Vec<(Arc<Inode<M>>, u64, usize)> =
            self.inode_from(ROOT).map(|root| (root, 0, 0)).into_iter().collect();
        while let Some((dir, cursor, len)) = open.last_mut() {
            path.truncate(*len);
            if wanted.is_empty() || head_room::need(head_room::CHANGE + 4 * path.len()).is_err() {
                break;
            }
            head_room::pause();
            let (mut child, mut left) = (None, head_room::STEP);
            {
                let body = dir.body.lock();
                let Content::Directory { names, .. } = &body.content else { break };
                for (at, name, inode) in names.starting_at(*cursor).take(head_room::STEP) {
                    (*cursor, left) = (at + 1, left - 1);
                    if inode.kind == Kind::Directory || wanted.contains(&inode.ino.get()) {
                        path.push(b'/');
                        path.extend_from_slice(name);
                        child = Some(inode.clone());
                        break;
                    }
                }
            }
            match child {
                Some(child) if child.kind == Kind::Directory => open.push((child, 0, path.len())),
                Some(child) => {
                    wanted.remove(&child.ino.get());
                    paths.insert(child.ino.get(), path.clone());
                }
                None if left == 0 => {}
                None => drop(open.pop()),
            }
        }
        paths
    }
}

/// The same of what was read from a medium, whatever it says: names may lead in circles there.
pub(crate) fn of_loaded(medium: &impl Medium, log: &[Run], inodes: &Table<Box<Loaded>>) -> Vec<Hurt> {
    let mut census = Census::of(medium);
    if census.is_empty() {
        return Vec::new();
    }
    log.iter().for_each(|run| census.metadata(*run));
    for (ino, loaded) in inodes.iter() {
        loaded.extents.iter().for_each(|extent| census.extent(Ino::new(ino), extent));
    }
    let mut above: BTreeMap<u64, (u64, &[u8])> = BTreeMap::new();
    for (dir, loaded) in inodes.iter() {
        for (name, &child) in loaded.names.iter() {
            above.entry(child).or_insert((dir, name));
        }
    }
    let path_of = |ino: u64| {
        let (mut names, mut at) = (Vec::new(), ino);
        while at != ROOT {
            let (dir, name) = above.get(&at).filter(|_| names.len() <= inodes.len())?;
            names.push(*name);
            at = *dir;
        }
        Some(names.iter().rev().flat_map(|name| [b"/".as_slice(), name].concat()).collect())
    };
    let paths = census.files().into_iter().filter_map(|ino| Some((ino, path_of(ino)?))).collect();
    census.finish(&paths)
}
