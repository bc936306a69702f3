//! What the tests of this crate share: small media, and all that can be seen of a tree.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use fs::{Error, Format, Fs, Kind, Mount, Node, Time, WriteAt, Written};
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff};

/// Bytes in a block.
pub(crate) const BLOCK: u64 = 4096;
/// A node on the simulated medium.
pub(crate) type SimNode = Node<SimMedium>;

/// The time of everything that no test looks at.
pub(crate) const NOW: Time = Time::new(1_700_000_000, 42);

/// A medium of this many blocks with an empty file system.
pub(crate) fn formatted(blocks: u64) -> SimMedium {
    let medium = SimMedium::new(ByteLen::new(blocks * BLOCK));
    let options = Format { uuid: *b"a-test-of-the-fs", salt: 0x7a11_5a17, now: NOW, ..Format::default() };
    Fs::format(&medium, &options).unwrap();
    medium
}

/// Mounts for reading and writing.
pub(crate) fn mount(medium: SimMedium) -> Arc<Fs<SimMedium>> {
    Fs::mount(medium, Mount::default()).unwrap()
}

/// A mounted empty file system of this many blocks.
pub(crate) fn fresh(blocks: u64) -> Arc<Fs<SimMedium>> {
    mount(formatted(blocks))
}

/// When the log is written anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Log {
    /// By the size of the medium.
    Usual,
    /// As soon as it says twice what it need say.
    Short,
    /// Never.
    Whole,
}

/// Mounts for reading and writing, with this much of a log.
pub(crate) fn mount_with(medium: SimMedium, log: Log) -> Arc<Fs<SimMedium>> {
    let slack = match log {
        Log::Usual => None,
        Log::Short => Some(ByteLen::ZERO),
        Log::Whole => Some(ByteLen::new(u64::MAX)),
    };
    Fs::mount(medium, Mount { slack, ..Mount::default() }).unwrap()
}

/// Writes all of `bytes` at `at`.
pub(crate) fn write_at(node: &SimNode, at: u64, bytes: &[u8]) -> Result<Written, Error> {
    let mut source = bytes;
    node.write(WriteAt::Offset(FileOff::new(at)), &mut source, NOW)
}

/// Up to `len` bytes at `at`.
pub(crate) fn read_at(node: &SimNode, at: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xee; len];
    let mut sink = bytes.as_mut_slice();
    let done = node.read(FileOff::new(at), len, &mut sink)?;
    bytes.truncate(done);
    Ok(bytes)
}

/// What can be seen of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its links.
    pub(crate) nlink: u32,
    /// A file's bytes, a symlink's target.
    pub(crate) data: Vec<u8>,
}

/// All that can be seen, by path.
pub(crate) fn tree(fs: &Arc<Fs<SimMedium>>) -> BTreeMap<Vec<u8>, Seen> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![(Vec::new(), fs.root())];
    while let Some((path, node)) = waiting.pop() {
        let attr = node.attr();
        let data = match attr.kind {
            Kind::File => read_at(&node, 0, attr.size as usize + 1).unwrap(),
            Kind::Symlink => node.read_link().unwrap(),
            Kind::Directory => {
                let mut names = Vec::new();
                node.read_dir(0, &mut |entry| {
                    names.push(entry.name.to_vec());
                    true
                })
                .unwrap();
                for name in names.into_iter().filter(|name| *name != b"." && *name != b"..") {
                    let child = node.lookup(&name).unwrap();
                    if child.kind() == Kind::Directory {
                        assert!(child.lookup(b"..").unwrap().is_same(&node), "{name:?} leads up to another directory");
                    }
                    waiting.push(([path.as_slice(), b"/", &name].concat(), child));
                }
                Vec::new()
            }
        };
        seen.insert(path, Seen { kind: attr.kind, nlink: attr.nlink, data });
    }
    seen
}

/// Examines the medium below a mounted file system that is left alone meanwhile.
#[track_caller]
pub(crate) fn assert_clean(medium: &SimMedium) {
    let report = Fs::check(medium);
    let found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{:?} {found:?}", report.refused);
}
