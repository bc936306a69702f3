//! From what the log says to inodes that hold each other, and back to nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use pmem::medium::Medium;
use units::Ino;

use crate::error::{Damage, Wrong};
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

/// Follows every name from the root, and tells `wrong` of names that lead nowhere, of directories reached twice, of inodes
/// never reached and of link counts; answers the inodes reached.
pub(crate) fn survey(inodes: &BTreeMap<u64, Loaded>, mut wrong: impl FnMut(Wrong, u64)) -> BTreeSet<u64> {
    let mut links: BTreeMap<u64, u64> = BTreeMap::from([(ROOT, 2)]);
    let mut reached = BTreeSet::from([ROOT]);
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
    reached
}

/// Makes inodes of all that was `reached`; answers the root.
pub(crate) fn build<M: Medium>(
    volume: &Arc<Volume<M>>,
    loaded: BTreeMap<u64, Loaded>,
    reached: &BTreeSet<u64>,
) -> Arc<Inode<M>> {
    let mut inodes = BTreeMap::new();
    let mut directories = Vec::new();
    for (number, loaded) in loaded.into_iter().filter(|(number, _)| reached.contains(number)) {
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
    let mut parents = BTreeMap::from([(ROOT, ROOT)]);
    for (number, names) in directories {
        let names = names.turned(|child| {
            let inode = inodes.get(&child)?;
            // A directory has one name; a second one would make a loop.
            let first = inode.kind != Kind::Directory || parents.insert(child, number).is_none();
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
