//! `kernel-symbols LINKED KERNEL`: the kernel as the linker left it, with its symbols inside.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let [linked, kernel] = words.as_slice() else {
        eprintln!("kernel-symbols: wants the linked kernel, and where the one with symbols goes");
        return ExitCode::from(2);
    };
    match run(linked.as_ref(), kernel.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernel-symbols: {}: {error:#}", linked.display());
            ExitCode::FAILURE
        }
    }
}

fn run(linked: &Path, kernel: &Path) -> Result<()> {
    let mut elf = fs::read(linked)?;
    let size = kernel_symbols::embed(&mut elf)?;
    // What has not changed is left alone, so that nothing later is made anew for nothing.
    if fs::read(kernel).is_ok_and(|old| old == elf) {
        return Ok(());
    }
    let fresh = kernel.with_extension("new");
    fs::copy(linked, &fresh).and_then(|_| fs::write(&fresh, &elf)).with_context(|| fresh.display().to_string())?;
    fs::rename(&fresh, kernel).with_context(|| kernel.display().to_string())?;
    println!("{}: symbols in {} of {} bytes", kernel.display(), size.used, size.kept);
    Ok(())
}
