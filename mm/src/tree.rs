//! The VMAs of one address space: a balanced tree that also knows the largest gap below every node.
//!
//! An AVL tree whose nodes live in a slab (`vm_area_cachep`) and name each other by index, so that all of it is safe
//! code and only [`Tree::reserve`] can fail. Node 0 stands for no node: its height and its widest gap are 0, and nobody
//! has to ask whether a child is there before looking at it. Neighbours are linked too, because nearly every change of a
//! VMA looks at the one before and the one behind.
//!
//! Each node keeps the room between its VMA and the one before (`gap`) and a bound on the largest such room in its
//! subtree (`widest`), so that a search for free addresses goes down one path. A gap that shrinks leaves the bounds above
//! it as they are; one that grows raises them as far as they are lower. So a VMA that comes and goes at one place, which
//! is most of what programs do, changes nothing above it. A search that was led astray lowers the bounds it went by: each
//! is paid for once by the change that left it too high. [`gaps`] holds the searches for room.
//!
//! For the same reason the node of the VMA that was removed last rests where it stood: it is nobody's neighbour and has no
//! addresses and no gap, but the tree is as balanced as before. Who comes to the same place gets it back; whatever else
//! changes there takes it out of the tree first.

mod gaps;

pub(crate) use self::gaps::{Found, Room};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;

use units::{ByteLen, VirtRange};

use crate::seams::OutOfMemory;
use crate::vma::{Kind, Vma};

/// The place of one VMA. Stays the same until that VMA is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At(u32);

/// No node.
const NIL: u32 = 0;
/// Nodes taken from the heap at a time: as many as most programs use.
const CHUNK: usize = 16;

struct Node<B> {
    vma: Vma<B>,
    /// Free addresses between the VMA before (or 0) and this one, guard gaps taken off.
    gap: u64,
    /// No `gap` of the subtree is larger.
    widest: Cell<u64>,
    left: u32,
    right: u32,
    parent: u32,
    /// The VMA before.
    prev: u32,
    /// The VMA behind; for a free node the next free one.
    next: u32,
    height: u8,
}

impl<B> Node<B> {
    /// A free node, before `next` among the free ones.
    const fn vacant(next: u32) -> Self {
        Self {
            vma: Vma::VACANT,
            gap: 0,
            widest: Cell::new(0),
            left: NIL,
            right: NIL,
            parent: NIL,
            prev: NIL,
            next,
            height: 0,
        }
    }
}

/// Which child.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// VMAs in the order of their addresses.
pub(crate) struct Tree<B> {
    /// At least one, for node 0.
    chunks: Vec<Box<[Node<B>; CHUNK]>>,
    root: u32,
    first: u32,
    last: u32,
    free: u32,
    free_count: usize,
    /// The node removed last, if it is still in the tree. It names the neighbours it had.
    resting: u32,
    len: usize,
    /// The answer of the last search (`vmacache`): faults come in clusters. Of a node that is free by now nothing is
    /// found: its VMA is empty.
    recent: Cell<u32>,
    /// Where the last search for room ended.
    hint: Cell<Hint>,
}

/// What the last search from above has learned (`free_area_cache` and `cached_hole_size` of earlier Linux): no gap above
/// the one below `node` has `need` bytes under `high`.
#[derive(Clone, Copy)]
struct Hint {
    node: u32,
    need: u64,
    high: u64,
}

impl Hint {
    const NONE: Self = Self { node: NIL, need: 0, high: 0 };
}

impl<B> Tree<B> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let mut tree = Self {
            chunks: Vec::new(),
            root: NIL,
            first: NIL,
            last: NIL,
            free: NIL,
            free_count: 0,
            resting: NIL,
            len: 0,
            recent: Cell::new(NIL),
            hint: Cell::new(Hint::NONE),
        };
        tree.grow()?;
        // Node 0 is never handed out.
        tree.free = tree.node(NIL).next;
        tree.free_count -= 1;
        tree.node_mut(NIL).next = NIL;
        Ok(tree)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes sure that the next `n` calls of [`insert`](Self::insert) find a node.
    pub(crate) fn reserve(&mut self, n: usize) -> Result<(), OutOfMemory> {
        while self.free_count < n {
            self.grow()?;
        }
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let base = self.chunks.len() * CHUNK;
        self.chunks.try_reserve(1).map_err(|_| OutOfMemory)?;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK).map_err(|_| OutOfMemory)?;
        for n in 0..CHUNK {
            let next = if n + 1 < CHUNK { (base + n + 1) as u32 } else { self.free };
            chunk.push(Node::vacant(next));
        }
        self.chunks.push(chunk.into_boxed_slice().try_into().map_err(|_| OutOfMemory)?);
        self.free = base as u32;
        self.free_count += CHUNK;
        Ok(())
    }

    fn node(&self, n: u32) -> &Node<B> {
        &self.chunks[n as usize / CHUNK][n as usize % CHUNK]
    }

    fn node_mut(&mut self, n: u32) -> &mut Node<B> {
        &mut self.chunks[n as usize / CHUNK][n as usize % CHUNK]
    }

    fn at(n: u32) -> Option<At> {
        (n != NIL).then_some(At(n))
    }

    pub(crate) fn vma(&self, at: At) -> &Vma<B> {
        &self.node(at.0).vma
    }

    pub(crate) fn first(&self) -> Option<At> {
        Self::at(self.first)
    }

    pub(crate) fn last(&self) -> Option<At> {
        Self::at(self.last)
    }

    #[inline]
    pub(crate) fn next(&self, at: At) -> Option<At> {
        Self::at(self.node(at.0).next)
    }

    #[inline]
    pub(crate) fn prev(&self, at: At) -> Option<At> {
        Self::at(self.node(at.0).prev)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Vma<B>> {
        core::iter::successors(self.first(), |at| self.next(*at)).map(|at| self.vma(at))
    }

    /// `find_vma`: the first that ends above `va`.
    pub(crate) fn find(&self, va: u64) -> Option<At> {
        let recent = self.recent.get();
        let range = self.node(recent).vma.range;
        if range.start().get() <= va && va < range.end().get() {
            return Some(At(recent));
        }
        let (mut n, mut found) = (self.root, NIL);
        while n != NIL {
            let node = self.node(n);
            if node.vma.range.end().get() <= va {
                n = node.right;
                continue;
            }
            found = n;
            if node.vma.range.start().get() <= va {
                break;
            }
            n = node.left;
        }
        self.recent.set(found);
        Self::at(found)
    }

    /// `find_vma_prev`: the one before the answer of [`find`](Self::find), which may have been none.
    #[inline]
    pub(crate) fn before(&self, found: Option<At>) -> Option<At> {
        match found {
            Some(at) => self.prev(at),
            None => self.last(),
        }
    }

    /// Puts a VMA that overlaps none before `behind`, or last, into a node that [`reserve`](Self::reserve) promised.
    #[inline(always)]
    pub(crate) fn insert(&mut self, vma: Vma<B>, behind: Option<At>) -> At {
        let n = self.link(behind.map_or(NIL, |at| at.0), vma.guarded_start(), vma.guarded_end());
        let node = &mut self.node_mut(n).vma;
        let Vma { range, prot, flags, bias, shift, kind, touched, anon } = vma;
        (node.range, node.prot, node.flags, node.bias, node.shift) = (range, prot, flags, bias, shift);
        (node.touched, node.anon) = (touched, anon);
        // A free node shows nothing: there is nothing to drop, and what shows nothing either leaves it so.
        core::mem::forget(match kind {
            Kind::Anonymous => kind,
            shown => core::mem::replace(&mut node.kind, shown),
        });
        At(n)
    }

    /// Makes a node the neighbour of `behind`, or the last, with the gap that a VMA from `start` to `end` leaves.
    fn link(&mut self, behind: u32, start: u64, end: u64) -> u32 {
        let before = if behind == NIL { self.last } else { self.node(behind).prev };
        let n = match self.node(self.resting) {
            rested if self.resting != NIL && (rested.prev, rested.next) == (before, behind) => {
                core::mem::replace(&mut self.resting, NIL)
            }
            _ => self.plant(before, behind),
        };
        let floor = self.node(before).vma.guarded_end();
        match before {
            NIL => self.first = n,
            before => self.node_mut(before).next = n,
        }
        match behind {
            NIL => self.last = n,
            behind => {
                // Its gap shrinks, which nobody above it needs to know.
                let node = self.node_mut(behind);
                node.prev = n;
                node.gap = node.vma.guarded_start().saturating_sub(end);
            }
        }
        let gap = start.saturating_sub(floor);
        let node = self.node_mut(n);
        (node.prev, node.next, node.gap) = (before, behind, gap);
        self.len += 1;
        self.recent.set(n);
        self.raise(n, gap);
        n
    }

    /// Hangs a free node into the tree between two neighbours, either of which may be no node.
    fn plant(&mut self, before: u32, behind: u32) -> u32 {
        self.uproot_resting();
        let n = self.free;
        assert!(n != NIL, "no node was reserved");
        // One of the two neighbours has room for a child on the inner side.
        let (parent, side) =
            if behind != NIL && self.node(behind).left == NIL { (behind, Side::Left) } else { (before, Side::Right) };
        let node = self.node_mut(n);
        let next_free = node.next;
        node.next = NIL;
        node.height = 1;
        self.free = next_free;
        self.free_count -= 1;
        self.set_child(parent, side, n);
        self.rebalance(parent);
        n
    }

    /// Takes a VMA out and answers the file it showed. Its node rests.
    pub(crate) fn remove(&mut self, at: At) -> Option<B> {
        self.uproot_resting();
        let n = at.0;
        let Node { prev, next, .. } = *self.node(n);
        let before = &self.node(prev).vma;
        let (end, floor) = (before.end(), before.guarded_end());
        match prev {
            NIL => self.first = next,
            prev => self.node_mut(prev).next = next,
        }
        let node = self.node_mut(n);
        let backing = match node.vma.kind {
            Kind::Anonymous => None,
            _ => core::mem::replace(&mut node.vma.kind, Kind::Anonymous).into_backing(),
        };
        node.gap = 0;
        // Where the gap of its neighbours begins: no search ends at it.
        node.vma.range = VirtRange::with_len(end, ByteLen::ZERO).unwrap_or(Vma::<B>::VACANT.range);
        self.len -= 1;
        self.resting = n;
        if self.hint.get().node == n {
            // Nothing above `n` has room, so nothing above the next one has.
            self.hint.set(Hint { node: next, ..self.hint.get() });
        }
        match next {
            NIL => {
                self.last = prev;
                self.hint.set(Hint::NONE);
            }
            next => {
                // Its gap reaches further down now.
                let node = self.node_mut(next);
                node.prev = prev;
                let gap = node.vma.guarded_start().saturating_sub(floor);
                self.set_gap(next, gap);
            }
        }
        backing
    }

    /// Takes the node that rests, if one does, out of the tree.
    #[inline(always)]
    fn uproot_resting(&mut self) {
        if self.resting != NIL {
            self.uproot();
        }
    }

    fn uproot(&mut self) {
        let n = core::mem::replace(&mut self.resting, NIL);
        let Node { left, right, parent, next, .. } = *self.node(n);
        let start = if left == NIL || right == NIL {
            self.replace_child(parent, n, if left == NIL { right } else { left });
            parent
        } else {
            self.lift(n, next)
        };
        self.rebalance(start);
        let free = core::mem::replace(&mut self.free, n);
        self.free_count += 1;
        let node = self.node_mut(n);
        node.next = free;
        (node.left, node.right) = (NIL, NIL);
        node.widest.set(0);
        node.vma.range = Vma::<B>::VACANT.range;
    }

    /// Moves a boundary. The VMA must keep its place in the order.
    pub(crate) fn set_range(&mut self, at: At, range: VirtRange) {
        let Node { prev, next, .. } = *self.node(self.resting);
        if at.0 == prev || at.0 == next {
            self.uproot_resting();
        }
        let node = self.node_mut(at.0);
        node.vma.range = range;
        let next = node.next;
        self.measure(at.0);
        self.measure(next);
    }

    /// Changes what has nothing to do with the order: not the range, nor a flag that keeps a guard.
    pub(crate) fn vma_mut(&mut self, at: At) -> &mut Vma<B> {
        &mut self.node_mut(at.0).vma
    }

    /// Measures the gap below `n` again. Where `n` is no node, the room above all VMAs has changed.
    fn measure(&mut self, n: u32) {
        match n {
            NIL => self.hint.set(Hint::NONE),
            n => self.set_gap(n, self.gap_below(n)),
        }
    }

    /// The gap below `n` has so many bytes from now on: raises the bounds above that have become too low.
    #[inline]
    fn set_gap(&mut self, n: u32, gap: u64) {
        let node = self.node_mut(n);
        let start = node.vma.start();
        if gap > core::mem::replace(&mut node.gap, gap) {
            let Hint { node: at, need, .. } = self.hint.get();
            if at != NIL && gap >= need && self.node(at).vma.start() < start {
                self.hint.set(Hint { node: n, ..self.hint.get() });
            }
            self.raise(n, gap);
        }
    }

    /// Makes `n` and those above it know of a gap.
    #[inline]
    fn raise(&self, mut n: u32, gap: u64) {
        while n != NIL {
            let node = self.node(n);
            if node.widest.get() >= gap {
                return;
            }
            node.widest.set(gap);
            n = node.parent;
        }
    }

    fn gap_below(&self, n: u32) -> u64 {
        let node = self.node(n);
        node.vma.guarded_start().saturating_sub(self.node(node.prev).vma.guarded_end())
    }

    /// Where the room below `n` begins.
    #[inline]
    fn floor(&self, n: u32) -> u64 {
        // Node 0 ends at 0.
        self.node(self.node(n).prev).vma.guarded_end()
    }

    fn set_child(&mut self, parent: u32, side: Side, child: u32) {
        match (parent, side) {
            (NIL, _) => self.root = child,
            (p, Side::Left) => self.node_mut(p).left = child,
            (p, Side::Right) => self.node_mut(p).right = child,
        }
        if child != NIL {
            self.node_mut(child).parent = parent;
        }
    }

    fn replace_child(&mut self, parent: u32, old: u32, new: u32) {
        let side = if parent != NIL && self.node(parent).left == old { Side::Left } else { Side::Right };
        self.set_child(parent, side, new);
    }

    /// Puts `s`, the successor of `n` and in its right subtree, where `n` stands. Returns where the heights below begin
    /// to be out of date.
    fn lift(&mut self, n: u32, s: u32) -> u32 {
        let Node { left, right, parent, height, .. } = *self.node(n);
        let Node { parent: from, right: orphan, .. } = *self.node(s);
        let start = if from == n {
            s
        } else {
            self.set_child(from, Side::Left, orphan);
            self.set_child(s, Side::Right, right);
            from
        };
        self.set_child(s, Side::Left, left);
        self.replace_child(parent, n, s);
        // The bound of this place holds for what is left of it; its height is put right by who rebalances.
        let widest = self.node(n).widest.get();
        let lifted = self.node_mut(s);
        lifted.height = height;
        lifted.widest.set(widest);
        start
    }

    /// Restores height and balance from `n` upwards, as far as anything changes.
    fn rebalance(&mut self, mut n: u32) {
        while n != NIL {
            let Node { left, right, parent, height: old, .. } = *self.node(n);
            let (low, high) = (self.height(left), self.height(right));
            if low.abs_diff(high) > 1 {
                let top = self.balance(n);
                n = self.node(top).parent;
                if self.height(top) == old {
                    return;
                }
                continue;
            }
            let height = 1 + low.max(high);
            if height == old {
                return;
            }
            self.node_mut(n).height = height;
            n = parent;
        }
    }

    /// Computes what `n` keeps of its subtree from its children.
    fn pull(&mut self, n: u32) {
        let Node { left, right, .. } = *self.node(n);
        let height = 1 + self.height(left).max(self.height(right));
        self.node_mut(n).height = height;
        self.tighten(n);
    }

    /// Lowers the bound of `n` to what its own gap and its children's bounds say.
    fn tighten(&self, n: u32) {
        let node = self.node(n);
        let (left, right) = (self.node(node.left), self.node(node.right));
        node.widest.set(node.gap.max(left.widest.get()).max(right.widest.get()));
    }

    fn height(&self, n: u32) -> u8 {
        self.node(n).height
    }

    /// Rotates `n`, one side of which is two higher than the other. Returns the root of the subtree.
    #[cold]
    fn balance(&mut self, n: u32) -> u32 {
        let Node { left, right, .. } = *self.node(n);
        if self.height(right) > self.height(left) {
            let Node { left: inner, right: outer, .. } = *self.node(right);
            if self.height(inner) > self.height(outer) {
                self.rotate(right, Side::Right);
            }
            return self.rotate(n, Side::Left);
        }
        let Node { left: outer, right: inner, .. } = *self.node(left);
        if self.height(inner) > self.height(outer) {
            self.rotate(left, Side::Left);
        }
        self.rotate(n, Side::Right)
    }

    /// Turns `n` down towards `side`; its child of the other side takes its place and is returned.
    fn rotate(&mut self, n: u32, side: Side) -> u32 {
        let parent = self.node(n).parent;
        let (up, other) = match side {
            Side::Left => (self.node(n).right, Side::Right),
            Side::Right => (self.node(n).left, Side::Left),
        };
        let inner = match side {
            Side::Left => self.node(up).left,
            Side::Right => self.node(up).right,
        };
        self.replace_child(parent, n, up);
        self.set_child(n, other, inner);
        self.set_child(up, side, n);
        self.pull(n);
        self.pull(up);
        up
    }

    /// Panics where the order, a link, a height or a gap is not what the VMAs say.
    pub(crate) fn validate(&self) {
        let mut seen = 0;
        let (mut prev, mut floor, mut n) = (NIL, 0, self.first);
        while n != NIL {
            let node = self.node(n);
            assert!(!node.vma.range.is_empty(), "an empty VMA at {}", node.vma.start());
            assert!(node.vma.start().get() >= floor, "{:?} overlaps the one before", node.vma.range);
            assert_eq!(node.prev, prev);
            assert_eq!(node.gap, self.gap_below(n), "gap below {:?}", node.vma.range);
            assert_eq!(self.find(node.vma.start().get()), Some(At(n)));
            assert_eq!(self.find(floor), Some(At(n)), "who ends above {floor:#x}");
            floor = node.vma.end().get();
            seen += 1;
            (prev, n) = (n, node.next);
        }
        assert_eq!((prev, seen), (self.last, self.len));
        let planted = self.len + usize::from(self.resting != NIL);
        assert_eq!(self.validate_below(self.root, NIL).0, planted);
        assert_eq!(1 + planted + self.free_count, self.chunks.len() * CHUNK);
        let rested = self.node(self.resting);
        assert!(rested.vma.range.is_empty() && rested.gap == 0 && rested.vma.backing().is_none());
        assert!(self.resting == NIL || self.node(rested.prev).next == rested.next || rested.prev == NIL);
        let none = self.node(NIL);
        assert!(none.height == 0 && none.widest.get() == 0 && none.vma.range.is_empty());
        self.validate_hint();
    }

    /// No gap above the hint's is as large as it says.
    fn validate_hint(&self) {
        let Hint { node: mut n, need, high } = self.hint.get();
        while n != NIL && self.node(n).next != NIL {
            n = self.node(n).next;
            let floor = self.floor(n);
            let end = (floor + self.node(n).gap).min(high);
            assert!(end.saturating_sub(floor) < need, "the hint passes over the gap at {floor:#x}");
        }
    }

    fn validate_below(&self, n: u32, parent: u32) -> (usize, u8, u64) {
        if n == NIL {
            return (0, 0, 0);
        }
        let node = self.node(n);
        assert_eq!(node.parent, parent);
        let (left_len, left, left_widest) = self.validate_below(node.left, n);
        let (right_len, right, right_widest) = self.validate_below(node.right, n);
        assert!(left.abs_diff(right) <= 1, "out of balance at {:?}", node.vma.range);
        assert_eq!(node.height, 1 + left.max(right));
        let widest = node.widest.get();
        assert!(widest >= node.gap.max(left_widest).max(right_widest), "a gap at {:?} is hidden", node.vma.range);
        (left_len + right_len + 1, node.height, widest)
    }
}
