//! From an image to the host: files, directories, symlinks.

use std::collections::HashMap;
use std::fs::{self as host, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fs::{Error, Kind, Time};
use indicatif::ProgressBar;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use units::Ino;

use crate::content::each_data;
use crate::path::{Inside, entries, host_name};

/// Whether copies have the modes and times of what they are copies of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attributes {
    /// They do.
    Kept,
    /// Modes go through the umask, times are those of the run.
    Fresh,
}

/// One run of copying out.
pub(crate) struct Export {
    bar: ProgressBar,
    attributes: Attributes,
    /// Files with several names, and where the first of them went.
    links: HashMap<Ino, PathBuf>,
    /// Files that could not be read to their end.
    hurt: usize,
}

impl Export {
    /// Shows how far it is on `bar`.
    pub(crate) fn new(bar: ProgressBar, attributes: Attributes) -> Self {
        Self { bar, attributes, links: HashMap::new(), hurt: 0 }
    }

    /// Takes the progress bar away, and says whether all could be read.
    pub(crate) fn finish(&self) -> Result<()> {
        self.bar.finish_and_clear();
        match self.hurt {
            0 => Ok(()),
            1 => bail!("1 file has bad blocks and ends before them in the copy (see 'vitrine badblock list')"),
            many => bail!("{many} files have bad blocks and end before them in the copy (see 'vitrine badblock list')"),
        }
    }

    /// Copies `node`, with all that lies below, to the host path `to`.
    pub(crate) fn any(&mut self, node: &Inside, to: &Path) -> Result<()> {
        match node.kind() {
            Kind::File => self.file(node, to).with_context(|| to.display().to_string()),
            Kind::Symlink => self.symlink(node, to).with_context(|| to.display().to_string()),
            Kind::Directory => {
                self.directory(node, to).with_context(|| to.display().to_string())?;
                for entry in entries(node)? {
                    self.any(&entry.node, &to.join(host_name(&entry.name)?))?;
                }
                if self.attributes == Attributes::Kept {
                    // Last: what came into it changed the one and needed the other.
                    set_attributes(node, &File::open(to)?).with_context(|| to.display().to_string())?;
                }
                Ok(())
            }
        }
    }

    fn file(&mut self, node: &Inside, to: &Path) -> Result<()> {
        // Whose image it is nobody knows: what it calls a file is never written through a symlink.
        remove_symlink(to)?;
        let attr = node.attr();
        if attr.nlink > 1 {
            match self.links.get(&attr.ino).map(|first| host::hard_link(first, to)) {
                // Something is in the way: it gets a copy of the content, as any file would.
                Some(Err(error)) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                Some(Ok(())) => return Ok(()),
                Some(Err(_)) => {}
                None => drop(self.links.insert(attr.ino, to.to_owned())),
            }
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(attr.mode & 0o777).open(to)?;
        match self.content(node, &file) {
            Err(error) if matches!(error.downcast_ref::<Error>(), Some(Error::Media(_))) => {
                self.hurt += 1;
                let line = format!("vitrine: {}: {error}", to.display());
                self.bar.suspend(|| eprintln!("{line}"));
            }
            other => other?,
        }
        if self.attributes == Attributes::Kept {
            set_attributes(node, &file)?;
        }
        Ok(())
    }

    /// Copies the content; pages of zeros become holes.
    fn content(&self, node: &Inside, file: &File) -> Result<()> {
        let mut shown = 0;
        let size = each_data(node, |at, bytes| {
            file.write_all_at(bytes, at)?;
            let end = at + bytes.len() as u64;
            self.bar.inc(end - shown);
            shown = end;
            Ok(())
        });
        let end = *size.as_ref().unwrap_or(&shown);
        self.bar.inc(end - shown);
        file.set_len(end)?;
        size.map(drop)
    }

    fn directory(&self, node: &Inside, to: &Path) -> Result<()> {
        // Its owner must be able to fill it.
        let mode = node.attr().mode & 0o777 | 0o700;
        match host::DirBuilder::new().mode(mode).create(to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && to.symlink_metadata()?.is_dir() => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("exists and is no directory"),
            made => Ok(made?),
        }
    }

    fn symlink(&self, node: &Inside, to: &Path) -> Result<()> {
        remove_symlink(to)?;
        let target = node.read_link()?;
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), to)?;
        if self.attributes == Attributes::Kept {
            let time = |time: Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
            let times = Timestamps { last_access: time(node.attr().atime), last_modification: time(node.attr().mtime) };
            utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }
}

/// Writes the content of `node`, a file, to `out`.
pub(crate) fn stream(node: &Inside, out: impl Write) -> Result<()> {
    let mut out = BufWriter::new(out);
    let mut done = 0;
    let size = each_data(node, |at, bytes| {
        io::copy(&mut io::Read::take(io::repeat(0), at - done), &mut out)?;
        out.write_all(bytes)?;
        done = at + bytes.len() as u64;
        Ok(())
    });
    // What came before a bad block is shown all the same.
    if let Ok(size) = size {
        io::copy(&mut io::Read::take(io::repeat(0), size - done), &mut out)?;
    }
    out.flush()?;
    size.map(drop)
}

/// Gives a host file the mode and the times of `node`.
fn set_attributes(node: &Inside, file: &File) -> Result<()> {
    let attr = node.attr();
    let times = FileTimes::new().set_accessed(system(attr.atime)).set_modified(system(attr.mtime));
    file.set_times(times)?;
    Ok(file.set_permissions(Permissions::from_mode(attr.mode & 0o7777))?)
}

fn system(time: Time) -> SystemTime {
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let second = if time.secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second.and_then(|second| second.checked_add(Duration::from_nanos(time.nanos.into()))).unwrap_or(UNIX_EPOCH)
}

/// Removes what is at `path` if it is a symlink.
fn remove_symlink(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => host::remove_file(path),
        _ => Ok(()),
    }
}
