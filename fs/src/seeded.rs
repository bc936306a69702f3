//! Bugs that tests put in on purpose, a switch each: what the crash exploration has to find (`docs/CRASH.md`).
//!
//! Only its own tests build the crate with the feature `seeded-bugs`; `tests/house.sh` sees that nobody else does. Without
//! it [`seeded`] is `false` at compile time, and nothing of a switch is left. With it a test plants one bug at a time, for
//! its own thread.

/// A known bug, named after what the code does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    // Writing.
    /// A record is stored before the fence of the data it names.
    RecordBeforeData,
    /// A write goes to the blocks that it replaces.
    UpdateInPlace,
    /// The blocks that a write replaces are free before its record.
    EarlyReuse,
    /// Blocks that a pin sees are free.
    PinIgnored,
    /// The bytes behind the end of a write, in its last block, are not copied.
    EdgeNotCopied,
    /// A truncate leaves the bytes behind the new end as they were.
    TailNotZeroed,
    /// Size and times go in a record of their own, before that of the mapping.
    SizeBeforeData,
    /// Extent blocks are stored behind the data's fence and without one of their own.
    ListUnfenced,
    /// One copy of an extent block is not written.
    OneCopyOfList,
    /// Blocks that were only allocated are recorded as written.
    AllocatedAsWritten,
    /// The data of a file without a name is not waited for.
    UnnamedDataUnfenced,
    /// The record that gives a file its first name does not say where its data is.
    FirstNameWithoutMapping,
    // Names.
    /// A record has a new name, and not the inode it leads to.
    EntryWithoutInode,
    /// A record of one more name has the number of links there was.
    WrongLinkCount,
    /// The record of a rename has the new name only.
    LostRenameHalf,
    /// The record of an exchange brings one name back to nothing.
    LostExchangeHalf,
    /// A directory that moves is not counted where it comes to.
    DirectoryNotCounted,
    /// A record does not have the times of the directory.
    DirectoryTimesLost,
    // Space.
    /// What grows takes the reserve.
    ReserveIgnored,
    /// A file without name and handle keeps its blocks.
    OrphanNotFreed,
    // The log.
    /// The second copy of a record is not written.
    OneCopyOfRecord,
    /// The log goes on in a segment whose header is not written.
    TurnWithoutHeader,
    // Checkpoints.
    /// A new log counts before it has everything.
    FlipTooEarly,
    /// A new log counts before it is durable.
    FlipBeforeLog,
    /// The two superblocks are written at once.
    SuperblocksAtOnce,
    /// The blocks of the old log are free while it counts.
    LogFreedEarly,
    /// What happens during a checkpoint is not in the new log.
    NotRepeated,
    /// The generation of a checkpoint that was cut is used again.
    GenerationUsedAgain,
    // Mounting.
    /// Any record will do that begins like one.
    CrcNotChecked,
    /// A record of another generation will do.
    GenerationNotChecked,
    /// A record of another number will do.
    SeqNotChecked,
    /// A record good in its second copy only is none.
    SecondCopyIgnored,
    /// Items add instead of assigning.
    ReplayAdds,
    /// Replay keeps inodes without a link.
    UnlinkedKept,
    /// A bad copy is not rewritten.
    CopyNotRewritten,
    /// What a cut left behind the log's end stays.
    TornNotErased,
}

#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub(crate) const fn seeded(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
pub use planting::plant;
#[cfg(feature = "seeded-bugs")]
pub(crate) use planting::seeded;

#[cfg(feature = "seeded-bugs")]
mod planting {
    use core::cell::Cell;

    use super::Bug;

    std::thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is to be there.
    pub(crate) fn seeded(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// From now on this thread's calls have this bug, and no other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
