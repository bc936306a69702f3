//! Exit statuses, and input that must be met with a clear line: no panic, nothing lost.

use machine_tests::{Image, Machine, overwrite, zeros};
use std::fs::{self, OpenOptions};

// --- The program's own -----------------------------------------------------------------------------------------------

#[test]
fn the_status_is_the_programs_own() {
    let image = Image::fresh();
    for status in [0, 1, 42, 255] {
        let ended = Machine::with(&image).init(&format!("/bin/sh -c \"exit {status}\"")).run();
        ended.status(status).prints("");
    }
}

#[test]
fn a_program_that_dies_of_a_signal_gives_128_and_its_number() {
    let image = Image::fresh();
    for (how, status) in
        [("write-null", 139), ("write-text", 139), ("call-misaligned", 135), ("undefined", 132), ("breakpoint", 133)]
    {
        Machine::with(&image).init(&format!("/bin/fault {how}")).run().status(status);
    }
}

#[test]
fn init_is_bin_init_and_else_bin_sh_and_else_127() {
    let image = Image::fresh();
    Machine::with(&image).run().status(0).says("Example 1");

    let no_init = Image::fresh();
    remove(&no_init, "/bin/init");
    let ended = Machine::with(&no_init).run_typing("echo here is sh\nexit 3\n");
    ended.status(3).says("here is sh\n");

    remove(&no_init, "/bin/sh");
    Machine::with(&no_init).run().refuses(127, &["init"]);
}

#[test]
fn a_machine_that_never_ends_is_stopped_in_time() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).word("--timeout", "5").init("/bin/sh").start();
    machine.expect("$ ");
    machine.stays_open().status(124);
}

// --- No usable medium: 125 -------------------------------------------------------------------------------------------

#[test]
fn no_pmem_device() {
    Machine::bare().run().refuses(125, &["pmem"]);
}

#[test]
fn no_pmem_device_at_el1() {
    Machine::bare().word("--el", "1").run().refuses(125, &["pmem"]);
}

#[test]
fn a_medium_without_a_file_system() {
    let image = Image::blank(16 << 20);
    Machine::with(&image).run().refuses(125, &["pmem0"]);
    assert!(all_zero(&image), "a refused medium was written to");
}

#[test]
fn a_medium_of_one_block() {
    let image = Image::blank(4096);
    Machine::with(&image).run().refuses(125, &["pmem"]);
}

#[test]
fn a_foreign_medium() {
    let image = Image::blank(16 << 20);
    overwrite(image.path(), 0, &[0xeb; 65536]);
    overwrite(image.path(), 1080, b"\x53\xef");
    let before = fs::read(image.path()).unwrap();
    Machine::with(&image).run().refuses(125, &["pmem0"]);
    assert!(before == fs::read(image.path()).unwrap(), "a foreign medium was written to");
}

#[test]
fn a_truncated_medium() {
    let image = Image::fresh();
    let file = OpenOptions::new().write(true).open(image.path()).unwrap();
    file.set_len(8 << 20).unwrap();
    Machine::with(&image).run().refuses(125, &["pmem0"]);
}

#[test]
fn a_medium_of_a_version_to_come() {
    let image = Image::made(&["--size", "16M", "--as-version", "99"]);
    Machine::with(&image).run().refuses(125, &["version", "99"]);
}

#[test]
fn root_names_a_device_that_is_not_there() {
    let image = Image::fresh();
    Machine::with(&image).append("root=pmem7 init=/bin/hello").run().refuses(125, &["pmem7"]);
}

// --- A program that cannot be run: 126, 127 --------------------------------------------------------------------------

#[test]
fn init_names_nothing() {
    let image = Image::fresh();
    Machine::with(&image).init("/bin/nothing-of-the-kind").run().refuses(127, &["/bin/nothing-of-the-kind"]);
    Machine::with(&image).init("/bin/hello/hello").run().refuses(127, &["/bin/hello/hello"]);
}

#[test]
fn init_names_a_directory() {
    let image = Image::fresh();
    Machine::with(&image).init("/data").run().refuses(126, &["/data"]);
}

#[test]
fn init_names_a_text_file() {
    let image = Image::fresh();
    Machine::with(&image).init("/data/page").run().refuses(126, &["/data/page"]);
}

#[test]
fn init_names_an_empty_file() {
    let image = Image::fresh();
    image.add(b"", "/data/empty");
    Machine::with(&image).init("/data/empty").run().refuses(126, &["/data/empty"]);
}

#[test]
fn init_names_an_x86_elf() {
    let image = Image::fresh();
    image.add(&fs::read("/bin/true").unwrap(), "/bin/x86");
    Machine::with(&image).init("/bin/x86").run().refuses(126, &["/bin/x86"]);
}

#[test]
fn init_names_a_truncated_elf() {
    let image = Image::fresh();
    let whole = image.read("/bin/hello-c");
    for length in [20, 64, 200, 5000, whole.len() / 2] {
        let path = format!("/bin/cut-at-{length}");
        image.add(&whole[..length], &path);
        Machine::with(&image).init(&path).run().refuses(126, &[&path]);
    }
}

// --- A command line with unknown words: 125 --------------------------------------------------------------------------

#[test]
fn unknown_words() {
    let image = Image::fresh();
    for (line, word) in [
        ("frobnicate", "frobnicate"),
        ("quiet init=/bin/hello", "quiet"),
        ("loglevel=8", "loglevel"),
        ("loglevel=", "loglevel"),
        ("root=sda1", "root"),
        ("pmem=1,2", "pmem"),
        ("pmem=zero,one", "pmem"),
        ("ram=some", "ram"),
        ("init=", "init"),
    ] {
        Machine::with(&image).append(line).run().refuses(125, &[word]);
    }
}

#[test]
fn pmem_that_lies_where_something_else_is() {
    let image = Image::fresh();
    for range in ["0x40200000,16M", "0x40000000,1M", "0x9000000,1M", "0xfffffffffffff000,64K"] {
        Machine::with(&image).append(&format!("pmem={range} init=/bin/hello")).run().refuses(125, &["pmem"]);
    }
}

// --- What qemu-run.sh refuses itself ---------------------------------------------------------------------------------

#[test]
fn a_medium_whose_size_is_odd() {
    let image = Image::none();
    zeros(image.path(), (16 << 20) + 512);
    Machine::with(&image).run().status(125).complains("not a multiple of 4096");
}

#[test]
fn a_medium_that_is_not_there() {
    let image = Image::none();
    Machine::with(&image).run().status(125).complains("no pmem file");
}

#[test]
fn a_medium_in_use() {
    let image = Image::fresh();
    let mut first = Machine::with(&image).init("/bin/sh").start();
    first.expect("$ ");
    Machine::with(&image).init("/bin/hello").run().status(125).complains("in use");
    image.assert_locked();
    let tool = machine_tests::vitrine(&["ls", &format!("{}:/", image.path().display())]);
    assert!(!tool.status.success(), "the tool took a medium that a machine uses");
    first.finish().status(0);
    Machine::with(&image).init("/bin/hello").run().status(0);
}

fn remove(image: &Image, path: &str) {
    let done = machine_tests::vitrine(&["rm", &format!("{}:{path}", image.path().display())]);
    assert!(done.status.success(), "vitrine rm {path}: {}", String::from_utf8_lossy(&done.stderr));
}

fn all_zero(image: &Image) -> bool {
    fs::read(image.path()).unwrap().iter().all(|&byte| byte == 0)
}
