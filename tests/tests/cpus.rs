//! Machines of several CPUs: all of them come, or it is told which does not and why, and the rest go on.

use machine_tests::{Ended, Image, Machine};

const HELLO: &str = "Hello from EL0\n";

/// Where a routine of `boot` runs before the MMU is on: linked high, loaded at 0x4020_0000.
fn loaded(symbol: &str) -> String {
    format!("((unsigned long)&{symbol} - 0xffff800080000000 + 0x40200000)")
}

#[track_caller]
fn boots_with(cpus: &str, level: &str) {
    let image = Image::fresh();
    let machine = Machine::with(&image).word("--smp", cpus).word("--el", level);
    machine.init("/bin/hello").run().status(0).prints(HELLO);
}

#[test]
fn eight_cpus_come_by_smc() {
    boots_with("8", "2");
}

#[test]
fn eight_cpus_come_by_hvc() {
    boots_with("8", "1");
}

#[test]
fn more_than_eight_cpus_are_told() {
    let image = Image::fresh();
    let ended = Machine::with(&image).word("--smp", "11").init("/bin/hello").run();
    ended.status(0).says("] 3 more CPUs are not used: there is room for 8\n").says(HELLO);
    assert_eq!(ended.output.lines().count(), 2);
}

#[test]
fn two_runs_with_four_cpus_are_the_same_under_icount() {
    let image = Image::fresh();
    let run = || Machine::with(&image).flag("--icount").word("--smp", "4").init("/bin/first").start().stays_open();
    let first = run();
    first.status(0).says("reset_to_init\t0\t1\t");
    assert_eq!(first.output, run().output);
}

/// `set_cpu_boot_mode_flag` is met by each CPU on its way; the second is made to say EL1.
#[test]
fn a_cpu_entered_at_another_level_is_told() {
    let image = Image::fresh();
    let place = format!("break *{}", loaded("set_cpu_boot_mode_flag"));
    let (ended, _) = Machine::with(&image)
        .word("--smp", "3")
        .init("/bin/hello")
        .debugged(&image, &[&place, "continue", "continue", "set $x20 = 0xe11", "delete", "detach"]);
    ended
        .status(0)
        .says("] CPU 1 (affinity 0x1) is not used: it was entered at EL1, unlike the boot CPU\n")
        .says("] some CPUs were entered at EL2 and some at EL1\n")
        .says(HELLO);
    assert_eq!(ended.output.lines().count(), 3, "CPU 2 comes without a word");
}

/// A CPU that the firmware gives a wrong number waits for ever; then it is sent on its way again, too late.
#[test]
fn a_cpu_that_does_not_come_is_told_and_a_late_one_goes_away() {
    let image = Image::fresh();
    let entry = loaded("secondary_entry");
    let (ended, said) = Machine::with(&image).word("--smp", "3").init("/bin/hello").debugged(
        &image,
        &[
            &format!("break *{entry}"),
            "continue",
            "set $x0 = 99",
            "delete",
            "break *&trap_user_fault",
            "continue",
            "delete",
            "thread 2",
            "set scheduler-locking on",
            &format!("set $pc = {entry}"),
            "set $x0 = 1",
            "break *&secondary_main",
            "continue",
            "set scheduler-locking off",
            "delete",
            "detach",
        ],
    );
    ended.status(0).says("] CPU 1 (affinity 0x1) is not used: it did not come within 5 seconds\n").says(HELLO);
    assert_eq!(ended.output.lines().count(), 2, "CPU 2 comes without a word");
    assert!(said.contains("secondary_main"), "CPU 1 did not come late:\n{said}");
}

/// Runs an in-kernel test that ends a machine of four CPUs with the report of a panic.
#[track_caller]
fn report_of(test: &str) -> Ended {
    let ended = Machine::bare().word("--smp", "4").append(&format!("test=cpus::{test}")).run();
    ended.status(101).says("end of panic report\n");
    assert_eq!(ended.output.matches("panic on CPU ").count(), 1, "{}", ended.output);
    assert_eq!(ended.output.matches("panic while").count(), 0, "{}", ended.output);
    ended
}

#[test]
fn a_panic_on_a_secondary_is_reported() {
    let ended = report_of("a_panic_on_another_cpu");
    ended.says("panic on CPU 3: far from home");
    assert!(!ended.output.contains("does not stop"), "{}", ended.output);
}

#[test]
fn a_stack_overflow_on_a_secondary_is_told_as_such() {
    let ended = report_of("a_stack_overflow_on_another_cpu");
    ended.says("panic on CPU 3: kernel stack overflow: sp 0xffffa000").says("a guard below a kernel stack");
}

#[test]
fn where_all_cpus_panic_at_once_one_reports() {
    report_of("a_panic_on_every_cpu").says(": all together");
}

#[test]
fn a_cpu_that_does_not_stop_is_named_in_the_report() {
    report_of("a_panic_while_another_cpu_is_deaf").says("CPU 3 does not stop\n").says("panic on CPU 0: nobody listens");
}
