//! An index of intervals: who overlaps a range, in O(log n) and as many as do.
//!
//! A treap over a slab: ordered by where an interval begins, with the furthest end of each subtree beside it. Nodes name
//! each other by number; only [`reserve`](Intervals::reserve) takes memory.

use alloc::vec::Vec;

use crate::seams::OutOfMemory;

const NIL: u32 = u32::MAX;

/// Something that lies at `first..first + count`. Its order is that of `first`.
pub trait Interval: Copy + Ord {
    /// Where it begins.
    fn first(&self) -> u64;
    /// How far it reaches; at least one.
    fn count(&self) -> u64;
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    /// The largest end of the subtree.
    furthest: u64,
    priority: u32,
    left: u32,
    right: u32,
}

/// Intervals, none of them twice.
#[derive(Debug)]
pub struct Intervals<T> {
    nodes: Vec<Node<T>>,
    root: u32,
    /// The first free node; the next one is its `left`.
    free: u32,
    len: usize,
    /// Of a plain generator: priorities need not surprise anybody.
    seed: u32,
}

impl<T: Interval> Default for Intervals<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Interval> Intervals<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), root: NIL, free: NIL, len: 0, seed: 0x2545_f491 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes sure that the next [`insert`](Self::insert) needs no memory.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.free == NIL { self.nodes.try_reserve(1).map_err(|_| OutOfMemory) } else { Ok(()) }
    }

    /// Adds `value`, which is not there.
    pub fn insert(&mut self, value: T) {
        // xorshift32.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        let node = Node { value, furthest: end(&value), priority: self.seed, left: NIL, right: NIL };
        let n = match self.free {
            NIL => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
            n => {
                self.free = self.nodes[n as usize].left;
                self.nodes[n as usize] = node;
                n
            }
        };
        self.len += 1;
        if self.root == NIL {
            // Most files are mapped once.
            self.root = n;
            return;
        }
        let (low, high) = self.split(self.root, &value);
        let low = self.join(low, n);
        self.root = self.join(low, high);
    }

    /// Takes `value` out. Answers whether it was there.
    pub fn remove(&mut self, value: &T) -> bool {
        let found = match self.nodes.get(self.root as usize) {
            Some(only) if self.len == 1 && only.value == *value => core::mem::replace(&mut self.root, NIL),
            _ => self.cut_out(value),
        };
        if found == NIL {
            return false;
        }
        self.nodes[found as usize].left = self.free;
        self.free = found;
        self.len -= 1;
        true
    }

    /// Takes the node of `value` out of the treap, if there is one.
    fn cut_out(&mut self, value: &T) -> u32 {
        let (low, rest) = self.split(self.root, value);
        let (found, high) = self.take_first(rest, value);
        self.root = self.join(low, high);
        found
    }

    /// Shows `each` whoever overlaps `first..first + count`, in order.
    pub fn overlapping(&self, first: u64, count: u64, mut each: impl FnMut(T)) {
        self.visit(self.root, first, first.saturating_add(count), &mut each);
    }

    fn visit(&self, n: u32, first: u64, limit: u64, each: &mut impl FnMut(T)) {
        if n == NIL {
            return;
        }
        let node = &self.nodes[n as usize];
        if node.furthest <= first {
            return;
        }
        self.visit(node.left, first, limit, each);
        if node.value.first() >= limit {
            return;
        }
        if end(&node.value) > first {
            each(node.value);
        }
        self.visit(node.right, first, limit, each);
    }

    /// Two treaps: what lies before `value`, and the rest.
    fn split(&mut self, n: u32, value: &T) -> (u32, u32) {
        if n == NIL {
            return (NIL, NIL);
        }
        if self.nodes[n as usize].value < *value {
            let (low, high) = self.split(self.nodes[n as usize].right, value);
            self.nodes[n as usize].right = low;
            self.pull(n);
            (n, high)
        } else {
            let (low, high) = self.split(self.nodes[n as usize].left, value);
            self.nodes[n as usize].left = high;
            self.pull(n);
            (low, n)
        }
    }

    /// One treap of two, of which all of `low` lies before `high`.
    fn join(&mut self, low: u32, high: u32) -> u32 {
        if low == NIL || high == NIL {
            return if low == NIL { high } else { low };
        }
        if self.nodes[low as usize].priority >= self.nodes[high as usize].priority {
            let right = self.join(self.nodes[low as usize].right, high);
            self.nodes[low as usize].right = right;
            self.pull(low);
            low
        } else {
            let left = self.join(low, self.nodes[high as usize].left);
            self.nodes[high as usize].left = left;
            self.pull(high);
            high
        }
    }

    /// Takes the first node out of a treap, if it is `value`: it, and the rest.
    fn take_first(&mut self, n: u32, value: &T) -> (u32, u32) {
        if n == NIL {
            return (NIL, NIL);
        }
        let Node { left, right, value: own, .. } = self.nodes[n as usize];
        if left == NIL {
            return if own == *value { (n, right) } else { (NIL, n) };
        }
        let (found, rest) = self.take_first(left, value);
        self.nodes[n as usize].left = rest;
        self.pull(n);
        (found, n)
    }

    fn pull(&mut self, n: u32) {
        let Node { value, left, right, .. } = self.nodes[n as usize];
        let of = |n: u32| self.nodes.get(n as usize).map_or(0, |node| node.furthest);
        self.nodes[n as usize].furthest = end(&value).max(of(left)).max(of(right));
    }
}

fn end<T: Interval>(value: &T) -> u64 {
    value.first().saturating_add(value.count())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Span(u64, u64);

    impl Interval for Span {
        fn first(&self) -> u64 {
            self.0
        }

        fn count(&self) -> u64 {
            self.1
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_question_is_answered_as_by_looking_at_each(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 1u64..20), 1..150),
        ) {
            let mut index = Intervals::new();
            let mut plain = BTreeSet::new();
            for (add, first, count) in steps {
                let span = Span(first, count);
                if add && plain.insert(span) {
                    index.reserve().unwrap();
                    index.insert(span);
                } else if !add {
                    prop_assert_eq!(index.remove(&span), plain.remove(&span));
                }
                prop_assert_eq!(index.len(), plain.len());
                let mut found = Vec::new();
                index.overlapping(first, count, |span| found.push(span));
                let expected: Vec<_> =
                    plain.iter().filter(|span| span.0 < first + count && first < span.0 + span.1).copied().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn thousands_make_a_shallow_tree() {
        fn depth(index: &Intervals<Span>, n: u32) -> usize {
            if n == NIL {
                return 0;
            }
            let node = &index.nodes[n as usize];
            1 + depth(index, node.left).max(depth(index, node.right))
        }
        let mut index = Intervals::new();
        for first in 0..20_000 {
            index.insert(Span(first, 3));
        }
        assert!(depth(&index, index.root) < 50);
        let mut count = 0;
        index.overlapping(10_000, 2, |_| count += 1);
        assert_eq!(count, 4);
    }
}
