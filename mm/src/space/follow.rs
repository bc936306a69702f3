//! `follow_page`: the page behind an address of a program, without touching it.

use units::{Pfn, VirtAddr};

use super::AddressSpace;
use crate::desc::{Level, Owner};
use crate::page::{Page, PageRef};
use crate::seams::{Backing, Frames, Mmu};
use crate::vma::VmaFlags;

bitflags::bitflags! {
    /// What the caller wants of the page (`FOLL_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Follow: u32 {
        /// `FOLL_WRITE`: only if a store would succeed as things are.
        const WRITE = 1;
        /// `FOLL_GET`: with a reference, so that it stays.
        const GET = 1 << 1;
        /// `FOLL_TOUCH`: mark it used, and dirty with `WRITE`.
        const TOUCH = 1 << 2;
        /// `FOLL_SPLIT`: a block is made into pages first.
        const SPLIT = 1 << 3;
        /// `FOLL_MLOCK`: mark it locked, if its VMA is.
        const MLOCK = 1 << 4;
        /// `FOLL_DUMP`: nothing where nothing was written: an untouched page and the page of zeros are refused.
        const DUMP = 1 << 5;
    }
}

/// `EFAULT`: something is there, but no page that could be handed out; or with [`Follow::DUMP`], nothing worth a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPage;

/// The page behind an address.
#[derive(Debug)]
pub struct Followed<F: Frames> {
    /// The frame, of 4 KiB also inside a block.
    pub frame: Pfn,
    /// At which level of the tables it is mapped.
    pub level: Level,
    /// The reference of [`Follow::GET`].
    pub page: Option<PageRef<F>>,
}

impl<F: Frames + Clone, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// The page behind `va`, or `None` where none is mapped, or none that would do.
    ///
    /// # Errors
    /// [`NoPage`]. A block that cannot be split for want of memory is `None`, as a page that is being made.
    pub fn follow_page(&mut self, va: VirtAddr, flags: Follow) -> Result<Option<Followed<F>>, NoPage> {
        let Some(vma) = self.find_vma(va).filter(|vma| vma.start() <= va) else { return Ok(None) };
        let (locked, anonymous) = (vma.flags().contains(VmaFlags::LOCKED), vma.backing().is_none());
        let (number, index) = (vma.backing().map_or(0, Backing::number), vma.index(va));
        if flags.contains(Follow::SPLIT) && self.tables.split_to_page(va).is_err() {
            return Ok(None);
        }
        let Some(leaf) = self.tables.walk(va) else {
            // `no_page_table`.
            return if flags.contains(Follow::DUMP) && anonymous { Err(NoPage) } else { Ok(None) };
        };
        if !leaf.desc.is_valid() || flags.contains(Follow::WRITE) && !leaf.desc.attributes().may_store() {
            return Ok(None);
        }
        let frame = leaf.translate(va).pfn();
        let frames = self.tables.frames();
        if flags.contains(Follow::DUMP) && leaf.desc.owner() == Owner::Other && frame == frames.zero_page() {
            return Err(NoPage);
        }
        let page = frames.page(frame).ok_or(NoPage)?;
        if leaf.desc.owner() == Owner::Other {
            page.show_in(number, index);
        }
        mark(page, flags, locked);
        let page = if flags.contains(Follow::GET) { PageRef::get(frames.clone(), frame) } else { None };
        Ok(Some(Followed { frame, level: leaf.level, page }))
    }
}

fn mark(page: &Page, flags: Follow, locked: bool) {
    if flags.contains(Follow::TOUCH) {
        if flags.contains(Follow::WRITE) {
            page.set_page_dirty();
        }
        page.mark_page_accessed();
    }
    // As Linux: whoever works on the page will mark it.
    if flags.contains(Follow::MLOCK) && locked && page.trylock_page() {
        page.set_mlocked();
        page.unlock_page();
    }
}

/// `find_get_page`: the page of a file that holds page `index` of it, with a reference; `None` for holes, and where the
/// memory has no descriptors.
pub fn find_get_page<F: Frames, B: Backing>(frames: F, file: &B, index: u64) -> Option<PageRef<F>> {
    match file.page(index) {
        crate::seams::PageOf::Frame(frame) => {
            frames.page(frame)?.show_in(file.number(), index);
            PageRef::get(frames, frame)
        }
        _ => None,
    }
}
