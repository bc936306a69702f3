//! `mremap`: a mapping made shorter, longer, or moved with its pages.

use units::{HUGE_SIZE, PAGE_SHIFT, PAGE_SIZE, PageCount, VirtAddr, VirtRange};

use super::adjust::{NewHalf, Wanted};
use super::map::{MapError, Place};
use super::{AddressSpace, MAX_MAP_COUNT, Released, TASK_SIZE, page_align};
use crate::seams::{Backing, Frames, Mmu, OutOfMemory};
use crate::tree::At;
use crate::vma::{Kind, Peek, Vma, VmaFlags};

/// Where the mapping may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemapPlace {
    /// It stays where it is (no flag).
    Here,
    /// Anywhere, if it cannot stay (`MREMAP_MAYMOVE`).
    Anywhere,
    /// There; what is there goes (`MREMAP_FIXED`).
    Fixed(VirtAddr),
    /// There if there is room, else anywhere; the old addresses stay mapped, without their pages (`MREMAP_DONTUNMAP`).
    Twin(VirtAddr),
    /// There, and the old addresses stay mapped.
    FixedTwin(VirtAddr),
}

/// The answer of `mremap`.
pub struct Remapped<B> {
    /// Where it begins now.
    pub at: VirtAddr,
    /// What is locked and has to be populated, the caller's next call.
    pub populate: Option<VirtRange>,
    /// What ended.
    pub released: Released<B>,
}

/// Why nothing was remapped. In the order in which Linux finds out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemapError {
    /// `EINVAL`: an address inside a page, no new length, places that overlap, or a copy of something not shared.
    Invalid,
    /// `EFAULT`: nothing is mapped there, not all of it is one VMA, or a peek shall grow.
    Fault,
    /// `ENOMEM`: it cannot grow here and may not move, no room, too many VMAs, a limit, no memory.
    OutOfMemory,
    /// `EAGAIN`: more locked memory than is allowed.
    LockLimit,
    /// `EPERM`: a fixed address below [`MMAP_MIN_ADDR`](super::MMAP_MIN_ADDR).
    TooLow,
}

impl From<OutOfMemory> for RemapError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What becomes of the old addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    Unmapped,
    Kept,
}

impl<F: Frames, U: Mmu, B: Backing> AddressSpace<F, U, B> {
    /// `mremap`. With [`RemapPlace::Twin`] and its kin both lengths are the same (`EINVAL` before anything else, for who reads the flags).
    /// What ended at a fixed place is in `replaced`, also where the mapping could not be put there in the end.
    pub fn remap(
        &mut self,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        place: RemapPlace,
        replaced: &mut Released<B>,
    ) -> Result<Remapped<B>, RemapError> {
        if !start.is_aligned(PAGE_SIZE) {
            return Err(RemapError::Invalid);
        }
        let (old_len, new_len) = (page_align(old_len).unwrap_or(0), page_align(new_len).unwrap_or(0));
        if new_len == 0 {
            return Err(RemapError::Invalid);
        }
        let at = self.vmas.find(start.get()).filter(|at| self.vmas.vma(*at).start() <= start);
        let at = at.ok_or(RemapError::Fault)?;
        match place {
            RemapPlace::Fixed(to) => self.remap_to(start, old_len, new_len, Place::Fixed(to), Old::Unmapped, replaced),
            RemapPlace::FixedTwin(to) => self.remap_to(start, old_len, new_len, Place::Fixed(to), Old::Kept, replaced),
            RemapPlace::Twin(to) => self.remap_to(start, old_len, new_len, Place::Hint(to), Old::Kept, replaced),
            _ if old_len >= new_len => self.shorten(start, old_len, new_len),
            _ => self.lengthen(at, start, old_len, new_len, place),
        }
    }

    /// What a private mapping of a file would show more of when `old_len` bytes from `start` on become `new_len`: the file, the
    /// first page more of it, and how many. The caller has the file promise these too, and [`extend`](Self::extend)s the mapping
    /// before [`remap`](Self::remap).
    pub fn growth(&self, start: VirtAddr, old_len: u64, new_len: u64) -> Option<(B, u64, u64)> {
        let (old_len, new_len) = (page_align(old_len)?, page_align(new_len)?);
        let vma = self.find_vma(start).filter(|vma| vma.start() <= start)?;
        let Kind::File(file) = &vma.kind else { return None };
        if old_len > vma.end().get() - start.get() || !start.is_aligned(PAGE_SIZE) {
            return None;
        }
        let (own, count) = vma.interval();
        let first = own.checked_add(count)?;
        let last = vma.index(start).checked_add(new_len >> PAGE_SHIFT)?;
        (last > first).then(|| (file.clone(), first, last - first))
    }

    /// The private mapping at `start` shows `count` pages of its file from `first` on as `more` does, if it ever comes to show
    /// them.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn extend(&mut self, start: VirtAddr, more: &B, first: u64, count: u64) -> Result<(), OutOfMemory> {
        let Some(at) = self.vmas.find(start.get()) else { return Ok(()) };
        let vma = self.vmas.vma(at);
        // Somebody else may have changed what is there; then nothing needs more.
        let Kind::File(file) = &vma.kind else { return Ok(()) };
        if file.same(more)
            && let Some(joined) = file.joined(vma.interval(), more, (first, count))?
        {
            self.vmas.vma_mut(at).kind = Kind::File(joined);
        }
        Ok(())
    }

    fn shorten(&mut self, start: VirtAddr, old_len: u64, new_len: u64) -> Result<Remapped<B>, RemapError> {
        let mut released = Released::none();
        if old_len > new_len {
            let tail = start.get().checked_add(old_len).filter(|end| *end <= TASK_SIZE);
            let tail =
                VirtRange::new(VirtAddr::new(start.get() + new_len), VirtAddr::new(tail.ok_or(RemapError::Invalid)?));
            released = self.remove_range(tail.ok_or(RemapError::Invalid)?)?;
        }
        Ok(Remapped { at: start, populate: None, released })
    }

    fn lengthen(
        &mut self,
        at: At,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        place: RemapPlace,
    ) -> Result<Remapped<B>, RemapError> {
        self.vma_to_resize(at, start, old_len, new_len)?;
        let old_end = start.get() + old_len;
        let end = self.vmas.vma(at).end().get();
        if old_len > 0 && old_end == end && self.expandable(at, new_len - old_len) {
            return self.grow_in_place(at, start, new_len - old_len);
        }
        if place == RemapPlace::Here {
            return Err(RemapError::OutOfMemory);
        }
        let to = self.new_place(at, start, new_len, Place::ANYWHERE)?;
        self.move_vma(at, start, old_len, new_len, to, Old::Unmapped)
    }

    /// `vma_to_resize`: whether `old_len` bytes from `start` on may become `new_len`.
    fn vma_to_resize(&self, at: At, start: VirtAddr, old_len: u64, new_len: u64) -> Result<(), RemapError> {
        let vma = self.vmas.vma(at);
        if old_len == 0 && !vma.kind.is_shared() {
            return Err(RemapError::Invalid);
        }
        if old_len > vma.end().get() - start.get() {
            return Err(RemapError::Fault);
        }
        if new_len <= old_len {
            return Ok(());
        }
        let more = (new_len - old_len) >> PAGE_SHIFT;
        if vma.backing().is_some() {
            vma.index(start).checked_add(new_len >> PAGE_SHIFT).ok_or(RemapError::Invalid)?;
        }
        if vma.kind.is_peek() {
            return Err(RemapError::Fault);
        }
        if vma.flags.contains(VmaFlags::LOCKED) && !self.lockable(more) {
            return Err(RemapError::LockLimit);
        }
        Ok(self.may_expand(more)?)
    }

    /// `vma_expandable`: whether nobody has the next `more` bytes.
    fn expandable(&self, at: At, more: u64) -> bool {
        let end = self.vmas.vma(at).end().get();
        let next = self.vmas.next(at).map_or(TASK_SIZE, |next| self.vmas.vma(next).start().get());
        more <= next.saturating_sub(end)
    }

    fn grow_in_place(&mut self, at: At, start: VirtAddr, more: u64) -> Result<Remapped<B>, RemapError> {
        let vma = self.vmas.vma(at);
        let (flags, end) = (vma.flags, vma.end());
        let range = VirtRange::new(end, VirtAddr::new(end.get() + more)).ok_or(RemapError::OutOfMemory)?;
        if flags.contains(VmaFlags::ACCOUNT) {
            self.charge(more >> PAGE_SHIFT)?;
        }
        // Alike to itself, so that it becomes longer, and perhaps one with what comes then.
        let wanted = Wanted { range, look: vma.look(), bias: vma.bias, anon: vma.anon, kind: &vma.kind, but: None };
        let merge = self.can_merge(Some(at), &wanted).ok_or(RemapError::OutOfMemory)?;
        if let Err(error) = self.vma_merge(merge, range) {
            if flags.contains(VmaFlags::ACCOUNT) {
                self.tables.frames().commit().release(PageCount::new(more >> PAGE_SHIFT));
            }
            return Err(error.into());
        }
        self.count_in(flags, more >> PAGE_SHIFT);
        let populate = flags.contains(VmaFlags::LOCKED).then_some(range);
        Ok(Remapped { at: start, populate, released: Released::none() })
    }

    /// `mremap_to`.
    fn remap_to(
        &mut self,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        place: Place,
        old: Old,
        replaced: &mut Released<B>,
    ) -> Result<Remapped<B>, RemapError> {
        if let Place::Fixed(to) | Place::Hint(to) = place {
            if !to.is_aligned(PAGE_SIZE) || new_len > TASK_SIZE || to.get() > TASK_SIZE - new_len {
                return Err(RemapError::Invalid);
            }
            // Linux lets this sum begin at 0 again; a length that has no end is refused when the place is free.
            let end = start.get().wrapping_add(old_len);
            if start.get() < to.get() + new_len && to.get() < end {
                return Err(RemapError::Invalid);
            }
        }
        self.room_to_move()?;
        if let Place::Fixed(to) = place {
            self.get_unmapped_area(Place::Fixed(to), new_len).map_err(place_error)?;
            let there = VirtRange::new(to, VirtAddr::new(to.get() + new_len)).ok_or(RemapError::Invalid)?;
            *replaced = self.remove_range(there)?;
        }
        self.remap_into(start, old_len, new_len, place, old)
    }

    /// The rest of `mremap_to`: nobody is where it goes.
    fn remap_into(
        &mut self,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        place: Place,
        old: Old,
    ) -> Result<Remapped<B>, RemapError> {
        let mut released = Released::none();
        if old_len > new_len {
            released = self.shorten(start, old_len, new_len)?.released;
        }
        let old_len = old_len.min(new_len);
        let at = self.vmas.find(start.get()).filter(|at| self.vmas.vma(*at).start() <= start);
        let at = at.ok_or(RemapError::Fault)?;
        self.vma_to_resize(at, start, old_len, new_len)?;
        if old == Old::Kept {
            self.may_expand(old_len >> PAGE_SHIFT)?;
        }
        let to = self.new_place(at, start, new_len, place)?;
        let mut moved = self.move_vma(at, start, old_len, new_len, to, old)?;
        // At most one file is behind both: a shortened tail and the rest are clones of one promise.
        if moved.released.is_empty() {
            moved.released = released;
        }
        Ok(moved)
    }

    /// Where it goes: as the caller wishes, else congruent to where it is, so that blocks can move whole.
    fn new_place(&self, at: At, start: VirtAddr, len: u64, place: Place) -> Result<VirtAddr, RemapError> {
        if let Place::Fixed(to) = place {
            return Ok(to);
        }
        if let Place::Hint(to) = place
            && to > VirtAddr::ZERO
            && let Ok(range) = self.get_unmapped_area(place, len)
            && range.start() == to
        {
            return Ok(to);
        }
        let guard = if self.vmas.vma(at).kind.is_peek() { crate::vma::PEEK_GUARD_GAP } else { 0 };
        let len = len.checked_add(guard).ok_or(RemapError::OutOfMemory)?;
        let offset = start.get() & (HUGE_SIZE - 1);
        let congruent = Place::Anywhere { align: HUGE_SIZE, offset };
        if len >= HUGE_SIZE
            && let Ok(range) = self.get_unmapped_area(congruent, len)
        {
            return Ok(range.start());
        }
        let anywhere = Place::Anywhere { align: PAGE_SIZE, offset: 0 };
        self.get_unmapped_area(anywhere, len).map(|range| range.start()).map_err(place_error)
    }

    /// Two splits and the new one, and one to spare, as Linux asks for.
    fn room_to_move(&self) -> Result<(), RemapError> {
        if self.map_count() >= MAX_MAP_COUNT - 3 { Err(RemapError::OutOfMemory) } else { Ok(()) }
    }

    /// `move_vma`: `old_len` bytes from `start` on, a part of the VMA at `at`, are seen from `to` on, where nobody is, as
    /// `new_len`. With no old length, a second mapping of the same pages of a shared file.
    fn move_vma(
        &mut self,
        at: At,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        to: VirtAddr,
        old: Old,
    ) -> Result<Remapped<B>, RemapError> {
        self.room_to_move()?;
        self.vmas.reserve(3)?;
        let flags = self.vmas.vma(at).flags;
        let charged = match (flags.contains(VmaFlags::ACCOUNT), old) {
            (false, _) => 0,
            (true, Old::Kept) => new_len >> PAGE_SHIFT,
            (true, Old::Unmapped) => (new_len - old_len) >> PAGE_SHIFT,
        };
        self.charge(charged)?;
        let mut released = Released::none();
        match self.move_charged(at, start, old_len, new_len, to, old, &mut released) {
            Ok(populate) => Ok(Remapped { at: to, populate, released }),
            Err(error) => {
                self.tables.frames().commit().release(PageCount::new(charged));
                Err(error.into())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of mremap, and where what ends goes")]
    fn move_charged(
        &mut self,
        at: At,
        start: VirtAddr,
        old_len: u64,
        new_len: u64,
        to: VirtAddr,
        old: Old,
        released: &mut Released<B>,
    ) -> Result<Option<VirtRange>, OutOfMemory> {
        let from = VirtRange::new(start, VirtAddr::new(start.get() + old_len)).ok_or(OutOfMemory)?;
        let range = VirtRange::new(to, VirtAddr::new(to.get() + new_len)).ok_or(OutOfMemory)?;
        let goes = old_len > 0 && old == Old::Unmapped;
        let at = if goes { self.isolate(at, from)? } else { at };
        let result = self.show_at(at, start, from, range, if old == Old::Kept { None } else { Some(at) });
        if result.is_err() && goes {
            self.rejoin(at);
        }
        result?;
        let vma = self.vmas.vma(at);
        let flags = vma.flags;
        self.count_in(flags, new_len >> PAGE_SHIFT);
        match old {
            Old::Unmapped if old_len > 0 => {
                // The promise has moved with the pages.
                self.vmas.vma_mut(at).flags.remove(VmaFlags::ACCOUNT);
                self.count_out(flags - VmaFlags::ACCOUNT, old_len >> PAGE_SHIFT);
                if let Some(backing) = self.vma_unlink(at) {
                    released.push(backing);
                }
            }
            Old::Unmapped => {}
            Old::Kept => self.leave_empty(from),
        }
        Ok(flags.contains(VmaFlags::LOCKED).then_some(range))
    }

    /// `from`, a part of the VMA at `at`, is a VMA of its own from now on.
    fn isolate(&mut self, at: At, from: VirtRange) -> Result<At, OutOfMemory> {
        let whole = self.vmas.vma(at).range();
        if whole.start() < from.start() {
            self.split_vma(at, from.start(), NewHalf::Below)?;
        }
        if from.end() < whole.end()
            && let Err(error) = self.split_vma(at, from.end(), NewHalf::Above)
        {
            self.rejoin(at);
            return Err(error);
        }
        Ok(at)
    }

    /// Joins what [`isolate`](Self::isolate) has split, where nothing came of it, or what stays is alike.
    fn rejoin(&mut self, at: At) {
        let vma = self.vmas.vma(at);
        let range = vma.range();
        if vma.kind.is_peek() {
            return self.rejoin_peek(at);
        }
        let wanted = Wanted { range, look: vma.look(), bias: vma.bias, anon: vma.anon, kind: &vma.kind, but: None };
        if let Some(merge) = self.can_merge(self.vmas.prev(at), &wanted) {
            // Where that fails they stay two, which changes nothing for the program.
            let _ = self.vma_merge(merge, range);
        }
    }

    /// The same for parts of one peek, which nothing else joins.
    fn rejoin_peek(&mut self, at: At) {
        let same = |this: &Self, other: At| match (&this.vmas.vma(at).kind, &this.vmas.vma(other).kind) {
            (Kind::Peek(_, one), Kind::Peek(_, two)) => one == two,
            _ => false,
        };
        let mut range = self.vmas.vma(at).range();
        for other in [self.vmas.prev(at), self.vmas.next(at)].into_iter().flatten() {
            let part = self.vmas.vma(other).range();
            let touch = part.end() == range.start() || part.start() == range.end();
            if touch && same(self, other) && self.vmas.vma(other).look() == self.vmas.vma(at).look() {
                let both = VirtRange::new(range.start().min(part.start()), range.end().max(part.end()));
                self.vma_unlink(other);
                range = both.unwrap_or(range);
            }
        }
        self.move_ends(at, range.start(), range.end());
    }

    /// `copy_vma` and `move_page_tables`: `range` shows what the VMA at `at` shows from `start` on, with the pages of `from`. It
    /// does not become part of the VMA `but`, which is about to go; where there is no such, the one at `at` may be gone.
    fn show_at(
        &mut self,
        at: At,
        start: VirtAddr,
        from: VirtRange,
        range: VirtRange,
        but: Option<At>,
    ) -> Result<(), OutOfMemory> {
        let copy = self.copy_of(at, start, range);
        let (touched, prot) = (copy.touched, copy.prot);
        let behind = self.vmas.find(range.start().get());
        let look = copy.look();
        let wanted = Wanted { range, look, bias: copy.bias, anon: copy.anon, kind: &copy.kind, but };
        let merge = self.can_merge(self.vmas.before(behind), &wanted);
        let into = match merge {
            Some(merge) => {
                self.adopt(&merge)?;
                self.move_pages(touched, from, range, prot)?;
                self.vma_merge(merge, range)?
            }
            None => {
                let new = self.vma_link(copy, behind)?;
                if let Err(error) = self.move_pages(touched, from, range, prot) {
                    drop(self.vma_unlink(new));
                    return Err(error);
                }
                new
            }
        };
        self.vmas.vma_mut(into).touched |= touched;
        Ok(())
    }

    fn move_pages(
        &mut self,
        touched: bool,
        from: VirtRange,
        range: VirtRange,
        prot: crate::desc::Prot,
    ) -> Result<(), OutOfMemory> {
        if !touched || from.is_empty() {
            return Ok(());
        }
        self.tables.relocate(from, range.start())?;
        if !prot.is_empty() {
            self.tables.revive(VirtRange::with_len(range.start(), from.len()).unwrap_or(range));
        }
        Ok(())
    }

    /// What the new one is. Anonymous memory without pages begins anew, so that it may merge where it goes.
    fn copy_of(&mut self, at: At, start: VirtAddr, range: VirtRange) -> Vma<B> {
        let vma = self.vmas.vma(at);
        let page = range.start().get() >> PAGE_SHIFT;
        let shift = if vma.has_anon() { vma.anon_index(start).wrapping_sub(page) } else { 0 };
        let bias = if vma.backing().is_none() { shift } else { vma.index(start).wrapping_sub(page) };
        let mut copy = Vma { range, bias, shift, ..vma.clone() };
        if let Kind::Peek(_, peek) = &mut copy.kind {
            self.peeks += 1;
            *peek = Peek { pointer: range.start(), end: range.end(), serial: self.peeks };
        }
        copy
    }

    /// `MREMAP_DONTUNMAP`: the pages of `from` have gone. As on Linux, all of the VMA is unlocked, what stays with its pages
    /// too; where none stays, it is as if nobody had touched it.
    fn leave_empty(&mut self, from: VirtRange) {
        let Some(at) = self.vmas.find(from.start().get()) else { return };
        let vma = self.vmas.vma(at);
        let empty = vma.range() == from;
        if empty && vma.shift != 0 && vma.backing().is_some() {
            self.moved.unlink(self.moved_mapper(vma));
            self.vmas.vma_mut(at).shift = 0;
        }
        let vma = self.vmas.vma_mut(at);
        if empty {
            (vma.touched, vma.anon) = (false, None);
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            vma.flags.remove(VmaFlags::LOCKS);
            self.locked -= vma.pages().get();
        }
    }
}

/// What `get_unmapped_area` says of a fixed place.
fn place_error(error: MapError) -> RemapError {
    match error {
        MapError::Invalid | MapError::Overflow | MapError::Exists => RemapError::Invalid,
        MapError::TooLow => RemapError::TooLow,
        MapError::OutOfMemory | MapError::LockForbidden | MapError::LockLimit => RemapError::OutOfMemory,
    }
}
