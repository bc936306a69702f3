//! A program's descriptors: small numbers for open files.
//!
//! Threads share one [`Files`]; `clone` without `CLONE_FILES` copies it. A descriptor is reserved before the file
//! behind it is opened, as in Linux, so that a full table refuses before anything was created. Files that leave the
//! table are dropped after its lock: closing may be the end of an unlinked file.

use super::File;
use super::file::{Number, Owner, end_all_records};
use abi::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use sync::{Mutex, Rank};

/// A set of descriptors.
#[derive(Clone)]
struct Bits([u64; Files::LIMIT / 64]);

impl Bits {
    const NONE: Self = Self([0; Files::LIMIT / 64]);

    fn has(&self, fd: usize) -> bool {
        self.0[fd / 64] >> (fd % 64) & 1 != 0
    }

    #[inline]
    fn put(&mut self, fd: usize, is_in: bool) {
        let bit = 1 << (fd % 64);
        if is_in { self.0[fd / 64] |= bit } else { self.0[fd / 64] &= !bit }
    }

    /// The lowest number from `from` on that is not in the set.
    fn lowest_absent(&self, from: usize) -> Option<usize> {
        let below = (1_u64 << (from % 64)) - 1;
        let words = self.0.iter().enumerate().skip(from / 64);
        let mut full = words.map(|(index, &word)| (index, if index == from / 64 { word | below } else { word }));
        full.find(|&(_, word)| word != u64::MAX).map(|(index, word)| index * 64 + word.trailing_ones() as usize)
    }
}

struct Table {
    slots: Vec<Option<Arc<File>>>,
    /// Descriptors in use; one that is here without a file in its slot is reserved.
    used: Bits,
    close_on_exec: Bits,
}

impl Table {
    /// Makes sure that `fd` has a slot.
    #[inline]
    fn make_room(&mut self, fd: usize) -> Result<(), Errno> {
        if fd >= self.slots.len() {
            let len = (fd + 1).next_power_of_two().clamp(16, Files::LIMIT);
            self.slots.try_reserve_exact(len - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize_with(len, || None);
        }
        Ok(())
    }

    #[inline]
    fn reserve(&mut self, from: usize, cloexec: bool) -> Result<usize, Errno> {
        let fd = self.used.lowest_absent(from).ok_or(Errno::EMFILE)?;
        self.make_room(fd)?;
        self.used.put(fd, true);
        self.close_on_exec.put(fd, cloexec);
        Ok(fd)
    }

    fn file(&self, fd: i32) -> Result<&Arc<File>, Errno> {
        // A negative number becomes one far behind the table.
        self.slots.get(fd as u32 as usize).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    #[inline]
    fn remove(&mut self, fd: usize) -> Option<Arc<File>> {
        let file = self.slots.get_mut(fd)?.take()?;
        self.used.put(fd, false);
        self.close_on_exec.put(fd, false);
        Some(file)
    }
}

/// A table of open files.
pub(crate) struct Files {
    table: Mutex<Table>,
    /// The number by which its locks on ranges of files are known.
    locks: Number,
}

/// A descriptor that is taken but opens nothing yet; free again when this is dropped.
#[must_use = "the descriptor is free again when this is dropped"]
pub(crate) struct Reserved<'a> {
    files: &'a Files,
    fd: usize,
}

impl Reserved<'_> {
    /// Lets the descriptor name `file`, and answers it.
    #[inline]
    pub(crate) fn install(self, file: Arc<File>) -> u64 {
        let fd = self.fd;
        self.files.table.lock().slots[fd] = Some(file);
        core::mem::forget(self);
        fd as u64
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut table = self.files.table.lock();
        table.used.put(self.fd, false);
        table.close_on_exec.put(self.fd, false);
    }
}

/// What [`Files::close_range`] does to each descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// Close it.
    Now,
    /// Mark it to be closed by `execve`.
    OnExec,
}

impl Files {
    /// Descriptors a program may have (`RLIMIT_NOFILE`): they are 0 up to one less.
    pub(crate) const LIMIT: usize = 1024;

    /// No open files.
    pub(crate) const fn new() -> Self {
        let table = Table { slots: Vec::new(), used: Bits::NONE, close_on_exec: Bits::NONE };
        Self { table: Mutex::new(Rank::Files, table), locks: Number::new() }
    }

    /// Descriptors 0, 1 and 2 on the terminal: one open file, as a shell hands on.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new_console() -> Result<Self, Errno> {
        let files = Self::new();
        let terminal = File::terminal()?;
        for _ in 0..3 {
            files.reserve(0, false)?.install(terminal.clone());
        }
        Ok(files)
    }

    /// A table of its own with the same open files (`clone` without `CLONE_FILES`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn copy(&self) -> Result<Self, Errno> {
        let table = self.table.lock();
        let mut slots = Vec::new();
        slots.try_reserve_exact(table.slots.len()).map_err(|_| Errno::ENOMEM)?;
        slots.extend(table.slots.iter().cloned());
        let (mut used, mut close_on_exec) = (table.used.clone(), table.close_on_exec.clone());
        for (fd, slot) in slots.iter().enumerate() {
            // What another thread has reserved is not ours.
            if slot.is_none() {
                used.put(fd, false);
                close_on_exec.put(fd, false);
            }
        }
        let table = Mutex::new(Rank::Files, Table { slots, used, close_on_exec });
        Ok(Self { table, locks: Number::new() })
    }

    /// The open file behind `fd`, to be read, written or mapped.
    ///
    /// # Errors
    /// `EBADF`, also for a descriptor opened with `O_PATH`.
    #[inline]
    pub(crate) fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let table = self.table.lock();
        let file = table.file(fd)?;
        if file.is_path() { Err(Errno::EBADF) } else { Ok(file.clone()) }
    }

    /// The open file behind `fd`, opened with `O_PATH` or not (Linux's `fdget_raw`).
    ///
    /// # Errors
    /// `EBADF`.
    #[inline]
    pub(crate) fn get_raw(&self, fd: i32) -> Result<Arc<File>, Errno> {
        self.table.lock().file(fd).cloned()
    }

    /// Takes the lowest free descriptor not below `from`.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    #[inline]
    pub(crate) fn reserve(&self, from: usize, cloexec: bool) -> Result<Reserved<'_>, Errno> {
        let fd = self.table.lock().reserve(from, cloexec)?;
        Ok(Reserved { files: self, fd })
    }

    /// Gives the file behind `fd` a second descriptor, the lowest free one not below `from`.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where `from` is no descriptor; `EMFILE`, `ENOMEM`.
    pub(crate) fn duplicate(&self, fd: i32, from: u64, cloexec: bool) -> Result<u64, Errno> {
        let mut table = self.table.lock();
        let file = table.file(fd)?.clone();
        if from >= Self::LIMIT as u64 {
            return Err(Errno::EINVAL);
        }
        let new = table.reserve(from as usize, cloexec)?;
        table.slots[new] = Some(file);
        Ok(new as u64)
    }

    /// Makes `new` another descriptor of the file behind `old`, closing what it was.
    ///
    /// # Errors
    /// `EINVAL` where the two are the same; `EBADF`; `EBUSY` while another thread is opening `new`; `ENOMEM`.
    pub(crate) fn duplicate_to(&self, old: i32, new: i32, cloexec: bool) -> Result<u64, Errno> {
        if old == new {
            return Err(Errno::EINVAL);
        }
        let to = new as u32 as usize;
        if to >= Self::LIMIT {
            return Err(Errno::EBADF);
        }
        let mut table = self.table.lock();
        let file = table.file(old)?.clone();
        table.make_room(to)?;
        if table.used.has(to) && table.slots[to].is_none() {
            return Err(Errno::EBUSY);
        }
        let closed = table.slots[to].replace(file);
        table.used.put(to, true);
        table.close_on_exec.put(to, cloexec);
        drop(table);
        self.ended(closed);
        Ok(to as u64)
    }

    /// Whose the locks on ranges of files are that are taken by way of this table.
    pub(crate) fn lock_owner(&self) -> Owner {
        Owner::Files(self.locks.get())
    }

    /// Lets go of what was behind a descriptor: the last one of a file or not, the locks on ranges of it go
    /// (`locks_remove_posix`).
    #[inline]
    fn ended(&self, closed: Option<Arc<File>>) {
        if let (Some(file), Some(number)) = (closed, self.locks.given())
            && !file.is_path()
        {
            file.end_records(number);
        }
    }

    /// Ends `fd`.
    ///
    /// # Errors
    /// `EBADF`.
    #[inline]
    pub(crate) fn close(&self, fd: i32) -> Result<(), Errno> {
        let closed = self.table.lock().remove(fd as u32 as usize);
        if closed.is_none() {
            return Err(Errno::EBADF);
        }
        self.ended(closed);
        Ok(())
    }

    /// Ends or marks every open descriptor from `first` to `last`.
    pub(crate) fn close_range(&self, first: u32, last: u32, closing: Closing) {
        let end = self.table.lock().slots.len().min((last as usize).saturating_add(1));
        for fd in first as usize..end {
            match closing {
                Closing::Now => {
                    let closed = self.table.lock().remove(fd);
                    self.ended(closed);
                }
                Closing::OnExec => {
                    let mut table = self.table.lock();
                    let open = table.slots[fd].is_some();
                    table.close_on_exec.put(fd, open);
                }
            }
        }
    }

    /// Ends what was to end at `execve`.
    pub(crate) fn close_on_exec(&self) {
        let len = self.table.lock().slots.len();
        for fd in 0..len {
            let mut table = self.table.lock();
            let closed = if table.close_on_exec.has(fd) { table.remove(fd) } else { None };
            drop(table);
            self.ended(closed);
        }
    }

    /// Whether `fd` ends at `execve`.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn is_cloexec(&self, fd: i32) -> Result<bool, Errno> {
        let table = self.table.lock();
        table.file(fd)?;
        Ok(table.close_on_exec.has(fd as usize))
    }

    /// Says whether `fd` ends at `execve`.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn set_cloexec(&self, fd: i32, cloexec: bool) -> Result<(), Errno> {
        let mut table = self.table.lock();
        table.file(fd)?;
        table.close_on_exec.put(fd as usize, cloexec);
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(number) = self.locks.given() {
            end_all_records(Owner::Files(number));
        }
    }
}
