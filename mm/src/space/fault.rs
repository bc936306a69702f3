//! Page faults: a touched address gets its page, or the program its signal.

use units::{ByteLen, PAGE_SIZE, PageCount, Pfn, PhysAddr, VirtAddr, VirtRange};

use super::protect::{rights, rights_of};
use super::{AddressSpace, MMAP_MIN_ADDR};
use crate::desc::{Attributes, Level, Owner, Prot};
use crate::page::{self, Mapping};
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
    /// The file has to do something first, which may wait: who serves the fault unlocks the space, asks the file behind
    /// [`AddressSpace::unprepared`], and tries again.
    Unprepared,
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
        if access == Access::Write && vma.anon.is_none() && !vma.kind.is_shared() {
            self.anon_vma_prepare(at);
        }
        let vma = self.vmas.vma_mut(at);
        let at = Faulting { vma, family: self.family.mapping() };
        touch(&mut self.tables, &at, va.align_down(PAGE_SIZE), access)?;
        vma.touched = true;
        Ok(())
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

    /// The file behind a fault that was [`FaultError::Unprepared`], and the page of it that was touched.
    pub fn unprepared(&self, va: VirtAddr) -> Option<(B, u64)> {
        let vma = self.find_vma(va).filter(|vma| vma.start() <= va)?;
        Some((vma.backing()?.clone(), vma.index(va)))
    }

    /// `expand_downwards`: the VMA at `at` begins at `page` from now on, if the stack's limit and the guard gap to what
    /// lies below allow it.
    fn expand_stack(&mut self, at: At, page: VirtAddr) -> Option<()> {
        let vma = self.vmas.vma(at);
        let grown = vma.start().checked_sub(page)?.get() / PAGE_SIZE;
        if page.get() < MMAP_MIN_ADDR || vma.end().get() - page.get() > self.limits.stack {
            return None;
        }
        let flags = vma.flags;
        if let Some(prev) = self.vmas.prev(at).map(|at| self.vmas.vma(at)) {
            let guarded = !prev.flags.contains(VmaFlags::GROWS_DOWN) && !prev.prot.is_empty();
            if guarded && page.get() - prev.end().get() < STACK_GUARD_GAP {
                return None;
            }
        }
        // `acct_stack_growth`.
        self.may_expand(grown).ok()?;
        if flags.contains(VmaFlags::LOCKED) && !self.lockable(grown) {
            return None;
        }
        if flags.contains(VmaFlags::ACCOUNT) {
            self.charge(grown).ok()?;
        }
        if self.vmas.vma(at).anon.is_none() {
            self.anon_vma_prepare(at);
        }
        self.move_ends(at, page, self.vmas.vma(at).end());
        self.count_in(flags, grown);
        Some(())
    }
}

/// Whether a VMA of `prot` allows the access. What can be written or executed can be read, as arm64 has it.
pub(super) fn allows(prot: Prot, access: Access) -> bool {
    match access {
        Access::Read => !prot.is_empty(),
        Access::Write => prot.contains(Prot::WRITE),
        Access::Exec => prot.contains(Prot::EXEC),
    }
}

/// Brings the page at `page`, an address of `vma`, into the state that `access` needs and `vma` allows. Answers whether the
/// page is the program's own.
pub(super) fn touch<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    at: &Faulting<'_, B>,
    page: VirtAddr,
    access: Access,
) -> Result<Owner, FaultError> {
    if let Some(owner) = super::huge::touch_block(tables, at, page, access) {
        return Ok(owner);
    }
    let result = match tables.entry(page) {
        Ok(Entry::Empty(slot)) => first_touch(tables.frames(), at, page, access).map(|found| {
            tables.fill_slot(slot, found.frame, found.rights, found.owner);
            found.owner
        }),
        Ok(Entry::Leaf(leaf)) => return touch_again(tables, at, page, leaf, access),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(Owner::Other) if access == Access::Read => super::around::map_around(tables, at.vma, page),
        Ok(_) => {}
        Err(_) => tables.prune(page),
    }
    result
}

/// Where a fault is served.
pub(super) struct Faulting<'a, B> {
    pub(super) vma: &'a Vma<B>,
    /// Whose the pages are that it makes.
    pub(super) family: Mapping,
}

impl<B> Faulting<'_, B> {
    /// A fresh frame is the program's own page at `page`.
    #[inline]
    pub(super) fn born<F: Frames>(&self, frames: &F, frame: Pfn, page: VirtAddr) -> Pfn {
        if let Some(descriptor) = frames.page(frame) {
            descriptor.born(self.family, self.vma.anon_index(page));
        }
        frame
    }

    /// The fresh frames of a block are the program's own pages from `page` on.
    pub(super) fn born_block<F: Frames>(&self, frames: &F, first: Pfn, page: VirtAddr) {
        page::block_born(frames, first, self.family, self.vma.anon_index(page));
    }

    /// A frame of zeros.
    #[inline]
    fn zeroed<F: Frames>(&self, frames: &F, page: VirtAddr) -> Result<Pfn, OutOfMemory> {
        Ok(self.born(frames, frames.alloc_zeroed()?, page))
    }

    /// A frame that holds what `from` holds.
    fn copied<F: Frames>(&self, frames: &F, from: Pfn, page: VirtAddr) -> Result<Pfn, FaultError> {
        let frame = frames.alloc()?;
        if let Err(poisoned) = frames.copy(from, frame) {
            frames.free(frame);
            return Err(poisoned.into());
        }
        Ok(self.born(frames, frame, page))
    }
}

/// What is to stand behind a page.
struct Found {
    frame: Pfn,
    owner: Owner,
    rights: Attributes,
}

impl Found {
    fn new(frame: Pfn, owner: Owner, prot: Prot) -> Self {
        Self { frame, owner, rights: rights(prot, owner) }
    }
}

/// The frame for a page that was never touched (`do_anonymous_page`, `do_read_fault`, `do_cow_fault`, `do_shared_fault`).
fn first_touch<F: Frames, B: Backing>(
    frames: &F,
    at: &Faulting<'_, B>,
    page: VirtAddr,
    access: Access,
) -> Result<Found, FaultError> {
    let vma = at.vma;
    let shown = match &vma.kind {
        Kind::Anonymous => PageOf::Zero,
        Kind::File(backing) => backing.page(vma.index(page)),
        Kind::Shared(backing) => return shared(frames, vma, backing, page, access),
        // Complete when it was made: what is missing lay past the end of the file then, and does for ever.
        Kind::Peek(..) => PageOf::Beyond,
    };
    let (frame, owner) = match (shown, access) {
        (PageOf::Beyond, _) => return Err(FaultError::Beyond),
        (PageOf::Unprepared, _) => return Err(FaultError::Unprepared),
        (PageOf::Poisoned, _) => return Err(FaultError::Poisoned),
        (PageOf::Zero, Access::Write) => (at.zeroed(frames, page)?, Owner::Tree),
        (PageOf::Zero, _) => (frames.zero_page(), Owner::Other),
        (PageOf::Frame(frame), Access::Write) => (at.copied(frames, frame, page)?, Owner::Tree),
        (PageOf::Frame(frame), _) => (frame, Owner::Other),
    };
    Ok(Found::new(frame, owner, vma.prot))
}

/// The file's own frame behind a page of a shared mapping: writable once the file has said so, and a store was tried.
fn shared<F: Frames, B: Backing>(
    frames: &F,
    vma: &Vma<B>,
    backing: &B,
    page: VirtAddr,
    access: Access,
) -> Result<Found, FaultError> {
    let index = vma.index(page);
    match (backing.page(index), access) {
        (PageOf::Beyond, _) => Err(FaultError::Beyond),
        (PageOf::Poisoned, _) => Err(FaultError::Poisoned),
        (PageOf::Frame(frame), Access::Write) if backing.may_store(index, PageCount::new(1)) => {
            Ok(Found { frame, owner: Owner::Other, rights: Attributes::shared(vma.prot) })
        }
        (PageOf::Frame(frame), Access::Read | Access::Exec) => Ok(Found::new(frame, Owner::Other, vma.prot)),
        (PageOf::Zero, Access::Read | Access::Exec) => Ok(Found::new(frames.zero_page(), Owner::Other, vma.prot)),
        _ => Err(FaultError::Unprepared),
    }
}

/// A page is there. Either the tables allow the access by now, or this is the first store to it (`do_wp_page`).
fn touch_again<F: Frames, U: Mmu, B: Backing>(
    tables: &mut Tables<F, U>,
    at: &Faulting<'_, B>,
    page: VirtAddr,
    leaf: Leaf,
    access: Access,
) -> Result<Owner, FaultError> {
    let vma = at.vma;
    if !leaf.desc.is_valid() {
        return Err(FaultError::Denied);
    }
    let rights = leaf.desc.attributes();
    if access != Access::Write || rights.writable() {
        // `pte_mkyoung`: what the hardware does where it can.
        if !rights.is_young() {
            tables.protect(leaf_range(&leaf)?, |_, _| Some(rights.young()))?;
        }
        return Ok(leaf.desc.owner());
    }
    if rights.may_store() {
        // `pte_mkdirty`: the same. No clean page of a file is writable that the file has not allowed.
        tables.protect(leaf_range(&leaf)?, |_, _| Some(Attributes::shared(vma.prot)))?;
        return Ok(leaf.desc.owner());
    }
    if leaf.level != Level::Pte && leaf.desc.owner() == Owner::Tree {
        let whole = rights_of(tables.frames(), vma.prot, &leaf);
        if whole.writable() {
            tables.protect(leaf_range(&leaf)?, |_, _| Some(whole))?;
            return Ok(Owner::Tree);
        }
    }
    if super::huge::store_to_block(tables, vma, &leaf)? {
        return Ok(Owner::Other);
    }
    let frames = tables.frames();
    let old = leaf.translate(page).pfn();
    let found = match &vma.kind {
        Kind::Shared(backing) => shared(frames, vma, backing, page, access)?,
        _ if leaf.desc.owner() == Owner::Tree && exclusive(frames, &leaf, old) => {
            Found::new(old, Owner::Tree, vma.prot)
        }
        _ if old == frames.zero_page() => Found::new(at.zeroed(frames, page)?, Owner::Tree, vma.prot),
        _ => Found::new(at.copied(frames, old, page)?, Owner::Tree, vma.prot),
    };
    if found.frame == old {
        // `wp_page_reuse`, `wp_page_shared`: the same page, which may be written from now on.
        let rights = found.rights;
        tables.protect(span_of(page)?, |_, _| Some(rights))?;
        return Ok(found.owner);
    }
    match tables.replace_page(page, found.frame, found.rights, found.owner) {
        Ok(Some(old)) => tables.free_leaf(old.level, old.desc),
        Ok(None) => {}
        Err(_) => {
            if found.owner == Owner::Tree {
                page::unmapped(tables.frames(), found.frame);
            }
            return Err(FaultError::OutOfMemory);
        }
    }
    Ok(found.owner)
}

/// Whether nobody else has `frame`, which `leaf` maps, by itself or in a block.
fn exclusive<F: Frames>(frames: &F, leaf: &Leaf, frame: Pfn) -> bool {
    page::exclusive(frames, frame) && (leaf.level == Level::Pte || page::block_mapped_once(frames, leaf.desc.pfn()))
}

/// The addresses of a leaf.
fn leaf_range(leaf: &Leaf) -> Result<VirtRange, FaultError> {
    VirtRange::with_len(leaf.va, ByteLen::new(leaf.level.size())).ok_or(FaultError::Unmapped)
}

/// The addresses of one page.
fn span_of(page: VirtAddr) -> Result<VirtRange, FaultError> {
    VirtRange::with_len(page, ByteLen::new(PAGE_SIZE)).ok_or(FaultError::Unmapped)
}
