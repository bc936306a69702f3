//! What is not durable yet: of each line the values stored since, in order, and how many of them are on their way.

use std::collections::BTreeMap;

use crate::image::{Image, each_word};
use crate::{LINE_SIZE, WORD_SIZE};

const WORDS_PER_LINE: u64 = LINE_SIZE / WORD_SIZE;

/// A value stored in a word.
#[derive(Clone, Copy)]
struct Stored {
    word: u64,
    value: u64,
}

/// A line with stores that are not durable.
#[derive(Clone, Default)]
struct Line {
    stores: Vec<Stored>,
    /// So many of the stores happened before the last clean.
    cleaned: usize,
}

/// A medium's durable bytes and everything a power cut may or may not add to them.
#[derive(Clone)]
pub(crate) struct Pending {
    durable: Image,
    lines: BTreeMap<u64, Line>,
    /// Lines cleaned since the last fence.
    cleaned: Vec<u64>,
}

/// A word that a power cut leaves with one of several values.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    /// The word's number.
    pub(crate) word: u64,
    /// The durable value, then those stored since, oldest first, each once.
    pub(crate) values: Vec<u64>,
}

impl Pending {
    pub(crate) fn new(durable: Image) -> Self {
        Self { durable, lines: BTreeMap::new(), cleaned: Vec::new() }
    }

    pub(crate) fn durable(&self) -> &Image {
        &self.durable
    }

    /// Notes a store; `now` is what the CPU saw before it.
    pub(crate) fn store(&mut self, now: &Image, at: u64, bytes: &[u8]) {
        each_word(at, bytes, |word, mask, value| {
            let was = now.word(word);
            let value = was & !mask | value & mask;
            // The same value again is no new choice for a power cut.
            if value != was {
                self.lines.entry(word / WORDS_PER_LINE).or_default().stores.push(Stored { word, value });
            }
        });
    }

    /// Starts the write-back of a line: the values it holds now are durable after the next fence.
    pub(crate) fn clean(&mut self, line: u64) {
        if let Some(pending) = self.lines.get_mut(&line) {
            pending.cleaned = pending.stores.len();
            self.cleaned.push(line);
        }
    }

    /// Everything cleaned has arrived. What was stored behind the clean has not.
    pub(crate) fn fence(&mut self) {
        for number in std::mem::take(&mut self.cleaned) {
            let Some(line) = self.lines.get_mut(&number) else { continue };
            for stored in line.stores.drain(..std::mem::take(&mut line.cleaned)) {
                self.durable.set_word(stored.word, stored.value);
            }
            if line.stores.is_empty() {
                self.lines.remove(&number);
            }
        }
    }

    /// Makes bytes durable at once, whatever was pending there.
    pub(crate) fn overwrite(&mut self, at: u64, bytes: &[u8]) {
        self.durable.write(at, bytes);
        each_word(at, bytes, |word, _, _| {
            if let Some(line) = self.lines.get_mut(&(word / WORDS_PER_LINE)) {
                let kept = line.stores[..line.cleaned].iter().filter(|stored| stored.word != word).count();
                line.stores.retain(|stored| stored.word != word);
                line.cleaned = kept;
            }
        });
    }

    /// Every word that a power cut may leave with more than one value, in order of place.
    pub(crate) fn doubts(&self) -> Vec<Doubt> {
        let mut doubts: Vec<Doubt> = Vec::new();
        for line in self.lines.values() {
            let first = doubts.len();
            for stored in &line.stores {
                match doubts[first..].iter_mut().find(|doubt| doubt.word == stored.word) {
                    Some(doubt) if doubt.values.contains(&stored.value) => {}
                    Some(doubt) => doubt.values.push(stored.value),
                    None => {
                        let durable = self.durable.word(stored.word);
                        let mut values = vec![durable];
                        values.extend((stored.value != durable).then_some(stored.value));
                        doubts.push(Doubt { word: stored.word, values });
                    }
                }
            }
        }
        doubts.retain(|doubt| doubt.values.len() > 1);
        doubts.sort_unstable_by_key(|doubt| doubt.word);
        doubts
    }
}
