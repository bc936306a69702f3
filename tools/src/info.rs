//! `vitrine info`: what an image is.

use std::process::ExitCode;

use anyhow::{Context, Result};
use fs::{Access, Fs, Holder, Mount};
use serde_json::{Map, Value};

use crate::badblock::shown;
use crate::size::human;
use crate::{cli, image, json};

/// Shows what an image is.
pub(crate) fn run(args: &cli::Info) -> Result<ExitCode> {
    let path = &args.image;
    let context = || format!("{} (see 'vitrine fsck')", path.display());
    let medium = image::open(path, Access::ReadOnly)?;
    let report = Fs::check(&medium);
    let fs = Fs::mount(medium, Mount { access: Access::ReadOnly, ..Mount::default() }).with_context(context)?;
    let space = fs.space();
    let state = match (report.is_sound(), report.has_errors()) {
        (true, _) => "clean",
        (false, false) => "repairable",
        (false, true) => "damaged",
    };
    let uuid: String = fs.volume().uuid().iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
    let bytes = |blocks: u64| blocks.saturating_mul(units::PAGE_SIZE);
    let numbers = [
        ("size", bytes(space.blocks)),
        ("free", bytes(space.free)),
        ("available", bytes(space.available)),
        ("log", bytes(space.log)),
        ("data", bytes(report.data_blocks)),
    ];
    let counts: [(&str, u64); 7] = [
        ("inodes", space.inodes),
        ("files", report.files),
        ("directories", report.directories),
        ("symlinks", report.symlinks),
        ("records", report.records),
        ("extents", report.extents),
        ("badblocks", report.bad_sectors),
    ];
    let hurt = || report.hurt.iter().filter(|hurt| matches!(hurt.holder, Holder::File { .. }));
    if args.json {
        let words = [("image", path.to_string_lossy().into_owned()), ("uuid", uuid), ("state", state.to_owned())];
        let words = words.into_iter().map(|(name, word)| (name.to_owned(), Value::from(word)));
        let numbers = numbers.into_iter().chain(counts).map(|(name, number)| (name.to_owned(), Value::from(number)));
        let mut object: Map<String, Value> = words.chain(numbers).collect();
        object.insert("hurt".to_owned(), json::hurt(&report.hurt));
        println!("{}", Value::Object(object));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<12} {}\n{:<12} {uuid}\n{:<12} {state}", "image", path.display(), "uuid", "state");
    numbers.iter().for_each(|(name, value)| println!("{name:<12} {} ({value})", human(*value)));
    counts.iter().for_each(|(name, value)| println!("{name:<12} {value}"));
    hurt().for_each(|hurt| println!("{:<12} {}", "hurt", shown(hurt)));
    Ok(ExitCode::SUCCESS)
}
