//! The boot's own chart, as `make bootchart` reads it from the log.

use machine_tests::{Image, Machine};

/// The steps that every boot takes, in their order; others may stand between them.
const STEPS: [&str; 10] = [
    "preserve_boot_args",
    "el2_setup",
    "set_cpu_boot_mode_flag",
    "create_page_tables",
    "cpu_setup",
    "primary_switch",
    "primary_switched",
    "device tree",
    "root file system",
    "first program",
];

#[test]
fn every_step_of_the_boot_is_counted_from_reset() {
    let image = Image::fresh();
    let machine = Machine::with(&image).flag("--icount").append("loglevel=7 init=/bin/first");
    let ended = machine.start().stays_open();
    ended.status(0).says("reset_to_init\t0\t1\t");

    let mut before = 0;
    let mut wanted = STEPS.iter().peekable();
    for line in ended.output.lines() {
        let Some((_, step)) = line.split_once("] boot: ") else { continue };
        let (end, rest) = step.trim_start().split_once(' ').unwrap();
        let (took, name) = rest.trim_start().split_once(' ').unwrap();
        let (end, took): (u64, u64) = (end.parse().unwrap(), took.parse().unwrap());
        assert_eq!(end, before + took, "{line}");
        before = end;
        wanted.next_if(|&&wanted| wanted == name);
    }
    assert_eq!(wanted.next(), None, "in this order:\n{}", ended.output);
    assert!(before > 100_000, "a boot of {before} instructions");
}
