//! What the items of a record say, and that said of the inodes: nothing that cannot be is applied.

use alloc::boxed::Box;
use alloc::vec::Vec;
use pmem::medium::Medium;
use units::BlockNr;

use super::{Loaded, Reader, Reading, Repair};
use crate::error::Wrong;
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::{BLOCK, EntryItem, MAX_COUNT, ROOT, RunItem, run};
use crate::items::{self, Item, Meta};
use crate::lists;
use crate::names::Names;
use crate::seeded::{Bug, seeded};
use crate::space::Run;
use crate::types::{Kind, MAX_FILE_SIZE, MAX_NAME, MAX_TARGET};

impl<M: Medium> Reader<'_, M> {
    /// Applies each item that can be applied.
    pub(super) fn take_what_is_possible(&mut self, items: u32, mut payload: &[u8]) {
        for _ in 0..items {
            let Ok(item) = items::next(&mut payload) else { return };
            if self.check(&item).and_then(|()| self.apply(&item)).is_err() {
                self.replayed.incomplete.insert(item.subject());
            }
        }
    }

    /// Whether an item says something that can be, before any of its record is applied.
    pub(super) fn check(&self, item: &Item<'_>) -> Result<(), Wrong> {
        let text = |ok: bool| if ok { Ok(()) } else { Err(Wrong::Item) };
        match item {
            Item::Inode(ino, meta) => {
                text((ROOT..MAX_COUNT).contains(ino) && (meta.kind == Kind::File || meta.size == 0))
            }
            Item::Extents(_, runs) => self.check_runs(runs),
            Item::ExtentList(item) => text(item.list.iter().all(|block| self.in_range(block.get(), 1))),
            Item::Entry(EntryItem { .. }, name) => {
                let bad = name.is_empty() || name.len() > MAX_NAME || *name == b"." || *name == b"..";
                text(!bad && !name.contains(&b'/') && !name.contains(&0))
            }
            Item::Target(_, target) => text(!target.is_empty() && target.len() <= MAX_TARGET && !target.contains(&0)),
        }
    }

    fn check_runs(&self, runs: &[RunItem]) -> Result<(), Wrong> {
        for item in runs {
            let (start, blocks) = (item.start.get(), u64::from(item.blocks.get()));
            let fine = match item.state.get() {
                run::HOLE => start == 0,
                run::WRITTEN | run::UNWRITTEN => self.in_range(start, blocks),
                _ => return Err(Wrong::Item),
            };
            if !fine || blocks == 0 {
                return Err(Wrong::OutOfRange);
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, item: &Item<'_>) -> Result<(), Wrong> {
        match item {
            Item::Inode(ino, meta) => self.apply_inode(*ino, meta),
            Item::Extents(item, runs) => self.map(item.ino.get(), item.first.get(), runs),
            Item::ExtentList(item) => {
                let first = item.list.map(|block| block.get());
                let (key, salt) = ((self.generation, item.ino.get()), self.salt);
                let chain =
                    lists::load(self.medium, salt, key, (first, item.runs.get()), self.total, &mut self.listed)?;
                self.check_runs(&chain.runs)?;
                for (block, bytes) in chain.bad_copies {
                    let (what, at) = (Wrong::ExtentBlockCopy, BlockNr::new(block).base());
                    self.replayed.repairs.push(Repair { what, at, bytes, stored_with: None });
                }
                self.replayed.log.extend(chain.blocks.iter().map(|&block| Run::new(block, 1)));
                self.map(item.ino.get(), item.first.get(), &chain.runs)
            }
            Item::Entry(item, name) => {
                let dir = self.loaded(item.dir.get(), Kind::Directory)?;
                match item.ino.get() {
                    0 => drop(dir.names.remove(name)),
                    ino => drop(dir.names.put(name, ino)),
                }
                Ok(())
            }
            Item::Target(item, target) => {
                self.loaded(item.ino.get(), Kind::Symlink)?.target = target.to_vec();
                Ok(())
            }
        }
    }

    fn apply_inode(&mut self, ino: u64, meta: &Meta) -> Result<(), Wrong> {
        self.replayed.next_ino = self.replayed.next_ino.max(ino + 1);
        let inodes = &mut self.replayed.inodes;
        let Some(loaded) = inodes.get_mut(ino) else {
            // Nothing is open after a cut: what has no name is gone, and its blocks are free.
            if meta.nlink != 0 || seeded(Bug::UnlinkedKept) {
                let (extents, names, target) = (Extents::default(), Names::new(self.salt.0 ^ ino), Vec::new());
                inodes.insert(ino, Box::new(Loaded { meta: *meta, extents, names, target }));
            }
            return Ok(());
        };
        if loaded.meta.kind != meta.kind {
            return Err(Wrong::WrongContent);
        }
        let links = if seeded(Bug::ReplayAdds) { loaded.meta.nlink } else { 0 };
        loaded.meta = Meta { nlink: meta.nlink.wrapping_add(links), ..*meta };
        if meta.nlink == 0 && !seeded(Bug::UnlinkedKept) {
            inodes.remove(ino);
        }
        Ok(())
    }

    fn loaded(&mut self, ino: u64, kind: Kind) -> Result<&mut Loaded, Wrong> {
        let loaded = self.replayed.inodes.get_mut(ino).ok_or(Wrong::Item)?;
        if loaded.meta.kind == kind { Ok(loaded) } else { Err(Wrong::WrongContent) }
    }

    /// Makes `runs` the mapping of the file `ino` from file block `first` on.
    fn map(&mut self, ino: u64, first: u64, runs: &[RunItem]) -> Result<(), Wrong> {
        // Who passes over records may find a block with two owners, of whom the later has it; nobody else tells births apart.
        let (birth, newest_pin) = match self.reading {
            Reading::Strict => (0, None),
            Reading::Salvage => (self.replayed.tail.seq, Some(u64::MAX)),
        };
        let mut extents = Vec::new();
        let mut at = first;
        for item in runs {
            let end = at.checked_add(item.blocks.get().into()).ok_or(Wrong::Item)?;
            if end > MAX_FILE_SIZE / BLOCK {
                return Err(Wrong::Item);
            }
            let state = match item.state.get() {
                run::WRITTEN => Some(ExtentState::Written),
                run::UNWRITTEN => Some(ExtentState::Unwritten),
                _ => None,
            };
            let (start, blocks) = (item.start.get(), item.blocks.get());
            extents.extend(state.map(|state| Extent { file: at, start, birth, blocks, state }));
            at = end;
        }
        let loaded = self.loaded(ino, Kind::File)?;
        loaded.extents.replace((first, at), &extents, newest_pin, drop);
        Ok(())
    }
}
