//! Copies between the kernel and a program, the only code that may touch user addresses.
//!
//! Each access that may fault is in the exception table, in pairs of 32-bit offsets (the access, where to go on), so a
//! bad pointer becomes a count and never a kernel fault. Privileged access never (PAN), where present, is off only
//! inside. The caller checks that the range lies below the end of user addresses. The routines are in `user.s`, which
//! `memory` assembles.

use core::sync::atomic::{AtomicU8, Ordering};

/// 1 where this machine has PAN; the routines below read it.
#[unsafe(no_mangle)]
static ARCH_HAS_PAN: AtomicU8 = AtomicU8::new(0);

unsafe extern "C" {
    fn user_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn user_zero(to: *mut u8, len: usize) -> usize;
    fn user_copy_string(to: *mut u8, from: *const u8, max: usize) -> isize;
    fn user_exchange(word: *mut u32, expected: u32, wanted: u32) -> i64;
    static __ex_table_start: [i32; 0];
    static __ex_table_end: [i32; 0];
}

/// Turns the use of PAN on; called once, before the first program, when every CPU has it.
pub fn enable_pan() {
    ARCH_HAS_PAN.store(1, Ordering::Relaxed);
}

/// Copies `len` bytes; one side, or both, may be a program's. Answers how many were *not* copied.
///
/// # Safety
/// The kernel's side is valid for `len` bytes and the program's lies in user addresses as a whole.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    // SAFETY: as the caller says.
    unsafe { user_copy(to, from, len) }
}

/// Stores `len` zero bytes; answers how many were *not* stored.
///
/// # Safety
/// `to` is valid for writes of `len` bytes, or lies in user addresses as a whole.
#[inline]
pub unsafe fn zero(to: *mut u8, len: usize) -> usize {
    // SAFETY: as the caller says.
    unsafe { user_zero(to, len) }
}

/// Copies a string up to and with its NUL, at most `max` bytes. Answers its length without the NUL, `max` where none
/// was met, or a negative number where the program's memory was not there.
///
/// # Safety
/// `to` is valid for `max` bytes; `max` bytes at `from` lie in user addresses.
pub unsafe fn copy_string(to: *mut u8, from: *const u8, max: usize) -> isize {
    // SAFETY: as the caller says.
    unsafe { user_copy_string(to, from, max) }
}

/// Stores `wanted` at `word` if it holds `expected`, in one step as programs see it. Answers what it held, or `None` where it
/// cannot be read and written.
///
/// # Safety
/// `word` is a multiple of 4 and lies in user addresses.
pub unsafe fn exchange(word: *mut u32, expected: u32, wanted: u32) -> Option<u32> {
    // SAFETY: as the caller says.
    u32::try_from(unsafe { user_exchange(word, expected, wanted) }).ok()
}

/// Where to go on after a fault at `elr`, if that instruction may fault.
pub fn fixup(elr: u64) -> Option<u64> {
    let (start, end) = ((&raw const __ex_table_start).cast::<[i32; 2]>(), (&raw const __ex_table_end).cast());
    let mut entry = start;
    while entry < end {
        // SAFETY: the linker collected whole pairs between the two symbols.
        let [access, target] = unsafe { *entry };
        if (entry as u64).wrapping_add_signed(i64::from(access)) == elr {
            return Some((entry as u64 + 4).wrapping_add_signed(i64::from(target)));
        }
        entry = entry.wrapping_add(1);
    }
    None
}
