//! `madvise`.

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::{AddressSpace, page_align};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::vma::Kind;

/// What the program says about a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// `MADV_NORMAL`, `MADV_RANDOM`, `MADV_SEQUENTIAL`, `MADV_WILLNEED`, `MADV_HUGEPAGE`, `MADV_NOHUGEPAGE`: how it will
    /// be used. Nothing depends on it.
    Hint,
    /// `MADV_DONTNEED`: the pages go now; the next touch sees zeros, or the file.
    DontNeed,
    /// `MADV_FREE`: the pages may go. They go now.
    Free,
    /// `MADV_REMOVE`: the file's blocks behind a shared writable mapping go. There are no such mappings.
    Remove,
}

/// Why advice was refused, or not taken in all of the range: what lies before the fault has taken it, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdviseError {
    /// `EINVAL`: a start inside a page, a range past the end of 64 bits, or a VMA that cannot take this advice.
    Invalid,
    /// `ENOMEM`: something in the range is not mapped. All that is has taken the advice.
    Unmapped,
    /// `EACCES`: not a shared writable mapping of a file.
    Denied,
    /// `EAGAIN`: no memory to split a block.
    OutOfMemory,
}

impl From<OutOfMemory> for AdviseError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Advice about `len` bytes, rounded up to pages, from `start` on.
    pub fn advise(&mut self, start: VirtAddr, len: u64, advice: Advice) -> Result<(), AdviseError> {
        if !start.is_aligned(PAGE_SIZE) {
            return Err(AdviseError::Invalid);
        }
        let end = page_align(len).and_then(|len| start.get().checked_add(len)).ok_or(AdviseError::Invalid)?;
        let mut at = start;
        let mut holes = false;
        while at.get() < end {
            let Some(vma) = self.first_in(at.get(), end).map(|found| self.vmas.vma(found)) else {
                holes = true;
                break;
            };
            holes |= at < vma.start();
            let part = VirtRange::new(at.max(vma.start()), vma.end().min(VirtAddr::new(end)));
            let part = part.ok_or(AdviseError::Invalid)?;
            if taken(&vma.kind, advice)? == Effect::Zap {
                self.tables.unmap(part)?.flush();
            }
            at = part.end();
        }
        if holes { Err(AdviseError::Unmapped) } else { Ok(()) }
    }
}

/// What follows from advice about one VMA.
#[derive(PartialEq, Eq)]
enum Effect {
    Nothing,
    /// Its pages go.
    Zap,
}

fn taken<B>(kind: &Kind<B>, advice: Advice) -> Result<Effect, AdviseError> {
    match (advice, kind) {
        (Advice::Hint, _) => Ok(Effect::Nothing),
        (Advice::DontNeed, Kind::Anonymous | Kind::File(_)) | (Advice::Free, Kind::Anonymous) => Ok(Effect::Zap),
        (Advice::Remove, Kind::File(_)) => Err(AdviseError::Denied),
        (Advice::DontNeed | Advice::Free | Advice::Remove, _) => Err(AdviseError::Invalid),
    }
}
