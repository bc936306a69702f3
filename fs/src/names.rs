//! A directory's names: found by hash, listed in the order they came, with cursors that stay good.

use alloc::vec;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::error::Error;
use crate::types::MAX_NAME;

/// Cursors below this belong to `.` and `..`.
pub(crate) const FIRST_CURSOR: u64 = 2;
/// A place in the index that was never used.
const EMPTY: u32 = u32::MAX;
/// Slots of names that have gone, kept however few names are left.
const SPARE: usize = 16;
/// A place whose name has gone.
const GONE: u32 = u32::MAX - 1;

/// A name. Most are short, and need no heap.
type Name = SmallVec<[u8; 24]>;

/// What one name leads to.
struct Slot<T> {
    cursor: u64,
    hash: u32,
    name: Name,
    /// `None` when the name has gone.
    target: Option<T>,
}

/// Names, each leading to a `T`.
pub(crate) struct Names<T> {
    /// In rising cursor.
    slots: Vec<Slot<T>>,
    /// Open addressing, linear probing: places in `slots`, or [`EMPTY`] or [`GONE`]. A power of two, or nothing.
    index: Vec<u32>,
    live: usize,
    bytes: u64,
    next_cursor: u64,
    seed: u64,
}

impl<T> Names<T> {
    /// No names; `seed` keeps programs from choosing names that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), index: Vec::new(), live: 0, bytes: 0, next_cursor: FIRST_CURSOR, seed }
    }

    /// Names there are.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Bytes of all names.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What `name` leads to.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&T> {
        let (_, slot) = self.find(name, hash(self.seed, name))?;
        self.slots[slot].target.as_ref()
    }

    /// Lets `name` lead to `target`; answers what it led to before. A replaced name keeps its cursor.
    #[inline]
    pub(crate) fn put(&mut self, name: &[u8], target: T) -> Option<T> {
        let hash = hash(self.seed, name);
        if let Some((_, slot)) = self.find(name, hash) {
            return self.slots[slot].target.replace(target);
        }
        if (self.slots.len() + 1) * 4 > self.index.len() * 3 {
            self.rebuild();
        }
        let place = self.vacant(hash);
        // `rebuild` grows the index with `slots`, whose length thus stays far below the two marks.
        self.index[place] = self.slots.len() as u32;
        self.slots.push(Slot { cursor: self.next_cursor, hash, name: Name::from_slice(name), target: Some(target) });
        self.next_cursor += 1;
        self.live += 1;
        self.bytes += name.len() as u64;
        None
    }

    /// Takes `name` away; answers what it led to.
    #[inline]
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<T> {
        let (place, slot) = self.find(name, hash(self.seed, name))?;
        self.index[place] = GONE;
        self.live -= 1;
        self.bytes -= name.len() as u64;
        self.slots[slot].name = Name::new();
        let target = self.slots[slot].target.take();
        if self.slots.len() > 2 * self.live + SPARE {
            self.rebuild();
        }
        target
    }

    /// Cursor, name and target of every name from `cursor` on.
    pub(crate) fn starting_at(&self, cursor: u64) -> impl Iterator<Item = (u64, &[u8], &T)> {
        let first = self.slots.partition_point(|slot| slot.cursor < cursor);
        let live = |slot: &'_ Slot<T>| slot.target.is_some();
        self.slots[first..]
            .iter()
            .filter(move |slot| live(slot))
            .filter_map(|slot| Some((slot.cursor, &*slot.name, slot.target.as_ref()?)))
    }

    /// Every name and target.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.starting_at(0).map(|(_, name, target)| (name, target))
    }

    /// The same names, leading to what `turn` makes of each target; those it makes nothing of are left out.
    pub(crate) fn turned<U>(self, mut turn: impl FnMut(T) -> Option<U>) -> Names<U> {
        let Self { slots, index, mut live, mut bytes, next_cursor, seed } = self;
        let slots = slots.into_iter().map(|Slot { cursor, hash, name, target }| {
            let was_live = target.is_some();
            let target = target.and_then(&mut turn);
            if was_live && target.is_none() {
                // Its place in the index leads to a slot without a name from here on, which no name is found in.
                (live, bytes) = (live - 1, bytes - name.len() as u64);
                return Slot { cursor, hash, name: Name::new(), target };
            }
            Slot { cursor, hash, name, target }
        });
        let slots = slots.collect();
        Names { slots, index, live, bytes, next_cursor, seed }
    }

    /// Takes every target out, leaving no name.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.index.clear();
        (self.live, self.bytes) = (0, 0);
        core::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.target)
    }

    /// The places of `name` in the index and in `slots`.
    #[inline]
    fn find(&self, name: &[u8], hash: u32) -> Option<(usize, usize)> {
        let mask = self.index.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        loop {
            match self.index[place] {
                EMPTY => return None,
                GONE => {}
                slot => {
                    let slot = slot as usize;
                    if self.slots[slot].hash == hash && *self.slots[slot].name == *name {
                        return Some((place, slot));
                    }
                }
            }
            place = (place + 1) & mask;
        }
    }

    /// A place for a name that is not there; the index is never full.
    #[inline]
    fn vacant(&self, hash: u32) -> usize {
        let mask = self.index.len() - 1;
        let mut place = hash as usize & mask;
        while self.index[place] != EMPTY && self.index[place] != GONE {
            place = (place + 1) & mask;
        }
        place
    }

    /// Drops the slots of names that have gone, and makes an index with room for as many names again.
    fn rebuild(&mut self) {
        self.slots.retain(|slot| slot.target.is_some());
        let places = ((self.slots.len() + 1) * 2).next_power_of_two().max(8);
        self.index = vec![EMPTY; places];
        for slot in 0..self.slots.len() {
            let place = self.vacant(self.slots[slot].hash);
            self.index[place] = slot as u32;
        }
    }
}

/// Eight bytes a step, each folded in by a multiplication whose high half is kept.
#[inline]
fn hash(seed: u64, name: &[u8]) -> u32 {
    let mut state = seed ^ name.len() as u64;
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        state = fold(state ^ chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
    let rest = chunks.remainder().iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let folded = fold(state ^ rest);
    (folded ^ folded >> 32) as u32
}

fn fold(word: u64) -> u64 {
    let wide = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (wide >> 64) as u64 ^ wide as u64
}

/// Whether `name` may be given to something new.
///
/// # Errors
/// [`Error::NotFound`] for the empty name, as Linux has it, [`Error::NameTooLong`], [`Error::Invalid`].
#[inline]
pub(crate) fn checked(name: &[u8]) -> Result<(), Error> {
    match name {
        [] => Err(Error::NotFound),
        _ if name.len() > MAX_NAME => Err(Error::NameTooLong),
        _ if name.iter().any(|&byte| byte == b'/' || byte == 0) => Err(Error::Invalid),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn cursors_stay_good_while_names_come_and_go() {
        let mut names = Names::new(7);
        for number in 0..100 {
            names.put(format!("name-{number}").as_bytes(), number);
        }
        let (cursor, ..) = names.starting_at(0).nth(50).unwrap();
        for number in (0..100).filter(|number| number % 3 == 0) {
            names.remove(format!("name-{number}").as_bytes());
        }
        for number in 100..300 {
            names.put(format!("name-{number}").as_bytes(), number);
        }
        let rest: Vec<i32> = names.starting_at(cursor).map(|(.., &number)| number).take(4).collect();
        assert_eq!(rest, [50, 52, 53, 55]);
        assert_eq!(names.starting_at(cursor).count(), 33 + 200);
    }

    proptest! {
        #[test]
        fn any_steps_agree_with_a_sorted_map(steps in prop::collection::vec((0u16..80, any::<bool>()), 0..600)) {
            let (mut names, mut model) = (Names::new(3), BTreeMap::new());
            for (at, (number, put)) in steps.into_iter().enumerate() {
                let name = format!("{number:>0$}", usize::from(number % 20));
                if put {
                    prop_assert_eq!(names.put(name.as_bytes(), at), model.insert(name, at));
                } else {
                    prop_assert_eq!(names.remove(name.as_bytes()), model.remove(&name));
                }
                prop_assert_eq!(names.len(), model.len());
            }
            for (name, at) in &model {
                prop_assert_eq!(names.get(name.as_bytes()), Some(at));
            }
            prop_assert_eq!(names.iter().count(), model.len());
            prop_assert_eq!(names.bytes(), model.keys().map(|name| name.len() as u64).sum::<u64>());
        }
    }
}
