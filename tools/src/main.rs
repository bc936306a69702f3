//! `vitrine`: the host tool that makes, fills, lists and checks images of the file system.
//!
//! [`cli`] is what can be asked, one file a group of commands answers it: [`mkfs`], [`copy`] with [`import`],
//! [`export`] and [`within`], [`names`], [`fsck`], [`info`], [`badblock`]. [`image`] opens and locks an image, [`medium`] makes a medium of it, [`path`] finds
//! things inside. Everything that knows a byte of the format is the crate `fs`.

mod badblock;
mod cli;
mod clock;
mod content;
mod copy;
mod export;
mod fresh;
mod fsck;
mod image;
mod import;
mod info;
mod json;
mod medium;
mod mkfs;
mod names;
mod path;
mod progress;
mod size;
mod within;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // 1 would say that something has been repaired.
    let failure =
        if matches!(command, Command::Fsck(_)) { ExitCode::from(fsck::NOT_CHECKED) } else { ExitCode::FAILURE };
    let outcome = match command {
        Command::Mkfs(args) => mkfs::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Cp(args) => copy::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Ls(args) => names::ls(&args).map(|()| ExitCode::SUCCESS),
        Command::Cat(args) => names::cat(&args).map(|()| ExitCode::SUCCESS),
        Command::Rm(args) => names::rm(&args).map(|()| ExitCode::SUCCESS),
        Command::Mkdir(args) => names::mkdir(&args).map(|()| ExitCode::SUCCESS),
        Command::Fsck(args) => fsck::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Badblock(args) => badblock::run(&args).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        // `vitrine cat … | head` ends here; nobody wants to hear of it.
        if !is_broken_pipe(&error) {
            eprintln!("vitrine: {error:#}");
        }
        failure
    })
}

/// Whether the reader of our output is gone.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
