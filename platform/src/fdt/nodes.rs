//! Nodes while they are open: their properties that mean something, and the buses they hang on, so that an address on
//! a bus becomes a physical one.

use arrayvec::ArrayVec;
use units::{ByteLen, PhysAddr, PhysRange};

use super::blob::{Blob, Event, until_nul};
use super::{FdtError, NodeName, PciHost, PciSpace, PciWindow};

/// Deeper nodes are not looked at: it bounds the room that is taken, whatever the tree says.
pub(super) const MAX_DEPTH: usize = 8;
/// Cells that an address or a size may have.
const MAX_CELLS: usize = 4;
/// Entries that a `reg` or a `ranges` may have: the two multiply, and this bounds the product.
const MAX_ENTRIES: usize = 64;

macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// A property that means something to the kernel.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Name {
            $(#[doc = $text] $name,)*
        }

        /// How many there are.
        const NAMES: usize = [$(Name::$name,)*].len();

        impl Name {
            fn of(text: &[u8]) -> Option<Self> {
                match text {
                    $(_ if text == $text.as_bytes() => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// As the tree spells it.
            pub(super) fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    Reg = "reg",
    Compatible = "compatible",
    Interrupts = "interrupts",
    Status = "status",
    DeviceType = "device_type",
    AddressCells = "#address-cells",
    SizeCells = "#size-cells",
    Ranges = "ranges",
    InterruptCells = "#interrupt-cells",
    NumaNodeId = "numa-node-id",
    Method = "method",
    EnableMethod = "enable-method",
    CpuReleaseAddr = "cpu-release-addr",
    RedistributorRegions = "#redistributor-regions",
    NoMap = "no-map",
    Volatile = "volatile",
    Bootargs = "bootargs",
    StdoutPath = "stdout-path",
    RngSeed = "rng-seed",
    KaslrSeed = "kaslr-seed",
    InitrdStart = "linux,initrd-start",
    InitrdEnd = "linux,initrd-end",
}

/// A node with those of its properties that mean something; of two with one name the first counts, as in Linux.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    name: &'a [u8],
    values: [Option<&'a [u8]>; NAMES],
    /// Neither it nor any node above it is switched off.
    on: bool,
}

impl<'a> Node<'a> {
    /// Its name, with the unit address.
    pub(super) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The value of a property; `None` where it is absent.
    pub(super) fn get(&self, name: Name) -> Option<&'a [u8]> {
        self.values[name as usize]
    }

    /// The error that says that a property is bad or missing.
    pub(super) fn bad(&self, property: Name) -> FdtError {
        bad(self.name, property)
    }

    /// A property that is one 32-bit number; `None` where it is absent.
    pub(super) fn number(&self, name: Name) -> Result<Option<u32>, FdtError> {
        let number = |value: &[u8]| value.try_into().map(u32::from_be_bytes).map_err(|_| self.bad(name));
        self.get(name).map(number).transpose()
    }

    /// A property that is one number of one or two cells; `None` where it is absent.
    pub(super) fn wide(&self, name: Name) -> Result<Option<u64>, FdtError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.len() {
            4 | 8 => cells(value).map(Some).ok_or_else(|| self.bad(name)),
            _ => Err(self.bad(name)),
        }
    }

    /// A property that is one string; `None` where it is absent.
    pub(super) fn text(&self, name: Name) -> Result<Option<&'a str>, FdtError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = until_nul(value).filter(|text| text.len() + 1 == value.len());
        text.and_then(|text| str::from_utf8(text).ok()).map(Some).ok_or_else(|| self.bad(name))
    }

    /// Whether a property is exactly this string.
    pub(super) fn is(&self, name: Name, wanted: &[u8]) -> bool {
        self.get(name).is_some_and(|value| value.split_last() == Some((&0, wanted)))
    }

    /// What it is, the most particular name first.
    pub(super) fn compatible(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.get(Name::Compatible).unwrap_or_default().split(|&byte| byte == 0).filter(|name| !name.is_empty())
    }

    /// How many cells an address and a size have on the bus that this node is.
    fn bus_cells(&self) -> Result<(usize, usize), FdtError> {
        let cells = |name, default| match self.number(name)?.unwrap_or(default) as usize {
            count @ 0..=MAX_CELLS => Ok(count),
            _ => Err(self.bad(name)),
        };
        Ok((cells(Name::AddressCells, 2)?, cells(Name::SizeCells, 1)?))
    }

    /// Whether a node of this status works.
    fn works(&self) -> bool {
        self.get(Name::Status).is_none_or(|status| matches!(status, b"okay\0" | b"ok\0"))
    }
}

/// The error that says that a property of the node called `name` is bad or missing.
pub(super) fn bad(name: &[u8], property: Name) -> FdtError {
    let mut node = NodeName::new();
    for &byte in if name.is_empty() { b"/" } else { name } {
        if node.try_push(if byte.is_ascii_graphic() { byte.into() } else { '?' }).is_err() {
            break;
        }
    }
    FdtError::Property { node, property: property.text() }
}

/// The node that is looked at, and those above it up to the root.
pub(super) struct Nodes<'a> {
    open: ArrayVec<Node<'a>, MAX_DEPTH>,
}

/// Shows `each` every node of the tree when its properties are known, parents before children, those that are switched
/// off too. Nodes deeper than [`MAX_DEPTH`] are passed over.
pub(super) fn walk<'a>(
    blob: &Blob<'a>,
    each: &mut dyn FnMut(&Nodes<'a>) -> Result<(), FdtError>,
) -> Result<(), FdtError> {
    let (mut nodes, mut events) = (Nodes { open: ArrayVec::new() }, blob.events());
    let mut names = Names { last: [(u32::MAX, None); Names::SLOTS] };
    // Nodes below the deepest that is looked at, and whether the innermost open node is still to be shown.
    let (mut below, mut fresh) = (0_usize, false);
    while let Some(event) = events.next()? {
        match event {
            Event::Property(name, value) => {
                let name = names.look_up(blob, name)?;
                if below == 0 {
                    nodes.note(name, value);
                }
            }
            Event::Open(_) | Event::Close => {
                if core::mem::take(&mut fresh) {
                    nodes.settle();
                    each(&nodes)?;
                }
                match event {
                    Event::Open(name) if below == 0 && nodes.push(name) => fresh = true,
                    Event::Open(_) => below += 1,
                    _ if below > 0 => below -= 1,
                    _ => drop(nodes.open.pop()),
                }
            }
        }
    }
    Ok(())
}

/// Names that were met before, by their place in the blob: a tree has hundreds of properties, and some forty names.
struct Names {
    last: [(u32, Option<Name>); Names::SLOTS],
}

impl Names {
    const SLOTS: usize = 64;

    /// The name at a place; `None` where it means nothing to the kernel.
    fn look_up(&mut self, blob: &Blob<'_>, at: u32) -> Result<Option<Name>, FdtError> {
        let slot = &mut self.last[at as usize / 4 % Self::SLOTS];
        // No name is at the place that stands for an empty slot: no blob is so long.
        if slot.0 != at || at == u32::MAX {
            *slot = (at, Name::of(blob.name(at)?));
        }
        Ok(slot.1)
    }
}

impl<'a> Nodes<'a> {
    /// Opens a node; `false` where it is too deep.
    fn push(&mut self, name: &'a [u8]) -> bool {
        self.open.try_push(Node { name, values: [None; NAMES], on: true }).is_ok()
    }

    fn note(&mut self, name: Option<Name>, value: &'a [u8]) {
        if let (Some(node), Some(name)) = (self.open.last_mut(), name) {
            node.values[name as usize].get_or_insert(value);
        }
    }

    /// All properties are known.
    fn settle(&mut self) {
        let above = self.open.iter().rev().nth(1).is_none_or(|parent| parent.on);
        if let Some(node) = self.open.last_mut() {
            node.on = above && node.works();
        }
    }

    /// The node that is looked at.
    pub(super) fn node(&self) -> &Node<'a> {
        self.open.last().unwrap_or_else(|| unreachable!("a node is shown while it is open"))
    }

    /// Whether neither the node nor any above it is switched off.
    pub(super) fn is_on(&self) -> bool {
        self.node().on
    }

    /// Whether the nodes above this one are these, the root left out.
    pub(super) fn is_below(&self, names: &[&[u8]]) -> bool {
        let above = self.open.len().saturating_sub(1);
        above == names.len() + 1 && self.open[1..above].iter().map(Node::name).eq(names.iter().copied())
    }

    /// Whether the node is this child of the root.
    pub(super) fn is_at(&self, name: &[u8]) -> bool {
        self.open.len() == 2 && self.node().name == name
    }

    /// The names on the way from the root, which has none, to the node.
    pub(super) fn path(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.open.iter().skip(1).map(Node::name)
    }

    /// The first address of `reg`, on the node's own bus.
    pub(super) fn first_address(&self) -> Result<u64, FdtError> {
        let bad = || self.node().bad(Name::Reg);
        let (address, _) = self.bus().map_or(Ok((2, 1)), Node::bus_cells)?;
        let value = self.node().get(Name::Reg).and_then(|value| value.get(..4 * address)).ok_or_else(bad)?;
        cells(value).filter(|_| address > 0).ok_or_else(bad)
    }

    /// The register ranges as physical addresses; an error where there is not one.
    pub(super) fn registers(&self) -> Result<impl Iterator<Item = Result<PhysRange, FdtError>> + '_, FdtError> {
        let bad = || self.node().bad(Name::Reg);
        let (address, size) = self.bus().map_or(Ok((2, 1)), Node::bus_cells)?;
        let (value, entry) = (self.node().get(Name::Reg).ok_or_else(bad)?, 4 * (address + size));
        if address == 0 || size == 0 || !(1..=MAX_ENTRIES * entry).contains(&value.len()) || value.len() % entry != 0 {
            return Err(bad());
        }
        Ok(value.chunks_exact(entry).map(move |entry| {
            let (at, len) = entry.split_at(4 * address);
            let (at, len) = (cells(at).ok_or_else(bad)?, cells(len).ok_or_else(bad)?);
            self.physical(at, len).ok_or_else(bad)
        }))
    }

    /// What a PCI host bridge says: its configuration space, and its windows of memory. A child address has three cells, of
    /// which the first says what it is (bits 25 and 24: 1 I/O, 2 and 3 memory of 32 and of 64 bits).
    pub(super) fn pci_host(&self) -> Result<PciHost, FdtError> {
        const ENTRY: usize = 4 * (3 + 2 + 2);
        let ecam = self.registers()?.next().ok_or_else(|| self.node().bad(Name::Reg))??;
        let bad = || self.node().bad(Name::Ranges);
        let ranges = self.node().get(Name::Ranges).filter(|ranges| ranges.len() % ENTRY == 0).ok_or_else(bad)?;
        let mut windows = ArrayVec::new();
        for entry in ranges.chunks_exact(ENTRY).take(MAX_ENTRIES) {
            let (kind, rest) = entry.split_at(4);
            let ((bus, rest), kind) = (rest.split_at(8), cells(kind).ok_or_else(bad)?);
            let (at, len) = rest.split_at(8);
            let (at, len) = (cells(at).ok_or_else(bad)?, cells(len).ok_or_else(bad)?);
            let range = PhysRange::with_len(PhysAddr::new(at), ByteLen::new(len)).ok_or_else(bad)?;
            let space = match kind >> 24 & 3 {
                2 => PciSpace::Memory32,
                3 => PciSpace::Memory64,
                _ => continue,
            };
            let window = PciWindow { range, bus: cells(bus).ok_or_else(bad)?, space };
            windows.try_push(window).map_err(|_| FdtError::TooMany("windows of the PCI bridge"))?;
        }
        Ok(PciHost { ecam, windows })
    }

    /// The bus that the node hangs on; `None` for the root.
    fn bus(&self) -> Option<&Node<'a>> {
        self.open.iter().rev().nth(1)
    }

    /// `len` bytes at `at` on the node's bus, through every bridge up to the root.
    fn physical(&self, at: u64, len: u64) -> Option<PhysRange> {
        let buses = self.open.len().saturating_sub(1);
        let at = (1..buses).rev().try_fold(at, |at, bus| through(&self.open[bus], &self.open[bus - 1], at, len))?;
        PhysRange::with_len(PhysAddr::new(at), ByteLen::new(len))
    }
}

/// Where `at..at + len` on `bus` lies on the bus `above`.
fn through(bus: &Node<'_>, above: &Node<'_>, at: u64, len: u64) -> Option<u64> {
    let ranges = bus.get(Name::Ranges)?;
    if ranges.is_empty() {
        return Some(at);
    }
    let ((child, size), (parent, _)) = (bus.bus_cells().ok()?, above.bus_cells().ok()?);
    let (entry, last) = (4 * (child + parent + size), at.checked_add(len)?);
    if entry == 0 || ranges.len() > MAX_ENTRIES * entry || ranges.len() % entry != 0 {
        return None;
    }
    ranges.chunks_exact(entry).find_map(|entry| {
        let (from, rest) = entry.split_at(4 * child);
        let (to, length) = rest.split_at(4 * parent);
        let (from, to) = (cells(from)?, cells(to)?);
        let end = from.checked_add(cells(length)?)?;
        (from <= at && last <= end).then(|| to.checked_add(at - from)).flatten()
    })
}

/// The number that some cells make up; `None` where it has more than 64 bits.
fn cells(value: &[u8]) -> Option<u64> {
    let (words, _) = value.as_chunks::<4>();
    words.iter().try_fold(0, |number: u64, &word| {
        let fits = number >> 32 == 0;
        fits.then_some(number << 32 | u64::from(u32::from_be_bytes(word)))
    })
}
