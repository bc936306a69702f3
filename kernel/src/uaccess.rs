//! A program's memory, as system calls see it: every address is a claim.
//!
//! Nothing here takes a lock, and nobody who holds one comes here: an access may fault, and the fault is served as
//! the program's own would be.

use abi::Errno;
use alloc::vec::Vec;
use pmem::medium::{BadAddress, Sink, Source, Taken};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::vfs::copy::Shorten;
use crate::{counters, heap, layout};

/// An address that a program named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct UserPtr(u64);

/// The program has no such memory, or not for this use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault;

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Errno::EFAULT
    }
}

impl UserPtr {
    /// Takes a register's word as an address.
    pub(crate) const fn new(address: u64) -> Self {
        Self(address)
    }

    /// Whether this is the null pointer.
    pub(crate) const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further up; wraps, and is refused when it is used.
    pub(crate) const fn add(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    fn checked(self, len: usize) -> Result<*mut u8, Fault> {
        layout::user_range(self.0, len as u64).ok_or(Fault)?;
        Ok(core::ptr::with_exposed_provenance_mut(self.0 as usize))
    }
}

/// Copies as many of `to.len()` bytes as there are; answers how many.
#[inline]
fn copy_in(to: *mut u8, from: UserPtr, len: usize) -> Result<usize, Fault> {
    let from = from.checked(len)?;
    // SAFETY: `from` lies in user addresses as a whole, and the callers give `len` bytes of their own at `to`.
    Ok(len - unsafe { arch::user::copy(to, from, len) })
}

#[inline]
fn copy_out(to: UserPtr, from: *const u8, len: usize) -> Result<usize, Fault> {
    let to = to.checked(len)?;
    // SAFETY: as in `copy_in`.
    Ok(len - unsafe { arch::user::copy(to, from, len) })
}

/// Fills `to` from the program's memory.
///
/// # Errors
/// [`Fault`] where a byte cannot be read; `to` then holds anything.
#[inline]
pub(crate) fn copy_from_user(to: &mut [u8], from: UserPtr) -> Result<(), Fault> {
    if copy_in(to.as_mut_ptr(), from, to.len())? == to.len() { Ok(()) } else { Err(Fault) }
}

/// Stores `from` in the program's memory.
///
/// # Errors
/// [`Fault`] where a byte cannot be written; those before it may have been.
#[inline]
pub(crate) fn copy_to_user(to: UserPtr, from: &[u8]) -> Result<(), Fault> {
    if copy_out(to, from.as_ptr(), from.len())? == from.len() { Ok(()) } else { Err(Fault) }
}

/// Reads one value.
///
/// # Errors
/// [`Fault`] where it cannot be read.
#[inline]
pub(crate) fn read_user<T: FromBytes + IntoBytes>(from: UserPtr) -> Result<T, Fault> {
    let mut value = T::new_zeroed();
    copy_from_user(value.as_mut_bytes(), from)?;
    Ok(value)
}

/// Writes one value.
///
/// # Errors
/// [`Fault`] where it cannot be written.
#[inline]
pub(crate) fn write_user<T: IntoBytes + Immutable>(to: UserPtr, value: &T) -> Result<(), Fault> {
    copy_to_user(to, value.as_bytes())
}

/// Stores `wanted` in a word of the program's, at a multiple of 4, if it holds `expected`; answers what it held.
///
/// # Errors
/// [`Fault`] where it cannot be read and written.
pub(crate) fn exchange_user(word: UserPtr, expected: u32, wanted: u32) -> Result<u32, Fault> {
    let word = word.checked(4)?.cast::<u32>();
    if !word.is_aligned() {
        return Err(Fault);
    }
    // SAFETY: it is aligned, and lies in user addresses.
    unsafe { arch::user::exchange(word, expected, wanted) }.ok_or(Fault)
}

/// Stores `len` zero bytes.
///
/// # Errors
/// [`Fault`] where a byte cannot be written.
pub(crate) fn clear_user(to: UserPtr, len: usize) -> Result<(), Fault> {
    const ZEROS: [u8; 512] = [0; 512];
    let mut done = 0;
    while done < len {
        let step = ZEROS.len().min(len - done);
        copy_to_user(to.add(done as u64), &ZEROS[..step])?;
        done += step;
    }
    Ok(())
}

/// Why there is no string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CstrError {
    /// A byte before its end cannot be read.
    Fault,
    /// No NUL within the bytes allowed.
    TooLong,
    /// No memory to keep it in.
    OutOfMemory,
}

/// Copies a string, without its NUL, to the front of `to`; answers its length.
///
/// # Errors
/// [`CstrError::Fault`] and [`CstrError::TooLong`], where no NUL comes within `to.len()` bytes.
#[inline]
pub(crate) fn read_cstr_into(to: &mut [u8], from: UserPtr) -> Result<usize, CstrError> {
    // A string may end just below the end of user addresses, so only what is there is asked for.
    let room = layout::USER_END.saturating_sub(from.0).min(to.len() as u64) as usize;
    let start = from.checked(room).map_err(|Fault| CstrError::Fault)?;
    // SAFETY: `room` bytes at `start` lie in user addresses; `to` has as many.
    match unsafe { arch::user::copy_string(to.as_mut_ptr(), start, room) } {
        ..0 => Err(CstrError::Fault),
        len if (len as usize) < room => Ok(len as usize),
        _ if room < to.len() => Err(CstrError::Fault),
        _ => Err(CstrError::TooLong),
    }
}

/// A string of less than `max` bytes, without its NUL.
///
/// # Errors
/// [`CstrError`].
pub(crate) fn read_cstr(from: UserPtr, max: usize) -> Result<Vec<u8>, CstrError> {
    let mut string = Vec::new();
    let mut piece = [0; 256];
    loop {
        let step = piece.len().min(max - string.len());
        let outcome = read_cstr_into(&mut piece[..step], from.add(string.len() as u64));
        let (len, done) = match outcome {
            Ok(len) => (len, true),
            Err(CstrError::TooLong) if string.len() + step < max => (step, false),
            Err(error) => return Err(error),
        };
        heap::reserve(string.len() + 2 * len).map_err(|_| CstrError::OutOfMemory)?;
        string.extend_from_slice(&piece[..len]);
        if done {
            return Ok(string);
        }
    }
}

/// Bytes of a program, to be stored on the medium.
pub(crate) struct UserSource {
    at: UserPtr,
    left: usize,
}

impl UserSource {
    /// `len` bytes at `at`.
    pub(crate) const fn new(at: UserPtr, len: usize) -> Self {
        Self { at, left: len }
    }
}

impl Source for UserSource {
    fn remaining(&self) -> usize {
        self.left
    }

    #[inline]
    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        let copied = copy_in(to, self.at, len).map_err(|Fault| BadAddress)?;
        counters::BYTES_COPIED.add(copied as u64);
        self.at = self.at.add(copied as u64);
        self.left -= copied;
        if copied == len { Ok(()) } else { Err(BadAddress) }
    }
}

impl Shorten for UserSource {
    fn shorten(&mut self, len: usize) {
        self.left = self.left.min(len);
    }
}

/// Where a program wants bytes of the medium.
pub(crate) struct UserSink {
    at: UserPtr,
    left: usize,
}

impl UserSink {
    /// `len` bytes at `at`.
    pub(crate) const fn new(at: UserPtr, len: usize) -> Self {
        Self { at, left: len }
    }
}

impl Sink for UserSink {
    #[inline]
    unsafe fn copy_from(&mut self, from: *const u8, len: usize) -> Result<(), Taken> {
        let fits = len.min(self.left);
        let copied = copy_out(self.at, from, fits).map_err(|Fault| Taken(0))?;
        counters::BYTES_COPIED.add(copied as u64);
        self.at = self.at.add(copied as u64);
        self.left -= copied;
        if copied == len { Ok(()) } else { Err(Taken(copied)) }
    }
}
