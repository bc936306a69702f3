//! `struct iovec`: several buffers of a program as one.

use crate::uaccess::{UserPtr, UserSink, UserSource, copy_from_user};
use crate::vfs::copy::Shorten;
use abi::Errno;
use abi::file::{IOV_MAX, Iovec, MAX_RW_COUNT};
use alloc::vec::Vec;
use pmem::medium::{BadAddress, Sink, Source, Taken};
use zerocopy::IntoBytes;

/// As many buffers take no heap (Linux's `UIO_FASTIOV`).
const FEW: usize = 8;

/// Buffers that are filled or emptied in order, together at most [`MAX_RW_COUNT`] bytes.
pub(super) struct UserIovecs {
    few: [Iovec; FEW],
    many: Vec<Iovec>,
    /// The buffer whose turn it is, and how much of it is done.
    index: usize,
    done: u64,
    left: usize,
}

impl UserIovecs {
    /// The `count` buffers described at `from`.
    ///
    /// # Errors
    /// `EINVAL` for more than [`IOV_MAX`] buffers or one of a negative length; `EFAULT`, `ENOMEM`.
    #[inline]
    pub(super) fn new(from: UserPtr, count: u64) -> Result<Self, Errno> {
        let count = usize::try_from(count).ok().filter(|&count| count <= IOV_MAX).ok_or(Errno::EINVAL)?;
        let (mut few, mut many) = ([Iovec::default(); FEW], Vec::new());
        let all = match few.get_mut(..count) {
            Some(all) => all,
            None => {
                many.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
                many.resize(count, Iovec::default());
                many.as_mut_slice()
            }
        };
        copy_from_user(all.as_mut_bytes(), from)?;
        let mut left = 0;
        for buffer in all {
            if buffer.len > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            // What passes the most one call moves is cut off, here and in what follows.
            buffer.len = buffer.len.min(MAX_RW_COUNT - left);
            left += buffer.len;
        }
        Ok(Self { few, many, index: 0, done: 0, left: left as usize })
    }

    /// Bytes the buffers still have.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The rest of the buffer whose turn it is, at most `len` bytes of it; empty when all are done.
    fn piece(&mut self, len: usize) -> (UserPtr, usize) {
        let buffers = if self.many.is_empty() { &self.few[..] } else { &self.many[..] };
        while let Some(buffer) = buffers.get(self.index) {
            let rest = buffer.len - self.done;
            if rest > 0 {
                return (UserPtr::new(buffer.base.wrapping_add(self.done)), (rest as usize).min(len));
            }
            self.index += 1;
            self.done = 0;
        }
        (UserPtr::new(0), 0)
    }

    fn advance(&mut self, by: usize) {
        self.done += by as u64;
        self.left -= by;
    }
}

impl Sink for UserIovecs {
    unsafe fn copy_from(&mut self, from: *const u8, len: usize) -> Result<(), Taken> {
        let mut done = 0;
        while done < len {
            let (to, piece) = self.piece(len - done);
            if piece == 0 {
                return Err(Taken(done));
            }
            // SAFETY: the caller vouches for `len` bytes at `from`; `done + piece` is at most that.
            let taken = unsafe { UserSink::new(to, piece).copy_from(from.add(done), piece) };
            let took = taken.map_or_else(|Taken(some)| some, |()| piece);
            self.advance(took);
            done += took;
            if took < piece {
                return Err(Taken(done));
            }
        }
        Ok(())
    }
}

impl Shorten for UserIovecs {
    fn shorten(&mut self, len: usize) {
        self.left = self.left.min(len);
    }
}

impl Source for UserIovecs {
    fn remaining(&self) -> usize {
        self.left
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        let mut done = 0;
        while done < len {
            let (from, piece) = self.piece(len - done);
            if piece == 0 {
                return Err(BadAddress);
            }
            // SAFETY: the caller vouches for `len` bytes at `to`; `done + piece` is at most that.
            unsafe { UserSource::new(from, piece).copy_to(to.add(done), piece)? };
            self.advance(piece);
            done += piece;
        }
        Ok(())
    }
}
