//! Which pages of shared files a program has stored to (`folio_mkclean`), and which pages it has touched.

use units::{PAGE_SHIFT, VirtRange};

use super::AddressSpace;
use crate::desc::Owner;
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::vma::Kind;

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Tells `each` which pages of shared files in `range` were stored to since they were last clean: the file, the first
    /// page, and how many follow it. They are clean in the tables when this returns, and the next store will be seen, by the
    /// hardware or by a fault; their descriptors say dirty until the file clears them. What `msync` does before the file is
    /// told.
    ///
    /// # Errors
    /// [`OutOfMemory`] to split a block at an end of the range; nothing has changed then.
    pub fn clean(&mut self, range: VirtRange, mut each: impl FnMut(&B, u64, u64)) -> Result<(), OutOfMemory> {
        let mut at = self.first_in(range.start().get(), range.end().get());
        while let Some(this) = at {
            let vma = self.vmas.vma(this);
            let Some(part) = vma.range().intersection(range) else { break };
            at = self.vmas.next(this);
            let Kind::Shared(file) = &vma.kind else { continue };
            if !vma.touched || vma.prot.is_empty() {
                continue;
            }
            self.tables.protect(part, |_, leaf| {
                let rights = leaf.desc.attributes();
                if !rights.is_dirty() {
                    return Some(rights);
                }
                each(file, vma.index(leaf.va), leaf.pages().get());
                Some(rights.clean())
            })?;
        }
        Ok(())
    }

    /// Tells `each` of every page in `range` whether it was touched since it was last asked after, and makes it old
    /// (`page_referenced`). In pages, from the page number of the first address.
    ///
    /// # Errors
    /// As [`clean`](Self::clean).
    pub fn age(&mut self, range: VirtRange, mut each: impl FnMut(u64, bool)) -> Result<(), OutOfMemory> {
        let mut at = self.first_in(range.start().get(), range.end().get());
        while let Some(this) = at {
            let vma = self.vmas.vma(this);
            let Some(part) = vma.range().intersection(range) else { break };
            at = self.vmas.next(this);
            if !vma.touched || vma.prot.is_empty() || vma.kind.is_peek() {
                continue;
            }
            self.tables.protect(part, |_, leaf| {
                let rights = leaf.desc.attributes();
                each(leaf.va.get() >> PAGE_SHIFT, rights.is_young());
                Some(rights.old())
            })?;
        }
        Ok(())
    }

    /// What `smaps` says of the VMAs that share an address with `range`, together.
    pub fn counts(&self, range: VirtRange) -> Counts {
        let mut counts = Counts::default();
        let mut at = self.first_in(range.start().get(), range.end().get());
        while let Some(this) = at {
            let vma = self.vmas.vma(this);
            let Some(part) = vma.range().intersection(range) else { break };
            at = self.vmas.next(this);
            let pages = part.len().get() >> PAGE_SHIFT;
            counts.size += pages;
            if vma.flags().contains(crate::vma::VmaFlags::LOCKED) {
                counts.locked += pages;
            }
            let mut from = part.start();
            while let Some(leaf) = self.tables.next_leaf(from, part.end()) {
                self.count_leaf(&leaf, &mut counts);
                from = units::VirtAddr::new(leaf.va.get() + leaf.level.size());
            }
        }
        counts
    }

    fn count_leaf(&self, leaf: &crate::table::Leaf, counts: &mut Counts) {
        let frames = self.tables.frames();
        let pages = leaf.pages().get();
        let rights = leaf.desc.attributes();
        if leaf.desc.owner() == Owner::Other && leaf.desc.pfn() == frames.zero_page() {
            return;
        }
        counts.rss += pages;
        if rights.is_young() {
            counts.referenced += pages;
        }
        if leaf.level != crate::desc::Level::Pte {
            counts.huge += pages;
        }
        if leaf.desc.owner() == Owner::Other {
            counts.file += pages;
            if rights.is_dirty() {
                counts.file_dirty += pages;
            }
            return;
        }
        counts.anonymous += pages;
        let first = leaf.desc.pfn().get();
        for frame in (first..first + pages).map(units::Pfn::new) {
            let sharers = crate::page::mappers(frames, frame);
            if sharers > 1 {
                counts.shared += 1;
            }
            counts.proportional += (1 << Counts::FRACTION) / u64::from(sharers);
        }
    }
}

/// Pages of a range by what they are: what `/proc/self/smaps` has a line each for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// `Size`: pages of addresses.
    pub size: u64,
    /// `Rss`: pages mapped, zeros not counted.
    pub rss: u64,
    /// `Referenced`: of these, touched since they were made or made old.
    pub referenced: u64,
    /// `Anonymous`: of these, the program's own.
    pub anonymous: u64,
    /// Of the program's own, shared with a forked one (`Shared_Dirty`); the rest is `Private_Dirty`.
    pub shared: u64,
    /// Of `rss`, pages of files: `Shared_Clean` or `Shared_Dirty`, as [`file_dirty`](Self::file_dirty) says.
    pub file: u64,
    /// Of those, stored to since they were clean.
    pub file_dirty: u64,
    /// `AnonHugePages`, `FilePmdMapped`: of `rss`, in blocks.
    pub huge: u64,
    /// `Locked`: pages of addresses that are locked.
    pub locked: u64,
    /// The program's share of its own pages, in parts of 2^[`FRACTION`](Self::FRACTION) of a page (`Pss_Anon`).
    pub proportional: u64,
}

impl Counts {
    /// Bits behind the point in `proportional` (`PSS_SHIFT`).
    pub const FRACTION: u32 = 12;
}
