//! Writing: fresh blocks first, then one record that makes them the file's.
//!
//! The program's bytes are copied before any lock is taken. Under the commit lock come the bytes around them, from the
//! blocks they replace, then the two fences: one for the data, one for the record.

use alloc::vec::Vec;

use pmem::medium::{Medium, Source};
use pmem::order::{self, Batch, Cleaned};
use units::{ByteLen, FileOff};

use super::Node;
use super::fresh::Fresh;
use crate::error::Error;
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::{BLOCK, INLINE_RUNS};
use crate::head_room;
use crate::inode::{Body, Content, FileBody, Freed};
use crate::iomap::{IomapIter, IomapOp, iomap_iter};
use crate::items::Meta;
use crate::lists;
use crate::mapped::{self, Tail};
use crate::payload::{Payload, runs_of};
use crate::seeded::{Bug, seeded};
use crate::space::{Near, Purpose, Run, Wish};
use crate::types::{Linkable, MAX_FILE_SIZE, MAX_TRANSFER, Time, WriteAt, Written};
use crate::volume::Commit;

/// A change of a file's mapping: the file blocks `range` get the fresh ones, and the file these attributes.
pub(super) struct Mapping {
    pub(super) range: (u64, u64),
    pub(super) meta: Meta,
    pub(super) purpose: Purpose,
}

impl<M: Medium> Body<M> {
    pub(super) fn file(&mut self) -> Result<&mut FileBody, Error> {
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
        if self.inode.volume.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let mut len = source.remaining().min(MAX_TRANSFER) as u64;
        let place_now = || match place {
            WriteAt::Offset(offset) => offset.get(),
            WriteAt::End => self.inode.body.lock().meta.size,
        };
        let mut start = place_now();
        if len == 0 {
            return Ok(Written { len: 0, end: FileOff::new(start) });
        }
        // As in Linux, what fits below the largest size is written.
        len = len.min(MAX_FILE_SIZE.saturating_sub(start));
        if len == 0 {
            return Err(Error::TooLarge);
        }
        let mut end = end_of(start, len)?;
        let medium = self.inode.volume.medium();
        let mut batch = Batch::new();
        let mut fresh = Fresh::none(&self.inode.volume);
        self.take_fresh(&mut fresh, (start, end))?;
        let mut walk =
            IomapIter::new(self.ino(), FileOff::new(start), ByteLen::new(len), IomapOp::WRITE | IomapOp::DAX, ());
        while iomap_iter(&mut walk, &fresh)? {
            if walk.pos.get() != start {
                head_room::pause();
            }
            let bytes = walk.length().min(head_room::PIECE);
            batch.add(order::store_from(medium, walk.iomap.addr, bytes as usize, source)?.clean(medium));
            walk.processed = Ok(bytes);
        }

        let mut commit = self.inode.volume.begin()?;
        while place_now() != start {
            // Somebody else appended while the bytes were copied: they move on, again without the lock.
            drop(commit);
            let before = start;
            start = place_now();
            end = end_of(start, len)?;
            fresh = self.shifted(&fresh, before, (start, end), &mut batch)?;
            commit = self.inode.volume.begin()?;
        }
        let mut gone = Extents::default();
        self.commit_write(&mut commit, (&mut fresh, batch), (start, end), now, &mut gone)?;
        drop(commit);
        self.inode.volume.give_extents(&gone);
        Ok(Written { len: len as usize, end: FileOff::new(end) })
    }

    /// Takes fresh blocks for the bytes `start..end`, near the file's others.
    #[inline]
    fn take_fresh(&self, fresh: &mut Fresh<'_, M>, (start, end): (u64, u64)) -> Result<(), Error> {
        let (first, last) = (start / BLOCK, end.div_ceil(BLOCK));
        let mut near = self.inode.body.lock().file()?.extents.near(first);
        if seeded(Bug::UpdateInPlace) {
            near = self.freed_early(first)?;
        }
        let wish = Wish { blocks: last - first, file: first, near, purpose: Purpose::Grow };
        fresh.add(wish, ExtentState::Written)
    }

    /// Other fresh blocks, that hold at `start..end` what `fresh` holds from `before` on.
    fn shifted(
        &self,
        fresh: &Fresh<'_, M>,
        before: u64,
        (start, end): (u64, u64),
        batch: &mut Batch<Cleaned>,
    ) -> Result<Fresh<'_, M>, Error> {
        let medium = self.inode.volume.medium();
        let mut shifted = Fresh::none(&self.inode.volume);
        self.take_fresh(&mut shifted, (start, end))?;
        let mut piece = [0; 512];
        let len = ByteLen::new(end - start);
        let mut from = IomapIter::new(self.ino(), FileOff::new(before), len, IomapOp::DAX, ());
        let mut to = IomapIter::new(self.ino(), FileOff::new(start), len, IomapOp::WRITE | IomapOp::DAX, ());
        while iomap_iter(&mut from, fresh)? && iomap_iter(&mut to, &shifted)? {
            let bytes = from.length().min(to.length()).min(piece.len() as u64);
            medium.load(from.iomap.addr, &mut piece[..bytes as usize])?;
            batch.add(order::store(medium, to.iomap.addr, &piece[..bytes as usize]).clean(medium));
            (from.processed, to.processed) = (Ok(bytes), Ok(bytes));
        }
        Ok(shifted)
    }

    /// Makes `fresh`, which holds the bytes `start..end`, cleaned in `batch`, the file's. What is the file's no more, as
    /// [`Node::remap`] has it, goes to `gone`.
    #[inline]
    fn commit_write(
        &self,
        commit: &mut Commit,
        (fresh, mut batch): (&mut Fresh<'_, M>, Batch<Cleaned>),
        (start, end): (u64, u64),
        now: Time,
        gone: &mut Extents,
    ) -> Result<(), Error> {
        let (first, last) = (start / BLOCK, end.div_ceil(BLOCK));
        let mut change = Mapping { range: (first, last), meta: self.inode.body.lock().meta, purpose: Purpose::Grow };
        let before = change.meta.size;
        // What lies behind the end of the file is to be a part of it, and its block stays.
        let grows = end > before && before < first * BLOCK && !before.is_multiple_of(BLOCK);
        let _frozen = self.inode.freeze(commit, (if grows { before / BLOCK } else { first }, last));
        if grows || !(start.is_multiple_of(BLOCK) && end.is_multiple_of(BLOCK)) {
            let (_, old) = self.mapping()?;
            if grows {
                self.clear_tail((&old, before), &mut batch)?;
            }
            // Ragged edges only: a write of whole blocks copies nothing.
            fresh.unshare(self.ino(), (first * BLOCK, start), (&old, before), &mut batch)?;
            if !seeded(Bug::EdgeNotCopied) {
                fresh.unshare(self.ino(), (end, last * BLOCK), (&old, before), &mut batch)?;
            }
        }
        (change.meta.size, change.meta.mtime, change.meta.ctime) = (before.max(end), now, now);
        self.remap(commit, (fresh, batch), &change, gone)
    }

    /// What lies behind the end of the file in its last block, which stays, is about to be a part of it: zeros.
    pub(super) fn clear_tail(&self, old: (&Extents, u64), batch: &mut Batch<Cleaned>) -> Result<(), Error> {
        if self.inode.body.lock().file()?.tail == Tail::Unknown {
            mapped::clear_tail(self.inode.volume.medium(), old, batch);
        }
        Ok(())
    }

    /// Attributes and a snapshot of the mapping. Under the commit lock they stay what they are.
    pub(super) fn mapping(&self) -> Result<(Meta, Extents), Error> {
        let mut body = self.inode.body.lock();
        Ok((body.meta, body.file()?.extents.clone()))
    }

    /// Two fences and the record between them and the effect. `batch` is what `fresh` holds, cleaned. What is the file's
    /// no more, where that may be much, goes to `gone`: the caller gives it back, without the commit lock.
    pub(super) fn remap(
        &self,
        commit: &mut Commit,
        (fresh, batch): (&mut Fresh<'_, M>, Batch<Cleaned>),
        change: &Mapping,
        gone: &mut Extents,
    ) -> Result<(), Error> {
        let range = change.range;
        // Each extent that goes may be cut in two for a pin, and becomes a run of free space. A few are in what every change
        // asks for.
        let blocks = range.1.saturating_sub(range.0);
        if blocks > head_room::FEW {
            let there = self.inode.body.lock().file()?.extents.count().min(blocks);
            let extents = there as usize + fresh.extents().len();
            head_room::need(extents.saturating_mul(head_room::EXTENT))?;
        }
        let payload = commit.payload();
        self.record_mapping(commit, payload, fresh.extents(), batch, change)?;
        let mut freed = Freed::default();
        {
            let mut body = self.inode.body.lock();
            let last = body.meta.size / BLOCK;
            if change.meta.size != body.meta.size || range.0 <= last && last < range.1 {
                body.file()?.tail = Tail::Zeros;
            }
            body.meta = change.meta;
            let file = body.file()?;
            if range.0 < range.1 {
                if blocks > head_room::FEW && !seeded(Bug::EarlyReuse) {
                    *gone = file.cut_off(range);
                }
                fresh.keep(|extents| file.replace(range, extents, &mut freed));
            }
        }
        if !seeded(Bug::EarlyReuse) {
            self.inode.volume.give(&freed);
        }
        Ok(())
    }

    /// Makes durable what `batch` stored and then, by one record, the attributes, the mapping `extents` of the range,
    /// and whatever else `payload` says already.
    pub(super) fn record_mapping(
        &self,
        commit: &mut Commit,
        mut payload: Payload,
        extents: &[Extent],
        mut batch: Batch<Cleaned>,
        Mapping { range, meta, purpose }: &Mapping,
    ) -> Result<(), Error> {
        if meta.nlink == 0 {
            // A file without a name is gone after a cut, and needs no record. One that may yet get a name has its data
            // durable by then, on whichever CPU that happens.
            if self.inode.body.lock().file()?.linkable == Linkable::Yes && !seeded(Bug::UnnamedDataUnfenced) {
                let _ = batch.fence(self.inode.volume.medium());
            }
            return Ok(());
        }
        payload.inode(self.ino(), meta);
        if seeded(Bug::SizeBeforeData) {
            self.inode.volume.record(commit, core::mem::take(&mut payload), *purpose)?;
        }
        let mut list = self.name_extents(commit, extents, (*range, *purpose), &mut payload, &mut batch)?;
        let data = if seeded(Bug::RecordBeforeData) { Batch::new() } else { batch }.fence(self.inode.volume.medium());
        self.inode.volume.record_data(commit, payload, *purpose, data)?;
        // The log names the list for as long as it is replayed.
        if !list.extents().is_empty() {
            let list = list.keep_runs();
            self.inode.volume.free_space().log += list.iter().map(|run| run.blocks).sum::<u64>();
            commit.upkeep.own(list);
        }
        Ok(())
    }

    /// Puts the mapping of `range` into the record, or into a list of extent blocks that the record names.
    fn name_extents(
        &self,
        commit: &Commit,
        extents: &[Extent],
        (range, purpose): ((u64, u64), Purpose),
        payload: &mut Payload,
        batch: &mut Batch<Cleaned>,
    ) -> Result<Fresh<'_, M>, Error> {
        if range.0 >= range.1 {
            return Ok(Fresh::none(&self.inode.volume));
        }
        // Before each extent and behind the last may be a hole, the longest of which takes two runs.
        if 2 * extents.len() + 3 <= INLINE_RUNS {
            payload.mapping(self.ino(), range, extents);
            return Ok(Fresh::none(&self.inode.volume));
        }
        let runs = runs_of(extents, range);
        let blocks = lists::blocks_for(runs.len());
        let room = Fresh::take(&self.inode.volume, Wish { blocks, file: 0, near: Near::default(), purpose })?;
        let (generation, salt) = commit.stamp();
        let key = (generation, self.ino());
        let medium = self.inode.volume.medium();
        let mut late = Batch::new();
        if seeded(Bug::ListUnfenced) {
            let _ = core::mem::take(batch).fence(medium);
        }
        let batch = if seeded(Bug::ListUnfenced) { &mut late } else { batch };
        let first = lists::store(medium, salt, key, &runs, &room.runs(), batch);
        payload.extent_list(self.ino(), range.0, first, runs.len() as u64);
        Ok(room)
    }
}

impl<M: Medium> Node<M> {
    /// For seeded bugs: gives the blocks from file block `first` on back while they are the file's; answers
    /// their place.
    pub(super) fn freed_early(&self, first: u64) -> Result<Near, Error> {
        let extents = self.mapping()?.1;
        let cut = extents.from(first).map(|extent| extent.cut(first, extent.end()));
        let runs: Vec<Run> = cut.map(|extent| Run::new(extent.start, extent.blocks.into())).collect();
        self.inode.volume.free_space().give(&runs);
        Ok(Near { goal: runs.first().map(|run| run.start), ..Near::default() })
    }
}

/// The byte behind `len` bytes from `start` on.
fn end_of(start: u64, len: u64) -> Result<u64, Error> {
    start.checked_add(len).filter(|end| *end <= MAX_FILE_SIZE).ok_or(Error::TooLarge)
}
