//! Things by inode number, in its order: a sorted map of leaves, each for a short range of numbers.
//!
//! Numbers are given in rising order, and most of what is asked comes in that order too. So the leaf in use last is kept
//! out of the map, at hand, and most steps are no more than an index into it. Numbers far apart, as a medium may claim
//! them, cost a leaf each.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::mem;

/// Numbers in a leaf.
const WIDTH: u64 = 16;

/// The things of one range of numbers.
struct Leaf<T> {
    slots: [Option<T>; WIDTH as usize],
    live: usize,
}

/// Things by number.
pub(crate) struct Table<T> {
    /// Leaves by their number divided by [`WIDTH`]; none is empty.
    leaves: BTreeMap<u64, Box<Leaf<T>>>,
    /// One that is not in the map, and may be empty: the leaf in use last.
    hand: Option<(u64, Box<Leaf<T>>)>,
    len: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { leaves: BTreeMap::new(), hand: None, len: 0 }
    }
}

/// The leaf of a number, and its slot there.
fn split(number: u64) -> (u64, usize) {
    (number / WIDTH, (number % WIDTH) as usize)
}

impl<T> Leaf<T> {
    fn new() -> Box<Self> {
        Box::new(Self { slots: [const { None }; WIDTH as usize], live: 0 })
    }

    /// What it holds, with numbers, where it is the leaf `key`.
    fn iter(&self, key: u64) -> impl Iterator<Item = (u64, &T)> {
        let numbered = (0..WIDTH).zip(&self.slots);
        numbered.filter_map(move |(slot, thing)| Some((key * WIDTH + slot, thing.as_ref()?)))
    }
}

impl<T> Table<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What has this number.
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let (key, slot) = split(number);
        let leaf = match &self.hand {
            Some((at, leaf)) if *at == key => leaf,
            _ => self.leaves.get(&key)?,
        };
        leaf.slots[slot].as_ref()
    }

    /// What has this number, to be changed. Numbers near it are found at once from here on.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (key, slot) = split(number);
        self.take_up(key)?.slots[slot].as_mut()
    }

    /// Gives `thing` the number; answers what had it.
    #[inline]
    pub(crate) fn insert(&mut self, number: u64, thing: T) -> Option<T> {
        let (key, slot) = split(number);
        if self.take_up(key).is_none() {
            self.hand = Some((key, Leaf::new()));
        }
        let (_, leaf) = self.hand.as_mut()?;
        let before = leaf.slots[slot].replace(thing);
        let more = usize::from(before.is_none());
        leaf.live += more;
        self.len += more;
        before
    }

    /// Takes away what has this number, and answers it.
    #[inline]
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let (key, slot) = split(number);
        let leaf = self.take_up(key)?;
        let gone = leaf.slots[slot].take()?;
        leaf.live -= 1;
        self.len -= 1;
        Some(gone)
    }

    /// All of them in rising number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.starting_at(0)
    }

    /// Those with this number and higher ones.
    pub(crate) fn starting_at(&self, number: u64) -> impl Iterator<Item = (u64, &T)> {
        let from = number / WIDTH;
        let hand = self.hand.as_ref().filter(|(key, _)| *key >= from);
        let turn = hand.map_or(from, |(key, _)| *key);
        let before = self.leaves.range(from..turn);
        let behind = self.leaves.range(turn..);
        let leaves = before.chain(hand.map(|(key, leaf)| (key, leaf))).chain(behind);
        leaves.flat_map(|(&key, leaf)| leaf.iter(key)).skip_while(move |(at, _)| *at < number)
    }

    /// All of them in rising number, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.put_down();
        self.leaves.iter_mut().flat_map(|(&key, leaf)| {
            let numbered = (0..WIDTH).zip(&mut leaf.slots);
            numbered.filter_map(move |(slot, thing)| Some((key * WIDTH + slot, thing.as_mut()?)))
        })
    }

    /// All of them in rising number.
    pub(crate) fn into_iter(mut self) -> impl Iterator<Item = (u64, T)> {
        self.put_down();
        self.leaves.into_iter().flat_map(|(key, leaf)| {
            let numbered = (0..WIDTH).zip(leaf.slots);
            numbered.filter_map(move |(slot, thing)| Some((key * WIDTH + slot, thing?)))
        })
    }

    /// The leaf `key`, at hand from here on.
    #[inline]
    fn take_up(&mut self, key: u64) -> Option<&mut Leaf<T>> {
        if self.hand.as_ref().is_none_or(|(at, _)| *at != key) {
            self.change_hand(key);
        }
        self.hand.as_mut().map(|(_, leaf)| &mut **leaf)
    }

    fn change_hand(&mut self, key: u64) {
        self.put_down();
        self.hand = self.leaves.remove(&key).map(|leaf| (key, leaf));
    }

    /// Puts the leaf at hand back to the others.
    fn put_down(&mut self) {
        if let Some((key, leaf)) = mem::take(&mut self.hand)
            && leaf.live > 0
        {
            self.leaves.insert(key, leaf);
        }
    }
}

impl<T> FromIterator<(u64, T)> for Table<T> {
    fn from_iter<I: IntoIterator<Item = (u64, T)>>(things: I) -> Self {
        let mut table = Self::default();
        for (number, thing) in things {
            table.insert(number, thing);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_steps_agree_with_a_sorted_map(
            steps in prop::collection::vec((0u8..4, prop_oneof![0u64..80, Just(u64::MAX), Just(1 << 60)]), 0..400)
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (at, (step, number)) in steps.into_iter().enumerate() {
                match step {
                    0 => prop_assert_eq!(table.remove(number), model.remove(&number)),
                    1 => prop_assert_eq!(table.get_mut(number), model.get_mut(&number)),
                    _ => prop_assert_eq!(table.insert(number, at), model.insert(number, at)),
                }
                prop_assert_eq!(table.get(number), model.get(&number));
                prop_assert_eq!(table.len(), model.len());
                let from: Vec<_> = table.starting_at(number).map(|(number, &at)| (number, at)).collect();
                prop_assert!(from.into_iter().eq(model.range(number..).map(|(&number, &at)| (number, at))));
            }
            prop_assert!(table.iter().eq(model.iter().map(|(&number, at)| (number, at))));
            prop_assert!(table.iter_mut().map(|(number, &mut at)| (number, at)).eq(model.clone()));
            prop_assert!(table.into_iter().eq(model));
        }
    }
}
