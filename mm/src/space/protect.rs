//! `mprotect`.

use units::{PAGE_SHIFT, PAGE_SIZE, PageCount, Pfn, VirtAddr, VirtRange};

use super::{AddressSpace, page_align};
use crate::desc::{Attributes, Level, Owner, Prot};
use crate::page;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::table::Leaf;
use crate::tree::At;
use crate::vma::{Kind, Look, Vma, VmaFlags};

/// Why rights were not changed, or not in all of the range: what lies before the fault has changed, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtectError {
    /// `EINVAL`: a start inside a page.
    Invalid,
    /// `ENOMEM`: nothing is mapped at some address of the range.
    Unmapped,
    /// `ENOMEM`: too many VMAs, a promise that cannot be kept, or no memory to split a VMA.
    OutOfMemory,
    /// `EACCES`: a peek can be read or not, and nothing else; a shared file opened for reading is never written.
    Denied,
}

impl From<OutOfMemory> for ProtectError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The checks of `mprotect` that Linux makes before it looks at the rights. `None`: nothing to do, success.
pub fn protect_range(start: VirtAddr, len: u64) -> Result<Option<VirtRange>, ProtectError> {
    if !start.is_aligned(PAGE_SIZE) {
        return Err(ProtectError::Invalid);
    }
    if len == 0 {
        return Ok(None);
    }
    let end = page_align(len).and_then(|len| start.get().checked_add(len)).ok_or(ProtectError::Unmapped)?;
    VirtRange::new(start, VirtAddr::new(end)).map(Some).ok_or(ProtectError::Unmapped)
}

/// What the page behind `leaf` allows in a VMA of `prot`. A frame that is not the program's own is never written: a
/// store there faults, and gets a copy.
pub(super) fn rights(prot: Prot, owner: Owner) -> Attributes {
    match owner {
        Owner::Tree => Attributes::user(prot),
        Owner::Other => Attributes::user(prot.difference(Prot::WRITE)),
    }
}

/// The same, as the frame is now: one that is shared with another space is not written either.
#[inline]
pub(super) fn rights_of<F: Frames>(frames: &F, prot: Prot, leaf: &Leaf) -> Attributes {
    let first = leaf.desc.pfn();
    let exclusive = || match leaf.level {
        Level::Pte => page::exclusive(frames, first),
        Level::Pmd => page::block_exclusive(frames, first),
        level => (first.get()..first.get() + level.pages().get()).all(|frame| page::exclusive(frames, Pfn::new(frame))),
    };
    match leaf.desc.owner() {
        Owner::Tree if !prot.contains(Prot::WRITE) || exclusive() => rights(prot, Owner::Tree),
        _ => rights(prot, Owner::Other),
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Gives the pages of `range`, which [`protect_range`] made, the rights `prot`.
    pub fn protect(&mut self, range: VirtRange, prot: Prot) -> Result<(), ProtectError> {
        self.protect_noting(range, prot, &mut None)
    }

    /// The same, and says from where to where private memory lies that is locked and became writable: its pages are to be
    /// copied now, not at a store ([`populate`](Self::populate), the caller's next call, also after an error).
    pub fn protect_noting(
        &mut self,
        range: VirtRange,
        prot: Prot,
        copies: &mut Option<VirtRange>,
    ) -> Result<(), ProtectError> {
        let mut start = range.start();
        while start < range.end() {
            let at = self.vmas.find(start.get()).ok_or(ProtectError::Unmapped)?;
            let vma = self.vmas.vma(at);
            if vma.start() > start {
                return Err(ProtectError::Unmapped);
            }
            if !may_become(vma, prot) {
                return Err(ProtectError::Denied);
            }
            let end = vma.end().min(range.end());
            if vma.prot != prot
                && let Some(piece) = VirtRange::new(start, end)
            {
                let becomes = prot.contains(Prot::WRITE) && !vma.prot.contains(Prot::WRITE);
                let copied = vma.flags.contains(VmaFlags::LOCKED) && !vma.kind.is_shared() && becomes;
                self.protect_piece(at, piece, prot)?;
                if copied {
                    self.prepare_copies(start);
                    *copies = VirtRange::new(copies.map_or(start, |first| first.start()), end);
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Linux makes the copies as soon as one VMA has become writable, so what comes next finds an `anon_vma` to agree with.
    fn prepare_copies(&mut self, start: VirtAddr) {
        let made = |vma: &Vma<B>| !vma.has_anon() && !vma.flags.contains(VmaFlags::LOCK_ON_FAULT);
        if let Some(at) = self.vmas.find(start.get()).filter(|at| made(self.vmas.vma(*at))) {
            self.anon_vma_prepare(at);
        }
    }

    /// The range that `PROT_GROWSDOWN` means: from the beginning of the VMA that grows down and holds the end of `range`.
    ///
    /// # Errors
    /// [`ProtectError::Unmapped`], and [`ProtectError::Invalid`] where that VMA does not grow.
    pub fn grows_down_range(&self, range: VirtRange) -> Result<VirtRange, ProtectError> {
        let vma = self.find_vma(range.start()).ok_or(ProtectError::Unmapped)?;
        if vma.start() >= range.end() {
            return Err(ProtectError::Unmapped);
        }
        if !vma.flags().contains(VmaFlags::GROWS_DOWN) {
            return Err(ProtectError::Invalid);
        }
        VirtRange::new(vma.start(), range.end()).ok_or(ProtectError::Unmapped)
    }

    /// `mprotect_fixup`: `range` lies in the VMA at `at`, whose rights differ. Fails before anything has changed.
    fn protect_piece(&mut self, at: At, range: VirtRange, prot: Prot) -> Result<(), OutOfMemory> {
        let vma = self.vmas.vma(at);
        let (old, touched, anon) = (vma.look(), vma.touched, vma.has_anon());
        let pages = PageCount::new(range.len().get() >> PAGE_SHIFT);
        let mut flags = old.flags;
        if Vma::accountable(&vma.kind, prot, flags) {
            if !flags.contains(VmaFlags::ACCOUNT) {
                self.charge(pages.get())?;
            }
            flags.insert(VmaFlags::ACCOUNT);
        } else if !prot.contains(Prot::WRITE) && !anon && matches!(vma.kind, Kind::Anonymous) {
            // Nothing was written and nothing can be: the promise is not needed.
            flags.remove(VmaFlags::ACCOUNT);
        }
        // No block lies across the ends of a VMA.
        let part = range != vma.range();
        let done = match if touched && part { self.tables.split_edges(range) } else { Ok(()) } {
            Ok(()) => self.modify(at, range, Look { prot, flags }).map(drop),
            Err(error) => Err(error),
        };
        let gone = if done.is_ok() { old.flags - flags } else { flags - old.flags };
        if gone.contains(VmaFlags::ACCOUNT) {
            self.tables.frames().commit().release(pages);
        }
        done?;
        if touched {
            self.tables.protect(range, |frames, leaf| (!prot.is_empty()).then(|| rights_of(frames, prot, leaf)))?;
        }
        Ok(())
    }
}

/// Whether a VMA may have the rights (`VM_MAYREAD`, `VM_MAYWRITE`, `VM_MAYEXEC`).
fn may_become<B>(vma: &Vma<B>, prot: Prot) -> bool {
    if vma.kind.is_peek() {
        return Prot::READ.contains(prot);
    }
    !(vma.flags.contains(VmaFlags::NEVER_WRITE) && prot.contains(Prot::WRITE))
}
