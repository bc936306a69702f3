//! Memory behind its list of bad blocks: what is known, what is found out, what a list on the medium is told.

use std::sync::{Arc, Mutex};

use pmem::badblocks::BadRange;
use pmem::cells::Cells;
use pmem::guarded::Guarded;
use pmem::medium::{BadAddress, CopyError, MediaError, Medium, Sink, Source, Taken};
use pmem_sim::{SimCells, SimMedium};
use proptest::prelude::*;
use units::{ByteLen, PAGE_SIZE, PmOff, SECTOR_SIZE, Sector};

const PAGES: u64 = 8;
const PAGE: usize = PAGE_SIZE as usize;

fn bad(start: u64, count: u64, acknowledged: bool) -> BadRange {
    BadRange { start: Sector::new(start), count, acknowledged }
}

/// Memory in which `holes` do not answer, which nobody knows.
fn memory(holes: &[(u64, u64)]) -> Guarded<SimCells> {
    let medium = SimMedium::new(ByteLen::new(PAGES * PAGE_SIZE));
    medium.store(PmOff::ZERO, &[3; PAGES as usize * PAGE]);
    holes.iter().for_each(|&(start, count)| medium.set_bad(Sector::new(start), count).unwrap());
    Guarded::new(SimCells::new(medium), &[])
}

fn known(memory: &Guarded<SimCells>) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    memory.each_bad(&mut |range| all.push((range.start.get(), range.count)));
    all
}

#[test]
fn a_hole_ends_a_load_and_is_known_afterwards() {
    let memory = memory(&[(9, 1)]);
    let mut bytes = [0; 3 * PAGE];
    assert_eq!(memory.check(PmOff::ZERO, memory.len()), Ok(()));
    let stopped = MediaError { at: PmOff::new(9 * SECTOR_SIZE) };
    assert_eq!(memory.load(PmOff::ZERO, &mut bytes), Err(stopped));
    // An abort says which address, not how much around it: the page.
    assert_eq!(known(&memory), [(8, 8)]);
    assert_eq!(memory.load_to(PmOff::ZERO, 3 * PAGE, &mut &mut bytes[..]), Ok(PAGE));
    assert_eq!(bytes[..PAGE], [3; PAGE]);
}

#[test]
fn a_copy_is_short_at_the_hole_and_an_error_at_its_start() {
    let memory = memory(&[(9, 1)]);
    let mut bytes = [0; 3 * PAGE];
    assert_eq!(memory.load_to(PmOff::new(512), 3 * PAGE, &mut &mut bytes[..]), Ok(9 * 512 - 512));
    assert_eq!(known(&memory), [(8, 8)]);
    let at = PmOff::new(PAGE_SIZE + 700);
    assert_eq!(memory.load_to(at, 8, &mut &mut bytes[..]), Err(MediaError { at }.into()));
}

#[test]
fn a_narrow_sink_and_a_broken_source_are_nobodys_bad_block() {
    struct Broken;
    impl Source for Broken {
        fn remaining(&self) -> usize {
            PAGE
        }
        unsafe fn copy_to(&mut self, _to: *mut u8, _len: usize) -> Result<(), BadAddress> {
            Err(BadAddress)
        }
    }
    struct Narrow(usize);
    impl Sink for Narrow {
        unsafe fn copy_from(&mut self, _from: *const u8, _len: usize) -> Result<(), Taken> {
            Err(Taken(self.0))
        }
    }
    let memory = memory(&[]);
    assert_eq!(memory.load_to(PmOff::ZERO, PAGE, &mut Narrow(0)), Err(CopyError::Address(BadAddress)));
    assert_eq!(memory.load_to(PmOff::ZERO, PAGE, &mut Narrow(5)), Ok(5));
    assert_eq!(memory.store_from(PmOff::ZERO, PAGE, &mut Broken), Err(CopyError::Address(BadAddress)));
    assert_eq!(known(&memory), []);
}

#[test]
fn a_store_recovers_what_it_meets() {
    // A hole nobody knew, met halfway through a page; one that is known, and a good neighbour in the same page.
    let memory = memory(&[(17, 1), (33, 1)]);
    memory.set_bad(Sector::new(33), 1).unwrap();
    memory.store(PmOff::new(16 * 512), &[9; 8 * 512]);
    memory.zero(PmOff::new(33 * 512 + 8), ByteLen::new(8));
    assert_eq!(known(&memory), []);
    let mut bytes = [0; 24 * 512];
    memory.load(PmOff::new(16 * 512), &mut bytes).unwrap();
    assert!(bytes[..8 * 512] == [9; 8 * 512]);
    assert!(bytes[16 * 512..17 * 512] == [3; 512], "the good sector before keeps what it held");
    assert!(bytes[17 * 512..18 * 512] == [0; 512]);
}

#[test]
fn a_source_that_meets_a_hole_is_told_and_may_come_again() {
    let memory = memory(&[(17, 1)]);
    let write = || memory.store_from(PmOff::new(PAGE_SIZE), 3 * PAGE, &mut &[9; 3 * PAGE][..]);
    assert_eq!(write(), Err(MediaError { at: PmOff::new(17 * 512) }.into()));
    assert_eq!(known(&memory), [(16, 8)]);
    assert_eq!(write(), Ok(()));
    assert_eq!(known(&memory), []);
}

#[test]
fn what_cannot_be_cleared_stays_bad_and_good_pages_are_stored() {
    let memory = memory(&[(8, 8)]);
    memory.cells().clear_nothing();
    memory.store(PmOff::ZERO, &[9; 3 * PAGE]);
    assert_eq!(known(&memory), [(8, 8)]);
    let bytes = memory.cells().medium().bytes();
    assert_eq!((bytes[0], bytes[PAGE], bytes[2 * PAGE], bytes[3 * PAGE]), (9, 3, 9, 3));
    let at = PmOff::new(PAGE_SIZE);
    assert_eq!(memory.store_from(at, PAGE, &mut &[1; PAGE][..]), Err(MediaError { at }.into()));
}

#[test]
fn every_change_is_written_down_and_acknowledged() {
    let log: Arc<Mutex<Vec<Vec<BadRange>>>> = Arc::default();
    let seen = log.clone();
    let medium = SimMedium::new(ByteLen::new(PAGES * PAGE_SIZE));
    let cells = SimCells::keeping(medium, move |_, ranges| {
        seen.lock().unwrap().push(ranges.to_vec());
        ranges.iter().map(|range| range.count).sum::<u64>() < 4
    });
    let memory = Guarded::new(cells, &[bad(1, 1, true), bad(60, 9, true), bad(4, 1, true)]);
    assert_eq!(known(&memory), [(1, 1), (4, 1)], "what does not lie on the medium is left out");
    assert_eq!(memory.set_bad(Sector::new(2), 1), Ok(true));
    assert_eq!(memory.set_bad(Sector::new(8), 1), Ok(false), "no room on the medium");
    assert_eq!(memory.clear_bad(Sector::new(4), 1), Ok(true));
    assert!(memory.set_bad(Sector::new(64), 1).is_err());
    let log = log.lock().unwrap();
    assert_eq!(log[0], [bad(1, 1, true), bad(2, 1, false), bad(4, 1, true)]);
    assert_eq!(log[1], [bad(1, 2, true), bad(4, 1, true), bad(8, 1, false)]);
    assert_eq!(log[2], [bad(1, 2, true), bad(8, 1, false)]);
    assert_eq!(log.len(), 3);
    assert_eq!(known(&memory), [(1, 2), (8, 1)]);
}

proptest! {
    /// Whatever holes there are: a load answers what the memory holds or an error that is true; after everything has been
    /// written over, nothing is bad, and what was written is durable.
    #[test]
    fn holes_are_found_and_healed(
        holes in prop::collection::vec((0u64..64, 1u64..9), 0..5),
        loads in prop::collection::vec((0u64..64 * 512, 1usize..5000), 1..20),
    ) {
        let holes: Vec<_> = holes.into_iter().map(|(start, count)| (start, count.min(64 - start))).collect();
        let memory = memory(&holes);
        let hole = |at: u64| holes.iter().any(|&(start, count)| (start..start + count).contains(&(at / 512)));
        for (at, len) in loads {
            let len = len.min((64 * 512 - at) as usize);
            let mut bytes = vec![0; len];
            match memory.load_to(PmOff::new(at), len, &mut bytes.as_mut_slice()) {
                Ok(done) => {
                    prop_assert!(done > 0 && bytes[..done].iter().all(|&byte| byte == 3));
                    prop_assert!((at..at + done as u64).all(|at| !hole(at)));
                    prop_assert!(done == len || memory.check(PmOff::new(at + done as u64), ByteLen::new(1)).is_err());
                }
                Err(error) => {
                    prop_assert_eq!(error, MediaError { at: PmOff::new(at) }.into());
                    prop_assert!((0..8).any(|sector| hole(at / PAGE_SIZE * PAGE_SIZE + sector * 512)), "a page without a hole");
                }
            }
        }
        let all = vec![8; 64 * 512];
        prop_assert_eq!(memory.recovery_write(PmOff::ZERO, all.len(), &mut all.as_slice()), all.len());
        prop_assert_eq!(known(&memory), []);
        prop_assert!((0..64).all(|sector| memory.cells().answers(PmOff::new(sector * 512))));
        prop_assert!(memory.cells().medium().durable_bytes() == all);
    }
}
