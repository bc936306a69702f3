//! A session: typed commands, and what a person sees.

use machine_tests::{Image, Machine};

/// Runs `sh` with lines typed into it, and gives back what it printed without its prompts and echo.
#[track_caller]
fn session(lines: &str, status: i32) -> String {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/sh").run_typing(lines);
    ended.status(status);
    ended.output
}

#[test]
fn commands_run_one_after_the_other() {
    let seen = session("echo one two\ncat /data/forty-two\nls /data\n", 0);
    let order = ["one two\n", "Forty-two bytes that only want a look at.\n", "forty-two\n", "page\n"];
    let mut rest = seen.as_str();
    for text in order {
        let at = rest.find(text).unwrap_or_else(|| panic!("{text:?} is missing or out of order in:\n{seen}"));
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn what_is_typed_is_echoed_once() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/sh").start();
    machine.expect("$ ");
    machine.types("echo ping\n");
    assert_eq!(machine.expect("ping\n"), "echo ");
    assert_eq!(machine.expect("ping\n"), "");
    machine.expect("$ ");
    machine.finish().status(0);
}

#[test]
fn the_status_of_the_last_command_is_seen() {
    let seen = session("example2\necho \"it was $?\"\nnothing-of-the-kind\necho \"then $?\"\nexit 7\n", 7);
    assert!(seen.contains("Segmentation fault\n"), "{seen}");
    assert!(seen.contains("it was 139\n"), "{seen}");
    assert!(seen.contains("then 127\n"), "{seen}");
}

#[test]
fn the_end_of_input_ends_it() {
    session("", 0);
    session("echo no newline at the end", 0);
}

#[test]
fn a_program_reads_what_is_typed() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/cat").start();
    for line in ["first line\n", "second line\n"] {
        machine.types(line);
        machine.expect(line); // its echo
        machine.expect(line);
    }
    machine.finish().status(0);
}

#[test]
fn what_is_typed_before_the_kernel_looks_is_not_lost() {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/cat").run_typing("first line\nsecond line\n");
    ended.status(0);
    assert_eq!(ended.output.matches("first line\n").count(), 2, "{}", ended.output);
    assert_eq!(ended.output.matches("second line\n").count(), 2, "{}", ended.output);
}

#[test]
fn files_are_written_and_read_back() {
    let seen = session("echo hello >/data/new\necho again >>/data/new\ncat /data/new\n", 0);
    assert!(seen.contains("hello\nagain\n"), "{seen}");
}

#[test]
fn a_script_runs() {
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/sh /etc/demo.sh").run();
    ended.status(0).says("example2 ended with status 139\n").says("and the file is as it was\n");
}

#[test]
fn a_pasted_kilobyte_arrives_whole() {
    let word = "abcdefghijklmnop".repeat(64);
    let image = Image::fresh();
    let ended = Machine::with(&image).init("/bin/cat").run_typing(&format!("{word}\n"));
    ended.status(0).says(&format!("{word}\n{word}\n"));
}
