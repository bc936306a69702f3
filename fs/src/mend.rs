//! What was read from a medium and contradicts itself, put right in memory: names, link counts, blocks with two owners.
//!
//! The rule is to lose nothing that can be reached: a name that leads nowhere goes, an inode without a name gets one in
//! `lost+found`, and of a block with two owners each gets a copy. What a mount for reading shows stays as it is shown.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use units::{Ino, PmOff};

use crate::error::{Damage, Wrong};
use crate::extents::{Extent, ExtentState};
use crate::format::{BLOCK, MAX_COUNT, ROOT};
use crate::items::Meta;
use crate::names::Names;
use crate::replay::{Loaded, Replayed};
use crate::table::Table;
use crate::tree::Claims;
use crate::types::{Kind, Time};

/// Where inodes that no name leads to are found again.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// One thing that was put right.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mend {
    /// A bad copy was rewritten from the good one.
    Copy(Wrong, Option<PmOff>),
    /// Both superblock copies were bad: one was made of what could be read, and the log agrees with it.
    Superblock,
    /// Headers of segments were bad in both copies, and the records behind them are good.
    Headers,
    /// The log names a block twice as its own, or a superblock's: it is written anew elsewhere.
    Log,
    /// So many records that cannot be read are passed over, this damage the first: what they alone said is lost. Where there
    /// are none, one that can be read says what is impossible.
    PassedOver(Damage, u64),
    /// Some of what a record said of an inode is impossible, or the extent block it names is lost, and is passed over.
    Incomplete(Ino),
    /// So many blocks of a file belong to what was written later: they are a hole.
    Overwritten(Ino, u64),
    /// There was no root directory: there is an empty one.
    Root,
    /// A name in this directory is gone, because of this.
    Name(Ino, Vec<u8>, Wrong),
    /// An inode that nothing led to has this name in `lost+found`.
    Found(Ino, Vec<u8>),
    /// A symlink without a target is gone.
    Symlink(Ino),
    /// The link count of an inode was the first, and is the second.
    Links(Ino, u32, u32),
    /// So many blocks of a file were another's, too: it has copies of its own.
    Copied(Ino, u64),
    /// So many blocks of a file were another's, too, and cannot be read: they are a hole.
    Unreadable(Ino, u64),
    /// So many blocks of a file, never written, were another's, too: they are a hole, which reads the same.
    Unwritten(Ino, u64),
    /// So many blocks with data behind the end of a file are free.
    Beyond(Ino, u64),
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy(what, Some(at)) => write!(f, "rewritten: {what} (byte {:#x})", at.get()),
            Self::Copy(what, None) => write!(f, "rewritten: {what}"),
            Self::Superblock => f.write_str("both superblock copies were bad: made anew, and the log agrees"),
            Self::Headers => f.write_str("bad segment headers passed over: the records behind them are all there"),
            Self::Log => f.write_str("the log had a block twice: written anew elsewhere"),
            Self::PassedOver(damage, 0) => write!(f, "passed over what is impossible: {damage}"),
            Self::PassedOver(damage, 1) => write!(f, "1 record passed over, what it alone said is lost: {damage}"),
            Self::PassedOver(damage, missing) => {
                write!(f, "{missing} records passed over, what they alone said is lost: {damage}")
            }
            Self::Incomplete(ino) => write!(f, "inode {}: something said of it is passed over", ino.get()),
            Self::Overwritten(ino, blocks) => {
                write!(f, "inode {}: {blocks} blocks that were written for others since are a hole now", ino.get())
            }
            Self::Root => f.write_str("there was no root directory: made an empty one"),
            Self::Name(dir, name, why) => {
                write!(f, "name '{}' in directory inode {} removed: {why}", name.escape_ascii(), dir.get())
            }
            Self::Found(ino, name) => write!(f, "inode {} had no name: /{}", ino.get(), name.escape_ascii()),
            Self::Symlink(ino) => write!(f, "inode {}, a symlink without a target, removed", ino.get()),
            Self::Links(ino, was, is) => write!(f, "inode {}: link count {was} corrected to {is}", ino.get()),
            Self::Copied(ino, blocks) => write!(f, "inode {}: own copies of {blocks} blocks of others", ino.get()),
            Self::Unreadable(ino, blocks) => {
                write!(f, "inode {}: {blocks} unreadable blocks of others are a hole now", ino.get())
            }
            Self::Unwritten(ino, blocks) => {
                write!(f, "inode {}: {blocks} blocks of others, never written, are a hole now", ino.get())
            }
            Self::Beyond(ino, blocks) => write!(f, "inode {}: {blocks} blocks behind its end freed", ino.get()),
        }
    }
}

/// Puts names and link counts right.
pub(crate) fn names(replayed: &mut Replayed, now: Time, done: &mut Vec<Mend>) {
    root(replayed, now, done);
    symlinks(&mut replayed.inodes, done);
    let mut reached = BTreeSet::from([ROOT]);
    descend(&mut replayed.inodes, ROOT, &mut reached, done);
    // First what no other lost directory leads to, so that lost trees stay whole; then what leads to itself.
    let lost = |inodes: &Table<Box<Loaded>>, reached: &BTreeSet<u64>| -> Vec<u64> {
        inodes.iter().map(|(ino, _)| ino).filter(|ino| !reached.contains(ino)).collect()
    };
    let inside: BTreeSet<u64> = lost(&replayed.inodes, &reached)
        .iter()
        .filter_map(|ino| Some((ino, replayed.inodes.get(*ino)?)))
        .flat_map(|(ino, loaded)| loaded.names.iter().map(|(_, &child)| child).filter(move |child| child != ino))
        .collect();
    let mut orphans = lost(&replayed.inodes, &reached);
    orphans.sort_by_key(|ino| inside.contains(ino));
    for ino in orphans {
        if reached.insert(ino) {
            find(replayed, ino, now, &mut reached, done);
            descend(&mut replayed.inodes, ino, &mut reached, done);
        }
    }
    links(&mut replayed.inodes, done);
}

fn directory(now: Time) -> Meta {
    Meta { kind: Kind::Directory, mode: 0o700, nlink: 2, uid: 0, gid: 0, size: 0, atime: now, mtime: now, ctime: now }
}

fn empty(replayed: &Replayed, ino: u64, meta: Meta) -> Box<Loaded> {
    let names = Names::new(replayed.tail.salt.0 ^ ino);
    Box::new(Loaded { meta, extents: Default::default(), names, target: Vec::new() })
}

/// A number that no inode has; none had it before where there are such numbers left.
fn fresh_ino(replayed: &mut Replayed) -> u64 {
    if replayed.next_ino < MAX_COUNT {
        replayed.next_ino += 1;
        return replayed.next_ino - 1;
    }
    (ROOT + 1..MAX_COUNT).find(|ino| replayed.inodes.get(*ino).is_none()).unwrap_or(ROOT)
}

fn root(replayed: &mut Replayed, now: Time, done: &mut Vec<Mend>) {
    let there = replayed.inodes.remove(ROOT);
    let root = match there {
        Some(root) if root.meta.kind == Kind::Directory => root,
        other => {
            // Whatever has its number is somebody's.
            if let Some(other) = other {
                let ino = fresh_ino(replayed);
                replayed.inodes.insert(ino, other);
            }
            // Where nothing is left, not even the superblock may know of it.
            replayed.next_ino = replayed.next_ino.max(ROOT + 1);
            done.push(Mend::Root);
            empty(replayed, ROOT, Meta { mode: 0o755, ..directory(now) })
        }
    };
    replayed.inodes.insert(ROOT, root);
}

fn symlinks(inodes: &mut Table<Box<Loaded>>, done: &mut Vec<Mend>) {
    let is_empty = |loaded: &Loaded| loaded.meta.kind == Kind::Symlink && loaded.target.is_empty();
    let empty: Vec<u64> = inodes.iter().filter(|(_, loaded)| is_empty(loaded)).map(|(ino, _)| ino).collect();
    for ino in empty {
        inodes.remove(ino);
        done.push(Mend::Symlink(Ino::new(ino)));
    }
}

/// Follows the names from the directory `from`, which was reached, and takes those away that lead nowhere or to a directory
/// that has a name already. Goes the way [`crate::tree::survey`] does: what a mount shows stays.
fn descend(inodes: &mut Table<Box<Loaded>>, from: u64, reached: &mut BTreeSet<u64>, done: &mut Vec<Mend>) {
    let mut waiting = Vec::from([from]);
    while let Some(dir) = waiting.pop() {
        let mut gone = Vec::new();
        let names = inodes.get(dir).into_iter().flat_map(|loaded| loaded.names.iter());
        for (name, &child) in names {
            match inodes.get(child).map(|inode| inode.meta.kind) {
                None => gone.push((name.to_vec(), Wrong::DanglingName)),
                Some(Kind::Directory) if reached.insert(child) => waiting.push(child),
                Some(Kind::Directory) => gone.push((name.to_vec(), Wrong::DirectoryLoop)),
                Some(_) => drop(reached.insert(child)),
            }
        }
        let Some(loaded) = inodes.get_mut(dir) else { continue };
        for (name, why) in gone {
            loaded.names.remove(&name);
            done.push(Mend::Name(Ino::new(dir), name, why));
        }
    }
}

/// Gives an inode a name in `lost+found`, which is made where it is missing.
fn find(replayed: &mut Replayed, ino: u64, now: Time, reached: &mut BTreeSet<u64>, done: &mut Vec<Mend>) {
    let (dir, name) = lost_and_found(replayed, now, reached);
    let Some(names) = replayed.inodes.get_mut(dir).map(|loaded| &mut loaded.names) else { return };
    let own = free_name(names, &[b"#", decimal(ino).as_slice()].concat());
    names.put(&own, ino);
    done.push(Mend::Found(Ino::new(ino), [name.as_slice(), b"/", &own].concat()));
}

/// The directory `lost+found` and its name.
fn lost_and_found(replayed: &mut Replayed, now: Time, reached: &mut BTreeSet<u64>) -> (u64, Vec<u8>) {
    let is_dir = |ino: u64| replayed.inodes.get(ino).is_some_and(|inode| inode.meta.kind == Kind::Directory);
    for number in 0..u64::MAX {
        let name = numbered(LOST_AND_FOUND, number);
        match replayed.inodes.get(ROOT).and_then(|root| root.names.get(&name)) {
            Some(&ino) if is_dir(ino) => return (ino, name),
            Some(_) => {}
            None => {
                let ino = fresh_ino(replayed);
                let made = empty(replayed, ino, directory(now));
                replayed.inodes.insert(ino, made);
                reached.insert(ino);
                if let Some(root) = replayed.inodes.get_mut(ROOT) {
                    root.names.put(&name, ino);
                }
                return (ino, name);
            }
        }
    }
    (ROOT, Vec::new())
}

fn free_name(names: &Names<u64>, wish: &[u8]) -> Vec<u8> {
    (0..u64::MAX).map(|number| numbered(wish, number)).find(|name| names.get(name).is_none()).unwrap_or_default()
}

/// `name`, and from 1 on `name.number`.
fn numbered(name: &[u8], number: u64) -> Vec<u8> {
    if number == 0 { name.to_vec() } else { [name, b".", decimal(number).as_slice()].concat() }
}

fn decimal(number: u64) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}

/// Counts names, and corrects who says something else.
fn links(inodes: &mut Table<Box<Loaded>>, done: &mut Vec<Mend>) {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for (dir, loaded) in inodes.iter() {
        for (_, child) in loaded.names.iter() {
            let is_dir = inodes.get(*child).is_some_and(|inode| inode.meta.kind == Kind::Directory);
            *counts.entry(*child).or_default() += 1;
            *counts.entry(dir).or_default() += u32::from(is_dir);
        }
    }
    for (ino, loaded) in inodes.iter_mut() {
        let named = counts.get(&ino).copied().unwrap_or(0);
        let right = match loaded.meta.kind {
            // `.`, and the name above it; the root's own stands for that.
            Kind::Directory => named + if ino == ROOT { 2 } else { 1 },
            Kind::File | Kind::Symlink => named,
        };
        if loaded.meta.nlink != right {
            done.push(Mend::Links(Ino::new(ino), loaded.meta.nlink, right));
            loaded.meta.nlink = right;
        }
    }
}

/// Takes blocks with data behind the end of a file away from it.
pub(crate) fn ends(inodes: &mut Table<Box<Loaded>>, done: &mut Vec<Mend>) {
    for (ino, loaded) in inodes.iter_mut().filter(|(_, loaded)| loaded.meta.kind == Kind::File) {
        let end = loaded.meta.size.div_ceil(BLOCK);
        let written = |extent: &&Extent| extent.state == ExtentState::Written;
        let beyond: Vec<Extent> =
            loaded.extents.from(end).filter(written).map(|extent| extent.cut(end, extent.end())).collect();
        let mut blocks = 0;
        for extent in beyond {
            loaded.extents.replace((extent.file, extent.end()), &[], None, drop);
            blocks += u64::from(extent.blocks);
        }
        if blocks > 0 {
            done.push(Mend::Beyond(Ino::new(ino), blocks));
        }
    }
}

/// Where records are missing a file may still have blocks that were another's since: the later record says whose they are.
/// Whoever asks next finds no births.
pub(crate) fn latest(replayed: &mut Replayed, done: &mut Vec<Mend>) {
    let mut extents: Vec<(u64, Extent)> = Vec::new();
    for (ino, loaded) in replayed.inodes.iter() {
        extents.extend(loaded.extents.iter().map(|extent| (ino, *extent)));
    }
    extents.sort_by_key(|(_, extent)| core::cmp::Reverse(extent.birth));
    let contested = Claims::in_order(&replayed.log, &extents).contested;
    let mut lost: BTreeMap<u64, u64> = BTreeMap::new();
    for (ino, extent) in contested {
        if let Some(loaded) = replayed.inodes.get_mut(ino) {
            loaded.extents.replace((extent.file, extent.end()), &[], None, drop);
            *lost.entry(ino).or_default() += u64::from(extent.blocks);
        }
    }
    done.extend(lost.into_iter().map(|(ino, blocks)| Mend::Overwritten(Ino::new(ino), blocks)));
    for (_, loaded) in replayed.inodes.iter_mut() {
        let extents: Vec<Extent> = loaded.extents.iter().map(|extent| Extent { birth: 0, ..*extent }).collect();
        loaded.extents.replace((0, loaded.extents.end()), &extents, None, drop);
    }
}

/// Takes blocks that are another's, too, away from the files; answers what each had there.
pub(crate) fn contested(replayed: &mut Replayed) -> Vec<(u64, Extent)> {
    let contested = Claims::of(&replayed.log, &replayed.inodes).contested;
    for (ino, extent) in &contested {
        if let Some(loaded) = replayed.inodes.get_mut(*ino) {
            loaded.extents.replace((extent.file, extent.end()), &[], None, drop);
        }
    }
    contested
}
