//! Programs and threads: `clone`, `wait4`, futexes, limits, names.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::time::Timeval;

bitflags::bitflags! {
    /// `CLONE_*`, with the exit signal in the lowest byte: [`CloneFlags::CSIGNAL`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct CloneFlags: u64 {
        /// The signal the parent gets when the child ends.
        const CSIGNAL = 0xff;
        /// One address space.
        const VM = 0x0000_0100;
        /// One working directory.
        const FS = 0x0000_0200;
        /// One table of descriptors.
        const FILES = 0x0000_0400;
        /// One table of handlers.
        const SIGHAND = 0x0000_0800;
        /// A descriptor for the child.
        const PIDFD = 0x0000_1000;
        /// Traced as the parent is.
        const PTRACE = 0x0000_2000;
        /// The parent waits until the child runs another program or ends.
        const VFORK = 0x0000_4000;
        /// A sibling, not a child.
        const PARENT = 0x0000_8000;
        /// A thread of the same process.
        const THREAD = 0x0001_0000;
        /// A namespace of mounts.
        const NEWNS = 0x0002_0000;
        /// Semaphore undo lists shared.
        const SYSVSEM = 0x0004_0000;
        /// `TPIDR_EL0` of the child is given.
        const SETTLS = 0x0008_0000;
        /// The child's id is stored in the parent.
        const PARENT_SETTID = 0x0010_0000;
        /// The child's id is cleared and its waiters woken when it ends.
        const CHILD_CLEARTID = 0x0020_0000;
        /// Ignored.
        const DETACHED = 0x0040_0000;
        /// Not to be traced.
        const UNTRACED = 0x0080_0000;
        /// The child's id is stored in the child.
        const CHILD_SETTID = 0x0100_0000;
        /// A namespace of control groups.
        const NEWCGROUP = 0x0200_0000;
        /// A namespace of host names.
        const NEWUTS = 0x0400_0000;
        /// A namespace of System V objects.
        const NEWIPC = 0x0800_0000;
        /// A namespace of users.
        const NEWUSER = 0x1000_0000;
        /// A namespace of processes.
        const NEWPID = 0x2000_0000;
        /// A namespace of networks.
        const NEWNET = 0x4000_0000;
        /// One context of input and output.
        const IO = 0x8000_0000;
    }
}

/// What `wait4` stores about a child that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The child called `exit(code)`; only the low 8 bits count.
    pub const fn exited(code: i32) -> Self {
        Self((code as u32 & 0xff) << 8)
    }

    /// The child died of `signal`, 1 to 127.
    pub const fn signaled(signal: u32) -> Self {
        Self(signal & 0x7f)
    }

    /// `WEXITSTATUS`, when the child called `exit`.
    pub const fn exit_code(self) -> Option<u8> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8) as u8) } else { None }
    }

    /// `WTERMSIG`, when the child died of a signal.
    pub const fn signal(self) -> Option<u32> {
        let signal = self.0 & 0x7f;
        if signal == 0 || signal == 0x7f { None } else { Some(signal) }
    }

    /// What a shell gives as status: the code, or 128 plus the signal.
    pub const fn shell_status(self) -> u8 {
        match (self.exit_code(), self.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal as u8,
            (None, None) => 128,
        }
    }
}

bitflags::bitflags! {
    /// Options of `wait4` and `waitid`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WaitOptions: u32 {
        /// Do not wait.
        const NOHANG = 1;
        /// Also children that stopped.
        const UNTRACED = 2;
        /// Children that ended; for `waitid`, which otherwise passes them over.
        const EXITED = 4;
        /// Also children that continued.
        const CONTINUED = 8;
        /// The child stays to be waited for.
        const NOWAIT = 0x0100_0000;
        /// Not children of other threads.
        const NOTHREAD = 0x2000_0000;
        /// All children.
        const ALL = 0x4000_0000;
        /// Only children made by `clone` with another exit signal than `SIGCHLD`.
        const CLONE = 0x8000_0000;
    }
}

/// What the number given to `waitid` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdType {
    /// `P_ALL`: nothing.
    All,
    /// `P_PID`: a process.
    Pid,
    /// `P_PGID`: a process group.
    Group,
}

impl IdType {
    /// The kind of number `kind` stands for.
    pub const fn of(kind: u32) -> Option<Self> {
        match kind {
            0 => Some(Self::All),
            1 => Some(Self::Pid),
            2 => Some(Self::Group),
            _ => None,
        }
    }
}

/// Futex operations: the number under [`futex::CMD_MASK`], and flags.
pub mod futex {
    /// Sleep while the word has this value.
    pub const WAIT: u32 = 0;
    /// Wake so many.
    pub const WAKE: u32 = 1;
    /// Wake some, move the rest to another word.
    pub const REQUEUE: u32 = 3;
    /// The same, if the word has this value.
    pub const CMP_REQUEUE: u32 = 4;
    /// Change a second word, wake on both.
    pub const WAKE_OP: u32 = 5;
    /// Lock with priority inheritance.
    pub const LOCK_PI: u32 = 6;
    /// Unlock with priority inheritance.
    pub const UNLOCK_PI: u32 = 7;
    /// As `WAIT`, with an absolute time and a mask.
    pub const WAIT_BITSET: u32 = 9;
    /// As `WAKE`, those whose mask meets this one.
    pub const WAKE_BITSET: u32 = 10;
    /// Only this process uses the word.
    pub const PRIVATE_FLAG: u32 = 128;
    /// The time is of `CLOCK_REALTIME`.
    pub const CLOCK_REALTIME: u32 = 256;
    /// The bits of the operation itself.
    pub const CMD_MASK: u32 = !(PRIVATE_FLAG | CLOCK_REALTIME);
    /// The mask that meets every other.
    pub const BITSET_MATCH_ANY: u32 = u32::MAX;
    /// In a robust word: its owner died.
    pub const OWNER_DIED: u32 = 0x4000_0000;
    /// In a robust word: somebody waits.
    pub const WAITERS: u32 = 0x8000_0000;
    /// In a robust word: the owner's thread id.
    pub const TID_MASK: u32 = 0x3fff_ffff;
}

/// `struct robust_list_head`, whose size `set_robust_list` insists on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RobustListHead {
    /// Address of the first entry.
    pub next: u64,
    /// From an entry to its futex word, in bytes.
    pub futex_offset: i64,
    /// An entry about to be added or taken out.
    pub pending: u64,
}

/// `struct utsname`: six names of up to 64 bytes, each ended by 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Utsname {
    /// The system.
    pub sysname: [u8; 65],
    /// The machine on the network.
    pub nodename: [u8; 65],
    /// Version of the ABI.
    pub release: [u8; 65],
    /// Build.
    pub version: [u8; 65],
    /// CPU.
    pub machine: [u8; 65],
    /// Domain.
    pub domainname: [u8; 65],
}

impl Utsname {
    /// A field holding `text`, cut to 64 bytes.
    pub const fn field(text: &str) -> [u8; 65] {
        let mut field = [0; 65];
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && at < 64 {
            field[at] = bytes[at];
            at += 1;
        }
        field
    }

    /// What a field holds.
    pub fn text(field: &[u8; 65]) -> &str {
        let bytes = field.split(|&byte| byte == 0).next().unwrap_or(field);
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

/// `struct sysinfo`: sizes in units of `mem_unit` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sysinfo {
    /// Seconds since boot.
    pub uptime: i64,
    /// How many tasks were ready over 1, 5 and 15 minutes, times 65,536.
    pub loads: [u64; 3],
    /// Memory.
    pub totalram: u64,
    /// That nobody has.
    pub freeram: u64,
    /// In files of memory.
    pub sharedram: u64,
    /// In buffers.
    pub bufferram: u64,
    /// Swap.
    pub totalswap: u64,
    /// That nobody has.
    pub freeswap: u64,
    /// Threads.
    pub procs: u16,
    /// Always 0.
    pub pad: [u16; 3],
    /// Memory that the kernel does not map.
    pub totalhigh: u64,
    /// That nobody has.
    pub freehigh: u64,
    /// Bytes in a unit.
    pub mem_unit: u32,
    /// Always 0.
    pub tail: u32,
}

/// `struct rlimit64`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rlimit64 {
    /// The limit that holds.
    pub cur: u64,
    /// How far it may be raised.
    pub max: u64,
}

/// `RLIMIT_*`.
pub mod rlimit {
    /// CPU time in seconds.
    pub const CPU: u32 = 0;
    /// Largest file.
    pub const FSIZE: u32 = 1;
    /// Data segment.
    pub const DATA: u32 = 2;
    /// Stack.
    pub const STACK: u32 = 3;
    /// Core dump.
    pub const CORE: u32 = 4;
    /// Resident memory.
    pub const RSS: u32 = 5;
    /// Processes.
    pub const NPROC: u32 = 6;
    /// Open files.
    pub const NOFILE: u32 = 7;
    /// Locked memory.
    pub const MEMLOCK: u32 = 8;
    /// Address space.
    pub const AS: u32 = 9;
    /// File locks.
    pub const LOCKS: u32 = 10;
    /// Pending signals.
    pub const SIGPENDING: u32 = 11;
    /// Bytes in message queues.
    pub const MSGQUEUE: u32 = 12;
    /// Nice.
    pub const NICE: u32 = 13;
    /// Real-time priority.
    pub const RTPRIO: u32 = 14;
    /// Real-time run in microseconds.
    pub const RTTIME: u32 = 15;
    /// How many limits there are.
    pub const COUNT: u32 = 16;
    /// `RLIM64_INFINITY`: no limit.
    pub const INFINITY: u64 = u64::MAX;
}

/// Bits of `personality`, as far as they mean something here.
pub mod persona {
    /// New programs look for room upwards (`ADDR_COMPAT_LAYOUT`).
    pub const ADDR_COMPAT_LAYOUT: u32 = 0x0020_0000;
    /// Memory that can be read can be executed (`READ_IMPLIES_EXEC`).
    pub const READ_IMPLIES_EXEC: u32 = 0x0040_0000;
    /// Addresses are handed out below 4 GiB (`ADDR_LIMIT_32BIT`).
    pub const ADDR_LIMIT_32BIT: u32 = 0x0080_0000;
    /// The bits of the kind of program (`PER_MASK`).
    pub const KIND: u32 = 0xff;
    /// A 32-bit program of Linux (`PER_LINUX32`).
    pub const LINUX32: u32 = 8;
    /// Asks, and sets nothing.
    pub const QUERY: u32 = 0xffff_ffff;
}

/// `struct rusage`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rusage {
    /// Time in EL0.
    pub utime: Timeval,
    /// Time in the kernel.
    pub stime: Timeval,
    /// Most memory resident, in KiB.
    pub maxrss: i64,
    /// Unused.
    pub ixrss: i64,
    /// Unused.
    pub idrss: i64,
    /// Unused.
    pub isrss: i64,
    /// Faults served without input.
    pub minflt: i64,
    /// Faults that waited for input.
    pub majflt: i64,
    /// Unused.
    pub nswap: i64,
    /// Blocks read.
    pub inblock: i64,
    /// Blocks written.
    pub oublock: i64,
    /// Unused.
    pub msgsnd: i64,
    /// Unused.
    pub msgrcv: i64,
    /// Unused.
    pub nsignals: i64,
    /// Times it gave up the CPU.
    pub nvcsw: i64,
    /// Times the CPU was taken.
    pub nivcsw: i64,
}

/// `struct tms`: times in ticks of a hundredth of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tms {
    /// In EL0.
    pub utime: i64,
    /// In the kernel.
    pub stime: i64,
    /// In EL0, of children waited for.
    pub cutime: i64,
    /// In the kernel, of children waited for.
    pub cstime: i64,
}

/// `RUSAGE_SELF`: the process.
pub const RUSAGE_SELF: i32 = 0;
/// `RUSAGE_CHILDREN`: children waited for.
pub const RUSAGE_CHILDREN: i32 = -1;
/// `RUSAGE_THREAD`: the thread.
pub const RUSAGE_THREAD: i32 = 1;

/// `GRND_NONBLOCK` of `getrandom`: do not wait for entropy.
pub const GRND_NONBLOCK: u32 = 1;
/// `GRND_RANDOM` of `getrandom`: from the other pool.
pub const GRND_RANDOM: u32 = 2;
/// `GRND_INSECURE` of `getrandom`: also before there is entropy.
pub const GRND_INSECURE: u32 = 4;

crate::sizes! { RobustListHead = 24, Utsname = 390, Sysinfo = 112, Rlimit64 = 16, Rusage = 144, Tms = 32, WaitStatus = 4, }

/// Options of `prctl`.
pub mod prctl {
    /// `PR_PAC_RESET_KEYS`: new keys of pointer authentication for the calling thread.
    pub const PAC_RESET_KEYS: u64 = 54;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_tells_exit_from_signal() {
        let exited = WaitStatus::exited(0x1ff);
        assert_eq!((exited.exit_code(), exited.signal(), exited.shell_status()), (Some(255), None, 255));
        let died = WaitStatus::signaled(crate::signal::SIGSEGV);
        assert_eq!((died.exit_code(), died.signal(), died.shell_status()), (None, Some(11), 139));
    }

    #[test]
    fn utsname_fields_end_in_zero() {
        let long = [b'x'; 80];
        let field = Utsname::field(core::str::from_utf8(&long).unwrap());
        assert_eq!((field[63], field[64]), (b'x', 0));
        assert_eq!(Utsname::field("Linux")[..6], *b"Linux\0");
    }
}
