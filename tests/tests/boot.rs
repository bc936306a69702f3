//! Every way into the kernel that `qemu-run.sh` knows ends in a program that runs.

use machine_tests::{Image, Machine};

const HELLO: &str = "Hello from EL0\n";

/// The program's own output and nothing else: a healthy run prints no log line.
#[track_caller]
fn says_hello(shape: &[(&str, &str)]) {
    let image = Image::fresh();
    let machine = shape.iter().fold(Machine::with(&image), |machine, (option, value)| machine.word(option, value));
    machine.init("/bin/hello").run().status(0).prints(HELLO);
}

#[test]
fn enters_at_el2() {
    says_hello(&[("--el", "2")]);
}

#[test]
fn enters_at_el1() {
    says_hello(&[("--el", "1")]);
}

#[test]
fn runs_on_cortex_a72() {
    says_hello(&[("--cpu", "cortex-a72")]);
}

#[test]
fn runs_on_neoverse_n1() {
    says_hello(&[("--cpu", "neoverse-n1")]);
}

#[test]
fn runs_on_cortex_a72_at_el1() {
    says_hello(&[("--cpu", "cortex-a72"), ("--el", "1")]);
}

#[test]
fn finds_pmem_that_is_a_numa_node() {
    says_hello(&[("--carrier", "numa")]);
}

#[test]
fn finds_pmem_that_is_a_numa_node_at_el1() {
    says_hello(&[("--carrier", "numa"), ("--el", "1")]);
}

#[test]
fn is_content_with_64_mib() {
    says_hello(&[("--mem", "64M")]);
}

#[test]
fn says_what_is_too_little_memory() {
    for size in ["5M", "8M", "10M"] {
        Machine::bare().word("--mem", size).run().refuses(125, &["memory: too little to run in"]);
    }
}

#[test]
fn uses_8_gib() {
    says_hello(&[("--mem", "8G")]);
}

#[test]
fn boots_with_four_cpus() {
    says_hello(&[("--smp", "4")]);
}

#[test]
fn the_checked_kernel_boots_as_well() {
    let checked = machine_tests::built("vitrine-checked.elf");
    says_hello(&[("--kernel", &checked.to_string_lossy())]);
}

#[test]
fn two_runs_under_icount_are_the_same() {
    // The input stays open: a ^D would come at a time of its own.
    let image = Image::fresh();
    let run = || Machine::with(&image).flag("--icount").init("/bin/first").start().stays_open();
    let first = run();
    first.status(0).says("reset_to_init\t0\t1\t");
    assert_eq!(first.output, run().output);
}

#[test]
fn the_log_is_there_when_asked_for() {
    let image = Image::fresh();
    let ended = Machine::with(&image).append("loglevel=7 init=/bin/hello").run();
    ended.status(0).says(HELLO);
    let is_log = |line: &str| line.starts_with('[') && line.contains("] ");
    assert!(ended.output.lines().any(is_log), "no log line:\n{}", ended.output);
}

#[test]
fn a_second_device_does_no_harm() {
    let (first, second) = (Image::fresh(), Image::blank(16 << 20));
    let second = second.path().to_string_lossy().into_owned();
    Machine::with(&first).word("--pmem", &second).init("/bin/hello").run().status(0).prints(HELLO);
}

#[test]
fn the_root_is_the_first_device_with_a_file_system() {
    let (first, second) = (Image::blank(16 << 20), Image::fresh());
    let second = second.path().to_string_lossy().into_owned();
    Machine::with(&first).word("--pmem", &second).init("/bin/hello").run().status(0).prints(HELLO);
}
