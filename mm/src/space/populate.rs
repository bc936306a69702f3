//! `mm_populate`: touching pages before the program does.

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::fault::{Faulting, touch};
use super::{Access, AddressSpace, FaultError};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu};
use crate::tree::At;
use crate::vma::VmaFlags;

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Touches every page of `range` that a VMA shows: with a store where it is private and may be written, else with a
    /// load. Stops at the first that cannot be had: `mlock` fails then, the other calls go on behind its VMA. What no VMA
    /// shows, or is locked only on faults, is passed over. Memory without any right is [`FaultError::Denied`].
    ///
    /// # Errors
    /// Where it stopped, and why. Where the file has to be asked first, the caller does, and goes on from there.
    pub fn populate(&mut self, range: VirtRange) -> Result<(), (VirtAddr, FaultError)> {
        let mut at = self.vmas.find(range.start().get());
        while let Some(this) = at {
            let Some(part) = range.intersection(self.vmas.vma(this).range()) else { break };
            at = self.vmas.next(this);
            self.populate_part(this, part)?;
        }
        Ok(())
    }

    /// `populate_vma_page_range`: `part` lies in the VMA at `at`.
    fn populate_part(&mut self, at: At, part: VirtRange) -> Result<(), (VirtAddr, FaultError)> {
        let vma = self.vmas.vma_mut(at);
        if vma.flags.contains(VmaFlags::LOCK_ON_FAULT) {
            return Ok(());
        }
        if vma.prot.is_empty() {
            return Err((part.start(), FaultError::Denied));
        }
        // A shared page is not made dirty before its time.
        let store = vma.prot.contains(Prot::WRITE) && !vma.kind.is_shared();
        let access = if store { Access::Write } else { Access::Read };
        vma.touched = true;
        if store && vma.anon.is_none() {
            self.anon_vma_prepare(at);
        }
        let mut page = part.start().align_down(PAGE_SIZE);
        while page < part.end() {
            let faulting = Faulting { vma: self.vmas.vma(at), family: self.family.mapping() };
            touch(&mut self.tables, &faulting, page, access).map_err(|error| (page, error))?;
            page = VirtAddr::new(page.get() + PAGE_SIZE);
        }
        Ok(())
    }
}
