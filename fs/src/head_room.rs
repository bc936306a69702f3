//! What a call asks of whoever runs it, where somebody has plugged that in: heap for what it will take, before anything
//! changes; and whether others are to have a turn, between two pieces of long work.
//!
//! Rust's collections end the program when memory is out. A kernel must not end, so a call that changes something asks
//! for the most it may take, and is refused there or not at all.

use spin::Once;

use crate::error::Error;

/// Whether so many bytes of heap can be had, in small pieces.
pub type HeadRoom = fn(usize) -> bool;

/// Lets others run, if it is time. It is called where waiting is allowed, and from ends of things that may come anywhere:
/// under a lock it has to do nothing.
pub type Pause = fn();

static ASK: Once<HeadRoom> = Once::new();
static PAUSE: Once<Pause> = Once::new();

/// Bytes that are copied, and written back, between two pauses.
pub(crate) const PIECE: u64 = 1 << 20;
/// Extents that are given back between two pauses.
pub(crate) const STEP: usize = 512;

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

/// Has long work call `pause` from time to time. The first call counts.
pub fn use_pause(pause: Pause) {
    PAUSE.call_once(|| pause);
}

/// A moment at which others may run.
pub(crate) fn pause() {
    if let Some(pause) = PAUSE.get() {
        pause();
    }
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
