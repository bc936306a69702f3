//! The seed's three examples, to the byte.

use machine_tests::{Image, Machine};

const FORTY_TWO: &str = include_str!("../../user/rootfs/data/forty-two");
const PAGE: &str = include_str!("../../user/rootfs/data/page");
const ORIGINAL: &str = "I was here first, and what you look at never changes under you.\n";

fn output_of_example_3() -> String {
    format!(
        "reader: {ORIGINAL}writer: wrote 4096 bytes of 0xab\nreader: {ORIGINAL}a second open reads 4096 bytes of 0xab\n"
    )
}

#[test]
fn example_1_prints_a_file_of_42_bytes() {
    let image = Image::fresh();
    assert_eq!(FORTY_TWO.len(), 42);
    Machine::with(&image).init("/bin/example1").run().status(0).prints(FORTY_TWO);
}

#[test]
fn example_1_prints_a_file_of_4096_bytes_whose_last_is_0() {
    let image = Image::fresh();
    let (text, end) = PAGE.split_at(4095);
    assert_eq!(end, "\0");
    Machine::with(&image).init("/bin/example1 /data/page").run().status(0).prints(text);
}

#[test]
fn example_1_in_rust_prints_the_same() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/peek1 /data/forty-two").run().status(0).prints(FORTY_TWO);
}

#[test]
fn example_2_dies_after_its_print_is_seen() {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/example2").run();
    ended.status(139).prints(&format!("{FORTY_TWO}Segmentation fault\n"));
    assert_eq!(image.read("/data/forty-two"), FORTY_TWO.as_bytes());
}

#[test]
fn example_2_in_rust_dies_too() {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/peek2 /data/forty-two").run();
    ended.status(139).prints(&format!("{FORTY_TWO}Segmentation fault\n"));
}

#[test]
fn example_3_keeps_showing_what_was_peeked() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/example3 /data/example3").run().status(0).prints(&output_of_example_3());
    assert_eq!(image.read("/data/example3"), [0xab; 4096]);
    image.tool("fsck", &[]);
}

#[test]
fn example_3_shows_the_same_on_a_cpu_without_the_new_things() {
    let image = Image::fresh();
    let machine = Machine::with(&image).word("--cpu", "cortex-a72").word("--el", "1");
    machine.init("/bin/example3 /data/example3").run().status(0).prints(&output_of_example_3());
}

#[test]
fn example_3_shows_the_same_on_the_numa_carrier() {
    let image = Image::fresh();
    let machine = Machine::with(&image).word("--carrier", "numa");
    machine.init("/bin/example3 /data/example3").run().status(0).prints(&output_of_example_3());
}

#[test]
fn init_shows_all_of_them_and_then_a_prompt() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).start();
    machine.expect("Example 1.");
    machine.expect(FORTY_TWO);
    machine.expect(PAGE.trim_end_matches('\0'));
    machine.expect("Example 2");
    machine.expect(FORTY_TWO);
    machine.expect("Segmentation fault");
    machine.expect("Example 3");
    machine.expect(&output_of_example_3());
    machine.expect("$ ");
    machine.finish().status(0);
}
