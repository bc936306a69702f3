//! Memory that is cheap to copy: pages shared until one of the holders writes, and a hash that is always up to date.

use std::sync::Arc;

use units::{ByteLen, PAGE_SIZE};

use crate::WORD_SIZE;

const PAGE: usize = PAGE_SIZE as usize;

/// The bytes of a medium.
#[derive(Clone)]
pub(crate) struct Image {
    pages: Vec<Arc<[u8; PAGE]>>,
    /// XOR over all words of [`mix`]: a word that changes changes it in O(1), in whatever order words do.
    hash: u64,
}

impl Image {
    /// Zeros.
    pub(crate) fn new(len: ByteLen) -> Self {
        assert!(len.get().is_multiple_of(PAGE_SIZE), "{len} is no whole number of pages");
        let zeros = Arc::new([0; PAGE]);
        Self { pages: vec![zeros; (len.get() / PAGE_SIZE) as usize], hash: 0 }
    }

    pub(crate) fn len(&self) -> ByteLen {
        ByteLen::new(self.pages.len() as u64 * PAGE_SIZE)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pages.iter().flat_map(|page| page.iter().copied()).collect()
    }

    /// The word of number `index`.
    pub(crate) fn word(&self, index: u64) -> u64 {
        let at = index * WORD_SIZE;
        let (words, _) = self.pages[(at / PAGE_SIZE) as usize].as_chunks();
        u64::from_le_bytes(words[(at % PAGE_SIZE / WORD_SIZE) as usize])
    }

    /// Replaces the word of number `index`.
    pub(crate) fn set_word(&mut self, index: u64, value: u64) {
        let was = self.word(index);
        if was != value {
            self.hash ^= mix(index, was) ^ mix(index, value);
            let at = index * WORD_SIZE;
            let page = Arc::make_mut(&mut self.pages[(at / PAGE_SIZE) as usize]);
            let within = (at % PAGE_SIZE) as usize;
            page[within..within + WORD_SIZE as usize].copy_from_slice(&value.to_le_bytes());
        }
    }

    pub(crate) fn read(&self, at: u64, to: &mut [u8]) {
        let (mut at, mut to) = (at, to);
        while !to.is_empty() {
            let within = (at % PAGE_SIZE) as usize;
            let len = to.len().min(PAGE - within);
            let (now, later) = to.split_at_mut(len);
            now.copy_from_slice(&self.pages[(at / PAGE_SIZE) as usize][within..within + len]);
            (at, to) = (at + len as u64, later);
        }
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        each_word(at, bytes, |index, mask, value| {
            let was = self.word(index);
            self.set_word(index, was & !mask | value & mask);
        });
    }
}

/// Cuts a store into aligned words: calls `each` with word number, mask of the bits stored, and these bits.
pub(crate) fn each_word(at: u64, bytes: &[u8], mut each: impl FnMut(u64, u64, u64)) {
    let (mut at, mut bytes) = (at, bytes);
    while !bytes.is_empty() {
        let within = (at % WORD_SIZE) as usize;
        if let Some((word, later)) = bytes.split_first_chunk().filter(|_| within == 0) {
            each(at / WORD_SIZE, u64::MAX, u64::from_le_bytes(*word));
            (at, bytes) = (at + WORD_SIZE, later);
            continue;
        }
        let (now, later) = bytes.split_at(bytes.len().min(WORD_SIZE as usize - within));
        let (mut mask, mut value) = ([0; WORD_SIZE as usize], [0; WORD_SIZE as usize]);
        mask[within..within + now.len()].fill(0xff);
        value[within..within + now.len()].copy_from_slice(now);
        each(at / WORD_SIZE, u64::from_le_bytes(mask), u64::from_le_bytes(value));
        (at, bytes) = (at + now.len() as u64, later);
    }
}

/// Scrambles place and value of a word; a zero word counts nothing, so that an empty image hashes to 0.
fn mix(index: u64, value: u64) -> u64 {
    if value == 0 { 0 } else { scramble(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ scramble(value)) }
}

/// The finaliser of SplitMix64.
pub(crate) fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
