//! Whether there is heap for what a call will take: asked before anything changes, where somebody has plugged that in.
//!
//! Rust's collections end the program when memory is out. A kernel must not end, so a call that changes something asks
//! for the most it may take, and is refused there or not at all.

use spin::Once;

use crate::error::Error;

/// Whether so many bytes of heap can be had, in small pieces.
pub type HeadRoom = fn(usize) -> bool;

static ASK: Once<HeadRoom> = Once::new();

/// The most that a change takes beside what grows with its extents: the record in both forms, a step of a checkpoint,
/// tree nodes of free space.
pub(crate) const CHANGE: usize = 64 << 10;
/// The most that one extent more, taken or given back, takes: in the file, in lists on the way, in free space.
pub(crate) const EXTENT: usize = 256;

/// Extents that [`CHANGE`] has room for.
pub(crate) const FEW: u64 = 16;

/// Has every call that changes something ask `ask` first. The first call counts.
pub fn use_head_room(ask: HeadRoom) {
    ASK.call_once(|| ask);
}

/// Asks for `bytes`.
///
/// # Errors
/// [`Error::NoMemory`].
#[inline]
pub(crate) fn need(bytes: usize) -> Result<(), Error> {
    match ASK.get() {
        Some(ask) if !ask(bytes) => Err(Error::NoMemory),
        _ => Ok(()),
    }
}
