//! Where a program stands: its working directory and its umask (Linux's `fs_struct`).
//!
//! Threads share one; `clone` without `CLONE_FS` copies it.

use super::Vnode;
use super::special::Special;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use sync::{Mutex, Rank};

/// Working directory and umask.
pub(crate) struct Place {
    cwd: Mutex<Vnode>,
    umask: AtomicU32,
}

impl Place {
    /// At the root, with the umask 022.
    pub(crate) fn new() -> Self {
        Self { cwd: Mutex::new(Rank::WorkingDirectory, super::root()), umask: AtomicU32::new(0o022) }
    }

    /// A place of its own that begins the same.
    pub(crate) fn copy(&self) -> Self {
        Self { cwd: Mutex::new(Rank::WorkingDirectory, self.cwd()), umask: AtomicU32::new(self.umask.load(Relaxed)) }
    }

    /// The working directory. A place made before there was a mounted root stands at `/`, whatever that is by now.
    pub(crate) fn cwd(&self) -> Vnode {
        let here = self.cwd.lock().clone();
        if matches!(here, Vnode::Kernel(Special::Root)) { super::root() } else { here }
    }

    /// Moves to `to`, which is a directory.
    pub(crate) fn change(&self, to: Vnode) {
        // The directory left may be an unlinked one, which is then freed: not under the lock.
        let left = core::mem::replace(&mut *self.cwd.lock(), to);
        drop(left);
    }

    /// The permission bits a new file of `mode` gets.
    pub(crate) fn masked(&self, mode: u32) -> u32 {
        mode & !self.umask.load(Relaxed)
    }

    /// Sets the umask and answers the old one.
    pub(crate) fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Relaxed)
    }
}
