//! init: the first program of a machine that shows itself. Runs the seed's three examples, says before each what is to
//! be seen, then goes on as `/bin/sh`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::ffi::CStr;

use vitrine_user::print::Text;
use vitrine_user::{Args, Errno, File, Peek, eprintln, println, process, start};

vitrine_user::entry!(run);

/// What one example shows, and the command line that shows it.
type Example = (&'static str, &'static [&'static CStr]);

const EXAMPLES: [Example; 4] = [
    ("1. peek a file of 42 bytes and print it", &[c"/bin/example1", c"/data/forty-two"]),
    ("1 again, with a file of 4096 bytes whose last is NUL", &[c"/bin/example1", c"/data/page"]),
    (
        "2. store through the pointer: the program dies, the file does not change",
        &[c"/bin/example2", c"/data/forty-two"],
    ),
    ("3. peek a file while another thread overwrites it with 0xab", &[c"/bin/example3", c"/data/example3"]),
];

fn run(_args: Args) -> i32 {
    greet(c"/etc/motd");
    let environment: Vec<&CStr> = start::environment().collect();
    for (title, command) in EXAMPLES {
        println!("\nExample {title}\n$ {}", line(command));
        if let Err(error) = show(command, &environment) {
            eprintln!("init: {}: {error}", line(command));
        }
    }
    println!("\nThe prompt is yours: `help` says what it knows, ^D ends the machine.");
    let error = process::exec(c"/bin/sh", &[c"sh"], &environment);
    eprintln!("init: /bin/sh: {error}");
    127
}

/// Prints the message of the day, if there is one.
fn greet(path: &CStr) {
    if let Ok(text) = File::open(path).and_then(|file| Peek::file(*file)) {
        println!("{}", Text(text.trim_ascii_end()));
    }
}

/// Runs one example and says what it died of, as a shell does.
fn show(command: &[&CStr], environment: &[&CStr]) -> Result<(), Errno> {
    let status = process::wait(process::spawn(command[0], command, environment)?)?;
    match (process::death(status), status.shell_status()) {
        (Some(death), _) => eprintln!("{death}"),
        (None, 0) => {}
        (None, code) => eprintln!("(exit status {code})"),
    }
    Ok(())
}

/// A command line as one would type it.
fn line(command: &[&CStr]) -> alloc::string::String {
    let words: Vec<_> = command.iter().map(|word| word.to_bytes()).collect();
    alloc::string::String::from_utf8_lossy(&words.join(&b' ')).into_owned()
}
