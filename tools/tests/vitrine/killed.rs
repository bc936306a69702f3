//! The tool killed while it changes an image.

use std::time::Duration;

use crate::scratch::Scratch;

#[test]
fn an_image_is_whole_whenever_the_tool_is_killed() {
    let dir = Scratch::new("killed");
    for n in 0..200 {
        dir.write(&format!("tree/{n}"), vec![n; 20_000]);
    }
    dir.run(["mkfs", "--size", "32M", "a.img"]).ok();
    for round in 0..12_u64 {
        let to = format!("a.img:/{round}");
        dir.run_and_kill(Duration::from_micros(1500 * round * round), ["cp", "-r", "tree", &to]);
        let fsck = dir.run(["fsck", "--repair", "a.img"]);
        assert!(fsck.status() <= 1, "{}", fsck.stdout());
        if dir.run(["ls", &to]).status() != 0 {
            continue;
        }
        let out = format!("out-{round}");
        dir.run(["cp", "-r", &to, &out]).ok();
        for entry in std::fs::read_dir(dir.path(&out)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // Created is one transaction, written the next.
            let content = dir.read(&format!("{out}/{name}"));
            assert!(content.is_empty() || content == dir.read(&format!("tree/{name}")), "{out}/{name}");
        }
        dir.run(["rm", "-r", &to]).ok();
    }
}

#[test]
fn an_image_is_made_whole_or_not_at_all() {
    let dir = Scratch::new("killed-mkfs");
    for n in 0..100 {
        dir.write(&format!("tree/{n}"), vec![n; 50_000]);
    }
    dir.run(["mkfs", "--size", "8M", "old.img"]).ok();
    dir.write("old", "old");
    dir.run(["cp", "old", "old.img:/"]).ok();
    let before = dir.read("old.img");
    let mut made = 0;
    for round in 0..12_u64 {
        for name in ["new.img", "old.img"] {
            dir.run_and_kill(Duration::from_micros(1500 * round), ["mkfs", "--size", "32M", "--from", "tree", name]);
        }
        let listed: Vec<_> =
            std::fs::read_dir(dir.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(listed.len() <= 4, "nothing half-made has a name: {listed:?}");
        if dir.path("new.img").exists() {
            assert!(dir.run(["fsck", "new.img"]).ok().contains("clean: 100 files"));
            std::fs::remove_file(dir.path("new.img")).unwrap();
            made += 1;
        }
        if dir.read("old.img") != before {
            assert!(dir.run(["fsck", "old.img"]).ok().contains("clean: 100 files"));
            break;
        }
    }
    assert!(made < 12, "one at least was killed");
}
