//! One crash state: checked, mounted, looked at, used, emptied; and where asked, cut again on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fs::{Error, Fs, Kind, Mount, NewNode, Node, Report, Time, WriteAt};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff};

use crate::cuts::cut_at_fences;
use crate::tree::{Tree, names};

const NOW: Time = Time::new(9_999, 9);

/// How thoroughly a state is examined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Its recovery and use run undisturbed.
    Flat,
    /// The power fails again, at every fence of the recovery and of the first call behind it, into so many states.
    CutAgain(usize),
}

/// What the state `medium` mounts to, and how many states it was cut into again.
///
/// # Errors
/// What is wrong with it.
pub fn verify(medium: SimMedium, depth: Depth) -> Result<(Tree, u64), String> {
    let report = Fs::check(&medium);
    verify_examined(medium, &report, depth)
}

/// The same where fsck has been asked already.
pub(crate) fn verify_examined(medium: SimMedium, report: &Report, depth: Depth) -> Result<(Tree, u64), String> {
    if report.has_errors() {
        return Err(format!("fsck: {:?} {:?}", report.refused, report.findings));
    }
    if report.ragged > 0 {
        return Err("something behind the end of a file, in its last block, that no program has stored".to_owned());
    }
    let limit = if let Depth::CutAgain(limit) = depth { limit } else { 0 };
    let (mounted, cuts) = cut_at_fences(&medium, limit, || Fs::mount(medium.clone(), Mount::default()));
    let fs = mounted.map_err(|error| format!("mount: {error}"))?;
    if let Some(damage) = fs.damage() {
        return Err(format!("mounted read-only: {damage}"));
    }
    let tree = Tree::of(&fs).map_err(|error| format!("reading the tree: {error}"))?;
    let report = Fs::check(&medium);
    if !report.is_clean() {
        return Err(format!("not clean once mounted: {:?} {:?}", report.refused, report.findings));
    }
    let mut nested = 0;
    for state in cuts.into_iter().flat_map(|cut| cut.states) {
        nested += 1;
        let (again, _) = verify(state, Depth::Flat).map_err(|what| format!("cut in its recovery: {what}"))?;
        if again != tree {
            return Err(format!("cut in its recovery: {}", again.difference(&tree)));
        }
    }
    nested += use_it(fs, &medium, &tree, limit)?;
    Ok((tree, nested))
}

/// Creates, writes and deletes a file; mounts once more; then deletes everything and looks whether all space is back.
fn use_it(fs: Arc<Fs<SimMedium>>, medium: &SimMedium, tree: &Tree, limit: usize) -> Result<u64, String> {
    let failed = |what: &'static str| move |error: Error| format!("{what}: {error}");
    let root = fs.root();
    // A state cut in this very call may hold the probe of the one it was cut from.
    let name: &[u8] = if limit == 0 { b"probe" } else { b"probe, to be cut" };
    let (probe, cuts) = cut_at_fences(medium, limit, || root.create(name, NewNode::File { mode: 0o600 }, NOW));
    // A full medium says so. There has to be room again in the end.
    let probe = match probe {
        Err(Error::NoSpace) => None,
        created => Some(created.map_err(failed("creating the probe"))?),
    };
    let with_probe = Tree::of(&fs).map_err(failed("reading the tree with the probe"))?;
    let mut nested = 0;
    let last = cuts.len() - 1;
    for (n, state) in cuts.into_iter().enumerate().flat_map(|(n, cut)| cut.states.into_iter().map(move |s| (n, s))) {
        nested += 1;
        let (again, _) = verify(state, Depth::Flat).map_err(|what| format!("cut again, in the next call: {what}"))?;
        if again != with_probe && (n == last || again != *tree) {
            let when = if n == last { "after its return" } else { "in it" };
            let lost = if again == *tree { "the state before: " } else { "" };
            return Err(format!("cut again, next call, {when}: {lost}{}", again.difference(&with_probe)));
        }
    }
    if let Some(probe) = probe {
        use_probe(probe)?;
        root.unlink(name, NOW).map_err(failed("deleting the probe"))?;
    }
    drop((root, fs));

    let fs = Fs::mount(medium.clone(), Mount::default()).map_err(|error| format!("mounting again: {error}"))?;
    let again = Tree::of(&fs).map_err(failed("reading the tree again"))?;
    if again.clone().without_root_times() != tree.clone().without_root_times() {
        return Err(format!("after use: {}", again.difference(tree)));
    }
    let root = fs.root();
    empty(&root).map_err(failed("deleting everything"))?;
    root.create(b"last", NewNode::File { mode: 0 }, NOW).map_err(failed("creating a file with room for it"))?;
    root.unlink(b"last", NOW).map_err(failed("deleting the last file"))?;
    drop(root);
    let space = fs.space();
    let used = space.blocks - space.free - space.log;
    drop(fs);
    let report = Fs::check(medium);
    if !report.is_clean() {
        return Err(format!("not clean once emptied: {:?} {:?}", report.refused, report.findings));
    }
    let used_when_fresh = used_when_fresh(medium.len());
    match used == used_when_fresh {
        true => Ok(nested),
        false => Err(format!("{used} blocks in use with every file deleted, {used_when_fresh} when new")),
    }
}

/// Writes the probe and reads it.
fn use_probe(probe: Node<SimMedium>) -> Result<(), String> {
    let content = [0x5a; 5000];
    let written = probe.write(WriteAt::Offset(FileOff::new(100)), &mut &content[..], NOW).map(|_| 5100);
    let size = match written {
        // The medium is full, and says so.
        Err(Error::NoSpace) => 0,
        written => written.map_err(|error| format!("writing the probe: {error}"))?,
    };
    let mut read = [0; 5100];
    let len =
        probe.read(FileOff::ZERO, 6000, &mut &mut read[..]).map_err(|error| format!("reading the probe: {error}"))?;
    match len == size && (size == 0 || read[..100] == [0; 100] && read[100..] == content) {
        true => Ok(()),
        false => Err("the probe does not hold what was written".to_owned()),
    }
}

/// Blocks neither free nor in the log of an empty file system on a medium of `len`.
fn used_when_fresh(len: ByteLen) -> u64 {
    static USED: Mutex<BTreeMap<ByteLen, u64>> = Mutex::new(BTreeMap::new());
    *USED.lock().unwrap().entry(len).or_insert_with(|| {
        let space = crate::cuts::fresh(len).expect("a fresh file system").space();
        space.blocks - space.free - space.log
    })
}

fn empty(dir: &Node<SimMedium>) -> Result<(), Error> {
    for name in names(dir)? {
        let node = dir.lookup(&name)?;
        if node.kind() == Kind::Directory {
            empty(&node)?;
            dir.rmdir(&name, NOW)?;
        } else {
            dir.unlink(&name, NOW)?;
        }
    }
    Ok(())
}
