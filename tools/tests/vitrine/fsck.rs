//! `vitrine fsck` on damaged images: what it says, what it does, and the status it ends with.

use std::os::unix::fs::FileExt;

use crate::scratch::Scratch;

/// A word of the image.
fn word(image: &[u8], at: usize) -> usize {
    u64::from_le_bytes(image[at..at + 8].try_into().unwrap()) as usize
}

/// Where the copies of the log's records lie, as docs/FORMAT.md has it.
fn records(image: &[u8]) -> Vec<[usize; 2]> {
    let copies = [word(image, 72) * 4096, word(image, 80) * 4096];
    let mut records = Vec::new();
    let mut at = 64;
    while image[copies[0] + at..].starts_with(b"VREC") {
        records.push(copies.map(|copy| copy + at));
        let length = u32::from_le_bytes(image[copies[0] + at + 8..][..4].try_into().unwrap()) as usize;
        at += length.next_multiple_of(64);
    }
    records
}

/// Turns a byte in each of these places.
fn spoil(dir: &Scratch, name: &str, places: &[usize]) {
    let image = std::fs::File::options().read(true).write(true).open(dir.path(name)).unwrap();
    for &at in places {
        let mut byte = [0];
        image.read_exact_at(&mut byte, at as u64).unwrap();
        image.write_all_at(&[!byte[0]], at as u64).unwrap();
    }
}

fn with_image(name: &str) -> Scratch {
    let dir = Scratch::new(name);
    dir.run(["mkfs", "--size", "8M", "a.img"]).ok();
    for n in 0..10 {
        dir.write("file", vec![n + 1; 5000]);
        dir.run(["cp", "file", &format!("a.img:/{n}")]).ok();
    }
    dir
}

#[test]
fn a_bad_copy_is_rewritten() {
    let dir = with_image("fsck-copy");
    let before = dir.read("a.img");
    spoil(&dir, "a.img", &[records(&before)[3][1] + 40, 100]);
    let fsck = dir.run(["fsck", "a.img"]);
    assert_eq!(fsck.status(), 4);
    assert!(
        fsck.stdout().contains("a superblock copy is bad") && fsck.stdout().contains("--repair"),
        "{}",
        fsck.stdout()
    );
    let json = dir.run(["fsck", "--json", "a.img"]);
    assert!(json.status() == 4 && json.stdout().contains("\"severity\":\"copy\""), "{}", json.stdout());
    assert_eq!(dir.run(["fsck", "--repair", "a.img"]).status(), 1);
    assert!(dir.read("a.img") == before);
    assert_eq!(dir.run(["fsck", "--repair", "a.img"]).status(), 0);
}

#[test]
fn a_damaged_middle_is_named_and_only_repair_passes_over_it() {
    let dir = with_image("fsck-middle");
    let image = dir.read("a.img");
    let [one, other] = records(&image)[9];
    spoil(&dir, "a.img", &[one + 40, other + 40]);
    let before = dir.read("a.img");
    let fsck = dir.run(["fsck", "a.img"]);
    assert_eq!(fsck.status(), 4);
    for word in [format!("byte {one:#x}"), "GIVES UP".to_owned(), "copy the image first".to_owned()] {
        assert!(fsck.stdout().contains(&word), "{word} is missing in {}", fsck.stdout());
    }
    dir.run(["cp", "file", "a.img:/"]).fails(&["damaged", "only be read", "fsck"]);
    let listed = dir.run(["ls", "a.img:/"]).ok().lines().count();
    assert!(dir.read("a.img") == before, "to look changes nothing");
    let repair = dir.run(["fsck", "--repair", "a.img"]);
    assert!(repair.status() == 1 && repair.stdout().contains("1 record passed over"), "{}", repair.stdout());
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean"));
    let found = dir.run(["ls", "-R", "a.img:/"]).ok().lines().filter(|line| line.len() < 4).count();
    assert!(found >= 9 && listed < 6, "{listed} were shown, {found} are there");
    dir.run(["cp", "file", "a.img:/"]).ok();
}

#[test]
fn both_superblocks_and_both_headers_can_be_made_anew() {
    let dir = with_image("fsck-both");
    let before = dir.run(["ls", "-l", "a.img:/"]).ok();
    let image = dir.read("a.img");
    let header = [word(&image, 72) * 4096 + 20, word(&image, 80) * 4096 + 20];
    spoil(&dir, "a.img", &[30, 16 * 4096 + 31]);
    dir.run(["ls", "a.img:/"]).fails(&["both superblock copies are bad"]);
    assert_eq!(dir.run(["fsck", "a.img"]).status(), 4);
    let repair = dir.run(["fsck", "--repair", "a.img"]);
    assert_eq!(repair.status(), 1, "{}", repair.stdout());
    assert_eq!(dir.run(["ls", "-l", "a.img:/"]).ok(), before);
    let dir = with_image("fsck-headers");
    spoil(&dir, "a.img", &header);
    dir.run(["info", "a.img"]).fails(&["segment header", "fsck"]);
    let json = dir.run(["fsck", "--repair", "--json", "a.img"]);
    assert!(json.status() == 1 && json.stdout().contains("\"repaired\":[\""), "{}", json.stdout());
    assert_eq!(dir.run(["ls", "a.img:/"]).ok().lines().count(), 10);
}

#[test]
fn what_cannot_be_repaired_stays_as_it_is() {
    let dir = with_image("fsck-lost");
    // The salt in both superblocks.
    spoil(&dir, "a.img", &[57, 16 * 4096 + 58]);
    let before = dir.read("a.img");
    let repair = dir.run(["fsck", "--repair", "a.img"]);
    assert!(repair.status() == 4 && repair.stdout().contains("cannot be repaired"), "{}", repair.stdout());
    assert!(dir.read("a.img") == before);
    let dir = with_image("fsck-cut");
    std::fs::File::options().write(true).open(dir.path("a.img")).unwrap().set_len(4 << 20).unwrap();
    let repair = dir.run(["fsck", "--repair", "a.img"]);
    assert!(repair.status() == 4 && repair.stdout().contains("truncated"), "{}", repair.stdout());
}
