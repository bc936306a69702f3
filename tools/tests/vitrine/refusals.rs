//! What the tool refuses, and the status and the one line it does so with.

use std::os::unix::fs::FileExt;

use crate::scratch::Scratch;

fn with_image(name: &str) -> Scratch {
    let dir = Scratch::new(name);
    dir.write("tree/file", vec![7; 100_000]);
    dir.run(["mkfs", "--size", "8M", "--from", "tree", "a.img"]).ok();
    dir
}

#[test]
fn bad_arguments_are_a_usage_error() {
    let dir = Scratch::new("arguments");
    for args in [
        &["mkfs"] as &[&str],
        &["mkfs", "--size", "5000", "a.img"],
        &["mkfs", "--size", "lots", "a.img"],
        &["mkfs", "--size", "0", "a.img"],
        &["mkfs", "--as-version", "x", "a.img"],
        &["cp", "a"],
        &["ls"],
        &["polish", "a.img"],
        &[],
    ] {
        assert_eq!(dir.run(args).status(), 2, "{args:?}");
    }
    assert!(!dir.path("a.img").exists());
    dir.run(["ls", "a.img"]).fails(&["a.img", "IMG:/path"]);
    dir.run(["ls", "none.img:/"]).fails(&["none.img", "No such file"]);
    dir.run(["mkfs", "--size", "4K", "a.img"]).fails(&["at least"]);
    assert!(!dir.path("a.img").exists(), "what could not be made is not left behind");
    dir.run(["mkfs", "--from", "none", "a.img"]).fails(&["none"]);
    for args in [&["--help"] as &[&str], &["mkfs", "--help"], &["fsck", "--help"], &["--version"]] {
        assert!(!dir.run(args).ok().is_empty(), "{args:?}");
    }
}

#[test]
fn a_busy_image_is_left_alone() {
    let dir = with_image("busy");
    let before = dir.read("a.img");
    // As a machine running from it does.
    let held = std::fs::File::open(dir.path("a.img")).unwrap();
    held.try_lock().unwrap();
    for args in [
        &["ls", "a.img:/"] as &[&str],
        &["cp", "tree/file", "a.img:/new"],
        &["rm", "a.img:/file"],
        &["mkfs", "--size", "8M", "a.img"],
        &["info", "a.img"],
    ] {
        dir.run(args).fails(&["a.img: busy"]);
    }
    // Whose 1 says that something was repaired.
    dir.run(["fsck", "a.img"]).fails_with(8, &["a.img: busy"]);
    dir.run(["fsck", "--repair", "none.img"]).fails_with(8, &["none.img: No such file"]);
    assert!(dir.read("a.img") == before);
    held.unlock().unwrap();
    held.try_lock_shared().unwrap();
    dir.run(["ls", "a.img:/"]).ok();
    dir.run(["rm", "a.img:/file"]).fails(&["busy"]);
    drop(held);
    dir.run(["rm", "a.img:/file"]).ok();
}

#[test]
fn a_foreign_file_is_no_image() {
    let dir = Scratch::new("foreign");
    dir.write("text", "dear diary\n".repeat(1000));
    dir.write("short", "x");
    dir.write("zeros", vec![0; 1 << 20]);
    for name in ["text", "short", "zeros"] {
        let fsck = dir.run(["fsck", name]);
        assert_eq!(fsck.status(), 8, "{}", fsck.stdout());
        assert!(fsck.stdout().contains(name) && fsck.stdout().contains("not a Vitrine"), "{}", fsck.stdout());
        assert_eq!(dir.run(["fsck", "--repair", name]).status(), 8);
        dir.run(["ls", &format!("{name}:/")]).fails(&[name, "not a Vitrine"]);
        dir.run(["info", name]).fails(&[name, "not a Vitrine"]);
    }
    dir.run(["mkfs", "--size", "8M", "text"]).fails(&["text", "--force"]);
    assert_eq!(dir.read("text"), "dear diary\n".repeat(1000).into_bytes());
    dir.run(["mkfs", "--size", "8M", "--force", "text"]).ok();
    dir.run(["mkfs", "--size", "8M", "zeros"]).ok();
    dir.run(["fsck", "."]).fails_with(8, &[".: is a directory"]);
    dir.run(["mkfs", "--size", "8M", "."]).fails(&[".: is a directory"]);
}

#[test]
fn an_unknown_version_is_refused_by_its_number() {
    let dir = Scratch::new("version");
    dir.run(["mkfs", "--size", "8M", "--as-version", "77", "a.img"]).ok();
    dir.run(["ls", "a.img:/"]).fails(&["a.img", "version 77"]);
    let fsck = dir.run(["fsck", "--repair", "a.img"]);
    assert_eq!(fsck.status(), 8);
    assert!(fsck.stdout().contains("version 77"), "{}", fsck.stdout());
    dir.run(["mkfs", "--size", "8M", "a.img"]).ok();
    dir.run(["ls", "a.img:/"]).ok();
}

#[test]
fn a_truncated_image_says_so() {
    let dir = with_image("truncated");
    for len in [(8 << 20) - 4096, (8 << 20) - 1, 1 << 20] {
        let file = std::fs::File::options().write(true).open(dir.path("a.img")).unwrap();
        file.set_len(len).unwrap();
        dir.run(["ls", "a.img:/"]).fails(&["a.img", "truncated"]);
        let fsck = dir.run(["fsck", "a.img"]);
        assert_eq!(fsck.status(), 4, "{}", fsck.stdout());
        assert!(fsck.stdout().contains("truncated"), "{}", fsck.stdout());
    }
}

#[test]
fn a_bad_superblock_copy_is_found_and_repaired() {
    let dir = with_image("superblock");
    let file = std::fs::File::options().write(true).open(dir.path("a.img")).unwrap();
    file.write_all_at(&[0xff; 64], 100).unwrap();
    drop(file);
    let before = dir.read("a.img");
    let found = dir.run(["fsck", "a.img"]);
    assert_eq!(found.status(), 4, "{}", found.stdout());
    assert!(found.stdout().contains("superblock copy"), "{}", found.stdout());
    assert!(dir.read("a.img") == before, "a check changes nothing");
    assert!(dir.run(["cat", "a.img:/file"]).status() == 0 && dir.read("a.img") == before, "nor does reading");
    assert_eq!(dir.run(["fsck", "--repair", "a.img"]).status(), 1);
    assert_eq!(dir.run(["fsck", "--repair", "a.img"]).status(), 0);
    assert_eq!(dir.run(["cat", "a.img:/file"]).ok().len(), 100_000);
}

#[test]
fn a_tree_that_does_not_fit_says_what_to_do() {
    let dir = Scratch::new("too-small");
    dir.write("tree/file", vec![7; 9 << 20]);
    dir.run(["mkfs", "--size", "8M", "--from", "tree", "a.img"]).fails(&["a.img", "larger --size", "9 MiB"]);
    assert!(!dir.path("a.img").exists());
    dir.run(["mkfs", "--size", "8M", "a.img"]).ok();
    dir.run(["cp", "tree/file", "a.img:/"]).fails(&["tree/file", "no space"]);
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean"));
}

#[test]
fn what_an_image_cannot_hold_is_named() {
    let dir = Scratch::new("special");
    std::fs::create_dir(dir.path("tree")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("tree/socket")).unwrap();
    dir.run(["mkfs", "--size", "8M", "--from", "tree", "a.img"]).fails(&["tree/socket", "a socket"]);
}
