//! `echo [-n] [WORD...]`: prints its arguments.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use vitrine_user::{Args, Fd, eprintln};

vitrine_user::entry!(run);

fn run(args: Args) -> i32 {
    let mut words = args.skip(1).map(|word| word.to_bytes()).peekable();
    let newline = words.next_if_eq(&&b"-n"[..]).is_none();
    let mut line = words.collect::<Vec<_>>().join(&b' ');
    if newline {
        line.push(b'\n');
    }
    match Fd::STDOUT.write_all(&line) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("echo: {error}");
            1
        }
    }
}
