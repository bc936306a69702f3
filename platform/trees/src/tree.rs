//! A device tree in memory, in any shape: two nodes of one name, names that are no text, values that make no sense.

use std::collections::HashMap;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};

/// A device tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// `/memreserve/`: address and size.
    pub reservations: Vec<(u64, u64)>,
    /// The root.
    pub root: Node,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Its name, with the unit address.
    pub name: Vec<u8>,
    /// Names and values.
    pub properties: Vec<(Vec<u8>, Vec<u8>)>,
    /// The nodes below it.
    pub children: Vec<Node>,
}

/// Cells as the bytes of a value.
#[must_use]
pub fn cells(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

impl Node {
    /// A node with nothing in it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets a property, whether it was there or not.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        self.remove(name);
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Takes a property away.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.properties.retain(|(other, _)| other != name.as_bytes());
        self
    }

    /// How many nodes there are in it, itself included.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    /// The node with this number, parents before children.
    ///
    /// # Panics
    /// Where the number is not below [`Node::count`].
    pub fn nth(&mut self, number: usize) -> &mut Self {
        let Some(mut left) = number.checked_sub(1) else { return self };
        for child in &mut self.children {
            match left.checked_sub(child.count()) {
                Some(rest) => left = rest,
                None => return child.nth(left),
            }
        }
        panic!("there are fewer nodes")
    }

    fn of(node: &FdtNode<'_>) -> Self {
        Self {
            name: node.name().into(),
            properties: node.properties().map(|property| (property.name().into(), property.value().into())).collect(),
            children: node.children().map(|child| Self::of(&child)).collect(),
        }
    }

    fn write<'a>(&'a self, to: &mut Vec<u8>, strings: &mut Strings<'a>) {
        to.extend(1_u32.to_be_bytes());
        to.extend(&self.name);
        to.push(0);
        pad(to, 4);
        for (name, value) in &self.properties {
            to.extend(cells(&[3, value.len() as u32, strings.offset(name)]));
            to.extend(value);
            pad(to, 4);
        }
        self.children.iter().for_each(|child| child.write(to, strings));
        to.extend(2_u32.to_be_bytes());
    }
}

impl Tree {
    /// What a blob holds.
    ///
    /// # Panics
    /// Where it is damaged.
    #[must_use]
    pub fn read(blob: &[u8]) -> Self {
        Self::try_read(blob).expect("a good blob")
    }

    /// What a blob holds; `None` where it is damaged.
    #[must_use]
    pub fn try_read(blob: &[u8]) -> Option<Self> {
        let tree = Fdt::new(blob).ok()?;
        let reservations = tree.memory_reservations().map(|entry| (entry.address(), entry.size())).collect();
        Some(Self { reservations, root: Node::of(&tree.root()) })
    }

    /// The tree as a blob.
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Strings::default());
        self.root.write(&mut structure, &mut strings);
        let strings = strings.bytes;
        structure.extend(9_u32.to_be_bytes());
        let mut blob = vec![0; 40];
        for (address, size) in self.reservations.iter().chain(&[(0, 0)]) {
            blob.extend(address.to_be_bytes());
            blob.extend(size.to_be_bytes());
        }
        let (at, strings_at) = (blob.len(), blob.len() + structure.len());
        blob.extend(&structure);
        blob.extend(&strings);
        pad(&mut blob, 8);
        let words = [0xd00d_feed, blob.len(), at, strings_at, 40, 17, 16, 0, strings.len(), structure.len()];
        blob[..40].copy_from_slice(&cells(&words.map(|word| word as u32)));
        blob
    }

    /// The node at an absolute path.
    ///
    /// # Panics
    /// Where there is none.
    pub fn at(&mut self, path: &str) -> &mut Node {
        path.split('/').filter(|name| !name.is_empty()).fold(&mut self.root, |node, name| {
            let mut children = node.children.iter_mut();
            children.find(|child| child.name == name.as_bytes()).unwrap_or_else(|| panic!("{path} is there"))
        })
    }
}

/// The strings block, each name in it once.
#[derive(Default)]
struct Strings<'a> {
    bytes: Vec<u8>,
    known: HashMap<&'a [u8], u32>,
}

impl<'a> Strings<'a> {
    /// Where `name` lies.
    fn offset(&mut self, name: &'a [u8]) -> u32 {
        *self.known.entry(name).or_insert_with(|| {
            let at = self.bytes.len();
            self.bytes.extend([name, &[0]].concat());
            at as u32
        })
    }
}

fn pad(bytes: &mut Vec<u8>, align: usize) {
    bytes.resize(bytes.len().next_multiple_of(align), 0);
}
