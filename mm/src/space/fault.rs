//! Page faults: a touched address gets its page, or the program its signal.

use units::{PAGE_SIZE, Pfn, PhysAddr, VirtAddr, VirtRange};

use super::protect::rights;
use super::{AddressSpace, MMAP_MIN_ADDR};
use crate::desc::{Owner, Prot};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory, PageOf, Poisoned};
use crate::table::{Entry, Leaf, Tables};
use crate::tree::At;
use crate::vma::{Kind, STACK_GUARD_GAP, Vma, VmaFlags};

/// What was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load, or a cache operation.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Exec,
}

/// Why the access cannot be made to succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// `SIGSEGV`, `SEGV_MAPERR`: nothing is mapped there.
    Unmapped,
    /// `SIGSEGV`, `SEGV_ACCERR`: not allowed there.
    Denied,
    /// `SIGBUS`, `BUS_ADRERR`: past the end of the file.
    Beyond,
    /// `SIGBUS`, `BUS_MCEERR_AR`: the medium is bad there.
    Poisoned,
    /// No memory: the program dies (`SIGKILL`).
    OutOfMemory,
}

impl From<OutOfMemory> for FaultError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Poisoned> for FaultError {
    fn from(Poisoned: Poisoned) -> Self {
        Self::Poisoned
    }
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `handle_mm_fault`: after `Ok` the access succeeds when it is tried again. `va` is without its tag byte.
    pub fn fault(&mut self, va: VirtAddr, access: Access) -> Result<(), FaultError> {
        let at = self.vma_for(va)?;
        let vma = self.vmas.vma(at);
        if !allows(vma.prot, access) {
            return Err(FaultError::Denied);
        }
        let done = touch(&mut self.tables, vma, va.align_down(PAGE_SIZE), access);
        self.vmas.vma_mut(at).touched = true;
        done
    }

    /// Makes an access possible and returns what lies behind `va`: how the kernel reads and writes a program's memory
    /// by the linear map, up to the end of the page.
    pub fn frame(&mut self, va: VirtAddr, access: Access) -> Result<PhysAddr, FaultError> {
        self.fault(va, access)?;
        self.tables.walk(va).map(|leaf| leaf.translate(va)).ok_or(FaultError::Unmapped)
    }

    /// The VMA that answers at `va`, grown down to it if it is a stack.
    fn vma_for(&mut self, va: VirtAddr) -> Result<At, FaultError> {
        let at = self.vmas.find(va.get()).ok_or(FaultError::Unmapped)?;
        let vma = self.vmas.vma(at);
        if vma.start() > va {
            if !vma.flags.contains(VmaFlags::GROWS_DOWN) {
                return Err(FaultError::Unmapped);
            }
            self.expand_stack(at, va.align_down(PAGE_SIZE)).ok_or(FaultError::Unmapped)?;
        }
        Ok(at)
    }

    /// `expand_downwards`: the VMA at `at` begins at `page` from now on, if the stack's limit and the guard gap to what
    /// lies below allow it.
    fn expand_stack(&mut self, at: At, page: VirtAddr) -> Option<()> {
        let vma = self.vmas.vma(at);
        let grown = vma.start().checked_sub(page)?.get() / PAGE_SIZE;
        let in_file = vma.backing().is_none() || grown <= vma.pgoff();
        if page.get() < MMAP_MIN_ADDR || vma.end().get() - page.get() > self.stack_limit || !in_file {
            return None;
        }
        if let Some(prev) = self.vmas.prev(at).map(|at| self.vmas.vma(at)) {
            let guarded = !prev.flags.contains(VmaFlags::GROWS_DOWN) && !prev.prot.is_empty();
            if guarded && page.get() - prev.end().get() < STACK_GUARD_GAP {
                return None;
            }
        }
        let range = VirtRange::new(page, vma.end())?;
        self.vmas.set_range(at, range);
        Some(())
    }
}

/// Whether a VMA of `prot` allows the access. What can be written or executed can be read, as arm64 has it.
fn allows(prot: Prot, access: Access) -> bool {
    match access {
        Access::Read => !prot.is_empty(),
        Access::Write => prot.contains(Prot::WRITE),
        Access::Exec => prot.contains(Prot::EXEC),
    }
}

/// Brings the page at `page`, an address of `vma`, into the state that `access` needs and `vma` allows.
pub(super) fn touch<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    vma: &Vma<B>,
    page: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let result = match tables.entry(page) {
        Ok(Entry::Empty(slot)) => first_touch(tables, vma, page, access)
            .map(|(frame, owner)| tables.fill_slot(slot, frame, rights(vma.prot, owner), owner)),
        Ok(Entry::Leaf(leaf)) => return touch_again(tables, vma, page, leaf, access),
        Err(error) => Err(error.into()),
    };
    if result.is_err() {
        tables.prune(page);
    }
    result
}

/// The frame for a page that was never touched.
fn first_touch<F: Frames, U: Mmu, B: Backing>(
    tables: &Tables<F, U>,
    vma: &Vma<B>,
    page: VirtAddr,
    access: Access,
) -> Result<(Pfn, Owner), FaultError> {
    let frames = tables.frames();
    let shown = match &vma.kind {
        Kind::Anonymous => PageOf::Zero,
        Kind::File(backing) => backing.page(vma.index(page)),
        // Complete when it was made: what is missing lay past the end of the file then, and does for ever.
        Kind::Peek(..) => PageOf::Beyond,
    };
    match (shown, access) {
        (PageOf::Beyond, _) => Err(FaultError::Beyond),
        (PageOf::Zero, Access::Write) => Ok((frames.alloc_zeroed()?, Owner::Tree)),
        (PageOf::Zero, _) => Ok((frames.zero_page(), Owner::Other)),
        (PageOf::Frame(frame), Access::Write) => Ok((copied(frames, frame)?, Owner::Tree)),
        (PageOf::Frame(frame), _) => Ok((frame, Owner::Other)),
    }
}

/// A page is there. Either the tables allow the access by now, or this is the first store to a frame that is not ours.
fn touch_again<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    vma: &Vma<B>,
    page: VirtAddr,
    leaf: Leaf,
    access: Access,
) -> Result<(), FaultError> {
    if !leaf.desc.is_valid() {
        return Err(FaultError::Denied);
    }
    if access != Access::Write || leaf.desc.attributes().writable() {
        return Ok(());
    }
    let frames = tables.frames();
    let old = leaf.translate(page).pfn();
    let new = if old == frames.zero_page() { frames.alloc_zeroed()? } else { copied(frames, old)? };
    match tables.replace_page(page, new, rights(vma.prot, Owner::Tree), Owner::Tree) {
        Ok(Some(old)) => tables.free_leaf(old.level, old.desc),
        Ok(None) => {}
        Err(_) => {
            tables.frames().free(new);
            return Err(FaultError::OutOfMemory);
        }
    }
    Ok(())
}

/// A frame of the program's own that holds what `from` holds.
fn copied<F: Frames>(frames: &F, from: Pfn) -> Result<Pfn, FaultError> {
    let frame = frames.alloc()?;
    if let Err(poisoned) = frames.copy(from, frame) {
        frames.free(frame);
        return Err(poisoned.into());
    }
    Ok(frame)
}
