//! `vitrine fsck` and `vitrine info`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use fs::{Access, Fs, Mount, MountError, Report, Severity};

use crate::cli;
use crate::image::{self, NoImage};
use crate::medium::ImageMedium;
use crate::size::human;

/// Something was wrong and has been put right.
const REPAIRED: u8 = 1;
/// Something is wrong.
const ERRORS: u8 = 4;
/// There is no file system of ours.
const NO_IMAGE: u8 = 8;

/// Checks an image; the exit status is the verdict.
pub(crate) fn fsck(args: &cli::Fsck) -> Result<ExitCode> {
    let path = &args.image;
    let access = if args.repair { Access::ReadWrite } else { Access::ReadOnly };
    let medium = match image::open(path, access) {
        Err(error) if error.is::<NoImage>() => {
            println!("{error}");
            return Ok(ExitCode::from(NO_IMAGE));
        }
        opened => opened?,
    };
    let before = Fs::check(&medium);
    tell(path, &before);
    if before.is_clean() || !args.repair || matches!(before.refused, Some(refused) if !is_ours(refused)) {
        return Ok(ExitCode::from(verdict(&before)));
    }
    // A mount rewrites every copy that has a good twin.
    let medium = repair(path, medium)?;
    let after = Fs::check(&medium);
    if after.is_clean() {
        println!("{}: repaired", path.display());
        return Ok(ExitCode::from(REPAIRED));
    }
    println!("{}: after the repair:", path.display());
    tell(path, &after);
    Ok(ExitCode::from(verdict(&after)))
}

/// Mounts and lets go; a file system that refuses to be mounted stays as it is.
fn repair(path: &Path, medium: ImageMedium) -> Result<ImageMedium> {
    if let Ok(fs) = Fs::mount(medium, Mount { access: Access::ReadWrite, ..Mount::default() }) {
        image::finish(path, fs.medium())?;
    }
    image::open(path, Access::ReadOnly)
}

fn verdict(report: &Report) -> u8 {
    match report.refused {
        Some(refused) if !is_ours(refused) => NO_IMAGE,
        _ if report.is_clean() => 0,
        _ => ERRORS,
    }
}

/// Whether this is, or was, an image that this tool knows how to check.
fn is_ours(refused: MountError) -> bool {
    !matches!(refused, MountError::Foreign | MountError::Version { .. } | MountError::Features { .. })
}

fn tell(path: &Path, report: &Report) {
    let path = path.display();
    if let Some(refused) = report.refused {
        println!("{path}: {refused}");
    }
    for finding in &report.findings {
        let after = if finding.severity == Severity::Repairable { " (can be repaired: --repair)" } else { "" };
        println!("{path}: {finding}{after}");
    }
    if report.left_out > 0 {
        println!("{path}: and {} more", report.left_out);
    }
    if report.is_clean() {
        let Report { files, directories, symlinks, records, .. } = report;
        println!("{path}: clean: {files} files, {directories} directories, {symlinks} symlinks, {records} records");
    }
}

/// Shows what an image is.
pub(crate) fn info(args: &cli::Info) -> Result<ExitCode> {
    let path = &args.image;
    let shown = || path.display().to_string();
    let medium = image::open(path, Access::ReadOnly)?;
    let report = Fs::check(&medium);
    let fs = Fs::mount(medium, Mount { access: Access::ReadOnly, ..Mount::default() }).with_context(shown)?;
    let space = fs.space();
    let state = match (report.is_clean(), report.has_errors()) {
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
    if args.json {
        let numbers = numbers.iter().chain(&counts).map(|(name, value)| format!(",\"{name}\":{value}"));
        let image = json_string(&path.to_string_lossy());
        println!("{{\"image\":{image},\"uuid\":\"{uuid}\",\"state\":\"{state}\"{}}}", numbers.collect::<String>());
    } else {
        println!("{:<12} {}\n{:<12} {uuid}\n{:<12} {state}", "image", path.display(), "uuid", "state");
        numbers.iter().for_each(|(name, value)| println!("{name:<12} {} ({value})", human(*value)));
        counts.iter().for_each(|(name, value)| println!("{name:<12} {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `text` as JSON writes it.
fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(json_string("a\"b\\c\nä"), "\"a\\\"b\\\\c\\u000aä\"");
    }
}
