//! The memory itself: loads and stores that may be answered with an error, and what a platform can do about it.
//!
//! A [`Cells`] knows no list of bad blocks; [`crate::guarded::Guarded`] keeps one around it. Every operation goes as far
//! as the memory answers and says how far that was: a machine-check-safe copy with a short count (Linux:
//! `copy_mc_to_kernel`). Nothing here panics, whatever the memory does.

use units::{ByteLen, Pfn, PmOff};

use crate::badblocks::BadRange;
use crate::medium::{BadAddress, Sink, Source, Taken};

/// Byte-addressable memory that may have holes in it. Offsets lie below [`Cells::len`].
#[expect(clippy::len_without_is_empty, reason = "memory without bytes is refused before it becomes a device")]
pub trait Cells {
    /// Usable bytes, a multiple of 4096.
    fn len(&self) -> ByteLen;

    /// Loads into private memory; answers how many bytes came before one that did not. The rest of `to` is undefined.
    fn load(&self, at: PmOff, to: &mut [u8]) -> usize;

    /// Loads `len` bytes into `sink`.
    ///
    /// # Errors
    /// How many it took, where it stopped for want of room or because a byte did not come: [`Cells::answers`] tells.
    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<(), Taken>;

    /// Stores bytes; answers how many, fewer only where the memory did not take the next one.
    fn store(&self, at: PmOff, bytes: &[u8]) -> usize;

    /// Stores `len` bytes of `source`.
    ///
    /// # Errors
    /// [`BadAddress`]: the source could not be read, or the memory did not take a byte.
    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), BadAddress>;

    /// Stores zero bytes; answers how many.
    fn zero(&self, at: PmOff, len: ByteLen) -> ByteLen;

    /// Starts writing back every line of the range; a line that does not answer is passed over.
    fn clean(&self, at: PmOff, len: ByteLen);

    /// Waits until every [`Cells::clean`] of this CPU has reached the point of persistence.
    fn fence(&self);

    /// Whether the byte at `at` can be read.
    fn answers(&self, at: PmOff) -> bool;

    /// Makes whole pages answer again, with whatever content (`nvdimm_clear_poison`); `false` where that cannot be done.
    fn clear_poison(&self, at: PmOff, len: ByteLen) -> bool;

    /// Writes the list of bad blocks where it outlives the power; `false` where there is no place for it.
    fn keep(&self, bad: &[BadRange]) -> bool;

    /// The frame that holds the page at `at`, where this is memory that a program can be given.
    fn pfn(&self, at: PmOff) -> Option<Pfn>;
}
