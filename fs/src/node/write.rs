//! Writing and truncating: fresh blocks first, then one record that makes them the file's.
//!
//! The program's bytes are copied before any lock is taken. Under the commit lock come the bytes around them, from the
//! blocks they replace, then the two fences: one for the data, one for the record.

use alloc::vec;
use alloc::vec::Vec;

use pmem::medium::{Medium, Source};
use pmem::order::{self, Batch, Cleaned};
use units::{ByteLen, FileOff, PmOff};

use super::Node;
use crate::error::Error;
use crate::extents::{Extent, ExtentState};
use crate::format::{BLOCK, INLINE_RUNS};
use crate::inode::{Body, Content, FileBody, Freed};
use crate::items::{Meta, Payload, runs_of};
use crate::lists;
use crate::space::{Purpose, Run, Wish};
use crate::types::{MAX_FILE_SIZE, MAX_TRANSFER, Time, WriteAt, Written};
use crate::volume::{Commit, Volume, at};

/// Fresh blocks, which go back unless the change that wants them happens.
struct Fresh<'v, M: Medium> {
    volume: &'v Volume<M>,
    runs: Vec<Run>,
}

impl<M: Medium> Drop for Fresh<'_, M> {
    fn drop(&mut self) {
        let runs = core::mem::take(&mut self.runs);
        self.volume.give(Freed { runs, ..Freed::default() });
    }
}

impl<'v, M: Medium> Fresh<'v, M> {
    fn take(volume: &'v Volume<M>, wish: Wish) -> Result<Self, Error> {
        let mut runs = Vec::new();
        volume.free_space().take(wish, &mut runs)?;
        Ok(Self { volume, runs })
    }

    /// The pieces of the medium behind bytes `from..to`, counted from the first block.
    fn pieces(&self, from: u64, to: u64) -> impl Iterator<Item = (PmOff, u64)> {
        let mut start = 0;
        self.runs.iter().filter_map(move |run| {
            let (first, end) = (start, start + run.blocks * BLOCK);
            start = end;
            let (low, high) = (from.max(first), to.min(end));
            (low < high).then(|| (PmOff::new(at(run.start.get()).get() + (low - first)), high - low))
        })
    }

    /// The extents that the blocks make from file block `file` on.
    fn extents(&self, mut file: u64) -> Vec<Extent> {
        let mut extents = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            // A run of more blocks than 32 bits count is longer than the largest file.
            let blocks = run.blocks as u32;
            extents.push(Extent { file, start: run.start.get(), birth: 0, blocks, state: ExtentState::Written });
            file += run.blocks;
        }
        extents
    }
}

impl<M: Medium> Body<M> {
    fn file(&mut self) -> Result<&mut FileBody, Error> {
        match &mut self.content {
            Content::File(file) => Ok(file),
            _ => Err(Error::Invalid),
        }
    }
}

impl<M: Medium> Node<M> {
    /// Writes all of `source` (at most [`crate::MAX_TRANSFER`] bytes) into fresh blocks and makes them the file's:
    /// atomic, and durable at return.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink, [`Error::TooLarge`], [`Error::NoSpace`],
    /// [`Error::BadAddress`], [`Error::Media`] where an edge cannot be read, [`Error::ReadOnly`]; nothing has changed.
    pub fn write<S: Source>(&self, place: WriteAt, source: &mut S, now: Time) -> Result<Written, Error> {
        self.file()?;
        if self.volume.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let len = source.remaining().min(MAX_TRANSFER);
        let start = match place {
            WriteAt::Offset(offset) => offset.get(),
            WriteAt::End => self.size(),
        };
        let end = start.checked_add(len as u64).filter(|end| *end <= MAX_FILE_SIZE).ok_or(Error::TooLarge)?;
        if len == 0 {
            return Ok(Written { len, end: FileOff::new(end) });
        }
        let (first, last) = (start / BLOCK, end.div_ceil(BLOCK));
        let goal = self.inode.body.lock().file()?.extents.goal(first);
        let wish = Wish { blocks: last - first, file: first, goal, purpose: Purpose::Grow };
        let fresh = Fresh::take(&self.volume, wish)?;
        let mut batch = Batch::new();
        let medium = self.volume.medium();
        for (at, bytes) in fresh.pieces(start - first * BLOCK, end - first * BLOCK) {
            batch.add(order::store_from(medium, at, bytes as usize, source)?.clean(medium));
        }

        let mut commit = self.volume.begin()?;
        let start = match place {
            WriteAt::Offset(_) => start,
            WriteAt::End => self.size(),
        };
        self.commit_write(&mut commit, fresh, (start, len as u64), (first, end), batch, now)
    }

    fn size(&self) -> u64 {
        self.inode.body.lock().meta.size
    }

    /// Makes `fresh`, which holds the bytes meant for the end `end`, the file's at `start`.
    fn commit_write(
        &self,
        commit: &mut Commit,
        fresh: Fresh<'_, M>,
        (start, len): (u64, u64),
        (first, end): (u64, u64),
        mut batch: Batch<Cleaned>,
        now: Time,
    ) -> Result<Written, Error> {
        let medium = self.volume.medium();
        let mut first = first;
        let mut fresh = fresh;
        if start + len != end {
            // Somebody else appended while the bytes were copied: they move to where they belong now.
            let mut bytes = vec![0; len as usize];
            let mut done = 0;
            for (at, piece) in fresh.pieces(end - len - first * BLOCK, end - first * BLOCK) {
                medium.load(at, &mut bytes[done..done + piece as usize])?;
                done += piece as usize;
            }
            (start + len <= MAX_FILE_SIZE).then_some(()).ok_or(Error::TooLarge)?;
            first = start / BLOCK;
            let blocks = (start + len).div_ceil(BLOCK) - first;
            fresh = Fresh::take(&self.volume, Wish { blocks, file: first, goal: None, purpose: Purpose::Grow })?;
            let mut rest = bytes.as_slice();
            for (at, piece) in fresh.pieces(start - first * BLOCK, start + len - first * BLOCK) {
                batch.add(order::store_from(medium, at, piece as usize, &mut rest)?.clean(medium));
            }
        }
        let end = start + len;
        let last = end.div_ceil(BLOCK);
        let before = self.inode.body.lock().meta;
        self.fill_edge(&fresh, first, (first * BLOCK, start), before.size, &mut batch)?;
        self.fill_edge(&fresh, first, (end, last * BLOCK), before.size, &mut batch)?;
        let _ = batch.fence(medium);

        let meta = Meta { size: before.size.max(end), mtime: now, ctime: now, ..before };
        let extents = fresh.extents(first);
        self.map(commit, fresh, (first, last), extents, meta, Purpose::Grow)?;
        Ok(Written { len: len as usize, end: FileOff::new(end) })
    }

    /// Fills the bytes `from..to` of the file, all in one block, in `fresh`, whose first block is file block `first`:
    /// from the block they replace as far as the file's `size` goes, with zeros from there.
    fn fill_edge(
        &self,
        fresh: &Fresh<'_, M>,
        first: u64,
        (from, to): (u64, u64),
        size: u64,
        batch: &mut Batch<Cleaned>,
    ) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        let medium = self.volume.medium();
        let mut bytes = [0; BLOCK as usize];
        let bytes = &mut bytes[..(to - from) as usize];
        let map = self.inode.body.lock().file()?.extents.map(FileOff::new(from));
        if map.kind == crate::iomap::IomapKind::Mapped && from < size {
            let old = (size.min(to) - from) as usize;
            medium.load(map.addr, &mut bytes[..old])?;
        }
        for (at, _) in fresh.pieces(from - first * BLOCK, to - first * BLOCK) {
            batch.add(order::store(medium, at, bytes).clean(medium));
        }
        Ok(())
    }

    /// The record: `extents` become the mapping of the file blocks `range`, and `meta` the attributes. `fresh` holds
    /// the new blocks, durable.
    fn map(
        &self,
        commit: &mut Commit,
        mut fresh: Fresh<'_, M>,
        range: (u64, u64),
        mut extents: Vec<Extent>,
        meta: Meta,
        purpose: Purpose,
    ) -> Result<(), Error> {
        // A file without a name is gone after a cut, and needs no record.
        let mut list = None;
        if meta.nlink > 0 {
            let mut payload = Payload::default();
            payload.inode(self.inode.ino, &meta);
            let runs = runs_of(&extents, range);
            if runs.len() <= INLINE_RUNS {
                payload.extents(self.inode.ino, range.0, &runs);
            } else {
                let blocks = lists::blocks_for(runs.len());
                let room = Fresh::take(&self.volume, Wish { blocks, file: 0, goal: None, purpose })?;
                let (generation, salt) = commit.stamp();
                let (medium, mut batch) = (self.volume.medium(), Batch::new());
                let first = lists::store(medium, salt, (generation, self.inode.ino), &runs, &room.runs, &mut batch);
                let _ = batch.fence(medium);
                payload.extent_list(self.inode.ino, range.0, first, runs.len() as u64);
                list = Some((room, blocks));
            }
            self.volume.record(commit, &payload, purpose)?;
        }
        // The log names the list for as long as it is replayed.
        if let Some((mut room, blocks)) = list {
            room.runs.clear();
            self.volume.free_space().log += blocks;
        }
        fresh.runs.clear();
        let mut freed = Freed::default();
        {
            let mut body = self.inode.body.lock();
            body.meta = meta;
            body.file()?.replace(range, &mut extents, &mut freed);
        }
        self.volume.give(freed);
        Ok(())
    }

    /// Makes the file `size` bytes long; bytes gained are zero.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] for a symlink, [`Error::TooLarge`], [`Error::NoSpace`],
    /// [`Error::Media`], [`Error::ReadOnly`].
    pub fn truncate(&self, size: u64, now: Time) -> Result<(), Error> {
        self.file()?;
        if size > MAX_FILE_SIZE {
            return Err(Error::TooLarge);
        }
        let mut commit = self.volume.begin()?;
        let (before, edge, end) = {
            let mut body = self.inode.body.lock();
            let before = body.meta;
            let extents = &body.file()?.extents;
            let edge = extents.at(size / BLOCK).filter(|extent| extent.state == ExtentState::Written).copied();
            (before, edge, extents.end())
        };
        let meta = Meta { size, mtime: now, ctime: now, ..before };
        let first = size / BLOCK;
        let cut = !size.is_multiple_of(BLOCK) && size < before.size && edge.is_some();
        let none = Fresh { volume: &self.volume, runs: Vec::new() };
        if !cut {
            let first = size.div_ceil(BLOCK);
            return self.map(&mut commit, none, (first, end.max(first)), Vec::new(), meta, Purpose::Shrink);
        }
        // The block that holds the new end is replaced by one that is zero behind it.
        let wish = Wish { blocks: 1, file: first, goal: None, purpose: Purpose::Shrink };
        let fresh = Fresh::take(&self.volume, wish)?;
        let mut batch = Batch::new();
        self.fill_edge(&fresh, first, (first * BLOCK, size), size, &mut batch)?;
        let medium = self.volume.medium();
        for (at, bytes) in fresh.pieces(size - first * BLOCK, BLOCK) {
            batch.add(order::zero(medium, at, ByteLen::new(bytes)).clean(medium));
        }
        let _ = batch.fence(medium);
        let extents = fresh.extents(first);
        self.map(&mut commit, fresh, (first, end.max(first + 1)), extents, meta, Purpose::Shrink)
    }
}
