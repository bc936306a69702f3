//! What a file system sees of persistent memory: loads, stores, and how far they have got.
//!
//! A [`Medium`] is shared with programs that may have its pages mapped, so its bytes are never a `&[u8]`: they are
//! copied in and out. Bytes of a program go straight to the medium through [`Source`] and [`Sink`], without a stop
//! in kernel memory.

use units::{ByteLen, Pfn, PmOff};

use crate::badblocks::BadRange;

/// A bad block was met: the bytes from `at` could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaError {
    /// The first unreadable byte.
    pub at: PmOff,
}

/// The other side of a copy, a program's memory, was not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAddress;

/// Why a copy between a medium and a [`Source`] or [`Sink`] stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyError {
    /// The medium could not be read.
    Media(MediaError),
    /// The program's side was not there.
    Address(BadAddress),
}

impl From<MediaError> for CopyError {
    fn from(error: MediaError) -> Self {
        Self::Media(error)
    }
}

impl From<BadAddress> for CopyError {
    fn from(error: BadAddress) -> Self {
        Self::Address(error)
    }
}

/// Bytes to be stored, taken in order from the front.
pub trait Source {
    /// Bytes left.
    fn remaining(&self) -> usize;

    /// Moves the next `len` bytes to `to`.
    ///
    /// # Errors
    /// [`BadAddress`] where a byte cannot be read; what lies at `to` is then undefined, and the source is spent.
    ///
    /// # Safety
    /// `to` is valid for writes of `len` bytes, and nobody holds a reference to them. `len` is at most
    /// [`Source::remaining`].
    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress>;
}

/// Where loaded bytes go, in order.
pub trait Sink {
    /// Takes `len` bytes at `from`, or as many as there is room for.
    ///
    /// # Errors
    /// The number of bytes taken before the first that could not be written, where that is less than `len`.
    ///
    /// # Safety
    /// `from` is valid for reads of `len` bytes; other CPUs and programs may write there meanwhile.
    unsafe fn copy_from(&mut self, from: *const u8, len: usize) -> Result<(), Taken>;
}

/// How many bytes a [`Sink`] took before it met an address that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken(pub usize);

impl Source for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        let (now, later) = self.split_at(len);
        // SAFETY: `now` holds `len` bytes, and the caller vouches for `to`; a reference never overlaps it.
        unsafe { core::ptr::copy_nonoverlapping(now.as_ptr(), to, len) };
        *self = later;
        Ok(())
    }
}

impl Sink for &mut [u8] {
    unsafe fn copy_from(&mut self, from: *const u8, len: usize) -> Result<(), Taken> {
        let fits = len.min(self.len());
        let (now, later) = core::mem::take(self).split_at_mut(fits);
        // SAFETY: the caller vouches for `len` readable bytes at `from`, and `now` holds `fits <= len` of them.
        unsafe { core::ptr::copy_nonoverlapping(from, now.as_mut_ptr(), fits) };
        *self = later;
        if fits == len { Ok(()) } else { Err(Taken(fits)) }
    }
}

/// Puts `len` zero bytes into `sink`, as a hole of a file is read; answers how many it took, less than `len` only where
/// something went wrong after the first byte.
///
/// # Errors
/// [`BadAddress`] where it took none.
pub fn zeros_to(sink: &mut impl Sink, len: usize) -> Result<usize, BadAddress> {
    static ZEROS: [u8; 4096] = [0; 4096];
    let mut done = 0;
    while done < len {
        let now = ZEROS.len().min(len - done);
        // SAFETY: `ZEROS` holds `now` readable bytes, and nobody writes there.
        if let Err(Taken(taken)) = unsafe { sink.copy_from(ZEROS.as_ptr(), now) } {
            done += taken;
            return if done == 0 { Err(BadAddress) } else { Ok(done) };
        }
        done += now;
    }
    Ok(done)
}

/// Byte-addressable persistent memory, from its first usable byte.
///
/// Offsets lie below [`Medium::len`]: a caller checks what it reads from the medium before it follows it. A store is
/// lost in a power cut until its lines were cleaned *and* a fence completed behind that; only [`crate::order`] calls
/// [`Medium::clean`] and [`Medium::fence`].
#[expect(clippy::len_without_is_empty, reason = "a medium without bytes is refused before it becomes one")]
pub trait Medium {
    /// Usable bytes, a multiple of 4096.
    fn len(&self) -> ByteLen;

    /// Loads bytes into private memory.
    ///
    /// # Errors
    /// [`MediaError`] at the first bad block in the range; `to` is then undefined.
    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError>;

    /// Loads `len` bytes into `sink`; answers how many it took, less than `len` only where something went wrong
    /// after the first byte.
    ///
    /// # Errors
    /// [`CopyError`] where nothing was copied.
    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError>;

    /// Stores bytes, in any order and grain of 8 aligned bytes. Bad sectors in the range are recovered first, so that
    /// the rest of such a sector is zeros: what is stored here is a fresh block, or metadata with a second copy.
    fn store(&self, at: PmOff, bytes: &[u8]);

    /// Stores `len` bytes from `source`.
    ///
    /// # Errors
    /// [`CopyError`]: the range then holds anything, and the source is spent.
    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), CopyError>;

    /// Stores `len` zero bytes.
    fn zero(&self, at: PmOff, len: ByteLen);

    /// Starts writing back every cache line of the range (`dc cvap` or its like).
    fn clean(&self, at: PmOff, len: ByteLen);

    /// Waits until every [`Medium::clean`] this CPU began has reached the point of persistence (`dsb`).
    fn fence(&self);

    /// Whether `len` bytes from `at` can be read, as far as is known without reading them.
    ///
    /// # Errors
    /// [`MediaError`]: the first byte that cannot.
    fn check(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError>;

    /// Shows every run of bad sectors that is known, in order.
    fn each_bad(&self, each: &mut dyn FnMut(&BadRange));

    /// Writes `len` bytes of `source` over bad blocks, which are good afterwards; durable when it returns. Works page
    /// by page, and answers how many bytes that were: 0 where there are bad blocks and the range does not begin and end
    /// with a page, or they cannot be cleared (`dax_recovery_write`).
    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize;

    /// Whether somebody outside holds a page of the range (`FOLL_GET`), so that it is not to be used for anything else yet.
    fn is_held(&self, at: PmOff, len: ByteLen) -> bool {
        let _ = (at, len);
        false
    }

    /// The frame that holds the page at `at`, where the medium is memory that a program can be given.
    fn pfn(&self, at: PmOff) -> Option<Pfn>;
}
