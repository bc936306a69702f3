//! Damage that checksums do not show: the medium by its bytes, as `docs/FORMAT.md` has them, and records of any content
//! behind the last.

use crc::{CRC_32_ISCSI, Crc};
use pmem_sim::SimMedium;
use units::PmOff;

use crate::victim::BLOCK;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Bytes of a segment copy.
const SEGMENT: usize = 128 << 10;

/// A medium's bytes, to be spoiled.
pub(crate) struct Spoiler<'m> {
    medium: &'m SimMedium,
    bytes: Vec<u8>,
}

/// A record: where its copies begin, its length and number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) copies: [usize; 2],
    pub(crate) len: usize,
    pub(crate) seq: u64,
}

/// What is in a record: a number of 64 bits, or two of 32.
pub(crate) fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// An item of this kind: `fixed` behind its header, then text.
pub(crate) fn item(kind: u16, fixed: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = text.len().next_multiple_of(8);
    let length = (8 + fixed.len() + padded) as u32;
    let mut item = [kind.to_le_bytes(), (text.len() as u16).to_le_bytes()].concat();
    item.extend_from_slice(&length.to_le_bytes());
    item.extend_from_slice(fixed);
    item.extend_from_slice(text);
    item.resize(length as usize, 0);
    item
}

/// The attributes of an inode.
pub(crate) fn inode(ino: u64, size: u64, mode: u32, nlink: u32) -> Vec<u8> {
    item(1, &words(&[ino, size, u64::from(mode) | u64::from(nlink) << 32, 0, 0, 0, 0, 0, 0]), &[])
}

/// The mapping of a file from a block on: first block on the medium, how many, state.
pub(crate) fn extents(ino: u64, first: u64, runs: &[(u64, u32, u32)]) -> Vec<u8> {
    let runs = runs.iter().flat_map(|&(start, blocks, state)| [start, u64::from(blocks) | u64::from(state) << 32]);
    item(2, &words(&[ino, first].into_iter().chain(runs).collect::<Vec<_>>()), &[])
}

/// What a name leads to.
pub(crate) fn entry(dir: u64, ino: u64, name: &str) -> Vec<u8> {
    item(4, &words(&[dir, ino]), name.as_bytes())
}

impl<'m> Spoiler<'m> {
    pub(crate) fn new(medium: &'m SimMedium) -> Self {
        Self { medium, bytes: medium.bytes() }
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.medium.corrupt(PmOff::new(at as u64), bytes);
    }

    /// Turns the bits of one byte.
    pub(crate) fn flip(&mut self, at: usize) {
        self.put(at, &[!self.bytes[at]]);
    }

    /// Makes the checksum of what begins at `at` right.
    pub(crate) fn seal(&mut self, at: usize, len: usize) {
        let is_superblock = self.bytes[at..].starts_with(b"VITRINE");
        let (salt, field) = if is_superblock { (Vec::new(), at + 16) } else { (self.bytes[56..64].to_vec(), at + 4) };
        let mut digest = CRC.digest();
        digest.update(&salt);
        digest.update(&self.bytes[at..field]);
        digest.update(&[0; 4]);
        digest.update(&self.bytes[field + 4..at + len]);
        let crc = digest.finalize();
        self.put(field, &crc.to_le_bytes());
    }

    /// The two places of every segment that was begun, in order.
    pub(crate) fn segments(&self) -> Vec<[usize; 2]> {
        let copies =
            |at: usize| [self.u64(at), self.u64(at + 8)].map(|block| block.wrapping_mul(BLOCK).min(1 << 40) as usize);
        let mut segments = vec![copies(72)];
        if segments[0].iter().any(|&at| at + SEGMENT > self.bytes.len()) {
            return Vec::new();
        }
        loop {
            let next = copies(segments[segments.len() - 1][0] + 32);
            let inside = next.iter().all(|&at| at + SEGMENT <= self.bytes.len());
            let begun = inside
                && self.bytes[next[0]..].starts_with(b"VSEG")
                && self.u64(next[0] + 8) == self.u64(64)
                && self.u64(next[0] + 16) == segments.len() as u64;
            if !begun {
                return segments;
            }
            segments.push(next);
        }
    }

    /// The records of a segment.
    pub(crate) fn records_of(&self, copies: [usize; 2]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut at = 64;
        while at + 32 <= SEGMENT && self.bytes[copies[0] + at..].starts_with(b"VREC") {
            let (len, seq) = (self.u32(copies[0] + at + 8) as usize, self.u64(copies[0] + at + 24));
            if self.u64(copies[0] + at + 16) != self.u64(64) || len < 32 || at + len > SEGMENT {
                break;
            }
            records.push(Record { copies: copies.map(|copy| copy + at), len, seq });
            at += len.next_multiple_of(64);
        }
        records
    }

    /// All records.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.segments().into_iter().flat_map(|copies| self.records_of(copies)).collect()
    }

    /// Appends a record with these items to the log, right in every checksum.
    pub(crate) fn append(&mut self, items: &[Vec<u8>]) {
        assert!(self.try_append(items), "there are records, and room behind them");
    }

    /// The same, where the log can be followed and has room; whether it has.
    pub(crate) fn try_append(&mut self, items: &[Vec<u8>]) -> bool {
        let Some(&last) = self.records().last() else { return false };
        let payload = items.concat();
        let mut record = b"VREC\0\0\0\0".to_vec();
        record.extend_from_slice(&((32 + payload.len()) as u32).to_le_bytes());
        record.extend_from_slice(&(items.len() as u32).to_le_bytes());
        record.extend_from_slice(&words(&[self.u64(64), last.seq + 1]));
        record.extend_from_slice(&payload);
        let behind = last.len.next_multiple_of(64) + record.len();
        let segment = |copies: &[usize; 2]| (copies[0]..copies[0] + SEGMENT).contains(&last.copies[0]);
        let fits = self
            .segments()
            .iter()
            .find(|copies| segment(copies))
            .is_some_and(|copies| last.copies[0] + behind <= copies[0] + SEGMENT);
        if fits {
            for copy in last.copies {
                let at = copy + last.len.next_multiple_of(64);
                self.put(at, &record);
                self.seal(at, record.len());
            }
        }
        fits
    }
}
