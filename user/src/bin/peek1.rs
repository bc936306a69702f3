//! `peek1 [FILE]`: the seed's first example in Rust. Opens a file, peeks 4096 bytes of it, prints them as C's
//! `printf("%s")` would, up to the first 0 byte, and unpeeks.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use core::ffi::CStr;

use vitrine_user::print::Text;
use vitrine_user::{Args, Errno, Fd, File, Peek, eprintln};

vitrine_user::entry!(run);

fn run(mut args: Args) -> i32 {
    let path = args.nth(1).unwrap_or(c"/data/forty-two");
    match show(path) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("peek1: {}: {error}", Text(path.to_bytes()));
            1
        }
    }
}

fn show(path: &CStr) -> Result<(), Errno> {
    let file = File::open(path)?;
    let bytes = Peek::new(*file, 0, 4096)?;
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Fd::STDOUT.write_all(text)?;
    bytes.unpeek()
}
