//! The bad-block list against a plain array of sectors.

use pmem::badblocks::{BadRange, Badblocks, BadblocksError};
use proptest::prelude::*;
use units::Sector;

const SECTORS: u64 = 64;

fn bad(start: u64, count: u64, acknowledged: bool) -> BadRange {
    BadRange { start: Sector::new(start), count, acknowledged }
}

#[test]
fn touching_ranges_merge_and_a_clear_splits() {
    let mut list = Badblocks::new(SECTORS);
    list.set(Sector::new(4), 4, false).unwrap();
    list.set(Sector::new(8), 4, false).unwrap();
    assert_eq!(list.ranges(), [bad(4, 8, false)]);
    list.clear(Sector::new(6), 2).unwrap();
    assert_eq!(list.ranges(), [bad(4, 2, false), bad(8, 4, false)]);
    list.acknowledge(Sector::new(0), 9).unwrap();
    assert_eq!(list.ranges(), [bad(4, 2, true), bad(8, 1, true), bad(9, 3, false)]);
    list.set(Sector::new(0), SECTORS, false).unwrap();
    assert_eq!(list.ranges().len(), 5);
    list.clear(Sector::new(0), SECTORS).unwrap();
    assert!(list.is_empty());
}

#[test]
fn sectors_past_the_end_are_refused_and_nothing_changes() {
    let mut list = Badblocks::new(SECTORS);
    list.set(Sector::new(SECTORS - 1), 1, true).unwrap();
    assert_eq!(list.set(Sector::new(SECTORS - 1), 2, true), Err(BadblocksError::PastEnd));
    assert_eq!(list.clear(Sector::new(u64::MAX), 2), Err(BadblocksError::PastEnd));
    assert_eq!(list.ranges(), [bad(SECTORS - 1, 1, true)]);
    assert_eq!(list.check(Sector::new(u64::MAX), u64::MAX), None);
    assert_eq!(list.check(Sector::new(0), u64::MAX), Some(bad(SECTORS - 1, 1, true)));
}

#[test]
fn check_answers_a_range_that_began_earlier() {
    let mut list = Badblocks::new(SECTORS);
    list.set(Sector::new(8), 8, false).unwrap();
    assert_eq!(list.check(Sector::new(12), 1), Some(bad(8, 8, false)));
    assert_eq!(list.check(Sector::new(16), 8), None);
    assert_eq!(list.check(Sector::new(0), 8), None);
}

#[derive(Clone, Debug)]
enum Step {
    Set(u64, u64, bool),
    Clear(u64, u64),
    Acknowledge(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let range = (0..SECTORS).prop_flat_map(|start| (Just(start), 0..=SECTORS - start));
    prop_oneof![
        (range.clone(), any::<bool>()).prop_map(|((start, count), ack)| Step::Set(start, count, ack)),
        range.clone().prop_map(|(start, count)| Step::Clear(start, count)),
        range.prop_map(|(start, count)| Step::Acknowledge(start, count)),
    ]
}

proptest! {
    #[test]
    fn the_list_equals_a_bitmap(steps in prop::collection::vec(step(), 1..40)) {
        let mut list = Badblocks::new(SECTORS);
        let mut model = [None; SECTORS as usize];
        for step in steps {
            let cells = |start: u64, count: u64| start as usize..(start + count) as usize;
            match step {
                Step::Set(start, count, ack) => {
                    list.set(Sector::new(start), count, ack).unwrap();
                    for cell in &mut model[cells(start, count)] {
                        *cell = Some(ack || *cell == Some(true));
                    }
                }
                Step::Clear(start, count) => {
                    list.clear(Sector::new(start), count).unwrap();
                    model[cells(start, count)].fill(None);
                }
                Step::Acknowledge(start, count) => {
                    list.acknowledge(Sector::new(start), count).unwrap();
                    for cell in &mut model[cells(start, count)] {
                        *cell = cell.map(|_| true);
                    }
                }
            }
            list.validate();
            let mut drawn = [None; SECTORS as usize];
            for range in list.ranges() {
                drawn[cells(range.start.get(), range.count)].fill(Some(range.acknowledged));
            }
            prop_assert_eq!(drawn, model);
            for start in 0..SECTORS {
                for count in [1, 2, 7, SECTORS - start] {
                    let count = count.min(SECTORS - start);
                    let first = model[cells(start, count)].iter().position(Option::is_some);
                    let found = list.check(Sector::new(start), count).map(|bad| bad.start.get().max(start) - start);
                    prop_assert_eq!(found, first.map(|at| at as u64));
                }
            }
        }
    }
}
