//! A file's own bytes, lent: the safe face of `peek` and `unpeek`.

use core::ops::Deref;

use abi::{Errno, nr};

use crate::call::call;
use crate::file::Fd;

/// Bytes of a file as they were when [`Peek::new`] returned, mapped where they lie in persistent memory.
///
/// Whatever happens to the file afterwards, these bytes stay as they are until this value is dropped: that is the
/// kernel's promise, and the reason why lending them as `&[u8]` is sound although other programs may write the file.
/// Reading a page wholly past the end the file had is answered with `SIGBUS`.
#[derive(Debug)]
pub struct Peek {
    start: *const u8,
    len: usize,
}

impl Peek {
    /// Peeks `len` bytes of the file behind `fd` from `offset`, which need not be a multiple of anything.
    ///
    /// # Errors
    /// In this order: `EBADF` not open for reading, `ENODEV` not a regular file in persistent memory, `EINVAL` a
    /// length of 0 or a range that overflows, `ENXIO` an offset at or past the end, `EIO` a bad block in the range,
    /// `ENOMEM`; and `ENOSYS` from a kernel that has no such call.
    pub fn new(fd: Fd, offset: u64, len: usize) -> Result<Self, Errno> {
        // SAFETY: nothing that is mapped already changes; no address is passed.
        let start = unsafe { call(nr::PEEK, [fd.argument(), offset, len as u64]) }?;
        Ok(Self { start: start as *const u8, len })
    }

    /// Peeks a whole file, whose size is asked for first; `EINVAL` for an empty one.
    ///
    /// # Errors
    /// Those of [`Peek::new`] and of `fstat`.
    pub fn file(fd: Fd) -> Result<Self, Errno> {
        let size = usize::try_from(fd.stat()?.size).map_err(|_| Errno::EINVAL)?;
        Self::new(fd, 0, size)
    }

    /// Ends the peek and says whether the kernel knew it.
    ///
    /// # Errors
    /// `EINVAL` when there is no peek at this address.
    pub fn unpeek(self) -> Result<(), Errno> {
        let this = core::mem::ManuallyDrop::new(self);
        this.release()
    }

    /// Stores `byte` at index `at`, which a kernel that keeps its promise answers with `SIGSEGV`: the program ends
    /// here. It is for the program that shows just this.
    ///
    /// # Panics
    /// When `at` lies outside.
    pub fn store_and_die(&self, at: usize, byte: u8) {
        assert!(at < self.len);
        // SAFETY: `at` lies inside. The pages are read-only, so either the store traps and nothing after it runs, or
        // the kernel is broken; the caller's next line reports that, and no reference is in use across the store.
        unsafe { self.start.cast_mut().add(at).write_volatile(byte) }
    }

    fn release(&self) -> Result<(), Errno> {
        // SAFETY: the mapping is ours and `self` goes with it, so that no slice of it is left.
        unsafe { call(nr::UNPEEK, [self.start as u64]) }.map(|_| ())
    }
}

impl Deref for Peek {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel mapped `len` bytes there, readable, which nobody can change until `unpeek`.
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        // The address came from `peek` and is given back once, so this cannot fail.
        let _ = self.release();
    }
}
