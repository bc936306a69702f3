//! `vitrine badblock`: the list of bad blocks that an image carries.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use fs::{Access, Fs, Hurt, MountError, Report};
use pmem::badblocks::BadblocksError;
use pmem::medium::Medium;
use units::{SECTOR_SIZE, Sector};

use crate::cli::{Badblock, BadblockCommand, Sectors};
use crate::image::{finish, open};
use crate::json;
use crate::medium::ImageMedium;

/// `SECTOR[+N]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectorRun {
    start: u64,
    count: u64,
}

impl FromStr for SectorRun {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, count) = text.split_once('+').unwrap_or((text, "1"));
        let number = |digits: &str| match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            None => None,
        };
        match (number(start), number(count)) {
            (Some(start), Some(count)) if count > 0 => Ok(Self { start, count }),
            _ => Err("wants a sector, or SECTOR+N for N of them".to_owned()),
        }
    }
}

/// Does what was asked.
pub(crate) fn run(args: &Badblock) -> Result<()> {
    match &args.what {
        BadblockCommand::Add(Sectors { image, sectors }) => {
            change(image, |medium| medium.set_bad(Sector::new(sectors.start), sectors.count))
        }
        BadblockCommand::Clear(Sectors { image, sectors }) => {
            change(image, |medium| medium.clear_bad(Sector::new(sectors.start), sectors.count))
        }
        BadblockCommand::List(list) => {
            let (medium, report) = ours(&list.image, Access::ReadOnly)?;
            if list.json {
                println!("{}", json::hurt(&report.hurt));
            } else if report.refused.is_some() {
                // Whose they are nobody can say.
                medium.each_bad(&mut |range| println!("{}+{}", range.start.get(), range.count));
            } else {
                report.hurt.iter().for_each(|hurt| println!("{}", shown(hurt)));
            }
            Ok(())
        }
    }
}

/// `SECTOR+N`, and whose that is.
pub(crate) fn shown(hurt: &Hurt) -> String {
    format!("{}+{} {}", hurt.range.start.get(), hurt.range.count, hurt.holder)
}

/// An image of ours: another file has no place for a list.
fn ours(path: &Path, access: Access) -> Result<(ImageMedium, Report)> {
    let medium = open(path, access)?;
    let report = Fs::check(&medium);
    match report.refused {
        Some(refused @ (MountError::Foreign | MountError::Version { .. } | MountError::Features { .. })) => {
            Err(refused).with_context(|| path.display().to_string())
        }
        _ => Ok((medium, report)),
    }
}

fn change(path: &Path, change: impl Fn(&ImageMedium) -> Result<bool, BadblocksError>) -> Result<()> {
    let (medium, _) = ours(path, Access::ReadWrite)?;
    let shown = path.display();
    match change(&medium) {
        Ok(true) => finish(path, &medium),
        Ok(false) => {
            finish(path, &medium)?;
            bail!("{shown}: the image has no room for a longer list of bad blocks")
        }
        Err(BadblocksError::PastEnd) => {
            bail!("{shown}: these sectors do not all lie on the image, which has {}", medium.len().get() / SECTOR_SIZE)
        }
        Err(BadblocksError::OutOfMemory) => bail!("out of memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_numbers_and_nothing_else() {
        let run = |start, count| Ok(SectorRun { start, count });
        assert_eq!("12".parse(), run(12, 1));
        assert_eq!("0x10+8".parse(), run(16, 8));
        for wrong in ["", "+", "1+", "+1", "1+0", "-1", "1+-1", "1+1+1", "x", "99999999999999999999"] {
            assert!(wrong.parse::<SectorRun>().is_err(), "{wrong}");
        }
    }
}
