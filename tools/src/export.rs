//! From an image to the host: files, directories, symlinks.

use std::fs::{self as host, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use fs::Kind;
use indicatif::ProgressBar;
use units::FileOff;

use crate::path::{Inside, entries, host_name};

/// Bytes moved at once.
const CHUNK: usize = 1 << 20;

/// One run of copying out.
pub(crate) struct Export {
    bar: ProgressBar,
}

impl Export {
    /// Shows how far it is on `bar`.
    pub(crate) fn new(bar: ProgressBar) -> Self {
        Self { bar }
    }

    /// Takes the progress bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Copies `node`, with all that lies below, to the host path `to`.
    pub(crate) fn any(&self, node: &Inside, to: &Path) -> Result<()> {
        match node.kind() {
            Kind::File => self.file(node, to).with_context(|| to.display().to_string()),
            Kind::Symlink => self.symlink(node, to).with_context(|| to.display().to_string()),
            Kind::Directory => {
                self.directory(node, to).with_context(|| to.display().to_string())?;
                for entry in entries(node)? {
                    self.any(&entry.node, &to.join(host_name(&entry.name)?))?;
                }
                Ok(())
            }
        }
    }

    fn file(&self, node: &Inside, to: &Path) -> Result<()> {
        // Whose image it is nobody knows: what it calls a file is never written through a symlink.
        remove_symlink(to)?;
        let mode = node.attr().mode & 0o777;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(to)?;
        self.content(node, &file)
    }

    /// Copies the content; pages of zeros become holes.
    fn content(&self, node: &Inside, file: &File) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut at = 0_u64;
        loop {
            let len = node.read(FileOff::new(at), CHUNK, &mut &mut buffer[..])?;
            if len == 0 {
                break;
            }
            if buffer[..len].iter().any(|&byte| byte != 0) {
                file.write_all_at(&buffer[..len], at)?;
            }
            at += len as u64;
            self.bar.inc(len as u64);
        }
        Ok(file.set_len(at)?)
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
        Ok(std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), to)?)
    }
}

/// Removes what is at `path` if it is a symlink.
fn remove_symlink(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => host::remove_file(path),
        _ => Ok(()),
    }
}
