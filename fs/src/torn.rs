//! What a cut left of the record under way: taken out of the way before the next record is stored over it.
//!
//! A torn record lacks some of its words. The next one goes to the same place under the same number, and a second cut may
//! keep of it just the words that the first one lacked, such as that number: then a record would be whole that was
//! never acknowledged, that a mount has shown to be absent, and whose blocks may belong to another file by now. The
//! same holds for a segment's header. Magic number and checksum share the first word of both, and the checksum is
//! like no other: once that word is gone, nothing can complete the rest.

use pmem::medium::Medium;
use pmem::order::{self, Batch};
use units::{ByteLen, PmOff};

use crate::format::{RECORD_MAGIC, SEGMENT_BYTES, SEGMENT_MAGIC};
use crate::log::{FIRST_RECORD, Tail};
use crate::seeded::{Bug, seeded};

/// Bytes that become durable together.
const WORD: usize = 8;

/// Erases the first word of whatever looks like a record or a header where the next ones will go: at the end of the log,
/// and at the start of the segment behind it. Nothing may have been shown before, or a cut could still bring it back.
/// Answers the fences it took.
pub(crate) fn erase(medium: &impl Medium, tail: &Tail) -> u64 {
    let here = tail.segment.map(|copy| (copy, tail.used));
    let behind = [0, FIRST_RECORD].into_iter().flat_map(|at| tail.next.map(|copy| (copy, at)));
    let mut erased = Batch::new();
    for (copy, at) in here.into_iter().chain(behind).filter(|(_, at)| at + WORD <= SEGMENT_BYTES) {
        let at = PmOff::new(copy.base().get() + at as u64);
        let mut magic = [0; 4];
        // What cannot be read is no record either.
        let found = medium.load(at, &mut magic).is_ok() && is_magic(magic) && !seeded(Bug::TornNotErased);
        if found {
            erased.add(order::zero(medium, at, ByteLen::new(WORD as u64)).clean(medium));
        }
    }
    u64::from(!erased.fence(medium).is_empty())
}

fn is_magic(bytes: [u8; 4]) -> bool {
    matches!(u32::from_le_bytes(bytes), RECORD_MAGIC | SEGMENT_MAGIC)
}
