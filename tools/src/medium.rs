//! An image file as a medium.
//!
//! Loads and stores become reads and writes at an offset. What was written survives the death of this process, as pmem
//! survives the death of a kernel, so cleaning and fencing have nothing to do; a power cut of the host is the business
//! of the host's file system. The image's own list of bad blocks is honoured, and healed by writing over them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use fs::badlist;
use pmem::badblocks::BadRange;
use pmem::cells::Cells;
use pmem::guarded::Guarded;
use pmem::medium::{BadAddress, Sink, Source, Taken};
use units::{ByteLen, PAGE_SIZE, Pfn, PmOff};

/// Bytes moved at once between a file and a [`Source`] or [`Sink`].
const CHUNK: usize = 1 << 20;

/// An image behind its list of bad blocks.
pub(crate) type ImageMedium = Guarded<FileCells>;

/// The first `len` bytes of `file`, rounded down to whole pages, behind the list of bad blocks that lies there.
pub(crate) fn image_medium(file: File, len: u64) -> ImageMedium {
    let cells = FileCells { file, len: ByteLen::new(len & !(PAGE_SIZE - 1)), failed: OnceLock::new() };
    let known = badlist::read(&cells);
    Guarded::new(cells, &known)
}

/// An image file, open and locked.
pub(crate) struct FileCells {
    file: File,
    len: ByteLen,
    /// What went wrong first with a write.
    failed: OnceLock<io::Error>,
}

impl FileCells {
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

impl Cells for FileCells {
    fn len(&self) -> ByteLen {
        self.len
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            match self.file.read_at(&mut to[done..], at.get() + done as u64) {
                Ok(0) => break,
                Ok(some) => done += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        done
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<(), Taken> {
        let mut buffer = vec![0; len.min(CHUNK)];
        let mut done = 0;
        while done < len {
            let chunk = &mut buffer[..(len - done).min(CHUNK)];
            let want = chunk.len();
            let came = self.load(PmOff::new(at.get() + done as u64), chunk);
            // SAFETY: `chunk` is readable for its length, and private.
            let taken = unsafe { sink.copy_from(chunk.as_ptr(), came) };
            done += taken.map_or_else(|Taken(some)| some, |()| came);
            if taken.is_err() || came < want {
                return Err(Taken(done));
            }
        }
        Ok(())
    }

    fn store(&self, at: PmOff, bytes: &[u8]) -> usize {
        self.write(at, bytes);
        bytes.len()
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

    fn zero(&self, at: PmOff, len: ByteLen) -> ByteLen {
        let zeros = [0; PAGE_SIZE as usize];
        for done in (0..len.get()).step_by(zeros.len()) {
            self.write(PmOff::new(at.get() + done), &zeros[..(len.get() - done).min(PAGE_SIZE) as usize]);
        }
        len
    }

    fn clean(&self, _at: PmOff, _len: ByteLen) {}

    fn fence(&self) {}

    fn answers(&self, at: PmOff) -> bool {
        self.load(at, &mut [0]) == 1
    }

    fn clear_poison(&self, _at: PmOff, _len: ByteLen) -> bool {
        // A file has no holes that fault: to write is to heal.
        true
    }

    fn keep(&self, bad: &[BadRange]) -> bool {
        badlist::write(self, bad) && self.failure().is_none()
    }

    fn pfn(&self, _at: PmOff) -> Option<Pfn> {
        None
    }
}
