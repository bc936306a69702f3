//! `dup_mm`: a second space that shows the same, until one of the two writes.

use alloc::sync::Arc;

use super::AddressSpace;
use crate::anon::Anon;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory, SpaceId, Whose};
use crate::table::Copying;
use crate::tree::At;
use crate::vma::{Vma, VmaFlags};

impl<F: Frames + Clone, U: Mmu + Clone, B: Backing> AddressSpace<F, U, B> {
    /// `dup_mmap`: the space of a forked child, known to the TLB as `whose`. Pages of the program's own are shared read-only and
    /// counted; the first store of either side copies ([`fault`](Self::fault)). Peeks are complete in the child too. Other
    /// pages of files are left to faults. Nothing is locked in the child.
    ///
    /// # Errors
    /// [`OutOfMemory`], also of promises. The parent is as before, but for entries that a store will find read-only.
    pub fn fork(&mut self, whose: impl Into<Whose>) -> Result<Self, OutOfMemory> {
        let mut child = Self::new(self.tables.frames().clone(), self.tables.mmu().clone(), whose)?;
        child.join(&self.family)?;
        child.layout = self.layout;
        child.limits = self.limits;
        (child.start_brk, child.brk, child.peeks) = (self.start_brk, self.brk, self.peeks);
        child.start_stack = self.start_stack;
        child.vmas.reserve(self.map_count())?;
        let mut copying = Copying::new(self.family.mapping());
        let mut done = Ok(());
        let mut at = self.vmas.first();
        while let (Some(this), Ok(())) = (at, done) {
            done = self.copy_vma_to(&mut child, this, &mut copying);
            at = self.vmas.next(this);
        }
        // Also where it failed: the child gives back what it shares, and no TLB may disagree with the parent's tables.
        self.tables.finish_copy(copying);
        done.map(|()| child)
    }

    fn copy_vma_to(&mut self, child: &mut Self, at: At, copying: &mut Copying) -> Result<(), OutOfMemory> {
        let vma = self.vmas.vma(at);
        if vma.flags.contains(VmaFlags::DONT_FORK) {
            return Ok(());
        }
        let range = vma.range();
        let wiped = vma.flags.contains(VmaFlags::WIPE_ON_FORK);
        // `vma_needs_copy`.
        let copied = vma.touched && (vma.has_anon() || vma.kind.is_peek()) && !wiped;
        let flags = vma.flags - VmaFlags::LOCKS;
        let anon = vma.anon.filter(|_| !wiped).map(|_| {
            child.anons += 1;
            Anon::inherited(child.anons)
        });
        let (pages, shift) = (vma.pages(), vma.shift);
        let copy = Vma { flags, touched: copied, anon, ..vma.clone() };
        if flags.contains(VmaFlags::ACCOUNT) {
            child.charge(pages.get())?;
        }
        if let Err(error) = child.vma_link(copy, None) {
            if flags.contains(VmaFlags::ACCOUNT) {
                child.tables.frames().commit().release(pages);
            }
            return Err(error);
        }
        child.count_in(flags, pages.get());
        copying.shift = shift;
        if copied { self.tables.copy_range(&mut child.tables, range, copying) } else { Ok(()) }
    }

    /// Becomes one of `family`, before it has any page.
    fn join(&mut self, family: &Arc<crate::anon::AnonVma>) -> Result<(), OutOfMemory> {
        let own: SpaceId = self.id;
        family.join(own)?;
        self.family.leave(own);
        self.family = family.clone();
        Ok(())
    }
}
