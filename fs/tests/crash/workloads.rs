//! What is cut: a call, what happens before it, and the small tree it happens in.
//!
//! [`calls`](crate::calls) are the calls themselves, [`special`](crate::special) what they meet: a full medium, a checkpoint,
//! the end of a log segment.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use fs::{Error, Fs, Mount, NewNode, Node, Time, WriteAt};
use fs_explore::fresh_with;
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff, FileRange};

/// A mounted file system.
pub(crate) type World = Arc<Fs<SimMedium>>;
/// Something done to it.
pub(crate) type Step = Rc<dyn Fn(&World) -> Result<(), Error>>;

/// Bytes in a block.
pub(crate) const BLOCK: usize = 4096;
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
    pub(crate) checkpoints: bool,
    /// The medium to begin on; an empty file system where there is none.
    pub(crate) start: Option<Rc<dyn Fn() -> SimMedium>>,
    /// What happens before it.
    pub(crate) before: Vec<Step>,
    /// The call.
    pub(crate) call: Step,
    /// Whether another call came before it, which may have taken its files away or done its work.
    pub(crate) is_second: bool,
    /// Whether the tree may be the same behind it.
    pub(crate) may_change_nothing: bool,
}

impl Workload {
    /// A call on the small tree.
    pub(crate) fn new(name: &str, call: impl Fn(&World) -> Result<(), Error> + 'static) -> Self {
        Self {
            name: name.to_owned(),
            medium: MEDIUM,
            can_turn: false,
            checkpoints: false,
            start: None,
            before: Vec::new(),
            call: Rc::new(call),
            is_second: false,
            may_change_nothing: false,
        }
    }

    /// The same, which can be repeated for ever.
    pub(crate) fn repeatable(mut self) -> Self {
        self.can_turn = true;
        self
    }

    /// A file system for it, the same every time.
    pub(crate) fn world(&self) -> World {
        let medium = self.start.as_ref().map(|start| start());
        SECONDS.set(1_000);
        match medium {
            Some(medium) => self.mounted(medium),
            None => fresh_with(self.medium, self.mount()).expect("a fresh file system"),
        }
    }

    /// Mounts `medium` for it.
    pub(crate) fn mounted(&self, medium: SimMedium) -> World {
        Fs::mount(medium, self.mount()).expect("a medium to begin on")
    }

    fn mount(&self) -> Mount {
        Mount { slack: self.checkpoints.then_some(ByteLen::ZERO), ..Mount::default() }
    }

    /// This, behind `step`.
    pub(crate) fn behind(mut self, step: impl Fn(&World) -> Result<(), Error> + 'static) -> Self {
        self.before.push(Rc::new(step));
        self
    }

    /// The small tree, and the calls that come before the one explored.
    ///
    /// # Errors
    /// What could not be made.
    pub(crate) fn set_up(&self, fs: &World) -> Result<(), Error> {
        if self.start.is_some() {
            return self.before.iter().try_for_each(|step| step(fs));
        }
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

/// Files that make a checkpoint take several calls.
const CROWD: usize = 120;

fn crowd(fs: &World) -> Result<(), Error> {
    let crowd = fs.root().create(b"crowd", NewNode::Directory { mode: 0o700 }, now())?;
    (0..CROWD).try_for_each(|number| {
        crowd.create(format!("one of many, number {number}").as_bytes(), NewNode::File { mode: 0 }, now()).map(drop)
    })
}

thread_local!(static SECONDS: Cell<i64> = const { Cell::new(0) });

/// Later every time, so that no call leaves everything as it was.
pub(crate) fn now() -> Time {
    SECONDS.set(SECONDS.get() + 1);
    Time::new(SECONDS.get(), 1)
}

/// `/a` of 10,000 bytes, `/b` of one block with a second name `/hard`, `/empty`, `/link`, `/dir` with `c` and `sub` in
/// it, and `/other` with nothing.
pub(crate) fn make_tree(fs: &World) -> Result<(), Error> {
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
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(7).wrapping_add((at >> 8) as u8).wrapping_add(seed) | 1).collect()
}

/// Writes all of `bytes` at `at`.
pub(crate) fn put(node: &Node<SimMedium>, at: u64, bytes: &[u8]) -> Result<(), Error> {
    node.write(WriteAt::Offset(FileOff::new(at)), &mut &bytes[..], now()).map(drop)
}

/// A range of a file.
pub(crate) fn range(at: u64, len: u64) -> FileRange {
    FileRange::with_len(FileOff::new(at), ByteLen::new(len)).expect("a small range")
}

/// What a path without a leading `/` leads to.
pub(crate) fn find(fs: &World, path: &str) -> Result<Node<SimMedium>, Error> {
    path.split('/').try_fold(fs.root(), |at, name| at.lookup(name.as_bytes()))
}
