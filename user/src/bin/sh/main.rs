//! sh: a prompt that runs programs. `sh` reads commands from standard input, `sh FILE` from a file, `sh -c TEXT` from
//! its argument.
//!
//! [`parse`] turns a line into commands, [`command`] runs them. [`lines`] brings the lines in: from a terminal as they are
//! typed, by way of [`keys`] and [`edit`], with [`history`] and [`complete`] at hand. The exit status is that of the last
//! command.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod complete;
mod edit;
mod history;
mod keys;
mod lines;
mod parse;

use core::ffi::CStr;

use command::{Outcome, Shell};
use lines::{Input, Lines};
use vitrine_user::print::Text;
use vitrine_user::{Args, Fd, File, eprintln, print};

vitrine_user::entry!(run);

fn run(args: Args) -> i32 {
    let arguments: alloc::vec::Vec<&'static CStr> = args.skip(1).collect();
    let mut shell = Shell::default();
    match arguments.as_slice() {
        [] => from_file(&mut shell, Fd::STDIN),
        [option, text, ..] if option.to_bytes() == b"-c" => from_text(&mut shell, text.to_bytes()),
        [option, ..] if option.to_bytes().starts_with(b"-") => {
            eprintln!("usage: sh [FILE]\n       sh -c TEXT");
            2
        }
        [path, ..] => match File::open(path) {
            Ok(script) => from_file(&mut shell, *script),
            Err(error) => {
                eprintln!("sh: {}: {error}", Text(path.to_bytes()));
                127
            }
        },
    }
}

/// Runs the lines of `text` one after the other.
fn from_text(shell: &mut Shell, text: &[u8]) -> i32 {
    for line in text.split(|&byte| byte == b'\n') {
        if let Outcome::Exit = shell.run_line(line) {
            break;
        }
    }
    shell.status().into()
}

/// Runs what is read from `input`, with a prompt when that is a terminal.
fn from_file(shell: &mut Shell, input: Fd) -> i32 {
    let mut lines = Lines::new(input);
    if lines.interactive() {
        shell.take_terminal(input);
    }
    loop {
        match lines.next_line(shell.history()) {
            Ok(Input::Line(line)) => {
                if lines.interactive() {
                    shell.remember(&line);
                }
                if let Outcome::Exit = shell.run_line(&line) {
                    return shell.status().into();
                }
            }
            Ok(Input::Interrupted) => shell.interrupted(),
            Ok(Input::End) => break,
            Err(error) => {
                eprintln!("sh: {error}");
                return 2;
            }
        }
    }
    if lines.interactive() {
        print!("\n"); // the prompt that met the end of input still stands there
    }
    shell.status().into()
}
