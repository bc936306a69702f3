//! Files that programs share: as Linux has them, and what is promised here beside that.

use machine_tests::{Ended, Image, Machine, built};

/// A program of checks says itself how many passed; all must, and there must be some.
#[track_caller]
fn all_pass(ended: &Ended) {
    let closing = ended.output.lines().rev().find(|line| line.ends_with(" failed")).unwrap_or("none");
    let failures: Vec<_> = ended.output.lines().filter(|line| line.contains("... FAILED")).collect();
    assert!(closing.ends_with(" passed, 0 failed") && !closing.starts_with("0 "), "{closing}: {failures:#?}");
    ended.status(0);
}

/// With the order of locks checked.
fn checked(image: &Image) -> Machine {
    Machine::with(image).word("--kernel", &built("vitrine-checked.elf").to_string_lossy())
}

#[test]
fn files_are_shared_as_on_linux() {
    let image = Image::fresh();
    all_pass(&Machine::with(&image).init("/bin/sharemap /data").run());
    image.tool("fsck", &[]);
}

#[test]
fn files_are_shared_where_the_hardware_keeps_no_flags() {
    let image = Image::fresh();
    all_pass(&checked(&image).word("--cpu", "cortex-a72").word("--smp", "4").init("/bin/sharemap /data").run());
    all_pass(&checked(&image).word("--cpu", "cortex-a72").init("/bin/stores /data").run());
    image.tool("fsck", &[]);
}

#[test]
fn a_peek_stays_and_nothing_is_copied_or_lost_whoever_stores() {
    let image = Image::fresh();
    all_pass(&checked(&image).init("/bin/stores /data").run());
    image.tool("fsck", &[]);
}

#[test]
fn what_was_stored_and_made_durable_is_there_after_sigkill() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/sharemap /data store").start();
    machine.expect("stored");
    machine.cut().status(137);
    image.tool("fsck", &[]);
    all_pass(&Machine::with(&image).init("/bin/sharemap /data look").run());
}
