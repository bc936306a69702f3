//! The same program on Linux and here: thousands of random system calls on files and on memory, each answer compared.

use machine_tests::{Image, Machine};

/// What `calls SEED 20000` said on Linux 6.18 with ext4, behind a line `calls SEED 20000` for each seed.
const ON_LINUX: &str = include_str!("calls.txt");

/// What `memcalls SEED 5000` said on Linux 6.12 with ext4 and DAX (`tools/peer/run.sh`), in the same form.
const MEMORY_ON_LINUX: &str = include_str!("memcalls.txt");

/// What `odd /tmp` said on Linux 6.12 with ext4 and DAX.
const ODD_ON_LINUX: &str = include_str!("odd.txt");

/// Runs `calls` with `seed`; where this fails, `calls SEED 20000 FROM` on both shows the first answer that differs.
fn agrees(seed: u32) {
    says_the_same(&format!("calls {seed} 20000"), ON_LINUX);
}

/// Runs `command`, which has said on Linux what stands behind its line in `on_linux`.
fn says_the_same(command: &str, on_linux: &str) {
    let image = Image::fresh();
    let (_, said) = on_linux.split_once(&format!("{command}\n")).unwrap();
    let program = command.split(' ').next().unwrap_or(command);
    let said = said.split(&format!("{program} ")).next().unwrap_or(said);
    Machine::with(&image).init(&format!("/bin/{command}")).run().status(0).prints(said);
    image.tool("fsck", &[]);
}

#[test]
fn random_calls_are_answered_as_linux_answers_them() {
    agrees(1);
    agrees(2);
}

#[test]
fn other_random_calls_are_answered_as_linux_answers_them() {
    agrees(3);
    agrees(4);
}

#[test]
fn odd_paths_flags_and_numbers_are_answered_as_linux_answers_them() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/odd /tmp").run().status(0).prints(ODD_ON_LINUX);
    image.tool("fsck", &[]);
}

#[test]
fn random_calls_on_memory_are_answered_as_linux_answers_them() {
    says_the_same("memcalls 1 5000", MEMORY_ON_LINUX);
    says_the_same("memcalls 2 5000", MEMORY_ON_LINUX);
}

#[test]
fn other_random_calls_on_memory_are_answered_as_linux_answers_them() {
    says_the_same("memcalls 3 5000", MEMORY_ON_LINUX);
    says_the_same("memcalls 4 5000", MEMORY_ON_LINUX);
}
