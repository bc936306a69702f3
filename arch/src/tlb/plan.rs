//! Which TLB operations drop a range: arithmetic alone.
//!
//! Without FEAT_TLBIRANGE one operation drops one entry. With it one drops (NUM + 1) << (5 * SCALE + 1) pages, which
//! is an even number; so a range is at most one page by itself and a range for each SCALE, the largest first (Arm ARM
//! C5.5; Linux: `__flush_tlb_range_op`).

use core::ops::Range;

/// Above this many operations one on the whole address space is cheaper.
const MOST_BY_PAGE: u64 = 512;
/// Pages that ranges of every SCALE hold together, 8 GiB: with more, the whole address space is dropped.
const MOST_BY_RANGE: u64 = 1 << 21;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// What covers this page, by its number.
    Page(u64),
    /// What covers any page of these.
    Pages {
        /// The number of the first.
        base: u64,
        /// SCALE, 0 to 3.
        scale: u64,
        /// NUM, 0 to 31.
        num: u64,
    },
}

/// All operations for a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// These, which are few.
    Steps(Steps),
    /// One on the whole address space.
    Everything,
}

/// The operations of a plan, one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steps {
    next: u64,
    end: u64,
    /// Pages that one operation for a page drops: the size of the smallest entry in the range.
    stride: u64,
    /// SCALE of the next range, above which nothing is left; none where the CPU has no ranges.
    scale: Option<u64>,
}

/// Whether the CPUs have FEAT_TLBIRANGE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// They do.
    Known,
    /// Some CPU does not.
    Unknown,
}

impl Plan {
    /// The plan for the pages of these numbers, in which no entry is smaller than `stride` pages, a power of two.
    #[inline]
    pub fn new(pages: Range<u64>, stride: u64, ranges: Ranges) -> Self {
        // Entries are aligned to their size.
        let (first, end) = (pages.start & !(stride - 1), pages.end);
        let count = end.saturating_sub(first);
        let (fits, scale) = match ranges {
            // A single entry is dropped by its page, which is the shorter operand.
            _ if count <= stride => (true, None),
            Ranges::Known => (count <= MOST_BY_RANGE, Some(3)),
            Ranges::Unknown => (count / stride <= MOST_BY_PAGE, None),
        };
        if fits { Self::Steps(Steps { next: first, end, stride, scale }) } else { Self::Everything }
    }
}

impl Iterator for Steps {
    type Item = Step;

    #[inline]
    fn next(&mut self) -> Option<Step> {
        if self.next >= self.end {
            return None;
        }
        let (base, left) = (self.next, self.end - self.next);
        while let Some(scale) = self.scale.filter(|_| left > 1) {
            let count = (left >> (5 * scale + 1)).min(32);
            if count > 0 {
                self.next += count << (5 * scale + 1);
                return Some(Step::Pages { base, scale, num: count - 1 });
            }
            self.scale = scale.checked_sub(1);
        }
        self.next += self.stride;
        Some(Step::Page(base))
    }
}

/// Operand of `tlbi vae1is` and its kin: ASID in 63:48, no hint of a level in 47:44, page number in 43:0.
pub const fn page_operand(asid: u16, page: u64) -> u64 {
    (asid as u64) << 48 | page & ((1 << 44) - 1)
}

/// Operand of `tlbi rvae1is` and its kin: ASID in 63:48, the granule of 4 KiB in 47:46, SCALE in 45:44, NUM in 43:39,
/// no hint of a level in 38:37 (a range may hold entries of several), page number in 36:0.
pub const fn range_operand(asid: u16, base: u64, scale: u64, num: u64) -> u64 {
    (asid as u64) << 48 | 0b01 << 46 | scale << 44 | num << 39 | base & ((1 << 37) - 1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The pages that a step drops, if no entry is smaller than `stride` pages.
    fn dropped(step: Step, stride: u64) -> Range<u64> {
        match step {
            Step::Page(page) => (page & !(stride - 1))..(page & !(stride - 1)) + stride,
            Step::Pages { base, scale, num } => base..base + ((num + 1) << (5 * scale + 1)),
        }
    }

    fn steps(plan: Plan) -> Vec<Step> {
        match plan {
            Plan::Steps(steps) => steps.collect(),
            Plan::Everything => panic!("few operations would do"),
        }
    }

    proptest! {
        #[test]
        fn ranges_cover_every_page_once_in_few_steps(first in 0u64..1 << 36, count in 1u64..=MOST_BY_RANGE) {
            let steps = steps(Plan::new(first..first + count, 1, Ranges::Known));
            prop_assert!(steps.len() <= 5, "{steps:?}");
            let mut next = first;
            for step in steps {
                let pages = dropped(step, 1);
                prop_assert_eq!(pages.start, next);
                if let Step::Pages { scale, num, .. } = step {
                    prop_assert!(scale <= 3 && num <= 31);
                }
                next = pages.end;
            }
            prop_assert_eq!(next, first + count);
        }

        #[test]
        fn every_entry_is_dropped(
            first in 0u64..1 << 20, count in 1u64..3000, shift in prop_oneof![Just(0u32), Just(9), Just(18)],
            known in any::<bool>(),
        ) {
            let (stride, ranges) = (1u64 << shift, if known { Ranges::Known } else { Ranges::Unknown });
            match Plan::new(first..first + count, stride, ranges) {
                Plan::Everything => prop_assert!(!known && count / stride >= MOST_BY_PAGE),
                Plan::Steps(steps) => {
                    let entries: BTreeSet<u64> =
                        steps.flat_map(|step| dropped(step, stride)).map(|page| page >> shift).collect();
                    for page in first..first + count {
                        prop_assert!(entries.contains(&(page >> shift)), "page {page} stays");
                    }
                }
            }
        }
    }

    #[test]
    fn one_entry_is_one_operation() {
        assert_eq!(steps(Plan::new(77..78, 1, Ranges::Known)), [Step::Page(77)]);
        assert_eq!(steps(Plan::new(512..1024, 512, Ranges::Known)), [Step::Page(512)]);
        assert_eq!(steps(Plan::new(0..0, 1, Ranges::Known)), []);
    }

    #[test]
    fn an_entry_that_begins_before_the_range_goes_too() {
        assert_eq!(steps(Plan::new(511..513, 512, Ranges::Unknown)), [Step::Page(0), Step::Page(512)]);
    }

    #[test]
    fn the_largest_range_is_one_operation_and_a_larger_one_is_everything() {
        let most = Step::Pages { base: 0, scale: 3, num: 31 };
        assert_eq!(steps(Plan::new(0..MOST_BY_RANGE, 1, Ranges::Known)), [most]);
        assert_eq!(Plan::new(0..MOST_BY_RANGE + 1, 1, Ranges::Known), Plan::Everything);
        assert_eq!(steps(Plan::new(0..MOST_BY_PAGE, 1, Ranges::Unknown)).len() as u64, MOST_BY_PAGE);
        assert_eq!(Plan::new(0..MOST_BY_PAGE + 1, 1, Ranges::Unknown), Plan::Everything);
    }

    #[test]
    fn operands_are_what_the_manual_says() {
        assert_eq!(page_operand(0xabcd, 0x000f_ffff_ffff_ffff), 0xabcd_0fff_ffff_ffff);
        // The example of three pages' worth: SCALE 0, NUM 1 is four pages.
        assert_eq!(range_operand(5, 0x1234, 0, 1), 0x0005_4080_0000_1234);
        // A kernel address keeps bits 48:12 alone.
        assert_eq!(range_operand(0, 0xffff_8000_8000_0000 >> 12, 3, 31), 0x0000_7f98_0008_0000);
    }
}
