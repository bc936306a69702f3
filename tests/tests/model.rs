//! Random calls against a model of a file system, with reboots in between, and the host's word at the end.
//!
//! The program `model` knows by itself what each call must answer, and what must be left of those before a reboot. What
//! it says is there in the end, the host must find on the image. `VITRINE_MODEL` chooses the seed.

use std::fs::read;

use machine_tests::{Image, Machine, host_listing, sorted_listing};

/// Runs calls of `seed` on an image of its own, a boot from each of `stops` to the next.
#[track_caller]
fn agrees(seed: u64, stops: &[u32], machine: impl Fn(&Image) -> Machine) {
    let image = Image::small("32M", &["model"]);
    for ends in stops.windows(2) {
        let command = format!("/bin/model /data {seed} {} {}", ends[0], ends[1]);
        let ended = machine(&image).init(&command).run();
        let listed = sorted_listing(&ended.status(0).output);
        image.tool("fsck", &[]);
        let found = host_listing(&read(image.path()).expect("the image can be read"), "data");
        assert!(found.len() > 10, "{command}: only {found:?}");
        assert_eq!(found, listed, "{command}: the host finds something else");
    }
}

fn seed(otherwise: u64) -> u64 {
    let chosen = std::env::var("VITRINE_MODEL").ok();
    chosen.map_or(otherwise, |seed| seed.parse::<u64>().expect("VITRINE_MODEL is a number") + otherwise)
}

#[test]
fn random_calls_and_a_reboot_leave_what_the_model_says() {
    agrees(seed(1), &[0, 4000, 4500, 8000], Machine::with);
}

/// The checked kernel, on a CPU without the new things.
#[test]
fn random_calls_and_a_reboot_leave_what_the_model_says_with_checks() {
    let machine = |image: &Image| Machine::checked(image).word("--cpu", "cortex-a72");
    agrees(seed(2), &[0, 2500, 5000], machine);
}
