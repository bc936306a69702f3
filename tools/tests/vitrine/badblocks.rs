//! `vitrine badblock`, and what the other commands make of a bad block.

use std::os::unix::fs::FileExt;

use crate::scratch::Scratch;

/// An image with one file of three pages of `A`, and the sector where its second page begins.
fn with_file(name: &str) -> (Scratch, u64) {
    let dir = Scratch::new(name);
    dir.write("tree/file", [vec![b'A'; 4096], vec![b'B'; 4096], vec![b'C'; 4096]].concat());
    dir.write("tree/whole", "whole");
    dir.run(["mkfs", "--size", "8M", "--from", "tree", "a.img"]).ok();
    let image = dir.read("a.img");
    let page = image.chunks(4096).position(|page| page == [b'B'; 4096]).unwrap();
    (dir, page as u64 * 8)
}

#[test]
fn sectors_are_added_listed_and_cleared() {
    let (dir, _) = with_file("badblock-list");
    let list = || dir.run(["badblock", "list", "a.img"]).ok();
    assert_eq!(list(), "");
    dir.run(["badblock", "add", "a.img", "8000"]).ok();
    dir.run(["badblock", "add", "a.img", "8001+7"]).ok();
    dir.run(["badblock", "add", "a.img", "0x2000+2"]).ok();
    assert_eq!(list(), "8000+8 free\n8192+2 free\n");
    dir.run(["badblock", "clear", "a.img", "8003+2"]).ok();
    assert_eq!(list(), "8000+3 free\n8005+3 free\n8192+2 free\n");
    dir.run(["fsck", "a.img"]).ok();
    assert!(dir.run(["info", "--json", "a.img"]).ok().contains("\"badblocks\":8"));
    dir.run(["badblock", "add", "a.img", "16384"]).fails(&["a.img", "16384"]);
    dir.write("other", vec![1; 8192]);
    dir.run(["badblock", "add", "other", "1"]).fails(&["other", "not a Vitrine file system"]);
    assert_eq!(dir.run(["badblock", "add", "a.img", "+1"]).status(), 2);
}

#[test]
fn a_bad_block_of_a_file_cannot_be_read_and_is_healed_by_writing_over_it() {
    let (dir, sector) = with_file("badblock-file");
    dir.run(["badblock", "add", "a.img", &format!("{}", sector + 3)]).ok();
    let place = format!("{}+1 byte {} of /file", sector + 3, 4096 + 3 * 512);
    assert_eq!(dir.run(["badblock", "list", "a.img"]).ok(), format!("{place}\n"));
    let json = dir.run(["badblock", "list", "--json", "a.img"]).ok();
    assert!(json.contains("\"path\":\"/file\"") && json.contains("\"offset\":5632"), "{json}");
    assert!(dir.run(["fsck", "a.img"]).ok().contains(&place), "the image is clean, and the file is hurt");
    assert!(dir.run(["info", "a.img"]).ok().contains(&place));
    let cat = dir.run(["cat", "a.img:/file"]);
    assert_ne!(cat.status(), 0);
    assert_eq!(cat.stdout().len(), 4096 + 3 * 512, "what lies before is shown");
    // The other files of a tree come out all the same.
    let out = dir.run(["cp", "-r", "a.img:/", "out"]);
    assert_eq!(out.status(), 1);
    for words in ["out/file: bad block at byte", "1 file has bad blocks"] {
        assert!(out.stderr().contains(words), "{}", out.stderr());
    }
    assert_eq!((dir.read("out/file").len(), dir.read("out/whole").len()), (4096 + 3 * 512, 5));
    dir.run(["cp", "tree/file", "a.img:/file"]).ok();
    assert_eq!(dir.run(["badblock", "list", "a.img"]).ok(), "");
    assert_eq!(dir.run(["cat", "a.img:/file"]).ok().len(), 3 * 4096);
}

#[test]
fn a_bad_copy_of_the_list_is_repaired() {
    let (dir, _) = with_file("badblock-copy");
    dir.run(["badblock", "add", "a.img", "8000"]).ok();
    let image = std::fs::File::options().write(true).open(dir.path("a.img")).unwrap();
    image.write_all_at(&[0x55], 16 * 4096 + 512 + 33).unwrap();
    assert_eq!(dir.run(["fsck", "a.img"]).status(), 4);
    assert_eq!(dir.run(["fsck", "--repair", "a.img"]).status(), 1);
    assert_eq!(dir.run(["fsck", "a.img"]).status(), 0);
    assert_eq!(dir.run(["badblock", "list", "a.img"]).ok(), "8000+1 free\n");
}
