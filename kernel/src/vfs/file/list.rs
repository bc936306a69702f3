//! Listing a directory: `getdents64` records.
//!
//! Records are gathered in kernel memory, under the directory's lock, and given to the program afterwards. `/` shows
//! the kernel's two directories behind what the medium has, in cursors no file system gives out.

use super::{Behaviour, File};
use crate::vfs::error::errno;
use crate::vfs::special::{self, Special, What};
use crate::task::current;
use crate::vfs::{Files, Node, Vnode};
use abi::Errno;
use abi::file::{Dirent64, dirent};
use alloc::vec::Vec;
use fs::{DirEntry, Kind};
use units::Ino;
use zerocopy::IntoBytes;

/// A descriptor's number has four digits at most.
const _: () = assert!(Files::LIMIT <= 10_000);
/// Cursors of the kernel's directories in `/` begin here.
const COVERS: u64 = 1 << 62;

/// Records for `getdents64`, up to a number of bytes.
struct Records {
    bytes: Vec<u8>,
    room: usize,
    /// Where the entry after the last record is.
    next: u64,
    /// An entry did not fit any more.
    full: bool,
}

impl Records {
    /// Adds an entry; `false` where there is no room for it.
    fn push(&mut self, ino: Ino, name: &[u8], kind: u8, next: u64) -> bool {
        let len = Dirent64::record_len(name.len());
        if self.bytes.len() + len > self.room {
            self.full = true;
            return false;
        }
        let head = Dirent64 { ino: ino.get(), off: next as i64, reclen: len as u16, kind };
        let end = self.bytes.len() + len;
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.resize(end, 0);
        self.next = next;
        true
    }
}

impl File {
    /// Gives `deliver` as many `getdents64` records from the position on as fit `room` bytes, and moves the position
    /// if it took them. Answers their bytes, 0 at the end.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT` for a removed directory, `EINVAL` where not one record fits, `ENOMEM`, `EINTR`, and what
    /// `deliver` answers.
    pub(crate) fn list(&self, room: usize, deliver: impl FnOnce(&[u8]) -> Result<(), Errno>) -> Result<usize, Errno> {
        if self.behaviour != Behaviour::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(room).map_err(|_| Errno::ENOMEM)?;
        let turn = self.turn()?;
        let mut records = Records { bytes, room, next: turn.get(), full: false };
        match &self.vnode {
            Vnode::Disk(node) => list_disk(node, self.vnode.is_root(), &mut records)?,
            Vnode::Kernel(special) => list_kernel(*special, &mut records),
        }
        self.accessed();
        if records.bytes.is_empty() && records.full {
            return Err(Errno::EINVAL);
        }
        deliver(&records.bytes)?;
        turn.set(records.next);
        Ok(records.bytes.len())
    }
}

fn list_disk(node: &Node, is_root: bool, records: &mut Records) -> Result<(), Errno> {
    if records.next < COVERS {
        let from = records.next;
        let mut each = |entry: DirEntry<'_>| {
            if is_root && special::covering(entry.name).is_some() {
                records.next = entry.next;
                return true;
            }
            records.push(entry.ino, entry.name, entry_kind(entry.kind), entry.next)
        };
        node.read_dir(from, &mut each).map_err(errno)?;
    }
    if is_root && !records.full {
        let shown = records.next.saturating_sub(COVERS);
        list_children(Special::Root, shown, COVERS, records);
    }
    Ok(())
}

fn list_kernel(directory: Special, records: &mut Records) {
    let from = records.next;
    let dots = [(0, directory, b".".as_slice()), (1, directory.parent(), b"..".as_slice())];
    for (at, special, name) in dots {
        if from <= at && !records.push(special.ino(), name, dirent::DIR, at + 1) {
            return;
        }
    }
    let shown = from.saturating_sub(2);
    if directory == Special::SelfFd { list_descriptors(shown, records) } else { list_children(directory, shown, 2, records) }
}

/// Adds the children of `directory` behind the first `shown`; their cursors begin at `base`.
fn list_children(directory: Special, shown: u64, base: u64, records: &mut Records) {
    for (index, child) in (0..).zip(directory.children()).skip(usize::try_from(shown).unwrap_or(usize::MAX)) {
        if !records.push(child.ino(), child.name(), special_kind(child), base + index + 1) {
            return;
        }
    }
}

/// Adds the program's descriptors from number `from` on.
fn list_descriptors(from: u64, records: &mut Records) {
    for fd in u16::try_from(from).unwrap_or(u16::MAX)..Files::LIMIT as u16 {
        if current().files.get_raw(fd.into()).is_err() {
            continue;
        }
        let digits = [1000, 100, 10, 1].map(|place| b'0' + (fd / place % 10) as u8);
        let first = digits.iter().position(|&digit| digit != b'0').unwrap_or(3);
        if !records.push(Special::Descriptor(fd).ino(), &digits[first..], dirent::LNK, u64::from(fd) + 3) {
            return;
        }
    }
}

fn entry_kind(kind: Kind) -> u8 {
    match kind {
        Kind::File => dirent::REG,
        Kind::Directory => dirent::DIR,
        Kind::Symlink => dirent::LNK,
    }
}

fn special_kind(special: Special) -> u8 {
    match special.what() {
        What::Directory => dirent::DIR,
        What::Text => dirent::REG,
        What::Link => dirent::LNK,
        What::Device { .. } => dirent::CHR,
    }
}
