//! fsck: everything that can be said against an image, without changing it.

use alloc::vec::Vec;
use core::fmt;

use units::{Ino, PmOff};

use crate::error::{MountError, Wrong};

/// What an examination found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Why the image cannot be examined as a Vitrine file system at all.
    pub refused: Option<MountError>,
    /// What is wrong, in the order it was met. At most [`Report::MOST`]; the rest is counted in `left_out`.
    pub findings: Vec<Finding>,
    /// Findings beyond the first [`Report::MOST`].
    pub left_out: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Inodes without a name, which the next mount frees. Not an error: a power cut leaves them.
    pub orphans: u64,
    /// Records replayed.
    pub records: u64,
    /// Blocks in the file system.
    pub blocks: u64,
    /// Blocks that hold file data.
    pub data_blocks: u64,
    /// Blocks of the log.
    pub log_blocks: u64,
    /// Extents of all files.
    pub extents: u64,
}

/// One thing that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whether a mount heals it.
    pub severity: Severity,
    /// What is wrong.
    pub what: Wrong,
    /// Where on the medium, if there is one place.
    pub at: Option<PmOff>,
    /// The inode concerned, if there is one.
    pub ino: Option<Ino>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// A second copy is good; the next mount, or `fsck --repair`, rewrites the bad one.
    Repairable,
    /// Something is lost or contradicts itself.
    Error,
}

impl Report {
    /// Findings kept at most, so that a hostile image cannot fill memory.
    pub const MOST: usize = 1000;

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.refused.is_none() && self.findings.is_empty()
    }

    /// Whether something is wrong that a mount does not heal.
    pub fn has_errors(&self) -> bool {
        self.refused.is_some() || self.left_out > 0 || self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(ino) = self.ino {
            write!(f, ", inode {}", ino.get())?;
        }
        if let Some(at) = self.at {
            write!(f, ", byte {:#x}", at.get())?;
        }
        Ok(())
    }
}
