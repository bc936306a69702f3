//! The calls that are cut: each form of every changing call.

use fs::{Error, Fallocate, Linkable, NewNode, Rename, SetAttr, Time, WriteAt};
use units::FileOff;

use crate::workloads::{BLOCK, Workload, World, find, now, pattern, put, range};

/// All of them.
pub(crate) fn workloads() -> Vec<Workload> {
    on_names().into_iter().chain(on_content()).collect()
}

/// The workload of this name.
#[cfg(feature = "seeded-bugs")]
pub(crate) fn named(name: &str) -> Workload {
    workloads().into_iter().find(|workload| workload.name == name).expect("a workload of this name")
}

/// A few of every form, for the pairs that `cargo test` has time for.
pub(crate) fn for_pairs() -> Vec<Workload> {
    let names = [
        "create a file",
        "unlink a file",
        "unlink an open file",
        "rename over a file",
        "overwrite across blocks",
        "append across blocks",
        "truncate in a block",
    ];
    workloads().into_iter().filter(|workload| names.contains(&workload.name.as_str())).collect()
}

/// The calls on names.
pub(crate) fn on_names() -> Vec<Workload> {
    let create = |name: &str, dir: &'static str, new: NewNode<'static>| {
        Workload::new(name, move |fs| find(fs, dir)?.create(b"new", new, now()).map(drop))
    };
    let unlink = |name: &str, dir: &'static str, victim: &'static str| {
        Workload::new(name, move |fs| find(fs, dir)?.unlink(victim.as_bytes(), now()))
    };
    let rename = |name: &str, from: [&'static str; 2], to: [&'static str; 2], how: Rename| {
        Workload::new(name, move |fs| {
            let (from_dir, to_dir) = (find(fs, from[0])?, find(fs, to[0])?);
            from_dir.rename(from[1].as_bytes(), &to_dir, to[1].as_bytes(), how, now())
        })
    };
    use Rename::{Exchange, NoReplace, Replace};
    vec![
        create("create a file", ".", NewNode::File { mode: 0o600 }),
        create("create a file in a directory", "dir", NewNode::File { mode: 0o4755 }),
        create("mkdir", ".", NewNode::Directory { mode: 0o700 }),
        create("mkdir in a directory", "dir/sub", NewNode::Directory { mode: 0o700 }),
        create("symlink", "dir", NewNode::Symlink { target: b"../a" }),
        create("long symlink", ".", NewNode::Symlink { target: &[b'x'; 4000] }),
        Workload::new("create with a long name", |fs| {
            find(fs, "dir")?.create(&[b'n'; 255], NewNode::File { mode: 0o600 }, now()).map(drop)
        }),
        unlink("unlink a file", ".", "a"),
        unlink("unlink one of two names", ".", "hard"),
        unlink("unlink a symlink", ".", "link"),
        unlink("unlink in a directory", "dir", "c"),
        Workload::new("unlink an open file", |fs| {
            let root = fs.root();
            let open = root.lookup(b"a")?;
            root.unlink(b"a", now())?;
            // Held while the power fails behind the return, too.
            std::mem::forget(open);
            Ok(())
        }),
        Workload::new("rmdir", |fs| fs.root().rmdir(b"other", now())),
        Workload::new("rmdir in a directory", |fs| find(fs, "dir")?.rmdir(b"sub", now())),
        Workload::new("link", |fs| fs.root().link(b"third", &find(fs, "b")?, now())),
        Workload::new("link a file without a name", |fs| {
            // Several calls, of which only the last changes anything that can be seen.
            let file = fs.root().tmpfile(0o600, Linkable::Yes, now())?;
            put(&file, 5000, &pattern(4, 3000))?;
            file.fallocate(Fallocate::Allocate, range(0, 20_000), now())?;
            fs.root().link(b"new", &file, now())
        }),
        Workload::new("link a symlink", |fs| fs.root().link(b"second", &find(fs, "link")?, now())),
        Workload::new("link into a directory", |fs| find(fs, "dir/sub")?.link(b"a", &find(fs, "a")?, now())),
        rename("rename in a directory", [".", "a"], [".", "z"], Replace),
        rename("rename to another directory", [".", "a"], ["dir/sub", "a"], Replace),
        rename("rename without replacing", ["dir", "c"], [".", "c"], NoReplace),
        rename("rename over a file", [".", "b"], [".", "a"], Replace),
        rename("rename over one of two names", [".", "a"], [".", "hard"], Replace),
        rename("rename over a symlink", ["dir", "c"], [".", "link"], Replace),
        rename("rename a directory", [".", "dir"], [".", "moved"], Replace),
        rename("rename a directory into another", [".", "dir"], ["other", "dir"], Replace),
        rename("rename a directory over an empty one", [".", "dir"], [".", "other"], Replace),
        rename("exchange two files", [".", "a"], ["dir", "c"], Exchange),
        rename("exchange a file and a directory", [".", "a"], ["dir", "sub"], Exchange),
        rename("rename a directory out of another", ["dir", "sub"], [".", "sub"], NoReplace),
        rename("exchange a symlink and a file", [".", "link"], ["dir", "c"], Exchange),
        rename("exchange two names of a directory", [".", "a"], [".", "b"], Exchange),
        rename("exchange two directories", ["dir", "sub"], [".", "other"], Exchange),
    ]
}

/// Writes a little more data to a file, so that it lies in pieces.
fn more(path: &'static str, at: u64) -> impl Fn(&World) -> Result<(), Error> {
    move |fs| put(&find(fs, path)?, at, &pattern(9, 3000))
}

/// Keeps blocks for a file, behind its end too.
fn kept(path: &'static str) -> impl Fn(&World) -> Result<(), Error> {
    move |fs| find(fs, path)?.fallocate(Fallocate::AllocateKeepSize, range(0, 16_000), now())
}

/// Copies as `copy_file_range` does: from what a pin sees, in one write.
fn copy(fs: &World, from: (&str, u64), to: (&str, u64), len: usize) -> Result<(), Error> {
    let source = find(fs, from.0)?;
    let _pin = source.pin(range(from.1, len as u64))?;
    let mut bytes = vec![0; len];
    source.read(FileOff::new(from.1), len, &mut &mut bytes[..])?;
    put(&find(fs, to.0)?, to.1, &bytes)
}

/// A change of attributes: never what it is, so that it can be repeated.
pub(crate) fn chmod() -> Workload {
    let chmod = |fs: &World| {
        let (node, set) = (find(fs, "a")?, SetAttr::default());
        node.set_attr(SetAttr { mode: Some(node.attr().mode ^ 0o111), ..set }, now())
    };
    Workload::new("chmod", chmod).repeatable()
}

/// The calls on content and attributes.
pub(crate) fn on_content() -> Vec<Workload> {
    let write = |name: &str, path: &'static str, at: u64, len: usize| {
        Workload::new(name, move |fs| {
            // Never what is there, so that the call can be repeated.
            let (node, mut first) = (find(fs, path)?, [0]);
            node.read(FileOff::new(at), 1, &mut &mut first[..])?;
            put(&node, at, &pattern(first[0].wrapping_add(2), len))
        })
    };
    let append = |name: &str, path: &'static str, len: usize| {
        Workload::new(name, move |fs| find(fs, path)?.write(WriteAt::End, &mut &pattern(8, len)[..], now()).map(drop))
    };
    let truncate = |name: &str, path: &'static str, size: u64| {
        Workload::new(name, move |fs| find(fs, path)?.truncate(size, now()))
    };
    let fallocate = |name: &str, path: &'static str, how: Fallocate, at: u64, len: u64| {
        Workload::new(name, move |fs| find(fs, path)?.fallocate(how, range(at, len), now()))
    };
    vec![
        write("write a new file", "empty", 0, 5000),
        write("write one byte", "empty", 0, 1),
        write("overwrite a block", "b", 0, BLOCK).repeatable(),
        write("overwrite inside a block", "a", 100, 50),
        write("overwrite across blocks", "a", 4000, 5000),
        write("overwrite past the end", "a", 9000, 5000),
        write("write behind a hole", "b", 20_000, 3000),
        write("write 64 KiB", "empty", 0, 1 << 16),
        append("append a block", "b", BLOCK),
        append("append in a block", "dir/c", 77),
        append("append across blocks", "a", 6000),
        truncate("truncate to nothing", "a", 0),
        truncate("truncate to a block", "a", BLOCK as u64),
        truncate("truncate in a block", "a", 5000),
        truncate("truncate upwards", "dir/c", 9000),
        truncate("truncate upwards by blocks", "b", 1 << 20),
        fallocate("allocate in a hole", "empty", Fallocate::Allocate, 100, 9000),
        fallocate("allocate around data", "dir/c", Fallocate::Allocate, 0, 20_000),
        fallocate("allocate behind the end", "a", Fallocate::AllocateKeepSize, 9000, 20_000),
        fallocate("punch whole blocks", "a", Fallocate::Punch, 0, 2 * BLOCK as u64),
        fallocate("punch inside a block", "a", Fallocate::Punch, 100, 500),
        fallocate("punch across blocks", "a", Fallocate::Punch, 1000, 8000),
        fallocate("punch everything", "a", Fallocate::Punch, 0, 1 << 20),
        fallocate("zero across blocks", "a", Fallocate::ZeroKeepSize, 1000, 8000).repeatable(),
        fallocate("zero past the end", "a", Fallocate::Zero, 5000, 20_000),
        fallocate("zero everything", "a", Fallocate::ZeroKeepSize, 0, 1 << 16),
        fallocate("allocate between data", "b", Fallocate::Allocate, 0, 30_000).behind(more("b", 20_000)),
        fallocate("punch allocated blocks", "dir/c", Fallocate::Punch, 100, 12_000).behind(kept("dir/c")),
        write("write to allocated blocks", "empty", 1000, 5000).behind(kept("empty")),
        append("append to allocated blocks", "dir/c", 9000).behind(kept("dir/c")),
        write("overwrite across extents", "a", 1000, 8500).behind(more("a", 4096)),
        write("write far behind the end", "b", 1 << 18, 100),
        truncate("truncate in a hole", "b", 11_000).behind(more("b", 20_000)),
        Workload::new("copy a range to another file", |fs| copy(fs, ("a", 100), ("dir/c", 50), 7000)),
        Workload::new("copy a range inside a file", |fs| copy(fs, ("a", 0), ("a", 2 * BLOCK as u64), BLOCK)),
        chmod(),
        Workload::new("chown and utimes", |fs| {
            let time = Some(Time::new(7, 7));
            let set = SetAttr { uid: Some(1), gid: Some(2), atime: time, mtime: time, ..SetAttr::default() };
            find(fs, "dir")?.set_attr(set, now())
        }),
        Workload::new("create or unlink in turn", |fs| {
            let root = fs.root();
            match root.unlink(b"now-and-then", now()) {
                Err(Error::NotFound) => root.create(b"now-and-then", NewNode::File { mode: 0 }, now()).map(drop),
                unlinked => unlinked,
            }
        })
        .repeatable(),
    ]
}
