//! The record log: one record a transaction, in two copies, appended one by one.
//!
//! The log is a chain of segments, each in two copies at two places. A segment's header names both copies of the next
//! one, which is allocated before this one is used; so a segment that is full needs no link record, and a reader
//! looks into the next one only by a name that was durable earlier. A segment's header becomes durable in the same
//! fence as its first record.
//!
//! Appends are serial: the caller holds the commit lock, and no store to record n+1 or its copy is made before the
//! fence of n has completed on this CPU.

use core::mem::size_of;

use pmem::medium::Medium;
use pmem::order::{self, Batch, Cleaned, Durable, Store};
use units::{BlockNr, PmOff};
use zerocopy::IntoBytes;

use crate::crc::Salt;
use crate::error::Error;
use crate::format::{RECORD_ALIGN, RECORD_MAX, RecordHeader, SEGMENT_BYTES, SEGMENT_MAGIC, SegmentHeader};
use crate::payload::Payload;
use crate::seeded::{Bug, seeded};

/// Where the first record of a segment lies.
pub(crate) const FIRST_RECORD: usize = size_of::<SegmentHeader>();

/// Where the two copies of a segment begin.
pub(crate) type Copies = [BlockNr; 2];

/// The end of the log.
pub(crate) struct Tail {
    pub(crate) salt: Salt,
    pub(crate) generation: u64,
    /// The number of the next record.
    pub(crate) seq: u64,
    /// The segment that the next record goes to, and its place in the chain.
    pub(crate) segment: Copies,
    pub(crate) index: u64,
    /// The segment behind it, allocated.
    pub(crate) next: Copies,
    /// Bytes of the segment in use.
    pub(crate) used: usize,
}

/// A record that fits: all that could be refused has been.
pub(crate) struct Room {
    /// The segment behind the next one, where this record begins the next one.
    turn: Option<Copies>,
    length: usize,
}

/// Bytes that a record with this much payload takes in a segment.
fn footprint(payload: usize) -> usize {
    (size_of::<RecordHeader>() + payload).next_multiple_of(RECORD_ALIGN)
}

impl Room {
    /// The segment that was taken for it.
    pub(crate) fn taken(&self) -> Option<Copies> {
        self.turn
    }
}

impl Tail {
    /// A log of generation `generation` in `segment`, behind which comes `next`; its first record will be number 1.
    pub(crate) fn new(salt: Salt, generation: u64, segment: Copies, next: Copies) -> Self {
        Self { salt, generation, seq: 1, segment, index: 0, next, used: 0 }
    }

    /// Begins a log: the first segment, with its first record.
    pub(crate) fn begin(&mut self, medium: &impl Medium, payload: &mut Payload) {
        let _ = order::fence(medium, self.open(medium));
        let length = footprint(payload.bytes().len());
        let _ = self.append(medium, payload, Room { turn: None, length }, &Batch::new().fence(medium));
    }

    /// Stores the header of the first segment.
    pub(crate) fn open(&mut self, medium: &impl Medium) -> [Store<Cleaned>; 2] {
        let header = self.header();
        self.used = FIRST_RECORD;
        self.segment.map(|copy| order::store(medium, copy.base(), header.as_bytes()).clean(medium))
    }

    /// Bytes of the last segment in use.
    pub(crate) fn used(&self) -> u64 {
        self.used as u64
    }

    /// Bytes of the whole log, from its first segment to here, in one copy.
    pub(crate) fn bytes(&self) -> u64 {
        self.index.saturating_mul(SEGMENT_BYTES as u64).saturating_add(self.used as u64)
    }

    /// Makes sure that a record with `payload` can be appended; takes a segment by `take` if it begins one.
    ///
    /// # Errors
    /// [`Error::NoSpace`], also for a record longer than any segment.
    #[inline]
    pub(crate) fn reserve(
        &self,
        payload: &Payload,
        take: impl FnOnce() -> Result<Copies, Error>,
    ) -> Result<Room, Error> {
        let length = footprint(payload.bytes().len());
        if length > RECORD_MAX {
            return Err(Error::NoSpace);
        }
        let turn = if self.used + length <= SEGMENT_BYTES { None } else { Some(take()?) };
        Ok(Room { turn, length })
    }

    /// Appends the record. It has happened when this returns, and not before the fence inside. All it points to is
    /// durable: `_data` says so.
    pub(crate) fn append(
        &mut self,
        medium: &impl Medium,
        payload: &mut Payload,
        room: Room,
        _data: &Batch<Durable>,
    ) -> [Store<Durable>; 2] {
        let stores = self.prepare(medium, payload, room);
        // The transaction happens here.
        order::fence(medium, stores)
    }

    /// Stores the record behind the others, as [`Tail::append`] does, but waits for nothing: for a log that does not
    /// count yet.
    #[inline]
    pub(crate) fn prepare(&mut self, medium: &impl Medium, payload: &mut Payload, room: Room) -> [Store<Cleaned>; 2] {
        let header = room.turn.map(|next| {
            (self.segment, self.next, self.index, self.used) = (self.next, next, self.index + 1, 0);
            if seeded(Bug::TurnWithoutHeader) {
                SegmentHeader { magic: 0.into(), ..self.header() }
            } else {
                self.header()
            }
        });
        let bytes = payload.seal((self.generation, self.seq), header.as_ref(), self.salt);
        let copies = if seeded(Bug::OneCopyOfRecord) { [self.segment[0]; 2] } else { self.segment };
        let used = self.used as u64;
        let store = |copy: BlockNr| order::store(medium, PmOff::new(copy.base().get() + used), bytes).clean(medium);
        let stores = [store(copies[0]), store(copies[1])];
        self.used += if header.is_some() { FIRST_RECORD } else { 0 } + room.length;
        self.seq += 1;
        stores
    }

    /// The header of the segment that begins with record [`Tail::seq`].
    pub(crate) fn header(&self) -> SegmentHeader {
        let mut header = SegmentHeader {
            magic: SEGMENT_MAGIC.into(),
            crc: 0.into(),
            generation: self.generation.into(),
            index: self.index.into(),
            first_seq: self.seq.into(),
            next: self.next.map(|copy| copy.get().into()),
            reserved: [0; 16],
        };
        header.crc = self.salt.crc_of(header.as_bytes()).into();
        header
    }
}
