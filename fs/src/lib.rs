//! The pmem file system: format, log, extents, pins.
//!
//! A [`Fs`] is mounted on a [`pmem::medium::Medium`] by replaying its log; a [`Node`] is a handle to a file, directory
//! or symlink in it. Every changing call is one transaction: durable when it returns, and whole or not at all
//! for readers and across a power cut. A [`Pin`] keeps blocks as they are while the file moves on.
//!
//! Read downwards: `format` is what lies on the medium (`docs/FORMAT.md` shows the same), `items` what a record says and `payload` how it comes to be,
//! `log` writes records and `replay` reads them back; `extents` are a file's blocks, `names` a directory's names, and
//! `space` the blocks nobody has; `table` finds things by inode number; `inode` ties these together, with the pins, and `tree` makes inodes of what was read.
//! [`badlist`] keeps the medium's bad blocks, [`hurt`] tells whose they are, and `recover` heals those that are nobody's.
//! [`check`] says what is wrong with a medium, [`repair`] puts it right as [`mend`] decides.
//! [`node`] is what callers do, one file a kind of call. Page tables, paths, permissions and errno are left to others.
#![cfg_attr(not(any(test, feature = "seeded-bugs")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod badlist;
pub mod check;
mod checkpoint;
mod crc;
pub mod error;
mod extents;
mod format;
#[cfg(test)]
mod format_page;
mod head_room;
pub mod hurt;
mod inode;
pub mod iomap;
mod items;
mod lists;
mod log;
pub mod mapped;
pub mod mend;
mod names;
pub mod node;
mod payload;
pub mod pin;
mod recover;
pub mod repair;
mod replay;
pub mod seeded;
mod space;
mod superblock;
mod table;
mod torn;
mod tree;
pub mod types;
mod volume;

pub use check::{Finding, Report, Severity};
pub use crc::{Step as CrcStep, use_step as use_crc_step};
pub use error::{Damage, Error, FormatError, MountError, Wrong};
pub use head_room::{HeadRoom, Pause, use_head_room, use_pause};
pub use hurt::{Holder, Hurt};
pub use iomap::{Iomap, IomapFlags, IomapIter, IomapKind, IomapOp, IomapOps, iomap_iter};
pub use mapped::{Away, Mapped};
pub use mend::Mend;
pub use node::{DenyWrite, Faulted, Node, WeakNode, WriteAccess};
pub use pin::Pin;
pub use repair::RepairError;
pub use types::{
    Access, Attr, DirEntry, Fallocate, Format, Kind, Linkable, MAX_FILE_SIZE, MAX_NAME, MAX_TARGET, MAX_TRANSFER,
    Mount, NewNode, Privileges, Rename, SetAttr, Space, Time, WriteAt, Written,
};
pub use volume::{Fs, Volume};
