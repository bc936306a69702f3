//! From what the log says to inodes that hold each other, and back to nothing.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
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
use crate::table::Table;
use crate::types::Kind;
use crate::volume::{Volume, at};

/// Every run that somebody owns, sorted.
///
/// # Errors
/// The first block with two owners.
pub(crate) fn owned(replayed: &Replayed) -> Result<Vec<Run>, Damage> {
    let extents = replayed.inodes.iter().flat_map(|(_, loaded)| loaded.extents.iter());
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
    pub(crate) fn of(log: &[Run], inodes: &Table<Box<Loaded>>) -> Self {
        let extents = inodes.iter().flat_map(|(ino, loaded)| loaded.extents.iter().map(move |extent| (ino, *extent)));
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

/// What names lead to from the root, of each inode there is.
pub(crate) type Reached = Table<Seen>;

/// What is known of one inode from the names that lead to it.
pub(crate) struct Seen {
    kind: Kind,
    /// Names that lead to it, and what else counts in `nlink`.
    links: u64,
    /// The directory it was first reached from, if any name leads to it.
    above: Option<u64>,
}

/// Follows every name from the root, and tells `wrong` of names that lead nowhere, of directories reached twice, of inodes
/// never reached and of link counts.
pub(crate) fn survey(inodes: &Table<Box<Loaded>>, mut wrong: impl FnMut(Wrong, u64)) -> Reached {
    let unseen = |loaded: &Loaded| Seen { kind: loaded.meta.kind, links: 0, above: None };
    let mut reached: Reached = inodes.iter().map(|(ino, loaded)| (ino, unseen(loaded))).collect();
    let mut waiting = Vec::from([ROOT]);
    if let Some(root) = reached.get_mut(ROOT) {
        (root.links, root.above) = (2, Some(ROOT));
    }
    while let Some(dir) = waiting.pop() {
        let mut directories = 0;
        let names = inodes.get(dir).into_iter().flat_map(|loaded| loaded.names.iter());
        for (_, &child) in names {
            let Some(seen) = reached.get_mut(child) else {
                wrong(Wrong::DanglingName, dir);
                continue;
            };
            let is_dir = seen.kind == Kind::Directory;
            seen.links += if is_dir { 2 } else { 1 };
            directories += u64::from(is_dir);
            if seen.above.is_none() {
                seen.above = Some(dir);
                if is_dir {
                    waiting.push(child);
                }
            } else if is_dir {
                wrong(Wrong::DirectoryLoop, child);
            }
        }
        if let Some(seen) = reached.get_mut(dir) {
            seen.links += directories;
        }
    }
    // The two have the same numbers.
    for ((ino, loaded), (_, seen)) in inodes.iter().zip(reached.iter()) {
        if seen.above.is_none() {
            wrong(Wrong::Unreachable, ino);
        } else if seen.links != u64::from(loaded.meta.nlink) {
            wrong(Wrong::LinkCount, ino);
        }
    }
    reached
}

/// Makes inodes of all that was `reached`; answers the root.
pub(crate) fn build<M: Medium>(
    volume: &Arc<Volume<M>>,
    loaded: Table<Box<Loaded>>,
    mut reached: Reached,
) -> Arc<Inode<M>> {
    let (mut inodes, mut known) = (Table::default(), Table::default());
    let mut directories = Vec::new();
    // The two have the same numbers.
    for ((number, loaded), (_, seen)) in loaded.into_iter().zip(reached.iter()) {
        if seen.above.is_none() {
            continue;
        }
        let Loaded { meta, extents, names, target } = *loaded;
        let content = match meta.kind {
            Kind::File => Content::File(FileBody::new(extents)),
            Kind::Symlink => Content::Symlink(target),
            Kind::Directory => {
                directories.push((number, names));
                Content::Directory { names: Names::new(0), parent: Weak::new() }
            }
        };
        let inode = Inode::new(Ino::new(number), meta, content, volume.clone());
        known.insert(number, Arc::downgrade(&inode));
        inodes.insert(number, inode);
    }
    volume.remember_all(known);
    let root: Arc<Inode<M>> =
        inodes.get(ROOT).cloned().unwrap_or_else(|| unreachable!("replay refuses a medium without a root directory"));
    // Nothing leads to it but `/`, and its `..` is itself.
    reached.remove(ROOT);
    root.move_below(&root);
    for (number, names) in directories {
        let Some(here) = inodes.get(number).cloned() else { continue };
        let names = names.turned(|child| {
            let inode = inodes.get_mut(child)?;
            if inode.kind == Kind::Directory {
                // It has one name, the first that leads there; a second one would make a loop.
                reached.get_mut(child)?.above.take_if(|above| *above == number)?;
                inode.move_below(&here);
            }
            Some(inode.clone())
        });
        if let Content::Directory { names: empty, .. } = &mut here.body.lock().content {
            *empty = names;
        }
    }
    root
}
