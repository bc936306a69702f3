//! A call for which there is too little heap is refused before anything changes.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{BLOCK, Log, NOW, assert_clean, formatted, mount_with, tree, write_at};
use fs::{Error, NewNode, Rename, SetAttr};

/// Bytes of heap there are, for the calls of this test.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

#[test]
fn without_heap_every_change_is_refused_and_nothing_has_changed() {
    fs::use_head_room(|bytes| bytes <= LEFT.load(Ordering::Relaxed));
    let fs = mount_with(formatted(2048), Log::Usual);
    let root = fs.root();
    let file = NewNode::File { mode: 0o644 };
    let node = root.create(b"f", file, NOW).unwrap();
    root.create(b"d", NewNode::Directory { mode: 0o755 }, NOW).unwrap();
    write_at(&node, 0, &[1; 5000]).unwrap();
    let (seen, space) = (tree(&fs), fs.space());

    LEFT.store(1 << 10, Ordering::Relaxed);
    let refused = Some(Error::NoMemory);
    assert_eq!(root.create(b"new", file, NOW).err(), refused);
    assert_eq!(root.link(b"link", &node, NOW).err(), refused);
    assert_eq!(root.rename(b"f", &root, b"g", Rename::Replace, NOW).err(), refused);
    assert_eq!(root.unlink(b"f", NOW).err(), refused);
    assert_eq!(root.rmdir(b"d", NOW).err(), refused);
    assert_eq!(node.set_attr(SetAttr { mode: Some(0), ..SetAttr::default() }, NOW).err(), refused);
    assert_eq!(node.truncate(1, NOW).err(), refused);
    assert_eq!(write_at(&node, 0, &[2; 10]).err(), refused);
    assert_eq!((tree(&fs), fs.space()), (seen, space));

    LEFT.store(usize::MAX, Ordering::Relaxed);
    // Every second block of a file: as many extents, each of which would become a run of free space.
    for block in 0..400 {
        write_at(&node, 2 * block * BLOCK, &[3; BLOCK as usize]).unwrap();
    }
    LEFT.store(70 << 10, Ordering::Relaxed);
    assert_eq!(node.truncate(0, NOW).err(), refused);
    write_at(&node, 2 * BLOCK, &[4; BLOCK as usize]).unwrap();
    LEFT.store(usize::MAX, Ordering::Relaxed);
    node.truncate(0, NOW).unwrap();
    assert_clean(fs.medium());
}
