//! `validate_mm`: what must hold between any two calls.

use alloc::vec::Vec;

use units::VirtAddr;

use super::protect::rights;
use super::{AddressSpace, MAX_MAP_COUNT, MMAP_MIN_ADDR, TASK_SIZE};
use crate::desc::{Attributes, Owner, Prot};
use crate::seams::{Backing, Frames, Mmu};
use crate::table::Leaf;
use crate::vma::VmaFlags;

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Panics where the tree of VMAs or that of tables is not what it must be, or where a
    /// page allows what its VMA does not.
    pub fn validate(&self) {
        self.vmas.validate();
        assert!(self.map_count() <= MAX_MAP_COUNT + 1);
        let (mut total, mut locked) = (0, 0);
        for vma in self.vmas() {
            assert!(vma.start().get() >= MMAP_MIN_ADDR && vma.end().get() <= TASK_SIZE, "{:?}", vma.range());
            if vma.has_anon() {
                assert!(!vma.kind().is_shared() && !vma.kind().is_peek(), "{:?}: a page of its own", vma.range());
            } else {
                assert!(vma.shift == 0 || vma.backing().is_none(), "{:?}: pages were moved", vma.range());
            }
        }
        for vma in self.vmas() {
            total += vma.pages().get();
            locked += if vma.flags().contains(VmaFlags::LOCKED) { vma.pages().get() } else { 0 };
        }
        let moved: Vec<_> = self.vmas().filter(|vma| vma.shift != 0).map(|vma| self.moved_mapper(vma)).collect();
        assert_eq!(moved.len(), self.moved.len(), "what was moved");
        for mapper in moved {
            let mut known = false;
            self.moved.showing(mapper.first, mapper.count, |other| known |= other == mapper);
            assert!(known, "{mapper:?} is not in the index of what was moved");
        }
        assert_eq!((total, locked), (self.total, self.locked), "total_vm, locked_vm");
        self.tables.each_leaf(&mut |leaf| self.validate_leaf(leaf));
    }

    fn validate_leaf(&self, leaf: Leaf) {
        let last = VirtAddr::new(leaf.va.get() + (leaf.level.size() - 1));
        let vma = self.find_vma(leaf.va).filter(|vma| vma.range().contains(leaf.va) && vma.range().contains(last));
        let Some(vma) = vma else { panic!("{}: a page no VMA knows", leaf.va) };
        assert!(vma.touched, "{}: a page of a VMA that is said to have none", leaf.va);
        let own = leaf.desc.owner() == Owner::Tree;
        assert!(!own || vma.has_anon(), "{}: a page of a VMA without an anon_vma", leaf.va);
        if vma.prot() == Prot::empty() {
            assert!(!leaf.desc.is_valid(), "{}: a page that may not be touched can be", leaf.va);
        } else {
            assert!(leaf.desc.is_valid(), "{}: a page that may be touched cannot be", leaf.va);
            // What the hardware notes by itself is left out: touched, and of what has DBM, dirty.
            let attributes = leaf.desc.attributes().young();
            let store = vma.kind().is_shared() && attributes.clean() == Attributes::shared(vma.prot()).clean();
            // Shared with a forked space, or with one that was.
            let shared = leaf.desc.owner() == Owner::Tree && attributes == rights(vma.prot(), Owner::Other);
            assert!(store || shared || attributes == rights(vma.prot(), leaf.desc.owner()), "{}", leaf.va);
        }
    }
}
