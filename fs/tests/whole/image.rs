//! The medium by its bytes: segments, records and their checksums, as `docs/FORMAT.md` has them and without the crate's
//! own structures, so that page and code are held against each other.

use crc::{CRC_32_ISCSI, Crc};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::PmOff;

use crate::common::BLOCK;

/// Where the superblock copies begin.
pub(crate) const SUPERBLOCKS: [u64; 2] = [0, 16 * BLOCK];
/// Bytes of a superblock.
pub(crate) const SUPERBLOCK: u64 = 512;
/// Bytes of a segment copy.
pub(crate) const SEGMENT: u64 = 128 << 10;
/// Bytes of a segment header, and what records are aligned to.
pub(crate) const ALIGN: u64 = 64;

/// A segment: where its copies begin, and its place in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) copies: [u64; 2],
    pub(crate) index: u64,
}

/// A record: where its copies begin, how long it is, and its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) copies: [u64; 2],
    pub(crate) len: u64,
    pub(crate) seq: u64,
}

/// The bytes of a medium, to be read and to be spoiled.
pub(crate) struct Image<'m> {
    pub(crate) medium: &'m SimMedium,
}

impl Image<'_> {
    pub(crate) fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.medium.load(PmOff::new(at), &mut bytes).expect("no block is bad");
        bytes
    }

    pub(crate) fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    pub(crate) fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }

    pub(crate) fn put(&self, at: u64, bytes: &[u8]) {
        self.medium.corrupt(PmOff::new(at), bytes);
    }

    /// Turns the bits of one byte.
    pub(crate) fn flip(&self, at: u64) {
        self.put(at, &[!self.bytes(at, 1)[0]]);
    }

    pub(crate) fn salt(&self) -> u64 {
        self.u64(56)
    }

    /// Makes a superblock copy's checksum right.
    pub(crate) fn seal_superblock(&self, copy: u64) {
        let mut bytes = self.bytes(copy, SUPERBLOCK);
        bytes[16..20].fill(0);
        self.put(copy + 16, &crc(&[&bytes]).to_le_bytes());
    }

    /// The checksum that a structure of the log at `at` has to have.
    fn checksum(&self, at: u64, len: u64) -> u32 {
        let bytes = self.bytes(at, len);
        crc(&[&self.salt().to_le_bytes(), &bytes[..4], &[0; 4], &bytes[8..]])
    }

    /// Makes the checksum of a segment header, a record or an extent block right.
    pub(crate) fn seal(&self, at: u64, len: u64) {
        self.put(at + 4, &self.checksum(at, len).to_le_bytes());
    }

    fn is_good(&self, at: u64, len: u64, magic: &[u8; 4]) -> bool {
        self.bytes(at, 4) == magic && self.checksum(at, len) == self.u32(at + 4)
    }

    /// The chain of segments, as far as it is good in both copies.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut copies = [self.u64(72) * BLOCK, self.u64(80) * BLOCK];
        while copies.iter().all(|&at| self.is_good(at, ALIGN, b"VSEG") && self.u64(at + 16) == segments.len() as u64) {
            segments.push(Segment { copies, index: segments.len() as u64 });
            copies = [self.u64(copies[0] + 32) * BLOCK, self.u64(copies[0] + 40) * BLOCK];
        }
        segments
    }

    /// All records that are good in both copies, in order.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for segment in self.segments() {
            let mut at = ALIGN;
            while at + 32 <= SEGMENT {
                let copies = segment.copies.map(|copy| copy + at);
                let len = u64::from(self.u32(copies[0] + 8));
                if !(32..=SEGMENT - at).contains(&len) || !copies.iter().all(|&copy| self.is_good(copy, len, b"VREC")) {
                    break;
                }
                records.push(Record { copies, len, seq: self.u64(copies[0] + 24) });
                at += len.next_multiple_of(ALIGN);
            }
        }
        records
    }

    /// The blocks of all extent lists.
    pub(crate) fn extent_blocks(&self) -> Vec<u64> {
        let blocks = self.medium.len().get() / BLOCK;
        (0..blocks).map(|block| block * BLOCK).filter(|&at| self.is_good(at, BLOCK, b"VEXT")).collect()
    }
}

/// CRC32C of `parts`, one behind the other.
fn crc(parts: &[&[u8]]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}
