//! Files that programs share: as Linux has them, and what is promised here beside that.

use machine_tests::{Image, Machine};

#[test]
fn files_are_shared_as_on_linux() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/sharemap /data").run().all_pass();
    image.tool("fsck", &[]);
}

#[test]
fn files_are_shared_where_the_hardware_keeps_no_flags() {
    let image = Image::fresh();
    Machine::checked(&image)
        .word("--cpu", "cortex-a72")
        .word("--smp", "4")
        .init("/bin/sharemap /data")
        .run()
        .all_pass();
    Machine::checked(&image).word("--cpu", "cortex-a72").init("/bin/stores /data").run().all_pass();
    image.tool("fsck", &[]);
}

#[test]
fn a_peek_stays_and_nothing_is_copied_or_lost_whoever_stores() {
    let image = Image::fresh();
    Machine::checked(&image).init("/bin/stores /data").run().all_pass();
    image.tool("fsck", &[]);
}

#[test]
fn what_was_stored_and_made_durable_is_there_after_sigkill() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/sharemap /data store").start();
    machine.expect("stored");
    machine.cut().status(137);
    image.tool("fsck", &[]);
    Machine::with(&image).init("/bin/sharemap /data look").run().all_pass();
}
