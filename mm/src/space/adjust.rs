//! `vma_merge`, `vma_adjust`, `split_vma`: the only code that moves a boundary between VMAs, and `vma_link`, which adds one.
//!
//! The file's reverse map (`i_mmap`) moves with the boundaries: each VMA of a file has one entry there, changed in the
//! step that changes the VMA. The order of locks: the space's, which the caller holds; then the file's `i_mmap`, inside
//! [`Backing::link`] and its kin; nothing is taken inside that. Whatever can fail (a node of the tree, an entry of
//! `i_mmap`) is had before anything changes.

use units::{PAGE_SHIFT, VirtAddr, VirtRange};

use super::AddressSpace;
use crate::anon::Anon;
use crate::seams::{Backing, Frames, Mapper, Mmu, OutOfMemory};
use crate::tree::At;
use crate::vma::{Kind, Look, Vma};

/// The cases of `vma_merge`, by the numbers Linux gives them. `P` is the VMA before, `N` the one behind, `X` the one that is
/// there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MergeCase {
    /// A new range fills the hole between `P` and `N`: all three are `P`.
    Case1,
    /// A new range behind `P` is part of it.
    Case2,
    /// A new range before `N` is part of it.
    Case3,
    /// The end of `P` becomes the beginning of `N`: the boundary moves down.
    Case4,
    /// The beginning of `N` becomes the end of `P`: the boundary moves up.
    Case5,
    /// All of `X` becomes alike to both: `P` is all.
    Case6,
    /// All of `X` becomes alike to `P`.
    Case7,
    /// All of `X` becomes alike to `N`.
    Case8,
}

/// What `vma_adjust` did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Adjusted {
    /// The ends moved through addresses that nobody had, or to where nobody has them.
    Alone,
    /// It grew over all of the next (`remove_next` 1).
    RemovedNext,
    /// It grew over the next and the one behind that (`remove_next` 2).
    RemovedTwo,
    /// It grew over a part of the next.
    BoundaryUp,
    /// The next grew over a part of it.
    BoundaryDown,
    /// The next grew down over all of it (`remove_next` 3).
    RemovedSelf,
}

/// What a range is to become one with its neighbours by.
pub(super) struct Wanted<'a, B> {
    pub(super) range: VirtRange,
    pub(super) look: Look,
    pub(super) bias: u64,
    /// The `anon_vma` of what is in the range.
    pub(super) anon: Option<Anon>,
    pub(super) kind: &'a Kind<B>,
    /// A VMA that takes nothing in: it is about to go.
    pub(super) but: Option<At>,
}

/// A merge that is possible: who takes the range in, and who else has a part.
pub(super) struct Merge<B> {
    pub(super) case: MergeCase,
    /// The one that takes it in.
    into: At,
    /// `N`, where it has a part.
    next: Option<At>,
    /// `X`, where it is there.
    current: Option<At>,
    /// What the one that stays has from `N` (`dup_anon_vma`): an `anon_vma`, and the shift of the pages that come with it.
    anon: Option<(Anon, u64)>,
    /// What is behind all of them, where that is not what is behind the one that stays.
    backing: Option<B>,
}

/// Which half of a split is the new VMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewHalf {
    Below,
    Above,
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// Whether `wanted` can become part of its neighbours, and how. `prev` is the VMA before the range, or the one that
    /// holds its beginning. Changes nothing.
    pub(super) fn can_merge(&self, prev: Option<At>, wanted: &Wanted<'_, B>) -> Option<Merge<B>> {
        let (start, end) = (wanted.range.start(), wanted.range.end());
        // `can_vma_merge_before`, `can_vma_merge_after`.
        let alike = |at: At| {
            let vma = self.vmas.vma(at);
            vma.alike(wanted.look, wanted.bias, wanted.kind) && vma.takes(wanted.anon) && wanted.but != Some(at)
        };
        let (area, overlapped, after) = match prev {
            Some(prev) => {
                let vma = self.vmas.vma(prev);
                let after = vma.end() == start && alike(prev);
                (self.vmas.next(prev), vma.end() > start, after.then_some(prev))
            }
            None => (self.vmas.first(), false, None),
        };
        // `X`: what the range takes the place of, as a whole or from its beginning on.
        let current = area.filter(|at| self.vmas.vma(*at).start() < end);
        let whole = current.is_some_and(|at| self.vmas.vma(at).end() == end);
        let next = match current {
            Some(current) if whole => self.vmas.next(current),
            Some(_) => None,
            None => area,
        };
        // Both may be one with what is between, and yet not with each other.
        let with_each_other =
            |at: At| after.is_none_or(|prev| Anon::compatible(self.vmas.vma(prev).anon, self.vmas.vma(at).anon));
        let before = next.filter(|at| self.vmas.vma(*at).start() == end && alike(*at) && with_each_other(*at));
        let (into, case) = match (after, before) {
            (Some(prev), Some(_)) if whole => (prev, MergeCase::Case6),
            (Some(prev), Some(_)) => (prev, MergeCase::Case1),
            (Some(prev), None) if whole => (prev, MergeCase::Case7),
            (Some(prev), None) if current.is_some() => (prev, MergeCase::Case5),
            (Some(prev), None) => (prev, MergeCase::Case2),
            (None, Some(next)) if overlapped => (next, MergeCase::Case4),
            (None, Some(next)) if whole => (next, MergeCase::Case8),
            (None, Some(next)) => (next, MergeCase::Case3),
            (None, None) => return None,
        };
        let current = if case == MergeCase::Case4 { prev } else { current };
        let backing = self.joined(into, wanted, before).ok()?;
        let anon = before.and_then(|next| self.dup_anon_vma(into, next));
        Some(Merge { case, into, next: before, current, anon, backing })
    }

    /// The `anon_vma` that the VMA at `into`, which has none, has when it takes in all of `next`.
    fn dup_anon_vma(&self, into: At, next: At) -> Option<(Anon, u64)> {
        let next = self.vmas.vma(next);
        if self.vmas.vma(into).has_anon() { None } else { Some((next.anon?, next.shift)) }
    }

    /// What is behind the VMA at `into` when it takes in `wanted`, and `next` behind that; `None`: what is behind it now.
    fn joined(&self, into: At, wanted: &Wanted<'_, B>, next: Option<At>) -> Result<Option<B>, OutOfMemory> {
        let vma = self.vmas.vma(into);
        let (Kind::File(own), Kind::File(other)) = (&vma.kind, wanted.kind) else { return Ok(None) };
        let pages = wanted.range.len().get() >> PAGE_SHIFT;
        let theirs = ((wanted.range.start().get() >> PAGE_SHIFT).wrapping_add(wanted.bias), pages);
        let joined = own.joined(vma.interval(), other, theirs)?;
        let Some(next) = next.filter(|next| *next != into).map(|next| self.vmas.vma(next)) else { return Ok(joined) };
        let (first, count) = vma.interval();
        match (joined.as_ref().unwrap_or(own), next.backing()) {
            (both, Some(last)) => Ok(both.joined((first, count + pages), last, next.interval())?.or(joined)),
            (_, None) => Ok(joined),
        }
    }

    /// `vma_merge`: carries out what [`can_merge`](Self::can_merge) found for `range`.
    ///
    /// # Errors
    /// [`OutOfMemory`], where pages that were moved come to a VMA without any; nothing has changed.
    pub(super) fn vma_merge(&mut self, merge: Merge<B>, range: VirtRange) -> Result<At, OutOfMemory> {
        self.adopt(&merge)?;
        let Merge { case, into, next, current, backing, .. } = merge;
        if let Some(backing) = backing {
            // What was there is kept by what is there now: this is not the last of it.
            self.vmas.vma_mut(into).kind = Kind::File(backing);
        }
        let own = self.vmas.vma(into).range();
        let end = next.map_or(range.end(), |next| self.vmas.vma(next).end());
        match (case, current) {
            (MergeCase::Case1 | MergeCase::Case2 | MergeCase::Case5 | MergeCase::Case6 | MergeCase::Case7, _) => {
                self.vma_adjust(into, own.start(), end);
            }
            (MergeCase::Case4 | MergeCase::Case8, Some(current)) => self.expand_down(into, current, range.start()),
            (MergeCase::Case3 | MergeCase::Case4 | MergeCase::Case8, _) => {
                self.vma_adjust(into, range.start(), own.end());
            }
        }
        #[cfg(test)]
        self.merged.push(case);
        Ok(into)
    }

    /// The first step of it, and the only one that can fail, for who has to do something between.
    ///
    /// # Errors
    /// As there.
    pub(super) fn adopt(&mut self, merge: &Merge<B>) -> Result<(), OutOfMemory> {
        if let Some((anon, shift)) = merge.anon {
            self.set_shift(merge.into, shift)?;
            self.vmas.vma_mut(merge.into).anon = Some(anon);
        }
        Ok(())
    }

    /// `vma_adjust`: gives the VMA at `at` other ends. Where the new end lies beyond the beginning of the next, that one
    /// shrinks or goes, and the one behind it if all of it is covered too; the range must cover whole what it covers last.
    pub(super) fn vma_adjust(&mut self, at: At, start: VirtAddr, end: VirtAddr) {
        let mut removed = 0;
        let mut done = Adjusted::Alone;
        while let Some(next) = self.vmas.next(at).filter(|next| self.vmas.vma(*next).start() < end) {
            self.take_over(at, next);
            if self.vmas.vma(next).end() > end {
                self.move_ends(next, end, self.vmas.vma(next).end());
                done = Adjusted::BoundaryUp;
                break;
            }
            self.vma_unlink(next);
            removed += 1;
            done = if removed == 1 { Adjusted::RemovedNext } else { Adjusted::RemovedTwo };
        }
        self.move_ends(at, start, end);
        self.note(done);
    }

    /// `vma_adjust` where the next one is the one that grows: `next` begins at `start` from now on, and `at` before it ends
    /// there, or goes where that is its own beginning.
    fn expand_down(&mut self, next: At, at: At, start: VirtAddr) {
        self.take_over(next, at);
        let low = self.vmas.vma(at).start();
        if low == start {
            self.vma_unlink(at);
        } else {
            self.move_ends(at, low, start);
        }
        self.move_ends(next, start, self.vmas.vma(next).end());
        self.note(if low == start { Adjusted::RemovedSelf } else { Adjusted::BoundaryDown });
    }

    fn note(&mut self, done: Adjusted) {
        #[cfg(test)]
        self.adjusted.push(done);
        #[cfg(not(test))]
        let _ = done;
    }

    /// `into` takes pages over from `from`.
    fn take_over(&mut self, into: At, from: At) {
        let touched = self.vmas.vma(from).touched;
        self.vmas.vma_mut(into).touched |= touched;
    }

    /// `anon_vma_prepare`: the VMA at `at` is about to get its first page of the program's own. Has the number of a neighbour
    /// from then on that differs in its rights alone, so that they can become one again (`find_mergeable_anon_vma`), or one
    /// of its own.
    #[cold]
    #[inline]
    pub(super) fn anon_vma_prepare(&mut self, at: At) {
        let vma = self.vmas.vma(at);
        let next = self.vmas.next(at).map(|at| self.vmas.vma(at)).filter(|next| vma.may_share_anon(next));
        let prev = self.vmas.prev(at).map(|at| self.vmas.vma(at)).filter(|prev| prev.may_share_anon(vma));
        let singular = |vma: &&Vma<B>| vma.anon.is_some_and(Anon::is_singular);
        let found = next.filter(singular).or(prev.filter(singular)).map(|vma| (vma.anon, vma.shift));
        if let Some((anon, shift)) = found
            && self.set_shift(at, shift).is_ok()
        {
            self.vmas.vma_mut(at).anon = anon;
            return;
        }
        self.anons += 1;
        self.vmas.vma_mut(at).anon = Some(Anon::fresh(self.anons));
    }

    /// Gives a VMA that has no page of the program's own another shift.
    fn set_shift(&mut self, at: At, shift: u64) -> Result<(), OutOfMemory> {
        let vma = self.vmas.vma_mut(at);
        if vma.shift == shift {
            return Ok(());
        }
        let old = core::mem::replace(&mut vma.shift, shift);
        let linked = self.moved.link(self.moved_mapper(self.vmas.vma(at)));
        if linked.is_err() {
            self.vmas.vma_mut(at).shift = old;
        }
        linked
    }

    /// `split_vma`: at `at` there are two from now on, meeting at `boundary`, which lies inside. Returns the new one.
    pub(super) fn split_vma(&mut self, at: At, boundary: VirtAddr, new: NewHalf) -> Result<At, OutOfMemory> {
        self.vmas.reserve(1)?;
        let vma = self.vmas.vma(at);
        let (start, end) = (vma.start(), vma.end());
        let (low, high) = match (VirtRange::new(start, boundary), VirtRange::new(boundary, end)) {
            (Some(low), Some(high)) => (low, high),
            _ => return Err(OutOfMemory),
        };
        let (kept, made) = if new == NewHalf::Below { (high, low) } else { (low, high) };
        let half = Vma { range: made, ..vma.clone() };
        self.index(&half)?;
        self.move_ends(at, kept.start(), kept.end());
        let behind = if new == NewHalf::Below { Some(at) } else { self.vmas.next(at) };
        Ok(self.vmas.insert(half, behind))
    }

    /// What `mprotect_fixup`, `mlock_fixup` and `madvise_update_vma` share: `range`, which lies in the VMA at `at`, has
    /// another look from now on. Becomes part of a neighbour, or a VMA of its own. Fails before anything has changed.
    pub(super) fn modify(&mut self, at: At, range: VirtRange, look: Look) -> Result<At, OutOfMemory> {
        let vma = self.vmas.vma(at);
        let whole = vma.range();
        let prev = if range.start() == whole.start() { self.vmas.prev(at) } else { Some(at) };
        let wanted = Wanted { range, look, bias: vma.bias, anon: vma.anon, kind: &vma.kind, but: None };
        if let Some(merge) = self.can_merge(prev, &wanted) {
            return self.vma_merge(merge, range);
        }
        if range != whole {
            self.cut_out(at, range)?;
        }
        let vma = self.vmas.vma_mut(at);
        (vma.prot, vma.flags) = (look.prot, look.flags);
        Ok(at)
    }

    /// Splits what lies below and above `range` off the VMA at `at`. Fails before anything has changed.
    fn cut_out(&mut self, at: At, range: VirtRange) -> Result<(), OutOfMemory> {
        let whole = self.vmas.vma(at).range();
        let below = usize::from(whole.start() < range.start());
        let above = usize::from(range.end() < whole.end());
        self.room_for(below + above)?;
        self.vmas.reserve(below + above)?;
        if below == 1 {
            self.split_vma(at, range.start(), NewHalf::Below)?;
        }
        if above == 1
            && let Err(error) = self.split_vma(at, range.end(), NewHalf::Above)
        {
            self.unsplit(at);
            return Err(error);
        }
        Ok(())
    }

    /// Joins `at` again with what was split off below it.
    fn unsplit(&mut self, at: At) {
        let vma = self.vmas.vma(at);
        let end = vma.end();
        if let Some(prev) = self.vmas.prev(at).filter(|prev| {
            let prev = self.vmas.vma(*prev);
            prev.end() == vma.start() && prev.alike(vma.look(), vma.bias, &vma.kind) && prev.takes(vma.anon)
        }) {
            // The node that stays must be `at`'s, which the caller knows.
            let start = self.vmas.vma(prev).start();
            self.vma_unlink(prev);
            self.move_ends(at, start, end);
        }
    }

    /// Refuses `new` more VMAs by splitting where there are too many (`sysctl_max_map_count`).
    pub(super) fn room_for(&self, new: usize) -> Result<(), OutOfMemory> {
        if new > 0 && self.map_count() + new > super::MAX_MAP_COUNT { Err(OutOfMemory) } else { Ok(()) }
    }

    /// `vma_link`: adds a VMA where none is, before `behind`. A node was reserved.
    #[inline(always)]
    pub(super) fn vma_link(&mut self, vma: Vma<B>, behind: Option<At>) -> Result<At, OutOfMemory> {
        self.index(&vma)?;
        Ok(self.vmas.insert(vma, behind))
    }

    /// Adds `vma` to its file's `i_mmap`, and to the index of what was moved.
    #[inline(always)]
    fn index(&mut self, vma: &Vma<B>) -> Result<(), OutOfMemory> {
        if vma.shift != 0 {
            self.moved.link(self.moved_mapper(vma))?;
        }
        let linked = match vma.backing() {
            Some(backing) => backing.link(self.mapper(vma)),
            None => Ok(()),
        };
        if linked.is_err() && vma.shift != 0 {
            self.moved.unlink(self.moved_mapper(vma));
        }
        linked
    }

    /// Takes a VMA out of the tree, out of its file's `i_mmap` and the index of what was moved. Answers the file.
    pub(super) fn vma_unlink(&mut self, at: At) -> Option<B> {
        let vma = self.vmas.vma(at);
        if let Some(backing) = vma.backing() {
            backing.unlink(self.mapper(vma));
        }
        if vma.shift != 0 {
            self.moved.unlink(self.moved_mapper(vma));
        }
        self.vmas.remove(at)
    }

    /// Gives a VMA other ends, here and in `i_mmap`. Its place in the order stays.
    pub(super) fn move_ends(&mut self, at: At, start: VirtAddr, end: VirtAddr) {
        let Some(range) = VirtRange::new(start, end) else { return };
        let vma = self.vmas.vma(at);
        if let Some(backing) = vma.backing() {
            let first = vma.index(start);
            let new = Mapper { space: self.id, start, first, count: range.len().pages_up().get() };
            backing.relink(self.mapper(vma), new);
        }
        if vma.shift != 0 {
            let first = vma.anon_index(start);
            let new = Mapper { space: self.id, start, first, count: range.len().pages_up().get() };
            self.moved.relink(self.moved_mapper(vma), new);
        }
        self.vmas.set_range(at, range);
    }

    /// The entry of `vma` in the index of what was moved.
    pub(super) fn moved_mapper(&self, vma: &Vma<B>) -> Mapper {
        let (first, count) = (vma.anon_index(vma.start()), vma.pages().get());
        Mapper { space: self.id, start: vma.start(), first, count }
    }

    /// The entry of `vma` in its file's `i_mmap`.
    pub(super) fn mapper(&self, vma: &Vma<B>) -> Mapper {
        let (first, count) = vma.interval();
        Mapper { space: self.id, start: vma.start(), first, count }
    }
}
