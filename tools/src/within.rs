//! From image to image, or from one place in an image to another.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use fs::{Error, Kind, NewNode, SetAttr, WriteAt};
use indicatif::ProgressBar;
use units::{FileOff, Ino};

use crate::clock::Clock;
use crate::content::each_data;
use crate::export::Attributes;
use crate::path::{self, Inside};

/// One run of copying.
pub(crate) struct Within {
    clock: Clock,
    attributes: Attributes,
    bar: ProgressBar,
    /// Files with several names, and the node their first name became.
    links: HashMap<Ino, Inside>,
}

impl Within {
    /// Shows how far it is on `bar`.
    pub(crate) fn new(clock: Clock, attributes: Attributes, bar: ProgressBar) -> Self {
        Self { clock, attributes, bar, links: HashMap::new() }
    }

    /// Copies `node` to the name `name` in `dir`, with all that lies below. Names of one source stay names of one file; the
    /// next source may be of another image.
    pub(crate) fn any(&mut self, node: &Inside, dir: &Inside, name: &[u8]) -> Result<()> {
        self.links.clear();
        self.node(node, dir, name)
    }

    /// Copies what is inside `from` into `to`.
    pub(crate) fn content(&mut self, from: &Inside, to: &Inside) -> Result<()> {
        refuse_inside(from, to)?;
        for entry in path::entries(from)? {
            self.node(&entry.node, to, &entry.name)?;
        }
        self.set_attributes(from, to)
    }

    fn node(&mut self, node: &Inside, dir: &Inside, name: &[u8]) -> Result<()> {
        let now = self.clock.now();
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
        if let Some(first) = self.links.get(&attr.ino).filter(|_| attr.kind == Kind::File) {
            match dir.link(name, first, now) {
                // Something is in the way: it gets a copy of the content, as any file would.
                Err(Error::Exists) => {}
                linked => return Ok(linked?),
            }
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
            Kind::Symlink => self.set_attributes(node, &copy),
            Kind::Directory => self.content(node, &copy),
            Kind::File => {
                if attr.nlink > 1 {
                    self.links.insert(attr.ino, copy.clone());
                }
                let size = each_data(node, |at, bytes| {
                    copy.write(WriteAt::Offset(FileOff::new(at)), &mut &bytes[..], now)?;
                    Ok(())
                })?;
                if copy.attr().size < size {
                    copy.truncate(size, now)?;
                }
                self.bar.inc(size);
                self.set_attributes(node, &copy)
            }
        }
    }

    fn set_attributes(&self, from: &Inside, to: &Inside) -> Result<()> {
        if self.attributes == Attributes::Fresh {
            return Ok(());
        }
        let attr = from.attr();
        let set = SetAttr { mode: Some(attr.mode), mtime: Some(attr.mtime), ..SetAttr::default() };
        Ok(to.set_attr(set, self.clock.now())?)
    }
}

/// A directory copied into itself would never end.
fn refuse_inside(from: &Inside, to: &Inside) -> Result<()> {
    let mut at = to.clone();
    loop {
        if at.is_same(from) {
            bail!("a directory cannot be copied into itself");
        }
        let above = at.lookup(b"..")?;
        if above.is_same(&at) {
            return Ok(());
        }
        at = above;
    }
}
