//! `vitrine cp`: which side is where, and what the copies are called.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use fs::{Access, Error, Kind};
use units::PAGE_SIZE;

use crate::clock::Clock;
use crate::content::tree_size as tree_size_inside;
use crate::export::{Attributes, Export, stream};
use crate::image::{Images, Mounted, Place};
use crate::import::{Import, tree_size};
use crate::path::{self, Inside};
use crate::size::human;
use crate::within::Within;
use crate::{cli, progress};

/// Copies what was asked for; the first failure ends it.
pub(crate) fn run(args: &cli::Cp) -> Result<()> {
    let Some((to, from)) = args.paths.split_last() else { bail!("cp takes a source and a destination") };
    let from: Vec<Place> = from.iter().map(|word| Place::parse(word)).collect();
    match Place::parse(to) {
        Place::Image { image, path } => into_image(args, &from, &image, &path),
        Place::Host(path) => out_of_image(args, &from, &path),
        Place::Standard => to_output(&from),
    }
}

/// Where in an image copies go.
enum Into {
    /// Into this directory, under their own names.
    Directory(Inside),
    /// To this name in this directory.
    Name(Inside, Vec<u8>),
}

fn into_image(args: &cli::Cp, from: &[Place], image: &Path, path: &[u8]) -> Result<()> {
    let shown = || path::shown(image, path);
    let mut images = Images::default();
    let fs = images.mount(image, Access::ReadWrite)?;
    let into = match path::find(&fs, path) {
        Ok(node) if node.kind() == Kind::Directory => Into::Directory(node),
        _ if from.len() > 1 || path.ends_with(b"/") => bail!("{}: not a directory", shown()),
        _ => match path::parent(&fs, path).with_context(shown)? {
            (dir, None) => Into::Directory(dir),
            (dir, Some(name)) => Into::Name(dir, name),
        },
    };
    let clock = Clock::new()?;
    let mut total = 0;
    for place in from {
        if let Place::Host(path) = place {
            total += tree_size(path)?;
        }
    }
    let bar = progress::bytes("copying in", total);
    let mut import = Import::new(clock, bar.clone());
    if attributes(args) == Attributes::Kept {
        import.keep_times();
    }
    let mut within = Within::new(clock, attributes(args), bar.clone());
    for place in from {
        let copied = match place {
            Place::Host(source) => from_host(args, &mut import, source, &into),
            Place::Standard => match &into {
                Into::Name(dir, name) => import.stream(std::io::stdin().lock(), dir, name).with_context(shown),
                Into::Directory(_) => Err(anyhow!("{}: is a directory: give what comes in a name", shown())),
            },
            Place::Image { image, path } => {
                let shown = || path::shown(image, path);
                let node = path::find(&images.mount(image, Access::ReadOnly)?, path).with_context(shown)?;
                bar.inc_length(tree_size_inside(&node)?);
                from_image(args, &mut within, &node, path, &into).with_context(shown)
            }
        };
        copied.map_err(|error| room(error, &fs, image))?;
    }
    bar.finish_and_clear();
    images.finish()
}

/// Says how full the image is where that is the matter.
fn room(error: anyhow::Error, fs: &Mounted, image: &Path) -> anyhow::Error {
    match error.downcast_ref::<Error>() {
        Some(Error::NoSpace) => {
            let (free, size) = (fs.space().available * PAGE_SIZE, fs.space().blocks * PAGE_SIZE);
            let (image, free, size) = (image.display(), human(free), human(size));
            error.context(format!("{image}: {free} of {size} are free: 'vitrine rm' something, or make a larger image"))
        }
        _ => error,
    }
}

/// What `-p` and `-a` say.
fn attributes(args: &cli::Cp) -> Attributes {
    if args.preserve || args.archive { Attributes::Kept } else { Attributes::Fresh }
}

fn is_recursive(args: &cli::Cp) -> bool {
    args.recursive || args.archive
}

fn to_output(from: &[Place]) -> Result<()> {
    let mut images = Images::default();
    for place in from {
        let Place::Image { image, path } = place else {
            bail!("neither side is in an image: write IMG:/path for one of them")
        };
        let shown = || path::shown(image, path);
        let node = path::find(&images.mount(image, Access::ReadOnly)?, path).with_context(shown)?;
        ensure!(node.kind() == Kind::File, "{}: is a directory", shown());
        stream(&node, std::io::stdout().lock()).with_context(shown)?;
    }
    Ok(())
}

fn from_host(args: &cli::Cp, import: &mut Import, source: &Path, into: &Into) -> Result<()> {
    let metadata = source.metadata().with_context(|| source.display().to_string())?;
    let (dir, name) = match into {
        Into::Name(dir, name) => (dir, name.as_slice()),
        Into::Directory(dir) => match own_name(source.as_os_str().as_bytes()) {
            Some(name) => (dir, name),
            None if is_recursive(args) => return import.directory_content(source, dir),
            None => bail!("{}: is a directory: say -r to copy it", source.display()),
        },
    };
    match metadata.is_dir() {
        false => import.file(source, dir, name),
        true if !is_recursive(args) => bail!("{}: is a directory: say -r to copy it", source.display()),
        // A symlink that was named is followed, hence the canonical path.
        true => import.any(&source.canonicalize().with_context(|| source.display().to_string())?, dir, name),
    }
}

fn from_image(args: &cli::Cp, within: &mut Within, node: &Inside, path: &[u8], into: &Into) -> Result<()> {
    ensure!(node.kind() != Kind::Directory || is_recursive(args), "is a directory: say -r to copy it");
    match into {
        Into::Name(dir, name) => within.any(node, dir, name),
        Into::Directory(dir) => match own_name(path) {
            Some(name) => within.any(node, dir, name),
            None => within.content(node, dir),
        },
    }
}

/// What a copy of `path` is called. `.`, `..` and `/` have no name: their content is meant.
fn own_name(path: &[u8]) -> Option<&[u8]> {
    path.split(|&byte| byte == b'/').rfind(|name| !name.is_empty()).filter(|name| !matches!(*name, b"." | b".."))
}

fn out_of_image(args: &cli::Cp, from: &[Place], to: &Path) -> Result<()> {
    let mut images = Images::default();
    let mut sources = Vec::new();
    for place in from {
        let Place::Image { image, path } = place else {
            bail!("neither side is in an image: write IMG:/path for one of them")
        };
        let shown = path::shown(image, path);
        let node = path::find(&images.mount(image, Access::ReadOnly)?, path).with_context(|| shown.clone())?;
        ensure!(node.kind() != Kind::Directory || is_recursive(args), "{shown}: is a directory: say -r to copy it");
        sources.push((node, path, shown));
    }
    let into = to.is_dir();
    if !into && (sources.len() > 1 || to.as_os_str().as_bytes().ends_with(b"/")) {
        bail!("{}: not a directory", to.display());
    }
    let total = sources.iter().map(|(node, ..)| tree_size_inside(node)).sum::<Result<u64>>()?;
    let mut export = Export::new(progress::bytes("copying out", total), attributes(args));
    for (node, path, shown) in &sources {
        let target: PathBuf = match own_name(path) {
            Some(name) if into => to.join(path::host_name(name)?),
            _ => to.to_owned(),
        };
        export.any(node, &target).with_context(|| shown.clone())?;
    }
    export.finish()
}
