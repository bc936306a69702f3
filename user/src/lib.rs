//! EL0: what a program of ours stands on, from its first instruction to a safe `peek`.
//!
//! Read in this order: [`start`] is where the kernel drops a program and how it gets its arguments; [`call`] is the
//! one `svc` instruction; [`mod@file`], [`mod@peek`], [`process`] and [`terminal`] are the calls as a program wants them;
//! [`mod@print`] and [`heap`] give it `println!` and `Vec`. A program is a file in `bin/` that names its first function:
//!
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//! #![forbid(unsafe_code)]
//!
//! use vitrine_user::{Args, println};
//!
//! vitrine_user::entry!(run);
//!
//! fn run(_args: Args) -> i32 {
//!     println!("hello");
//!     0
//! }
//! ```
//!
//! Programs have one thread. Built for a host the library compiles, so that the tools can check it and its parsers
//! can be tested, but every system call answers `ENOSYS` there.
#![no_std]
#![deny(missing_docs, unreachable_pub, clippy::undocumented_unsafe_blocks)]

extern crate alloc;

pub mod call;
pub mod file;
pub mod heap;
pub mod peek;
pub mod print;
pub mod process;
pub mod start;
pub mod terminal;

pub use abi::Errno;
pub use file::{DirEntries, Fd, File};
pub use peek::Peek;
pub use start::{Args, env};

/// Ends the program with `status` of which a parent sees the low 8 bits.
pub fn exit(status: i32) -> ! {
    process::exit(status)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    exit(101)
}
