//! The terminal: keys that end programs, lines that are edited, and input that comes faster than anybody reads.

use machine_tests::{Ended, Image, Machine, Running};

/// A shell that has shown its prompt.
fn shell(image: &Image) -> Running {
    let mut machine = Machine::with(image).init("/bin/sh").start();
    machine.expect("$ ");
    machine
}

/// Types a command, and checks the whole of what is seen until the next prompt.
#[track_caller]
fn answers(machine: &mut Running, keys: &str, seen: &str) {
    machine.types(keys);
    assert_eq!(machine.expect("\n$ "), seen);
}

// --- Keys that end programs ------------------------------------------------------------------------------------------

#[test]
fn control_c_ends_the_program_that_reads() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("cat; echo not this\n");
    machine.expect("\n");
    machine.types("to cat\n");
    machine.expect("to cat\nto cat\n");
    answers(&mut machine, "\x03", "^C");
    answers(&mut machine, "echo $?\n", "echo $?\n130");
    machine.finish().status(0);
}

#[test]
fn control_c_ends_the_program_that_computes() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    for (key, seen, status) in [("\x03", "^C", 130), ("\x1c", "^\\Quit", 131)] {
        machine.types("tty spin\n");
        machine.expect("begin\n");
        answers(&mut machine, key, seen);
        answers(&mut machine, "echo $?\n", &format!("echo $?\n{status}"));
    }
    machine.finish().status(0);
}

#[test]
fn control_c_comes_through_behind_input_that_nobody_reads() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("tty spin\n");
    machine.expect("begin\n");
    machine.types(&"a line for nobody\n".repeat(600));
    machine.types("\x03");
    machine.expect("^C\n$ ");
    answers(&mut machine, "echo $?\n", "echo $?\n130");
    machine.finish().status(0);
}

#[test]
fn control_c_ends_a_script_and_what_it_runs() {
    let image = Image::fresh();
    image.add(b"echo here\ncat\necho not this\n", "/data/script");
    let mut machine = shell(&image);
    machine.types("sh /data/script\n");
    machine.expect("here\n");
    answers(&mut machine, "\x03", "^C");
    answers(&mut machine, "echo $?\n", "echo $?\n130");
    machine.finish().status(0);
}

#[test]
fn control_c_at_the_prompt_drops_the_line() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("echo lost");
    machine.expect("echo lost");
    answers(&mut machine, "\x03", "^C");
    answers(&mut machine, "echo $?\n", "echo $?\n130");
    answers(&mut machine, "\x03", "^C");
    machine.finish().status(130);
}

#[test]
fn control_c_ends_the_first_program_and_the_machine() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/cat").start();
    machine.types("ping\n");
    machine.expect("ping\nping\n");
    machine.types("\x03");
    machine.stays_open().status(130);
}

#[test]
fn control_c_does_not_end_a_machine_that_nobody_gave_a_program() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).start();
    // The first program has no handler, and what it runs in the foreground may end of it.
    for example in ["Example 1. ", "Example 1 again", "Example 2. ", "Example 3. "] {
        machine.expect(example);
        machine.types("\x03");
    }
    machine.expect("ends the machine.\n$ ");
    machine.types("echo still here\n");
    machine.expect("\nstill here\n");
    machine.finish().status(0);
}

#[test]
fn control_d_ends_a_program_and_then_the_shell() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("cat; echo and on\n");
    machine.expect("\n");
    answers(&mut machine, "\x04", "and on");
    machine.types("\x04");
    machine.stays_open().status(0);
}

#[test]
fn control_s_holds_output_and_control_q_lets_it_go() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/cat").start();
    machine.types("one\n");
    machine.expect("one\none\n");
    machine.types("\x13two\n\x11");
    assert_eq!(machine.expect("two\ntwo\n"), "");
    machine.finish().status(0);
}

// --- Lines that are edited -------------------------------------------------------------------------------------------

#[test]
fn a_line_is_edited() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("ech twp three\x01\x06\x06\x06o\x05\x17\x7f\x7fo\n");
    machine.expect("\ntwo\n$ ");
    machine.types("wrong\x15pwd\n");
    machine.expect("\n/\n$ ");
    machine.types("pwd\x1b[D\x1b[D\x1b[D\x1b[3~\x1b[Fx\x08\x1b[Hec\x1b[Fho wd\x01\x1b[1;5C\x1b[1;5C\x0b\n");
    machine.expect("sh: ecwdho: command not found\n$ ");
    machine.finish().status(127);
}

#[test]
fn lines_come_back_from_the_history() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    answers(&mut machine, "echo first\n", "echo first\nfirst");
    answers(&mut machine, "echo second\n", "echo second\nsecond");
    machine.types("\x1b[A\x1b[A\n");
    machine.expect("\nfirst\n$ ");
    machine.types("\x10\x10\x0e!\n");
    machine.expect("\nfirst!\n$ ");
    machine.types("history\n");
    machine.expect("    1  echo first\n    2  echo second\n    3  echo first\n    4  echo first!\n    5  history\n$ ");
    machine.finish().status(0);
}

#[test]
fn names_are_completed() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("cat /da");
    machine.expect("cat /da");
    machine.types("\t");
    machine.expect("ta/");
    machine.types("fo");
    machine.expect("fo");
    machine.types("\t");
    machine.expect("rty-two ");
    machine.types("\n");
    machine.expect("Forty-two bytes that only want a look at.\n$ ");
    machine.types("exam");
    machine.expect("exam");
    machine.types("\t");
    machine.expect("ple");
    machine.types("\t");
    machine.expect("\nexample1\nexample2\nexample3\n$ example");
    machine.types("1\n");
    machine.expect("only want a look at.\n$ ");
    machine.finish().status(0);
}

#[test]
fn what_is_typed_ahead_is_for_whoever_asks_first() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    machine.types("cat >/data/typed\none\ntwo\n\x04cat /data/typed\necho done\n");
    machine.expect("one\ntwo\n");
    machine.expect("$ done\n");
    machine.finish().status(0);
    assert_eq!(image.read("/data/typed"), b"one\ntwo\n");
}

// --- Input that comes faster than anybody reads ----------------------------------------------------------------------

/// Lines of every length, some long, `total` bytes and more.
fn text(total: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= total {
            break;
        }
        let length = if number % 40 == 39 { 3000 } else { number * 7 % 120 };
        text.extend((0..length).map(|at| char::from(b'!' + ((number + at) % 90) as u8)));
        text.push('\n');
    }
    text
}

#[test]
fn pasted_lines_arrive_in_a_file() {
    let image = Image::fresh();
    let text = text(24 << 10);
    let mut machine = shell(&image);
    machine.types("cat >/data/pasted\n");
    machine.expect("\n");
    machine.types(&text);
    machine.types("\x04");
    machine.expect("$ ");
    machine.finish().status(0);
    assert!(image.read("/data/pasted") == text.as_bytes(), "other bytes than were typed");
}

/// FNV-1a, as `tty` has it.
fn sum(bytes: &[u8]) -> String {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{} bytes {sum:016x}\n", bytes.len())
}

/// Types all of `text` while the program is at its work and does not read.
#[track_caller]
fn busy(command: &str, text: &str) {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init(command).start();
    machine.expect("begin\n");
    machine.types(text);
    let ended = machine.finish();
    ended.status(0).says(&sum(text.as_bytes()));
}

#[test]
fn nothing_is_lost_while_a_program_computes() {
    busy("/bin/tty sum", &text(30 << 10));
}

#[test]
fn nothing_is_lost_while_the_kernel_copies() {
    busy("/bin/tty copies /data/copy", &text(30 << 10));
}

#[test]
fn who_sends_is_asked_to_stop_and_to_go_on() {
    let image = Image::fresh();
    let text = text(30 << 10);
    let mut machine = Machine::with(&image).init("/bin/sh -c \"stty ixoff -echo; tty sum\"").start();
    machine.expect("begin\n");
    machine.types(&text);
    // QEMU sends on regardless, and nothing is lost all the same.
    assert_eq!(machine.expect("\x13"), "");
    machine.expect("\x11");
    machine.finish().status(0).says(&sum(text.as_bytes()));
}

#[test]
fn a_line_too_long_rings_and_keeps_its_beginning() {
    let image = Image::fresh();
    let mut machine = Machine::with(&image).init("/bin/cat").start();
    let line = "z".repeat(4095);
    machine.types(&format!("{line}!!!\n"));
    machine.finish().status(0).says(&format!("{line}\x07\x07\x07\n{line}\n"));
}

// --- Settings --------------------------------------------------------------------------------------------------------

#[test]
fn the_window_is_as_large_as_the_command_line_says() {
    let image = Image::fresh();
    Machine::with(&image).append("window=50x132 init=/bin/stty size").run().status(0).prints("50 132\n");
    Machine::with(&image).init("/bin/stty size").run().status(0).prints("24 80\n");
}

#[test]
fn settings_are_changed_by_hand_and_kept_from_one_program_to_the_next() {
    let image = Image::fresh();
    let mut machine = shell(&image);
    answers(&mut machine, "stty intr ^X -echo rows 10\n", "stty intr ^X -echo rows 10");
    machine.types("cat\n");
    machine.expect("cat\n");
    machine.types("not seen\n");
    assert_eq!(machine.expect("\n"), "not seen");
    answers(&mut machine, "\x18", "");
    answers(&mut machine, "stty sane; stty size\n", "stty sane; stty size\n10 80");
    answers(&mut machine, "stty -frob\n", "stty -frob\nstty: -frob: not understood");
    machine.finish().status(1);
}

// --- What programs ask -----------------------------------------------------------------------------------------------

#[test]
fn terminals_and_groups_are_as_on_linux() {
    let image = Image::fresh();
    let ended: Ended = Machine::with(&image).init("/bin/tty").start().stays_open();
    let failures: Vec<_> = ended.output.lines().filter(|line| line.contains("... FAILED")).collect();
    ended.all_pass();
    assert!(failures.is_empty() && ended.output.matches("... ok\n").count() > 70, "{failures:#?}");
}
