//! Words for numbers: all of a kind in one text, a line each.
//!
//! As strings of their own they would take the pointer and the length as well, and a branch of the machine each where
//! the compiler makes a jump of the search: more than the words themselves.

/// The word of `number` among `words`, whose lines are in the order of `numbers`.
pub(crate) fn find(numbers: &[u16], words: &'static str, number: u64) -> Option<&'static str> {
    let place = numbers.iter().position(|&known| u64::from(known) == number)?;
    words.split('\n').nth(place)
}
