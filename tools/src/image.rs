//! Images: named on the command line, opened, locked, mounted once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fs::{Access, Fs, Mount};
use units::PAGE_SIZE;

use crate::medium::{ImageMedium, image_medium};

/// The file system in an image.
pub(crate) type Mounted = Arc<Fs<ImageMedium>>;

/// A word of the command line that names a file: on the host, or in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of the host.
    Host(PathBuf),
    /// `-`: standard input, or output.
    Standard,
    /// `IMG:/path`.
    Image {
        /// The image file.
        image: PathBuf,
        /// The absolute path inside.
        path: Vec<u8>,
    },
}

impl Place {
    /// Tells the two apart by the first `:/`; `./a:/b` is no way out, a host file of such a name must be reached by
    /// another one.
    pub(crate) fn parse(word: &OsStr) -> Self {
        let bytes = word.as_bytes();
        match bytes.windows(2).position(|pair| pair == b":/") {
            Some(colon) if colon > 0 => Self::Image {
                image: PathBuf::from(OsString::from_vec(bytes[..colon].to_vec())),
                path: bytes[colon + 1..].to_vec(),
            },
            _ if bytes == b"-" => Self::Standard,
            _ => Self::Host(PathBuf::from(word)),
        }
    }

    /// An `IMG:/path`, where nothing else makes sense.
    pub(crate) fn parse_image(word: &OsStr) -> Result<(PathBuf, Vec<u8>)> {
        match Self::parse(word) {
            Self::Image { image, path } => Ok((image, path)),
            Self::Host(path) => bail!("{}: name a file in an image as IMG:/path", path.display()),
            Self::Standard => bail!("-: name a file in an image as IMG:/path"),
        }
    }
}

/// Every image this run has mounted. Each is opened once, because a second opening would find it locked.
#[derive(Default)]
pub(crate) struct Images {
    mounted: HashMap<PathBuf, Mounted>,
}

impl Images {
    /// The file system in the image at `path`. The first to ask decides whether it can be changed.
    pub(crate) fn mount(&mut self, path: &Path, access: Access) -> Result<Mounted> {
        let name = path.canonicalize().with_context(|| path.display().to_string())?;
        if let Some(fs) = self.mounted.get(&name) {
            return Ok(fs.clone());
        }
        let medium = open(path, access)?;
        let fs = Fs::mount(medium, Mount { access, ..Mount::default() }).with_context(|| path.display().to_string())?;
        if let (Access::ReadWrite, Some(damage)) = (access, fs.damage()) {
            bail!("{}: damaged, so it can only be read: {damage} (see 'vitrine fsck')", path.display());
        }
        self.mounted.insert(name, fs.clone());
        Ok(fs)
    }

    /// Tells whether all that was stored has also been written.
    pub(crate) fn finish(&self) -> Result<()> {
        for (path, fs) in &self.mounted {
            finish(path, fs.medium())?;
        }
        Ok(())
    }
}

/// Turns a failed write to an image into an error.
pub(crate) fn finish(path: &Path, medium: &ImageMedium) -> Result<()> {
    match medium.cells().failure() {
        None => Ok(()),
        Some(error) => bail!("{}: writing the image failed: {error}", path.display()),
    }
}

/// Opens and locks an existing image file.
pub(crate) fn open(path: &Path, access: Access) -> Result<ImageMedium> {
    let shown = || path.display().to_string();
    let write = access == Access::ReadWrite;
    if path.metadata().with_context(shown)?.is_dir() {
        bail!("{}: is a directory, not an image", path.display());
    }
    let file = match OpenOptions::new().read(true).write(write).open(path) {
        Err(error) if write && matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            return Err(error).with_context(|| format!("{}: cannot be changed", path.display()));
        }
        opened => opened.with_context(shown)?,
    };
    lock(&file, path, access)?;
    let metadata = file.metadata().with_context(shown)?;
    if !metadata.is_file() {
        bail!("{}: not a regular file", path.display());
    }
    if metadata.len() < PAGE_SIZE {
        bail!(NoImage { path: path.to_owned(), len: metadata.len() });
    }
    Ok(image_medium(file, metadata.len()))
}

/// Takes the lock that a running machine holds on its medium: alone to write, together with others to read.
pub(crate) fn lock(file: &File, path: &Path, access: Access) -> Result<()> {
    let locked = match access {
        Access::ReadWrite => file.try_lock(),
        Access::ReadOnly => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!("{}: busy: a running machine or another tool has it; end that first", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// A file too short to be an image.
#[derive(Debug)]
pub(crate) struct NoImage {
    path: PathBuf,
    len: u64,
}

impl std::fmt::Display for NoImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: not a Vitrine image: only {} bytes long", self.path.display(), self.len)
    }
}

impl std::error::Error for NoImage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_an_image_is_told_by_its_colon_and_slash() {
        let inside = |image: &str, path: &str| Place::Image { image: image.into(), path: path.into() };
        assert_eq!(Place::parse(OsStr::new("a.img:/")), inside("a.img", "/"));
        assert_eq!(Place::parse(OsStr::new("/tmp/a.img:/b/c")), inside("/tmp/a.img", "/b/c"));
        assert_eq!(Place::parse(OsStr::new("a:/b:/c")), inside("a", "/b:/c"));
        for host in ["a.img", "a:b", ":/x", "/tmp/x", "a:"] {
            assert_eq!(Place::parse(OsStr::new(host)), Place::Host(host.into()));
        }
    }
}
