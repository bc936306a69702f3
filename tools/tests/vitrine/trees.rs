//! Trees of a thousand files, with all that people and programs call files, in and out again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use crate::scratch::Scratch;

/// Names that only a careful tool gets right.
fn odd_names() -> Vec<OsString> {
    let names: [&[u8]; 9] = [
        &[b'x'; 255],
        b"new\nline",
        b"\xff\xfe no UTF-8",
        b" blank ",
        b"-dash",
        b"a:b",
        b"\"quoted\"\\",
        "\u{fc}\u{20ac}".as_bytes(),
        b"*",
    ];
    names.map(|name| OsString::from_vec(name.to_vec())).to_vec()
}

fn tree(dir: &Scratch) {
    for n in 0..1000_usize {
        let name = format!("tree/d{}/f{n}", n % 20);
        dir.write(&name, vec![n as u8; [0, 1, 100, 4095, 4096, 4097, 20_000][n % 7]]);
        let file = std::fs::File::options().write(true).open(dir.path(&name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(1_000_000_000 + n as u64, n as u32)).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode([0o644, 0o755, 0o4711, 0o400, 0o2640][n % 5])).unwrap();
    }
    for name in odd_names() {
        std::fs::write(dir.path("tree").join(name), "odd").unwrap();
    }
    for n in 0..20 {
        std::fs::hard_link(dir.path(&format!("tree/d{n}/f{n}")), dir.path(&format!("tree/hard{n}"))).unwrap();
        symlink(format!("d{n}/f{n}"), dir.path(&format!("tree/soft{n}"))).unwrap();
    }
    symlink("/nowhere/at/all", dir.path("tree/dangling")).unwrap();
    let sparse = std::fs::File::create(dir.path("tree/sparse")).unwrap();
    sparse.write_all_at(b"middle", 5_000_000).unwrap();
    sparse.set_len(3 << 30).unwrap();
    std::fs::create_dir(dir.path("tree/empty")).unwrap();
    let empty = std::fs::File::open(dir.path("tree/empty")).unwrap();
    empty.set_modified(UNIX_EPOCH + Duration::from_secs(77)).unwrap();
    empty.set_permissions(std::fs::Permissions::from_mode(0o1555)).unwrap();
}

/// Kind, mode, links, size, modification time, and the content or target, by path; of directories neither links nor size.
type Seen = BTreeMap<std::path::PathBuf, (u32, u64, u64, i64, i64, Vec<u8>)>;

fn seen(top: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = match metadata.file_type() {
                kind if kind.is_dir() => {
                    waiting.push(path.clone());
                    Vec::new()
                }
                kind if kind.is_symlink() => path.read_link().unwrap().into_os_string().into_vec(),
                _ if metadata.len() < 1 << 20 => std::fs::read(&path).unwrap(),
                _ => {
                    assert!(metadata.blocks() < 1000, "holes stay holes");
                    let mut bytes = vec![0; 20_000];
                    std::fs::File::open(&path).unwrap().read_exact_at(&mut bytes, 4_990_000).unwrap();
                    bytes
                }
            };
            let (links, size) = if metadata.is_dir() { (0, 0) } else { (metadata.nlink(), metadata.len()) };
            let name = path.strip_prefix(top).unwrap().to_owned();
            seen.insert(name, (metadata.mode(), links, size, metadata.mtime(), metadata.mtime_nsec(), content));
        }
    }
    seen
}

fn assert_same(dir: &Scratch, out: &str) {
    let (before, after) = (seen(&dir.path("tree")), seen(&dir.path(out)));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, was) in &before {
        assert!(was == &after[name], "{name:?} in {out}: {:?} {:?}", (was.0, was.1, was.2, was.3, was.4), &after[name]);
    }
}

#[test]
fn a_thousand_files_of_every_kind_come_out_as_they_went_in() {
    let dir = Scratch::new("trees");
    tree(&dir);
    // By mkfs, by cp, and from image to image.
    dir.run(["mkfs", "--size", "64M", "--from", "tree", "a.img"]).ok();
    dir.run(["cp", "-a", "a.img:/", "by-mkfs"]).ok();
    assert_same(&dir, "by-mkfs");
    dir.run(["mkfs", "--size", "64M", "b.img"]).ok();
    dir.run(["cp", "-a", "tree", "b.img:/in"]).ok();
    dir.run(["cp", "-a", "b.img:/in", "by-cp"]).ok();
    assert_same(&dir, "by-cp");
    dir.run(["cp", "-a", "b.img:/in", "a.img:/other"]).ok();
    dir.run(["cp", "-r", "--preserve", "a.img:/other/.", "by-image"]).ok();
    assert_same(&dir, "by-image");
    for image in ["a.img", "b.img"] {
        assert!(dir.run(["fsck", image]).ok().contains("clean"));
    }
    // Without -p modes go through the umask and times are new.
    dir.run(["cp", "-r", "b.img:/in", "fresh"]).ok();
    assert!(dir.path("fresh/d0/f0").metadata().unwrap().mtime() > 1_500_000_000);
    let json = dir.run(["ls", "--json", "b.img:/in"]).ok();
    for part in [
        "\"name\":\"new\\nline\"",
        "\"name_hex\":\"fffe206e6f205554462d38\"",
        "\"target\":\"d3/f3\"",
        "\"mode\":\"1555\"",
    ] {
        assert!(json.contains(part), "{part} is missing");
    }
}

#[test]
fn standard_input_and_output_are_files_called_dash() {
    let dir = Scratch::new("dash");
    dir.run(["mkfs", "--size", "16M", "a.img"]).ok();
    let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    for to in ["a.img:/in", "a.img:/in"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrine"));
        let mut child = command.current_dir(dir.path(".")).args(["cp", "-", to]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&text).unwrap();
        assert!(child.wait().unwrap().success());
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitrine"));
    let out = command.current_dir(dir.path(".")).args(["cp", "a.img:/in", "-"]).output().unwrap();
    assert!(out.status.success() && out.stdout == text);
    dir.run(["cp", "-", "a.img:/"]).fails(&["a.img:/", "is a directory"]);
    dir.run(["cp", "-", "-"]).fails(&["IMG:/path"]);
    dir.run(["cp", "a.img:/", "-"]).fails(&["a.img:/", "is a directory"]);
}

#[test]
fn a_full_image_says_so_and_keeps_what_it_had() {
    let dir = Scratch::new("full");
    dir.write("big", vec![7; 3 << 20]);
    dir.write("small", "small");
    dir.run(["mkfs", "--size", "2M", "a.img"]).ok();
    dir.run(["cp", "small", "a.img:/"]).ok();
    dir.run(["cp", "big", "a.img:/"]).fails(&["a.img", "free", "big", "no space left"]);
    assert_eq!(dir.run(["ls", "a.img:/"]).ok(), "small\n", "half a copy is no copy");
    dir.run(["fsck", "a.img"]).ok();
    dir.write("tree/big", vec![7; 3 << 20]);
    dir.run(["mkfs", "--size", "2M", "--from", "tree", "b.img"]).fails(&["b.img", "larger --size"]);
    assert!(!dir.path("b.img").exists());
    dir.run(["mkfs", "nowhere/b.img"]).fails(&["nowhere/b.img", "there is no directory nowhere"]);
}

#[test]
fn an_image_of_16_gib_costs_what_is_in_it() {
    let dir = Scratch::new("huge");
    dir.run(["mkfs", "--size", "16G", "a.img"]).ok();
    let huge = std::fs::File::create(dir.path("huge")).unwrap();
    huge.write_all_at(b"end", 15 << 30).unwrap();
    dir.run(["cp", "huge", "a.img:/"]).ok();
    dir.run(["cp", "a.img:/huge", "out"]).ok();
    let out = dir.path("out").metadata().unwrap();
    assert_eq!(out.len(), (15 << 30) + 3);
    assert!(out.blocks() < 1000 && dir.path("a.img").metadata().unwrap().blocks() < 1000);
    assert!(dir.run(["fsck", "a.img"]).ok().contains("clean: 1 files"));
}
