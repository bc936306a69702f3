//! `vitrine ls`, `cat`, `rm` and `mkdir`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fs::{Access, Attr, Error, Kind, NewNode};

use crate::clock::{Clock, calendar};
use crate::export::stream;
use crate::image::{Images, Mounted, Place};
use crate::path::{self, Inside, shown};
use crate::{cli, json};

/// Calls `each` for every `IMG:/path`, and names it where that fails.
fn for_each(
    paths: &[std::ffi::OsString],
    access: Access,
    mut each: impl FnMut(&Mounted, &Path, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut images = Images::default();
    for word in paths {
        let (image, path) = Place::parse_image(word)?;
        let fs = images.mount(&image, access)?;
        each(&fs, &image, &path).with_context(|| shown(&image, &path))?;
    }
    images.finish()
}

/// Lists directories and files.
pub(crate) fn ls(args: &cli::Ls) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let many = args.paths.len() > 1 || args.recursive;
    let mut first = true;
    if args.json {
        let mut all = Vec::new();
        for_each(&args.paths, Access::ReadOnly, |fs, _, path| {
            let node = path::find(fs, path).or_else(|_| path::find_link(fs, path))?;
            match node.kind() {
                Kind::Directory => list_json(args, &node, &[], &mut all),
                _ => one_json(&path::find_link(fs, path)?, path, &mut all),
            }
        })?;
        return Ok(writeln!(out, "{}", serde_json::Value::from(all)).and_then(|()| out.flush())?);
    }
    for_each(&args.paths, Access::ReadOnly, |fs, image, path| {
        let node = path::find(fs, path).or_else(|_| path::find_link(fs, path))?;
        if node.kind() != Kind::Directory {
            let link = path::find_link(fs, path)?;
            return line(&mut out, args, &link, path);
        }
        list(&mut out, args, &node, image, path, many, &mut first)
    })?;
    Ok(out.flush()?)
}

fn list(
    out: &mut impl Write,
    args: &cli::Ls,
    dir: &Inside,
    image: &Path,
    path: &[u8],
    titled: bool,
    first: &mut bool,
) -> Result<()> {
    if titled {
        writeln!(out, "{}{}:", if std::mem::take(first) { "" } else { "\n" }, shown(image, path))?;
    }
    let entries = path::entries(dir)?;
    for entry in &entries {
        line(out, args, &entry.node, &entry.name)?;
    }
    if args.recursive {
        for entry in entries.iter().filter(|entry| entry.node.kind() == Kind::Directory) {
            let below = [path.strip_suffix(b"/").unwrap_or(path), &entry.name].join(&b'/');
            list(out, args, &entry.node, image, &below, true, first)?;
        }
    }
    Ok(())
}

/// The entries of `dir`, with names that begin at the directory that was named, `above` it.
fn list_json(args: &cli::Ls, dir: &Inside, above: &[u8], all: &mut Vec<serde_json::Value>) -> Result<()> {
    for entry in path::entries(dir)? {
        let name = [above, &entry.name].concat();
        one_json(&entry.node, &name, all)?;
        if args.recursive && entry.node.kind() == Kind::Directory {
            list_json(args, &entry.node, &[&name, b"/".as_slice()].concat(), all)?;
        }
    }
    Ok(())
}

fn one_json(node: &Inside, name: &[u8], all: &mut Vec<serde_json::Value>) -> Result<()> {
    let target = if node.kind() == Kind::Symlink { Some(node.read_link()?) } else { None };
    all.push(json::file(name, &node.attr(), target.as_deref()));
    Ok(())
}

fn line(out: &mut impl Write, args: &cli::Ls, node: &Inside, name: &[u8]) -> Result<()> {
    if args.long {
        let Attr { nlink, uid, gid, size, mtime, .. } = node.attr();
        write!(out, "{} {nlink:>3} {uid:>5} {gid:>5} {size:>12} {} ", mode(&node.attr()), calendar(mtime))?;
    }
    out.write_all(name)?;
    if args.long && node.kind() == Kind::Symlink {
        out.write_all(b" -> ")?;
        out.write_all(&node.read_link()?)?;
    }
    Ok(out.write_all(b"\n")?)
}

/// `drwxr-xr-x`, with the set-id and sticky bits as ls(1) shows them.
fn mode(attr: &Attr) -> String {
    let kind = match attr.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = attr.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (attr.mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// Writes files to standard output.
pub(crate) fn cat(args: &cli::Cat) -> Result<()> {
    for_each(&args.paths, Access::ReadOnly, |fs, _, path| {
        let node = path::find(fs, path)?;
        ensure!(node.kind() == Kind::File, Error::IsDirectory);
        stream(&node, io::stdout().lock())
    })
}

/// Removes files, and directories where that was asked for.
pub(crate) fn rm(args: &cli::Rm) -> Result<()> {
    let clock = Clock::new()?;
    for_each(&args.paths, Access::ReadWrite, |fs, _, path| {
        let (dir, name) = path::parent(fs, path)?;
        let Some(name) = name else { bail!("the root, '.' and '..' cannot be removed") };
        let node = dir.lookup(&name)?;
        if node.kind() != Kind::Directory {
            return Ok(dir.unlink(&name, clock.now())?);
        }
        ensure!(args.recursive, "is a directory: say -r to remove it with all it holds");
        empty(clock, &node)?;
        Ok(dir.rmdir(&name, clock.now())?)
    })
}

fn empty(clock: Clock, dir: &Inside) -> Result<()> {
    for entry in path::entries(dir)? {
        if entry.node.kind() == Kind::Directory {
            empty(clock, &entry.node)?;
            dir.rmdir(&entry.name, clock.now())?;
        } else {
            dir.unlink(&entry.name, clock.now())?;
        }
    }
    Ok(())
}

/// Makes directories, and those above where that was asked for.
pub(crate) fn mkdir(args: &cli::Mkdir) -> Result<()> {
    let clock = Clock::new()?;
    for_each(&args.paths, Access::ReadWrite, |fs, _, path| {
        if args.parents {
            let ends = path.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
            for end in ends.chain([path.len()]) {
                match make(fs, clock, &path[..end]) {
                    Err(error) if is_there(&error) && path::find(fs, &path[..end])?.kind() == Kind::Directory => {}
                    made => made?,
                }
            }
            return Ok(());
        }
        make(fs, clock, path)
    })
}

fn is_there(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Exists))
}

fn make(fs: &Mounted, clock: Clock, path: &[u8]) -> Result<()> {
    let (dir, name) = path::parent(fs, path)?;
    let name = name.ok_or(Error::Exists)?;
    dir.create(&name, NewNode::Directory { mode: 0o755 }, clock.now())?;
    Ok(())
}
