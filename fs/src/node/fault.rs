//! What a fault asks of a file that programs share, and what makes their stores durable. The rules are in [`crate::mapped`].

use alloc::sync::Arc;

use pmem::medium::Medium;
use pmem::order::{self, Batch};
use units::{BlockNr, ByteLen, FileOff};

use super::Node;
use super::fresh::Fresh;
use super::write::Mapping;
use crate::error::Error;
use crate::extents::{Extent, ExtentState, Extents};
use crate::format::BLOCK;
use crate::head_room;
use crate::inode::{Content, Keeps};
use crate::iomap::{Iomap, IomapIter, IomapKind, IomapOp, iomap_iter};
use crate::items::Meta;
use crate::mapped::{Mapped, Tail};
use crate::space::{Purpose, Wish};
use crate::types::Time;

/// What a fault finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Faulted {
    /// The file as it is, from the block asked for on.
    Shown(Iomap),
    /// The file ends before.
    Beyond,
    /// The block is being replaced: wait, and ask again.
    Changing,
}

impl<M: Medium> Node<M> {
    /// Whom the file system asks to let go of blocks of this file; `make` makes it where this is the first program that shares
    /// the file. Waits for a change under way.
    pub fn mapped(&self, make: impl FnOnce() -> Arc<dyn Mapped>) -> &Arc<dyn Mapped> {
        self.inode.mapped.get().unwrap_or_else(|| {
            let _quiet = self.inode.volume.quiet();
            self.inode.mapped.call_once(make)
        })
    }

    /// Whom the file system asks, where a program has shared the file before.
    pub fn mapped_before(&self) -> Option<&Arc<dyn Mapped>> {
        self.inode.mapped.get()
    }

    /// What lies at file block `block` and up to `blocks - 1` behind it (`dax_iomap_fault`). The caller holds the lock of an
    /// address space until it has shown that to a program; it does not wait.
    pub fn fault(&self, block: u64, blocks: u64) -> Faulted {
        let body = self.inode.body.lock();
        let Content::File(file) = &body.content else { return Faulted::Beyond };
        let end = body.meta.size.div_ceil(BLOCK);
        if block >= end {
            return Faulted::Beyond;
        }
        let frozen = file.frozen;
        if frozen.0 <= block && block < frozen.1 {
            return Faulted::Changing;
        }
        let end = if block < frozen.0 { end.min(frozen.0) } else { end };
        let len = ByteLen::new(blocks.min(end - block) * BLOCK);
        let mut walk = IomapIter::new(self.ino(), FileOff::new(block * BLOCK), len, IomapOp::FAULT | IomapOp::DAX, ());
        match iomap_iter(&mut walk, &file.extents) {
            Ok(true) => {
                walk.iomap.length = ByteLen::new(walk.length());
                Faulted::Shown(walk.iomap)
            }
            _ => Faulted::Beyond,
        }
    }

    /// Whether a program may store in place to all of the file blocks `first..last`, as things are: they were written, lie one
    /// behind the other, and nobody wants them to stay as they are. The file counts as changed at `now` then, which
    /// [`Node::record_stores`] puts on the medium. The caller holds the lock of an address space as for [`Node::fault`].
    pub fn may_store(&self, (first, last): (u64, u64), now: Time) -> bool {
        let mut body = self.inode.body.lock();
        let size = body.meta.size;
        let Content::File(file) = &mut body.content else { return false };
        let is_frozen = file.frozen.0 < last && first < file.frozen.1;
        let there = file.extents.at(first).filter(|there| last <= there.end() && there.state == ExtentState::Written);
        let Some(extent) = there.map(|there| there.cut(first, last)) else { return false };
        if is_frozen || first * BLOCK >= size || !file.is_unseen(&extent) {
            return false;
        }
        if last * BLOCK > size {
            file.tail = Tail::Unknown;
        }
        (body.meta.mtime, body.meta.ctime) = (now, now);
        true
    }

    /// Waits for a change under way.
    pub fn wait_for_change(&self) {
        drop(self.inode.volume.quiet());
    }

    /// Gives file block `block` a block of the medium that a program may store to (`dax_iomap_fault` for a store): zeros where
    /// there was none, or one never written; a copy where a pin keeps what is in it. Durable when this returns, so that a store
    /// needs no more than the program's own cleaning (`MAP_SYNC`). Nothing is done behind the end of the file.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Media`] where the block cannot be read, [`Error::NoMemory`], [`Error::ReadOnly`].
    pub fn make_writable(&self, block: u64, now: Time) -> Result<(), Error> {
        self.file()?;
        let mut commit = self.inode.volume.begin()?;
        let (before, old) = self.mapping()?;
        if block >= before.size.div_ceil(BLOCK) {
            return Ok(());
        }
        let range = (block, block + 1);
        let there = old.at(block).map(|extent| extent.cut(block, block + 1));
        let meta = Meta { mtime: now, ctime: now, ..before };
        let change = Mapping { range, meta, purpose: Purpose::Grow };
        let mut batch = Batch::new();
        if let Some(extent) = there.filter(|extent| extent.state == ExtentState::Unwritten) {
            // In place, so that what was promised (`fallocate`) is kept on a full medium too.
            let written = Extent { state: ExtentState::Written, ..extent };
            head_room::need(4 * head_room::EXTENT)?;
            let medium = self.inode.volume.medium();
            let at = BlockNr::new(extent.start).base();
            batch.add(order::zero(medium, at, ByteLen::new(BLOCK)).clean(medium));
            let _frozen = self.inode.freeze(&commit, range);
            let payload = commit.payload();
            self.record_mapping(&mut commit, payload, &[written], batch, &change)?;
            let mut body = self.inode.body.lock();
            body.meta = meta;
            body.file()?.convert(written);
            return Ok(());
        }
        if there.is_some_and(|extent| self.inode.body.lock().file().is_ok_and(|file| file.is_unseen(&extent))) {
            // Another program was first, or the pin has gone.
            return Ok(());
        }
        // Programs store to the pages of a file in any order: whole 2 MiB of it lie in one piece all the same.
        let near = old.near_any(block, before.size / BLOCK);
        let wish = Wish { blocks: 1, file: block, near, purpose: Purpose::Grow };
        let mut fresh = Fresh::take(&self.inode.volume, wish)?;
        let _frozen = self.inode.freeze(&commit, range);
        fresh.unshare(self.ino(), (block * BLOCK, (block + 1) * BLOCK), (&old, before.size), &mut batch)?;
        drop(old);
        // One block is too little to be left over.
        self.remap(&mut commit, (&mut fresh, batch), &change, &mut Extents::default())
    }

    /// Makes what programs have stored to the pages `dirty` of the file durable: `dirty` is asked for each block of the medium
    /// behind the file blocks `first..last` whether it was stored to since it was asked last. Answers whether any was.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Invalid`] where this is no file.
    pub fn clean_stores(
        &self,
        (first, last): (u64, u64),
        mut dirty: impl FnMut(BlockNr) -> bool,
    ) -> Result<bool, Error> {
        self.file()?;
        let medium = self.inode.volume.medium();
        // The blocks are nobody else's while they are cleaned; who stores to them meanwhile is asked next time.
        let held = super::read::Held::take_blocks(self, (first, last))?;
        let mut batch = Batch::new();
        let len = ByteLen::new((last - first).saturating_mul(BLOCK));
        let mut walk = IomapIter::new(self.ino(), FileOff::new(first * BLOCK), len, IomapOp::DAX, ());
        while iomap_iter(&mut walk, held.extents())? {
            let bytes = walk.length();
            if walk.iomap.kind == IomapKind::Mapped {
                let start = walk.iomap.addr.block().get();
                for block in (start..start + bytes / BLOCK).map(BlockNr::new).filter(|&block| dirty(block)) {
                    batch.add(order::stored(block.base(), ByteLen::new(BLOCK)).clean(medium));
                }
            }
            walk.processed = Ok(bytes);
        }
        Ok(!batch.fence(medium).is_empty())
    }

    /// Puts the times on the medium that stores of programs have set; with `now`, they have stored again.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::NoMemory`], [`Error::ReadOnly`].
    pub fn record_stores(&self, now: Option<Time>) -> Result<(), Error> {
        let mut commit = self.inode.volume.begin()?;
        let before = self.inode.body.lock().meta;
        let meta = now.map_or(before, |now| Meta { mtime: now, ctime: now, ..before });
        if before.nlink > 0 {
            let mut payload = commit.payload();
            payload.inode(self.inode.ino, &meta);
            self.inode.volume.record(&mut commit, payload, Purpose::Shrink)?;
        }
        self.inode.body.lock().meta = meta;
        Ok(())
    }

    /// Pins the blocks that hold `range` for what only looks at where they lie, or copies out of them: those who share the file
    /// go on storing to them.
    ///
    /// # Errors
    /// As [`Node::pin`].
    pub fn hold(&self, range: units::FileRange) -> Result<crate::pin::Pin<M>, Error> {
        self.file()?;
        crate::pin::Pin::take(&self.inode, Some(range), Keeps::Blocks).ok_or(Error::Invalid)
    }
}
