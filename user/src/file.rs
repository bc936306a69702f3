//! Files: descriptors, what is in them, and what is in directories.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ops::Deref;

use abi::Errno;
use abi::file::{AT_FDCWD, AtFlags, Dirent64, OpenFlags};
use abi::nr;
use abi::stat::{S_IFMT, S_IFREG, Stat};
use zerocopy::{FromBytes, IntoBytes};

use crate::call::call;

/// An open descriptor, not owned: copying it opens nothing, dropping it closes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fd(i32);

impl Fd {
    /// Where input comes from.
    pub const STDIN: Self = Self(0);
    /// Where output goes.
    pub const STDOUT: Self = Self(1);
    /// Where complaints go.
    pub const STDERR: Self = Self(2);

    /// The bare number.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The number as a register carries it: sign-extended, as C does.
    pub(crate) const fn argument(self) -> u64 {
        self.0 as i64 as u64
    }

    /// Reads up to `into.len()` bytes at the file's offset; 0 is the end.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read(self, into: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the kernel writes at most `len` bytes to `into`.
        let read = unsafe { call(nr::READ, [self.argument(), into.as_mut_ptr() as u64, into.len() as u64]) };
        read.map(|bytes| bytes as usize)
    }

    /// Writes at the file's offset and says how many bytes were taken.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write(self, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the kernel only reads from `bytes`.
        let written = unsafe { call(nr::WRITE, [self.argument(), bytes.as_ptr() as u64, bytes.len() as u64]) };
        written.map(|bytes| bytes as usize)
    }

    /// Writes all of `bytes`, in as many calls as it takes.
    ///
    /// # Errors
    /// Those of `write`; `EIO` when a call takes nothing.
    pub fn write_all(self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match self.write(bytes)? {
                0 => return Err(Errno::EIO),
                taken => bytes = bytes.get(taken..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// What is known about the file.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn stat(self) -> Result<Stat, Errno> {
        let mut stat = Stat::default();
        // SAFETY: the kernel writes one `Stat`.
        unsafe { call(nr::FSTAT, [self.argument(), stat.as_mut_bytes().as_mut_ptr() as u64]) }?;
        Ok(stat)
    }

    /// Whether this is a terminal.
    pub fn is_terminal(self) -> bool {
        crate::terminal::settings(self).is_ok()
    }

    /// A second descriptor of the same open file, not below `lowest`, closed when another program is started.
    ///
    /// # Errors
    /// Those of `fcntl(F_DUPFD_CLOEXEC)`.
    pub fn duplicate(self, lowest: i32) -> Result<File, Errno> {
        let arguments = [self.argument(), abi::file::F_DUPFD_CLOEXEC.into(), lowest as u64];
        // SAFETY: no address is passed.
        let number = unsafe { call(nr::FCNTL, arguments) }?;
        Ok(File(Self(number as i32)))
    }

    /// Makes `self` name the open file of `other`; what it named before is closed.
    ///
    /// # Errors
    /// Those of `dup3`.
    pub fn replace_by(self, other: Self) -> Result<(), Errno> {
        // SAFETY: no address is passed.
        unsafe { call(nr::DUP3, [other.argument(), self.argument(), 0]) }.map(|_| ())
    }
}

/// An open file, closed when dropped.
#[derive(Debug)]
pub struct File(Fd);

impl File {
    /// Opens `path` as `flags` say; a file that is created gets `mode`.
    ///
    /// # Errors
    /// Those of `openat`.
    pub fn open_with(path: &CStr, flags: OpenFlags, mode: u32) -> Result<Self, Errno> {
        let arguments = [AT_FDCWD as u64, path.as_ptr() as u64, flags.bits().into(), mode.into()];
        // SAFETY: the kernel only reads the path.
        let number = unsafe { call(nr::OPENAT, arguments) }?;
        Ok(Self(Fd(number as i32)))
    }

    /// Opens `path` for reading; programs started later do not inherit it.
    ///
    /// # Errors
    /// Those of `openat`.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        Self::open_with(path, OpenFlags::RDONLY | OpenFlags::CLOEXEC, 0)
    }
}

impl Deref for File {
    type Target = Fd;

    fn deref(&self) -> &Fd {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: no address is passed. Closing a file that is open cannot fail in a way a program could answer.
        let _ = unsafe { call(nr::CLOSE, [self.0.argument()]) };
    }
}

/// What is known about the file at `path`, or about the symbolic link itself.
///
/// # Errors
/// Those of `newfstatat`.
pub fn stat(path: &CStr, links: AtFlags) -> Result<Stat, Errno> {
    let mut stat = Stat::default();
    let into = stat.as_mut_bytes().as_mut_ptr() as u64;
    // SAFETY: the kernel reads the path and writes one `Stat`.
    unsafe { call(nr::NEWFSTATAT, [AT_FDCWD as u64, path.as_ptr() as u64, into, links.bits().into()]) }?;
    Ok(stat)
}

/// Where the symbolic link at `path` leads, up to 4096 bytes of it.
///
/// # Errors
/// Those of `readlinkat`.
pub fn read_link(path: &CStr) -> Result<Vec<u8>, Errno> {
    let mut target = vec![0; abi::file::PATH_MAX];
    let arguments = [AT_FDCWD as u64, path.as_ptr() as u64, target.as_mut_ptr() as u64, target.len() as u64];
    // SAFETY: the kernel reads the path and writes at most `len` bytes.
    let len = unsafe { call(nr::READLINKAT, arguments) }?;
    target.truncate(len as usize);
    Ok(target)
}

/// Whether `stat` tells of a regular file, the kind that can be peeked.
pub fn is_regular(stat: &Stat) -> bool {
    stat.mode & S_IFMT == S_IFREG
}

/// Changes the working directory.
///
/// # Errors
/// Those of `chdir`.
pub fn change_directory(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call(nr::CHDIR, [path.as_ptr() as u64]) }.map(|_| ())
}

/// The working directory.
///
/// # Errors
/// Those of `getcwd`.
pub fn current_directory() -> Result<Vec<u8>, Errno> {
    let mut path = vec![0; abi::file::PATH_MAX];
    // SAFETY: the kernel writes at most `len` bytes.
    let len = unsafe { call(nr::GETCWD, [path.as_mut_ptr() as u64, path.len() as u64]) }?;
    path.truncate((len as usize).saturating_sub(1)); // the length counts the final 0
    Ok(path)
}

/// One entry of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// Inode number.
    pub ino: u64,
    /// One of [`abi::file::dirent`].
    pub kind: u8,
    /// The name, without any 0.
    pub name: &'a [u8],
}

/// The entries of a directory, `.` and `..` among them, in the order the file system has them.
pub struct DirEntries {
    directory: File,
    records: Vec<u8>,
    next: usize,
}

impl DirEntries {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Those of `openat`: `ENOTDIR` when it is none.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        let directory = File::open_with(path, OpenFlags::DIRECTORY | OpenFlags::CLOEXEC, 0)?;
        Ok(Self { directory, records: Vec::new(), next: 0 })
    }

    /// The next entry, or `None` after the last.
    ///
    /// # Errors
    /// Those of `getdents64`; `EIO` for a record that makes no sense.
    pub fn next_entry(&mut self) -> Result<Option<DirEntry<'_>>, Errno> {
        if self.next == self.records.len() && !self.refill()? {
            return Ok(None);
        }
        let (entry, len) = entry(&self.records[self.next..]).ok_or(Errno::EIO)?;
        self.next += len;
        Ok(Some(entry))
    }

    /// Asks for more records; `false` at the end of the directory.
    fn refill(&mut self) -> Result<bool, Errno> {
        self.records.resize(4096, 0);
        self.next = 0;
        let arguments = [self.directory.argument(), self.records.as_mut_ptr() as u64, self.records.len() as u64];
        // SAFETY: the kernel writes at most `len` bytes.
        let got = unsafe { call(nr::GETDENTS64, arguments) };
        self.records.truncate(*got.as_ref().unwrap_or(&0) as usize);
        got.map(|bytes| bytes != 0)
    }
}

/// The entry at the start of `records` and the length of its record.
fn entry(records: &[u8]) -> Option<(DirEntry<'_>, usize)> {
    let (head, _) = Dirent64::read_from_prefix(records).ok()?;
    let len = usize::from(head.reclen);
    let name = CStr::from_bytes_until_nul(records.get(size_of::<Dirent64>()..len)?).ok()?;
    Some((DirEntry { ino: head.ino, kind: head.kind, name: name.to_bytes() }, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &[u8]) -> Vec<u8> {
        let len = Dirent64::record_len(name.len());
        let head = Dirent64 { ino: 7, off: 1, reclen: len as u16, kind: abi::file::dirent::REG };
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(name);
        bytes.resize(len, 0);
        bytes
    }

    #[test]
    fn directory_records_are_walked_by_their_length() {
        let mut records = record(b"a");
        records.extend(record(b"longer-name"));
        let (first, len) = entry(&records).unwrap();
        assert_eq!((first.name, first.ino), (&b"a"[..], 7));
        let (second, rest) = entry(&records[len..]).unwrap();
        assert_eq!(second.name, b"longer-name");
        assert_eq!(len + rest, records.len());
    }

    #[test]
    fn a_record_that_is_cut_or_too_short_is_no_entry() {
        let records = record(b"name");
        assert!(entry(&records[..18]).is_none());
        assert!(entry(&records[..20]).is_none());
        let mut short = records.clone();
        short[16] = 4; // reclen smaller than the head
        assert!(entry(&short).is_none());
    }
}
