//! Processes: groups of threads, and the tree of who made whom.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::signal::{self, CLD_EXITED, CLD_KILLED, SaFlags, Siginfo};
use abi::task::WaitStatus;
use sync::{Mutex, Rank};

use super::group::Owner;
use super::limits::Limits;
use super::wait::WaitQueue;
use super::kill::{self, Sender};
use super::pending::{Actions, NO_ACTIONS, Shared};
use super::usage::Kept;
use super::{Task, flag, sched};
use crate::heap::OutOfMemory;

/// The first program: its end is the end of the machine.
pub(crate) const INIT: u32 = 1;
/// Linux's default `pid_max`.
const LARGEST_ID: u32 = 32_767;

/// A thread group.
pub(crate) struct Process {
    /// Its number: the number of its first thread.
    pub(crate) pid: u32,
    parent: AtomicU32,
    /// The process group and the session, and whether the session's terminal is this process's too; changed under the
    /// tree's lock, by [`super::group`].
    pub(super) group: AtomicU32,
    pub(super) session: AtomicU32,
    pub(super) terminal: AtomicBool,
    /// It has run a program since it was made (Linux: not `PF_FORKNOEXEC`).
    executed: AtomicBool,
    /// What the parent is sent at the end (`exit_signal`), or 0.
    exit_signal: AtomicU32,
    /// Handlers of signals, and signals that wait for a thread that does not block them.
    pub(crate) signals: Mutex<Shared>,
    /// What it may have at most.
    pub(crate) limits: Mutex<Limits>,
    /// [`Limits::file_end`], to be read by every write.
    file_end: AtomicU64,
    /// The absolute path of its program (`/proc/self/exe`).
    exe: Mutex<Arc<[u8]>>,
    /// What threads that ended have used, and children that were waited for.
    pub(super) usage: Mutex<Kept>,
    /// Woken when a child ends.
    pub(super) children: WaitQueue,
    /// Woken when a thread other than the last ends.
    pub(super) threads: WaitQueue,
}

impl Process {
    fn new(pid: u32, of: Lineage, actions: Actions, exe: Arc<[u8]>) -> Self {
        Self {
            pid,
            parent: AtomicU32::new(of.parent),
            group: AtomicU32::new(of.group),
            session: AtomicU32::new(of.session),
            terminal: AtomicBool::new(of.terminal),
            executed: AtomicBool::new(false),
            exit_signal: AtomicU32::new(of.exit_signal),
            signals: Mutex::new(Rank::Process, Shared::new(actions)),
            file_end: AtomicU64::new(of.limits.file_end()),
            limits: Mutex::new(Rank::Process, of.limits),
            exe: Mutex::new(Rank::Process, exe),
            usage: Mutex::new(Rank::Process, Kept::default()),
            children: WaitQueue::new(),
            threads: WaitQueue::new(),
        }
    }

    /// The process that waits for this one, or 0.
    #[inline]
    pub(crate) fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// What the parent is sent at the end, or 0.
    pub(super) fn exit_signal(&self) -> u32 {
        self.exit_signal.load(Ordering::Relaxed)
    }

    /// The absolute path of the program.
    pub(crate) fn exe(&self) -> Arc<[u8]> {
        self.exe.lock().clone()
    }

    /// The byte of a file at which writing ends.
    #[inline]
    pub(crate) fn file_end(&self) -> u64 {
        self.file_end.load(Ordering::Relaxed)
    }

    /// Writing ends at byte `end` of a file from now on.
    pub(crate) fn set_file_end(&self, end: u64) {
        self.file_end.store(end, Ordering::Relaxed);
    }

    /// What a child has from this process.
    fn lineage(&self, exit_signal: u32) -> Lineage {
        let limits = *self.limits.lock();
        let _tree = TREE.lock();
        Lineage {
            parent: self.pid,
            exit_signal,
            group: self.group.load(Ordering::Relaxed),
            session: self.session.load(Ordering::Relaxed),
            terminal: self.terminal.load(Ordering::Relaxed),
            limits,
        }
    }

    /// Whether a program has run in it since it was made.
    pub(super) fn has_executed(&self) -> bool {
        self.executed.load(Ordering::Relaxed)
    }

    /// A program runs in it now: the parent is sent SIGCHLD at its end.
    pub(crate) fn set_executed(&self) {
        self.executed.store(true, Ordering::Relaxed);
        self.exit_signal.store(signal::SIGCHLD, Ordering::Relaxed);
    }

    /// Writes the path of the program, where there is one and nobody holds its lock.
    pub(super) fn show_exe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exe.try_lock() {
            Some(exe) if exe.is_empty() => f.write_str(" (no program)"),
            Some(exe) => write!(f, ", {}", exe.escape_ascii()),
            None => Ok(()),
        }
    }

    /// Names the program.
    pub(crate) fn set_exe(&self, path: Arc<[u8]>) {
        let old = core::mem::replace(&mut *self.exe.lock(), path);
        drop(old);
    }
}

/// How a process is to end, once somebody decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Running,
    Ending(WaitStatus),
    Zombie(WaitStatus),
}

/// What the tree has of a process.
pub(super) struct Entry {
    pub(super) process: Arc<Process>,
    pub(super) threads: Vec<Arc<Task>>,
    pub(super) life: Life,
}

impl Entry {
    /// Decides that the process ends with `status`, unless that is decided already.
    pub(super) fn end(&mut self, status: WaitStatus) {
        if self.life == Life::Running {
            self.life = Life::Ending(status);
            for task in &self.threads {
                task.raise(flag::KILLED);
                sched::wake(task);
            }
        }
    }

    /// Whether nothing is left of it but its status.
    pub(super) fn is_zombie(&self) -> bool {
        matches!(self.life, Life::Zombie(_))
    }
}

/// Every process, by its number, and whose the terminal is.
pub(super) struct Tree {
    pub(super) entries: BTreeMap<u32, Entry>,
    pub(super) terminal: Owner,
    last_id: u32,
}

pub(super) static TREE: Mutex<Tree> =
    Mutex::new(Rank::Tasks, Tree { entries: BTreeMap::new(), terminal: Owner::NOBODY, last_id: 0 });

impl Tree {
    /// A number that no task has.
    fn fresh_id(&mut self) -> Option<u32> {
        for _ in 0..LARGEST_ID {
            self.last_id = self.last_id % LARGEST_ID + 1;
            let id = self.last_id;
            let taken = self.entries.contains_key(&id)
                || self.entries.values().any(|entry| entry.threads.iter().any(|task| task.tid == id));
            if !taken {
                return Some(id);
            }
        }
        None
    }
}

/// A number for a task that is about to be made. The first call answers [`INIT`].
///
/// # Errors
/// [`OutOfMemory`] where every number is taken (Linux: `EAGAIN`).
pub(crate) fn fresh_id() -> Result<u32, OutOfMemory> {
    TREE.lock().fresh_id().ok_or(OutOfMemory)
}

/// How many threads there are, zombies not counted.
pub(crate) fn threads() -> usize {
    TREE.lock().entries.values().map(|entry| entry.threads.len()).sum()
}

/// The process of the CPUs' idle tasks, which nobody finds (Linux: `swapper`). Needs 8 KiB of heap reserved.
pub(crate) fn idle() -> Arc<Process> {
    Arc::new(Process::new(0, Lineage::default(), NO_ACTIONS, Arc::from(&b""[..])))
}

/// The first process: a session and a group of its own, with the terminal. Needs 8 KiB of heap reserved.
pub(crate) fn create_first(pid: u32) -> Arc<Process> {
    let of =
        Lineage { parent: 0, exit_signal: 0, group: pid, session: pid, terminal: true, limits: Limits::default() };
    let process = create(pid, of, NO_ACTIONS, Arc::from(&b""[..]));
    TREE.lock().terminal = Owner { session: pid, foreground: pid };
    process
}

/// A process without threads, child of `parent`, which is sent `exit_signal` at its end. Needs 8 KiB of heap reserved.
pub(crate) fn create_child(pid: u32, parent: &Process, exit_signal: u32) -> Arc<Process> {
    let actions = parent.signals.lock().actions;
    create(pid, parent.lineage(exit_signal), actions, parent.exe())
}

/// What a process has from its parent.
#[derive(Default)]
struct Lineage {
    parent: u32,
    exit_signal: u32,
    group: u32,
    session: u32,
    terminal: bool,
    limits: Limits,
}

fn create(pid: u32, of: Lineage, actions: Actions, exe: Arc<[u8]>) -> Arc<Process> {
    let process = Arc::new(Process::new(pid, of, actions, exe));
    let entry = Entry { process: process.clone(), threads: Vec::new(), life: Life::Running };
    TREE.lock().entries.insert(pid, entry);
    process
}

/// Takes a process that never had a thread out again.
pub(crate) fn abandon(pid: u32) {
    let gone = TREE.lock().entries.remove(&pid);
    drop(gone);
}

/// Makes `task` a thread of its process.
///
/// # Errors
/// [`OutOfMemory`], also where the process is ending: the caller ends too.
pub(crate) fn join(task: &Arc<Task>) -> Result<(), OutOfMemory> {
    let mut tree = TREE.lock();
    let entry = tree.entries.get_mut(&task.process.pid).ok_or(OutOfMemory)?;
    if entry.life != Life::Running {
        return Err(OutOfMemory);
    }
    entry.threads.try_reserve(1).map_err(|_| OutOfMemory)?;
    entry.threads.push(task.clone());
    Ok(())
}

/// Tells every other thread of `task`'s process to end.
fn kill_others(entry: &Entry, task: &Task) {
    for other in entry.threads.iter().filter(|other| other.tid != task.tid) {
        other.raise(flag::KILLED);
        sched::wake(other);
    }
}

/// Decides that the process of `task` ends with `status`, unless that is decided already.
pub(super) fn begin_end(task: &Task, status: WaitStatus) {
    let mut tree = TREE.lock();
    let Some(entry) = tree.entries.get_mut(&task.process.pid) else { return };
    if entry.life == Life::Running {
        entry.life = Life::Ending(status);
        kill_others(entry, task);
    }
}

/// Ends every other thread of `task`'s process and waits until they are gone (Linux: `de_thread`).
///
/// # Errors
/// [`super::wait::Interrupted`] where another thread was first to end the process.
pub(crate) fn become_single(task: &Task) -> Result<(), super::wait::Interrupted> {
    let alone = || {
        let tree = TREE.lock();
        let entry = tree.entries.get(&task.process.pid)?;
        kill_others(entry, task);
        (entry.threads.len() == 1).then_some(())
    };
    task.process.threads.wait_until(alone)
}

/// What is left of a process when a thread has gone.
pub(super) enum Left {
    /// Other threads.
    Threads,
    /// Nothing: it ended with this status.
    Nothing(WaitStatus),
}

/// Takes `task` out of its process. `status` counts where it is the last thread and nobody decided before.
pub(super) fn leave(task: &Task, status: WaitStatus) -> Left {
    let mut tree = TREE.lock();
    let pid = task.process.pid;
    let Some(entry) = tree.entries.get_mut(&pid) else { return Left::Threads };
    entry.process.usage.lock().inherit(task);
    let gone = entry.threads.iter().position(|other| other.tid == task.tid).map(|at| entry.threads.swap_remove(at));
    if !entry.threads.is_empty() {
        entry.process.threads.wake_all();
        drop(tree);
        drop(gone);
        // It may have been told of signals that wait for any thread (`exit_signals`).
        let waiting = task.process.signals.lock().pending.set();
        if !waiting.is_empty() {
            super::deliver::hand_on(task, waiting);
        }
        return Left::Threads;
    }
    let status = match entry.life {
        Life::Ending(decided) | Life::Zombie(decided) => decided,
        Life::Running => status,
    };
    entry.life = Life::Zombie(status);
    tree.release_terminal_of(pid);
    tree.adopt_children_of(pid);
    // Dropped without the tree.
    let forgotten = tree.tell_parent_of(pid, status);
    drop(tree);
    drop((gone, forgotten));
    Left::Nothing(status)
}

impl Tree {
    /// Gives the children of `pid` to init.
    fn adopt_children_of(&mut self, pid: u32) {
        // The machine ends with init, and nobody is left to adopt.
        if pid == INIT {
            return;
        }
        while let Some((&child, entry)) = self.entries.iter().find(|(_, entry)| entry.process.parent() == pid) {
            // To init every child is one like any other.
            entry.process.exit_signal.store(signal::SIGCHLD, Ordering::Relaxed);
            entry.process.parent.store(INIT, Ordering::Relaxed);
            if let Life::Zombie(status) = entry.life {
                drop(self.tell_parent_of(child, status));
            }
        }
    }

    /// The process `pid` has ended: its parent is sent the signal it asked for, and those who wait look again. Answers the
    /// process where nobody will ever ask for it: it has no parent, or one that wants no zombies (`do_notify_parent`).
    fn tell_parent_of(&mut self, pid: u32, status: WaitStatus) -> Option<Entry> {
        let child = &self.entries.get(&pid)?.process;
        let (parent, number) = (child.parent(), child.exit_signal());
        let child_ticks = child.usage.lock().own().ticks();
        let Some(parent) = self.entries.get_mut(&parent) else { return self.entries.remove(&pid) };
        let action = parent.process.signals.lock().action(number);
        let ignored = number == signal::SIGCHLD && action.handler == signal::SIG_IGN;
        let no_zombie = SaFlags::from_bits_retain(action.flags).contains(SaFlags::NOCLDWAIT);
        let forgotten = ignored || number == signal::SIGCHLD && no_zombie;
        if (1..=signal::COUNT).contains(&number) && !ignored {
            let (code, word) = told(status);
            let info = Siginfo::child(number, code, pid, word).after_ticks(child_ticks);
            kill::post(parent, None, info, Sender::Kernel);
        }
        parent.process.children.wake_all();
        if forgotten { self.entries.remove(&pid) } else { None }
    }
}

/// `CLD_*`, and the exit code or the signal, of a process that ended.
pub(super) fn told(status: WaitStatus) -> (i32, u32) {
    match status.exit_code() {
        Some(code) => (CLD_EXITED, code.into()),
        None => (CLD_KILLED, status.signal().unwrap_or(0)),
    }
}
