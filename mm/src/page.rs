//! What is known of one page of memory (`struct page`): a frame of the kernel's, or a block of a file on pmem.
//!
//! A frame that a space was given has one count for each leaf that maps it, and one for each [`PageRef`]; it goes back to
//! [`Frames`] with the last of them. A block of a file has no count of its own: a count that is not 0 says that somebody
//! holds it, and the file system does not use it for anything else until that is over.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use units::Pfn;

use crate::desc::Level;
use crate::seams::Frames;

bitflags::bitflags! {
    /// The state of a page (`PG_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct PageFlags: u32 {
        /// `PG_locked`: somebody works on it, and nobody else may.
        const LOCKED = 1;
        /// `PG_dirty`: stored to since it was last made durable.
        const DIRTY = 1 << 1;
        /// `PG_referenced`: used lately.
        const REFERENCED = 1 << 2;
        /// `PG_active`: used twice lately.
        const ACTIVE = 1 << 3;
        /// `PG_mlocked`: locked memory of somebody.
        const MLOCKED = 1 << 4;
        /// Taken from [`Frames`], to which it goes back with the last count.
        const FRAME = 1 << 5;
        /// `PAGE_MAPPING_ANON`: `mapping` is a family of spaces, not a file.
        const ANON = 1 << 6;
    }
}

/// The descriptor of one page. All of it may change while it is looked at.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Page {
    count: AtomicU32,
    map_count: AtomicU32,
    flags: AtomicU32,
    /// Of the first frame of a block: leaves of level 2 that map all of it (`compound_mapcount`). However many they are, each
    /// of its frames has one count and one map count for all of them together: a fork of a block looks at this word alone.
    blocks: AtomicU32,
    mapping: AtomicU64,
    index: AtomicU64,
}

const _: () = assert!(size_of::<Page>() == 32);

/// Whose page it is (`page->mapping`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapping {
    /// Nobody's.
    None,
    /// A page of a program: the [`AnonVma`](crate::anon::AnonVma) with this number knows the spaces that may map it.
    Anon(u64),
    /// A page of the file with this number.
    File(u64),
}

impl Page {
    /// Nobody's page.
    pub const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            map_count: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            blocks: AtomicU32::new(0),
            mapping: AtomicU64::new(0),
            index: AtomicU64::new(0),
        }
    }

    /// `page_count`.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Leaves that map it; those of the block it is part of count as one ([`mappers`]).
    pub fn map_count(&self) -> u32 {
        self.map_count.load(Ordering::Relaxed)
    }

    /// What state it is in.
    pub fn flags(&self) -> PageFlags {
        PageFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whose page it is.
    pub fn mapping(&self) -> Mapping {
        match self.mapping.load(Ordering::Relaxed) {
            0 => Mapping::None,
            family if self.flags().contains(PageFlags::ANON) => Mapping::Anon(family),
            file => Mapping::File(file),
        }
    }

    /// Its number there (`page->index`).
    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// Says whose page it is. The caller is the only one who knows it, or has it locked.
    pub fn set_mapping(&self, mapping: Mapping, index: u64) {
        let (number, anon) = match mapping {
            Mapping::None => (0, false),
            Mapping::Anon(family) => (family, true),
            Mapping::File(file) => (file, false),
        };
        self.mapping.store(number, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
        if anon {
            self.set(PageFlags::ANON)
        } else {
            self.clear(PageFlags::ANON)
        };
    }

    /// A block of the file `number`, found at `index` in it. Blocks change hands without a word to their descriptors, which learn
    /// whose they are from who looks at them.
    pub(crate) fn show_in(&self, number: u64, index: u64) {
        if number != 0 && (self.mapping(), self.index()) != (Mapping::File(number), index) {
            self.set_mapping(Mapping::File(number), index);
        }
    }

    /// A frame fresh from [`Frames`], for one leaf of a program's.
    pub(crate) fn born(&self, mapping: Mapping, index: u64) {
        let Mapping::Anon(family) = mapping else { return self.set_mapping(mapping, index) };
        self.flags.store((PageFlags::FRAME | PageFlags::ANON).bits(), Ordering::Relaxed);
        self.mapping.store(family, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
        self.map_count.store(1, Ordering::Relaxed);
        self.count.store(1, Ordering::Release);
    }

    /// A fresh frame that no leaf maps yet: its holder has the one count.
    pub fn born_unmapped(&self, mapping: Mapping, index: u64) {
        self.flags.store(PageFlags::FRAME.bits(), Ordering::Relaxed);
        self.set_mapping(mapping, index);
        self.map_count.store(0, Ordering::Relaxed);
        self.count.store(1, Ordering::Release);
    }

    /// `get_page`: one more who holds it. The caller holds it already, or a lock under which it cannot go.
    pub fn get_page(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// `put_page` without what follows: whether that was the last who held it.
    fn drop_count(&self) -> bool {
        if self.count.load(Ordering::Acquire) == 1 {
            // Nobody else holds it who could pass it on.
            self.count.store(0, Ordering::Relaxed);
            return true;
        }
        self.count.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// `page_add_rmap`, with a count: one more leaf maps it.
    pub(crate) fn map(&self) {
        self.get_page();
        self.map_count.fetch_add(1, Ordering::Relaxed);
    }

    /// `page_remove_rmap`: one leaf less maps it. Its count stays.
    fn unmap(&self) {
        if self.map_count.load(Ordering::Relaxed) == 1 {
            self.map_count.store(0, Ordering::Relaxed);
        } else {
            self.map_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// `trylock_page`: takes the page's lock, if nobody has it.
    pub fn trylock_page(&self) -> bool {
        let old = self.flags.fetch_or(PageFlags::LOCKED.bits(), Ordering::Acquire);
        old & PageFlags::LOCKED.bits() == 0
    }

    /// `unlock_page`, by who locked it.
    pub fn unlock_page(&self) {
        self.flags.fetch_and(!PageFlags::LOCKED.bits(), Ordering::Release);
    }

    /// `set_page_dirty`. Answers whether it was clean.
    pub fn set_page_dirty(&self) -> bool {
        !self.set(PageFlags::DIRTY).contains(PageFlags::DIRTY)
    }

    /// `clear_page_dirty_for_io`. Answers whether it was dirty.
    pub fn clear_page_dirty(&self) -> bool {
        self.clear(PageFlags::DIRTY).contains(PageFlags::DIRTY)
    }

    /// `mark_page_accessed`: used; used again, active.
    pub fn mark_page_accessed(&self) {
        if !self.flags().contains(PageFlags::REFERENCED) {
            self.set(PageFlags::REFERENCED);
        } else if !self.flags().contains(PageFlags::ACTIVE) {
            self.set(PageFlags::ACTIVE);
            self.clear(PageFlags::REFERENCED);
        }
    }

    /// `mlock_vma_page`.
    pub(crate) fn set_mlocked(&self) {
        self.set(PageFlags::MLOCKED);
    }

    fn set(&self, flags: PageFlags) -> PageFlags {
        PageFlags::from_bits_retain(self.flags.fetch_or(flags.bits(), Ordering::Relaxed))
    }

    fn clear(&self, flags: PageFlags) -> PageFlags {
        PageFlags::from_bits_retain(self.flags.fetch_and(!flags.bits(), Ordering::Relaxed))
    }
}

/// One leaf that mapped `frame`, and had a count on it, is out of every TLB. The frame goes with the last count.
#[inline]
pub(crate) fn unmapped<F: Frames>(frames: &F, frame: Pfn) {
    match frames.page(frame) {
        Some(page) => {
            page.unmap();
            put(frames, frame, page);
        }
        None => frames.free(frame),
    }
}

/// Shows `each` the descriptors of the frames of a block of level 2, one after the other.
fn of_block<F: Frames>(frames: &F, first: Pfn, mut each: impl FnMut(Option<&Page>)) {
    let count = Level::Pmd.pages();
    match frames.pages(first, count) {
        Some(pages) => pages.iter().for_each(|page| each(Some(page))),
        None => (first.get()..first.get() + count.get()).for_each(|frame| each(frames.page(Pfn::new(frame)))),
    }
}

/// The frames of a block, fresh from [`Frames::alloc_huge`], for one leaf of level 2: pages `index` and what follow of `mapping`.
pub(crate) fn block_born<F: Frames>(frames: &F, first: Pfn, mapping: Mapping, mut index: u64) {
    of_block(frames, first, |page| {
        if let Some(page) = page {
            page.born(mapping, index);
        }
        index = index.wrapping_add(1);
    });
    if let Some(head) = frames.page(first) {
        head.blocks.store(1, Ordering::Relaxed);
    }
}

/// One more leaf of level 2 maps a block that the caller's tables map. `false` where it has no descriptor to count by.
pub(crate) fn block_mapped<F: Frames>(frames: &F, first: Pfn) -> bool {
    let head = frames.page(first);
    if let Some(head) = head {
        head.blocks.fetch_add(1, Ordering::Relaxed);
    }
    head.is_some()
}

/// The same as [`unmapped`] for a leaf of level 2, all of whose frames are the tree's. The last such leaf lets go of the frames:
/// together, where nobody else has one of them.
pub(crate) fn block_unmapped<F: Frames>(frames: &F, first: Pfn) {
    if frames.page(first).is_some_and(|head| head.blocks.fetch_sub(1, Ordering::AcqRel) > 1) {
        return;
    }
    let (mut kept, mut n) = ([0u64; 8], 0);
    of_block(frames, first, |page| {
        let last = page.is_none_or(|page| {
            page.unmap();
            page.drop_count()
        });
        if !last {
            kept[n / 64] |= 1 << (n % 64);
        }
        n += 1;
    });
    if kept == [0; 8] {
        return frames.free_huge(first);
    }
    let free = (0..512).filter(|n| kept[*n as usize / 64] >> (n % 64) & 1 == 0);
    free.for_each(|n| frames.free(Pfn::new(first.get() + n)));
}

/// A leaf of level 2 becomes leaves of its pages (`__split_huge_pmd`): each of these has counts of its own.
pub(crate) fn block_split<F: Frames>(frames: &F, first: Pfn) {
    let Some(head) = frames.page(first) else { return };
    if head.blocks.load(Ordering::Acquire) == 1 {
        // Nobody else maps the block, so nobody can share it meanwhile: what was for all such leaves is the pages' from now on.
        head.blocks.store(0, Ordering::Relaxed);
        return;
    }
    of_block(frames, first, |page| page.into_iter().for_each(Page::map));
    block_unmapped(frames, first);
}

/// The reverse of [`block_split`].
pub(crate) fn block_collapsed<F: Frames>(frames: &F, first: Pfn) {
    let Some(head) = frames.page(first) else { return };
    let one_more = |blocks: u32| (blocks > 0).then_some(blocks + 1);
    if head.blocks.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
        head.blocks.store(1, Ordering::Relaxed);
        return;
    }
    of_block(frames, first, |page| {
        if let Some(page) = page {
            page.unmap();
            page.drop_count();
        }
    });
}

/// Whether no other leaf of level 2 maps the block that the caller's tables map.
pub(crate) fn block_mapped_once<F: Frames>(frames: &F, first: Pfn) -> bool {
    frames.page(first).is_none_or(|head| head.blocks.load(Ordering::Acquire) <= 1)
}

/// Whether nobody else has any frame of the block that the caller's tables map.
pub(crate) fn block_exclusive<F: Frames>(frames: &F, first: Pfn) -> bool {
    let mut exclusive = block_mapped_once(frames, first);
    if exclusive {
        of_block(frames, first, |page| exclusive &= page.is_none_or(|page| page.count() == 1));
    }
    exclusive
}

/// Leaves that map `frame`, by itself or in a block (`folio_mapcount`); one, where it has no descriptor.
pub fn mappers<F: Frames>(frames: &F, frame: Pfn) -> u32 {
    let Some(page) = frames.page(frame) else { return 1 };
    let head = Pfn::new(frame.get() & !(Level::Pmd.pages().get() - 1));
    let blocks = frames.page(head).map_or(0, |head| head.blocks.load(Ordering::Relaxed));
    (page.map_count() + blocks.saturating_sub(1)).max(1)
}

/// `put_page`.
#[inline]
pub(crate) fn put<F: Frames>(frames: &F, frame: Pfn, page: &Page) {
    if page.drop_count() && page.flags().contains(PageFlags::FRAME) {
        frames.free(frame);
    }
}

/// Lets go of `frame`, of which the caller has the count that [`Page::born_unmapped`] gave: it goes back to [`Frames`], with
/// the last who holds it. No leaf maps it any more.
pub fn put_frame<F: Frames>(frames: &F, frame: Pfn) {
    match frames.page(frame) {
        Some(page) => put(frames, frame, page),
        None => frames.free(frame),
    }
}

/// Whether nobody else has `frame`, so that who maps it may write it (`wp_can_reuse_anon_folio`).
pub(crate) fn exclusive<F: Frames>(frames: &F, frame: Pfn) -> bool {
    frames.page(frame).is_none_or(|page| page.count() == 1)
}

/// A page that somebody holds (`FOLL_GET`): it stays what it is until this is dropped.
#[must_use = "dropped, the page may go at once"]
#[derive(Debug)]
pub struct PageRef<F: Frames> {
    frames: F,
    frame: Pfn,
}

impl<F: Frames> PageRef<F> {
    /// Takes a count on `frame`, which cannot go meanwhile; `None` for what has no descriptor.
    pub(crate) fn get(frames: F, frame: Pfn) -> Option<Self> {
        frames.page(frame)?.get_page();
        Some(Self { frames, frame })
    }

    /// Which page it is.
    pub fn frame(&self) -> Pfn {
        self.frame
    }

    /// Its descriptor.
    pub fn page(&self) -> Option<&Page> {
        self.frames.page(self.frame)
    }
}

impl<F: Frames> Drop for PageRef<F> {
    fn drop(&mut self) {
        if let Some(page) = self.frames.page(self.frame) {
            put(&self.frames, self.frame, page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_lock_of_a_page() {
        let page = Page::new();
        assert!(page.trylock_page());
        assert!(!page.trylock_page());
        page.unlock_page();
        assert!(page.trylock_page());
    }

    #[test]
    fn a_page_is_dirty_once_and_active_when_used_twice() {
        let page = Page::new();
        assert!(page.set_page_dirty() && !page.set_page_dirty());
        assert!(page.clear_page_dirty() && !page.clear_page_dirty());
        page.mark_page_accessed();
        assert_eq!(page.flags(), PageFlags::REFERENCED);
        page.mark_page_accessed();
        assert_eq!(page.flags(), PageFlags::ACTIVE);
    }

    #[test]
    fn a_page_says_whose_it_is() {
        let page = Page::new();
        assert_eq!(page.mapping(), Mapping::None);
        page.set_mapping(Mapping::File(7), 3);
        assert_eq!((page.mapping(), page.index()), (Mapping::File(7), 3));
        page.born(Mapping::Anon(9), 4);
        assert_eq!((page.mapping(), page.index()), (Mapping::Anon(9), 4));
        assert_eq!((page.count(), page.map_count()), (1, 1));
        page.map();
        assert_eq!((page.count(), page.map_count()), (2, 2));
    }
}
