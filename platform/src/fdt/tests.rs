//! The reader against dtoolkit, which judges, and against blobs that are made to keep it busy.

use platform_trees::{Node, SEEDS, Tree, cells, damaged};

use super::blob::{Blob, Event};
use super::{FdtError, MAX_BLOB, Platform};

/// What a blob holds by this crate's reader, and in how many steps.
fn read(bytes: &[u8]) -> Result<(Tree, usize), FdtError> {
    let blob = Blob::new(bytes)?;
    let (mut events, mut steps, mut open) = (blob.events(), 0, vec![Node::default()]);
    while let Some(event) = events.next()? {
        steps += 1;
        match event {
            Event::Open(name) => open.push(Node { name: name.into(), ..Node::default() }),
            Event::Property(name, value) => {
                open.last_mut().unwrap().properties.push((blob.name(name)?.into(), value.into()))
            }
            Event::Close => {
                let node = open.pop().unwrap();
                open.last_mut().unwrap().children.push(node);
            }
        }
    }
    let reservations = blob.reservations().map(|range| range.map(|range| (range.start().get(), range.len().get())));
    let reservations = reservations.collect::<Result<_, _>>()?;
    Ok((Tree { reservations, root: open.pop().unwrap().children.remove(0) }, steps))
}

#[test]
fn a_good_blob_reads_as_dtoolkit_reads_it() {
    for (name, seed) in SEEDS {
        let (tree, steps) = read(seed).unwrap();
        assert_eq!(tree, Tree::read(seed), "{name}");
        assert!(steps <= seed.len() / 4, "{name}");
    }
}

#[test]
fn a_damaged_blob_that_dtoolkit_takes_reads_the_same() {
    let (mut same, mut stricter) = (0, 0);
    for number in 0..1500 {
        let blob = damaged(number);
        let Some(tree) = Tree::try_read(&blob) else { continue };
        // dtoolkit reads on where the header says that a block ends; what it found is the same in good form.
        match read(&blob) {
            Ok((ours, _)) => assert_eq!(ours, tree, "blob {number}"),
            Err(_) => stricter += 1,
        }
        match read(&tree.blob()) {
            Ok((ours, _)) => assert_eq!(ours, tree, "blob {number}"),
            Err(error) => assert!(matches!(error, FdtError::MemoryRange(_)), "blob {number}: {error}"),
        }
        same += 1;
    }
    assert!(same > 500 && stricter < same / 10, "{same} blobs were good in form, {stricter} refused here alone");
}

#[test]
fn every_step_consumes_a_word() {
    for number in 0..1500 {
        let blob = damaged(number);
        let Ok(tree) = Blob::new(&blob) else { continue };
        let mut events = tree.events();
        let steps = core::iter::from_fn(|| events.next().ok().flatten()).count();
        assert!(steps <= blob.len() / 4, "blob {number}: {steps} steps for {} bytes", blob.len());
    }
}

/// A blob around a structure and a strings block that no tool would write.
fn raw(structure: &[u8], strings: &[u8]) -> Vec<u8> {
    let (at, len) = (56, 56 + structure.len() + strings.len());
    let words = [0xd00d_feed, len, at, at + structure.len(), 40, 17, 16, 0, strings.len(), structure.len()];
    [&cells(&words.map(|word| word as u32)), &[0; 16][..], structure, strings].concat()
}

#[test]
fn a_tree_as_deep_as_fits_is_passed_over() {
    let levels = MAX_BLOB / 12 - 16;
    let structure = [cells(&[1, 0]).repeat(levels), cells(&[2]).repeat(levels), cells(&[9])].concat();
    assert_eq!(Platform::parse(&raw(&structure, b"")).unwrap_err(), FdtError::Missing("CPU in /cpus"));
    let cut = raw(&structure[..structure.len() / 2], b"");
    assert!(matches!(Platform::parse(&cut).unwrap_err(), FdtError::Damaged { .. }));
}

#[test]
fn a_name_without_an_end_is_not_searched_for_again_and_again() {
    // Half a blob of properties that share half a blob of name.
    let properties = cells(&[3, 0, 0]).repeat(MAX_BLOB / 24 - 16);
    let structure = [cells(&[1, 0]), properties, cells(&[2, 9])].concat();
    let blob = raw(&structure, &vec![b'x'; MAX_BLOB / 2 - 256]);
    assert!(matches!(Platform::parse(&blob), Err(FdtError::Damaged { what: "a property without a name", .. })));
}

#[test]
fn lists_that_multiply_are_bounded() {
    let mut tree = Tree::read(SEEDS[0].1);
    let mut bus = Node::new("bus");
    bus.set("#address-cells", cells(&[1])).set("#size-cells", cells(&[1]));
    bus.set("ranges", cells(&[0xf000_0000, 0, 0, 1]).repeat(20_000));
    let mut memory = Node::new("memory@0");
    memory.set("device_type", *b"memory\0").set("reg", cells(&[0, 0]).repeat(40_000));
    bus.children.push(memory);
    tree.root.children.push(bus);
    let error = Platform::parse(&tree.blob()).unwrap_err();
    assert_eq!(error.to_string(), "device tree: node memory@0: bad or missing property reg");
}
