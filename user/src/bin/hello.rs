//! hello: the smallest program there is, to see that programs run at all.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use vitrine_user::{Args, println};

vitrine_user::entry!(run);

fn run(_args: Args) -> i32 {
    println!("Hello from EL0");
    0
}
