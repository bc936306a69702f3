//! A file's blocks: sorted extents, in chunks that pins share with the file until it changes.
//!
//! Taking a snapshot is one reference count. A change copies the chunks it touches where a snapshot still holds
//! them, and the list of chunks; everything else stays shared.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{mem, slice};

use smallvec::SmallVec;
use units::{BlockNr, ByteLen, FileOff, PmOff};

use crate::error::Error;
use crate::format::BLOCK;
use crate::iomap::{Iomap, IomapFlags, IomapIter, IomapKind, IomapOps};
use crate::space::{Around, HUGE, Near};
use crate::types::MAX_FILE_SIZE;

/// Extents in a chunk at most.
const CHUNK: usize = 128;
/// Extents to either side of a block that are looked at for its place.
const NEIGHBOURS: usize = 8;

/// Whether an extent's blocks hold data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExtentState {
    /// They do.
    Written,
    /// They are the file's, and read as zeros.
    Unwritten,
}

/// Blocks of a file that lie one behind the other on the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    /// First block in the file.
    pub(crate) file: u64,
    /// First block on the medium.
    pub(crate) start: u64,
    /// The file's version that brought the blocks in: pins of earlier versions do not see them.
    pub(crate) birth: u64,
    /// How many blocks.
    pub(crate) blocks: u32,
    /// Whether they hold data.
    pub(crate) state: ExtentState,
}

impl Extent {
    /// The file block behind.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.file + u64::from(self.blocks)
    }

    /// The part that lies in the file blocks `from..to`, which overlap.
    pub(crate) fn cut(&self, from: u64, to: u64) -> Self {
        let (from, to) = (from.max(self.file), to.min(self.end()));
        // Both lie inside the extent, so the difference fits where `blocks` did.
        Self { file: from, start: self.start + (from - self.file), blocks: (to - from) as u32, ..*self }
    }

    /// The mapping from byte `pos`, which lies inside, to the end.
    #[inline]
    pub(crate) fn map(&self, pos: FileOff) -> Iomap {
        let kind = match self.state {
            ExtentState::Written => IomapKind::Mapped,
            ExtentState::Unwritten => IomapKind::Unwritten,
        };
        let length = ByteLen::new(self.end() * BLOCK - pos.get());
        let addr = PmOff::new(self.start * BLOCK + (pos.get() - self.file * BLOCK));
        Iomap { kind, offset: pos, length, addr, flags: IomapFlags::empty() }
    }

    /// The two as one, where they adjoin in file and medium and no pin up to `newest_pin` tells them apart.
    #[inline]
    pub(crate) fn merged(&self, next: &Self, newest_pin: Option<u64>) -> Option<Self> {
        let adjoin =
            self.end() == next.file && self.start + u64::from(self.blocks) == next.start && self.state == next.state;
        let alike = self.birth == next.birth || newest_pin.is_none_or(|pin| pin < self.birth.min(next.birth));
        let blocks = self.blocks.checked_add(next.blocks)?;
        (adjoin && alike).then_some(Self { blocks, birth: self.birth.max(next.birth), ..*self })
    }
}

#[derive(Clone)]
struct Chunk {
    /// File block of the first extent.
    first: u64,
    list: Arc<Vec<Extent>>,
}

/// All extents of a file. Cloning takes a snapshot.
#[derive(Clone, Default)]
pub(crate) struct Extents {
    lists: Lists,
    /// Blocks in all extents.
    blocks: u64,
}

/// How they are kept. Most files have one extent, which needs no heap.
#[derive(Clone, Default)]
enum Lists {
    #[default]
    None,
    One(Extent),
    /// At least two, in chunks; sorted, no chunk empty.
    Many(Arc<Vec<Chunk>>),
}

impl Lists {
    /// The one extent, or none; and the chunks, or none.
    fn parts(&self) -> (&[Extent], &[Chunk]) {
        match self {
            Self::None => (&[], &[]),
            Self::One(one) => (slice::from_ref(one), &[]),
            Self::Many(chunks) => (&[], chunks),
        }
    }

    /// The list that holds the file block `at`, if one does.
    #[inline]
    fn list_of(&self, at: u64) -> &[Extent] {
        match self {
            Self::None => &[],
            Self::One(one) => slice::from_ref(one),
            Self::Many(chunks) => &chunks[chunk_of(chunks, at)].list,
        }
    }
}

impl Extents {
    /// Blocks mapped.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Extents there are.
    pub(crate) fn count(&self) -> u64 {
        let (one, chunks) = self.lists.parts();
        one.len() as u64 + chunks.iter().map(|chunk| chunk.list.len() as u64).sum::<u64>()
    }

    /// All extents in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Extent> {
        let (one, chunks) = self.lists.parts();
        one.iter().chain(chunks.iter().flat_map(|chunk| chunk.list.iter()))
    }

    /// The extents that hold file block `at`, and those behind.
    pub(crate) fn from(&self, at: u64) -> impl Iterator<Item = &Extent> {
        let (one, chunks) = self.lists.parts();
        let near = chunks.get(chunk_of(chunks, at)..).unwrap_or(&[]);
        let all = one.iter().chain(near.iter().flat_map(|chunk| chunk.list.iter()));
        all.skip_while(move |extent| extent.end() <= at)
    }

    /// The file block behind the last extent.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        match &self.lists {
            Lists::None => 0,
            Lists::One(one) => one.end(),
            Lists::Many(chunks) => chunks.last().and_then(|chunk| chunk.list.last()).map_or(0, Extent::end),
        }
    }

    /// The extent that holds file block `at`, or else the next one.
    #[inline]
    pub(crate) fn at_or_after(&self, at: u64) -> Option<&Extent> {
        match &self.lists {
            Lists::None => None,
            Lists::One(one) => (at < one.end()).then_some(one),
            Lists::Many(chunks) => {
                let chunk = chunk_of(chunks, at);
                let list = &chunks[chunk].list;
                match list.get(list.partition_point(|extent| extent.end() <= at)) {
                    Some(extent) => Some(extent),
                    None => chunks.get(chunk + 1)?.list.first(),
                }
            }
        }
    }

    /// The extent that holds file block `at`.
    #[inline]
    pub(crate) fn at(&self, at: u64) -> Option<&Extent> {
        self.at_or_after(at).filter(|extent| extent.file <= at)
    }

    /// Good places for the file block `at` and those behind it.
    pub(crate) fn near(&self, at: u64) -> Near {
        Near { goal: self.goal(at), home: if self.end() > HUGE { self.home(at) } else { None }, ..Near::default() }
    }

    /// The same for one block of a file of `blocks`, of which any may come next.
    pub(crate) fn near_any(&self, at: u64, blocks: u64) -> Near {
        let from = at - at % HUGE;
        if from + HUGE > blocks {
            return self.near(at);
        }
        if self.at_or_after(from).is_none_or(|extent| extent.file >= from + HUGE) {
            return Near { goal: None, home: None, around: Around::Nothing };
        }
        let home = self.home(at);
        Near { goal: if home.is_some() { None } else { self.goal(at) }, home, around: Around::Some }
    }

    /// The block of the medium behind the one that holds the file block before `at`.
    fn goal(&self, at: u64) -> Option<BlockNr> {
        let before = at.checked_sub(1)?;
        self.at(before).map(|extent| BlockNr::new(extent.start + (at - extent.file)))
    }

    /// Where file block `at` would lie in step with the longest extent near it in the same 2 MiB of the file that agrees
    /// with the medium modulo 2 MiB.
    fn home(&self, at: u64) -> Option<BlockNr> {
        let (from, to) = (at - at % HUGE, at - at % HUGE + HUGE);
        let list = self.lists.list_of(at);
        let place = list.partition_point(|extent| extent.end() <= at);
        let near = &list[place.saturating_sub(NEIGHBOURS)..list.len().min(place + NEIGHBOURS)];
        // The next one may lie in the next list.
        let inside = near.iter().chain(self.at_or_after(at)).filter(|extent| extent.file < to && extent.end() > from);
        let in_step = inside.filter(|extent| extent.start % HUGE == extent.file % HUGE);
        let longest = in_step.map(|extent| extent.cut(from, to)).max_by_key(|extent| extent.blocks)?;
        (longest.start + at).checked_sub(longest.file).map(BlockNr::new)
    }

    /// The mapping from byte `pos` on, as far as it goes.
    #[inline]
    pub(crate) fn map(&self, pos: FileOff) -> Iomap {
        let block = pos.get() / BLOCK;
        let hole = |end: u64| Iomap {
            kind: IomapKind::Hole,
            offset: pos,
            length: ByteLen::new(end.saturating_sub(pos.get())),
            ..Iomap::default()
        };
        match self.at_or_after(block) {
            None => hole(MAX_FILE_SIZE.max(pos.get().saturating_add(BLOCK))),
            Some(extent) if extent.file > block => hole(extent.file * BLOCK),
            Some(extent) => extent.map(pos),
        }
    }

    /// Makes `new`, sorted and inside the file blocks `from..to`, all that is mapped there; `removed` is shown what was.
    pub(crate) fn replace(
        &mut self,
        (from, to): (u64, u64),
        new: &[Extent],
        newest_pin: Option<u64>,
        mut removed: impl FnMut(Extent),
    ) {
        if from >= to {
            return;
        }
        let mut gone = 0;
        let mut removed = |extent: Extent| {
            gone += u64::from(extent.blocks);
            removed(extent);
        };
        if !self.lists.replace_one((from, to), new, newest_pin, &mut removed) {
            self.lists.replace((from, to), new, newest_pin, &mut removed);
        }
        self.blocks = self.blocks + new.iter().map(|extent| u64::from(extent.blocks)).sum::<u64>() - gone;
    }

    /// Takes away all that is mapped from file block `from` on, in time that goes with the lists there, not the extents,
    /// where it is all or little.
    pub(crate) fn split_off(&mut self, from: u64) -> Self {
        if from == 0 {
            return mem::take(self);
        }
        let lists = self.lists.split_off(from);
        let mut behind = Self { lists, blocks: 0 };
        behind.blocks = behind.iter().map(|extent| u64::from(extent.blocks)).sum();
        self.blocks -= behind.blocks;
        behind
    }

    /// Restates what always holds; for tests.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let (mut end, mut blocks) = (0, 0);
        let (_, chunks) = self.lists.parts();
        for chunk in chunks {
            assert_eq!(chunk.first, chunk.list[0].file);
            assert!(chunk.list.len() <= CHUNK);
        }
        for extent in self.iter() {
            assert!(extent.blocks > 0 && extent.file >= end);
            (end, blocks) = (extent.end(), blocks + u64::from(extent.blocks));
        }
        assert_eq!(blocks, self.blocks);
        assert!(!matches!(self.lists, Lists::Many(_)) || self.count() > 1, "one extent needs no chunk");
    }
}

impl Lists {
    /// The part of [`Extents::replace`] that most writes need, where no chunk comes into it: one extent takes the place of
    /// the only one, goes on behind it, or is the first. Answers whether it was that, and has happened.
    #[inline]
    fn replace_one(
        &mut self,
        (from, to): (u64, u64),
        new: &[Extent],
        newest_pin: Option<u64>,
        removed: &mut impl FnMut(Extent),
    ) -> bool {
        match (&mut *self, new) {
            (Self::None, []) => true,
            (Self::None, [one]) => {
                *self = Self::One(*one);
                true
            }
            (Self::One(old), new) if from <= old.file && old.end() <= to && new.len() <= 1 => {
                removed(*old);
                *self = new.first().map_or(Self::None, |one| Self::One(*one));
                true
            }
            (Self::One(old), [one]) if old.end() <= from => match old.merged(one, newest_pin) {
                Some(both) => {
                    *old = both;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// [`Extents::replace`], whatever there is.
    fn replace(
        &mut self,
        (from, to): (u64, u64),
        new: &[Extent],
        newest_pin: Option<u64>,
        removed: &mut impl FnMut(Extent),
    ) {
        let chunks = Arc::make_mut(self.chunks());
        if chunks.is_empty() {
            chunks.push(Chunk { first: from, list: Arc::default() });
        }
        let low = chunk_of(chunks, from);
        let high = chunks.partition_point(|chunk| chunk.first < to).max(low + 1);
        let further: SmallVec<[Chunk; 1]> = chunks.drain(low + 1..high).collect();
        let list = Arc::make_mut(&mut chunks[low].list);
        for chunk in &further {
            list.extend_from_slice(&chunk.list);
        }
        edit(list, (from, to), new, newest_pin, removed);
        if list.len() > CHUNK {
            let pieces: Vec<Chunk> = list.chunks(CHUNK / 2).map(|piece| Chunk::of(piece.to_vec())).collect();
            chunks.splice(low..=low, pieces);
        } else if let Some(first) = list.first() {
            chunks[low].first = first.file;
            join(chunks, low, newest_pin);
            if let Some(before) = low.checked_sub(1) {
                join(chunks, before, newest_pin);
            }
        } else {
            chunks.remove(low);
        }
        self.settle();
    }

    /// [`Extents::split_off`], from behind the first block on.
    fn split_off(&mut self, from: u64) -> Self {
        match self {
            Self::None => return Self::None,
            Self::One(one) if one.end() <= from => return Self::None,
            Self::One(one) if from <= one.file => return mem::take(self),
            Self::One(one) => {
                let behind = one.cut(from, one.end());
                *one = one.cut(one.file, from);
                return Self::One(behind);
            }
            Self::Many(_) => {}
        }
        let chunks = Arc::make_mut(self.chunks());
        let place = chunk_of(chunks, from);
        let mut gone = chunks.split_off(place + 1);
        let list = Arc::make_mut(&mut chunks[place].list);
        let first = list.partition_point(|extent| extent.end() <= from);
        let mut behind = list.split_off(first);
        if let Some(cut) = behind.first_mut().filter(|cut| cut.file < from) {
            list.push(cut.cut(cut.file, from));
            *cut = cut.cut(from, cut.end());
        }
        if list.is_empty() {
            chunks.remove(place);
        }
        if !behind.is_empty() {
            gone.insert(0, Chunk::of(behind));
        }
        self.settle();
        let mut gone = Self::Many(Arc::new(gone));
        gone.settle();
        gone
    }

    /// What there is in chunks, whatever it is, to be changed; [`Lists::settle`] comes behind that.
    fn chunks(&mut self) -> &mut Arc<Vec<Chunk>> {
        let few = match self {
            Self::None => Some(Vec::new()),
            Self::One(one) => Some(Vec::from([Chunk::of(Vec::from([*one]))])),
            Self::Many(_) => None,
        };
        if let Some(few) = few {
            *self = Self::Many(Arc::new(few));
        }
        match self {
            Self::Many(chunks) => chunks,
            Self::None | Self::One(_) => unreachable!("made chunks above"),
        }
    }

    /// Does without chunks where there are not two extents.
    fn settle(&mut self) {
        let Self::Many(chunks) = self else { return };
        let few = match chunks.as_slice() {
            [] => Self::None,
            [chunk] => match chunk.list.as_slice() {
                [one] => Self::One(*one),
                _ => return,
            },
            _ => return,
        };
        *self = few;
    }
}

/// The place of the chunk that holds the file block `at`, if one does.
#[inline]
fn chunk_of(chunks: &[Chunk], at: u64) -> usize {
    if chunks.len() <= 1 { 0 } else { chunks.partition_point(|chunk| chunk.first <= at).max(1) - 1 }
}

impl Chunk {
    fn of(list: Vec<Extent>) -> Self {
        Self { first: list.first().map_or(0, |extent| extent.file), list: Arc::new(list) }
    }
}

/// Makes one of chunk `low` and the next where the two are short, so that extents that adjoin become one there too.
fn join(chunks: &mut Vec<Chunk>, low: usize, newest_pin: Option<u64>) {
    let Some([before, behind]) = chunks.get_mut(low..low + 2) else { return };
    if before.list.len() + behind.list.len() > CHUNK / 2 {
        return;
    }
    let list = Arc::make_mut(&mut before.list);
    let both = list.last().zip(behind.list.first()).and_then(|(last, first)| last.merged(first, newest_pin));
    let rest = if both.is_some() { 1 } else { 0 };
    if let (Some(last), Some(both)) = (list.last_mut(), both) {
        *last = both;
    }
    list.extend_from_slice(behind.list.get(rest..).unwrap_or(&[]));
    chunks.remove(low + 1);
}

/// [`edit`] for what most writes do: one extent takes the place of another, or comes behind the last. Answers whether it was
/// one of these, and has happened.
#[inline]
fn edit_one(
    list: &mut Vec<Extent>,
    place: usize,
    (from, to): (u64, u64),
    one: &Extent,
    newest_pin: Option<u64>,
    removed: &mut impl FnMut(Extent),
) -> bool {
    let Some(old) = list.get(place) else {
        match list.last_mut().map(|last| (last.merged(one, newest_pin), last)) {
            Some((Some(both), last)) => *last = both,
            _ => list.push(*one),
        }
        return true;
    };
    let adjoins = |other: Option<&Extent>, joined: fn(&Extent, &Extent, Option<u64>) -> Option<Extent>| {
        other.is_some_and(|other| joined(other, one, newest_pin).is_some())
    };
    let before = place.checked_sub(1).and_then(|before| list.get(before));
    let replaces = old.file == from
        && old.end() == to
        && !adjoins(before, Extent::merged)
        && !adjoins(list.get(place + 1), |behind, one, pin| one.merged(behind, pin));
    if replaces {
        removed(*old);
        list[place] = *one;
    }
    replaces
}

/// The part of [`Extents::replace`] that happens in one list.
fn edit(
    list: &mut Vec<Extent>,
    (from, to): (u64, u64),
    new: &[Extent],
    newest_pin: Option<u64>,
    removed: &mut impl FnMut(Extent),
) {
    let mut low = list.partition_point(|extent| extent.end() <= from);
    if let [one] = new
        && edit_one(list, low, (from, to), one, newest_pin, removed)
    {
        return;
    }
    let mut high = list.partition_point(|extent| extent.file < to).max(low);
    // The most that one new extent makes of its neighbours and of what it cuts needs no heap.
    let mut fill: SmallVec<[Extent; 5]> = SmallVec::new();
    let mut put = |extent: Extent| match fill.last_mut() {
        Some(last) => match last.merged(&extent, newest_pin) {
            Some(both) => *last = both,
            None => fill.push(extent),
        },
        None => fill.push(extent),
    };

    // The neighbours are taken in, so that what now adjoins becomes one extent.
    let (old_low, old_high) = (low, high);
    if low > 0 {
        low -= 1;
        put(list[low]);
    }
    for old in &list[old_low..old_high] {
        removed(old.cut(from, to));
    }
    if let Some(first) = list[old_low..old_high].first().filter(|first| first.file < from) {
        put(first.cut(first.file, from));
    }
    new.iter().for_each(|&extent| put(extent));
    if let Some(last) = list[old_low..old_high].last().filter(|last| last.end() > to) {
        put(last.cut(to, last.end()));
    }
    if high < list.len() {
        put(list[high]);
        high += 1;
    }
    if fill.len() == high - low {
        list[low..high].copy_from_slice(&fill);
    } else {
        list.splice(low..high, fill);
    }
}

impl<P> IomapOps<P> for Extents {
    #[inline]
    fn iomap_begin(&self, iter: &mut IomapIter<P>) -> Result<(), Error> {
        iter.iomap = self.map(iter.pos);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn extent(file: u64, start: u64, blocks: u32) -> Extent {
        Extent { file, start, birth: 0, blocks, state: ExtentState::Written }
    }

    #[test]
    fn adjoining_extents_become_one_unless_a_pin_tells_them_apart() {
        let mut extents = Extents::default();
        let mut removed = Vec::new();
        extents.replace((0, 4), &[extent(0, 100, 4)], None, |extent| removed.push(extent));
        extents.replace((4, 6), &[Extent { birth: 1, ..extent(4, 104, 2) }], Some(0), |extent| removed.push(extent));
        assert_eq!(extents.count(), 2);
        extents.replace((6, 7), &[Extent { birth: 2, ..extent(6, 106, 1) }], Some(0), |extent| removed.push(extent));
        assert_eq!(extents.count(), 2);
        extents.replace((7, 8), &[Extent { birth: 3, ..extent(7, 107, 1) }], None, |extent| removed.push(extent));
        assert_eq!((extents.count(), removed.len()), (2, 0), "only what is touched is merged");
        assert_eq!(extents.map(FileOff::new(5 * BLOCK + 7)).addr.get(), 105 * BLOCK + 7);
    }

    proptest! {
        #[test]
        fn any_replacements_agree_with_a_map_of_blocks(
            steps in prop::collection::vec((0u64..600, 1u64..40, prop::option::of(1000u64..2000)), 1..400)
        ) {
            let (mut extents, mut model) = (Extents::default(), BTreeMap::new());
            let mut snapshots = Vec::new();
            for (number, (from, len, start)) in steps.into_iter().enumerate() {
                let new: Vec<Extent> = start.iter().map(|&start| extent(from, start, len as u32)).collect();
                let mut removed = Vec::new();
                extents.replace((from, from + len), &new, None, |extent| removed.push(extent));
                extents.validate();
                for block in from..from + len {
                    let gone = removed.iter().find(|e| e.file <= block && block < e.end());
                    prop_assert_eq!(gone.map(|e| e.start + block - e.file), model.remove(&block));
                    if let Some(start) = start {
                        model.insert(block, start + block - from);
                    }
                }
                if number % 70 == 69 {
                    let gone = extents.split_off(from);
                    extents.validate();
                    gone.validate();
                    let behind = model.split_off(&from);
                    for block in 0..700 {
                        let found = gone.at(block).map(|e| e.start + block - e.file);
                        prop_assert_eq!(found, behind.get(&block).copied());
                    }
                }
                if number % 50 == 0 {
                    snapshots.push((extents.clone(), model.clone()));
                }
            }
            snapshots.push((extents, model));
            for (extents, model) in snapshots {
                for block in 0..700 {
                    let found = extents.at(block).map(|e| e.start + block - e.file);
                    prop_assert_eq!(found, model.get(&block).copied());
                }
            }
        }
    }
}
