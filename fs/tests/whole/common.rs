//! What all tests share: a fresh file system, short forms of the calls, and the blocks that are really in use.

use std::collections::BTreeSet;
use std::sync::Arc;

use fs::{Error, Format, Fs, IomapKind, Kind, Mount, NewNode, Pin, Time, WriteAt};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff, FileRange};

/// Bytes in a block.
pub(crate) const BLOCK: u64 = 4096;

/// A mounted file system.
pub(crate) type World = Arc<Fs<SimMedium>>;
/// A node of it.
pub(crate) type Node = fs::Node<SimMedium>;

/// The time of a call.
pub(crate) fn now(secs: i64) -> Time {
    Time::new(secs, 5)
}

/// An empty file system on a medium of so many blocks.
pub(crate) fn fresh(blocks: u64) -> World {
    let medium = SimMedium::new(ByteLen::new(blocks * BLOCK));
    let options = Format { uuid: *b"tests of a whole", salt: 0x5eed_5a17, now: now(0), ..Format::default() };
    Fs::format(&medium, &options).expect("the medium is large enough");
    mount(medium)
}

/// The same, whose log is never written anew, however long it gets.
pub(crate) fn fresh_with_whole_log(blocks: u64) -> World {
    let fs = fresh(blocks);
    let medium = fs.medium().clone();
    drop(fs);
    let slack = Some(ByteLen::new(u64::MAX));
    Fs::mount(medium, Mount { slack, ..Mount::default() }).expect("a good medium mounts")
}

/// Mounts what must be mountable.
pub(crate) fn mount(medium: SimMedium) -> World {
    Fs::mount(medium, Mount::default()).expect("a good medium mounts")
}

/// Lets go of `fs`, sees that its medium is clean, and mounts it again.
pub(crate) fn remount(fs: World) -> World {
    let medium = fs.medium().clone();
    drop(fs);
    assert_clean(&medium);
    mount(medium)
}

/// Nothing can be said against what lies there.
pub(crate) fn assert_clean(medium: &SimMedium) {
    let report = Fs::check(medium);
    assert!(report.is_clean(), "{:?} {:?}", report.refused, report.findings);
}

/// `len` bytes that tell their place and `seed`.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(13).wrapping_add((at >> 8) as u8).wrapping_add(seed as u8) | 1).collect()
}

/// A new file in the root directory.
pub(crate) fn file(fs: &World, name: &str) -> Node {
    fs.root().create(name.as_bytes(), NewNode::File { mode: 0o644 }, now(1)).expect("the file can be made")
}

/// Writes at an offset.
pub(crate) fn put(node: &Node, at: u64, bytes: &[u8]) -> Result<(), Error> {
    let written = node.write(WriteAt::Offset(FileOff::new(at)), &mut &bytes[..], now(2))?;
    assert_eq!((written.len, written.end.get()), (bytes.len(), at + bytes.len() as u64));
    Ok(())
}

/// The bytes from `at` on, at most `len`.
pub(crate) fn get(node: &Node, at: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xee; len];
    let done = node.read(FileOff::new(at), len, &mut &mut bytes[..])?;
    bytes.truncate(done);
    Ok(bytes)
}

/// A range of a file.
pub(crate) fn range(at: u64, len: u64) -> FileRange {
    FileRange::with_len(FileOff::new(at), ByteLen::new(len)).expect("a range of small numbers")
}

/// What a pin shows of `len` bytes from `at` on.
pub(crate) fn seen(pin: &Pin<SimMedium>, medium: &SimMedium, at: u64, len: u64) -> Vec<u8> {
    let (mut bytes, mut pos) = (vec![0; len as usize], at);
    while pos < at + len {
        let map = pin.iomap(FileOff::new(pos));
        let some = map.length.get().min(at + len - pos);
        assert!(some > 0 && map.offset.get() == pos);
        if map.kind == IomapKind::Mapped {
            let to = &mut bytes[(pos - at) as usize..(pos - at + some) as usize];
            medium.load(map.addr, to).expect("no block is bad");
        }
        pos += some;
    }
    bytes
}

/// The blocks of the medium that a pin holds; each must belong to it alone or be seen by others in the same file.
pub(crate) fn blocks_of(pin: &Pin<SimMedium>, end: u64) -> BTreeSet<u64> {
    let (mut blocks, mut pos) = (BTreeSet::new(), pin.range().start().get() / BLOCK * BLOCK);
    while pos < end {
        let map = pin.iomap(FileOff::new(pos));
        if map.kind != IomapKind::Hole {
            let first = map.addr.get() / BLOCK;
            blocks.extend(first..first + map.length.get().div_ceil(BLOCK));
        }
        pos = map.end().get();
    }
    blocks
}

/// Every inode that has a name.
pub(crate) fn named(fs: &World) -> Vec<Node> {
    let (mut all, mut waiting, mut known) = (Vec::new(), vec![fs.root()], BTreeSet::new());
    while let Some(node) = waiting.pop() {
        if !known.insert(node.ino()) {
            continue;
        }
        if node.kind() == Kind::Directory {
            let mut names = Vec::new();
            node.read_dir(2, &mut |entry| {
                names.push(entry.name.to_vec());
                true
            })
            .expect("a directory can be listed");
            waiting.extend(names.iter().map(|name| node.lookup(name).expect("a listed name is there")));
        }
        all.push(node);
    }
    all
}

/// What `statfs` tells is exactly what files, `held` nodes and `pins` really use.
pub(crate) fn assert_space_exact(fs: &World, held: &[Node], pins: &[&Pin<SimMedium>]) {
    let mut files = BTreeSet::new();
    let mut nodes = named(fs);
    let inodes: BTreeSet<_> = nodes.iter().chain(held).map(|node| node.ino()).collect();
    nodes.extend(held.iter().cloned());
    let mut counted = BTreeSet::new();
    for node in nodes.iter().filter(|node| node.kind() == Kind::File && counted.insert(node.ino())) {
        // Blocks kept behind the end are the file's too.
        let blocks = blocks_of(&node.pin(range(0, 1 << 30)).expect("a file can be pinned"), 1 << 30);
        assert_eq!(node.attr().blocks, blocks.len() as u64 * 8);
        for block in blocks {
            assert!(files.insert(block), "block {block} has two owners");
        }
    }
    let mut seen = BTreeSet::new();
    for pin in pins {
        seen.extend(blocks_of(pin, pin.range().end().get()));
    }
    let space = fs.space();
    assert_eq!(space.pinned, seen.difference(&files).count() as u64, "pinned blocks");
    assert_eq!(space.free + space.log + files.union(&seen).count() as u64, space.blocks, "{space:?}");
    // An inode without name and handle stays in memory while a pin sees its blocks.
    let inodes = inodes.len() as u64;
    assert!(space.inodes >= inodes && space.inodes <= inodes + pins.len() as u64, "{inodes} inodes, {space:?}");
    assert!(space.available <= space.free);
}

/// Deterministic chance: SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of `choices`.
    pub(crate) fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
