//! Memory: protections, kinds of mapping, advice.

bitflags::bitflags! {
    /// `PROT_*`; no bit at all is `PROT_NONE`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Prot: u64 {
        /// Pages may be read.
        const READ = 0x1;
        /// Pages may be written.
        const WRITE = 0x2;
        /// Pages may be executed.
        const EXEC = 0x4;
        /// Pages may hold semaphores; without effect.
        const SEM = 0x8;
        /// Indirect branches must land on a marked instruction.
        const BTI = 0x10;
        /// Memory with allocation tags.
        const MTE = 0x20;
        /// `mprotect`: from the start of a mapping that grows down.
        const GROWSDOWN = 0x0100_0000;
        /// `mprotect`: to the end of a mapping that grows up.
        const GROWSUP = 0x0200_0000;
    }
}

bitflags::bitflags! {
    /// `MAP_*` of `mmap`, without the kind, which is the number in [`MapFlags::TYPE`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MapFlags: u64 {
        /// The bits of the kind: [`MAP_SHARED`], [`MAP_PRIVATE`] or [`MAP_SHARED_VALIDATE`].
        const TYPE = 0x0f;
        /// Exactly at the address, replacing what is there.
        const FIXED = 0x10;
        /// Not of a file.
        const ANONYMOUS = 0x20;
        /// Grows downwards as a stack does.
        const GROWSDOWN = 0x0100;
        /// Ignored.
        const DENYWRITE = 0x0800;
        /// Ignored.
        const EXECUTABLE = 0x1000;
        /// Stays in memory.
        const LOCKED = 0x2000;
        /// No memory is accounted.
        const NORESERVE = 0x4000;
        /// Filled in at the call.
        const POPULATE = 0x8000;
        /// With `POPULATE`: only what needs no waiting.
        const NONBLOCK = 0x1_0000;
        /// Good for a stack.
        const STACK = 0x2_0000;
        /// Of huge pages from a pool.
        const HUGETLB = 0x4_0000;
        /// A store is durable by the program's own cache cleaning.
        const SYNC = 0x8_0000;
        /// Exactly at the address, refused with `EEXIST` when something is there.
        const FIXED_NOREPLACE = 0x10_0000;
    }
}

/// `MAP_SHARED`: stores reach the file.
pub const MAP_SHARED: u64 = 1;
/// `MAP_PRIVATE`: stores stay with the program.
pub const MAP_PRIVATE: u64 = 2;
/// `MAP_SHARED_VALIDATE`: shared, and unknown flags are refused.
pub const MAP_SHARED_VALIDATE: u64 = 3;

bitflags::bitflags! {
    /// `MREMAP_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RemapFlags: u64 {
        /// May move.
        const MAYMOVE = 1;
        /// To exactly this address.
        const FIXED = 2;
        /// The old range stays mapped, empty.
        const DONTUNMAP = 4;
    }
}

bitflags::bitflags! {
    /// `MS_*` of `msync`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SyncFlags: u64 {
        /// Begin, do not wait.
        const ASYNC = 1;
        /// Other mappings see it.
        const INVALIDATE = 2;
        /// Wait until durable.
        const SYNC = 4;
    }
}

/// `MLOCK_ONFAULT` of `mlock2`: lock pages as they come.
pub const MLOCK_ONFAULT: u64 = 1;
/// `MCL_CURRENT` of `mlockall`: all that is mapped.
pub const MCL_CURRENT: u64 = 1;
/// `MCL_FUTURE` of `mlockall`: all that will be mapped.
pub const MCL_FUTURE: u64 = 2;
/// `MCL_ONFAULT` of `mlockall`: lock pages as they come.
pub const MCL_ONFAULT: u64 = 4;

/// `MADV_*`: what a program says it will do with a range.
pub mod madv {
    /// Nothing special.
    pub const NORMAL: u64 = 0;
    /// In random order.
    pub const RANDOM: u64 = 1;
    /// In order.
    pub const SEQUENTIAL: u64 = 2;
    /// Soon.
    pub const WILLNEED: u64 = 3;
    /// No longer; contents are dropped at once.
    pub const DONTNEED: u64 = 4;
    /// No longer; contents may be dropped when memory is short.
    pub const FREE: u64 = 8;
    /// No longer; the file's blocks go as well.
    pub const REMOVE: u64 = 9;
    /// A forked child does not get it.
    pub const DONTFORK: u64 = 10;
    /// Undoes `DONTFORK`.
    pub const DOFORK: u64 = 11;
    /// Equal pages may be shared.
    pub const MERGEABLE: u64 = 12;
    /// Undoes `MERGEABLE`.
    pub const UNMERGEABLE: u64 = 13;
    /// Worth huge pages.
    pub const HUGEPAGE: u64 = 14;
    /// Not worth huge pages.
    pub const NOHUGEPAGE: u64 = 15;
    /// Left out of a core dump.
    pub const DONTDUMP: u64 = 16;
    /// Undoes `DONTDUMP`.
    pub const DODUMP: u64 = 17;
    /// A forked child finds zeros.
    pub const WIPEONFORK: u64 = 18;
    /// Undoes `WIPEONFORK`.
    pub const KEEPONFORK: u64 = 19;
    /// Not soon.
    pub const COLD: u64 = 20;
    /// Push out now.
    pub const PAGEOUT: u64 = 21;
    /// Fill in for reading.
    pub const POPULATE_READ: u64 = 22;
    /// Fill in for writing.
    pub const POPULATE_WRITE: u64 = 23;
    /// As `DONTNEED`, locked pages too.
    pub const DONTNEED_LOCKED: u64 = 24;
    /// Put huge pages together now.
    pub const COLLAPSE: u64 = 25;
}
