//! `madvise`.

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::unmap::PIECE;
use super::{Access, AddressSpace, FaultError, page_align};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::At;
use crate::vma::{Kind, Look, Vma, VmaFlags};

/// What the program says about a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// What nothing depends on: `MADV_COLD`, `MADV_PAGEOUT`, `MADV_MERGEABLE` and the like.
    Hint,
    /// `MADV_NORMAL`: neither of the next two.
    Normal,
    /// `MADV_RANDOM`: pages around a fault are not made.
    Random,
    /// `MADV_SEQUENTIAL`: it will be read from front to back.
    Sequential,
    /// `MADV_WILLNEED`: it will be needed. What lies in files is in memory already.
    WillNeed,
    /// `MADV_DONTNEED`: the pages go now; the next touch sees zeros, or the file. Not of locked memory.
    DontNeed,
    /// `MADV_DONTNEED_LOCKED`: the same, of locked memory too.
    DontNeedLocked,
    /// `MADV_FREE`: the pages may go. They go now.
    Free,
    /// `MADV_DONTFORK`: a child does not have it.
    DontFork,
    /// `MADV_DOFORK`: it does.
    DoFork,
    /// `MADV_WIPEONFORK`: a child has it empty.
    WipeOnFork,
    /// `MADV_KEEPONFORK`: a child has it as it is.
    KeepOnFork,
    /// `MADV_DONTDUMP`: no core dump shows it.
    DontDump,
    /// `MADV_DODUMP`: one would.
    DoDump,
    /// `MADV_HUGEPAGE`: blocks are wanted.
    HugePage,
    /// `MADV_NOHUGEPAGE`: blocks are not wanted. Those that are there stay.
    NoHugePage,
}

/// Why advice was refused, or not taken in all of the range: what lies before the fault has taken it, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdviseError {
    /// `EINVAL`: a start inside a page, a range past the end of 64 bits, or a VMA that cannot take this advice.
    Invalid,
    /// `ENOMEM`: something in the range is not mapped. All that is has taken the advice.
    Unmapped,
    /// `EACCES`: not a shared mapping of a file that may be written.
    Denied,
    /// `EAGAIN`: no memory to split a block or a VMA.
    OutOfMemory,
}

impl From<OutOfMemory> for AdviseError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why `MADV_POPULATE_READ` or `MADV_POPULATE_WRITE` stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PopulateError {
    /// `EINVAL`: a start inside a page, a range past the end of 64 bits, or rights that are not there.
    Invalid,
    /// `ENOMEM`: not mapped, or no memory.
    Unmapped,
    /// What the fault at this address came to: `EFAULT` past the end of a file, `EHWPOISON` on a bad medium, `ENOMEM`. Where
    /// the file has to be asked first, the caller asks it and begins again here.
    Fault(VirtAddr, FaultError),
}

/// Whether something in a range was not mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holes {
    /// All of it was, so far.
    None,
    /// Something was not.
    Some,
}

impl Holes {
    /// What Linux says of that in the end.
    ///
    /// # Errors
    /// [`AdviseError::Unmapped`].
    pub fn refused(self) -> Result<(), AdviseError> {
        if self == Self::Some { Err(AdviseError::Unmapped) } else { Ok(()) }
    }
}

/// What follows from advice about one VMA.
enum Effect {
    Nothing,
    /// Its pages go.
    Zap,
    /// Other flags.
    Flags(VmaFlags),
}

/// The whole pages of `len` bytes from `start` on. `None`: no length, success.
///
/// # Errors
/// [`AdviseError::Invalid`].
pub fn advise_range(start: VirtAddr, len: u64) -> Result<Option<VirtRange>, AdviseError> {
    if !start.is_aligned(PAGE_SIZE) {
        return Err(AdviseError::Invalid);
    }
    let end = page_align(len).and_then(|len| start.get().checked_add(len)).ok_or(AdviseError::Invalid)?;
    Ok(VirtRange::new(start, VirtAddr::new(end)).filter(|range| !range.is_empty()))
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Advice about `len` bytes, rounded up to pages, from `start` on.
    pub fn advise(&mut self, start: VirtAddr, len: u64, advice: Advice) -> Result<(), AdviseError> {
        let (mut left, mut holes) = (advise_range(start, len)?, Holes::None);
        while let Some(range) = left {
            left = self.advise_piece(range, advice, &mut holes)?;
        }
        holes.refused()
    }

    /// The same about the beginning of what [`advise_range`] made: answers what is left, for the caller's next call, when others
    /// have had the lock. Afterwards `holes` says how it went.
    ///
    /// # Errors
    /// All but [`AdviseError::Unmapped`].
    pub fn advise_piece(
        &mut self,
        range: VirtRange,
        advice: Advice,
        holes: &mut Holes,
    ) -> Result<Option<VirtRange>, AdviseError> {
        let Some(found) = self.first_in(range.start().get(), range.end().get()) else {
            *holes = Holes::Some;
            return Ok(None);
        };
        let vma = self.vmas.vma(found);
        if range.start() < vma.start() {
            *holes = Holes::Some;
        }
        let part = vma.range().intersection(range).ok_or(AdviseError::Invalid)?;
        let end = self.take_advice(found, part, advice)?;
        Ok(VirtRange::new(end, range.end()).filter(|left| !left.is_empty()))
    }

    /// `MADV_REMOVE`: what the first VMA in `range` (of [`advise_range`]) would have its file lose, for which the caller
    /// unlocks the space; then it comes again with what is left of the range. `None`: no VMA is left, which is `ENOMEM`.
    ///
    /// # Errors
    /// [`AdviseError::Invalid`] for locked memory and what has no file, [`AdviseError::Denied`].
    pub fn removal(&self, range: VirtRange) -> Result<Option<Removal<B>>, AdviseError> {
        let Some(at) = self.first_in(range.start().get(), range.end().get()) else { return Ok(None) };
        let vma = self.vmas.vma(at);
        let part = vma.range().intersection(range).ok_or(AdviseError::Invalid)?;
        match &vma.kind {
            _ if vma.flags.contains(VmaFlags::LOCKED) => Err(AdviseError::Invalid),
            Kind::Anonymous | Kind::Peek(..) => Err(AdviseError::Invalid),
            Kind::Shared(file) if !vma.flags.contains(VmaFlags::NEVER_WRITE) => {
                Ok(Some(Removal { range: part, file: file.clone(), index: vma.index(part.start()) }))
            }
            Kind::File(_) | Kind::Shared(_) => Err(AdviseError::Denied),
        }
    }

    /// Answers how far it was taken: where pages go, not further than such a piece of `part` as `munmap` would take away.
    fn take_advice(&mut self, at: At, part: VirtRange, advice: Advice) -> Result<VirtAddr, AdviseError> {
        let vma = self.vmas.vma(at);
        match taken(vma, advice)? {
            Effect::Zap if vma.touched => {
                let much = part.len().get() > PIECE * PAGE_SIZE;
                let end = if much { self.tables.end_of_pages(part, PIECE) } else { part.end() };
                self.tables.zap(VirtRange::new(part.start(), end).unwrap_or(part))?;
                return Ok(end);
            }
            Effect::Flags(flags) if flags != vma.flags => {
                let look = Look { flags, ..vma.look() };
                self.modify(at, part, look)?;
            }
            _ => {}
        }
        Ok(part.end())
    }

    /// `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`: touches every page of `len` bytes from `start` on.
    pub fn populate_for(&mut self, start: VirtAddr, len: u64, access: Access) -> Result<(), PopulateError> {
        let range = advise_range(start, len).map_err(|_| PopulateError::Invalid)?;
        let Some(range) = range else { return Ok(()) };
        let mut page = range.start();
        while page < range.end() {
            let vma = self.find_vma(page).filter(|vma| vma.start() <= page).ok_or(PopulateError::Unmapped)?;
            // `check_vma_flags`: the right itself, also where this architecture grants it by another.
            let right = if access == Access::Write { Prot::WRITE } else { Prot::READ };
            if !vma.prot().contains(right) {
                return Err(PopulateError::Invalid);
            }
            self.fault(page, access).map_err(|error| PopulateError::Fault(page, error))?;
            page = VirtAddr::new(page.get() + PAGE_SIZE);
        }
        Ok(())
    }
}

/// What `MADV_REMOVE` takes out of a file for one VMA.
pub struct Removal<B> {
    /// The addresses that show it.
    pub range: VirtRange,
    /// The file.
    pub file: B,
    /// The first page of it.
    pub index: u64,
}

fn taken<B>(vma: &Vma<B>, advice: Advice) -> Result<Effect, AdviseError> {
    let peek = vma.kind.is_peek();
    let locked = vma.flags.contains(VmaFlags::LOCKED);
    let with = |set: VmaFlags, clear: VmaFlags| Ok(Effect::Flags((vma.flags - clear) | set));
    let none = VmaFlags::empty();
    match advice {
        Advice::Hint | Advice::WillNeed => Ok(Effect::Nothing),
        Advice::DontNeed | Advice::Free if peek || locked => Err(AdviseError::Invalid),
        Advice::DontNeedLocked if peek => Err(AdviseError::Invalid),
        Advice::DontNeed | Advice::DontNeedLocked => Ok(Effect::Zap),
        Advice::Free if matches!(vma.kind, Kind::Anonymous) => Ok(Effect::Zap),
        Advice::Free => Err(AdviseError::Invalid),
        // A peek is complete and never merged; a flag would only cut it into pieces.
        _ if peek && !matches!(advice, Advice::DontFork | Advice::DoFork | Advice::WipeOnFork) => Ok(Effect::Nothing),
        Advice::Normal => with(none, VmaFlags::RANDOM | VmaFlags::SEQUENTIAL),
        Advice::Random => with(VmaFlags::RANDOM, VmaFlags::SEQUENTIAL),
        Advice::Sequential => with(VmaFlags::SEQUENTIAL, VmaFlags::RANDOM),
        Advice::DontFork => with(VmaFlags::DONT_FORK, none),
        Advice::DoFork => with(none, VmaFlags::DONT_FORK),
        Advice::WipeOnFork if !matches!(vma.kind, Kind::Anonymous) => Err(AdviseError::Invalid),
        Advice::WipeOnFork => with(VmaFlags::WIPE_ON_FORK, none),
        Advice::KeepOnFork => with(none, VmaFlags::WIPE_ON_FORK),
        Advice::DontDump => with(VmaFlags::DONT_DUMP, none),
        Advice::DoDump => with(none, VmaFlags::DONT_DUMP),
        Advice::HugePage => with(VmaFlags::HUGE_PAGE, VmaFlags::NO_HUGE_PAGE),
        Advice::NoHugePage => with(VmaFlags::NO_HUGE_PAGE, VmaFlags::HUGE_PAGE),
    }
}
