//! Reading a segment: its header, and the record at a place, in whichever copy is good.

use core::mem::size_of;

use pmem::medium::Medium;
use units::{BlockNr, PmOff};
use zerocopy::{FromBytes, IntoBytes};

use super::{Place, Reader, Reading, Repair, Segment};
use crate::error::Wrong;
use crate::format::{BLOCK, RECORD_MAGIC, RecordHeader, SEGMENT_BLOCKS, SEGMENT_BYTES, SEGMENT_MAGIC, SegmentHeader};
use crate::log::{Copies, FIRST_RECORD};
use crate::seeded::{Bug, seeded};

impl<M: Medium> Reader<'_, M> {
    /// Reads a segment whose header is good in at least one copy and says what it should.
    pub(super) fn read_segment(&mut self, copies: Copies, index: u64, first_seq: u64) -> Option<Segment> {
        if !copies.iter().all(|copy| self.in_range(copy.get(), SEGMENT_BLOCKS)) {
            return None;
        }
        let mut segment = Segment::unread(copies);
        self.reach(&mut segment, FIRST_RECORD);
        let headers = [0, 1].map(|copy: usize| self.header(&segment.bytes[copy], index, first_seq));
        let header = match headers.into_iter().flatten().next() {
            Some(header) => header,
            None if self.reading == Reading::Salvage => self.rebuilt(copies, index, first_seq),
            None => return None,
        };
        if !header.next.iter().all(|next| self.in_range(next.get(), SEGMENT_BLOCKS)) {
            return None;
        }
        for (copy, found) in copies.iter().zip(headers) {
            // One that was rebuilt is a guess, and stays one.
            if found != Some(header) && headers != [None; 2] {
                let (what, at) = (Wrong::SegmentCopy, copy.base());
                let (bytes, stored_with) = (header.as_bytes().to_vec(), Some(first_seq));
                self.replayed.repairs.push(Repair { what, at, bytes, stored_with });
            }
        }
        segment.header = header;
        Some(segment)
    }

    /// What the header of the segment `copies` says, but for where the next one lies: that is looked for. Where there is
    /// none, this is the last, and another will be taken.
    fn rebuilt(&self, copies: Copies, index: u64, first_seq: u64) -> SegmentHeader {
        let mut next = (1..self.total.saturating_sub(SEGMENT_BLOCKS - 1)).filter(|&block| {
            let mut bytes = [0; size_of::<SegmentHeader>()];
            let loaded = self.medium.load(BlockNr::new(block).base(), &mut bytes).is_ok();
            loaded && self.header_behind(&bytes, index.wrapping_add(1), first_seq).is_some()
        });
        let next = match (next.next(), next.next()) {
            (Some(first), second) => [first, second.unwrap_or(first)],
            (None, _) => copies.map(BlockNr::get),
        };
        let mut header = SegmentHeader {
            magic: SEGMENT_MAGIC.into(),
            crc: 0.into(),
            generation: self.generation.into(),
            index: index.into(),
            first_seq: first_seq.into(),
            next: next.map(Into::into),
            reserved: [0; 16],
        };
        header.crc = self.salt.crc_of(header.as_bytes()).into();
        header
    }

    /// Reads on in both copies, until `end` bytes of each are there. Blocks that cannot be read are zeros.
    pub(super) fn reach(&self, segment: &mut Segment, end: usize) {
        let end = end.min(SEGMENT_BYTES).next_multiple_of(BLOCK as usize);
        for (copy, bytes) in segment.copies.iter().zip(&mut segment.bytes) {
            let there = bytes.len();
            bytes.resize(end.max(there), 0);
            for at in (there..end).step_by(BLOCK as usize) {
                self.load_block(*copy, &mut bytes[at..at + BLOCK as usize], at);
            }
        }
    }

    /// Fills `block` with the one at byte `at` of a segment's copy, with zeros where it cannot be read.
    pub(super) fn load_block(&self, copy: BlockNr, block: &mut [u8], at: usize) {
        if self.medium.load(PmOff::new(copy.base().get() + at as u64), block).is_err() {
            block.fill(0);
        }
    }

    pub(super) fn header(&self, bytes: &[u8], index: u64, first_seq: u64) -> Option<SegmentHeader> {
        let (header, _) = SegmentHeader::read_from_prefix(bytes).ok()?;
        let good = header.magic.get() == SEGMENT_MAGIC
            && header.generation.get() == self.generation
            && header.index.get() == index
            && header.first_seq.get() == first_seq
            && header.crc.get() == self.salt.crc_of(header.as_bytes());
        good.then_some(header)
    }

    /// Whether what lies at `at` says that it is a record of this generation; answers its number and length.
    pub(super) fn claim(&self, bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        let (header, _) = RecordHeader::ref_from_prefix(bytes.get(at..)?).ok()?;
        let length = header.length.get() as usize;
        let ours = header.generation.get() == self.generation || seeded(Bug::GenerationNotChecked);
        let whole = length >= size_of::<RecordHeader>() && length.is_multiple_of(8);
        (header.magic.get() == RECORD_MAGIC && ours && whole).then_some((header.seq.get(), length))
    }

    /// Whether a good record of this generation lies at `at`, all of it read; answers its number and length.
    pub(super) fn good_record(&self, bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        let (seq, length) = self.claim(bytes, at)?;
        let record = bytes.get(at..)?.get(..length)?;
        let (header, _) = RecordHeader::ref_from_prefix(record).ok()?;
        (self.salt.crc_of(record) == header.crc.get() || seeded(Bug::CrcNotChecked)).then_some((seq, length))
    }

    pub(super) fn record_at(&self, segment: &mut Segment, at: usize, seq: u64) -> Place {
        self.reach(segment, at + size_of::<RecordHeader>());
        // A length that is wrong belongs to a record that is not good, whatever is read for it.
        let longest = segment.bytes.iter().filter_map(|bytes| self.claim(bytes, at)).map(|claim| claim.1).max();
        self.reach(segment, at + longest.unwrap_or(0));
        let segment = &*segment;
        let good = |copy: usize| {
            let length = self
                .good_record(&segment.bytes[copy], at)
                .filter(|found| found.0 == seq || seeded(Bug::SeqNotChecked))?
                .1;
            Some(&segment.bytes[copy][at..at + length])
        };
        // Of two good copies that differ the first counts, and the second is rewritten as a bad one is: so it need
        // only be compared.
        if let Some(first) = good(0) {
            let same = segment.bytes[1].get(at..at + first.len()) == Some(first);
            return Place::Good([true, same], first.len());
        }
        good(1)
            .filter(|_| !seeded(Bug::SecondCopyIgnored))
            .map_or(Place::Bad, |second| Place::Good([false, true], second.len()))
    }
}
