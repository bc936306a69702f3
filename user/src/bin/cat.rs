//! `cat [FILE...]`: prints files one after the other; `-`, or no file at all, is standard input.
//!
//! A file in persistent memory is peeked and written from where it lies; anything else is read.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use core::ffi::CStr;

use vitrine_user::print::Text;
use vitrine_user::{Args, Errno, Fd, File, Peek, eprintln};

vitrine_user::entry!(run);

fn run(args: Args) -> i32 {
    let mut files = args.skip(1).peekable();
    if files.peek().is_none() {
        return complain(c"-", copy(Fd::STDIN));
    }
    files.fold(0, |status, path| status | complain(path, print(path)))
}

/// The exit status of one file's outcome, said on standard error when it is a failure.
fn complain(path: &CStr, outcome: Result<(), Errno>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("cat: {}: {error}", Text(path.to_bytes()));
            1
        }
    }
}

fn print(path: &CStr) -> Result<(), Errno> {
    if path == c"-" {
        return copy(Fd::STDIN);
    }
    let file = File::open(path)?;
    match Peek::file(*file) {
        Ok(bytes) => Fd::STDOUT.write_all(&bytes),
        // Not a file that can be peeked, such as one of /proc, or a kernel without the call: read says what is wrong,
        // if anything is.
        Err(_) => copy(*file),
    }
}

/// Copies what can be read from `from` to standard output.
fn copy(from: Fd) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => Fd::STDOUT.write_all(&buffer[..bytes])?,
        }
    }
}
