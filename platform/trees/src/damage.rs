//! What goes wrong with device trees, at random: bits that fall over, blobs that are cut, and blobs in perfect form
//! that say what cannot be.

use std::sync::LazyLock;

use crate::SEEDS;
use crate::random::Random;
use crate::tree::{Node, Tree, cells};

/// Numbers at the edges of what is possible.
const EDGES: [u32; 14] = [
    0,
    1,
    2,
    3,
    4,
    9,
    0x1000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_f000,
    0xffff_ffff,
    0x4000_0000,
    0x4020_0000,
    0x0900_0000,
];
/// Properties that the kernel reads, for values to be moved between.
const NAMES: [&str; 24] = [
    "reg",
    "compatible",
    "interrupts",
    "status",
    "device_type",
    "#address-cells",
    "#size-cells",
    "ranges",
    "#interrupt-cells",
    "numa-node-id",
    "method",
    "enable-method",
    "cpu-release-addr",
    "#redistributor-regions",
    "no-map",
    "volatile",
    "bootargs",
    "stdout-path",
    "rng-seed",
    "kaslr-seed",
    "linux,initrd-start",
    "linux,initrd-end",
    "phandle",
    "interrupt-parent",
];
const KINDS: [&str; 9] = [
    "arm,psci-1.0",
    "arm,pl011",
    "arm,gic-v3",
    "arm,armv8-timer",
    "qemu,fw-cfg-mmio",
    "arm,pl031",
    "pmem-region",
    "arm,gic-400",
    "simple-bus",
];

/// Where tests begin to count the trees that chance damages: 0, or what VITRINE_TREES says, to meet others.
///
/// # Panics
/// Where that is no number.
#[must_use]
pub fn first_number() -> u64 {
    std::env::var("VITRINE_TREES").map_or(0, |number| number.parse().expect("VITRINE_TREES is a number"))
}

/// The blob with this number: one of [`SEEDS`], damaged in one to three ways.
#[must_use]
pub fn damaged(number: u64) -> Vec<u8> {
    static TREES: LazyLock<Vec<Tree>> = LazyLock::new(|| SEEDS.iter().map(|(_, blob)| Tree::read(blob)).collect());
    let mut random = Random::new(number);
    damage(random.one_of(&TREES).clone(), &mut random)
}

/// Damages a good tree in one to three ways, and answers it as a blob.
#[must_use]
pub fn damage(mut tree: Tree, random: &mut Random) -> Vec<u8> {
    let (bytes_only, ways) = (random.below(4) == 0, random.below(3));
    if !bytes_only {
        (0..=ways).for_each(|_| change(&mut tree, random));
    }
    let mut blob = tree.blob();
    if bytes_only || random.below(2) == 0 {
        (0..=random.below(2)).for_each(|_| spoil(&mut blob, random));
    }
    blob
}

/// Spoils the bytes, whatever they mean.
fn spoil(blob: &mut Vec<u8>, random: &mut Random) {
    let end = blob.len();
    match random.below(8) {
        0 => (0..=random.below(8)).for_each(|_| blob[random.below(end)] ^= 1 << random.below(8)),
        1 => {
            let (at, len) = (random.below(end), random.below(64));
            blob[at..].iter_mut().take(len).for_each(|byte| *byte = random.draw() as u8);
        }
        2 => blob.truncate(random.below(end).max(1)),
        3 => {
            // Cut, and the header knows of it.
            blob.truncate(random.below(end).max(40));
            let len = blob.len() as u32;
            blob[4..8].copy_from_slice(&len.to_be_bytes());
        }
        4 => put(blob, 4 * random.below(10), *random.one_of(&EDGES)),
        5 => put(blob, 4 * random.below(end / 4), *random.one_of(&EDGES)),
        6 => put(blob, 4 * random.below(10), random.below(2 * end) as u32),
        _ => {
            let (from, to, len) = (4 * random.below(end / 4), 4 * random.below(end / 4), 4 * random.below(32));
            let len = len.min(end - from).min(end - to);
            blob.copy_within(from..from + len, to);
        }
    }
}

fn put(blob: &mut [u8], at: usize, word: u32) {
    if let Some(bytes) = blob.get_mut(at..at + 4) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

/// Changes what the tree says; its form stays good.
fn change(tree: &mut Tree, random: &mut Random) {
    let count = tree.root.count();
    let (one, other) = (random.below(count), random.below(count));
    match random.below(14) {
        0 => drop(take_child(tree.root.nth(one), random)),
        1 => {
            let copy = tree.root.nth(one).clone();
            tree.root.nth(other).children.push(copy);
        }
        2 => {
            // The node it goes to may have been a part of what was taken out.
            if let Some(child) = take_child(tree.root.nth(one), random) {
                let left = tree.root.count();
                tree.root.nth(other % left).children.push(child);
            }
        }
        3 => drop(take_property(tree.root.nth(one), random)),
        4 => {
            if let Some((name, _)) = take_property(tree.root.nth(one), random) {
                let value = tree.root.nth(other).properties.first().map(|property| property.1.clone());
                tree.root.nth(one).properties.push((name, value.unwrap_or_default()));
            }
        }
        5 | 6 => distort(tree.root.nth(one), random),
        7 => {
            let name = *random.one_of(&NAMES);
            let value = value(random);
            tree.root.nth(one).set(name, value);
        }
        8 => {
            let kind = [random.one_of(&KINDS).as_bytes(), b"\0"].concat();
            tree.root.nth(one).set("compatible", kind);
        }
        9 => drop(tree.root.nth(one).set("status", *random.one_of(&[&b"disabled\0"[..], b"fail\0", b"okay", b""]))),
        10 => deepen(tree.root.nth(one), random.below(3000)),
        11 => {
            let nodes = (0..random.below(80)).map(|_| memory(random));
            let nodes: Vec<Node> = nodes.collect();
            tree.root.nth(one).children.extend(nodes);
        }
        12 => {
            let entries = (0..random.below(60)).map(|_| (wide(random), wide(random)));
            tree.reservations.extend(entries.collect::<Vec<_>>());
        }
        _ => {
            let (name, line) = (*random.one_of(&["bootargs", "stdout-path"]), line(random));
            if let Some(node) = tree.root.children.iter_mut().find(|node| node.name == b"chosen") {
                node.set(name, line);
            }
        }
    }
}

fn take_child(node: &mut Node, random: &mut Random) -> Option<Node> {
    let count = node.children.len();
    (count > 0).then(|| node.children.remove(random.below(count)))
}

fn take_property(node: &mut Node, random: &mut Random) -> Option<(Vec<u8>, Vec<u8>)> {
    let count = node.properties.len();
    (count > 0).then(|| node.properties.remove(random.below(count)))
}

/// Makes the value of a property another one.
fn distort(node: &mut Node, random: &mut Random) {
    let count = node.properties.len();
    if count == 0 {
        return;
    }
    let (_, bytes) = &mut node.properties[random.below(count)];
    let len = bytes.len();
    match random.below(6) {
        0 => bytes.truncate(random.below(len + 1)),
        1 => bytes.extend(value(random)),
        2 => *bytes = value(random),
        3 => put(bytes, 4 * random.below(len / 4 + 1), *random.one_of(&EDGES)),
        4 if len > 0 => bytes[random.below(len)] ^= 1 << random.below(8),
        _ => *bytes = bytes.repeat(1 + random.below(100)),
    }
}

/// Moves what is in a node `levels` deeper; back up again in the chain, all have names of their own.
fn deepen(node: &mut Node, levels: usize) {
    let mut inner = std::mem::take(&mut node.children);
    for level in 0..levels.min(900) {
        let mut around = Node::new(&format!("n{level}"));
        around.children = inner;
        inner = vec![around];
    }
    node.children = inner;
}

fn memory(random: &mut Random) -> Node {
    let mut node = Node::new(&format!("memory@{:x}", random.draw()));
    let reg = [wide(random).to_be_bytes(), wide(random).to_be_bytes()].concat();
    node.set("device_type", *b"memory\0").set("reg", reg);
    node
}

fn wide(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => u64::from(*random.one_of(&EDGES)) << 32 | u64::from(*random.one_of(&EDGES)),
        1 => u64::from(*random.one_of(&EDGES)),
        _ => random.draw() >> random.below(64),
    }
}

/// A value: cells, noise, text or nothing.
fn value(random: &mut Random) -> Vec<u8> {
    match random.below(5) {
        0 => cells(&(0..random.below(12)).map(|_| *random.one_of(&EDGES)).collect::<Vec<_>>()),
        1 => (0..random.below(100)).map(|_| random.draw() as u8).collect(),
        2 => [random.one_of(&KINDS).as_bytes(), b"\0"].concat(),
        3 => line(random),
        _ => Vec::new(),
    }
}

/// A line of text, perhaps too long, perhaps none at all.
fn line(random: &mut Random) -> Vec<u8> {
    let words =
        ["init=/bin/sh", "pmem=1,2", "=", "/pl011@9000000", "\u{fc}", "test", "root=pmem9", "\u{fffd}", ":", "//"];
    let mut line = Vec::new();
    let most = if random.below(8) == 0 { 600 } else { 8 };
    for _ in 0..random.below(most) {
        line.extend(random.one_of(&words).as_bytes());
        line.extend(*random.one_of(&[&b" "[..], b"", b"\0", b"\xff", b"\t"]));
    }
    line.push(0);
    line
}
