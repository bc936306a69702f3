//! fsck --repair: a medium that cannot be mounted, or only for reading, made one that can.
//!
//! Nothing of what is found is overwritten. All that can be read is read, damaged records passed over, and put right in memory
//! ([`mend`]), and recorded as a new log in blocks that nobody has: one checkpoint. Until the superblock
//! names that, everything is as it was, whatever happens; what was repaired once is clean the next time.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pmem::medium::Medium;
use pmem::order::{self, Batch};
use units::{BlockNr, Ino};

use crate::error::{Error, MountError, Wrong};
use crate::extents::{Extent, ExtentState};
use crate::format::{BLOCK, ROOT};
use crate::mend::{self, Mend};
use crate::recover;
use crate::replay::{self, Reading, Replayed};
use crate::space::{FreeSpace, Near, Purpose, Run, Wish};
use crate::superblock::{self, Found};
use crate::table::Table;
use crate::tree::{self, Claims};
use crate::types::{Mount, Time};
use crate::volume::{Fs, Log, State};

/// Why a medium was not repaired; nothing has changed but for copies rewritten from their good twins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepairError {
    /// There is nothing to go on from.
    Refused(MountError),
    /// There is no room for the copies of blocks with two owners, or for a new log.
    NoSpace,
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::NoSpace => f.write_str("no room to write what was put right beside what is there"),
        }
    }
}

impl core::error::Error for RepairError {}

impl From<MountError> for RepairError {
    fn from(error: MountError) -> Self {
        Self::Refused(error)
    }
}

impl<M: Medium> Fs<M> {
    /// Puts right what can be put right, and mounts; answers what that was, in order. What is lost is among it. A file that a
    /// mount for reading showed is as it was; but for damage in the middle of the log, where it is as the later records say. `now` is the time of what is made.
    ///
    /// # Errors
    /// [`RepairError`].
    pub fn repair(medium: M, now: Time) -> Result<(Arc<Self>, Vec<Mend>), RepairError> {
        let mut done = Vec::new();
        let mut replayed = salvage(&medium, &mut done)?;
        once(&mut replayed, &mut done);
        for repair in &replayed.repairs {
            done.push(Mend::Copy(repair.what, Some(repair.at)));
        }
        if !crate::badlist::copies_agree(&medium) {
            done.push(Mend::Copy(Wrong::BadListCopy, None));
        }
        let copies = done.iter().filter(|mend| matches!(mend, Mend::Copy(..))).count();
        mend::names(&mut replayed, now, &mut done);
        mend::ends(&mut replayed.inodes, &mut done);
        share_nothing(&medium, &mut replayed, &mut done)?;
        let owned = Claims::of(&replayed.log, &replayed.inodes).into_owned();
        let reached = tree::survey(&replayed.inodes, |_, _| {});
        let log = if done.len() > copies { Log::IsReplaced } else { Log::GoesOn };
        let fs = Self::assemble(medium, State { replayed, owned, reached, damage: None, log }, Mount::default());
        if log == Log::IsReplaced {
            // All of it has happened when the superblock names the new log.
            fs.volume().compact().map_err(|_| RepairError::NoSpace)?;
        }
        Ok((fs, done))
    }
}

/// Reads as much as there is to read.
fn salvage<M: Medium>(medium: &M, done: &mut Vec<Mend>) -> Result<Replayed, MountError> {
    let found = match superblock::find(medium) {
        Err(MountError::Damaged(damage)) if damage.what == Wrong::Superblocks => {
            let found = guessed(medium).ok_or(MountError::Damaged(damage))?;
            done.push(Mend::Superblock);
            found
        }
        found => found?,
    };
    let strict = replay::read(medium, &found, Reading::Strict);
    let damage = match &strict {
        Ok(Replayed { damage: Some(damage), .. }) | Err(MountError::Damaged(damage)) => *damage,
        _ => return strict,
    };
    let mut replayed = replay::read(medium, &found, Reading::Salvage)?;
    let whole = replayed.missing == 0 && replayed.incomplete.is_empty() && damage.what == Wrong::Segment;
    done.push(if whole { Mend::Headers } else { Mend::PassedOver(damage, replayed.missing) });
    mend::latest(&mut replayed, done);
    let incomplete = core::mem::take(&mut replayed.incomplete);
    done.extend(incomplete.into_iter().map(|ino| Mend::Incomplete(Ino::new(ino))));
    Ok(replayed)
}

/// A superblock made of what is left of both copies, if the log is where it says and knows its salt.
fn guessed<M: Medium>(medium: &M) -> Option<Found> {
    superblock::guesses(medium).find_map(|superblock| {
        let found = Found { superblock, bad: Vec::new() };
        let replayed = replay::read(medium, &found, Reading::Strict).ok()?;
        (replayed.records > 0 && replayed.inodes.get(ROOT).is_some()).then_some(found)
    })
}

/// Counts each of the log's blocks once, however often it is named.
fn once(replayed: &mut Replayed, done: &mut Vec<Mend>) {
    let blocks = |runs: &[Run]| runs.iter().map(|run| run.blocks).sum::<u64>();
    let log = Claims::of(&replayed.log, &Table::default()).into_owned();
    if blocks(&log) != blocks(&replayed.log) {
        done.push(Mend::Log);
    }
    replayed.log = log;
}

/// Gives every file that has another's blocks copies of its own.
fn share_nothing<M: Medium>(medium: &M, replayed: &mut Replayed, done: &mut Vec<Mend>) -> Result<(), RepairError> {
    let contested = mend::contested(replayed);
    if contested.is_empty() {
        return Ok(());
    }
    let owned = Claims::of(&replayed.log, &replayed.inodes).into_owned();
    let total = replayed.superblock.blocks.get();
    let mut space = FreeSpace::new(total, recover::sort(medium, tree::gaps(&owned, total)).good);
    let mut stores = Batch::new();
    for (ino, extent) in contested {
        // What was never written reads as zeros without a block, too.
        if extent.state == ExtentState::Unwritten {
            done.push(Mend::Unwritten(Ino::new(ino), extent.blocks.into()));
            continue;
        }
        let mut fresh = Vec::new();
        let wish = Wish {
            blocks: extent.blocks.into(),
            file: extent.file,
            near: Near::default(),
            purpose: Purpose::Checkpoint,
        };
        space.take(wish, |run| fresh.push(run)).map_err(|_: Error| RepairError::NoSpace)?;
        let to = fresh.iter().flat_map(|run| run.start.get()..run.start.get() + run.blocks);
        let (mut copied, mut lost) = (0, 0);
        for (index, to) in (0..u64::from(extent.blocks)).zip(to) {
            let mut bytes = [0; BLOCK as usize];
            if medium.load(BlockNr::new(extent.start + index).base(), &mut bytes).is_err() {
                lost += 1;
                continue;
            }
            stores.add(order::store(medium, BlockNr::new(to).base(), &bytes).clean(medium));
            copied += 1;
            let file = extent.file + index;
            let copy = Extent { file, start: to, blocks: 1, birth: 0, state: ExtentState::Written };
            if let Some(loaded) = replayed.inodes.get_mut(ino) {
                loaded.extents.replace((file, file + 1), &[copy], None, drop);
            }
        }
        let ino = Ino::new(ino);
        done.extend((copied > 0).then_some(Mend::Copied(ino, copied)));
        done.extend((lost > 0).then_some(Mend::Unreadable(ino, lost)));
    }
    let _ = stores.fence(medium);
    Ok(())
}
