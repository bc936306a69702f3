//! From what the log says to inodes that hold each other, and back to nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use pmem::medium::Medium;
use units::Ino;

use crate::error::{Damage, Wrong};
use crate::extents::Extent;
use crate::format::ROOT;
use crate::inode::{Content, FileBody, Inode};
use crate::names::Names;
use crate::replay::{Loaded, Replayed};
use crate::space::Run;
use crate::types::Kind;
use crate::volume::{Volume, at};

/// Every run that somebody owns, sorted.
///
/// # Errors
/// The first block with two owners.
pub(crate) fn owned(replayed: &Replayed) -> Result<Vec<Run>, Damage> {
    let extents = replayed.inodes.values().flat_map(|loaded| loaded.extents.iter());
    let data = extents.map(|extent| Run::new(extent.start, extent.blocks.into()));
    let mut owned: Vec<Run> = replayed.log.iter().copied().chain(data).collect();
    owned.sort_unstable();
    match owned.windows(2).find(|pair| pair[0].start.get() + pair[0].blocks > pair[1].start.get()) {
        Some(pair) => Err(Damage { at: at(pair[1].start.get()), what: Wrong::DoublyOwned }),
        None => Ok(owned),
    }
}

/// Who has which block, where several may say that they do.
pub(crate) struct Claims {
    /// Runs that somebody owns, by their first block: the block behind each.
    owned: BTreeMap<u64, u64>,
    /// What files have of blocks that were another's before: the log's, or a file's with a lower number.
    pub(crate) contested: Vec<(u64, Extent)>,
}

impl Claims {
    /// The claims of the log, and then of each file.
    pub(crate) fn of(log: &[Run], inodes: &BTreeMap<u64, Loaded>) -> Self {
        let extents = inodes.iter().flat_map(|(&ino, loaded)| loaded.extents.iter().map(move |extent| (ino, *extent)));
        Self::in_order(log, &extents.collect::<Vec<_>>())
    }

    /// The claims of the log, and then of each extent.
    pub(crate) fn in_order(log: &[Run], extents: &[(u64, Extent)]) -> Self {
        let mut claims = Self { owned: BTreeMap::new(), contested: Vec::new() };
        for run in log {
            claims.take(run.start.get(), run.start.get() + run.blocks, |_, _| {});
        }
        for &(ino, extent) in extents {
            let mut taken = Vec::new();
            claims.take(extent.start, extent.start + u64::from(extent.blocks), |from, to| taken.push((from, to)));
            let part = |(from, to)| {
                let file = extent.file + (from - extent.start);
                (ino, extent.cut(file, file + (to - from)))
            };
            claims.contested.extend(taken.into_iter().map(part));
        }
        claims
    }

    /// Every run that somebody owns, sorted.
    pub(crate) fn into_owned(self) -> Vec<Run> {
        self.owned.into_iter().map(|(start, end)| Run::new(start, end - start)).collect()
    }

    /// Gives the blocks `from..to` an owner; `taken` is shown the parts that have one.
    fn take(&mut self, from: u64, to: u64, mut taken: impl FnMut(u64, u64)) {
        let (mut start, mut end) = (from, to);
        while let Some((&low, &high)) = self.owned.range(..end).next_back().filter(|(_, high)| **high > start) {
            let (low_part, high_part) = (low.max(from), high.min(to));
            if low_part < high_part {
                taken(low_part, high_part);
            }
            self.owned.remove(&low);
            (start, end) = (start.min(low), end.max(high));
        }
        self.owned.insert(start, end);
    }
}

/// What lies between the runs of `owned`, up to block `total`.
pub(crate) fn gaps(owned: &[Run], total: u64) -> Vec<Run> {
    let mut gaps = Vec::new();
    let mut from = 0;
    for run in owned {
        if run.start.get() > from {
            gaps.push(Run::new(from, run.start.get() - from));
        }
        from = run.start.get() + run.blocks;
    }
    if from < total {
        gaps.push(Run::new(from, total - from));
    }
    gaps
}

/// What names lead to from the root.
pub(crate) struct Reached {
    pub(crate) inodes: BTreeSet<u64>,
    /// The directory above each directory: the one it was first reached from.
    pub(crate) parents: BTreeMap<u64, u64>,
}

/// Follows every name from the root, and tells `wrong` of names that lead nowhere, of directories reached twice, of inodes
/// never reached and of link counts.
pub(crate) fn survey(inodes: &BTreeMap<u64, Loaded>, mut wrong: impl FnMut(Wrong, u64)) -> Reached {
    let mut links: BTreeMap<u64, u64> = BTreeMap::from([(ROOT, 2)]);
    let mut reached = BTreeSet::from([ROOT]);
    let mut parents = BTreeMap::from([(ROOT, ROOT)]);
    let mut waiting = Vec::from([ROOT]);
    while let Some(dir) = waiting.pop() {
        let names = inodes.get(&dir).into_iter().flat_map(|loaded| loaded.names.iter());
        for (_, &child) in names {
            let Some(inode) = inodes.get(&child) else {
                wrong(Wrong::DanglingName, dir);
                continue;
            };
            let is_dir = inode.meta.kind == Kind::Directory;
            *links.entry(child).or_default() += if is_dir { 2 } else { 1 };
            if is_dir {
                *links.entry(dir).or_default() += 1;
            }
            if reached.insert(child) {
                if is_dir {
                    parents.insert(child, dir);
                    waiting.push(child);
                }
            } else if is_dir {
                wrong(Wrong::DirectoryLoop, child);
            }
        }
    }
    for (&ino, loaded) in inodes {
        if !reached.contains(&ino) {
            wrong(Wrong::Unreachable, ino);
        } else if links.get(&ino).copied() != Some(loaded.meta.nlink.into()) {
            wrong(Wrong::LinkCount, ino);
        }
    }
    Reached { inodes: reached, parents }
}

/// Makes inodes of all that was `reached`; answers the root.
pub(crate) fn build<M: Medium>(
    volume: &Arc<Volume<M>>,
    loaded: BTreeMap<u64, Loaded>,
    reached: Reached,
) -> Arc<Inode<M>> {
    let mut inodes = BTreeMap::new();
    let mut directories = Vec::new();
    for (number, loaded) in loaded.into_iter().filter(|(number, _)| reached.inodes.contains(number)) {
        let content = match loaded.meta.kind {
            Kind::File => Content::File(FileBody::new(loaded.extents)),
            Kind::Symlink => Content::Symlink(loaded.target),
            Kind::Directory => {
                directories.push((number, loaded.names));
                Content::Directory { names: Names::new(0), parent: Weak::new() }
            }
        };
        let inode = Inode::new(Ino::new(number), loaded.meta, content, Arc::downgrade(volume));
        volume.remember(&inode);
        inodes.insert(number, inode);
    }
    let parents = reached.parents;
    let mut named = BTreeSet::from([ROOT]);
    for (number, names) in directories {
        let names = names.turned(|child| {
            let inode = inodes.get(&child)?;
            // A directory has one name, the first that leads there; a second one would make a loop.
            let first = inode.kind != Kind::Directory || (parents.get(&child) == Some(&number) && named.insert(child));
            first.then(|| inode.clone())
        });
        if let Content::Directory { names: empty, .. } = &mut inodes[&number].body.lock().content {
            *empty = names;
        }
    }
    for (child, parent) in parents {
        let (Some(inode), Some(above)) = (inodes.get(&child), inodes.get(&parent)) else { continue };
        if let Content::Directory { parent, .. } = &mut inode.body.lock().content {
            *parent = Arc::downgrade(above);
        }
    }
    // `replay` refuses a medium without a root directory.
    inodes[&ROOT].clone()
}
