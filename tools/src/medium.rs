//! An image file as a medium.
//!
//! Loads and stores become reads and writes at an offset. What was written survives the death of this process, as pmem
//! survives the death of a kernel, so cleaning and fencing have nothing to do; a power cut of the host is the business
//! of the host's file system.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use pmem::medium::{BadAddress, CopyError, MediaError, Medium, Sink, Source};
use units::{ByteLen, PAGE_SIZE, Pfn, PmOff};

/// Bytes moved at once between a file and a [`Source`] or [`Sink`].
const CHUNK: usize = 1 << 20;

/// An image file, open and locked.
pub(crate) struct FileMedium {
    file: File,
    len: ByteLen,
    /// A store cannot fail, a write can: what went wrong first.
    failed: OnceLock<io::Error>,
}

impl FileMedium {
    /// The first `len` bytes of `file`, rounded down to whole pages.
    pub(crate) fn new(file: File, len: u64) -> Self {
        Self { file, len: ByteLen::new(len & !(PAGE_SIZE - 1)), failed: OnceLock::new() }
    }

    /// The first error of a write, if there was one: what is in the image then is nobody's promise.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.failed.get()
    }

    fn write(&self, at: PmOff, bytes: &[u8]) {
        if let Err(error) = self.file.write_all_at(bytes, at.get()) {
            // Only the first one tells the reason.
            _ = self.failed.set(error);
        }
    }
}

impl Medium for FileMedium {
    fn len(&self) -> ByteLen {
        self.len
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        self.file.read_exact_at(to, at.get()).map_err(|_| MediaError { at })
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        let mut buffer = vec![0; len.min(CHUNK)];
        let mut done = 0;
        while done < len {
            let chunk = &mut buffer[..(len - done).min(CHUNK)];
            match self.load(PmOff::new(at.get() + done as u64), chunk) {
                Err(bad) if done == 0 => return Err(bad.into()),
                Err(_) => break,
                Ok(()) => {}
            }
            // SAFETY: `chunk` is readable for its length, and private.
            match unsafe { sink.copy_from(chunk.as_ptr(), chunk.len()) } {
                Ok(()) => done += chunk.len(),
                Err(taken) if done + taken.0 == 0 => return Err(BadAddress.into()),
                Err(taken) => return Ok(done + taken.0),
            }
        }
        Ok(done)
    }

    fn store(&self, at: PmOff, bytes: &[u8]) {
        self.write(at, bytes);
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress> {
        let mut buffer = vec![0; len.min(CHUNK)];
        for done in (0..len).step_by(CHUNK) {
            let chunk = &mut buffer[..(len - done).min(CHUNK)];
            // SAFETY: `chunk` is writable for its length and nobody else knows it; the caller bounds `len` by the
            // source.
            unsafe { source.copy_to(chunk.as_mut_ptr(), chunk.len()) }?;
            self.write(PmOff::new(at.get() + done as u64), chunk);
        }
        Ok(())
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        let zeros = [0; PAGE_SIZE as usize];
        for done in (0..len.get()).step_by(zeros.len()) {
            self.write(PmOff::new(at.get() + done), &zeros[..(len.get() - done).min(PAGE_SIZE) as usize]);
        }
    }

    fn clean(&self, _at: PmOff, _len: ByteLen) {}

    fn fence(&self) {}

    fn pfn(&self, _at: PmOff) -> Option<Pfn> {
        None
    }
}
