//! From the host into an image: files, directories, symlinks.

use std::collections::HashMap;
use std::fs::{self as host, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fs::{Error, Kind, MAX_TRANSFER, NewNode, SetAttr, Time, WriteAt};
use indicatif::ProgressBar;
use pmem::medium::{BadAddress, Source};
use rustix::fs::SeekFrom;
use units::FileOff;

use crate::clock::Clock;
use crate::path::Inside;

/// Bytes read from a host file at once.
const CHUNK: usize = 1 << 20;

/// One run of copying in.
pub(crate) struct Import {
    clock: Clock,
    keep_times: bool,
    bar: ProgressBar,
    /// Host files with several names, and the node their first name became.
    links: HashMap<(u64, u64), Inside>,
}

impl Import {
    /// Times are those of the run.
    pub(crate) fn new(clock: Clock, bar: ProgressBar) -> Self {
        Self { clock, keep_times: false, bar, links: HashMap::new() }
    }

    /// Modification times are the host's from here on, and modes of files that were there before.
    pub(crate) fn keep_times(&mut self) {
        self.keep_times = true;
    }

    /// Takes the progress bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Copies what the host has at `from` to the name `name` in `dir`, with all that lies below.
    pub(crate) fn any(&mut self, from: &Path, dir: &Inside, name: &[u8]) -> Result<()> {
        let metadata = from.symlink_metadata().with_context(|| from.display().to_string())?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            let node = self.directory(from, &metadata, dir, name)?;
            self.directory_content(from, &node)
        } else if kind.is_symlink() {
            self.symlink(from, &metadata, dir, name)
        } else if kind.is_file() {
            self.file(from, dir, name)
        } else {
            let what = if kind.is_fifo() {
                "a fifo"
            } else if kind.is_socket() {
                "a socket"
            } else {
                "a device"
            };
            bail!("{}: {what}: an image holds files, directories and symlinks", from.display())
        }
    }

    /// Copies everything inside the host directory `from` into `dir`, which then has its mode and time.
    pub(crate) fn directory_content(&mut self, from: &Path, dir: &Inside) -> Result<()> {
        let shown = || from.display().to_string();
        let metadata = from.metadata().with_context(shown)?;
        let listed: std::io::Result<Vec<_>> = host::read_dir(from).and_then(Iterator::collect);
        let mut listed = listed.with_context(shown)?;
        listed.sort_unstable_by_key(host::DirEntry::file_name);
        for entry in listed {
            self.any(&entry.path(), dir, entry.file_name().as_bytes())?;
        }
        let time = self.time(&metadata);
        let mtime = self.keep_times.then_some(time);
        let set = SetAttr { mode: Some(metadata.mode() & 0o7777), mtime, ..SetAttr::default() };
        dir.set_attr(set, time).with_context(shown)
    }

    /// Copies the content of the host file `from`, following a symlink, to the name `name` in `dir`. A file that is there
    /// already gets the content and keeps its mode.
    pub(crate) fn file(&mut self, from: &Path, dir: &Inside, name: &[u8]) -> Result<()> {
        let shown = || from.display().to_string();
        let file = File::open(from).with_context(shown)?;
        let metadata = file.metadata().with_context(shown)?;
        ensure!(metadata.is_file(), "{}: not a regular file", from.display());
        let now = self.time(&metadata);
        let identity = (metadata.dev(), metadata.ino());
        if let Some(first) = self.links.get(&identity) {
            match dir.link(name, first, now) {
                // Something is in the way: it gets a copy of the content, as any file would.
                Err(Error::Exists) => {}
                linked => return linked.with_context(shown),
            }
        }
        let (node, is_new) = match dir.create(name, NewNode::File { mode: metadata.mode() & 0o7777 }, now) {
            Err(Error::Exists) => (self.emptied(dir, name, now).with_context(shown)?, false),
            created => (created.with_context(shown)?, true),
        };
        if let Err(error) = self.content(from, &file, metadata.len(), &node, now) {
            // Half a copy is no copy.
            if is_new {
                let _ = dir.unlink(name, now);
            }
            return Err(error);
        }
        if self.keep_times && node.attr().mode != metadata.mode() & 0o7777 {
            let set = SetAttr { mode: Some(metadata.mode() & 0o7777), mtime: Some(now), ..SetAttr::default() };
            node.set_attr(set, now).with_context(shown)?;
        }
        if metadata.nlink() > 1 {
            self.links.insert(identity, node);
        }
        Ok(())
    }

    /// Copies all that `from` gives to the name `name` in `dir`.
    pub(crate) fn stream(&self, mut from: impl Read, dir: &Inside, name: &[u8]) -> Result<()> {
        let now = self.clock.now();
        let node = match dir.create(name, NewNode::File { mode: 0o644 }, now) {
            Err(Error::Exists) => self.emptied(dir, name, now)?,
            created => created?,
        };
        let mut bytes = Vec::with_capacity(CHUNK);
        loop {
            bytes.clear();
            if from.by_ref().take(CHUNK as u64).read_to_end(&mut bytes).context("standard input")? == 0 {
                return Ok(());
            }
            node.write(WriteAt::End, &mut &bytes[..], now)?;
            self.bar.inc(bytes.len() as u64);
        }
    }

    fn emptied(&self, dir: &Inside, name: &[u8], now: Time) -> Result<Inside> {
        let node = dir.lookup(name)?;
        ensure!(node.kind() == Kind::File, "the name exists in the image and is no file");
        node.truncate(0, now)?;
        Ok(node)
    }

    /// Copies the stretches of `file` that hold data: holes stay holes.
    fn content(&self, from: &Path, file: &File, size: u64, node: &Inside, now: Time) -> Result<()> {
        let shown = || from.display().to_string();
        let mut at = 0;
        while let Some((start, end)) = data_at(file, at, size).with_context(shown)? {
            at = end.min(start + MAX_TRANSFER as u64);
            let mut source = FileSource { file, left: (at - start) as usize, failed: None, bar: &self.bar };
            rustix::fs::seek(file, SeekFrom::Start(start)).with_context(shown)?;
            match node.write(WriteAt::Offset(FileOff::new(start)), &mut source, now) {
                Ok(_) => {}
                Err(Error::BadAddress) => {
                    let error = source.failed.unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
                    return Err(error).with_context(shown);
                }
                Err(error) => return Err(error).with_context(shown),
            }
        }
        if node.attr().size < size {
            node.truncate(size, now).with_context(shown)?;
        }
        Ok(())
    }

    fn directory(&self, from: &Path, metadata: &Metadata, dir: &Inside, name: &[u8]) -> Result<Inside> {
        let shown = || from.display().to_string();
        match dir.create(name, NewNode::Directory { mode: metadata.mode() & 0o7777 }, self.time(metadata)) {
            Err(Error::Exists) => {
                let there = dir.lookup(name).with_context(shown)?;
                let is_dir = there.kind() == Kind::Directory;
                ensure!(is_dir, "{}: the name exists in the image and is no directory", from.display());
                Ok(there)
            }
            created => created.with_context(shown),
        }
    }

    fn symlink(&self, from: &Path, metadata: &Metadata, dir: &Inside, name: &[u8]) -> Result<()> {
        let shown = || from.display().to_string();
        let target = from.read_link().with_context(shown)?;
        let now = self.time(metadata);
        let new = NewNode::Symlink { target: target.as_os_str().as_bytes() };
        if let Err(Error::Exists) = dir.create(name, new, now) {
            // As cp does: the old file or symlink of that name goes.
            dir.unlink(name, now).with_context(shown)?;
            dir.create(name, new, now).with_context(shown)?;
        }
        Ok(())
    }

    fn time(&self, metadata: &Metadata) -> Time {
        if self.keep_times { self.clock.modified(metadata) } else { self.clock.now() }
    }
}

/// The first stretch of data at or behind `at`: where it begins and ends. `None` where only a hole is left.
fn data_at(file: &File, at: u64, size: u64) -> std::io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // A file system that knows no holes.
        Err(rustix::io::Errno::INVAL) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
    Ok((start < end).then_some((start, end)))
}

/// The next bytes of a host file.
struct FileSource<'a> {
    file: &'a File,
    left: usize,
    /// Why it ended early.
    failed: Option<std::io::Error>,
    bar: &'a ProgressBar,
}

impl Source for FileSource<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        let mut buffer = vec![0; len.min(CHUNK)];
        let mut done = 0;
        while done < len {
            let chunk = &mut buffer[..(len - done).min(CHUNK)];
            let mut file = self.file;
            if let Err(error) = file.read_exact(chunk) {
                self.failed = Some(error);
                self.left = 0;
                return Err(BadAddress);
            }
            // SAFETY: the caller vouches for `len` writable bytes at `to`, of which `done` and then this chunk are
            // filled; the buffer is our own.
            unsafe { std::ptr::copy_nonoverlapping(chunk.as_ptr(), to.add(done), chunk.len()) };
            done += chunk.len();
        }
        self.left -= len;
        self.bar.inc(len as u64);
        Ok(())
    }
}

/// Bytes in all files at or below `path`: what the progress bar counts to.
pub(crate) fn tree_size(path: &Path) -> Result<u64> {
    let shown = || path.display().to_string();
    let metadata = path.symlink_metadata().with_context(shown)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut sum = 0_u64;
    for entry in host::read_dir(path).with_context(shown)? {
        sum = sum.saturating_add(tree_size(&entry.with_context(shown)?.path())?);
    }
    Ok(sum)
}
