//! A medium with something of every kind, and all that can be seen of it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fs::{Error, Format, Fs, IomapKind, Kind, Mount, MountError, NewNode, Node, Time, WriteAt, badlist};
use pmem::guarded::Guarded;
use pmem::medium::Medium;
use pmem_sim::{SimCells, SimMedium};
use units::{BlockNr, ByteLen, FileOff, FileRange, PmOff};

/// Bytes in a block.
pub(crate) const BLOCK: u64 = 4096;
/// The time of everything.
pub(crate) const NOW: Time = Time::new(1_700_000_000, 42);
/// Blocks of the medium.
const BLOCKS: u64 = 2600;
/// Extents of the file whose list is too long for a record, about.
const PIECES: u64 = 560;

/// Memory behind its list of bad blocks, as devices and images are.
pub(crate) type Memory = Guarded<SimCells>;

/// The medium's cells; a list of bad blocks is kept on the medium.
pub(crate) fn cells(medium: &SimMedium) -> SimCells {
    SimCells::keeping(medium.clone(), |medium, bad| badlist::write(&SimCells::new(medium.clone()), bad))
}

/// The medium as it is when the machine has been switched on.
pub(crate) fn memory(medium: &SimMedium) -> Memory {
    let cells = cells(medium);
    let known = badlist::read(&cells);
    Guarded::new(cells, &known)
}

/// Switches on and mounts for writing.
pub(crate) fn boot(medium: &SimMedium) -> Result<Arc<Fs<Memory>>, MountError> {
    Fs::mount(memory(medium), Mount::default())
}

/// What can be seen of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) nlink: u32,
    /// A file's bytes, block by block, or the error in their place; a symlink's target.
    pub(crate) data: Vec<Result<Vec<u8>, ()>>,
}

impl Seen {
    /// Whether all of it can be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.data.iter().all(Result::is_ok)
    }
}

/// All that can be seen, by path.
pub(crate) fn tree<M: Medium>(fs: &Arc<Fs<M>>) -> BTreeMap<Vec<u8>, Seen> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![(Vec::new(), fs.root())];
    while let Some((path, node)) = waiting.pop() {
        let attr = node.attr();
        let data = match attr.kind {
            Kind::File => (0..attr.size.div_ceil(BLOCK)).map(|block| read(&node, block * BLOCK)).collect(),
            Kind::Symlink => vec![Ok(node.read_link().expect("a symlink has a target"))],
            Kind::Directory => {
                let child = |name| ([path.as_slice(), b"/", name].concat(), node.lookup(name).expect("it was listed"));
                waiting.extend(names(&node).iter().map(|name| child(name)));
                Vec::new()
            }
        };
        seen.insert(path, Seen { kind: attr.kind, nlink: attr.nlink, data });
    }
    seen
}

/// The names in a directory, without `.` and `..`.
pub(crate) fn names<M: Medium>(dir: &Node<M>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut list = |entry: fs::DirEntry<'_>| {
        names.push(entry.name.to_vec());
        true
    };
    dir.read_dir(2, &mut list).expect("a directory can be listed");
    names
}

fn read<M: Medium>(node: &Node<M>, at: u64) -> Result<Vec<u8>, ()> {
    let mut bytes = vec![0xee; BLOCK as usize];
    let want = BLOCK.min(node.attr().size - at) as usize;
    let done = node.read(FileOff::new(at), want, &mut &mut bytes[..]).map_err(|error| {
        assert!(matches!(error, Error::Media(_)), "{error}");
    })?;
    bytes.truncate(done);
    if done == want { Ok(bytes) } else { Err(()) }
}

/// Writes at an offset.
pub(crate) fn write<M: Medium>(node: &Node<M>, at: u64, bytes: &[u8]) -> Result<(), Error> {
    node.write(WriteAt::Offset(FileOff::new(at)), &mut &bytes[..], NOW).map(drop)
}

/// A new file in the root directory.
pub(crate) fn file<M: Medium>(fs: &Arc<Fs<M>>, name: &str) -> Node<M> {
    fs.root().create(name.as_bytes(), NewNode::File { mode: 0o644 }, NOW).expect("there is room for a file")
}

/// Where each block of a file lies.
pub(crate) fn places<M: Medium>(node: &Node<M>) -> Vec<(u64, u64)> {
    let end = node.attr().size.div_ceil(BLOCK);
    let whole = FileRange::with_len(FileOff::ZERO, ByteLen::new(end * BLOCK)).expect("a file's range");
    let pin = node.pin(whole).expect("a file can be pinned");
    let maps = (0..end).map(|block| (block, pin.iomap(FileOff::new(block * BLOCK))));
    maps.filter(|(_, map)| map.kind == IomapKind::Mapped).map(|(block, map)| (map.addr.block().get(), block)).collect()
}

/// A medium whose log has several segments and an extent list, with files, directories, links of both kinds.
pub(crate) static VICTIM: LazyLock<SimMedium> = LazyLock::new(|| {
    let medium = SimMedium::new(ByteLen::new(BLOCKS * BLOCK));
    let options = Format { uuid: *b"tests of damages", salt: 0xbad_b10c, now: NOW, ..Format::default() };
    Fs::format(&medium, &options).expect("the medium is large enough");
    let slack = Some(ByteLen::new(u64::MAX));
    let fs = Fs::mount(medium.clone(), Mount { slack, ..Mount::default() }).expect("a new file system mounts");
    let root = fs.root();
    let (one, other) = (file(&fs, "pieces"), file(&fs, "between"));
    for piece in 0..PIECES {
        write(&one, piece * BLOCK, &[piece as u8 | 1; BLOCK as usize]).expect("there is room");
        write(&other, 0, &[2; BLOCK as usize]).expect("there is room");
        write(&other, piece * BLOCK, &[3; 1]).expect("there is room");
    }
    root.unlink(b"between", NOW).expect("it is there");
    drop(other);
    // All of it in one record: a file that had no name gets one.
    let scattered = root.tmpfile(0o600, fs::Linkable::Yes, NOW).expect("there is room");
    for piece in 0..PIECES {
        write(&scattered, 2 * piece * BLOCK, &[piece as u8 | 1; 100]).expect("there is room");
    }
    root.link(b"scattered", &scattered, NOW).expect("there is room");
    let small = file(&fs, "small");
    write(&small, 0, &[7; 10_000]).expect("there is room");
    let dir = root.create(b"dir", NewNode::Directory { mode: 0o755 }, NOW).expect("there is room");
    let below = dir.create(b"below", NewNode::Directory { mode: 0o755 }, NOW).expect("there is room");
    below.create(b"link", NewNode::Symlink { target: b"../../small" }, NOW).expect("there is room");
    below.link(b"hard", &small, NOW).expect("there is room");
    drop((one, scattered, small, dir, below, root, fs));
    medium
});

/// Makes a block unreadable, and its content lost.
pub(crate) fn lose(medium: &SimMedium, block: u64) {
    let at = BlockNr::new(block).base();
    medium.corrupt(at, &[0xdb; BLOCK as usize]);
    medium.set_bad(at.sector(), 8).expect("it lies on the medium");
}

/// Makes a sector unreadable, and its content lost.
pub(crate) fn lose_sector(medium: &SimMedium, at: PmOff) {
    medium.corrupt(at, &[0xdb; 512]);
    medium.set_bad(at.sector(), 1).expect("it lies on the medium");
}
