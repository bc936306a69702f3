//! Any calls in any order, remounts among them: after each one everything is as in the [`Model`].

use std::collections::BTreeMap;

use fs::{Error, Fallocate, Kind, Linkable, NewNode, Pin, Rename, SetAttr, WriteAt};
use pmem_sim::SimMedium;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use units::Ino;

use crate::common::*;
use crate::world::{Id, Model, ROOT};

/// One call. Numbers pick among what there is: directories, files, names, handles, pins.
#[derive(Clone, Debug)]
enum Step {
    Create(usize, u8, Kind),
    Unlink(usize, u8),
    Rmdir(usize, u8),
    Link(usize, u8, usize),
    Rename((usize, u8), (usize, u8), Rename),
    Write(usize, u64, usize),
    Append(usize, usize),
    Truncate(usize, u64),
    Fallocate(usize, Fallocate, u64, u64),
    Tmpfile(usize, Linkable),
    Chmod(usize, u32),
    Open(usize),
    Close(usize),
    Pin(usize, u64, u64),
    Unpin(usize),
    Remount,
}

const LARGEST: u64 = 60_000;

fn step() -> impl Strategy<Value = Step> {
    use Fallocate::{Allocate, AllocateKeepSize, Punch, Zero, ZeroKeepSize};
    use Step::{Append, Chmod, Close, Create, Link, Open, Pin, Remount, Rmdir, Truncate, Unlink, Unpin, Write};
    let kind = prop_oneof![4 => Just(Kind::File), 2 => Just(Kind::Directory), 1 => Just(Kind::Symlink)];
    let how = prop_oneof![3 => Just(Rename::Replace), 1 => Just(Rename::NoReplace), 1 => Just(Rename::Exchange)];
    // Offsets on and beside the edges of blocks, and anywhere.
    let at = || {
        prop_oneof![
            0..LARGEST,
            (0..LARGEST / BLOCK).prop_map(|block| block * BLOCK),
            (1..LARGEST / BLOCK).prop_map(|block| block * BLOCK - 1)
        ]
    };
    let len = || prop_oneof![1..200usize, 1..12_000usize, Just(4096usize), Just(8192usize)];
    let name = || 0..5u8;
    let allocate = prop::sample::select(vec![Allocate, AllocateKeepSize, Punch, Punch, Zero, ZeroKeepSize]);
    let linkable = prop_oneof![3 => Just(Linkable::Yes), 1 => Just(Linkable::No)];
    prop_oneof![
        6 => (any::<usize>(), name(), kind).prop_map(|(dir, name, kind)| Create(dir, name, kind)),
        3 => (any::<usize>(), name()).prop_map(|(dir, name)| Unlink(dir, name)),
        1 => (any::<usize>(), name()).prop_map(|(dir, name)| Rmdir(dir, name)),
        2 => (any::<usize>(), name(), any::<usize>()).prop_map(|(dir, name, file)| Link(dir, name, file)),
        6 => ((any::<usize>(), name()), (any::<usize>(), name()), how).prop_map(|(a, b, how)| Step::Rename(a, b, how)),
        8 => (any::<usize>(), at(), len()).prop_map(|(file, at, len)| Write(file, at, len)),
        3 => (any::<usize>(), len()).prop_map(|(file, len)| Append(file, len)),
        4 => (any::<usize>(), at()).prop_map(|(file, size)| Truncate(file, size)),
        4 => (any::<usize>(), allocate, at(), len())
            .prop_map(|(file, how, at, len)| Step::Fallocate(file, how, at, len as u64)),
        1 => (any::<usize>(), linkable).prop_map(|(dir, linkable)| Step::Tmpfile(dir, linkable)),
        1 => (any::<usize>(), 0..0o10_000u32).prop_map(|(file, mode)| Chmod(file, mode)),
        3 => any::<usize>().prop_map(Open),
        2 => any::<usize>().prop_map(Close),
        4 => (any::<usize>(), at(), 1..LARGEST).prop_map(|(file, at, len)| Pin(file, at, len)),
        3 => any::<usize>().prop_map(Unpin),
        1 => Just(Remount),
    ]
}

/// A pin, and what it has to show.
struct Pinned {
    pin: Pin<SimMedium>,
    at: u64,
    bytes: Vec<u8>,
}

/// The file system and its model, side by side.
struct Both {
    fs: World,
    model: Model,
    inos: BTreeMap<Id, Ino>,
    open: Vec<(Id, Node)>,
    pinned: Vec<Pinned>,
    now: i64,
}

fn name_of(name: u8) -> Vec<u8> {
    // One name as long as names can be.
    if name == 0 { vec![b'n'; 255] } else { vec![b'a' + name] }
}

impl Both {
    fn new() -> Self {
        let fs = fresh(2048);
        let inos = BTreeMap::from([(ROOT, fs.root().ino())]);
        Self { fs, model: Model::new(), inos, open: Vec::new(), pinned: Vec::new(), now: 10 }
    }

    /// A handle, by number; of one without a name, the one that is open.
    fn node(&self, id: Id) -> Node {
        let open = self.open.iter().find(|(open, _)| *open == id);
        open.map_or_else(|| self.fs.node(self.inos[&id]).expect("it has a name"), |(_, node)| node.clone())
    }

    fn dir(&self, pick: usize) -> Id {
        let all = self.model.all(Kind::Directory);
        all[pick % all.len()]
    }

    /// A file that has a name or is open.
    fn file(&self, pick: usize) -> Option<Id> {
        let mut all = self.model.all(Kind::File);
        let open = self.open.iter().map(|(id, _)| *id).filter(|id| self.model.inodes[id].kind == Kind::File);
        all.extend(open);
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    /// Forgets what has no name and is not open.
    fn settle(&mut self) {
        let open = &self.open;
        self.model.inodes.retain(|id, inode| inode.nlink > 0 || open.iter().any(|(open, _)| open == id));
    }

    fn step(&mut self, step: &Step) {
        self.now += 1;
        match step {
            Step::Create(dir, name, kind) => self.create(self.dir(*dir), &name_of(*name), *kind),
            Step::Unlink(dir, name) => {
                let (dir, name) = (self.dir(*dir), name_of(*name));
                let real = self.node(dir).unlink(&name, now(self.now));
                assert_eq!(real, self.model.unlink(dir, &name, self.now).map(drop));
            }
            Step::Rmdir(dir, name) => {
                let (dir, name) = (self.dir(*dir), name_of(*name));
                let real = self.node(dir).rmdir(&name, now(self.now));
                assert_eq!(real, self.model.rmdir(dir, &name, self.now).map(drop));
            }
            Step::Link(dir, name, file) => {
                let Some(file) = self.file(*file) else { return };
                let (dir, name) = (self.dir(*dir), name_of(*name));
                let real = self.node(dir).link(&name, &self.node(file), now(self.now));
                assert_eq!(real, self.model.link(dir, &name, file, self.now));
            }
            Step::Rename((from, name), (to, to_name), how) => {
                let (from, to) = (self.dir(*from), self.dir(*to));
                let (name, to_name) = (name_of(*name), name_of(*to_name));
                let real = self.node(from).rename(&name, &self.node(to), &to_name, *how, now(self.now));
                let expected = self.model.rename((from, &name), (to, &to_name), *how, self.now);
                assert_eq!(real, expected.map(drop));
            }
            Step::Remount => self.remount(),
            other => self.content_step(other),
        }
        self.settle();
    }

    fn create(&mut self, dir: Id, name: &[u8], kind: Kind) {
        let (mode, target) = (0o640, b"some/where");
        let new = match kind {
            Kind::File => NewNode::File { mode },
            Kind::Directory => NewNode::Directory { mode },
            Kind::Symlink => NewNode::Symlink { target },
        };
        let real = self.node(dir).create(name, new, now(self.now));
        let mode = if kind == Kind::Symlink { 0o777 } else { mode };
        match self.model.create(dir, name, kind, mode, self.now) {
            Ok(id) => {
                if kind == Kind::Symlink {
                    self.model.at(id).target = target.to_vec();
                }
                self.inos.insert(id, real.expect("the name is free").ino());
            }
            Err(error) => assert_eq!(real.map(|node| node.ino()), Err(error)),
        }
    }

    /// Steps on content, handles and pins.
    fn content_step(&mut self, step: &Step) {
        match *step {
            Step::Write(file, at, len) => {
                let Some(file) = self.file(file) else { return };
                let bytes = pattern(self.now as u64, len);
                let written = self.node(file).write(
                    WriteAt::Offset(units::FileOff::new(at)),
                    &mut bytes.as_slice(),
                    now(self.now),
                );
                assert_eq!(written.map(|written| written.end.get()), Ok(at + len as u64));
                self.model.write(file, at, &bytes, self.now);
            }
            Step::Append(file, len) => {
                let Some(file) = self.file(file) else { return };
                let at = self.model.at(file).bytes.len() as u64;
                let bytes = pattern(self.now as u64, len);
                let written = self.node(file).write(WriteAt::End, &mut bytes.as_slice(), now(self.now));
                assert_eq!(written.map(|written| written.end.get()), Ok(at + len as u64));
                self.model.write(file, at, &bytes, self.now);
            }
            Step::Truncate(file, size) => {
                let Some(file) = self.file(file) else { return };
                assert_eq!(self.node(file).truncate(size, now(self.now)), Ok(()));
                self.model.truncate(file, size, self.now);
            }
            Step::Fallocate(file, how, at, len) => {
                let Some(file) = self.file(file) else { return };
                assert_eq!(self.node(file).fallocate(how, range(at, len), now(self.now)), Ok(()));
                self.model.fallocate(file, how, at, len, self.now);
            }
            Step::Tmpfile(dir, linkable) => {
                let node = self.node(self.dir(dir)).tmpfile(0o600, linkable, now(self.now)).expect("there is room");
                let id = self.model.tmpfile(0o600, linkable, self.now);
                self.inos.insert(id, node.ino());
                self.open.push((id, node));
            }
            Step::Chmod(file, mode) => {
                let Some(file) = self.file(file) else { return };
                let set = SetAttr { mode: Some(mode), ..SetAttr::default() };
                assert_eq!(self.node(file).set_attr(set, now(self.now)), Ok(()));
                (self.model.at(file).mode, self.model.at(file).ctime) = (mode, self.now);
            }
            Step::Open(file) => {
                let Some(file) = self.file(file) else { return };
                self.open.push((file, self.node(file)));
            }
            Step::Close(pick) if !self.open.is_empty() => drop(self.open.swap_remove(pick % self.open.len())),
            Step::Pin(file, at, len) => {
                let Some(file) = self.file(file) else { return };
                let pin = self.node(file).pin(range(at, len)).expect("a file can be pinned");
                let mut bytes = self.model.at(file).bytes.clone();
                assert_eq!(pin.size(), bytes.len() as u64);
                bytes.resize(bytes.len().max((at + len) as usize), 0);
                self.pinned.push(Pinned { pin, at, bytes: bytes[at as usize..(at + len) as usize].to_vec() });
            }
            Step::Unpin(pick) if !self.pinned.is_empty() => drop(self.pinned.swap_remove(pick % self.pinned.len())),
            _ => {}
        }
    }

    fn remount(&mut self) {
        self.open.clear();
        self.pinned.clear();
        self.settle();
        assert_space_exact(&self.fs, &[], &[]);
        let before = self.fs.space();
        let medium = self.fs.medium().clone();
        // The old one is let go of while the medium lives on, as after a cut behind the last call.
        self.fs = remount(std::mem::replace(&mut self.fs, fresh(512)));
        assert_eq!(self.fs.space(), before);
        assert_eq!(self.fs.medium().content_hash(), medium.content_hash(), "a mount changes nothing that is good");
    }

    /// Everything is as in the model.
    fn compare(&self) {
        let mut waiting = vec![(ROOT, self.fs.root())];
        while let Some((id, node)) = waiting.pop() {
            let model = &self.model.inodes[&id];
            self.compare_inode(id, &node);
            if model.kind != Kind::Directory {
                continue;
            }
            let mut names = BTreeMap::new();
            let mut listed = |entry: fs::DirEntry<'_>| {
                names.insert(entry.name.to_vec(), (entry.ino, entry.kind));
                true
            };
            node.read_dir(0, &mut listed).expect("a directory can be listed");
            let parent = self.inos[&model.parent];
            assert_eq!(names.remove(&b"."[..]), Some((node.ino(), Kind::Directory)));
            assert_eq!(names.remove(&b".."[..]), Some((parent, Kind::Directory)));
            let expected: BTreeMap<_, _> =
                model.names.iter().map(|(name, id)| (name.clone(), self.there(*id))).collect();
            assert_eq!(names, expected);
            waiting.extend(model.names.iter().map(|(name, id)| (*id, node.lookup(name).expect("it is listed"))));
        }
        self.open.iter().for_each(|(id, node)| self.compare_inode(*id, node));
        for Pinned { pin, at, bytes } in &self.pinned {
            assert!(seen(pin, self.fs.medium(), *at, bytes.len() as u64) == *bytes, "a pin shows something else");
        }
    }

    fn there(&self, id: Id) -> (Ino, Kind) {
        (self.inos[&id], self.model.inodes[&id].kind)
    }

    fn compare_inode(&self, id: Id, node: &Node) {
        let (model, attr) = (&self.model.inodes[&id], node.attr());
        assert_eq!((node.ino(), node.kind()), self.there(id));
        assert_eq!((attr.mode, attr.nlink, attr.kind), (model.mode, model.nlink, model.kind));
        assert_eq!((attr.mtime, attr.ctime), (now(model.mtime), now(model.ctime)));
        match model.kind {
            Kind::Symlink => assert_eq!(node.read_link(), Ok(model.target.clone())),
            Kind::Directory => assert_eq!(node.read_link(), Err(Error::Invalid)),
            Kind::File => {
                assert_eq!((attr.size, attr.blocks), (model.bytes.len() as u64, model.mapped.len() as u64 * 8));
                let bytes = get(node, 0, model.bytes.len() + 1).expect("no block is bad");
                assert!(bytes == model.bytes, "content of inode {}", node.ino().get());
                let (from, to) = (model.bytes.len() / 3, model.bytes.len() * 2 / 3);
                assert!(get(node, from as u64, to - from).expect("no block is bad") == model.bytes[from..to]);
            }
        }
    }

    fn exact(&self) {
        let open: Vec<Node> = self.open.iter().map(|(_, node)| node.clone()).collect();
        let pins: Vec<&Pin<SimMedium>> = self.pinned.iter().map(|pinned| &pinned.pin).collect();
        assert_space_exact(&self.fs, &open, &pins);
    }

    /// Takes everything away again.
    fn empty(&mut self) {
        self.open.clear();
        for dir in self.model.all(Kind::Directory) {
            let files = self.model.inodes[&dir].names.iter();
            let files: Vec<_> = files.filter(|(_, id)| self.model.inodes[*id].kind != Kind::Directory).collect();
            for (name, _) in files {
                self.node(dir).unlink(name, now(self.now)).expect("a name can go");
            }
        }
        self.exact_pins_alone();
        self.pinned.clear();
        let space = self.fs.space();
        assert_eq!((space.pinned, space.free + space.log), (0, space.blocks), "{space:?}");
    }

    /// Without any file only pins hold blocks.
    fn exact_pins_alone(&self) {
        let pins: Vec<&Pin<SimMedium>> = self.pinned.iter().map(|pinned| &pinned.pin).collect();
        assert_space_exact(&self.fs, &[], &pins);
    }
}

fn run(steps: &[Step]) {
    let mut both = Both::new();
    for (at, step) in steps.iter().enumerate() {
        both.step(step);
        if at % 7 == 0 {
            both.compare();
            both.exact();
        }
    }
    both.compare();
    both.exact();
    both.remount();
    both.compare();
    both.empty();
}

/// The same sequences every time; `VITRINE_MODEL=n` runs n times as many.
#[test]
fn any_calls_agree_with_the_model() {
    let times = std::env::var("VITRINE_MODEL").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let config = Config { cases: 300 * times, failure_persistence: None, ..Config::default() };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let steps = prop::collection::vec(step(), 1..160);
    TestRunner::new_with_rng(config, random)
        .run(&steps, |steps| {
            run(&steps);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
