//! `memcpy` and its family, and the bulk copies of file data.
//!
//! The routines that the compiler supplies move 8 bytes a turn, and single bytes where the two sides are not aligned
//! alike. These move 64 bytes a turn in general registers, and 256 in the vector registers from 512 bytes up; the
//! vector registers hold a program's values while the kernel runs, so they are put back. They use unaligned accesses
//! and may run only with the MMU on.

use core::arch::global_asm;

// One piece, because the last two use the macros of the first.
global_asm!(include_str!("vectors.s"), include_str!("memory.s"), include_str!("user.s"));

/// Zeroes one 4096-byte page of RAM with `dc zva`. Never for pmem, whose stores are watched one by one.
///
/// # Safety
/// `page` is page-aligned Normal memory nobody else uses.
#[inline]
pub unsafe fn zero_page(page: *mut u8) {
    unsafe extern "C" {
        fn zero_page_zva(page: *mut u8);
    }
    // SAFETY: as the caller says.
    unsafe { zero_page_zva(page) };
}
