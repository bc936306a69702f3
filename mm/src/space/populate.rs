//! `mm_populate`: touching pages before the program does.

use units::{PAGE_SIZE, VirtAddr, VirtRange};

use super::fault::touch;
use super::{Access, AddressSpace, FaultError};
use crate::desc::Prot;
use crate::seams::{Backing, Frames, Mmu};

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Touches every page of `range` that a VMA shows: with a store where it may be written, else with a load. Stops at
    /// the first that cannot be had; `MAP_POPULATE` ignores that. What no VMA shows, or may not be read, is passed over.
    pub fn populate(&mut self, range: VirtRange) -> Result<(), FaultError> {
        let mut at = self.vmas.find(range.start().get());
        while let Some(this) = at {
            let vma = self.vmas.vma(this);
            let Some(part) = range.intersection(vma.range()) else { break };
            at = self.vmas.next(this);
            if vma.prot.is_empty() {
                continue;
            }
            self.vmas.vma_mut(this).touched = true;
            let vma = self.vmas.vma(this);
            let access = if vma.prot.contains(Prot::WRITE) { Access::Write } else { Access::Read };
            let mut page = part.start().align_down(PAGE_SIZE);
            while page < part.end() {
                touch(&mut self.tables, vma, page, access)?;
                page = VirtAddr::new(page.get() + PAGE_SIZE);
            }
        }
        Ok(())
    }
}
