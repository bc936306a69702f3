//! Nodes with the buses they hang on, so that an address on a bus becomes a physical one.

use arrayvec::{ArrayString, ArrayVec};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use units::{ByteLen, PhysAddr, PhysRange};

use super::{FdtError, NodeName};

/// Deeper nodes are not looked at: it bounds the stack whatever the tree says.
const MAX_DEPTH: usize = 8;

type Children<'a> = <FdtNode<'a> as Node>::Children<'a>;

/// A node, and the way to it from the root.
#[derive(Clone)]
pub(super) struct Place<'a> {
    /// From a child of the root down to the node itself; empty for the root.
    way: ArrayVec<FdtNode<'a>, MAX_DEPTH>,
    root: FdtNode<'a>,
}

impl<'a> Place<'a> {
    pub(super) fn root(tree: Fdt<'a>) -> Self {
        Self { way: ArrayVec::new(), root: tree.root() }
    }

    /// The node itself.
    pub(super) fn node(&self) -> FdtNode<'a> {
        self.way.last().copied().unwrap_or(self.root)
    }

    /// The node at an absolute path.
    pub(super) fn at_path(tree: Fdt<'a>, path: &str) -> Option<Self> {
        let mut place = Self::root(tree);
        for name in path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty()) {
            let child = place.node().child(name)?;
            place.way.try_push(child).ok()?;
        }
        Some(place)
    }

    /// Shows `each` the node and everything below that is not switched off, parents before children, until it answers
    /// `false`. No recursion: the boot stack is small, and the tree is not ours.
    pub(super) fn visit(mut self, each: &mut dyn FnMut(&Place<'a>) -> bool) {
        let mut open = ArrayVec::<Children<'a>, { MAX_DEPTH + 1 }>::new();
        if !works(&self.node()) || !each(&self) {
            return;
        }
        open.push(self.node().children());
        while let Some(children) = open.last_mut() {
            match children.next() {
                None => {
                    open.pop();
                    self.way.pop();
                }
                Some(child) if works(&child) && self.way.try_push(child).is_ok() => {
                    if !each(&self) {
                        return;
                    }
                    open.push(child.children());
                }
                Some(_) => {}
            }
        }
    }

    /// Its register ranges as physical addresses.
    pub(super) fn registers(&self) -> Result<impl Iterator<Item = Result<PhysRange, FdtError>> + '_, FdtError> {
        let bad = || bad(&self.node(), "reg");
        let ranges = self.node().reg().map_err(|_| bad())?.ok_or_else(bad)?;
        Ok(ranges.map(move |range| {
            let (at, len) = (range.address::<u64>().map_err(|_| bad())?, range.size::<u64>().map_err(|_| bad())?);
            self.physical(at, len).ok_or_else(bad)
        }))
    }

    /// Its first register range.
    pub(super) fn first_registers(&self) -> Result<PhysRange, FdtError> {
        self.registers()?.next().unwrap_or_else(|| Err(bad(&self.node(), "reg")))
    }

    /// `len` bytes at `at` on the node's bus, through every bridge up to the root.
    fn physical(&self, at: u64, len: u64) -> Option<PhysRange> {
        let buses = self.way.len().saturating_sub(1);
        let at = self.way[..buses].iter().rev().try_fold(at, |at, bus| through(bus, at, len))?;
        PhysRange::with_len(PhysAddr::new(at), ByteLen::new(len))
    }
}

/// Where `at..at + len` on `bus` lies on the bus above.
fn through(bus: &FdtNode<'_>, at: u64, len: u64) -> Option<u64> {
    if bus.property("ranges")?.value().is_empty() {
        return Some(at);
    }
    let last = at.checked_add(len)?;
    bus.ranges().ok()??.find_map(|range| {
        let (below, above) = (range.child_bus_address::<u64>().ok()?, range.parent_bus_address::<u64>().ok()?);
        let end = below.checked_add(range.length::<u64>().ok()?)?;
        (below <= at && last <= end).then(|| above.checked_add(at - below)).flatten()
    })
}

/// Whether a node is not switched off.
fn works(node: &FdtNode<'_>) -> bool {
    match text(node, "status") {
        Ok(status) => matches!(status, None | Some("okay" | "ok")),
        Err(_) => false,
    }
}

/// The error that says a property of `node` is bad or missing.
pub(super) fn bad(node: &FdtNode<'_>, property: &'static str) -> FdtError {
    let mut name = NodeName::new();
    let shown = if node.name().is_empty() { "/" } else { node.name() };
    for char in shown.chars() {
        if name.try_push(char).is_err() {
            break;
        }
    }
    FdtError::Property { node: name, property }
}

/// A property that is one 32-bit number; `None` where it is absent.
pub(super) fn number(node: &FdtNode<'_>, name: &'static str) -> Result<Option<u32>, FdtError> {
    node.property(name).map(|property| property.value_as::<u32>().map_err(|_| bad(node, name))).transpose()
}

/// A property that is one string; `None` where it is absent.
pub(super) fn text<'a>(node: &FdtNode<'a>, name: &'static str) -> Result<Option<&'a str>, FdtError> {
    node.property(name).map(|property| property.value_as::<&'a str>().map_err(|_| bad(node, name))).transpose()
}

/// Copies a string property into a buffer of its own.
pub(super) fn copied<const N: usize>(node: &FdtNode<'_>, name: &'static str) -> Result<ArrayString<N>, FdtError> {
    ArrayString::from(text(node, name)?.unwrap_or("")).map_err(|_| bad(node, name))
}
