//! `qemu-run.sh` itself: what it refuses, and that nothing survives it.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use machine_tests::{Image, Machine, built, root};

#[test]
fn bad_words_are_refused_with_125() {
    for (option, value, complaint) in [
        ("--carrier", "pigeon", "unknown carrier"),
        ("--el", "0", "--el"),
        ("--smp", "none", "--smp"),
        ("--smp", "0", "--smp"),
        ("--mem", "lots", "--mem"),
        ("--mem", "0", "--mem"),
        ("--timeout", "0", "--timeout"),
        ("--timeout", "soon", "--timeout"),
        ("--at", "0x40210000", "for a flat image"),
        ("--kernel", "/no/such/kernel", "no kernel"),
        ("--pmem", "/no/such/medium", "no pmem file"),
        ("--pmem", "/", "not a file"),
        ("--unheard", "of", "unknown word"),
    ] {
        Machine::bare().word(option, value).run().status(125).complains(complaint);
    }
}

#[test]
fn a_flat_image_lies_in_ram_at_a_multiple_of_64_kib() {
    let flat = built("vitrine.bin");
    for (address, complaint) in [
        ("0x40211000", "a multiple of 64 KiB"),
        ("1075904512", "an address such as"),
        ("0x0", "do not lie in RAM"),
        ("0x5fff0000", "do not lie in RAM"),
        ("0x60000000", "do not lie in RAM"),
    ] {
        let machine = Machine::bare().word("--kernel", &flat.to_string_lossy()).word("--at", address);
        machine.run().status(125).complains(complaint);
    }
}

/// By a shell, because a process that Rust starts has something as its stdin.
#[test]
fn a_closed_stdin_has_ended() {
    let image = Image::fresh();
    let line = format!(
        "{}/qemu-run.sh --pmem {} --timeout 60 --append init=/bin/sh <&-",
        root().display(),
        image.path().display()
    );
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_option_wants_its_value() {
    let output = Command::new(root().join("qemu-run.sh")).arg("--smp").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn it_runs_from_any_directory() {
    let image = Image::fresh();
    let script = root().join("qemu-run.sh").canonicalize().unwrap();
    let line = ["--pmem", &image.path().to_string_lossy(), "--timeout", "60", "--append", "init=/bin/hello"];
    let output = Command::new(script).current_dir("/").args(line).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello from EL0\n");
}

#[test]
fn qemu_dies_with_the_script() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/sh").start();
    machine.expect("$ ");
    let qemu = machine.qemu().expect("QEMU runs");
    machine.kill_script();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(qemu) {
        assert!(Instant::now() < deadline, "QEMU outlives the script");
        thread::sleep(Duration::from_millis(20));
    }
    Machine::with(&image).init("/bin/hello").run().status(0);
}

/// Whether a process is there and not a zombie.
fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
