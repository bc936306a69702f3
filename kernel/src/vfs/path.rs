//! From a path to what it names.
//!
//! [`Walker`] goes through all components but the last and stops there, because what a missing or existing last one
//! means is the caller's to say; [`resolve`] is the caller that wants what is there. A symbolic link met on the way
//! is put in front of what is left of the path, so the walk never recurses.

use super::name::Named;
use super::special::Special;
use super::{Vnode, root};
use crate::task::current;
use abi::Errno;
use abi::file::PATH_MAX;
use alloc::vec::Vec;
use core::ops::Range;
use fs::Kind;

/// Symbolic links one walk passes through at most (Linux's `MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;

/// Whether a symbolic link at the end of a path stands for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Follow {
    /// It stands for what it points at.
    Yes,
    /// It stands for itself, unless a slash follows it.
    No,
}

/// What the last component of a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    /// There is none: the path is slashes only.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name; [`Walker::name`] has it.
    Name,
}

/// The path still to be walked.
enum Text<'a> {
    Given(&'a [u8]),
    /// A link's target, with the rest of the path it was met in behind it.
    Made(Vec<u8>),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Given(bytes) => bytes,
            Text::Made(bytes) => bytes,
        }
    }
}

/// A walk along a path, from directory to directory.
pub(crate) struct Walker<'a> {
    /// Where the walk began; `None` is `/`.
    base: Option<&'a Vnode>,
    /// Where it has got to, if it has left its beginning.
    here: Option<Vnode>,
    text: Text<'a>,
    /// The first byte not walked yet.
    at: usize,
    last: Range<usize>,
    slash: bool,
    links: u32,
}

impl<'a> Walker<'a> {
    /// Begins at `base`, or at `/` where `path` begins with a slash.
    ///
    /// # Errors
    /// `ENOENT` for an empty path, `ENOTDIR` where `base` is needed and no directory.
    #[inline]
    pub(crate) fn new(base: &'a Vnode, path: &'a [u8]) -> Result<Self, Errno> {
        let base = match path.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => None,
            Some(_) if base.is_directory() => Some(base),
            Some(_) => return Err(Errno::ENOTDIR),
        };
        let here = if base.is_none() { Some(root()) } else { None };
        Ok(Self { base, here, text: Text::Given(path), at: 0, last: 0..0, slash: false, links: 0 })
    }

    /// The directory the walk has got to.
    pub(crate) fn here(&self) -> &Vnode {
        match (&self.here, self.base) {
            (Some(here), _) => here,
            (None, Some(base)) => base,
            (None, None) => unreachable!("a walk without a base begins at the root"),
        }
    }

    /// The last component, after [`Walker::reach_last`].
    #[inline]
    pub(crate) fn name(&self) -> &[u8] {
        &self.text.bytes()[self.last.clone()]
    }

    /// Whether a slash follows the last component: it must then be a directory.
    pub(crate) fn slash(&self) -> bool {
        self.slash
    }

    /// Walks to the directory that holds the last component.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `EIO` for a component on the way.
    #[inline]
    pub(crate) fn reach_last(&mut self) -> Result<Last, Errno> {
        loop {
            let bytes = self.text.bytes();
            let component = component(bytes, self.at);
            let after = skip_slashes(bytes, component.end);
            let is_last = after == bytes.len();
            let name = &bytes[component.clone()];
            let what = match name {
                [] => return Ok(Last::Root),
                [b'.'] => Last::Dot,
                [b'.', b'.'] => Last::DotDot,
                _ => Last::Name,
            };
            self.slash = after > component.end;
            self.at = after;
            if is_last {
                self.last = component;
                return Ok(what);
            }
            match what {
                Last::Root | Last::Dot => {}
                Last::DotDot => self.here = Some(self.here().parent()?),
                Last::Name => {
                    let next = self.here().lookup(&self.text.bytes()[component])?;
                    self.enter(next)?;
                }
            }
        }
    }

    /// What the last component, a name, means now.
    ///
    /// # Errors
    /// `ENOENT`, `ENAMETOOLONG`, `EIO`.
    #[inline]
    pub(crate) fn look(&self) -> Result<Vnode, Errno> {
        self.here().lookup(self.name())
    }

    /// What the last component calls `found`, which [`Walker::look`] found: a file on the medium. Directories are found by
    /// going up.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[inline(always)]
    pub(super) fn named(&self, found: &Vnode) -> Result<Option<Named>, Errno> {
        match (self.here(), found) {
            (Vnode::Disk(directory), Vnode::Disk(node)) if node.kind() == Kind::File => {
                Named::new(directory, self.name()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Goes on with the target of `link`, which [`Walker::look`] found; then [`Walker::reach_last`] again.
    ///
    /// # Errors
    /// `ELOOP` after too many links, `ENOENT` for an empty target, `ENOMEM`, `EIO`.
    pub(crate) fn follow(&mut self, link: &Vnode) -> Result<(), Errno> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        if let Vnode::Kernel(Special::Descriptor(fd)) = link {
            return self.jump(*fd);
        }
        let mut target = link.read_link()?;
        link.touch_atime();
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let rest = &self.text.bytes()[self.at..];
        target.try_reserve(rest.len() + 1).map_err(|_| Errno::ENOMEM)?;
        if self.slash {
            target.push(b'/');
            target.extend_from_slice(rest);
        }
        if target[0] == b'/' {
            self.here = Some(root());
        }
        self.text = Text::Made(target);
        self.at = 0;
        Ok(())
    }

    /// Goes on at what the program's descriptor `fd` leads to, by whatever name or none (`nd_jump_link`).
    fn jump(&mut self, fd: u16) -> Result<(), Errno> {
        let there = current().files.get_raw(fd.into()).map_err(|_| Errno::ENOENT)?.vnode().clone();
        if self.slash && !there.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let rest = &self.text.bytes()[self.at..];
        let mut text = Vec::new();
        text.try_reserve_exact(rest.len()).map_err(|_| Errno::ENOMEM)?;
        text.extend_from_slice(rest);
        (self.here, self.text, self.at) = (Some(there), Text::Made(text), 0);
        Ok(())
    }

    /// Steps from the present directory to `next`, a component that is not the last.
    fn enter(&mut self, next: Vnode) -> Result<(), Errno> {
        match next.kind() {
            Kind::Directory => self.here = Some(next),
            Kind::Symlink => self.follow(&next)?,
            Kind::File => return Err(Errno::ENOTDIR),
        }
        Ok(())
    }
}

/// The first component from `at` on; empty at the end of the path.
fn component(path: &[u8], at: usize) -> Range<usize> {
    let start = skip_slashes(path, at);
    let mut end = start;
    while end < path.len() && path[end] != b'/' {
        end += 1;
    }
    start..end
}

fn skip_slashes(path: &[u8], mut at: usize) -> usize {
    while at < path.len() && path[at] == b'/' {
        at += 1;
    }
    at
}

/// What `path` names.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `ENOMEM`, `EIO`.
pub(crate) fn resolve(base: &Vnode, path: &[u8], follow: Follow) -> Result<Vnode, Errno> {
    let mut walk = Walker::new(base, path)?;
    loop {
        let found = match walk.reach_last()? {
            Last::Root | Last::Dot => return Ok(walk.here().clone()),
            Last::DotDot => return walk.here().parent(),
            Last::Name => walk.look()?,
        };
        match found.kind() {
            Kind::Symlink if follow == Follow::Yes || walk.slash() => walk.follow(&found)?,
            Kind::Directory => return Ok(found),
            Kind::File | Kind::Symlink if walk.slash() => return Err(Errno::ENOTDIR),
            Kind::File | Kind::Symlink => return Ok(found),
        }
    }
}

/// What `path` names, links followed, and the name of a file on the medium.
///
/// # Errors
/// As for [`resolve`].
pub(super) fn resolve_named(base: &Vnode, path: &[u8]) -> Result<(Vnode, Option<Named>), Errno> {
    let mut walk = Walker::new(base, path)?;
    loop {
        let found = match walk.reach_last()? {
            Last::Root | Last::Dot => return Ok((walk.here().clone(), None)),
            Last::DotDot => return Ok((walk.here().parent()?, None)),
            Last::Name => walk.look()?,
        };
        match found.kind() {
            Kind::Symlink => walk.follow(&found)?,
            Kind::File if walk.slash() => return Err(Errno::ENOTDIR),
            Kind::Directory | Kind::File => {
                let name = walk.named(&found)?;
                return Ok((found, name));
            }
        }
    }
}

/// The absolute path of a directory, found by going up: there is no cache of names that could be out of date.
///
/// # Errors
/// `ENOENT` where it, or one above it, was removed; `ENAMETOOLONG` past `PATH_MAX`; `ENOMEM`, `EIO`.
pub(crate) fn of_directory(directory: &Vnode) -> Result<Vec<u8>, Errno> {
    let mut path = Backwards::new()?;
    let mut here = directory.clone();
    while !here.is_root() {
        let parent = here.parent()?;
        match &here {
            Vnode::Kernel(special) => path.prepend(special.name())?,
            Vnode::Disk(node) => path.prepend_name_of(node.ino(), parent.disk()?)?,
        }
        here = parent;
    }
    Ok(path.finish())
}

/// A path written from its end to its beginning.
struct Backwards {
    bytes: Vec<u8>,
    start: usize,
}

impl Backwards {
    fn new() -> Result<Self, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(PATH_MAX).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(PATH_MAX, 0);
        Ok(Self { bytes, start: PATH_MAX })
    }

    fn prepend(&mut self, name: &[u8]) -> Result<(), Errno> {
        let start = self.start.checked_sub(name.len() + 1).ok_or(Errno::ENAMETOOLONG)?;
        self.bytes[start] = b'/';
        self.bytes[start + 1..self.start].copy_from_slice(name);
        self.start = start;
        Ok(())
    }

    /// Finds what `parent` calls `ino`.
    fn prepend_name_of(&mut self, ino: units::Ino, parent: &super::Node) -> Result<(), Errno> {
        let mut done = Err(Errno::ENOENT);
        let mut each = |entry: fs::DirEntry<'_>| {
            let found = entry.ino == ino && entry.name != b"." && entry.name != b"..";
            if found {
                done = self.prepend(entry.name);
            }
            !found
        };
        parent.read_dir(0, &mut each).map_err(super::error::errno)?;
        done
    }

    fn finish(mut self) -> Vec<u8> {
        if self.start == self.bytes.len() {
            return Vec::from(b"/".as_slice());
        }
        self.bytes.drain(..self.start);
        self.bytes
    }
}
