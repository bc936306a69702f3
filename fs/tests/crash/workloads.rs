//! The calls that are cut: each form of every changing call, on a small tree.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use fs::{Error, Fallocate, Fs, Linkable, Mount, NewNode, Node, Rename, SetAttr, Time, WriteAt};
use fs_explore::fresh_with;
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff, FileRange};

type World = Arc<Fs<SimMedium>>;
type Step = Rc<dyn Fn(&World) -> Result<(), Error>>;

const BLOCK: usize = 4096;
/// Little more than the smallest file system.
const MEDIUM: ByteLen = ByteLen::new(3 << 20);

/// A call, and what happens before it.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) name: String,
    /// Bytes of the medium.
    pub(crate) medium: ByteLen,
    /// Whether the call can be repeated for ever, so that one day it meets the end of a log segment.
    pub(crate) can_turn: bool,
    /// Whether the file system is always about to write its log anew, or does so.
    checkpoints: bool,
    before: Vec<Step>,
    call: Step,
    /// Whether another call came before it, which may have taken its files away or done its work.
    is_second: bool,
    /// Whether the tree may be the same behind it.
    pub(crate) may_change_nothing: bool,
}

impl Workload {
    fn new(name: &str, call: impl Fn(&World) -> Result<(), Error> + 'static) -> Self {
        Self {
            name: name.to_owned(),
            medium: MEDIUM,
            can_turn: false,
            checkpoints: false,
            before: Vec::new(),
            call: Rc::new(call),
            is_second: false,
            may_change_nothing: false,
        }
    }

    fn repeatable(mut self) -> Self {
        self.can_turn = true;
        self
    }

    /// An empty file system for it.
    pub(crate) fn world(&self) -> World {
        let slack = if self.checkpoints { Some(ByteLen::ZERO) } else { None };
        fresh_with(self.medium, Mount { slack, ..Mount::default() }).expect("a fresh file system")
    }

    /// The small tree, and the calls that come before the one explored.
    ///
    /// # Errors
    /// What could not be made.
    pub(crate) fn set_up(&self, fs: &World) -> Result<(), Error> {
        if self.checkpoints {
            // Lower numbers, which are recorded first: the tree comes behind them.
            crowd(fs)?;
        }
        make_tree(fs)?;
        self.before.iter().try_for_each(|step| step(fs))
    }

    /// The call explored; where another call took its files away, one that always works.
    ///
    /// # Errors
    /// What it was refused with.
    pub(crate) fn call(&self, fs: &World) -> Result<(), Error> {
        match (self.call)(fs) {
            Err(_) if self.is_second => fs.root().create(b"substitute", NewNode::File { mode: 0o600 }, now()).map(drop),
            result => result,
        }
    }

    /// This, and explored behind it `second`.
    pub(crate) fn then(&self, second: &Self) -> Self {
        let name = format!("{}, then {}", self.name, second.name);
        let before = self.before.iter().chain([&self.call]).cloned().collect();
        let call = second.call.clone();
        Self { name, can_turn: false, before, call, is_second: true, may_change_nothing: true, ..self.clone() }
    }
}

/// The workload at the very call that makes the log go on in its next segment.
pub(crate) fn turning(workload: Workload) -> Workload {
    let fs = workload.world();
    workload.set_up(&fs).expect("the set-up succeeds");
    let log = fs.space().log;
    let mut calls = 0;
    while fs.space().log == log {
        (workload.call)(&fs).expect("the call can be repeated");
        calls += 1;
    }
    let name = format!("{}, the {calls}th time", workload.name);
    let before = vec![workload.call.clone(); calls - 1];
    Workload { name, can_turn: false, before, ..workload }
}

/// Files that make a checkpoint take several calls.
const CROWD: usize = 120;

fn crowd(fs: &World) -> Result<(), Error> {
    let crowd = fs.root().create(b"crowd", NewNode::Directory { mode: 0o700 }, now())?;
    (0..CROWD).try_for_each(|number| {
        crowd.create(format!("one of many, number {number}").as_bytes(), NewNode::File { mode: 0 }, now()).map(drop)
    })
}

/// Fences of a checkpoint until it is under way, and in all.
const BEGUN: u64 = 2;
const WHOLE: u64 = 5;

/// The workload while the log is written anew: so many calls after that began.
pub(crate) fn during_a_checkpoint(workload: Workload, calls: usize) -> Workload {
    let name = format!("{}, {calls} calls into a checkpoint", workload.name);
    let begin = |fs: &World| {
        while fs.volume().upkeep_fences() % WHOLE != BEGUN {
            let node = fs.root().lookup(b"crowd")?;
            node.set_attr(SetAttr { mode: Some(node.attr().mode ^ 0o111), ..SetAttr::default() }, now())?;
        }
        Ok(())
    };
    let more = vec![workload.call.clone(); calls];
    let before = [Rc::new(begin) as Step].into_iter().chain(workload.before.clone()).chain(more);
    Workload { name, medium: ByteLen::new(8 << 20), checkpoints: true, before: before.collect(), ..workload }
}

/// The workload, and behind it the rest of the checkpoint that was under way, which changes nothing.
pub(crate) fn finishing_the_checkpoint(workload: Workload) -> Workload {
    let call = workload.call;
    let both = move |fs: &World| {
        call(fs)?;
        fs.volume().compact()
    };
    Workload { name: format!("{}, and to its end", workload.name), call: Rc::new(both), ..workload }
}

/// The whole of a checkpoint as one call.
pub(crate) fn compacting() -> Workload {
    let compact = |fs: &World| fs.volume().compact();
    Workload { checkpoints: true, may_change_nothing: true, ..Workload::new("compact", compact) }
}

/// Later every time, so that no call leaves everything as it was.
fn now() -> Time {
    thread_local!(static SECONDS: Cell<i64> = const { Cell::new(1_000) });
    SECONDS.set(SECONDS.get() + 1);
    Time::new(SECONDS.get(), 1)
}

/// `/a` of 10,000 bytes, `/b` of one block with a second name `/hard`, `/empty`, `/link`, `/dir` with `c` and `sub` in
/// it, and `/other` with nothing.
fn make_tree(fs: &World) -> Result<(), Error> {
    let root = fs.root();
    let file = NewNode::File { mode: 0o644 };
    let directory = NewNode::Directory { mode: 0o755 };
    put(&root.create(b"a", file, now())?, 0, &pattern(1, 10_000))?;
    let b = root.create(b"b", file, now())?;
    put(&b, 0, &pattern(2, BLOCK))?;
    root.link(b"hard", &b, now())?;
    root.create(b"empty", file, now())?;
    root.create(b"link", NewNode::Symlink { target: b"dir/c" }, now())?;
    let dir = root.create(b"dir", directory, now())?;
    put(&dir.create(b"c", file, now())?, 0, &pattern(3, 100))?;
    dir.create(b"sub", directory, now())?;
    root.create(b"other", directory, now())?;
    Ok(())
}

/// `len` bytes, no eight of which are zero.
fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(7).wrapping_add((at >> 8) as u8).wrapping_add(seed) | 1).collect()
}

fn put(node: &Node<SimMedium>, at: u64, bytes: &[u8]) -> Result<(), Error> {
    node.write(WriteAt::Offset(FileOff::new(at)), &mut &bytes[..], now()).map(drop)
}

fn range(at: u64, len: u64) -> FileRange {
    FileRange::with_len(FileOff::new(at), ByteLen::new(len)).expect("a small range")
}

fn find(fs: &World, path: &str) -> Result<Node<SimMedium>, Error> {
    path.split('/').try_fold(fs.root(), |at, name| at.lookup(name.as_bytes()))
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
        rename("exchange two directories", ["dir", "sub"], [".", "other"], Exchange),
    ]
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
        Workload {
            before: vec![Rc::new(|fs| {
                find(fs, "empty")?.fallocate(Fallocate::AllocateKeepSize, range(0, 8192), now())
            })],
            ..write("write to allocated blocks", "empty", 1000, 5000)
        },
        Workload::new("chmod", |fs| {
            // Never what it is, so that it can be repeated.
            let (node, set) = (find(fs, "a")?, SetAttr::default());
            node.set_attr(SetAttr { mode: Some(node.attr().mode ^ 0o111), ..set }, now())
        })
        .repeatable(),
        Workload::new("chown and utimes", |fs| {
            let time = Some(Time::new(7, 7));
            let set = SetAttr { uid: Some(1), gid: Some(2), atime: time, mtime: time, mode: None };
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

/// A write that finds more free runs than a record has room for, each of one block: its extents go to blocks of their own.
pub(crate) fn overflowing() -> Workload {
    const HOLES: u64 = 1400;
    let file = NewNode::File { mode: 0o600 };
    let fill = move |fs: &World, name: &[u8], left: u64| {
        let room = fs.space().available.saturating_sub(left) as usize;
        put(&fs.root().create(name, file, now())?, 0, &vec![2; room * BLOCK])
    };
    let fragment = move |fs: &World| -> Result<(), Error> {
        let fragmented = fs.root().create(b"fragmented", file, now())?;
        put(&fragmented, 0, &vec![1; 2 * HOLES as usize * BLOCK])?;
        // While it is pinned no replaced block is free; then every second one of the file's only run is.
        let pin = fragmented.pin_all()?;
        for hole in 0..HOLES {
            put(&fragmented, hole * 2 * BLOCK as u64, &[3; BLOCK])?;
        }
        fill(fs, b"filler", 32)?;
        drop(pin);
        Ok(())
    };
    let write = |fs: &World| {
        let file = fs.root().lookup(b"empty")?;
        put(&file, 0, &vec![4; (fs.space().available - 128) as usize * BLOCK])?;
        let (pin, mut runs, mut at) = (file.pin_all()?, 0, FileOff::ZERO);
        while at.get() < pin.size() {
            at = pin.iomap(at).end();
            runs += 1;
        }
        assert!(runs > 1024, "only {runs} runs");
        Ok(())
    };
    let name = "write into fragments".to_owned();
    Workload { name, medium: ByteLen::new(24 << 20), before: vec![Rc::new(fragment)], ..Workload::new("", write) }
}

/// All of them.
pub(crate) fn workloads() -> Vec<Workload> {
    on_names().into_iter().chain(on_content()).collect()
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
