//! Whether the log goes on behind what is bad in both copies: what tells a torn tail from a corrupted middle.

use alloc::vec;

use pmem::medium::Medium;

use super::{Copies, Reader, Segment};
use crate::error::Wrong;
use crate::format::{BLOCK, RECORD_ALIGN, RECORD_MAGIC, SEGMENT_BLOCKS, SEGMENT_BYTES};
use crate::log::FIRST_RECORD;

impl<M: Medium> Reader<'_, M> {
    /// Whether a good record with a higher number than `seq` lies behind `at`. Block by block: of most segments that are
    /// asked this nothing is left to be read but what never was a record.
    pub(super) fn later_record(&self, segment: &mut Segment, at: usize, seq: u64) -> bool {
        let mut block = vec![0; BLOCK as usize];
        [0, 1].into_iter().any(|copy| {
            (at / block.len()..SEGMENT_BYTES / block.len()).any(|number| {
                let first = number * block.len();
                self.load_block(segment.copies[copy], &mut block, first);
                self.later_in_block(segment, (copy, &block, first), at, seq)
            })
        })
    }

    /// The same of one block, which begins at byte `first` of a copy.
    fn later_in_block(
        &self,
        segment: &mut Segment,
        (copy, block, first): (usize, &[u8], usize),
        at: usize,
        seq: u64,
    ) -> bool {
        let magic = RECORD_MAGIC.to_le_bytes();
        let lines = block.chunks_exact(RECORD_ALIGN).enumerate().filter(|(_, line)| line[0] == magic[0]);
        lines.map(|(number, _)| number * RECORD_ALIGN).any(|line| {
            let claim = self.claim(block, line).filter(|claim| first + line >= at && claim.0 > seq);
            claim.is_some_and(|(_, length)| {
                self.reach(segment, first + line + length);
                self.good_record(&segment.bytes[copy], first + line).is_some()
            })
        })
    }

    /// The numbers of good records above `seq` that lie behind `at`, twice where both copies are good; of a segment that was
    /// read as a whole.
    pub(super) fn later(&self, segment: &Segment, at: usize, seq: u64) -> impl Iterator<Item = u64> {
        segment.bytes.iter().flat_map(move |bytes| self.later_in(bytes, at, seq)).map(|(_, found)| found)
    }

    /// The places and numbers of good records above `seq` in one copy of a segment, behind `at`.
    pub(super) fn later_in(&self, bytes: &[u8], at: usize, seq: u64) -> impl Iterator<Item = (usize, u64)> {
        let magic = RECORD_MAGIC.to_le_bytes();
        let places = bytes.get(at..).unwrap_or_default().chunks_exact(RECORD_ALIGN).enumerate();
        // Nearly all of a segment's rest is something else, which its first byte tells.
        places.filter(move |(_, line)| line[0] == magic[0]).filter_map(move |(place, _)| {
            let at = at + place * RECORD_ALIGN;
            let (found, _) = self.good_record(bytes, at)?;
            (found > seq).then_some((at, found))
        })
    }

    /// Whether the log goes on behind record `seq` in the segment `copies`: what is wrong then, a record that is missing
    /// before that segment, or its header.
    pub(super) fn goes_on(&self, copies: Copies, index: u64, seq: u64) -> Option<Wrong> {
        if !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) {
            return None;
        }
        let mut segment = Segment::unread(copies);
        self.reach(&mut segment, FIRST_RECORD);
        let later_header = segment.bytes.iter().any(|bytes| self.header_behind(bytes, index, seq).is_some());
        if later_header {
            return Some(Wrong::Record);
        }
        self.later_record(&mut segment, FIRST_RECORD, seq).then_some(Wrong::Segment)
    }
}
