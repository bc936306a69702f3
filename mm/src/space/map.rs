//! `mmap`: becoming part of a neighbour where that says the same, else a VMA of its own.

use units::{PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use super::adjust::Wanted;
use super::{AddressSpace, MAX_MAP_COUNT, Released, page_align};
use crate::commit::Overcommit;
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::At;
use crate::vma::{Kind, Vma, VmaFlags};

/// Where a mapping shall lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Wherever there is room, at an address that is `offset` modulo `align`. Both are multiples of the page size,
    /// `align` is a power of two and `offset` lies below it.
    Anywhere {
        /// What the address is counted by.
        align: u64,
        /// What remains.
        offset: u64,
    },
    /// Here if there is room, else anywhere. The address may be any.
    Hint(VirtAddr),
    /// Here; what is there goes (`MAP_FIXED`).
    Fixed(VirtAddr),
    /// Here, but only if nothing is there (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(VirtAddr),
}

impl Place {
    /// Wherever there is room.
    pub const ANYWHERE: Self = Self::Anywhere { align: PAGE_SIZE, offset: 0 };
}

/// What a mapping shall show.
#[derive(Clone, Debug)]
pub enum What<B> {
    /// Zeros until written.
    Anonymous,
    /// A file from page `pgoff` on, privately: stores go to copies.
    File {
        /// The file.
        backing: B,
        /// The page of it that the first page shows.
        pgoff: u64,
    },
    /// A file from page `pgoff` on, shared: stores go to the file. Shared anonymous memory is a file without a name.
    Shared {
        /// The file.
        backing: B,
        /// The page of it that the first page shows.
        pgoff: u64,
    },
}

/// The arguments of `mmap`.
#[derive(Clone, Debug)]
pub struct Request<B> {
    /// Where.
    pub place: Place,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// What the program may do there.
    pub prot: Prot,
    /// What else the VMA is.
    pub flags: VmaFlags,
    /// What it shows.
    pub what: What<B>,
}

/// The answer of `mmap`.
pub struct Mapped<B> {
    /// The first address.
    pub at: VirtAddr,
    /// What `MAP_FIXED` put an end to.
    pub released: Released<B>,
}

/// Whether a mapping is a VMA of its own, whatever its neighbours are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    Yes,
    No,
}

/// Why nothing was mapped. In the order in which Linux finds out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// `EINVAL`: no length, a fixed address inside a page, or a file that shall grow down.
    Invalid,
    /// `EOVERFLOW`: the file offset passes the end of 64 bits.
    Overflow,
    /// `ENOMEM`: no room, too many VMAs, a limit, a promise that cannot be kept, or no memory for tables.
    OutOfMemory,
    /// `EPERM`: a fixed address below [`MMAP_MIN_ADDR`](super::MMAP_MIN_ADDR).
    TooLow,
    /// `EEXIST`: something lies at the address of [`Place::FixedNoReplace`].
    Exists,
    /// `EPERM`: locked memory is wanted and none is allowed.
    LockForbidden,
    /// `EAGAIN`: more locked memory than is allowed.
    LockLimit,
}

impl From<OutOfMemory> for MapError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `do_mmap`: reserves addresses; no page is there before it is touched. Where the VMA is locked, or was asked to be
    /// populated, [`populate`](Self::populate) is the caller's next call.
    pub fn map(&mut self, request: Request<B>) -> Result<Mapped<B>, MapError> {
        let mut released = Released::none();
        let at = self.map_into(request, &mut released)?;
        Ok(Mapped { at, released })
    }

    /// The same; what `MAP_FIXED` put an end to goes to `released`.
    ///
    /// # Errors
    /// As there.
    pub fn map_into(&mut self, request: Request<B>, released: &mut Released<B>) -> Result<VirtAddr, MapError> {
        if request.len == 0 {
            return Err(MapError::Invalid);
        }
        let len = page_align(request.len).ok_or(MapError::OutOfMemory)?;
        let pages = len >> PAGE_SHIFT;
        if let What::File { pgoff, .. } | What::Shared { pgoff, .. } = &request.what {
            pgoff.checked_add(pages).ok_or(MapError::Overflow)?;
        }
        if self.map_count() > MAX_MAP_COUNT {
            return Err(MapError::OutOfMemory);
        }
        let (range, behind) = self.place(request.place, len)?;
        let mut flags = request.flags | self.new_flags;
        self.may_lock(flags, pages)?;
        if flags.contains(VmaFlags::GROWS_DOWN) && !matches!(request.what, What::Anonymous) {
            return Err(MapError::Invalid);
        }
        let behind = match request.place {
            Place::Fixed(_) => self.clear_way(range, pages, released)?,
            _ => {
                self.may_expand(pages)?;
                behind
            }
        };
        let (kind, bias) = match request.what {
            What::Anonymous => (Kind::Anonymous, 0),
            What::File { backing, pgoff } => (Kind::File(backing), bias(pgoff, range)),
            What::Shared { backing, pgoff } => (Kind::Shared(backing), bias(pgoff, range)),
        };
        let mut apart = Apart::No;
        if kind.is_dax() {
            // Linux finds out that there is nothing to lock after it has looked for neighbours that are.
            apart = if flags.contains(VmaFlags::LOCKED) { Apart::Yes } else { Apart::No };
            flags = (flags - VmaFlags::LOCKS) | VmaFlags::HUGE_PAGE;
        }
        self.map_region(Vma::new(range, request.prot, flags, bias, kind), behind, apart)?;
        Ok(range.start())
    }

    /// `can_do_mlock`, `mlock_future_check`.
    fn may_lock(&self, flags: VmaFlags, pages: u64) -> Result<(), MapError> {
        if !flags.contains(VmaFlags::LOCKED) {
            return Ok(());
        }
        if self.limits.locked == 0 {
            return Err(MapError::LockForbidden);
        }
        if self.lockable(pages) { Ok(()) } else { Err(MapError::LockLimit) }
    }

    /// `MAP_FIXED`: what is in `range` goes. What goes does not count for the limit.
    fn clear_way(
        &mut self,
        range: VirtRange,
        pages: u64,
        released: &mut Released<B>,
    ) -> Result<Option<At>, OutOfMemory> {
        if self.limits.addresses != u64::MAX {
            self.may_expand(pages - self.pages_in(range))?;
        }
        self.remove_into(range, released)?;
        Ok(self.vmas.find(range.start().get()))
    }

    /// `count_vma_pages_range`: pages of `range` that some VMA has.
    fn pages_in(&self, range: VirtRange) -> u64 {
        let mut pages = 0;
        let mut at = self.first_in(range.start().get(), range.end().get());
        while let Some(part) = at.and_then(|at| self.vmas.vma(at).range().intersection(range)) {
            pages += part.len().get() >> PAGE_SHIFT;
            at = at.and_then(|at| self.vmas.next(at));
        }
        pages
    }

    /// `mmap_region`: `vma`, where nobody is, becomes part of a neighbour or one of its own before `behind`. Promises memory
    /// where a store may need it.
    pub(super) fn map_region(&mut self, mut vma: Vma<B>, behind: Option<At>, apart: Apart) -> Result<(), OutOfMemory> {
        let (range, pages) = (vma.range(), vma.pages().get());
        self.vmas.reserve(1)?;
        if vma.flags.contains(VmaFlags::NO_RESERVE) && self.tables.frames().commit().mode() == Overcommit::Strict {
            vma.flags.remove(VmaFlags::NO_RESERVE);
        }
        if Vma::accountable(&vma.kind, vma.prot, vma.flags) {
            self.charge(pages)?;
            vma.flags.insert(VmaFlags::ACCOUNT);
        }
        let flags = vma.flags;
        let wanted = Wanted { range, look: vma.look(), bias: vma.bias, anon: None, kind: &vma.kind, but: None };
        let merge = if apart == Apart::Yes { None } else { self.can_merge(self.vmas.before(behind), &wanted) };
        let placed = match merge {
            Some(merge) => self.vma_merge(merge, range).map(drop),
            None => self.vma_link(vma, behind).map(drop),
        };
        if let Err(error) = placed {
            if flags.contains(VmaFlags::ACCOUNT) {
                self.tables.frames().commit().release(PageCount::new(pages));
            }
            return Err(error);
        }
        self.count_in(flags, pages);
        Ok(())
    }

    /// `find_vma_prepare` and `insert_vm_struct`: adds a VMA of anonymous memory as it is, merged with nobody.
    ///
    /// # Errors
    /// [`OutOfMemory`] (`ENOMEM`) where something is there already, as on Linux, and where memory cannot be promised.
    pub fn insert_vm_struct(&mut self, range: VirtRange, prot: Prot, flags: VmaFlags) -> Result<(), OutOfMemory> {
        let behind = self.find_vma_prepare(range).map_err(|_| OutOfMemory)?;
        let pages = range.len().get() >> PAGE_SHIFT;
        self.vmas.reserve(1)?;
        if flags.contains(VmaFlags::ACCOUNT) {
            self.charge(pages)?;
        }
        // `vm_pgoff` of anonymous memory is its address: the bias is 0.
        self.vma_link(Vma::new(range, prot, flags, 0, Kind::Anonymous), behind)?;
        self.count_in(flags, pages);
        Ok(())
    }

    /// `find_vma_prepare`: the VMA behind `range`, where a new one has its place, or the one that is there already.
    pub(super) fn find_vma_prepare(&self, range: VirtRange) -> Result<Option<At>, At> {
        let behind = self.vmas.find(range.start().get());
        match behind.filter(|at| self.vmas.vma(*at).start() < range.end()) {
            Some(overlapped) => Err(overlapped),
            None => Ok(behind),
        }
    }

    /// `find_vma_intersection`: the first VMA that shares an address with `start..end`.
    #[inline]
    pub(super) fn first_in(&self, start: u64, end: u64) -> Option<At> {
        self.vmas.find(start).filter(|at| self.vmas.vma(*at).start().get() < end)
    }
}

/// What a VMA keeps instead of `vm_pgoff`.
fn bias(pgoff: u64, range: VirtRange) -> u64 {
    pgoff.wrapping_sub(range.start().get() >> PAGE_SHIFT)
}
