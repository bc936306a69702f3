//! From what the log says to inodes that hold each other, and back to nothing.

use alloc::collections::BTreeMap;
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
    let named = replayed.inodes.values().filter(|loaded| loaded.meta.nlink > 0);
    let data =
        named.flat_map(|loaded| loaded.extents.iter().map(|extent| Run::new(extent.start, extent.blocks.into())));
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

/// Makes inodes of all that has a name; answers the root.
pub(crate) fn build<M: Medium>(volume: &Arc<Volume<M>>, loaded: BTreeMap<u64, Loaded>) -> Arc<Inode<M>> {
    let mut inodes = BTreeMap::new();
    let mut directories = Vec::new();
    for (number, loaded) in loaded.into_iter().filter(|(_, loaded)| loaded.meta.nlink > 0) {
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

/// Takes the tree apart without recursion, however deep it is.
pub(crate) fn dismantle<M: Medium>(root: &Arc<Inode<M>>) {
    let mut waiting = Vec::from([root.clone()]);
    while let Some(inode) = waiting.pop() {
        if let Content::Directory { names, .. } = &mut inode.body.lock().content {
            waiting.extend(names.drain().filter(|child| child.kind == Kind::Directory));
        }
    }
}
