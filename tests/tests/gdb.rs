//! A debugger's view: gdb steps from the first instruction to a program's `main`, by `tools/gdb/stext.py`.

use std::process::{Command, Stdio};

use machine_tests::{Image, Machine, built, root, wait_for};

/// Where an ELF file is loaded, and a flat image for which nothing else is said.
const LOADED: &str = "0x40200000";

/// A machine as gdb is to find it.
struct Shape<'a> {
    /// Words of `qemu-run.sh`.
    words: &'a [(&'a str, &'a str)],
    /// The level of the first instruction.
    level: &'a str,
    /// The physical address of `_start`.
    at: &'a str,
    /// `kaslr` as the command line says it: empty, `random` or an offset.
    kaslr: &'a str,
}

/// Boots under gdb with the first instruction at this level; the program then ends by itself.
#[track_caller]
fn gdb_steps_through(shape: &Shape<'_>) {
    let image = Image::fresh();
    let socket = image.path().with_file_name("gdb.sock");
    let chardev = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
    let kaslr = match shape.kaslr {
        "" => String::new(),
        "random" => "kaslr ".to_owned(),
        offset => format!("kaslr={offset} "),
    };
    let machine =
        shape.words.iter().fold(Machine::with(&image), |machine, (option, value)| machine.word(option, value));
    let machine = machine
        .word("--el", shape.level)
        .append(&format!("{kaslr}init=/bin/hello-c stepped"))
        .qemu(&["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"])
        .start();
    wait_for(&socket);

    let session = Command::new("timeout")
        .args(["100", "gdb-multiarch", "-q", "-batch", "-nx", "-x", "tools/gdb/stext.py"])
        .current_dir(root())
        .env("VITRINE_GDB", &socket)
        .env("VITRINE_KERNEL", built("vitrine.elf"))
        .env("VITRINE_PROGRAM", built("programs/hello-c"))
        .env("VITRINE_ENTRY", shape.level)
        .env("VITRINE_AT", shape.at)
        .env("VITRINE_KASLR", shape.kaslr)
        .stdin(Stdio::null())
        .output()
        .expect("gdb-multiarch");
    let said = String::from_utf8_lossy(&session.stdout);
    let errors = String::from_utf8_lossy(&session.stderr);
    assert!(said.trim_end().ends_with("PASSED"), "gdb said:\n{said}{errors}");
    // Whether the run was good is QEMU's to say: gdb often misses the end.
    machine.stays_open().status(0).says("with 1 argument and a float: 3.142\n");
}

/// On `max`, which has VHE: HCR_EL2.E2H is clear behind `el2_setup`.
#[test]
fn gdb_steps_from_reset_at_el2_to_main() {
    gdb_steps_through(&Shape { words: &[], level: "2", at: LOADED, kaslr: "" });
}

#[test]
fn gdb_steps_from_reset_at_el1_to_main() {
    gdb_steps_through(&Shape { words: &[], level: "1", at: LOADED, kaslr: "" });
}

/// On a CPU without VHE.
#[test]
fn gdb_finds_a_flat_image_that_is_moved_by_an_offset() {
    let bin = built("vitrine.bin");
    let words = [("--kernel", &*bin.to_string_lossy()), ("--at", "0x47ff0000"), ("--cpu", "cortex-a72")];
    gdb_steps_through(&Shape { words: &words, level: "2", at: "0x47ff0000", kaslr: "0x7fc0000000" });
}

/// By QEMU's own `-kernel`, whose stub comes first.
#[test]
fn gdb_finds_a_flat_image_that_is_moved_by_chance() {
    let bin = built("vitrine.bin");
    let words = [("--kernel", &*bin.to_string_lossy()), ("--carrier", "numa")];
    gdb_steps_through(&Shape { words: &words, level: "1", at: LOADED, kaslr: "random" });
}
