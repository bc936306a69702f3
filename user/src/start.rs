//! The first instructions of a program, and what the kernel left on its stack: arguments and environment.
//!
//! The stack a program starts on, from `sp` upwards, is Linux's: the number of arguments, their addresses, a null,
//! the addresses of the environment's strings, a null, the auxiliary vector ([`abi::auxv`]).

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Names the function a program begins with: `fn(Args) -> i32`, its result being the exit status.
///
/// The function is reached through the symbol `main`, so that a debugger stops where everybody expects it.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            let run: fn($crate::Args) -> i32 = $run;
            run($crate::start::args())
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let run: fn($crate::Args) -> i32 = $run;
            ::std::process::exit(run($crate::start::args()));
        }
    };
}

// _start: the first instruction of a program.
//   in    sp  the initial stack, 16-byte aligned; every other register is 0
//   out   --  does not return
//   uses  x0, x29 and x30; x29 = 0 ends a debugger's chain of frames
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .text._start, \"ax\"",
    ".global _start",
    ".type _start, %function",
    "_start:",
    "bti c",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "b {begin}",
    ".size _start, . - _start",
    ".popsection",
    begin = sym begin,
);

#[cfg(target_os = "none")]
extern "C" fn begin(stack: *const usize) -> ! {
    unsafe extern "C" {
        /// What [`entry!`] makes of the program's first function.
        safe fn main() -> i32;
    }
    STACK.store(stack.cast_mut(), Ordering::Relaxed);
    crate::exit(main())
}

/// The initial stack, or null on a host.
static STACK: AtomicPtr<usize> = AtomicPtr::new(core::ptr::null_mut());

/// The strings of a null-ended vector on the initial stack.
#[derive(Clone)]
pub struct Strings {
    next: *const *const c_char,
}

/// A program's arguments; the first is its own name.
pub type Args = Strings;

impl Strings {
    /// No string at all.
    const NONE: Self = Self { next: core::ptr::null() };
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: `next` points into a vector of the initial stack, at or before the null that ends it, and is not
        // moved past that null below.
        let string = unsafe { *self.next };
        if string.is_null() {
            return None;
        }
        // SAFETY: the vector goes on at least to its null.
        self.next = unsafe { self.next.add(1) };
        // SAFETY: the kernel put a string ended by 0 there; it stays where it is and nobody changes it.
        Some(unsafe { CStr::from_ptr(string) })
    }
}

/// The arguments the program was started with.
pub fn args() -> Args {
    let stack = STACK.load(Ordering::Relaxed);
    if stack.is_null() {
        return Strings::NONE;
    }
    // SAFETY: the vector of arguments begins one word above the count.
    Strings { next: unsafe { stack.add(1) }.cast() }
}

/// The environment's strings, each `NAME=value`.
pub fn environment() -> Strings {
    let stack = STACK.load(Ordering::Relaxed);
    if stack.is_null() {
        return Strings::NONE;
    }
    // SAFETY: the count is the first word; above it are so many addresses and a null, then the environment begins.
    Strings { next: unsafe { stack.add(*stack + 2) }.cast() }
}

/// The value of the environment variable `name`.
pub fn env(name: &[u8]) -> Option<&'static CStr> {
    environment().find_map(|string| {
        let rest = string.to_bytes_with_nul().strip_prefix(name)?.strip_prefix(b"=")?;
        CStr::from_bytes_with_nul(rest).ok()
    })
}
