//! One inode in memory: its attributes, its content, and the pins on it.
//!
//! Pins follow by versions. Every change of a file's mapping makes a new version; an extent is born in one and dies
//! in another, and a pin taken between the two still sees it. What no pin sees is free at once, the rest at the moment
//! the last pin that sees it goes. Taking a pin is a snapshot of the extents, whatever their number.
//!
//! Programs that share a file store to its blocks in place, past every transaction. What that takes is in [`crate::mapped`].

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use pmem::medium::Medium;
use smallvec::SmallVec;
use spin::Once;
use sync::{Mutex, Rank};
use units::{FileRange, Ino};

use crate::error::Error;
use crate::extents::{Extent, Extents};
use crate::format::BLOCK;
use crate::items::Meta;
use crate::mapped::{Mapped, Tail};
use crate::names::Names;
use crate::seeded::{Bug, seeded};
use crate::space::{HUGE, Run};
use crate::types::{Attr, Kind, Linkable};
use crate::volume::Volume;

/// An inode.
pub(crate) struct Inode<M: Medium> {
    pub(crate) ino: Ino,
    pub(crate) kind: Kind,
    pub(crate) body: Mutex<Body<M>>,
    /// Who may write: above zero so many have it open for writing, below zero so many run it (`i_writecount`).
    writers: AtomicI32,
    /// [`crate::Node`]s that lead here.
    pub(crate) handles: AtomicUsize,
    /// Whom to ask to let go of blocks, once a program has shared the file.
    pub(crate) mapped: Once<Arc<dyn Mapped>>,
    /// The file system it belongs to.
    pub(crate) volume: Arc<Volume<M>>,
}

/// What changes.
pub(crate) struct Body<M: Medium> {
    pub(crate) meta: Meta,
    pub(crate) content: Content<M>,
}

/// What is in it.
pub(crate) enum Content<M: Medium> {
    File(FileBody),
    Directory {
        names: Names<Arc<Inode<M>>>,
        /// The directory above; the root's is itself, a removed one's is what it was.
        parent: Weak<Inode<M>>,
    },
    Symlink(Vec<u8>),
}

impl<M: Medium> Inode<M> {
    /// An inode nobody has a handle to yet.
    pub(crate) fn new(ino: Ino, meta: Meta, content: Content<M>, volume: Arc<Volume<M>>) -> Arc<Self> {
        let rank = if meta.kind == Kind::Directory { Rank::FsDirectory } else { Rank::FsNode };
        Arc::new(Self {
            ino,
            kind: meta.kind,
            body: Mutex::new(rank, Body { meta, content }),
            writers: AtomicI32::new(0),
            handles: AtomicUsize::new(0),
            mapped: Once::new(),
            volume,
        })
    }

    /// What `stat` tells.
    #[inline]
    pub(crate) fn attr(&self) -> Attr {
        let body = self.body.lock();
        let meta = &body.meta;
        let (size, blocks) = match &body.content {
            Content::File(file) => (meta.size, file.extents.blocks() * 8),
            Content::Directory { names, .. } => (names.bytes(), 0),
            Content::Symlink(target) => (target.len() as u64, 0),
        };
        Attr {
            ino: self.ino,
            kind: self.kind,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            size,
            blocks,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
        }
    }

    /// Pins the blocks of a file that hold `range`, or all, for what `keeps` says; answers the pin's number, the mapping and
    /// the file's size.
    #[inline]
    pub(crate) fn pin(&self, range: Option<FileRange>, keeps: Keeps) -> Option<(u64, Extents, u64)> {
        let mut body = self.body.lock();
        let size = body.meta.size;
        let Content::File(file) = &mut body.content else { return None };
        let (from, to) = range.map_or((0, u64::MAX), blocks_of);
        Some((file.pin(from, to, keeps), file.extents.clone(), size))
    }

    /// Ends a pin; what nobody sees any more is free when this returns.
    #[inline]
    pub(crate) fn unpin(&self, id: u64) {
        let mut body = self.body.lock();
        let Content::File(file) = &mut body.content else { return };
        if file.unpin_newest(id) {
            return;
        }
        let mut freed = Freed::default();
        file.unpin(id, &mut freed);
        drop(body);
        self.volume.give(&freed);
    }

    /// One more that writes (`get_write_access`), or one more that runs it (`deny_write_access`), by `step` 1 or -1.
    pub(crate) fn claim_writing(&self, step: i32) -> Result<(), Error> {
        let claim = |now: i32| if now.signum() == -step { None } else { now.checked_add(step) };
        self.writers.fetch_update(Ordering::AcqRel, Ordering::Relaxed, claim).map(drop).map_err(|_| Error::TextBusy)
    }

    /// Takes [`Inode::claim_writing`] back.
    pub(crate) fn release_writing(&self, step: i32) {
        self.writers.fetch_sub(step, Ordering::AcqRel);
    }

    /// Lets go of the blocks of a file that nobody can open any more; what pins see stays until they go.
    pub(crate) fn release_if_orphan(&self) {
        if self.kind != Kind::File || self.handles.load(Ordering::Acquire) != 0 || seeded(Bug::OrphanNotFreed) {
            return;
        }
        let mut freed = Freed::default();
        let gone = {
            let mut body = self.body.lock();
            if body.meta.nlink != 0 {
                return;
            }
            match &mut body.content {
                Content::File(file) if file.extents.blocks() > 0 => file.let_go(&mut freed),
                _ => return,
            }
        };
        self.volume.give(&freed);
        self.volume.give_extents(&gone);
    }
}

impl<M: Medium> Inode<M> {
    /// Takes all out that a directory's names lead to.
    fn empty_into(&mut self, waiting: &mut Vec<Arc<Self>>) {
        if let Content::Directory { names, .. } = &mut self.body.get_mut().content {
            waiting.extend(names.drain());
        }
    }
}

impl<M: Medium> Drop for Inode<M> {
    fn drop(&mut self) {
        // With the root the whole tree goes: one by one, for recursion as deep as a tree can be has no stack.
        let mut waiting = Vec::new();
        self.empty_into(&mut waiting);
        while let Some(child) = waiting.pop() {
            if let Some(mut last) = Arc::into_inner(child) {
                last.empty_into(&mut waiting);
            }
        }
        let body = self.body.get_mut();
        if body.meta.nlink != 0 || seeded(Bug::OrphanNotFreed) {
            return;
        }
        // The record that took the last name is durable, and no handle or pin is left.
        let mut freed = Freed::default();
        let mut gone = Extents::default();
        if let Content::File(file) = &mut body.content
            && file.extents.blocks() > 0
        {
            gone = file.let_go(&mut freed);
        }
        self.volume.give_extents(&gone);
        self.volume.forget(self.ino, &freed);
    }
}

/// A file's mapping, and who still sees earlier ones.
pub(crate) struct FileBody {
    pub(crate) extents: Extents,
    /// Whether it may be given a name though it has none.
    pub(crate) linkable: Linkable,
    /// What lies behind the end of the file in its last block.
    pub(crate) tail: Tail,
    /// The file blocks that a change under way is about to replace, half-open: no fault maps one of them.
    pub(crate) frozen: (u64, u64),
    version: u64,
    /// In rising number and version.
    pins: Vec<PinEntry>,
    retired: Vec<Retired>,
    last_pin: u64,
}

#[derive(Clone, Copy)]
struct PinEntry {
    id: u64,
    version: u64,
    /// File blocks, half-open.
    from: u64,
    to: u64,
    keeps: Keeps,
}

/// What a pin is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// The blocks are not used for anything else meanwhile: what is copied out of them may be stored to by those who share
    /// the file.
    Blocks,
    /// What is in them stays as it is, too: who stores gets another block.
    Content,
}

/// An extent that is not the file's any more.
struct Retired {
    extent: Extent,
    death: u64,
}

/// Blocks to be given back, and how the number of those only pins hold changes.
#[derive(Default)]
pub(crate) struct Freed {
    pub(crate) runs: SmallVec<[Run; 1]>,
    /// Places of a large file, in step with it, that it may want again.
    pub(crate) homes: SmallVec<[Run; 1]>,
    pub(crate) pinned: u64,
    pub(crate) unpinned: u64,
}

impl Freed {
    /// Takes in an extent of a file that is large, or not.
    #[inline]
    fn add(&mut self, extent: &Extent, size: Size) {
        let is_home = size == Size::Large && extent.start % HUGE == extent.file % HUGE;
        let runs = if is_home { &mut self.homes } else { &mut self.runs };
        runs.push(Run::new(extent.start, extent.blocks.into()));
    }
}

/// Whether a file has whole 2 MiB of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl PinEntry {
    fn sees(&self, extent: &Extent, death: u64) -> bool {
        extent.birth <= self.version && self.version < death && self.from < extent.end() && extent.file < self.to
    }
}

/// The file blocks that hold `range`.
pub(crate) fn blocks_of(range: FileRange) -> (u64, u64) {
    (range.start().get() / BLOCK, range.end().get().div_ceil(BLOCK))
}

impl FileBody {
    /// A file with this mapping.
    pub(crate) fn new(extents: Extents) -> Self {
        let (pins, retired) = (Vec::new(), Vec::new());
        let (tail, frozen) = (Tail::Unknown, (0, 0));
        Self { extents, linkable: Linkable::No, tail, frozen, version: 0, pins, retired, last_pin: 0 }
    }

    /// Makes `new` the mapping of the file blocks `range`.
    pub(crate) fn replace(&mut self, range: (u64, u64), new: &mut [Extent], freed: &mut Freed) {
        self.version += 1;
        new.iter_mut().for_each(|extent| extent.birth = self.version);
        let newest_pin = self.pins.last().map(|pin| pin.version);
        let size = self.size_without(range);
        let Self { extents, version, pins, retired, .. } = self;
        extents.replace(range, new, newest_pin, |extent| match pins.is_empty() {
            true => freed.add(&extent, size),
            false => Self::retire(extent, *version, (pins, retired), (freed, size)),
        });
    }

    /// Takes all blocks away: those that no pin sees go to the answer, or to `freed`.
    #[inline]
    fn let_go(&mut self, freed: &mut Freed) -> Extents {
        let range = (0, self.extents.end());
        let gone = self.cut_off(range);
        if self.extents.end() > 0 {
            self.replace(range, &mut [], freed);
        }
        gone
    }

    /// Takes away what lies in `range`, where that is all behind its start and no pin sees it: the caller gives it back.
    pub(crate) fn cut_off(&mut self, (from, to): (u64, u64)) -> Extents {
        if !self.pins.is_empty() || to < self.extents.end() {
            return Extents::default();
        }
        self.version += 1;
        self.extents.split_off(from)
    }

    /// Whether the file wants places again of which it lets go in `range`: not where it lets go of all.
    #[inline]
    fn size_without(&self, (from, to): (u64, u64)) -> Size {
        let end = self.extents.end();
        if end > HUGE && (from > 0 || to < end) { Size::Large } else { Size::Small }
    }

    /// Sorts an extent that died with version `death`: for pins, piece by piece, or free.
    fn retire(
        extent: Extent,
        death: u64,
        (pins, retired): (&[PinEntry], &mut Vec<Retired>),
        (freed, size): (&mut Freed, Size),
    ) {
        let inside = |at: &u64| extent.file < *at && *at < extent.end();
        let seeing = pins.iter().filter(|pin| pin.sees(&extent, death));
        let mut cuts: Vec<u64> = seeing.flat_map(|pin| [pin.from, pin.to]).filter(inside).collect();
        cuts.extend([extent.file, extent.end()]);
        cuts.sort_unstable();
        cuts.dedup();
        for pair in cuts.windows(2) {
            let piece = extent.cut(pair[0], pair[1]);
            if pins.iter().any(|pin| pin.sees(&piece, death)) && !seeded(Bug::PinIgnored) {
                freed.pinned += u64::from(piece.blocks);
                retired.push(Retired { extent: piece, death });
            } else {
                freed.add(&piece, size);
            }
        }
    }

    /// What was written never is written now: `extent` was mapped, unwritten, and holds zeros. Pins that saw it read zeros
    /// without it, and keep no block.
    pub(crate) fn convert(&mut self, mut extent: Extent) {
        self.version += 1;
        extent.birth = self.version;
        let newest_pin = self.pins.last().map(|pin| pin.version);
        self.extents.replace((extent.file, extent.end()), &[extent], newest_pin, |_| {});
    }

    /// Whether the blocks of `extent`, a part of the mapping as it is, may be stored to: no pin wants them to stay as they are.
    pub(crate) fn is_unseen(&self, extent: &Extent) -> bool {
        !self.pins.iter().any(|pin| pin.keeps == Keeps::Content && pin.sees(extent, u64::MAX))
    }

    /// Pins the file blocks `from..to`; answers the pin's number.
    #[inline]
    pub(crate) fn pin(&mut self, from: u64, to: u64, keeps: Keeps) -> u64 {
        self.last_pin += 1;
        self.pins.push(PinEntry { id: self.last_pin, version: self.version, from, to, keeps });
        self.last_pin
    }

    /// Ends a pin where that is no more than forgetting it, as at the end of nearly every read.
    #[inline]
    fn unpin_newest(&mut self, id: u64) -> bool {
        let newest = self.retired.is_empty() && self.pins.last().is_some_and(|pin| pin.id == id);
        if newest {
            self.pins.pop();
        }
        newest
    }

    /// Ends a pin.
    pub(crate) fn unpin(&mut self, id: u64, freed: &mut Freed) {
        let Ok(at) = self.pins.binary_search_by_key(&id, |pin| pin.id) else { return };
        let gone = self.pins.remove(at);
        if self.retired.is_empty() {
            return;
        }
        let (pins, size) = (&self.pins, self.size_without((0, 0)));
        self.retired.retain(|retired| {
            let kept = !gone.sees(&retired.extent, retired.death)
                || pins.iter().any(|pin| pin.sees(&retired.extent, retired.death));
            if !kept {
                freed.unpinned += u64::from(retired.extent.blocks);
                freed.add(&retired.extent, size);
            }
            kept
        });
    }
}
