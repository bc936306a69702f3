//! Sets of page numbers, kept as ranges: which pages of a file programs may have stored to.

use alloc::collections::BTreeMap;

/// A set of page numbers. One call takes memory for one range at most.
#[derive(Debug, Default)]
pub struct PageRanges {
    /// First page to the page behind the last; neither do two overlap nor do they adjoin.
    ranges: BTreeMap<u64, u64>,
}

impl PageRanges {
    /// No page.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds the pages `first..end`.
    pub fn insert(&mut self, mut first: u64, mut end: u64) {
        if first >= end {
            return;
        }
        // The last one that begins before or with the end takes part, and so on downwards.
        while let Some((&low, &high)) = self.ranges.range(..=end).next_back().filter(|&(_, &high)| high >= first) {
            if low <= first && high >= end {
                return;
            }
            self.ranges.remove(&low);
            (first, end) = (first.min(low), end.max(high));
        }
        self.ranges.insert(first, end);
    }

    /// Takes the pages `first..end` out.
    pub fn remove(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        while let Some((&low, &high)) = self.ranges.range(..end).next_back().filter(|&(_, &high)| high > first) {
            self.ranges.remove(&low);
            if high > end {
                self.ranges.insert(end, high);
            }
            if low < first {
                self.ranges.insert(low, first);
            }
        }
    }

    /// The first pages of the set that lie in `from..to`, as far as they follow each other there.
    pub fn next(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let around = self.ranges.range(..=from).next_back().filter(|&(_, &high)| high > from);
        let (&low, &high) = around.or_else(|| self.ranges.range(from..).next())?;
        let (low, high) = (low.max(from), high.min(to));
        (low < high).then_some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ranges_are_the_set_they_stand_for(steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 1..100)) {
            let (mut ranges, mut model) = (PageRanges::new(), BTreeSet::new());
            for (add, first, count) in steps {
                if add {
                    ranges.insert(first, first + count);
                    model.extend(first..first + count);
                } else {
                    ranges.remove(first, first + count);
                    model.retain(|page| !(first..first + count).contains(page));
                }
                let (mut all, mut at, mut last) = (BTreeSet::new(), 0, None);
                while let Some((low, high)) = ranges.next(at, 100) {
                    prop_assert!(low < high && last.is_none_or(|last| last < low), "two that adjoin");
                    all.extend(low..high);
                    (at, last) = (high, Some(high));
                }
                prop_assert_eq!(&all, &model);
                let part: BTreeSet<u64> = model.range(first..first + 7).copied().collect();
                let found = ranges.next(first, first + 7);
                prop_assert_eq!(found.map(|(low, _)| low), part.first().copied());
                prop_assert_eq!(ranges.is_empty(), model.is_empty());
            }
        }
    }
}
