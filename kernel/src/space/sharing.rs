//! Files that programs share (`MAP_SHARED`): who maps what of a file, what they may have stored to, and taking it from them.
//!
//! A fault asks the file system and makes an entry, under the lock of its space; the file system says which blocks it is about to
//! replace and has [`Sharers`] take the entries away, space by space. Why that is enough, and in which order the locks are taken,
//! is told in `fs::mapped`. Which pages were stored to is known from the tables (`mm`): by the hardware's flag, or by a fault.
//! A page that is no longer mapped, or made clean in one program's tables, has it in its descriptor.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use fs::{Away, Error, Fallocate, Faulted, Mapped};
use mm::seams::{Mapper, SpaceId};
use mm::space::{Access, FaultError, Revoke};
use mm::{Backing, IMmap, OutOfMemory, PageOf, PageRanges, Run};
use pmem::medium::Medium;
use spin::Once;
use sync::{Mutex, Rank};
use units::{FileOff, FileRange, PAGE_SHIFT, PageCount};

use super::file_pin::shown_by;
use super::{Shown, Space};
use crate::pmem::PmemMedium;
use crate::task::sched;
use crate::vfs::error::errno;
use crate::vfs::{File, Node, WeakNode, now};

/// Blocks that are looked through, and cleaned, at a time.
const PIECE: u64 = 512;

/// Spaces that have had a shared file, by their numbers: whose entries can be taken away.
static SPACES: Mutex<BTreeMap<SpaceId, Weak<Space>>> = Mutex::new(Rank::Spaces, BTreeMap::new());

/// Files that programs have shared, by their numbers, for who makes all of them durable.
static FILES: Mutex<BTreeMap<u64, WeakNode>> = Mutex::new(Rank::Spaces, BTreeMap::new());

/// Makes a space known whose entries may have to be taken away; before it gets the first of them.
pub(super) fn register(id: SpaceId, space: &Arc<Space>) {
    SPACES.lock().insert(id, Arc::downgrade(space));
}

/// A space that goes is known no more.
pub(super) fn forget(id: SpaceId) {
    SPACES.lock().remove(&id);
}

/// Takes a file among those that programs have shared, and looks at two others in turn, whether they are gone: so there never are
/// many of these.
fn remember(node: &Node) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut files = FILES.lock();
    files.insert(node.ino().get(), node.downgrade());
    for _ in 0..2 {
        let next = files.range(NEXT.load(Ordering::Relaxed)..).next().map(|(number, file)| (*number, file.is_gone()));
        NEXT.store(next.map_or(0, |(number, _)| number + 1), Ordering::Relaxed);
        if let Some((number, true)) = next {
            files.remove(&number);
        }
    }
}

/// A file that programs share, by an open file of one of them. While there is a mapping it stays open: it can be written,
/// and it is not run.
#[derive(Clone)]
pub(crate) struct SharedFile(Arc<File>);

/// What an open file knows of those who share what is open, once it was mapped so.
pub(crate) type Shared = Once<Sharers>;

impl SharedFile {
    /// What `file` is to show; `None` where it is no regular file of the medium. Waits for changes of the file system, and takes
    /// heap, where no program has shared the file before.
    #[inline]
    pub(crate) fn new(file: &Arc<File>) -> Option<Self> {
        let node = file.regular()?;
        file.shared().call_once(|| {
            remember(node);
            Sharers::of(node)
        });
        Some(Self(file.clone()))
    }

    /// The number of the file.
    pub(super) fn inode(&self) -> u64 {
        self.node().ino().get()
    }

    /// The open file.
    pub(super) fn open_file(&self) -> &Arc<File> {
        &self.0
    }

    /// The file on the medium.
    pub(crate) fn node(&self) -> &Node {
        self.0.regular().unwrap_or_else(|| unreachable!("nothing else is made one"))
    }

    fn sharers(&self) -> &Sharers {
        self.0.shared().get().unwrap_or_else(|| unreachable!("known since it was made"))
    }

    /// What tells it from all other memory that programs share.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.sharers().0).addr()
    }

    /// Makes `count` pages from `index` on a hole of the file (`madvise_remove`).
    ///
    /// # Errors
    /// Those of `fallocate`.
    pub(super) fn punch(&self, index: u64, count: PageCount) -> Result<(), Errno> {
        let at = FileOff::new(index << PAGE_SHIFT);
        let hole = count.bytes().and_then(|len| FileRange::with_len(at, len)).ok_or(Errno::EINVAL)?;
        self.node().fallocate(Fallocate::Punch, hole, now()).map_err(errno)
    }

    /// Makes page `index` ready for the access that found it not to be. No lock is held.
    pub(super) fn prepare(&self, index: u64, access: Access) -> Result<(), FaultError> {
        if access != Access::Write {
            self.node().wait_for_change();
            return Ok(());
        }
        self.node().make_writable(index, now()).map_err(|error| match error {
            Error::NoMemory => FaultError::OutOfMemory,
            Error::Media(_) => FaultError::Poisoned,
            // No block is free: as on Linux, there is nobody to tell but the program that stored.
            _ => FaultError::Beyond,
        })
    }
}

impl Backing for SharedFile {
    fn run(&self, index: u64, max: PageCount) -> Run {
        match self.node().fault(index, max.get()) {
            Faulted::Beyond => Run { page: PageOf::Beyond, count: max },
            Faulted::Changing => Run { page: PageOf::Unprepared, count: PageCount::new(1) },
            Faulted::Shown(map) => shown_by(self.node().fs().medium(), &map),
        }
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn link(&self, mapper: Mapper) -> Result<(), OutOfMemory> {
        self.sharers().0.lock().mappers.link(mapper)
    }

    fn relink(&self, old: Mapper, new: Mapper) {
        self.sharers().0.lock().mappers.relink(old, new);
    }

    fn unlink(&self, mapper: Mapper) {
        self.sharers().0.lock().mappers.unlink(mapper);
    }

    fn may_store(&self, index: u64, count: PageCount) -> bool {
        let last = index + count.get();
        let may = self.node().may_store((index, last), now());
        if may {
            let mut state = self.sharers().0.lock();
            state.stored.insert(index, last);
            state.times_changed = true;
        }
        may
    }

    fn number(&self) -> u64 {
        self.inode()
    }
}

/// All programs that share one file.
#[derive(Clone)]
pub(crate) struct Sharers(Arc<Mutex<State>>);

struct State {
    /// `i_mmap`.
    mappers: IMmap,
    /// Pages that some program may have stored to since they were made durable.
    stored: PageRanges,
    /// The file's times were set by a store, and the medium does not know.
    times_changed: bool,
}

impl Mapped for Sharers {
    #[inline]
    fn is_mapped(&self) -> bool {
        !self.0.lock().mappers.is_empty()
    }

    fn take_away(&self, (first, last): (u64, u64), what: Away) {
        let what = match what {
            Away::Stores => Revoke::Stores,
            Away::Pages => Revoke::Pages,
        };
        self.revoke(first, last - first, what);
    }
}

impl Sharers {
    /// The programs that share the file `node`.
    fn of(node: &Node) -> Self {
        let empty = State { mappers: IMmap::new(), stored: PageRanges::new(), times_changed: false };
        let mapped = node.mapped(|| Arc::new(Self(Arc::new(Mutex::new(Rank::IMmap, empty)))));
        known(&**mapped).unwrap_or_else(|| unreachable!("nothing else is plugged in"))
    }

    /// Those that have shared it before.
    fn before(node: &Node) -> Option<Self> {
        node.mapped_before().and_then(|mapped| known(&**mapped))
    }

    /// Takes `what` away from the pages `first..first + count` in every space that shows one of them.
    fn revoke(&self, first: u64, count: u64, what: Revoke) {
        let mut last = None;
        loop {
            let next = self.0.lock().mappers.next_space(first, count, last);
            let Some(id) = next else { return };
            last = Some(id);
            // A space that is not known has not run yet, or is on its way out: no CPU is in it, and it has no entry, or lets go
            // of what it has by itself.
            let space = SPACES.lock().get(&id).and_then(Weak::upgrade);
            if let Some(space) = space {
                self.revoke_in(&space, first, count, what);
            }
        }
    }

    fn revoke_in(&self, space: &Space, first: u64, count: u64, what: Revoke) {
        let mut mappings = space.lock();
        let mut found = [Mapper::NONE; IMmap::FEW];
        let few = self.0.lock().mappers.in_space(mappings.id(), (first, count), &mut found).map(<[Mapper]>::len);
        let shows = |shown: &Shown| matches!(shown, Shown::Shared(file) if Arc::ptr_eq(&file.sharers().0, &self.0));
        let done = match few {
            Some(few) => {
                found[..few].iter().try_for_each(|mapper| mappings.revoke(*mapper, shows, first, count, what))
            }
            None => mappings.revoke_everywhere(shows, first, count, what),
        };
        debug_assert!(done.is_ok(), "of shared mappings nothing is split that cannot be");
    }

    /// The next pages of `from..to` that may have been stored to. Where no program shows them any more, they are not among
    /// those from now on: the caller makes them durable.
    fn take_stored(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let mut state = self.0.lock();
        let (first, end) = state.stored.next(from, to)?;
        let end = end.min((first | (PIECE - 1)) + 1);
        if state.mappers.next_space(first, end - first, None).is_none() {
            state.stored.remove(first, end);
        }
        Some((first, end))
    }
}

fn known(mapped: &dyn Mapped) -> Option<Sharers> {
    (mapped as &dyn Any).downcast_ref::<Sharers>().cloned()
}

/// Makes durable what programs have stored to the pages `first..last` of a file, and its times (`dax_writeback_mapping_range`).
///
/// # Errors
/// [`Error::NoMemory`], of the times alone; what was stored is durable then.
pub(crate) fn sync(node: &Node, (first, last): (u64, u64)) -> Result<(), Error> {
    let Some(sharers) = Sharers::before(node) else { return Ok(()) };
    let medium: &PmemMedium = node.fs().medium();
    let (mut at, mut stored) = (first, false);
    while let Some((from, to)) = sharers.take_stored(at, last) {
        sharers.revoke(from, to - from, Revoke::Dirt);
        let dirty = |block: units::BlockNr| medium.pfn(block.base()).is_none_or(crate::pmem::take_dirty);
        stored |= node.clean_stores((from, to), dirty)?;
        sched::resched();
        at = to;
    }
    if !core::mem::take(&mut sharers.0.lock().times_changed) && !stored {
        return Ok(());
    }
    match node.record_stores(stored.then(now)) {
        // A full medium loses the times, not what was stored.
        Err(Error::NoSpace | Error::ReadOnly) => Ok(()),
        done => done,
    }
}

/// [`sync`] for all of every file. One that is gone, or has no name and is not open, has nothing that anybody could read.
///
/// # Errors
/// As there; the others are durable.
pub(crate) fn sync_all() -> Result<(), Error> {
    let (mut from, mut done) = (0, Ok(()));
    loop {
        let mut files = FILES.lock();
        let next = files.range(from..).next().map(|(number, node)| (*number, node.upgrade()));
        if let Some((number, None)) = next {
            files.remove(&number);
        }
        drop(files);
        let Some((number, node)) = next else { return done };
        from = number + 1;
        if let Some(node) = node {
            done = done.and(sync(&node, (0, u64::MAX)));
        }
    }
}

impl Space {
    /// Makes the space known to the files it will share; before it does.
    ///
    /// # Errors
    /// [`crate::heap::OutOfMemory`].
    pub(crate) fn begin_sharing(self: &Arc<Self>) -> Result<(), crate::heap::OutOfMemory> {
        if !self.shares.load(Ordering::Acquire) {
            crate::heap::reserve(super::WORST_CASE)?;
            let id = self.lock().id();
            register(id, self);
            self.shares.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Whether a space was made known.
pub(super) type Shares = AtomicBool;
