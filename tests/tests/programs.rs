//! Programs of the stock C compiler with a static C library, and what they check about the kernel.

use machine_tests::{Ended, Image, Machine};

fn run(command: &str) -> Ended {
    let image = Image::fresh();
    Machine::with(&image).init(command).run()
}

#[test]
fn a_stock_program_prints_with_floats_and_arguments() {
    run("/bin/hello-c one two").status(0).prints("Hello from C, /bin/hello-c, with 2 arguments and a float: 3.142\n");
}

#[test]
fn wild_pointers_are_efault_in_every_call() {
    run("/bin/wild").all_pass();
}

#[test]
fn bad_arguments_of_peek_are_refused_one_by_one() {
    run("/bin/peekargs /data").all_pass();
}

#[test]
fn the_c_library_finds_what_it_uses() {
    run("/bin/libc /data").all_pass();
}

#[test]
fn room_locks_and_files_without_a_name_are_as_on_linux() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/files /tmp").run().all_pass();
    image.tool("fsck", &[]);
}

#[test]
fn locks_on_ranges_are_as_on_linux() {
    run("/bin/locks /tmp").all_pass();
}

#[test]
fn the_calls_on_memory_do_and_refuse_what_linux_does() {
    run("/bin/mmcalls /data").all_pass();
}

#[test]
fn the_calls_on_memory_are_the_same_without_the_new_things() {
    let image = Image::fresh();
    let machine = Machine::checked(&image).word("--cpu", "cortex-a72").word("--el", "1");
    machine.init("/bin/mmcalls /data").run().all_pass();
}

#[test]
fn the_kernel_finds_the_strings_of_a_program() {
    let ended = Machine::bare().append("loglevel=7 test=user::test_start").run();
    let said = ended.output.split_once("test start task").map_or("", |(_, rest)| rest);
    let lines: Vec<&str> = said.lines().take(4).collect();
    let hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(lines[0].strip_prefix("->mm=").is_some_and(hex), "{lines:?}");
    let strings = ["ABCDEFGHIJKL1234567890!@#$%^&*()KKKKKKKKKKKKKKKKKKK", "AAAAAAAAAAAAAAAAAAABBBBBBBBBBBBCCCCCCCCCCC"];
    for (line, string) in lines[1..3].iter().zip(strings) {
        let (page, found) =
            line.split_once("] page=").and_then(|(_, rest)| rest.split_once(" ch=")).unwrap_or_default();
        assert!(hex(page) && found == string, "{line}");
    }
    assert!(lines[3].ends_with("] test exit"), "{lines:?}");
    ended.status(0);
}

#[test]
fn every_fault_ends_the_program_and_nothing_else() {
    run("/bin/fault").all_pass();
}

#[test]
fn faults_are_the_same_without_the_new_things() {
    let image = Image::fresh();
    Machine::with(&image).word("--cpu", "cortex-a72").word("--el", "1").init("/bin/fault").run().all_pass();
}

#[test]
fn signals_are_those_of_linux() {
    run("/bin/signals").all_pass();
    // It types for itself.
    let image = Image::fresh();
    Machine::with(&image).init("/bin/sigwaits").start().stays_open().all_pass();
    run("/bin/sigfaults").all_pass();
}

#[test]
fn signals_are_the_same_without_the_new_things() {
    let image = Image::fresh();
    for program in ["/bin/signals", "/bin/sigfaults"] {
        Machine::with(&image).word("--cpu", "cortex-a72").word("--el", "1").init(program).run().all_pass();
    }
}

#[test]
fn children_are_those_of_linux() {
    run("/bin/forks").all_pass();
}

#[test]
fn children_are_the_same_without_the_new_things() {
    let image = Image::fresh();
    Machine::with(&image).word("--cpu", "cortex-a72").word("--el", "1").init("/bin/forks").run().all_pass();
}

#[test]
fn what_programs_use_is_told() {
    run("/bin/usage").all_pass();
}

#[test]
fn promises_of_memory_are_kept_as_the_machine_was_told() {
    run("/bin/overcommit").all_pass();
}

#[test]
fn locks_of_the_dead_are_handed_on() {
    run("/bin/robust").all_pass();
}

/// The CPUs that the kernel is made for: what they have differs, the one binary does not.
fn features_on(cpu: &str) {
    let image = Image::fresh();
    Machine::with(&image).word("--cpu", cpu).init("/bin/features").run().all_pass();
}

#[test]
fn programs_are_told_what_a_cortex_a72_has() {
    features_on("cortex-a72");
}

#[test]
fn programs_are_told_what_a_cortex_a76_has() {
    features_on("cortex-a76");
}

#[test]
fn programs_are_told_what_a_neoverse_n1_has() {
    features_on("neoverse-n1");
}

#[test]
fn programs_are_told_what_the_newest_cpu_has() {
    features_on("max");
}

#[test]
fn the_checked_kernel_finds_nothing_wrong_with_itself() {
    let image = Image::fresh();
    Machine::checked(&image).init("/bin/libc /data").run().all_pass();
}

#[test]
fn the_bench_runs_its_due_cases() {
    let image = Image::fresh();
    for case in ["null_syscall", "fstat", "open_close", "pread", "peek_unpeek"] {
        let command = format!("/bin/bench /data name={case} n=1 peek=1024 unpeek=1025");
        Machine::with(&image).init(&command).run().status(0).says(&format!("{case}\t"));
    }
}
