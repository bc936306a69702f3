//! Paths inside an image: found component by component, symlinks followed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fs::{Error, Kind, Node};

use crate::image::Mounted;
use crate::medium::ImageMedium;

/// Symlinks followed in one path (Linux's `MAXSYMLINKS`).
const MAX_SYMLINKS: usize = 40;

/// A file, directory or symlink in an image.
pub(crate) type Inside = Node<ImageMedium>;

/// What a path's last component is looked up in, and that component; `None` for the root.
pub(crate) type Parent = (Inside, Option<Vec<u8>>);

/// How a path inside an image is shown.
pub(crate) fn shown(image: &Path, path: &[u8]) -> String {
    format!("{}:{}", image.display(), String::from_utf8_lossy(path))
}

/// The node at `path`; a symlink in the last place is followed.
pub(crate) fn find(fs: &Mounted, path: &[u8]) -> Result<Inside> {
    let mut links = 0;
    walk(fs, &fs.root(), path, &mut links)
}

/// The node at `path`; a symlink in the last place is the answer itself.
pub(crate) fn find_link(fs: &Mounted, path: &[u8]) -> Result<Inside> {
    match parent(fs, path)? {
        (dir, None) => Ok(dir),
        (dir, Some(name)) => Ok(dir.lookup(&name)?),
    }
}

/// The directory `path` lies in, and its last name there, which need not exist.
pub(crate) fn parent(fs: &Mounted, path: &[u8]) -> Result<Parent> {
    let trimmed = path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count();
    let path = &path[..trimmed];
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Ok((fs.root(), None)) };
    let (above, name) = (&path[..slash], &path[slash + 1..]);
    let dir = find(fs, above).with_context(|| String::from_utf8_lossy(above).into_owned())?;
    ensure!(dir.kind() == Kind::Directory, Error::NotDirectory);
    match name {
        b"." | b".." => Ok((dir.lookup(name)?, None)),
        name => Ok((dir, Some(name.to_vec()))),
    }
}

fn walk(fs: &Mounted, from: &Inside, path: &[u8], links: &mut usize) -> Result<Inside> {
    let mut at = if path.first() == Some(&b'/') { fs.root() } else { from.clone() };
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        let next = at.lookup(name)?;
        at = match next.kind() {
            Kind::Symlink => {
                *links += 1;
                if *links > MAX_SYMLINKS {
                    bail!("too many symbolic links");
                }
                walk(fs, &at, &next.read_link()?, links)?
            }
            _ => next,
        };
    }
    Ok(at)
}

/// One entry of a directory.
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) node: Inside,
}

/// Every entry but `.` and `..`, sorted by name.
pub(crate) fn entries(dir: &Inside) -> Result<Vec<Entry>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    dir.read_dir(0, &mut |entry| {
        if !matches!(entry.name, b"." | b"..") {
            names.push(entry.name.to_vec());
        }
        true
    })?;
    names.sort_unstable();
    names.into_iter().map(|name| Ok(Entry { node: dir.lookup(&name)?, name })).collect()
}

/// A name from an image as one component of a host path. An image may be anybody's: a name that leads elsewhere is
/// refused.
pub(crate) fn host_name(name: &[u8]) -> Result<&std::ffi::OsStr> {
    let harmless = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0);
    ensure!(harmless, "the name '{}' cannot be used here", name.escape_ascii());
    Ok(std::ffi::OsStr::from_bytes(name))
}
