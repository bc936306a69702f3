//! What kernel and user agree on: system call numbers, errno, shared structures, all as Linux has them on aarch64.
//!
//! Read in this order: [`nr`] names the calls and [`mod@errno`] their refusals; [`mod@file`], [`mod@stat`] and [`tty`]
//! serve the calls on files, [`mem`] those on memory, [`task`], [`signal`] and [`time`] those on programs; [`auxv`] is
//! what a program finds on its first stack. Values are those of Linux's `include/uapi` for arm64 on every host, so that
//! the host tests see what the kernel sees; sizes are asserted beside each structure.
//!
//! Flags that a caller hands in are kept with `from_bits_retain`: what an unknown bit means is each call's decision.
#![no_std]
#![forbid(unsafe_code)]

pub mod auxv;
pub mod errno;
pub mod file;
pub mod mem;
pub mod nr;
pub mod sigframe;
pub mod signal;
pub mod stat;
pub mod task;
pub mod time;
pub mod tty;
mod words;

pub use errno::Errno;

/// Asserts the size of structures at compile time: they are read and written by programs compiled elsewhere.
macro_rules! sizes {
    ($($structure:ty = $bytes:literal,)*) => {
        const _: () = { $(assert!(core::mem::size_of::<$structure>() == $bytes);)* };
    };
}
pub(crate) use sizes;
