//! What is on the medium outlives the machine, however it ended.

use machine_tests::{Image, Machine};

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
