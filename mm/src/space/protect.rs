//! `mprotect`.

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::{AddressSpace, MAX_MAP_COUNT, page_align};
use crate::desc::{Attributes, Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::table::Leaf;
use crate::tree::At;
use crate::vma::Kind;

/// Why rights were not changed, or not in all of the range: what lies before the fault has changed, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtectError {
    /// `EINVAL`: a start inside a page.
    Invalid,
    /// `ENOMEM`: nothing is mapped at some address of the range.
    Unmapped,
    /// `ENOMEM`: too many VMAs, or no memory to split one.
    OutOfMemory,
    /// `EACCES`: a peek can be read or not, and nothing else.
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

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Gives the pages of `range`, which [`protect_range`] made, the rights `prot`.
    pub fn protect(&mut self, range: VirtRange, prot: Prot) -> Result<(), ProtectError> {
        let mut start = range.start();
        while start < range.end() {
            let at = self.vmas.find(start.get()).filter(|at| self.vmas.vma(*at).start() <= start);
            let at = at.ok_or(ProtectError::Unmapped)?;
            let vma = self.vmas.vma(at);
            if matches!(vma.kind, Kind::Peek(..)) && !Prot::READ.contains(prot) {
                return Err(ProtectError::Denied);
            }
            let end = vma.end().min(range.end());
            if vma.prot != prot {
                self.protect_piece(at, start, end, prot)?;
            }
            start = end;
        }
        Ok(())
    }

    /// `mprotect_fixup`: `start..end` lies in the VMA at `at`, whose rights differ.
    fn protect_piece(&mut self, at: At, start: VirtAddr, end: VirtAddr, prot: Prot) -> Result<(), OutOfMemory> {
        let whole = self.vmas.vma(at).range();
        let head = whole.start() < start;
        let tail = end < whole.end();
        let prev = if head { None } else { self.vmas.prev(at).filter(|prev| self.would_merge(*prev, at, prot)) };
        let next = if tail { None } else { self.vmas.next(at).filter(|next| self.would_merge(at, *next, prot)) };
        let new = match (head, tail) {
            (true, true) => 2,
            (true, false) => usize::from(next.is_none()),
            (false, true) => usize::from(prev.is_none()),
            (false, false) => 0,
        };
        if self.map_count() + new > MAX_MAP_COUNT && new > 0 {
            return Err(OutOfMemory);
        }
        self.vmas.reserve(new)?;
        if self.vmas.vma(at).touched {
            self.protect_tables(start, end, prot)?;
        }
        self.share_mark(at, prev, next);

        // Nothing fails from here on.
        match (head, tail) {
            (false, false) => self.protect_whole(at, prev, next, prot),
            (false, true) => {
                self.stretch(at, end, whole.end());
                match prev {
                    Some(prev) => self.stretch(prev, self.vmas.vma(prev).start(), end),
                    None => self.split_with(at, start, end, prot, Some(at)),
                }
            }
            (true, false) => {
                self.stretch(at, whole.start(), start);
                match next {
                    Some(next) => self.stretch(next, start, self.vmas.vma(next).end()),
                    None => self.split_with(at, start, end, prot, self.vmas.next(at)),
                }
            }
            (true, true) => {
                self.stretch(at, whole.start(), start);
                let tail = self.split_off(at, end, whole.end(), self.vmas.next(at));
                self.split_with(at, start, end, prot, tail);
            }
        }
        Ok(())
    }

    /// What `at` may become a part of may have its pages from then on.
    fn share_mark(&mut self, at: At, prev: Option<At>, next: Option<At>) {
        let all = [Some(at), prev, next];
        let touched = all.into_iter().flatten().any(|at| self.vmas.vma(at).touched);
        for at in [prev, next].into_iter().flatten() {
            self.vmas.vma_mut(at).touched = touched;
        }
        if touched && (prev.is_some() || next.is_some()) {
            self.vmas.vma_mut(at).touched = true;
        }
    }

    fn protect_tables(&mut self, start: VirtAddr, end: VirtAddr, prot: Prot) -> Result<(), OutOfMemory> {
        let Some(range) = VirtRange::new(start, end) else { return Ok(()) };
        self.tables.protect(range, |leaf: &Leaf| (!prot.is_empty()).then(|| rights(prot, leaf.desc.owner())))
    }

    /// All of one VMA changes: it may become part of either neighbour, or of both.
    fn protect_whole(&mut self, at: At, prev: Option<At>, next: Option<At>, prot: Prot) {
        let mut end = self.vmas.vma(at).end();
        if let Some(next) = next {
            end = self.vmas.vma(next).end();
            self.vmas.remove(next);
        }
        let into = match prev {
            Some(prev) => {
                self.vmas.remove(at);
                prev
            }
            None => {
                self.vmas.set_prot(at, prot);
                at
            }
        };
        self.stretch(into, self.vmas.vma(into).start(), end);
    }

    /// Another VMA like the one at `at`, for `start..end` and with other rights, before `behind`. A node was reserved.
    fn split_with(&mut self, at: At, start: VirtAddr, end: VirtAddr, prot: Prot, behind: Option<At>) {
        if let Some(new) = self.split_off(at, start, end, behind) {
            self.vmas.set_prot(new, prot);
        }
    }

    /// Whether two neighbours would be one VMA if that of them which is about to change had the rights `prot`.
    fn would_merge(&self, low: At, high: At, prot: Prot) -> bool {
        let (low, high) = (self.vmas.vma(low), self.vmas.vma(high));
        low.end() == high.start() && (low.prot == prot || high.prot == prot) && low.alike(high)
    }
}
