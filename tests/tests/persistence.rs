//! What is on the medium outlives the machine, however it ended.

use std::fs::{self, create_dir_all, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use machine_tests::{Image, Machine, built};

const NEW: &str = "4096 bytes of 0xab";

fn check_example_3(image: &Image) {
    let ended = Machine::with(image).init("/bin/example3 /data/example3 check").run();
    ended.status(0).says(NEW);
}

#[test]
fn what_was_written_is_there_after_a_reboot() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/example3 /data/example3").run().status(0);
    check_example_3(&image);
    image.tool("fsck", &[]);
}

#[test]
fn what_was_written_is_there_after_sigkill() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/sh").start();
    machine.expect("$ ");
    machine.types("example3 /data/example3\n");
    machine.expect("a second open reads");
    machine.cut().status(137);
    image.tool("fsck", &[]);
    check_example_3(&image);
}

#[test]
fn the_medium_is_clean_wherever_the_power_goes() {
    let image = Image::fresh();
    for text in ["reader: ", "writer: wrote", "a second open reads"] {
        let mut machine = Machine::with(&image).init("/bin/sh").start();
        machine.expect("$ ");
        machine.types("example3 /data/example3\nexample3 /data/example3\nexample3 /data/example3\n");
        machine.expect(text);
        machine.cut().status(137);
        image.tool("fsck", &[]);
        Machine::with(&image).init("/bin/hello").run().status(0).prints("Hello from EL0\n");
    }
}

#[test]
fn all_carriers_see_the_same_medium() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/example3 /data/example3").run().status(0);
    for carrier in ["numa", "dt", "ivshmem"] {
        let machine = Machine::with(&image).word("--carrier", carrier);
        machine.init("/bin/example3 /data/example3 check").run().status(0).says(NEW);
    }
}

#[test]
fn the_kernel_reads_what_the_host_wrote() {
    let image = Image::fresh();
    let text = "written on the host, read in the machine\n".repeat(300);
    image.add(text.as_bytes(), "/data/from-host");
    Machine::with(&image).init("/bin/cat /data/from-host").run().status(0).prints(&text);
}

#[test]
fn the_host_reads_what_the_kernel_wrote() {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/sh").run_typing("echo 'written in the machine' >/data/from-kernel\n");
    ended.status(0);
    assert_eq!(image.read("/data/from-kernel"), b"written in the machine\n");
    image.tool("fsck", &[]);
}

/// A tree of the host's with all that can be in one.
fn make_tree(top: &Path) {
    let made = || {
        create_dir_all(top.join("deep/deeper/deepest"))?;
        write(top.join("nothing"), "")?;
        write(top.join("a line"), "from the host\n")?;
        write(top.join("deep/ragged"), (0..3_000_001_u32).map(|at| (at / 7) as u8).collect::<Vec<u8>>())?;
        write(top.join("deep/deeper/\u{e4}\u{f6}"), [0x5a; 8192])?;
        write(top.join("deep/tool"), "not one\n")?;
        fs::set_permissions(top.join("deep/tool"), PermissionsExt::from_mode(0o750))?;
        symlink("deep/ragged", top.join("link"))
    };
    made().expect("a tree on the host");
}

/// Made by `vitrine mkfs`, changed by programs, taken apart by `vitrine cp`: what comes back is what went in and the
/// changes, and nothing else.
#[test]
fn an_image_made_on_the_host_and_changed_in_the_kernel_comes_back() {
    let folder = Image::none();
    let (tree, back) = (folder.path().with_extension("tree"), folder.path().with_extension("back"));
    make_tree(&tree);
    create_dir_all(tree.join("bin")).expect("a folder");
    for program in ["sh", "cat", "echo"] {
        fs::copy(built("rootfs/bin").join(program), tree.join("bin").join(program)).expect("make test-image leaves it");
    }
    let image = Image::made(&["--size", "32M", "--from", &tree.to_string_lossy()]);
    let typed = "cat /link >/deep/deeper/copy\necho from the kernel >'/a line'\necho new >/deep/deeper/deepest/new\n";
    Machine::with(&image).init("/bin/sh").run_typing(typed).status(0);
    image.tool("fsck", &[]);

    let wrote = [("a line", "from the kernel\n"), ("deep/deeper/deepest/new", "new\n")];
    let changed = wrote.iter().try_for_each(|(path, text)| write(tree.join(path), text));
    let changed = changed.and_then(|()| fs::copy(tree.join("deep/ragged"), tree.join("deep/deeper/copy")));
    changed.expect("the host's tree is changed likewise");
    image.export("/", &back);
    let compared = Command::new("diff").args(["-r", "--no-dereference"]).args([&tree, &back]).output().expect("diff");
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    let mode = fs::metadata(back.join("deep/tool")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
}

#[test]
fn replaced_blocks_come_back() {
    let image = Image::made(&["--size", "32M", "--from", &machine_tests::built("rootfs").to_string_lossy()]);
    let free = || image.tool("info", &[]);
    Machine::with(&image).init("/bin/example3 /data/example3").run().status(0);
    let once = free();
    Machine::with(&image).init("/bin/example3 /data/example3").run().status(0);
    assert_eq!(free_blocks(&once), free_blocks(&free()), "a run leaks blocks");
}

/// The number in the line of `vitrine info` that tells of free blocks.
fn free_blocks(info: &str) -> String {
    let line = info.lines().find(|line| line.to_lowercase().contains("free"));
    line.unwrap_or_else(|| panic!("no line about free space:\n{info}")).to_owned()
}
