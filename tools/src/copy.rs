//! `vitrine cp`: which side is where, and what the copies are called.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs::{Access, Error, Kind, NewNode, WriteAt};
use units::FileOff;

use crate::clock::Clock;
use crate::export::Export;
use crate::image::{Images, Place};
use crate::import::{Import, tree_size};
use crate::path::{self, Inside};
use crate::{cli, progress};

/// Bytes copied at once inside an image.
const CHUNK: usize = 1 << 20;

/// Copies what was asked for; the first failure ends it.
pub(crate) fn run(args: &cli::Cp) -> Result<()> {
    let Some((to, from)) = args.paths.split_last() else { bail!("cp takes a source and a destination") };
    let from: Vec<Place> = from.iter().map(|word| Place::parse(word)).collect();
    match Place::parse(to) {
        Place::Image { image, path } => into_image(args, &from, &image, &path),
        Place::Host(path) => out_of_image(args, &from, &path),
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
    let mut import = Import::new(clock, progress::bytes("copying in", total));
    for place in from {
        match place {
            Place::Host(source) => from_host(args, &mut import, source, &into)?,
            Place::Image { image, path } => {
                let node = path::find(&images.mount(image, Access::ReadOnly)?, path);
                let node = node.with_context(|| path::shown(image, path))?;
                from_image(args, clock, &node, path, &into).with_context(|| path::shown(image, path))?;
            }
        }
    }
    import.finish();
    images.finish()
}

fn from_host(args: &cli::Cp, import: &mut Import, source: &Path, into: &Into) -> Result<()> {
    let metadata = source.metadata().with_context(|| source.display().to_string())?;
    let (dir, name) = match into {
        Into::Name(dir, name) => (dir, name.as_slice()),
        Into::Directory(dir) => match own_name(source.as_os_str().as_bytes()) {
            Some(name) => (dir, name),
            None if args.recursive => return import.directory_content(source, dir),
            None => bail!("{}: is a directory: say -r to copy it", source.display()),
        },
    };
    match metadata.is_dir() {
        false => import.file(source, dir, name),
        true if !args.recursive => bail!("{}: is a directory: say -r to copy it", source.display()),
        // A symlink that was named is followed, hence the canonical path.
        true => import.any(&source.canonicalize().with_context(|| source.display().to_string())?, dir, name),
    }
}

fn from_image(args: &cli::Cp, clock: Clock, node: &Inside, path: &[u8], into: &Into) -> Result<()> {
    ensure!(node.kind() != Kind::Directory || args.recursive, "is a directory: say -r to copy it");
    match into {
        Into::Name(dir, name) => copy_node(clock, node, dir, name),
        Into::Directory(dir) => match own_name(path) {
            Some(name) => copy_node(clock, node, dir, name),
            None => copy_content(clock, node, dir),
        },
    }
}

/// What a copy of `path` is called. `.`, `..` and `/` have no name: their content is meant.
fn own_name(path: &[u8]) -> Option<&[u8]> {
    path.split(|&byte| byte == b'/').rfind(|name| !name.is_empty()).filter(|name| !matches!(*name, b"." | b".."))
}

/// Copies `node` to the name `name` in `dir`, with all that lies below.
fn copy_node(clock: Clock, node: &Inside, dir: &Inside, name: &[u8]) -> Result<()> {
    let now = clock.now();
    let attr = node.attr();
    let target;
    let new = match attr.kind {
        Kind::File => NewNode::File { mode: attr.mode },
        Kind::Directory => NewNode::Directory { mode: attr.mode },
        Kind::Symlink => {
            target = node.read_link()?;
            NewNode::Symlink { target: &target }
        }
    };
    if attr.kind == Kind::Directory {
        refuse_inside(node, dir)?;
    }
    let copy = match dir.create(name, new, now) {
        Err(Error::Exists) => {
            let there = dir.lookup(name)?;
            ensure!(!there.is_same(node), "source and destination are the same file");
            ensure!(there.kind() == attr.kind && attr.kind != Kind::Symlink, "the destination is of another kind");
            if attr.kind == Kind::File {
                there.truncate(0, now)?;
            }
            there
        }
        created => created?,
    };
    match attr.kind {
        Kind::Symlink => Ok(()),
        Kind::Directory => copy_content(clock, node, &copy),
        Kind::File => {
            let mut buffer = vec![0; CHUNK];
            let mut at = 0;
            loop {
                let len = node.read(FileOff::new(at), CHUNK, &mut &mut buffer[..])?;
                if len == 0 {
                    return Ok(());
                }
                copy.write(WriteAt::Offset(FileOff::new(at)), &mut &buffer[..len], now)?;
                at += len as u64;
            }
        }
    }
}

fn copy_content(clock: Clock, from: &Inside, to: &Inside) -> Result<()> {
    refuse_inside(from, to)?;
    path::entries(from)?.iter().try_for_each(|entry| copy_node(clock, &entry.node, to, &entry.name))
}

/// A directory copied into itself would never end.
fn refuse_inside(from: &Inside, to: &Inside) -> Result<()> {
    let mut at = to.clone();
    loop {
        ensure!(!at.is_same(from), "a directory cannot be copied into itself");
        let above = at.lookup(b"..")?;
        if above.is_same(&at) {
            return Ok(());
        }
        at = above;
    }
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
        ensure!(node.kind() != Kind::Directory || args.recursive, "{shown}: is a directory: say -r to copy it");
        sources.push((node, path, shown));
    }
    let into = to.is_dir();
    if !into && (sources.len() > 1 || to.as_os_str().as_bytes().ends_with(b"/")) {
        bail!("{}: not a directory", to.display());
    }
    let total = sources.iter().map(|(node, ..)| if node.kind() == Kind::File { node.attr().size } else { 0 }).sum();
    let export = Export::new(progress::bytes("copying out", total));
    for (node, path, shown) in &sources {
        let target: PathBuf = match own_name(path) {
            Some(name) if into => to.join(path::host_name(name)?),
            _ => to.to_owned(),
        };
        export.any(node, &target).with_context(|| shown.clone())?;
    }
    export.finish();
    Ok(())
}
