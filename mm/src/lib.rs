//! Address spaces: which frame answers when a task touches an address.
//!
//! Read upwards: [`desc`] is one descriptor, [`table`] a tree of them. Memory and the CPU are reached only through
//! [`seams`], so every line here also runs on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod desc;
pub mod seams;
pub mod table;

pub use self::seams::{Asid, Backing, Frames, Mmu, OutOfMemory, PageOf, Poisoned, Reach, Run, TableMemory};
