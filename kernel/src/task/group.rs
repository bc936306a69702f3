//! Process groups and sessions, and whose the terminal is: who gets ^C, and who may read.
//!
//! There is one terminal. A session may have it as its controlling terminal; one of the session's groups is in the
//! foreground. The first process is born with all of that: a session and a group of its own, in the foreground, as if
//! some earlier one had called `setsid` and opened the terminal for it.
//!
//! Stopping and continuing (job control) is not there yet: where Linux would stop a group in the background, a read is
//! `EIO`, as it is on Linux for a program that ignores SIGTTIN, and a change of the terminal goes through, as for one
//! that ignores SIGTTOU.

use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use abi::signal::{self, SI_KERNEL, Siginfo};

use super::kill::{self, Sender};
use super::process::{Entry, Process, TREE, Tree};
use super::{Task, current};
use crate::syscall::Args;

/// Whose the terminal is: the numbers of a session and of its group in the foreground.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    /// The session it controls, or 0.
    pub(super) session: u32,
    /// The group that gets ^C, or 0.
    pub(super) foreground: u32,
}

impl Owner {
    /// No session's.
    pub(super) const NOBODY: Self = Self { session: 0, foreground: 0 };
}

/// How a session wants the terminal (`TIOCSCTTY`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// If it is nobody's.
    Free,
    /// Even from another session.
    Any,
}

/// The group of a process.
pub(super) fn of(process: &Process) -> u32 {
    process.group.load(Relaxed)
}

fn session_of(process: &Process) -> u32 {
    process.session.load(Relaxed)
}

impl Process {
    /// Whether a session begins with it.
    fn leads_session(&self) -> bool {
        session_of(self) == self.pid
    }

    /// Whether the terminal is this process's controlling terminal.
    pub(crate) fn has_terminal(&self) -> bool {
        self.terminal.load(Relaxed)
    }
}

impl Tree {
    /// A process of the group `group`, if there is one, ended ones included until they are waited for.
    fn member(&self, group: u32) -> Option<&Entry> {
        self.entries.values().find(|entry| of(&entry.process) == group)
    }

    /// The process whose group or session somebody asks for; 0 is the caller's own.
    fn asked(&self, pid: i32, caller: &Process) -> Result<&Entry, Errno> {
        let pid = if pid == 0 { caller.pid } else { u32::try_from(pid).map_err(|_| Errno::ESRCH)? };
        let has = |entry: &&Entry| entry.threads.iter().any(|task| task.tid == pid);
        self.entries.get(&pid).or_else(|| self.entries.values().find(has)).ok_or(Errno::ESRCH)
    }

    /// A process has ended: if a session began with it, the session loses the terminal, and the foreground hears of it
    /// (`disassociate_ctty`).
    pub(super) fn release_terminal_of(&mut self, leader: u32) {
        if self.terminal.session != leader {
            return;
        }
        let foreground = self.terminal.foreground;
        for entry in self.entries.values_mut() {
            if session_of(&entry.process) == leader {
                entry.process.terminal.store(false, Relaxed);
            }
            if of(&entry.process) == foreground {
                kill::post(entry, None, Siginfo::new(signal::SIGHUP, SI_KERNEL), Sender::Terminal);
            }
        }
        self.terminal = Owner::NOBODY;
    }
}

/// `setpgid(pid, group)`.
///
/// # Errors
/// As Linux's, in its order: `EINVAL`, `ESRCH`, `EPERM`, `EACCES`.
pub(crate) fn sys_setpgid(a: &Args) -> Result<u64, Errno> {
    let (pid, group) = (a.a[0] as i32, a.a[1] as i32);
    let caller = &current().process;
    let group = match (group, pid) {
        (..0, _) => return Err(Errno::EINVAL),
        (0, 0) => caller.pid,
        (0, pid) => pid as u32,
        (group, _) => group as u32,
    };
    let tree = TREE.lock();
    let process = &tree.asked(pid, caller)?.process;
    if pid != 0 && process.pid != pid as u32 {
        return Err(Errno::EINVAL);
    }
    if process.parent() == caller.pid {
        if session_of(process) != session_of(caller) {
            return Err(Errno::EPERM);
        }
        if process.has_executed() {
            return Err(Errno::EACCES);
        }
    } else if process.pid != caller.pid {
        return Err(Errno::ESRCH);
    }
    let joins = |entry: &Entry| session_of(&entry.process) == session_of(caller);
    if process.leads_session() || group != process.pid && !tree.member(group).is_some_and(joins) {
        return Err(Errno::EPERM);
    }
    process.group.store(group, Relaxed);
    Ok(0)
}

/// `getpgid(pid)`.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn sys_getpgid(a: &Args) -> Result<u64, Errno> {
    let caller = &current().process;
    TREE.lock().asked(a.a[0] as i32, caller).map(|entry| of(&entry.process).into())
}

/// `getsid(pid)`.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn sys_getsid(a: &Args) -> Result<u64, Errno> {
    let caller = &current().process;
    TREE.lock().asked(a.a[0] as i32, caller).map(|entry| session_of(&entry.process).into())
}

/// `setsid()`.
///
/// # Errors
/// `EPERM` where the caller leads a session, or there is a group of its number.
pub(crate) fn sys_setsid(_: &Args) -> Result<u64, Errno> {
    let process = &current().process;
    let tree = TREE.lock();
    if process.leads_session() || tree.member(process.pid).is_some() {
        return Err(Errno::EPERM);
    }
    process.group.store(process.pid, Relaxed);
    process.session.store(process.pid, Relaxed);
    process.terminal.store(false, Relaxed);
    Ok(process.pid.into())
}

/// The group in the foreground, for a process whose controlling terminal this is (`TIOCGPGRP`).
///
/// # Errors
/// `ENOTTY`.
pub(crate) fn foreground(task: &Task) -> Result<u32, Errno> {
    let tree = TREE.lock();
    if task.process.has_terminal() { Ok(tree.terminal.foreground) } else { Err(Errno::ENOTTY) }
}

/// The session whose controlling terminal this is, for a process of it (`TIOCGSID`).
///
/// # Errors
/// `ENOTTY`.
pub(crate) fn terminal_session(task: &Task) -> Result<u32, Errno> {
    let tree = TREE.lock();
    if task.process.has_terminal() { Ok(tree.terminal.session) } else { Err(Errno::ENOTTY) }
}

/// Puts a group of the caller's session into the foreground (`TIOCSPGRP`).
///
/// # Errors
/// `EINVAL`, `ENOTTY`, `ESRCH`, `EPERM`.
pub(crate) fn set_foreground(task: &Task, group: i32) -> Result<(), Errno> {
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let process = &task.process;
    let mut tree = TREE.lock();
    if !process.has_terminal() || tree.terminal.session != session_of(process) {
        return Err(Errno::ENOTTY);
    }
    let member = tree.member(group).ok_or(Errno::ESRCH)?;
    if session_of(&member.process) != session_of(process) {
        return Err(Errno::EPERM);
    }
    tree.terminal.foreground = group;
    Ok(())
}

/// Makes the terminal the caller's controlling terminal (`TIOCSCTTY`).
///
/// # Errors
/// `EPERM` where the caller leads no session or has a terminal, or the terminal is another session's.
pub(crate) fn claim_terminal(task: &Task, how: Claim) -> Result<(), Errno> {
    let process = &task.process;
    let mut tree = TREE.lock();
    let session = session_of(process);
    if process.leads_session() && tree.terminal.session == session {
        return Ok(());
    }
    if !process.leads_session() || process.has_terminal() {
        return Err(Errno::EPERM);
    }
    if tree.terminal.session != 0 {
        if how == Claim::Free {
            return Err(Errno::EPERM);
        }
        let before = tree.terminal.session;
        for entry in tree.entries.values().filter(|entry| session_of(&entry.process) == before) {
            entry.process.terminal.store(false, Relaxed);
        }
    }
    process.terminal.store(true, Relaxed);
    tree.terminal = Owner { session, foreground: of(process) };
    Ok(())
}

/// Gives the controlling terminal up (`TIOCNOTTY`): the leader of a session for all of it, others for themselves.
///
/// # Errors
/// `ENOTTY` where the caller has none.
pub(crate) fn give_up_terminal(task: &Task) -> Result<(), Errno> {
    let process = &task.process;
    let mut tree = TREE.lock();
    if !process.has_terminal() {
        return Err(Errno::ENOTTY);
    }
    if process.leads_session() {
        tree.release_terminal_of(process.pid);
    }
    process.terminal.store(false, Relaxed);
    Ok(())
}

/// Refuses a read from the background.
///
/// # Errors
/// `EIO`.
pub(crate) fn check_foreground(task: &Task) -> Result<(), Errno> {
    let tree = TREE.lock();
    let background = task.process.has_terminal() && tree.terminal.foreground != of(&task.process);
    if background && tree.terminal.foreground != 0 { Err(Errno::EIO) } else { Ok(()) }
}

/// Sends a signal of the terminal to the group in the foreground.
pub(crate) fn signal_foreground(signal: u32) {
    let mut tree = TREE.lock();
    let foreground = tree.terminal.foreground;
    for entry in tree.entries.values_mut().filter(|entry| foreground != 0 && of(&entry.process) == foreground) {
        kill::post(entry, None, Siginfo::new(signal, SI_KERNEL), Sender::Terminal);
    }
}
