//! 2 MiB of the medium, some of it free: a bit a block.

/// Blocks in a group.
pub(crate) const HUGE: u64 = 512;
/// Bits in a word.
const WORD: u32 = u64::BITS;
const WORDS: usize = HUGE as usize / WORD as usize;

/// Which of a group's blocks are free.
#[derive(Clone)]
pub(super) struct Group {
    /// A one is a free block.
    bits: [u64; WORDS],
    free: u32,
    /// Whether it is on the list of groups that may hold a long run.
    pub(super) listed: bool,
    /// Whether what is free are places of a large file that may want them again.
    pub(super) kept: bool,
}

/// Shows each word that has bits in `from..to`, not empty, and which those are.
#[inline]
fn each_word(from: u32, to: u32, mut show: impl FnMut(usize, u64)) {
    let (first, last) = ((from / WORD) as usize, ((to - 1) / WORD) as usize);
    let (low, high) = (u64::MAX << (from % WORD), u64::MAX >> (WORD - 1 - (to - 1) % WORD));
    if first == last {
        return show(first, low & high);
    }
    show(first, low);
    (first + 1..last).for_each(|word| show(word, u64::MAX));
    show(last, high);
}

impl Group {
    /// A group without a free block.
    pub(super) fn used() -> Self {
        Self { bits: [0; WORDS], free: 0, listed: false, kept: false }
    }

    /// Free blocks.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    fn is_free(&self, block: u32) -> bool {
        self.bits.get((block / WORD) as usize).is_some_and(|word| word >> (block % WORD) & 1 == 1)
    }

    /// Whether the blocks at both ends of `from..to` go on beyond it: how many neighbours are free.
    fn neighbours(&self, from: u32, to: u32) -> i64 {
        i64::from(from > 0 && self.is_free(from - 1)) + i64::from(self.is_free(to))
    }

    /// Makes `from..to`, not empty and used, free; answers how many runs more there are.
    pub(super) fn give(&mut self, from: u32, to: u32) -> i64 {
        each_word(from, to, |word, mask| {
            debug_assert!(self.bits[word] & mask == 0, "blocks {from}..{to} of a group are free already");
            self.bits[word] |= mask;
        });
        self.free += to - from;
        1 - self.neighbours(from, to)
    }

    /// Makes `from..to`, not empty and free, used; answers how many runs more there are.
    pub(super) fn take(&mut self, from: u32, to: u32) -> i64 {
        each_word(from, to, |word, mask| {
            debug_assert!(self.bits[word] & mask == mask, "blocks {from}..{to} of a group are not free");
            self.bits[word] &= !mask;
        });
        self.free -= to - from;
        self.neighbours(from, to) - 1
    }

    /// The first bit from `from` on that is set in what `turn` makes of the words; the group's end where there is none.
    #[inline]
    fn find(&self, from: u32, turn: impl Fn(u64) -> u64) -> u32 {
        let mut word = (from / WORD) as usize;
        let Some(&first) = self.bits.get(word) else { return HUGE as u32 };
        let mut bits = turn(first) & (u64::MAX << (from % WORD));
        while bits == 0 {
            word += 1;
            match self.bits.get(word) {
                Some(&next) => bits = turn(next),
                None => return HUGE as u32,
            }
        }
        word as u32 * WORD + bits.trailing_zeros()
    }

    /// The first free block.
    pub(super) fn first_free(&self) -> Option<u32> {
        let first = self.find(0, |word| word);
        (first < HUGE as u32).then_some(first)
    }

    /// How many blocks from `block` on are free.
    #[inline]
    pub(super) fn room_at(&self, block: u32) -> u32 {
        self.find(block, |word| !word) - block
    }

    /// Its runs of free blocks, where each begins and how long it is.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let from = self.find(at, |word| word);
            (from < HUGE as u32).then(|| {
                at = from + self.room_at(from);
                (from, at - from)
            })
        })
    }

    /// The first run of at least `blocks`.
    pub(super) fn first_fit(&self, blocks: u32) -> Option<u32> {
        if self.free < blocks {
            return None;
        }
        self.runs().find(|run| run.1 >= blocks).map(|run| run.0)
    }

    /// The longest run.
    pub(super) fn longest(&self) -> Option<(u32, u32)> {
        self.runs().max_by_key(|run| run.1)
    }
}
