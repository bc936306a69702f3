//! What is not durable yet: of each line the values stored since, in order, and who has sent how many on their way.

use std::collections::BTreeMap;

use crate::image::{Image, each_word};
use crate::{LINE_SIZE, WORD_SIZE};

const WORDS_PER_LINE: u64 = LINE_SIZE / WORD_SIZE;

/// A value stored in a word.
#[derive(Clone, Copy)]
struct Stored {
    word: u64,
    value: u64,
    /// The store's number: a later one's is higher.
    number: u64,
}

/// A line whose clean has begun.
#[derive(Clone, Copy)]
struct Cleaned {
    /// The CPU whose fence completes it.
    cpu: u32,
    line: u64,
    /// The stores before it have lower numbers.
    end: u64,
}

/// A medium's durable bytes and everything a power cut may or may not add to them.
#[derive(Clone)]
pub(crate) struct Pending {
    durable: Image,
    /// Lines with stores that are not durable.
    lines: BTreeMap<u64, Vec<Stored>>,
    /// Since the last fence of their CPU.
    cleaned: Vec<Cleaned>,
    /// The next store's number.
    next: u64,
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
        Self { durable, lines: BTreeMap::new(), cleaned: Vec::new(), next: 0 }
    }

    pub(crate) fn durable(&self) -> &Image {
        &self.durable
    }

    /// Notes that a word holds `value` from now on, which is another than before: the same again is no new choice for a
    /// power cut.
    pub(crate) fn store(&mut self, word: u64, value: u64) {
        let stored = Stored { word, value, number: self.next };
        self.lines.entry(word / WORDS_PER_LINE).or_default().push(stored);
        self.next += 1;
    }

    /// Starts the write-back of a line by `cpu`: the values it holds now are durable after the next fence there.
    pub(crate) fn clean(&mut self, cpu: u32, line: u64) {
        if self.lines.contains_key(&line) {
            self.cleaned.push(Cleaned { cpu, line, end: self.next });
        }
    }

    /// Whether a fence of `cpu` would make anything durable.
    pub(crate) fn is_fence_due(&self, cpu: u32) -> bool {
        self.cleaned.iter().any(|cleaned| cleaned.cpu == cpu)
    }

    /// Everything that `cpu` cleaned has arrived. What was stored behind the clean has not.
    pub(crate) fn fence(&mut self, cpu: u32) {
        for Cleaned { line, end, .. } in self.cleaned.extract_if(.., |cleaned| cleaned.cpu == cpu) {
            let Some(stores) = self.lines.get_mut(&line) else { continue };
            for stored in stores.extract_if(.., |stored| stored.number < end) {
                self.durable.set_word(stored.word, stored.value);
            }
            if stores.is_empty() {
                self.lines.remove(&line);
            }
        }
    }

    /// Makes bytes durable at once, whatever was pending there.
    pub(crate) fn overwrite(&mut self, at: u64, bytes: &[u8]) {
        self.durable.write(at, bytes);
        each_word(at, bytes, |word, _, _| {
            if let Some(stores) = self.lines.get_mut(&(word / WORDS_PER_LINE)) {
                stores.retain(|stored| stored.word != word);
            }
        });
    }

    /// Every word that a power cut may leave with more than one value, in order of place.
    pub(crate) fn doubts(&self) -> Vec<Doubt> {
        let mut doubts: Vec<Doubt> = Vec::new();
        for stores in self.lines.values() {
            let first = doubts.len();
            for stored in stores {
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
