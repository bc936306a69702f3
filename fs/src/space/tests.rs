//! Free blocks, alone.

use super::*;
use alloc::vec;
use proptest::prelude::*;

impl FreeSpace {
    /// Restates what always holds.
    fn validate(&self) {
        let counts = self.partial.values().map(|group| u64::from(group.free()));
        assert_eq!(counts.clone().sum::<u64>() + self.whole_groups * HUGE, self.free);
        assert!(counts.clone().all(|free| free < HUGE));
        assert!(counts.filter(|free| *free == 0).count() <= 1);
        assert_eq!(self.whole.values().sum::<u64>(), self.whole_groups);
        assert_eq!(self.partial.values().map(|group| group.runs().count() as i64).sum::<i64>(), self.runs);
        let bits = |group: &Group| group.runs().map(|run| run.1).sum::<u32>();
        assert!(self.partial.values().all(|group| bits(group) == group.free()));
        let runs: Vec<(u64, u64)> = self.whole.iter().map(|(&first, &groups)| (first, groups)).collect();
        assert!(runs.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0), "neighbours are one run");
        let roomy = self.partial.iter().filter(|(_, group)| group.first_fit(SEGMENT_BLOCKS as u32).is_some());
        assert!(roomy.into_iter().all(|(number, _)| self.roomy.contains(number)), "a group with room is listed");
    }
}

fn wish(blocks: u64, file: u64) -> Wish {
    Wish { blocks, file, near: Near::default(), purpose: Purpose::Grow }
}

proptest! {
    #[test]
    fn no_block_is_given_twice(
        steps in prop::collection::vec((1u64..1500, 0u64..2000, prop::option::of(0u64..8192), any::<bool>()), 1..200)
    ) {
        const TOTAL: u64 = 8192;
        let mut space = FreeSpace::new(TOTAL, [Run::new(3, TOTAL - 3)]);
        let mut owner = vec![false; TOTAL as usize];
        let mut held: Vec<Vec<Run>> = Vec::new();
        for (blocks, file, goal, give) in steps {
            if give && !held.is_empty() {
                let runs = held.swap_remove(blocks as usize % held.len());
                for run in &runs {
                    owner[run.first() as usize..run.end() as usize].fill(false);
                }
                space.give(&runs);
            } else {
                let (available, mut runs) = (space.available(), Vec::new());
                let home = goal.map(|goal| BlockNr::new(goal ^ 77));
                let around = [Around::Unknown, Around::Nothing, Around::Some][file as usize % 3];
                let near = Near { goal: goal.map(BlockNr::new), home, around };
                let taken = space.take(Wish { near, ..wish(blocks, file) }, |run| runs.push(run));
                prop_assert_eq!(taken.is_ok(), blocks <= available);
                prop_assert_eq!(runs.iter().map(|run| run.blocks).sum::<u64>(), if taken.is_ok() { blocks } else { 0 });
                for run in &runs {
                    let blocks = &mut owner[run.first() as usize..run.end() as usize];
                    prop_assert!(blocks.iter().all(|taken| !taken), "{:?} was taken before", run);
                    blocks.fill(true);
                }
                held.push(runs);
            }
            space.validate();
            let owned = owner.iter().filter(|taken| **taken).count() as u64;
            prop_assert_eq!(space.free_blocks(), TOTAL - 3 - owned);
        }
    }
}

#[test]
fn large_runs_keep_step_with_the_file_and_small_ones_fill_the_gaps() {
    let mut space = FreeSpace::new(8192, [Run::new(100, 8000)]);
    let mut runs = Vec::new();
    space.take(wish(1000, 5), |run| runs.push(run)).unwrap();
    assert_eq!((runs.len(), runs[0].first() % HUGE), (1, 5));
    let mut small = Vec::new();
    space.take(wish(10, 0), |run| small.push(run)).unwrap();
    assert!(small[0].end() < runs[0].first(), "the gap before comes first");
}

#[test]
fn the_reserve_is_for_what_shrinks() {
    let mut space = FreeSpace::new(512, [Run::new(17, 495)]);
    let mut runs = Vec::new();
    space.take(wish(space.available(), 0), |run| runs.push(run)).unwrap();
    assert_eq!(space.take(wish(1, 0), |run| runs.push(run)), Err(Error::NoSpace));
    assert_eq!(space.take_segment(Purpose::Grow), Err(Error::NoSpace));
    space.take(Wish { purpose: Purpose::Shrink, ..wish(1, 0) }, |run| runs.push(run)).unwrap();
    for _ in 0..SPARES / 2 {
        space.take_segment(Purpose::Shrink).unwrap();
    }
    assert_eq!(space.take_segment(Purpose::Shrink), Err(Error::NoSpace));
}
