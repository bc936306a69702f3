//! Random calls against a model so simple that it is plainly right, with remounts and fsck in between.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{BLOCK, Log, NOW, Seen, SimNode, assert_clean, formatted, fresh, mount_with, read_at, tree, write_at};
use fs::{Error, Fs, Kind, NewNode, Rename, WriteAt};
use pmem_sim::SimMedium;
use proptest::prelude::*;

/// A file, directory or symlink of the model.
#[derive(Clone, Debug)]
struct Thing {
    kind: Kind,
    data: Vec<u8>,
    names: BTreeMap<Vec<u8>, usize>,
}

/// Things by number; 0 is the root.
struct Model {
    things: Vec<Thing>,
}

/// A directory and a name in it.
type Place = (Vec<u8>, u8);

#[derive(Clone, Debug)]
enum Call {
    Create(Place, u8),
    Unlink(Place),
    Rmdir(Place),
    Link(Place, Place),
    Rename(Place, Place, u8),
    Write(Place, u32, u16, u8),
    Append(Place, u16, u8),
    Truncate(Place, u32),
    Read(Place, u32, u16),
    Remount,
}

fn name(number: u8) -> Vec<u8> {
    // One long name among short ones.
    if number == 3 { vec![b'n'; 255] } else { vec![b'a' + number] }
}

impl Model {
    fn new() -> Self {
        Self { things: vec![Thing { kind: Kind::Directory, data: Vec::new(), names: BTreeMap::new() }] }
    }

    fn dir(&self, path: &[u8]) -> Result<usize, Error> {
        path.iter().try_fold(0, |at, number| self.child(at, *number)?.ok_or(Error::NotFound))
    }

    fn child(&self, dir: usize, number: u8) -> Result<Option<usize>, Error> {
        let thing = &self.things[dir];
        if thing.kind == Kind::Directory {
            Ok(thing.names.get(&name(number)).copied())
        } else {
            Err(Error::NotDirectory)
        }
    }

    fn find(&self, place: &Place) -> Result<usize, Error> {
        self.child(self.dir(&place.0)?, place.1)?.ok_or(Error::NotFound)
    }

    fn is_below(&self, at: usize, ancestor: usize) -> bool {
        at == ancestor || self.things[ancestor].names.values().any(|&child| self.is_below(at, child))
    }

    fn link(&mut self, place: &Place, thing: usize) -> Result<(), Error> {
        let dir = self.dir(&place.0)?;
        match self.child(dir, place.1)? {
            Some(_) => Err(Error::Exists),
            None => {
                self.things[dir].names.insert(name(place.1), thing);
                Ok(())
            }
        }
    }

    fn file(&mut self, place: &Place) -> Result<&mut Vec<u8>, Error> {
        let at = self.find(place)?;
        match self.things[at].kind {
            Kind::File => Ok(&mut self.things[at].data),
            Kind::Directory => Err(Error::IsDirectory),
            Kind::Symlink => Err(Error::Invalid),
        }
    }

    fn put(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            data.resize(data.len().max(at + bytes.len()), 0);
            data[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    fn rename(&mut self, from: &Place, to: &Place, how: Rename) -> Result<(), Error> {
        let (from_dir, to_dir) = (self.dir(&from.0)?, self.dir(&to.0)?);
        let dirs = [from_dir, to_dir].iter().all(|dir| self.things[*dir].kind == Kind::Directory);
        if !dirs {
            return Err(Error::NotDirectory);
        }
        let moved = self.child(from_dir, from.1)?.ok_or(Error::NotFound)?;
        let there = self.child(to_dir, to.1)?;
        let is_dir = |thing: usize| self.things[thing].kind == Kind::Directory;
        match (there, how) {
            (None, Rename::Exchange) => return Err(Error::NotFound),
            (Some(_), Rename::NoReplace) => return Err(Error::Exists),
            _ => {}
        }
        if is_dir(moved) && self.is_below(to_dir, moved) {
            return Err(Error::Invalid);
        }
        if let Some(there) = there {
            if is_dir(there) && self.is_below(from_dir, there) {
                return Err(if how == Rename::Exchange { Error::Invalid } else { Error::NotEmpty });
            }
            if there == moved {
                return Ok(());
            }
            if how == Rename::Replace {
                match (is_dir(moved), is_dir(there)) {
                    (true, false) => return Err(Error::NotDirectory),
                    (false, true) => return Err(Error::IsDirectory),
                    (true, true) if !self.things[there].names.is_empty() => return Err(Error::NotEmpty),
                    _ => {}
                }
            }
        }
        self.things[from_dir].names.remove(&name(from.1));
        self.things[to_dir].names.insert(name(to.1), moved);
        if how == Rename::Exchange {
            self.things[from_dir].names.insert(name(from.1), there.unwrap());
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<Vec<u8>, Error> {
        match call {
            Call::Create(place, what) => {
                let (kind, data) = match what {
                    0 => (Kind::File, Vec::new()),
                    1 => (Kind::Directory, Vec::new()),
                    _ => (Kind::Symlink, vec![b't'; usize::from(*what)]),
                };
                self.things.push(Thing { kind, data, names: BTreeMap::new() });
                self.link(place, self.things.len() - 1)?;
            }
            Call::Unlink(place) | Call::Rmdir(place) => {
                let (thing, dir) = (self.find(place)?, self.dir(&place.0)?);
                match (call, self.things[thing].kind == Kind::Directory) {
                    (Call::Unlink(_), true) => return Err(Error::IsDirectory),
                    (Call::Rmdir(_), false) => return Err(Error::NotDirectory),
                    (Call::Rmdir(_), true) if !self.things[thing].names.is_empty() => return Err(Error::NotEmpty),
                    _ => drop(self.things[dir].names.remove(&name(place.1))),
                }
            }
            Call::Link(old, new) => {
                let (thing, dir) = (self.find(old)?, self.dir(&new.0)?);
                if self.child(dir, new.1)?.is_some() {
                    return Err(Error::Exists);
                }
                if self.things[thing].kind == Kind::Directory {
                    return Err(Error::NotPermitted);
                }
                self.link(new, thing)?;
            }
            Call::Rename(from, to, how) => self.rename(from, to, rename(*how))?,
            Call::Write(place, at, len, byte) => {
                Self::put(self.file(place)?, *at as usize, &vec![*byte; usize::from(*len)]);
            }
            Call::Append(place, len, byte) => {
                let data = self.file(place)?;
                data.resize(data.len() + usize::from(*len), *byte);
            }
            Call::Truncate(place, size) => self.file(place)?.resize(*size as usize, 0),
            Call::Read(place, at, len) => {
                let data = self.file(place)?;
                let start = (*at as usize).min(data.len());
                return Ok(data[start..data.len().min(start + usize::from(*len))].to_vec());
            }
            Call::Remount => {}
        }
        Ok(Vec::new())
    }

    fn links(&self, thing: usize) -> u32 {
        let names: usize = self.things.iter().map(|dir| dir.names.values().filter(|at| **at == thing).count()).sum();
        names as u32
    }

    fn tree(&self) -> BTreeMap<Vec<u8>, Seen> {
        let mut seen = BTreeMap::new();
        let mut waiting = vec![(Vec::new(), 0)];
        while let Some((path, at)) = waiting.pop() {
            let Thing { kind, data, names } = &self.things[at];
            let below = names.values().filter(|child| self.things[**child].kind == Kind::Directory).count();
            let nlink = if *kind == Kind::Directory { 2 + below as u32 } else { self.links(at) };
            for (name, child) in names {
                waiting.push(([path.as_slice(), b"/", name].concat(), *child));
            }
            seen.insert(path, Seen { kind: *kind, nlink, data: data.clone() });
        }
        seen
    }
}

fn rename(how: u8) -> Rename {
    [Rename::Replace, Rename::NoReplace, Rename::Exchange][usize::from(how) % 3]
}

/// The same call on the file system.
fn call(fs: &Arc<Fs<SimMedium>>, call: &Call) -> Result<Vec<u8>, Error> {
    let dir = |path: &[u8]| path.iter().try_fold(fs.root(), |at, number| at.lookup(&name(*number)));
    let find = |place: &Place| -> Result<SimNode, Error> { dir(&place.0)?.lookup(&name(place.1)) };
    match call {
        Call::Create(place, what) => {
            let target = vec![b't'; usize::from(*what)];
            let new = match what {
                0 => NewNode::File { mode: 0o644 },
                1 => NewNode::Directory { mode: 0o755 },
                _ => NewNode::Symlink { target: &target },
            };
            dir(&place.0)?.create(&name(place.1), new, NOW)?;
        }
        Call::Unlink(place) => dir(&place.0)?.unlink(&name(place.1), NOW)?,
        Call::Rmdir(place) => dir(&place.0)?.rmdir(&name(place.1), NOW)?,
        Call::Link(old, new) => {
            let old = find(old)?;
            dir(&new.0)?.link(&name(new.1), &old, NOW)?;
        }
        Call::Rename(from, to, how) => {
            let (from_dir, to_dir) = (dir(&from.0)?, dir(&to.0)?);
            from_dir.rename(&name(from.1), &to_dir, &name(to.1), rename(*how), NOW)?;
        }
        Call::Write(place, at, len, byte) => {
            let written = write_at(&find(place)?, (*at).into(), &vec![*byte; usize::from(*len)])?;
            assert_eq!(written.len, usize::from(*len));
        }
        Call::Append(place, len, byte) => {
            let bytes = vec![*byte; usize::from(*len)];
            let node = find(place)?;
            let written = node.write(WriteAt::End, &mut bytes.as_slice(), NOW)?;
            assert_eq!(written.end.get(), node.attr().size);
        }
        Call::Truncate(place, size) => find(place)?.truncate((*size).into(), NOW)?,
        Call::Read(place, at, len) => return read_at(&find(place)?, (*at).into(), (*len).into()),
        Call::Remount => {}
    }
    Ok(Vec::new())
}

fn place() -> impl Strategy<Value = Place> {
    (prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(0u8..2, 1..3)], 0u8..4)
}

/// Offsets that meet block edges often.
fn offset() -> impl Strategy<Value = u32> {
    (0u32..6, prop_oneof![Just(0), Just(1), Just(4095), 0u32..4096]).prop_map(|(block, byte)| block * 4096 + byte)
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let len = prop_oneof![Just(4096u16), Just(8192), 0u16..200, 0u16..9000];
    let call = prop_oneof![
        4 => (place(), prop_oneof![3 => Just(0u8), 3 => Just(1u8), 1 => 2u8..99]).prop_map(|(p, k)| Call::Create(p, k)),
        2 => place().prop_map(Call::Unlink),
        1 => place().prop_map(Call::Rmdir),
        2 => (place(), place()).prop_map(|(a, b)| Call::Link(a, b)),
        4 => (place(), place(), any::<u8>()).prop_map(|(a, b, how)| Call::Rename(a, b, how)),
        6 => (place(), offset(), len.clone(), 1u8..).prop_map(|(p, at, len, byte)| Call::Write(p, at, len, byte)),
        2 => (place(), len.clone(), 1u8..).prop_map(|(p, len, byte)| Call::Append(p, len, byte)),
        3 => (place(), offset()).prop_map(|(p, size)| Call::Truncate(p, size)),
        3 => (place(), offset(), len).prop_map(|(p, at, len)| Call::Read(p, at, len)),
        1 => Just(Call::Remount),
    ];
    prop::collection::vec(call, 1..120)
}

fn free_the_way_down(node: &SimNode) {
    let mut names = Vec::new();
    let mut note = |entry: fs::DirEntry<'_>| {
        names.push((entry.name.to_vec(), entry.kind));
        true
    };
    node.read_dir(2, &mut note).unwrap();
    for (name, kind) in names {
        if kind == Kind::Directory {
            free_the_way_down(&node.lookup(&name).unwrap());
            node.rmdir(&name, NOW).unwrap();
        } else {
            node.unlink(&name, NOW).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_calls_do_what_the_model_does(calls in calls(), log in prop_oneof![Just(Log::Usual), Just(Log::Short)]) {
        let mut fs = mount_with(formatted(1024), log);
        let total = |fs: &Arc<Fs<SimMedium>>| fs.space().free + fs.space().log;
        let empty = total(&fs);
        let mut model = Model::new();
        for step in &calls {
            let (found, wanted) = (call(&fs, step), model.call(step));
            prop_assert_eq!(found, wanted, "{:?}", step);
            if matches!(step, Call::Remount) {
                let medium = fs.medium().clone();
                let before = fs.space();
                drop(fs);
                assert_clean(&medium);
                fs = mount_with(medium, log);
                let same = |a: fs::Space, b: fs::Space| match log {
                    Log::Usual => a == b,
                    // A checkpoint on its way is given up, with the blocks it had.
                    _ => a.free + a.log == b.free + b.log && a.inodes == b.inodes,
                };
                prop_assert!(same(fs.space(), before), "a mount finds the same space: {:?}, {:?}", fs.space(), before);
            }
        }
        prop_assert_eq!(tree(&fs), model.tree());
        let fs = mount_with(fs.medium().cut(), log);
        prop_assert_eq!(tree(&fs), model.tree(), "after a power cut");
        free_the_way_down(&fs.root());
        prop_assert_eq!(total(&fs), empty, "every block comes back");
        prop_assert_eq!(fs.space().inodes, 1);
        assert_clean(fs.medium());
    }
}

#[test]
fn a_large_file_lies_aligned_to_2_mib() {
    let fs = fresh(4096);
    let file = fs.root().create(b"large", NewNode::File { mode: 0o644 }, NOW).unwrap();
    write_at(&file, 0, &vec![7; 5 << 20]).unwrap();
    let pin = file.pin_all().unwrap();
    for window in 0..2 {
        let map = pin.iomap(units::FileOff::new(window * 512 * BLOCK));
        assert!(map.addr.is_aligned(2 << 20) && map.length.get() >= 2 << 20, "{map:?}");
    }
}
