//! The choices of a power cut: for every word in doubt one of its values.
//!
//! A [`Choice`] is a list of indices into the values of the [`Doubt`]s. All choices are counted through like the digits
//! of a number where that is possible; where there are too many, [`telling`] choices come first and chance does the rest.

use std::collections::HashSet;

use pmem::badblocks::Badblocks;

use crate::image::{Image, scramble};
use crate::pending::{Doubt, Pending};
use crate::{LINE_SIZE, SimMedium, WORD_SIZE};

/// One index for each doubt: 0 is the durable value, the last the newest.
type Choice = Box<[u32]>;

/// The media that a power cut at one moment can leave; see [`SimMedium::crash_states`].
pub struct CrashStates {
    durable: Image,
    badblocks: Badblocks,
    doubts: Vec<Doubt>,
    choices: Choices,
    total: u128,
}

enum Choices {
    /// The next choice of all there are; `None` behind the last.
    All(Option<Choice>),
    /// A selection, in the order it is given out.
    Some(std::vec::IntoIter<Choice>),
}

impl CrashStates {
    pub(crate) fn new(pending: &Pending, badblocks: Badblocks, limit: usize, seed: u64) -> Self {
        let doubts = pending.doubts();
        let total = doubts.iter().fold(1_u128, |total, doubt| total.saturating_mul(doubt.values.len() as u128));
        let choices = if total <= limit as u128 {
            Choices::All(Some(vec![0; doubts.len()].into()))
        } else {
            Choices::Some(select(&doubts, limit, seed).into_iter())
        };
        Self { durable: pending.durable().clone(), badblocks, doubts, choices, total }
    }

    /// Whether every state there is comes out.
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.choices, Choices::All(_))
    }

    /// How many states there are, given out or not; at most `u128::MAX`.
    pub fn total(&self) -> u128 {
        self.total
    }

    fn build(&self, choice: &[u32]) -> SimMedium {
        let mut image = self.durable.clone();
        for (doubt, &index) in self.doubts.iter().zip(choice) {
            if index > 0 {
                image.set_word(doubt.word, doubt.values[index as usize]);
            }
        }
        SimMedium::from_image(image).with_bad(self.badblocks.clone())
    }
}

impl Iterator for CrashStates {
    type Item = SimMedium;

    fn next(&mut self) -> Option<SimMedium> {
        let choice = match &mut self.choices {
            Choices::Some(selected) => selected.next()?,
            Choices::All(next) => {
                let choice = next.take()?;
                *next = successor(&self.doubts, &choice);
                choice
            }
        };
        Some(self.build(&choice))
    }
}

/// Counts one up: the first digit that can grow does, those before it fall back to 0.
fn successor(doubts: &[Doubt], choice: &[u32]) -> Option<Choice> {
    let mut next: Choice = choice.into();
    for (digit, doubt) in next.iter_mut().zip(doubts) {
        if *digit as usize + 1 < doubt.values.len() {
            *digit += 1;
            return Some(next);
        }
        *digit = 0;
    }
    None
}

/// `limit` different choices out of more than that.
fn select(doubts: &[Doubt], limit: usize, seed: u64) -> Vec<Choice> {
    let mut seen = HashSet::new();
    let mut selected = Vec::with_capacity(limit);
    let mut take = |choice: Choice| {
        if selected.len() < limit && seen.insert(choice.clone()) {
            selected.push(choice);
        }
        selected.len() < limit
    };
    if telling(doubts, limit, seed, &mut take) {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_add(1);
            ((u128::from(scramble(random)) * u128::from(below)) >> 64) as u64
        };
        // There are more choices than `limit`, so a new one always comes; the bound only guards against bad luck.
        for _ in 0..limit * 16 {
            // How likely a word is to have made it differs from state to state.
            let newest = draw(9);
            let mut pick = |doubt: &Doubt| match draw(8) < newest {
                true => 1 + draw(doubt.values.len() as u64 - 1) as u32,
                false => 0,
            };
            if !take(doubts.iter().map(&mut pick).collect()) {
                break;
            }
        }
    }
    selected
}

/// Offers the choices that find most faults, until `take` has enough: nothing and everything, then by line and by word
/// all but one, only one, everything up to one, and from one on. Lines and words take a third of `limit` each at most,
/// spread evenly.
fn telling(doubts: &[Doubt], limit: usize, seed: u64, take: &mut impl FnMut(Choice) -> bool) -> bool {
    let newest = |doubt: &Doubt| doubt.values.len() as u32 - 1;
    let mut offer = |chosen: &dyn Fn(&Doubt) -> bool| {
        take(doubts.iter().map(|doubt| if chosen(doubt) { newest(doubt) } else { 0 }).collect())
    };
    let mut go_on = offer(&|_| false) && offer(&|_| true);
    for per in [LINE_SIZE / WORD_SIZE, 1] {
        let mut groups: Vec<u64> = doubts.iter().map(|doubt| doubt.word / per).collect();
        groups.dedup();
        let step = (groups.len() * 3 * 4).div_ceil(limit.max(1)).max(1);
        for &group in groups.iter().skip(seed as usize % step).step_by(step) {
            go_on = go_on
                && offer(&|doubt| doubt.word / per != group)
                && offer(&|doubt| doubt.word / per == group)
                && offer(&|doubt| doubt.word / per <= group)
                && offer(&|doubt| doubt.word / per >= group);
        }
    }
    go_on
}
