//! `peek2 [FILE]`: the seed's second example in Rust. Peeks a file, prints it, and stores through the pointer, of which
//! it dies: `Segmentation fault`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use core::ffi::CStr;

use vitrine_user::print::Text;
use vitrine_user::{Args, Errno, Fd, File, Peek, eprintln};

vitrine_user::entry!(run);

fn run(mut args: Args) -> i32 {
    let path = args.nth(1).unwrap_or(c"/data/forty-two");
    match show_and_store(path) {
        Ok(()) => eprintln!("peek2: the store went through: this kernel does not keep its promise"),
        Err(error) => eprintln!("peek2: {}: {error}", Text(path.to_bytes())),
    }
    1
}

fn show_and_store(path: &CStr) -> Result<(), Errno> {
    let file = File::open(path)?;
    let bytes = Peek::new(*file, 0, 4096)?;
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Fd::STDOUT.write_all(text)?;
    bytes.store_and_die(0, b'!');
    Ok(())
}
