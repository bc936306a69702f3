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
