//! `vitrine fsck`: what is wrong with an image, what can be done about it, and that done.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use fs::{Access, Finding, Fs, Holder, Mend, MountError, RepairError, Report, Severity, Wrong};

use crate::badblock::shown;
use crate::clock::Clock;
use crate::image::{self, NoImage};
use crate::medium::ImageMedium;
use crate::{cli, json};

/// Something was wrong and has been put right.
const REPAIRED: u8 = 1;
/// Something is wrong.
const ERRORS: u8 = 4;
/// There is no file system of ours.
const NO_IMAGE: u8 = 8;
/// Nothing was checked, because something else went wrong: the same number, as of `fsck(8)`.
pub(crate) const NOT_CHECKED: u8 = NO_IMAGE;
/// Findings of one kind that are shown, of many.
const SHOWN: usize = 10;

/// Checks an image; the exit status is the verdict.
pub(crate) fn run(args: &cli::Fsck) -> Result<ExitCode> {
    let path = &args.image;
    let access = if args.repair { Access::ReadWrite } else { Access::ReadOnly };
    let medium = match image::open(path, access) {
        Err(error) if error.is::<NoImage>() => {
            let refused = Report { refused: Some(MountError::Foreign), ..Report::default() };
            match args.json {
                true => print_json(path, &refused, NO_IMAGE, None),
                false => println!("{error}"),
            }
            return Ok(ExitCode::from(NO_IMAGE));
        }
        opened => opened?,
    };
    let before = Fs::check(&medium);
    if before.is_sound() || !args.repair || is_foreign(&before) {
        let status = verdict(&before);
        match args.json {
            true => print_json(path, &before, status, None),
            false => tell(path, &before),
        }
        return Ok(ExitCode::from(status));
    }
    if !args.json {
        tell(path, &before);
    }
    let repaired = repair(path, medium)?;
    let after = Fs::check(&image::open(path, Access::ReadOnly)?);
    let status = if after.is_clean() { REPAIRED } else { verdict(&after) };
    if args.json {
        print_json(path, &after, status, Some(&repaired));
        return Ok(ExitCode::from(status));
    }
    let path_shown = path.display();
    match &repaired {
        Ok(done) => few(done.iter(), kind_of, |mend| println!("{path_shown}: {mend}")),
        Err(error) => println!("{path_shown}: cannot be repaired: {error}"),
    }
    if after.is_clean() {
        println!("{path_shown}: repaired");
    } else if repaired.is_ok() {
        println!("{path_shown}: after the repair:");
        tell(path, &after);
    }
    Ok(ExitCode::from(status))
}

/// Repairs, and lets go; what cannot be repaired stays as it is.
fn repair(path: &Path, medium: ImageMedium) -> Result<Result<Vec<Mend>, RepairError>> {
    Ok(match Fs::repair(medium, Clock::new()?.now()) {
        Ok((fs, done)) => {
            image::finish(path, fs.medium())?;
            Ok(done)
        }
        Err(error) => Err(error),
    })
}

fn verdict(report: &Report) -> u8 {
    match report {
        report if is_foreign(report) => NO_IMAGE,
        report if report.is_sound() => 0,
        _ => ERRORS,
    }
}

/// Whether this never was an image that this tool knows how to check.
fn is_foreign(report: &Report) -> bool {
    matches!(report.refused, Some(MountError::Foreign | MountError::Version { .. } | MountError::Features { .. }))
}

fn print_json(path: &Path, report: &Report, status: u8, repaired: Option<&Result<Vec<Mend>, RepairError>>) {
    let mut object = json::report(&path.to_string_lossy(), report, status);
    match repaired {
        Some(Ok(done)) => drop(object.insert("repaired".to_owned(), done.iter().map(Mend::to_string).collect())),
        Some(Err(error)) => drop(object.insert("not_repaired".to_owned(), error.to_string().into())),
        None => {}
    }
    println!("{}", serde_json::Value::Object(object));
}

fn tell(path: &Path, report: &Report) {
    let path = path.display();
    if let Some(refused) = report.refused {
        println!("{path}: {refused}{}", remedy_of_refusal(refused));
    }
    few(
        report.findings.iter(),
        |finding| finding.what,
        |finding| {
            println!("{path}: {finding}{}", remedy(finding, report.behind));
        },
    );
    if report.left_out > 0 {
        println!("{path}: and {} findings more", report.left_out);
    }
    for hurt in report.hurt.iter().filter(|hurt| matches!(hurt.holder, Holder::File { .. })) {
        println!("{path}: bad sectors {}: lost until they are written over", shown(hurt));
    }
    if report.is_sound() {
        let Report { files, directories, symlinks, records, .. } = report;
        println!("{path}: clean: {files} files, {directories} directories, {symlinks} symlinks, {records} records");
    }
}

/// Shows the first of each kind, and counts the others.
fn few<'a, T: 'a, K: Ord>(all: impl Iterator<Item = &'a T>, kind: impl Fn(&T) -> K, show: impl Fn(&T)) {
    let mut kinds: BTreeMap<K, usize> = BTreeMap::new();
    for one in all {
        let seen = kinds.entry(kind(one)).or_default();
        *seen += 1;
        if *seen <= SHOWN {
            show(one);
        }
    }
    let more: usize = kinds.values().map(|seen| seen.saturating_sub(SHOWN)).sum();
    if more > 0 {
        println!("... and {more} more like these");
    }
}

/// Mends of one kind are shown together.
fn kind_of(mend: &Mend) -> Option<Wrong> {
    if let Mend::Copy(what, _) = mend { Some(*what) } else { None }
}

/// What can be done about a finding.
fn remedy(finding: &Finding, behind: u64) -> String {
    match (finding.severity, finding.what) {
        (Severity::Unfinished, _) => " (as a power cut leaves it: the next mount writes it)".to_owned(),
        (Severity::Repairable, _) => " (the next mount or --repair rewrites it)".to_owned(),
        (_, Wrong::Segment) => " (--repair looks for what is behind it)".to_owned(),
        (_, Wrong::Record | Wrong::Item | Wrong::ExtentBlock | Wrong::OutOfRange) => {
            let behind = match behind {
                0 => String::new(),
                1 => ", and keeps the good record behind it".to_owned(),
                more => format!(", and keeps the {more} good records behind it"),
            };
            format!(
                " (mounted read-only at the state before; --repair GIVES UP what this record alone says{behind}: copy the image first)"
            )
        }
        (_, Wrong::Unreachable) => " (--repair gives it a name in /lost+found)".to_owned(),
        (_, Wrong::DoublyOwned) => " (--repair gives each its own copy)".to_owned(),
        _ => " (--repair puts it right)".to_owned(),
    }
}

fn remedy_of_refusal(refused: MountError) -> &'static str {
    match refused {
        MountError::Truncated { .. } => ": bring back the missing end, or make the file as long again ('truncate -s')",
        MountError::Damaged(damage) => match damage.what {
            Wrong::Superblocks => " (--repair looks whether the log agrees with what is left of them)",
            Wrong::SuperblockField => "",
            _ => " (--repair looks for what can be read)",
        },
        _ => "",
    }
}
