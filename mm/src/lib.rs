//! Address spaces: which frame answers when a task touches an address.
//!
//! Read upwards: [`desc`] is one descriptor, [`table`] a tree of them, [`vma`] a range of addresses that mean
//! the same, and [`space`] the VMAs that say what the tree may become. Memory and the CPU are reached only through
//! [`seams`], so every line here also runs on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod anon;
pub mod asid;
pub mod commit;
pub mod desc;
pub mod imap;
pub mod interval;
pub mod page;
pub mod ranges;
pub mod seams;
pub mod space;
pub mod table;
#[cfg(test)]
mod testing;
mod tree;
pub mod vma;

pub use self::asid::{Asids, Context};
pub use self::commit::{Commit, Overcommit};
pub use self::desc::Prot;
pub use self::imap::IMmap;
pub use self::page::{Page, PageRef};
pub use self::ranges::PageRanges;
pub use self::seams::{
    Asid, Backing, Frames, Mapper, Mmu, OutOfMemory, PageOf, Poisoned, Reach, Run, SpaceId, TableMemory, Whose,
};
pub use self::space::AddressSpace;
pub use self::table::Tables;
pub use self::vma::{Vma, VmaFlags};
