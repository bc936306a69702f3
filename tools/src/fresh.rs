//! A file that has no name until it is whole (`O_TMPFILE`): nobody finds half of it, and nothing is left of a run that ends.

use std::ffi::OsString;
use std::fs::{self as host, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs::Access;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::image::lock;

/// The file to be, locked.
pub(crate) struct Fresh {
    pub(crate) file: File,
    /// Where it goes; what is there, symlinks followed, is replaced.
    to: PathBuf,
    /// What is there, locked until it is replaced.
    older: Option<File>,
    /// Its name for the time being, where the host's file system has no files without one.
    makeshift: Option<Makeshift>,
}

/// A name that goes with this, unless it has been changed for another.
struct Makeshift(PathBuf);

impl Drop for Makeshift {
    fn drop(&mut self) {
        // Whether its traces could be removed is nobody's question any more.
        _ = host::remove_file(&self.0);
    }
}

impl Fresh {
    /// A file to take the name `path`, and the place of `older`.
    pub(crate) fn new(path: &Path, older: Option<File>) -> Result<Self> {
        let shown = || path.display().to_string();
        let to = if older.is_some() { path.canonicalize().with_context(shown)? } else { path.to_owned() };
        let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (file, makeshift) =
            match rustix::fs::open(above, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o666)) {
                Ok(fd) => (File::from(fd), None),
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                    let name = beside(&to);
                    let file =
                        File::options().read(true).write(true).create_new(true).open(&name).with_context(shown)?;
                    (file, Some(Makeshift(name)))
                }
                Err(rustix::io::Errno::NOENT) => bail!("{}: there is no directory {}", path.display(), above.display()),
                Err(error) => return Err(io::Error::from(error)).with_context(shown),
            };
        if let Some(older) = &older {
            file.set_permissions(older.metadata().with_context(shown)?.permissions()).with_context(shown)?;
        }
        lock(&file, path, Access::ReadWrite)?;
        Ok(Self { file, to, older, makeshift })
    }

    /// Gives it its name: from one moment to the next it is there, whole.
    pub(crate) fn name(mut self) -> io::Result<()> {
        if let Some(makeshift) = &self.makeshift {
            return host::rename(&makeshift.0, &self.to);
        }
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        if self.older.is_none() {
            return Ok(rustix::fs::linkat(CWD, own, CWD, &self.to, AtFlags::SYMLINK_FOLLOW)?);
        }
        let name = beside(&self.to);
        rustix::fs::linkat(CWD, own, CWD, &name, AtFlags::SYMLINK_FOLLOW)?;
        let linked = self.makeshift.insert(Makeshift(name));
        host::rename(&linked.0, &self.to)
    }
}

/// A name beside `path` that nobody else takes.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}
