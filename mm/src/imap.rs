//! `i_mmap`: which VMAs, of all spaces, show which pages of one file.
//!
//! The file holds it under a lock of its own and fills it from [`Backing::link`](crate::Backing::link) and its kin. Who is
//! about to replace pages of the file (truncate, copy-on-write, punch) asks it who shows them, lets go of its lock, and
//! tells each of those spaces under that space's lock: [`AddressSpace::revoke`](crate::AddressSpace::revoke) finds out for
//! itself what is still so.

use crate::interval::{Interval, Intervals};
use crate::seams::{Mapper, OutOfMemory, SpaceId};

impl Interval for Mapper {
    fn first(&self) -> u64 {
        self.first
    }

    fn count(&self) -> u64 {
        self.count
    }
}

/// The mappings of one file.
#[derive(Debug, Default)]
pub struct IMmap {
    mappers: Intervals<Mapper>,
}

impl IMmap {
    /// Nobody maps the file.
    pub const fn new() -> Self {
        Self { mappers: Intervals::new() }
    }

    /// How many VMAs show the file.
    pub fn len(&self) -> usize {
        self.mappers.len()
    }

    /// Whether nobody maps the file.
    pub fn is_empty(&self) -> bool {
        self.mappers.is_empty()
    }

    /// `vma_interval_tree_insert`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    pub fn link(&mut self, mapper: Mapper) -> Result<(), OutOfMemory> {
        self.mappers.reserve()?;
        self.mappers.insert(mapper);
        Ok(())
    }

    /// The VMA of `old` shows what `new` says. Needs no memory: the entry that goes makes room.
    pub fn relink(&mut self, old: Mapper, new: Mapper) {
        if self.mappers.remove(&old) {
            self.mappers.insert(new);
        }
    }

    /// `vma_interval_tree_remove`.
    pub fn unlink(&mut self, mapper: Mapper) {
        self.mappers.remove(&mapper);
    }

    /// The next space after `last` that shows one of `count` pages from `first` on: all of them in turn, whoever comes and goes
    /// meanwhile.
    pub fn next_space(&self, first: u64, count: u64, last: Option<SpaceId>) -> Option<SpaceId> {
        let mut next: Option<SpaceId> = None;
        self.showing(first, count, |mapper| {
            if last.is_none_or(|last| mapper.space > last) && next.is_none_or(|next| mapper.space < next) {
                next = Some(mapper.space);
            }
        });
        next
    }

    /// The VMAs of `space` that show one of `count` pages from `first` on; `None` where there are more than `found` holds.
    pub fn in_space<'a>(
        &self,
        space: SpaceId,
        (first, count): (u64, u64),
        found: &'a mut [Mapper; Self::FEW],
    ) -> Option<&'a [Mapper]> {
        let mut all = 0;
        self.showing(first, count, |mapper| {
            if mapper.space == space {
                if let Some(slot) = found.get_mut(all) {
                    *slot = mapper;
                }
                all += 1;
            }
        });
        found.get(..all)
    }

    /// As many as [`in_space`](Self::in_space) answers at most.
    pub const FEW: usize = 16;

    /// `vma_interval_tree_foreach`: shows `each` every VMA that has one of `count` pages from `first` on.
    pub fn showing(&self, first: u64, count: u64, each: impl FnMut(Mapper)) {
        self.mappers.overlapping(first, count, each);
    }
}

#[cfg(test)]
mod tests {
    use units::VirtAddr;

    use super::*;

    #[test]
    fn every_space_that_shows_a_page_is_named_once_with_its_vmas() {
        let mut map = IMmap::new();
        let spaces: Vec<SpaceId> = (0..3).map(|_| SpaceId::next()).collect();
        let at = |space: usize, n: u64, first| Mapper {
            space: spaces[space],
            start: VirtAddr::new(0x10_0000 * (n + 1)),
            first,
            count: 4,
        };
        for mapper in [at(2, 0, 0), at(0, 0, 2), at(0, 1, 3), at(1, 0, 8), at(0, 2, 9)] {
            map.link(mapper).unwrap();
        }
        let mut named = Vec::new();
        while let Some(space) = map.next_space(3, 2, named.last().copied()) {
            named.push(space);
        }
        assert_eq!(named, [spaces[0], spaces[2]]);
        let mut found = [Mapper::NONE; IMmap::FEW];
        assert_eq!(map.in_space(spaces[0], (3, 2), &mut found), Some(&[at(0, 0, 2), at(0, 1, 3)][..]));
        for n in 10..30 {
            map.link(at(1, n, 3)).unwrap();
        }
        assert_eq!(map.in_space(spaces[1], (3, 1), &mut found), None, "more than there is room for");
    }
}
