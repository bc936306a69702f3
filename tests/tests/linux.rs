//! The same program on Linux and here: thousands of random system calls on files, each answer compared.

use machine_tests::{Image, Machine};

/// What `calls SEED 20000` said on Linux 6.18 with ext4, behind a line `calls SEED 20000` for each seed.
const ON_LINUX: &str = include_str!("calls.txt");

/// Runs `calls` with `seed`; where this fails, `calls SEED 20000 FROM` on both shows the first answer that differs.
fn agrees(seed: u32) {
    let image = Image::fresh();
    let command = format!("calls {seed} 20000");
    let (_, said) = ON_LINUX.split_once(&format!("{command}\n")).unwrap();
    let said = said.split("calls ").next().unwrap_or(said);
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
