//! `wait4` and `waitid`: learning that a child has ended, and letting it go.

use abi::Errno;
use abi::signal::{SIGCHLD, Siginfo};
use abi::task::{IdType, WaitOptions, WaitStatus};

use super::group;
use super::process::{self, Entry, Life, Process, TREE};
use super::usage::Used;
use super::current;
use crate::syscall::Args;
use crate::uaccess::{UserPtr, write_user};

/// Which children are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// Any child.
    Any,
    /// The one with this number.
    Pid(u32),
    /// Those of this process group.
    Group(u32),
}

/// What is asked of whom (`struct wait_opts`).
struct Wanted {
    which: Which,
    options: WaitOptions,
}

/// A child that has ended.
struct Ended {
    pid: u32,
    status: WaitStatus,
    /// With what its own children used.
    used: Used,
}

/// What a look at the children found.
enum Found {
    /// This one has ended; it is gone now unless it was to stay (`WNOWAIT`).
    Child(Ended),
    /// They all run.
    NoneYet,
    /// There is no such child.
    NoChild,
}

impl Wanted {
    /// Whether the process is meant (`eligible_child`). Nobody can tell the threads of the parent apart.
    fn meant(&self, process: &Process) -> bool {
        let by_kind = self.options.contains(WaitOptions::ALL)
            || self.options.contains(WaitOptions::CLONE) != (process.exit_signal() == SIGCHLD);
        by_kind
            && match self.which {
                Which::Any => true,
                Which::Pid(pid) => process.pid == pid,
                Which::Group(wanted) => group::of(process) == wanted,
            }
    }

    /// Looks at the children of `parent`.
    fn look(&self, parent: &Process) -> Found {
        let mut tree = TREE.lock();
        let mut found = Found::NoChild;
        let children = |entry: &&Entry| entry.process.parent() == parent.pid && self.meant(&entry.process);
        for entry in tree.entries.values().filter(children) {
            match entry.life {
                Life::Zombie(status) if self.options.contains(WaitOptions::EXITED) => {
                    let used = entry.process.usage.lock().whole();
                    found = Found::Child(Ended { pid: entry.process.pid, status, used });
                    break;
                }
                // Nobody will ever learn anything else of it.
                Life::Zombie(_) => {}
                Life::Running | Life::Ending(_) => found = Found::NoneYet,
            }
        }
        if let Found::Child(Ended { pid, used, .. }) = &found
            && !self.options.contains(WaitOptions::NOWAIT)
        {
            let gone = tree.entries.remove(pid);
            drop(tree);
            parent.usage.lock().inherit_child(*used);
            drop(gone);
        }
        found
    }

    /// Waits for a child, unless it is not to; `None` where none has ended then.
    fn wait(&self) -> Result<Option<Ended>, Errno> {
        let process = &current().process;
        let look = || match self.look(process) {
            Found::Child(ended) => Some(Ok(Some(ended))),
            Found::NoChild => Some(Err(Errno::ECHILD)),
            Found::NoneYet if self.options.contains(WaitOptions::NOHANG) => Some(Ok(None)),
            Found::NoneYet => None,
        };
        process.children.wait_until_deadline(None, look).map_err(|_| Errno::EINTR)?
    }
}

/// `wait4(pid, status, options, usage)`.
pub(crate) fn sys_wait4(a: &Args) -> Result<u64, Errno> {
    let [pid, to, options, usage, ..] = a.a;
    let options = WaitOptions::from_bits(options as u32)
        .filter(|options| !options.intersects(WaitOptions::EXITED | WaitOptions::NOWAIT))
        .ok_or(Errno::EINVAL)?;
    let which = match pid as i32 {
        pid @ 1.. => Which::Pid(pid as u32),
        -1 => Which::Any,
        i32::MIN => return Err(Errno::ESRCH),
        0 => Which::Group(group::of(&current().process)),
        group => Which::Group(group.unsigned_abs()),
    };
    let wanted = Wanted { which, options: options | WaitOptions::EXITED };
    let Some(Ended { pid, status, used }) = wanted.wait()? else { return Ok(0) };
    if to != 0 {
        write_user(UserPtr::new(to), &status)?;
    }
    if usage != 0 {
        write_user(UserPtr::new(usage), &used.rusage())?;
    }
    Ok(pid.into())
}

/// `waitid(kind, id, info, options, usage)`. Children that stopped or continued can be asked for; there are none.
pub(crate) fn sys_waitid(a: &Args) -> Result<u64, Errno> {
    const KINDS: WaitOptions = WaitOptions::EXITED.union(WaitOptions::UNTRACED).union(WaitOptions::CONTINUED);
    let [kind, id, to, options, usage, _] = a.a;
    let options = WaitOptions::from_bits(options as u32).ok_or(Errno::EINVAL)?;
    if !options.intersects(KINDS) {
        return Err(Errno::EINVAL);
    }
    let id = id as i32;
    let which = match IdType::of(kind as u32) {
        Some(IdType::All) => Which::Any,
        Some(IdType::Pid) if id > 0 => Which::Pid(id as u32),
        Some(IdType::Group) if id == 0 => Which::Group(group::of(&current().process)),
        Some(IdType::Group) if id > 0 => Which::Group(id as u32),
        _ => return Err(Errno::EINVAL),
    };
    let found = Wanted { which, options }.wait()?;
    if let (true, Some(ended)) = (usage != 0, &found) {
        write_user(UserPtr::new(usage), &ended.used.rusage())?;
    }
    if to != 0 {
        let info = found.map_or(Siginfo::default(), |ended| {
            let (code, word) = process::told(ended.status);
            Siginfo::child(SIGCHLD, code, ended.pid, word)
        });
        write_user(UserPtr::new(to), &info)?;
    }
    Ok(0)
}
