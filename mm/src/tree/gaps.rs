//! Searches for free addresses (`vm_unmapped_area`), top-down and bottom-up.
//!
//! A subtree whose widest gap is too small is not entered. One that has a gap wide enough is entered in vain only where
//! the limits of the search cut that gap, which happens along one path for each limit: O(log n).

use super::Tree;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes, at least one.
    pub(crate) len: u64,
    /// First address allowed.
    pub(crate) low: u64,
    /// First address not allowed any more.
    pub(crate) high: u64,
    /// The answer is `offset` modulo `align`, a power of two and at least a page; so is the search, like Linux's, that
    /// only a gap is considered in which every alignment fits: `len + align - PAGE_SIZE`.
    pub(crate) align: u64,
    /// See `align`.
    pub(crate) offset: u64,
}

impl Room {
    /// Bytes a gap must have to be considered, or `None` where that passes the end of 64 bits.
    fn need(&self) -> Option<u64> {
        self.len.checked_add(self.align - units::PAGE_SIZE)
    }

    /// `start..end` as far as the limits allow, if that is enough.
    fn clip(&self, start: u64, end: u64, need: u64) -> Option<(u64, u64)> {
        let (start, end) = (start.max(self.low), end.min(self.high));
        (start <= end && end - start >= need).then_some((start, end))
    }
}

impl<B> Tree<B> {
    /// The highest address at which there is room.
    pub(crate) fn highest(&self, room: &Room) -> Option<u64> {
        let need = room.need()?;
        let top = room.clip(self.floor_above(), u64::MAX, need);
        let (_, end) = top.or_else(|| self.highest_below(self.root, room, need))?;
        let at = end - room.len;
        Some(at - (at.wrapping_sub(room.offset) & (room.align - 1)))
    }

    /// The lowest address at which there is room.
    pub(crate) fn lowest(&self, room: &Room) -> Option<u64> {
        let need = room.need()?;
        let found = self.lowest_below(self.root, room, need);
        let (start, _) = found.or_else(|| room.clip(self.floor_above(), u64::MAX, need))?;
        Some(start + (room.offset.wrapping_sub(start) & (room.align - 1)))
    }

    /// Where the room above all VMAs begins.
    fn floor_above(&self) -> u64 {
        self.node(self.last).vma.guarded_end()
    }

    fn highest_below(&self, n: u32, room: &Room, need: u64) -> Option<(u64, u64)> {
        let node = self.node(n);
        if node.widest < need {
            return None;
        }
        if node.vma.guarded_end().saturating_add(need) <= room.high {
            let found = self.highest_below(node.right, room, need);
            if found.is_some() {
                return found;
            }
        }
        let floor = self.floor(n);
        let own = room.clip(floor, floor + node.gap, need);
        if own.is_some() || floor < room.low {
            return own;
        }
        self.highest_below(node.left, room, need)
    }

    fn lowest_below(&self, n: u32, room: &Room, need: u64) -> Option<(u64, u64)> {
        let node = self.node(n);
        if node.widest < need {
            return None;
        }
        let floor = self.floor(n);
        if floor > room.low {
            let found = self.lowest_below(node.left, room, need);
            if found.is_some() {
                return found;
            }
        }
        let own = room.clip(floor, floor + node.gap, need);
        if own.is_some() || node.vma.guarded_end() > room.high {
            return own;
        }
        self.lowest_below(node.right, room, need)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use units::{PAGE_SIZE, VirtAddr, VirtRange};

    use super::*;
    use crate::vma::{Kind, Peek, Vma, VmaFlags};

    /// The same answer by looking at every gap in turn.
    fn naive(tree: &Tree<()>, room: &Room, from_top: bool) -> Option<u64> {
        let need = room.need()?;
        let mut gaps = Vec::new();
        let mut floor = 0;
        for vma in tree.iter() {
            gaps.push((floor, vma.guarded_start()));
            floor = vma.guarded_end();
        }
        gaps.push((floor, u64::MAX));
        if from_top {
            gaps.reverse();
        }
        let (start, end) = gaps.into_iter().find_map(|(start, end)| room.clip(start, end, need))?;
        let fits = |at: &u64| at % room.align == room.offset;
        let last = end - room.len;
        let steps = (0..=room.align / PAGE_SIZE).map(|n| n * PAGE_SIZE);
        if from_top { steps.map(|s| last - s).find(fits) } else { steps.map(|s| start + s).find(fits) }
    }

    fn vma(start: u64, pages: u64, sort: u8) -> Vma<()> {
        let start = VirtAddr::new(start * PAGE_SIZE);
        let range = VirtRange::new(start, VirtAddr::new(start.get() + pages * PAGE_SIZE)).unwrap();
        let flags = if sort == 1 { VmaFlags::GROWS_DOWN } else { VmaFlags::empty() };
        let peek = Peek { pointer: start, end: range.end(), serial: 0 };
        let kind = if sort == 2 { Kind::Peek((), peek) } else { Kind::Anonymous };
        Vma { range, flags, kind, ..Vma::VACANT }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_search_finds_what_looking_at_every_gap_finds(
            steps in prop::collection::vec((0u64..40, 1u64..9, 0u8..8, any::<bool>()), 1..80),
            rooms in prop::collection::vec((1u64..300, 0u64..2000, 0u64..2000, 0u32..5, 0u64..16), 20),
        ) {
            let mut tree = Tree::new().unwrap();
            let mut at = 300;
            for (gap, pages, sort, keep) in steps {
                at += gap;
                tree.reserve(1).unwrap();
                let node = tree.insert(vma(at, pages, sort), None);
                tree.validate();
                if !keep {
                    tree.remove(node);
                    tree.validate();
                }
                at += pages;
            }
            for (len, low, high, align, offset) in rooms {
                let align = PAGE_SIZE << align;
                let room = Room {
                    len: len * PAGE_SIZE,
                    low: low * PAGE_SIZE,
                    high: high * PAGE_SIZE,
                    align,
                    offset: offset * PAGE_SIZE % align,
                };
                prop_assert_eq!(tree.highest(&room), naive(&tree, &room, true));
                prop_assert_eq!(tree.lowest(&room), naive(&tree, &room, false));
                for at in [tree.highest(&room), tree.lowest(&room)].into_iter().flatten() {
                    prop_assert!(at >= room.low && at + room.len <= room.high && at % align == room.offset);
                    let hit = tree.iter().find(|vma| vma.start().get() < at + room.len && at < vma.guarded_end());
                    prop_assert!(hit.is_none(), "{:#x} lies over {:?}", at, hit);
                }
            }
        }

        #[test]
        fn random_inserts_and_removes_keep_order_balance_and_gaps(
            steps in prop::collection::vec((0u64..500, 1u64..5), 1..300),
        ) {
            let mut tree = Tree::new().unwrap();
            for (start, pages) in steps {
                let new = vma(1000 + start, pages, 0);
                let hit = tree.find(new.start().get()).filter(|at| tree.vma(*at).start() < new.end());
                match hit {
                    Some(at) => drop(tree.remove(at)),
                    None => {
                        tree.reserve(1).unwrap();
                        let behind = tree.find(new.start().get());
                        tree.insert(new, behind);
                    }
                }
                tree.validate();
            }
        }
    }

    #[test]
    fn sixty_five_thousand_vmas_are_searched_along_one_path() {
        let mut tree = Tree::new().unwrap();
        for n in 0..65_530 {
            tree.reserve(1).unwrap();
            tree.insert(vma(16 + 2 * n, 1, 0), None);
        }
        tree.validate();
        assert!(tree.height(tree.root) <= 23);
        let room = |len| Room { len, low: 16 * PAGE_SIZE, high: 200_000 * PAGE_SIZE, align: PAGE_SIZE, offset: 0 };
        assert_eq!(tree.lowest(&room(PAGE_SIZE)), Some(17 * PAGE_SIZE));
        assert_eq!(tree.highest(&room(PAGE_SIZE)), Some(199_999 * PAGE_SIZE));
        assert_eq!(tree.lowest(&room(2 * PAGE_SIZE)), Some((16 + 2 * 65_529 + 1) * PAGE_SIZE));
    }
}
