//! `memcpy` and its family, and the bulk copies of file data.
//!
//! The routines that the compiler supplies move 8 bytes a turn, and single bytes where the two sides are not aligned
//! alike. These move 64 bytes a turn in general registers, and 256 in the vector registers from 512 bytes up; the
//! vector registers hold a program's values while the kernel runs, so they are put back. They use unaligned accesses
//! and may run only with the MMU on.

use core::arch::global_asm;

// One piece, because the last two use the macros of the first.
global_asm!(include_str!("vectors.s"), include_str!("memory.s"), include_str!("user.s"));

/// Zeroes `bytes` of RAM, whole pages of 4096, with `dc zva`. Never for pmem, whose stores are watched one by one.
///
/// # Safety
/// `first` is page-aligned, and there are so many bytes of Normal memory that nobody else uses.
#[inline]
pub unsafe fn zero_pages(first: *mut u8, bytes: usize) {
    unsafe extern "C" {
        fn zero_pages_zva(first: *mut u8, bytes: usize);
    }
    // SAFETY: as the caller says.
    unsafe { zero_pages_zva(first, bytes) };
}
