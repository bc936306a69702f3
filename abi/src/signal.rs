//! Signals: numbers, sets, dispositions, and what a handler is told.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! signals {
    ($($number:literal $name:ident $text:literal,)*) => {
        $(
            #[doc = concat!($text, ": signal ", stringify!($number), ".")]
            pub const $name: u32 = $number;
        )*

        /// What a shell prints when a program died of `signal`, such as `Segmentation fault`.
        pub const fn text(signal: u32) -> Option<&'static str> {
            match signal {
                $($number => Some($text),)*
                _ => None,
            }
        }
    };
}

// number NAME "sentence of strsignal"
signals! {
    1 SIGHUP "Hangup",
    2 SIGINT "Interrupt",
    3 SIGQUIT "Quit",
    4 SIGILL "Illegal instruction",
    5 SIGTRAP "Trace/breakpoint trap",
    6 SIGABRT "Aborted",
    7 SIGBUS "Bus error",
    8 SIGFPE "Floating point exception",
    9 SIGKILL "Killed",
    10 SIGUSR1 "User defined signal 1",
    11 SIGSEGV "Segmentation fault",
    12 SIGUSR2 "User defined signal 2",
    13 SIGPIPE "Broken pipe",
    14 SIGALRM "Alarm clock",
    15 SIGTERM "Terminated",
    16 SIGSTKFLT "Stack fault",
    17 SIGCHLD "Child exited",
    18 SIGCONT "Continued",
    19 SIGSTOP "Stopped (signal)",
    20 SIGTSTP "Stopped",
    21 SIGTTIN "Stopped (tty input)",
    22 SIGTTOU "Stopped (tty output)",
    23 SIGURG "Urgent I/O condition",
    24 SIGXCPU "CPU time limit exceeded",
    25 SIGXFSZ "File size limit exceeded",
    26 SIGVTALRM "Virtual timer expired",
    27 SIGPROF "Profiling timer expired",
    28 SIGWINCH "Window changed",
    29 SIGIO "I/O possible",
    30 SIGPWR "Power failure",
    31 SIGSYS "Bad system call",
}

/// `_NSIG`: signals are numbered 1 to this.
pub const COUNT: u32 = 64;
/// The first real-time signal.
pub const SIGRTMIN: u32 = 32;

/// `SIG_DFL` as a handler: the default action.
pub const SIG_DFL: u64 = 0;
/// `SIG_IGN` as a handler: ignore.
pub const SIG_IGN: u64 = 1;

/// `SIG_BLOCK` of `rt_sigprocmask`: add to the mask.
pub const SIG_BLOCK: u32 = 0;
/// `SIG_UNBLOCK` of `rt_sigprocmask`: take from the mask.
pub const SIG_UNBLOCK: u32 = 1;
/// `SIG_SETMASK` of `rt_sigprocmask`: replace the mask.
pub const SIG_SETMASK: u32 = 2;

bitflags::bitflags! {
    /// `SA_*`: how a handler is called.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SaFlags: u64 {
        /// No `SIGCHLD` when a child stops.
        const NOCLDSTOP = 0x1;
        /// Children leave no zombie.
        const NOCLDWAIT = 0x2;
        /// The handler takes a [`Siginfo`].
        const SIGINFO = 0x4;
        /// Bits unknown to the kernel are cleared in what it returns.
        const UNSUPPORTED = 0x400;
        /// Address tags are kept in the fault address.
        const EXPOSE_TAGBITS = 0x800;
        /// `restorer` is set.
        const RESTORER = 0x0400_0000;
        /// On the alternate stack.
        const ONSTACK = 0x0800_0000;
        /// Interrupted calls begin again.
        const RESTART = 0x1000_0000;
        /// The signal itself is not blocked meanwhile.
        const NODEFER = 0x4000_0000;
        /// Back to the default once delivered.
        const RESETHAND = 0x8000_0000;
    }
}

/// `sigset_t` of the kernel: bit n-1 is signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Sigset(pub u64);

impl Sigset {
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Those that the instruction under way has caused: they are taken before others (`SYNCHRONOUS_MASK`).
    pub const SYNCHRONOUS: Self = Self::of(SIGSEGV).with(SIGBUS).with(SIGILL).with(SIGTRAP).with(SIGFPE).with(SIGSYS);
    /// The two that can neither be blocked nor handled.
    pub const UNBLOCKABLE: Self = Self::of(SIGKILL).with(SIGSTOP);

    /// The set of one signal; empty when `signal` is none.
    pub const fn of(signal: u32) -> Self {
        if signal >= 1 && signal <= COUNT { Self(1 << (signal - 1)) } else { Self(0) }
    }

    /// This set and `signal`.
    pub const fn with(self, signal: u32) -> Self {
        Self(self.0 | Self::of(signal).0)
    }

    /// This set and `other`.
    pub const fn with_all(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest signal in it.
    pub const fn first(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() + 1) }
    }

    /// Whether `signal` is in the set.
    pub const fn contains(self, signal: u32) -> bool {
        self.0 & Self::of(signal).0 != 0
    }
}

/// `struct sigaction` of the kernel (C libraries have one of their own).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sigaction {
    /// Address of the handler, [`SIG_DFL`] or [`SIG_IGN`].
    pub handler: u64,
    /// [`SaFlags`].
    pub flags: u64,
    /// Where a handler returns to, when [`SaFlags::RESTORER`] is set.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: Sigset,
}

/// `stack_t`: the alternate stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalStack {
    /// Lowest address.
    pub sp: u64,
    /// `SS_*`.
    pub flags: u32,
    /// Always 0.
    pub pad: u32,
    /// Bytes.
    pub size: u64,
}

/// `SS_ONSTACK`: running on it now.
pub const SS_ONSTACK: u32 = 1;
/// `SS_DISABLE`: there is none.
pub const SS_DISABLE: u32 = 2;

/// `SS_AUTODISARM`: it is none while a handler runs on it.
pub const SS_AUTODISARM: u32 = 1 << 31;

/// `siginfo_t`: what a handler is told. Which fields there are behind the first three depends on the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Siginfo {
    /// The signal.
    pub signo: i32,
    /// Always 0.
    pub errno: i32,
    /// Why: `SI_*`, `SEGV_*`, `BUS_*`, `CLD_*`, ...
    pub code: i32,
    /// Always 0.
    pub pad: i32,
    /// The union: a fault's address; or the number of a process and its user, then a status or a value.
    pub fields: [u64; 14],
}

impl Siginfo {
    /// `signal` and why, nothing else.
    pub const fn new(signal: u32, code: i32) -> Self {
        Self { signo: signal as i32, errno: 0, code, pad: 0, fields: [0; 14] }
    }

    /// A fault at `address`. For memory errors, 2 to the power of `lost` bytes are gone there.
    pub const fn fault(signal: u32, code: i32, address: u64, lost: u16) -> Self {
        let mut info = Self::new(signal, code);
        info.fields[0] = address;
        info.fields[1] = lost as u64;
        info
    }

    /// Sent by the process `pid`, whose user is root.
    pub const fn sent(signal: u32, code: i32, pid: u32) -> Self {
        let mut info = Self::new(signal, code);
        info.fields[0] = pid as u64;
        info
    }

    /// The child `pid` has changed its state: `code` is `CLD_*`, `status` its exit code or signal.
    pub const fn child(signal: u32, code: i32, pid: u32, status: u32) -> Self {
        let mut info = Self::sent(signal, code, pid);
        info.fields[1] = status as u64;
        info
    }

    /// The same of a child that has had the CPU for so many hundredths of a second.
    pub const fn after_ticks(mut self, ticks: i64) -> Self {
        self.fields[2] = ticks as u64;
        self
    }

    /// The signal's number.
    pub const fn signal(&self) -> u32 {
        self.signo as u32
    }
}

crate::sizes! { Sigset = 8, Sigaction = 32, SignalStack = 24, Siginfo = 128, }

/// `SI_USER`: `kill`.
pub const SI_USER: i32 = 0;
/// `SI_KERNEL`: the kernel itself.
pub const SI_KERNEL: i32 = 0x80;
/// `SI_QUEUE`: `sigqueue`.
pub const SI_QUEUE: i32 = -1;
/// `SI_TKILL`: `tkill` or `tgkill`.
pub const SI_TKILL: i32 = -6;

/// `CLD_EXITED`: the child called `exit`.
pub const CLD_EXITED: i32 = 1;
/// `CLD_KILLED`: the child died of a signal.
pub const CLD_KILLED: i32 = 2;

/// `SEGV_MAPERR`: nothing is mapped there.
pub const SEGV_MAPERR: i32 = 1;
/// `SEGV_ACCERR`: what is mapped does not allow it.
pub const SEGV_ACCERR: i32 = 2;
/// `BUS_ADRALN`: misaligned.
pub const BUS_ADRALN: i32 = 1;
/// `BUS_ADRERR`: beyond the end of the file.
pub const BUS_ADRERR: i32 = 2;
/// `BUS_OBJERR`: the hardware failed.
pub const BUS_OBJERR: i32 = 3;
/// `BUS_MCEERR_AR`: a memory error was met.
pub const BUS_MCEERR_AR: i32 = 4;
/// `ILL_ILLOPC`: no such instruction.
pub const ILL_ILLOPC: i32 = 1;
/// `ILL_ILLOPN`: an operand the instruction refuses.
pub const ILL_ILLOPN: i32 = 2;
/// `TRAP_BRKPT`: a breakpoint instruction.
pub const TRAP_BRKPT: i32 = 1;
/// `FPE_FLTDIV`: divided by zero.
pub const FPE_FLTDIV: i32 = 3;
/// `FPE_FLTOVF`: overflow.
pub const FPE_FLTOVF: i32 = 4;
/// `FPE_FLTUND`: underflow.
pub const FPE_FLTUND: i32 = 5;
/// `FPE_FLTRES`: inexact.
pub const FPE_FLTRES: i32 = 6;
/// `FPE_FLTINV`: not a valid operation.
pub const FPE_FLTINV: i32 = 7;
/// `FPE_FLTUNK`: the CPU does not say.
pub const FPE_FLTUNK: i32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_signals_one_to_sixty_four() {
        let set = Sigset::of(1).with(64).with(65).with(0);
        assert!(set.contains(1) && set.contains(64) && !set.contains(2) && !set.contains(0) && !set.contains(65));
        assert_eq!(Sigset(u64::MAX).without(Sigset::UNBLOCKABLE).0, !(1 << 8 | 1 << 18));
    }

    #[test]
    fn shells_know_the_sentence() {
        assert_eq!(text(SIGSEGV), Some("Segmentation fault"));
        assert_eq!(text(SIGRTMIN), None);
    }
}
