//! fsck: everything that can be said against an image, without changing it.

use alloc::vec::Vec;
use core::fmt;

use pmem::medium::Medium;
use units::{BlockNr, ByteLen, FileOff, Ino, PmOff};

use crate::badlist;
use crate::error::{MountError, Wrong};
use crate::extents::ExtentState;
use crate::format::BLOCK;
use crate::hurt::{self, Hurt};
use crate::iomap::IomapKind;
use crate::replay::{self, Loaded, Repair, Replayed};
use crate::superblock;
use crate::tree::{self, Claims};
use crate::types::Kind;

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
    /// Records replayed.
    pub records: u64,
    /// Good records behind a damage of the log, which a mount does not show and a repair gives up.
    pub behind: u64,
    /// Blocks in the file system.
    pub blocks: u64,
    /// Blocks that hold file data.
    pub data_blocks: u64,
    /// Blocks of the log.
    pub log_blocks: u64,
    /// Extents of all files.
    pub extents: u64,
    /// Sectors on the medium's list of bad blocks.
    pub bad_sectors: u64,
    /// Whose they are.
    pub hurt: Vec<Hurt>,
    /// Files with something else than zeros behind their end in their last block: no harm, a program that shared the file
    /// stored there, and who makes the file longer makes them zeros. No call of the file system leaves any.
    pub ragged: u64,
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
    /// As a power cut leaves it: the last record, the header that was stored with it, or a superblock is on the medium in one
    /// copy of two, and the other is older or in between. Nothing is lost, and the next mount stores the other.
    Unfinished,
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

    /// Whether nothing is wrong but what a power cut leaves.
    pub fn is_sound(&self) -> bool {
        let unfinished = self.findings.iter().all(|finding| finding.severity == Severity::Unfinished);
        self.refused.is_none() && self.left_out == 0 && unfinished
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

impl Report {
    fn note(&mut self, severity: Severity, what: Wrong, at: Option<PmOff>, ino: Option<Ino>) {
        if self.findings.len() < Self::MOST {
            self.findings.push(Finding { severity, what, at, ino });
        } else {
            self.left_out += 1;
        }
    }
}

/// Examines what lies on `medium`.
pub(crate) fn check(medium: &impl Medium) -> Report {
    let mut report = Report::default();
    let replayed = match replay::replay(medium) {
        Ok(replayed) => replayed,
        Err(error) => {
            report.refused = Some(error);
            return report;
        }
    };
    for repair in &replayed.repairs {
        report.note(severity(medium, &replayed, repair), repair.what, Some(repair.at), None);
    }
    if let Some(damage) = replayed.damage {
        report.note(Severity::Error, damage.what, Some(damage.at), None);
        report.behind = replayed.behind;
    }
    if let Err(damage) = tree::owned(&replayed) {
        let contested = Claims::of(&replayed.log, &replayed.inodes).contested;
        for (ino, extent) in &contested {
            let at = BlockNr::new(extent.start).base();
            report.note(Severity::Error, Wrong::DoublyOwned, Some(at), Some(Ino::new(*ino)));
        }
        if contested.is_empty() {
            // The log has a block twice.
            report.note(Severity::Error, damage.what, Some(damage.at), None);
        }
    }
    if !badlist::copies_agree(medium) {
        report.note(Severity::Repairable, Wrong::BadListCopy, None, None);
    }
    medium.each_bad(&mut |range| report.bad_sectors += range.count);
    report.hurt = hurt::of_loaded(medium, &replayed.log, &replayed.inodes);
    report.records = replayed.records;
    report.blocks = replayed.superblock.blocks.get();
    report.log_blocks = replayed.log.iter().map(|run| run.blocks).sum();
    tree::survey(&replayed.inodes, |what, ino| report.note(Severity::Error, what, None, Some(Ino::new(ino))));
    for (ino, loaded) in replayed.inodes.iter() {
        check_inode(medium, ino, loaded, &mut report);
    }
    report
}

/// How bad a bad copy is: all words of what was stored last may be missing, but none of them is unreadable.
fn severity(medium: &impl Medium, replayed: &Replayed, repair: &Repair) -> Severity {
    let last = repair.stored_with.is_some_and(|seq| seq + 1 >= replayed.tail.seq) && replayed.damage.is_none();
    let readable = medium.check(repair.at, ByteLen::new(repair.bytes.len() as u64)).is_ok();
    let published = || {
        repair.what == Wrong::SuperblockCopy && superblock::is_half_published(medium, repair.at, &replayed.superblock)
    };
    if readable && (last || published()) { Severity::Unfinished } else { Severity::Repairable }
}

/// One inode's own content.
fn check_inode(medium: &impl Medium, ino: u64, loaded: &Loaded, report: &mut Report) {
    let ino = Some(Ino::new(ino));
    match loaded.meta.kind {
        Kind::Directory => report.directories += 1,
        Kind::Symlink => {
            report.symlinks += 1;
            if loaded.target.is_empty() {
                report.note(Severity::Error, Wrong::WrongContent, None, ino);
            }
        }
        Kind::File => {
            report.files += 1;
            report.data_blocks += loaded.extents.blocks();
            report.extents += loaded.extents.count();
            // Blocks kept for what will be written there (`KEEP_SIZE`) are unwritten.
            let mut behind = loaded.extents.from(loaded.meta.size.div_ceil(BLOCK));
            if behind.any(|extent| extent.state == ExtentState::Written) {
                report.note(Severity::Error, Wrong::BeyondEnd, None, ino);
            }
            report.ragged += u64::from(!tail_is_zero(medium, loaded));
        }
    }
}

/// Whether the bytes behind the end of a file, in its last block, are zero.
fn tail_is_zero(medium: &impl Medium, loaded: &Loaded) -> bool {
    let size = loaded.meta.size;
    let map = loaded.extents.map(FileOff::new(size));
    if size.is_multiple_of(BLOCK) || map.kind != IomapKind::Mapped {
        return true;
    }
    let mut bytes = [0; BLOCK as usize];
    let tail = &mut bytes[..(BLOCK - size % BLOCK) as usize];
    // A bad block is data's own matter.
    medium.load(map.addr, tail).is_err() || tail.iter().all(|&byte| byte == 0)
}
