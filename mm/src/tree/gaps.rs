//! Searches for free addresses (`vm_unmapped_area`), top-down and bottom-up.
//!
//! A subtree whose bound is too small is not entered. One that has a gap wide enough is entered in vain only where the
//! limits of the search cut that gap, which happens along one path for each limit: O(log n). One whose bound was too
//! high is entered once, and the bound is lowered.

use super::{At, Hint, NIL, Tree};

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

/// Where there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The address.
    pub(crate) start: u64,
    /// The VMA behind it.
    pub(crate) behind: Option<At>,
}

/// How many gaps are looked at one by one before the tree is asked: the hint is right, or nearly.
const STEPS: usize = 4;

impl<B> Tree<B> {
    /// The highest address at which there is room.
    pub(crate) fn highest(&self, room: &Room) -> Option<Found> {
        let need = room.need()?;
        let (n, end) = self.by_hint(room, need).or_else(|| self.below_limit(room, need))?;
        if n != NIL {
            self.hint.set(Hint { node: n, need, high: room.high });
        }
        let at = end - room.len;
        let start = at - (at.wrapping_sub(room.offset) & (room.align - 1));
        Some(Found { start, behind: Self::at(n) })
    }

    /// The lowest address at which there is room.
    pub(crate) fn lowest(&self, room: &Room) -> Option<Found> {
        let need = room.need()?;
        let above = || room.clip(self.floor_above(), u64::MAX, need).map(|(start, _)| (NIL, start));
        let (n, start) = self.lowest_below(self.root, room, need).or_else(above)?;
        let start = start + (room.offset.wrapping_sub(start) & (room.align - 1));
        Some(Found { start, behind: Self::at(n) })
    }

    /// Starts where the last search ended, if that learned enough.
    fn by_hint(&self, room: &Room, need: u64) -> Option<(u32, u64)> {
        let Hint { node: mut n, need: known, high } = self.hint.get();
        if room.high != high || need < known {
            return None;
        }
        for _ in 0..STEPS {
            let node = self.node(n);
            if node.gap >= need {
                let floor = self.floor(n);
                if let Some((_, end)) = room.clip(floor, floor + node.gap, need) {
                    return Some((n, end));
                }
            }
            n = node.prev;
        }
        None
    }

    fn below_limit(&self, room: &Room, need: u64) -> Option<(u32, u64)> {
        match room.clip(self.floor_above(), u64::MAX, need) {
            Some((_, end)) => Some((NIL, end)),
            None => self.highest_below(self.root, room, need),
        }
    }

    /// Where the room above all VMAs begins.
    fn floor_above(&self) -> u64 {
        self.node(self.last).vma.guarded_end()
    }

    fn highest_below(&self, n: u32, room: &Room, need: u64) -> Option<(u32, u64)> {
        let node = self.node(n);
        if node.widest.get() < need {
            return None;
        }
        if node.vma.guarded_end().saturating_add(need) <= room.high {
            let found = self.highest_below(node.right, room, need);
            if found.is_some() {
                return found;
            }
        }
        let floor = self.floor(n);
        if let Some((_, end)) = room.clip(floor, floor + node.gap, need) {
            return Some((n, end));
        }
        let found = if floor < room.low { None } else { self.highest_below(node.left, room, need) };
        if found.is_none() {
            self.tighten(n);
        }
        found
    }

    fn lowest_below(&self, n: u32, room: &Room, need: u64) -> Option<(u32, u64)> {
        let node = self.node(n);
        if node.widest.get() < need {
            return None;
        }
        let floor = self.floor(n);
        if floor > room.low {
            let found = self.lowest_below(node.left, room, need);
            if found.is_some() {
                return found;
            }
        }
        if let Some((start, _)) = room.clip(floor, floor + node.gap, need) {
            return Some((n, start));
        }
        let found = if node.vma.guarded_end() > room.high { None } else { self.lowest_below(node.right, room, need) };
        if found.is_none() {
            self.tighten(n);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use units::{PAGE_SIZE, VirtAddr, VirtRange};

    use super::*;
    use crate::desc::Prot;
    use crate::vma::{Kind, Peek, Vma, VmaFlags};

    /// The same answer by looking at every gap in turn.
    fn naive(tree: &Tree<()>, room: &Room, below_limit: bool) -> Option<u64> {
        let need = room.need()?;
        let mut gaps = Vec::new();
        let mut floor = 0;
        for vma in tree.iter() {
            gaps.push((floor, vma.guarded_start()));
            floor = vma.guarded_end();
        }
        gaps.push((floor, u64::MAX));
        if below_limit {
            gaps.reverse();
        }
        let (start, end) = gaps.into_iter().find_map(|(start, end)| room.clip(start, end, need))?;
        let fits = |at: &u64| at % room.align == room.offset;
        let last = end - room.len;
        let steps = (0..=room.align / PAGE_SIZE).map(|n| n * PAGE_SIZE);
        if below_limit { steps.map(|s| last - s).find(fits) } else { steps.map(|s| start + s).find(fits) }
    }

    fn vma(start: u64, pages: u64, sort: u8) -> Vma<()> {
        let start = VirtAddr::new(start * PAGE_SIZE);
        let range = VirtRange::new(start, VirtAddr::new(start.get() + pages * PAGE_SIZE)).unwrap();
        let flags = if sort == 1 { VmaFlags::GROWS_DOWN } else { VmaFlags::empty() };
        let peek = Peek { pointer: start, end: range.end(), serial: 0 };
        let kind = if sort == 2 { Kind::Peek((), peek) } else { Kind::Anonymous };
        Vma::new(range, Prot::empty(), flags, 0, kind)
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
                let (high, low) = (tree.highest(&room), tree.lowest(&room));
                prop_assert_eq!(high.map(|found| found.start), naive(&tree, &room, true));
                prop_assert_eq!(low.map(|found| found.start), naive(&tree, &room, false));
                tree.validate();
                for found in [high, low].into_iter().flatten() {
                    let at = found.start;
                    prop_assert_eq!(found.behind, tree.find(at));
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

    /// Four pages at 100, 104, 108 and so on.
    fn side_by_side(count: u64) -> (Tree<()>, Vec<At>) {
        let mut tree = Tree::new().unwrap();
        let all = (0..count).map(|n| {
            tree.reserve(1).unwrap();
            tree.insert(vma(100 + 4 * n, 4, 0), None)
        });
        let all = all.collect();
        (tree, all)
    }

    #[test]
    fn who_comes_to_where_one_went_gets_its_node() {
        let (mut tree, all) = side_by_side(20);
        for at in all.iter().copied() {
            let (range, behind, root) = (tree.vma(at).range(), tree.next(at), tree.root);
            tree.remove(at);
            tree.validate();
            assert_eq!(tree.find(range.start().get()), behind);
            assert_eq!(tree.insert(vma(range.start().get() / PAGE_SIZE + 1, 2, 0), behind), at);
            tree.validate();
            assert_eq!(tree.root, root);
        }
    }

    #[test]
    fn neighbours_grow_over_one_that_went() {
        for boundary in 104..=108 {
            let (mut tree, all) = side_by_side(3);
            let page = |n| VirtAddr::new(n * PAGE_SIZE);
            tree.remove(all[1]);
            tree.set_range(all[0], VirtRange::new(page(100), page(boundary)).unwrap());
            tree.validate();
            tree.set_range(all[2], VirtRange::new(page(boundary), page(112)).unwrap());
            tree.validate();
            let found = |n| tree.find(n * PAGE_SIZE);
            assert_eq!((found(boundary - 1), found(boundary)), (Some(all[0]), Some(all[2])));
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
        let lowest = |len| tree.lowest(&room(len)).map(|found| found.start);
        assert_eq!(lowest(PAGE_SIZE), Some(17 * PAGE_SIZE));
        assert_eq!(tree.highest(&room(PAGE_SIZE)).map(|found| found.start), Some(199_999 * PAGE_SIZE));
        assert_eq!(lowest(2 * PAGE_SIZE), Some((16 + 2 * 65_529 + 1) * PAGE_SIZE));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn searches_between_changes_are_never_led_past_room(
            steps in prop::collection::vec((any::<bool>(), 1u64..6, 0usize..40, 0u32..3), 1..120),
        ) {
            let mut tree = Tree::new().unwrap();
            tree.reserve(1).unwrap();
            tree.insert(vma(1000, 4, 1), None);
            for (add, len, nth, align) in steps {
                let room = Room {
                    len: len * PAGE_SIZE,
                    low: 16 * PAGE_SIZE,
                    high: 700 * PAGE_SIZE,
                    align: PAGE_SIZE << align,
                    offset: 0,
                };
                let found = tree.highest(&room);
                prop_assert_eq!(found.map(|found| found.start), naive(&tree, &room, true));
                match (add, found) {
                    (true, Some(found)) => {
                        tree.reserve(1).unwrap();
                        tree.insert(vma(found.start / PAGE_SIZE, len, (len % 3) as u8), found.behind);
                    }
                    _ => {
                        let mut at = tree.first();
                        for _ in 0..nth {
                            at = at.and_then(|at| tree.next(at)).or(at);
                        }
                        match at {
                            Some(at) if tree.vma(at).range().len().get() > PAGE_SIZE && add => {
                                let range = tree.vma(at).range();
                                let end = VirtAddr::new(range.end().get() - PAGE_SIZE);
                                tree.set_range(at, VirtRange::new(range.start(), end).unwrap());
                            }
                            Some(at) => drop(tree.remove(at)),
                            None => {}
                        }
                    }
                }
                tree.validate();
            }
        }
    }
}
