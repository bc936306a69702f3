//! Images made, filled and read back by the built tool.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use crate::scratch::Scratch;

/// A tree with everything an image can hold.
fn tree(dir: &Scratch) {
    dir.write("tree/hello.txt", "hello, vitrine\n");
    dir.write("tree/empty", "");
    dir.write("tree/sub/deep/er/leaf", vec![0xab; 10_000]);
    dir.write("tree/big", (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    std::fs::hard_link(dir.path("tree/hello.txt"), dir.path("tree/sub/again")).unwrap();
    symlink("hello.txt", dir.path("tree/link")).unwrap();
    symlink("/nowhere/at/all", dir.path("tree/dangling")).unwrap();
    let sparse = std::fs::File::create(dir.path("tree/sparse")).unwrap();
    sparse.write_all_at(b"end", (5 << 20) - 3).unwrap();
    std::fs::set_permissions(dir.path("tree/hello.txt"), std::fs::Permissions::from_mode(0o741)).unwrap();
}

#[test]
fn a_tree_goes_in_and_comes_out_again() {
    let dir = Scratch::new("round-trip");
    tree(&dir);
    assert_eq!(dir.run(["mkfs", "--size", "32M", "--from", "tree", "a.img"]).ok(), "");
    assert_eq!(dir.path("a.img").metadata().unwrap().len(), 32 << 20);
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean: 5 files, 4 directories, 2 symlinks"));
    dir.run(["cp", "-r", "a.img:/", "out"]).ok();
    for name in ["hello.txt", "empty", "sub/deep/er/leaf", "big", "sub/again", "sparse"] {
        assert!(dir.read(&format!("tree/{name}")) == dir.read(&format!("out/{name}")), "{name}");
    }
    assert_eq!(dir.path("out/link").read_link().unwrap().to_str(), Some("hello.txt"));
    assert_eq!(dir.path("out/dangling").read_link().unwrap().to_str(), Some("/nowhere/at/all"));
    assert_eq!(dir.path("out/hello.txt").metadata().unwrap().mode() & 0o700, 0o700);
    assert_eq!(dir.run(["cat", "a.img:/link", "a.img:/sub/again"]).ok(), "hello, vitrine\n".repeat(2));
}

#[test]
fn ls_shows_names_kinds_and_sizes() {
    let dir = Scratch::new("ls");
    tree(&dir);
    dir.run(["mkfs", "--size", "32M", "--from", "tree", "a.img"]).ok();
    assert_eq!(dir.run(["ls", "a.img:/"]).ok(), "big\ndangling\nempty\nhello.txt\nlink\nsparse\nsub\n");
    assert_eq!(dir.run(["ls", "a.img:/sub/deep/er"]).ok(), "leaf\n");
    assert_eq!(dir.run(["ls", "a.img:/dangling"]).ok(), "/dangling\n");
    let recursive = dir.run(["ls", "-R", "a.img:/sub"]).ok();
    assert_eq!(recursive.matches("a.img:/sub").count(), 3, "{recursive}");
    let long = dir.run_at(None, ["ls", "-l", "a.img:/"]).ok();
    let line = |name: &str| long.lines().find(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{long}"));
    assert!(line(" hello.txt").starts_with("-rwxr----x   2     0     0           15 20"), "{long}");
    assert!(line(" sub").starts_with("drwx"), "{long}");
    assert!(line(" link -> hello.txt").starts_with("l"), "{long}");
    assert!(line(" sparse").contains(&format!(" {} ", 5 << 20)), "{long}");
}

#[test]
fn cp_follows_the_rules_of_cp() {
    let dir = Scratch::new("cp");
    dir.write("one", "1");
    dir.write("two", "22");
    dir.write("d/inner", "333");
    dir.run(["mkfs", "--size", "8M", "a.img"]).ok();
    dir.run(["mkdir", "-p", "a.img:/x/y", "a.img:/x/y"]).ok();
    dir.run(["cp", "one", "two", "a.img:/x"]).ok();
    dir.run(["cp", "one", "a.img:/renamed"]).ok();
    dir.run(["cp", "two", "a.img:/renamed"]).ok();
    dir.run(["cp", "-r", "d", "a.img:/x/y"]).ok();
    dir.run(["cp", "-r", "d", "a.img:/e"]).ok();
    dir.run(["cp", "-r", "d/.", "a.img:/x"]).ok();
    dir.run(["cp", "-r", "a.img:/x/y", "a.img:/z"]).ok();
    assert_eq!(dir.run(["ls", "a.img:/x"]).ok(), "inner\none\ntwo\ny\n");
    assert_eq!(dir.run(["cat", "a.img:/renamed", "a.img:/e/inner", "a.img:/z/d/inner"]).ok(), "22333333");
    // Out again, into a directory and to a name.
    dir.run(["cp", "a.img:/x/one", "a.img:/x/two", "d"]).ok();
    dir.run(["cp", "a.img:/x/two", "three"]).ok();
    assert_eq!((dir.read("d/one"), dir.read("d/two"), dir.read("three")), (b"1".into(), b"22".into(), b"22".into()));
    // From image to image.
    dir.run(["mkfs", "--size", "8M", "b.img"]).ok();
    dir.run(["cp", "-r", "a.img:/x", "b.img:/"]).ok();
    assert_eq!(dir.run(["cat", "b.img:/x/y/d/inner"]).ok(), "333");

    dir.run(["cp", "d", "a.img:/"]).fails(&["d: is a directory", "-r"]);
    dir.run(["cp", "a.img:/x", "out"]).fails(&["a.img:/x: is a directory", "-r"]);
    dir.run(["cp", "one", "two", "a.img:/renamed"]).fails(&["a.img:/renamed: not a directory"]);
    dir.run(["cp", "one", "a.img:/none/"]).fails(&["a.img:/none/"]);
    dir.run(["cp", "one", "a.img:/none/x"]).fails(&["a.img:/none/x", "no such file"]);
    dir.run(["cp", "none", "a.img:/"]).fails(&["none: No such file"]);
    dir.run(["cp", "a.img:/none", "."]).fails(&["a.img:/none", "no such file"]);
    dir.run(["cp", "one", "two"]).fails(&["IMG:/path"]);
    dir.run(["cp", "-r", "a.img:/x", "a.img:/x/y"]).fails(&["into itself"]);
    dir.run(["cp", "a.img:/x/one", "a.img:/x/one"]).fails(&["same file"]);
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean"));
}

#[test]
fn rm_and_mkdir_change_what_they_name_and_nothing_else() {
    let dir = Scratch::new("rm");
    tree(&dir);
    dir.run(["mkfs", "--size", "32M", "--from", "tree", "a.img"]).ok();
    let free = |dir: &Scratch| {
        let info = dir.run(["info", "--json", "a.img"]).ok();
        let at = info.find("\"free\":").unwrap() + 7;
        info[at..].split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = free(&dir);
    dir.run(["rm", "a.img:/big", "a.img:/link"]).ok();
    assert!(free(&dir) >= before + 12_000_000 - (1 << 20));
    dir.run(["rm", "a.img:/sub"]).fails(&["a.img:/sub: is a directory", "-r"]);
    dir.run(["rm", "-r", "a.img:/sub"]).ok();
    dir.run(["rm", "-r", "a.img:/"]).fails(&["root"]);
    dir.run(["rm", "a.img:/sub"]).fails(&["a.img:/sub: no such file"]);
    dir.run(["mkdir", "a.img:/new"]).ok();
    dir.run(["mkdir", "a.img:/new"]).fails(&["a.img:/new", "exists"]);
    dir.run(["mkdir", "a.img:/no/new"]).fails(&["no such file"]);
    dir.run(["mkdir", "-p", "a.img:/hello.txt"]).fails(&["exists"]);
    assert_eq!(dir.run(["ls", "a.img:/"]).ok(), "dangling\nempty\nhello.txt\nnew\nsparse\n");
    assert_eq!(dir.run(["cat", "a.img:/hello.txt"]).ok(), "hello, vitrine\n");
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean"));
}

#[test]
fn the_same_tree_makes_the_same_image() {
    let dir = Scratch::new("reproducible");
    tree(&dir);
    let make = |image| dir.run_at(Some("1700000000"), ["mkfs", "--size", "32M", "--from", "tree", image]).ok();
    make("a.img");
    make("b.img");
    assert!(dir.read("a.img") == dir.read("b.img"));
    let long = dir.run(["ls", "-l", "a.img:/"]).ok();
    assert!(long.lines().all(|line| line.contains(" 2023-11-14 22:13:20 ")), "{long}");
}

#[test]
fn info_tells_people_and_programs() {
    let dir = Scratch::new("info");
    dir.write("tree/a", "a");
    dir.run(["mkfs", "--size", "8M", "--from", "tree", "a.img"]).ok();
    let json = dir.run(["info", "--json", "a.img"]).ok();
    for part in ["\"image\":\"a.img\"", "\"size\":8388608", "\"state\":\"clean\"", "\"files\":1", "\"directories\":1"] {
        assert!(json.contains(part), "{part} is missing in {json}");
    }
    let text = dir.run(["info", "a.img"]).ok();
    assert!(text.contains("size         8 MiB (8388608)"), "{text}");
}

#[test]
fn the_commands_of_the_format_page_make_the_image_it_shows() {
    let page = include_str!("../../../docs/FORMAT.md");
    let dir = Scratch::new("worked-example");
    dir.write("note.txt", "a look, not a touch\n");
    std::fs::set_permissions(dir.path("note.txt"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for command in ["mkfs --size 2M small.img", "cp note.txt small.img:/note.txt"] {
        assert!(page.contains(&format!("vitrine {command}`")), "{command}");
        dir.run_at(Some("1700000000"), command.split(' ')).ok();
    }
    let image = dir.read("small.img");
    let mut lines = 0;
    for (at, rest) in page.lines().filter_map(|line| line.split_once(": ")).filter(|(at, _)| at.len() == 8) {
        let Ok(at) = usize::from_str_radix(at, 16) else { continue };
        let pairs: Vec<String> =
            image[at..at + 16].chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
        assert!(rest.starts_with(&pairs.join(" ")), "byte {at:#x}: {}", pairs.join(" "));
        lines += 1;
    }
    assert!(lines >= 40, "{lines}");
}
