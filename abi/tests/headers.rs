//! What this crate says is what the headers of Linux/aarch64 say: one C file of static assertions, made here and
//! compiled by the cross compiler.
//!
//! Without the cross compiler (Debian: gcc-aarch64-linux-gnu) there is nothing to compare with; the test then says so
//! and passes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use abi::auxv::{Hwcap, Hwcap2};
use abi::file::{AtFlags, Dirent64, FallocFlags, Iovec, OpenFlags, RenameFlags};
use abi::mem::{MapFlags, Prot, RemapFlags, SyncFlags, madv};
use abi::sigframe::{EsrContext, FpsimdContext, Ucontext};
use abi::signal::{SaFlags, Sigaction, Siginfo, SignalStack};
use abi::stat::{Stat, Statfs, Statx, StatxAttributes, StatxMask};
use abi::task::{CloneFlags, Rlimit64, RobustListHead, Rusage, Utsname, WaitOptions, futex, rlimit};
use abi::time::{Timespec, Timeval};
use abi::tty::{Termios, Winsize};
use abi::{Errno, file, nr, signal, stat, time, tty};
use bitflags::Flags;

const HEADERS: &str = "
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <ucontext.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>
#include <asm/hwcap.h>
#include <asm/unistd.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/fs.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <dirent.h>
#include <asm/termbits.h>
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* younger than some headers */
#endif
";

/// Names that C libraries' headers keep to themselves or spell with another meaning.
const UNHEARD_OF: [&str; 7] = [
    "CLONE_CSIGNAL",
    "O_LARGEFILE",
    "PROT_SEM",
    "SA_EXPOSE_TAGBITS",
    "SA_RESTORER",
    "SA_UNSUPPORTED",
    "STATX_RESERVED",
];

/// Collects assertions.
struct Asserted(String);

impl Asserted {
    fn equal(&mut self, name: &str, value: u64) {
        if !UNHEARD_OF.contains(&name) {
            writeln!(self.0, "_Static_assert((unsigned long long)({name}) == {value}ull, \"{name}\");").unwrap();
        }
    }

    fn flags<F: Flags<Bits: Into<u64>>>(&mut self, prefix: &str) {
        for flag in F::FLAGS {
            self.equal(&format!("{prefix}{}", flag.name()), flag.value().bits().into());
        }
    }

    fn size<T>(&mut self, name: &str) {
        self.equal(&format!("sizeof({name})"), size_of::<T>() as u64);
    }
}

macro_rules! same_names {
    ($to:expr, $prefix:literal, $module:ident: $($name:ident)*) => {
        $($to.equal(concat!($prefix, stringify!($name)), $module::$name as u64);)*
    };
}

fn assertions() -> String {
    let mut c = Asserted(HEADERS.into());
    for number in 0..nr::LINUX_END {
        if let Some(name) = nr::name(number) {
            // The headers may be older than the call.
            c.0.push_str(&format!("#if {number} <= {} || defined(__NR_{name})\n", nr::SET_MEMPOLICY_HOME_NODE));
            c.equal(&format!("__NR_{name}"), number);
            c.0.push_str("#endif\n");
        }
    }
    for error in (1..=Errno::MAX).filter_map(Errno::new) {
        if let Some(name) = error.name() {
            c.equal(name, error.get().into());
        }
    }
    flags(&mut c);
    numbers(&mut c);
    sizes(&mut c);
    c.0
}

fn flags(c: &mut Asserted) {
    c.flags::<OpenFlags>("O_");
    c.flags::<AtFlags>("AT_");
    c.flags::<RenameFlags>("RENAME_");
    c.flags::<FallocFlags>("FALLOC_FL_");
    c.flags::<Prot>("PROT_");
    c.flags::<MapFlags>("MAP_");
    c.flags::<RemapFlags>("MREMAP_");
    c.flags::<SyncFlags>("MS_");
    c.flags::<SaFlags>("SA_");
    c.flags::<StatxMask>("STATX_");
    c.flags::<StatxAttributes>("STATX_ATTR_");
    c.flags::<CloneFlags>("CLONE_");
    c.flags::<Hwcap>("HWCAP_");
    c.flags::<Hwcap2>("HWCAP2_");
    for (name, flag) in [
        ("WNOHANG", WaitOptions::NOHANG),
        ("WUNTRACED", WaitOptions::UNTRACED),
        ("WEXITED", WaitOptions::EXITED),
        ("WNOWAIT", WaitOptions::NOWAIT),
        ("WCONTINUED", WaitOptions::CONTINUED),
        ("(unsigned)__WNOTHREAD", WaitOptions::NOTHREAD),
        ("(unsigned)__WALL", WaitOptions::ALL),
        ("(unsigned)__WCLONE", WaitOptions::CLONE),
    ] {
        c.equal(name, flag.bits().into());
    }
}

fn numbers(c: &mut Asserted) {
    same_names!(c, "", file: SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE F_OK X_OK W_OK R_OK AT_FDCWD);
    same_names!(c, "", file: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC FD_CLOEXEC);
    same_names!(c, "MADV_", madv: NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE REMOVE DONTFORK DOFORK MERGEABLE);
    same_names!(c, "MADV_", madv: UNMERGEABLE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK KEEPONFORK COLD PAGEOUT);
    same_names!(c, "MADV_", madv: POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED COLLAPSE);
    same_names!(c, "FUTEX_", futex: WAIT WAKE REQUEUE CMP_REQUEUE WAKE_OP LOCK_PI UNLOCK_PI WAIT_BITSET WAKE_BITSET);
    same_names!(c, "FUTEX_", futex: PRIVATE_FLAG CLOCK_REALTIME OWNER_DIED WAITERS TID_MASK);
    same_names!(c, "RLIMIT_", rlimit: CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING);
    same_names!(c, "RLIMIT_", rlimit: MSGQUEUE NICE RTPRIO RTTIME);
    same_names!(c, "", signal: SIGHUP SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGSEGV SIGPIPE SIGCHLD SIGSTOP SIGSYS);
    same_names!(c, "", signal: SIG_BLOCK SIG_UNBLOCK SIG_SETMASK SS_ONSTACK SS_DISABLE BUS_ADRALN BUS_MCEERR_AR);
    same_names!(c, "", signal: SEGV_MAPERR SEGV_ACCERR BUS_ADRERR BUS_OBJERR ILL_ILLOPC TRAP_BRKPT);
    same_names!(c, "", stat: S_IFMT S_IFSOCK S_IFLNK S_IFREG S_IFBLK S_IFDIR S_IFCHR S_IFIFO S_ISUID S_ISGID S_ISVTX);
    same_names!(c, "", time: CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_BOOTTIME CLOCK_MONOTONIC_RAW TIMER_ABSTIME);
    same_names!(c, "", time: UTIME_NOW UTIME_OMIT CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID);
    same_names!(c, "", tty: TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCGPGRP TIOCSPGRP TIOCSCTTY TIOCNOTTY);
    same_names!(c, "", tty: TIOCGSID TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ FIONREAD);
    same_names!(c, "", tty: TCIFLUSH TCOFLUSH TCIOFLUSH TCOOFF TCOON TCIOFF TCION);
    same_names!(c, "", tty: ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY IXOFF IMAXBEL IUTF8 OPOST ONLCR);
    same_names!(c, "", tty: B38400 B115200 CS8 CREAD CLOCAL ISIG ICANON ECHO ECHOE ECHOK ECHONL NOFLSH);
    same_names!(c, "", tty: ECHOCTL ECHOPRT ECHOKE PENDIN IEXTEN);
    same_names!(c, "", tty: VINTR VQUIT VERASE VKILL VEOF VTIME VMIN VSTART VSTOP VSUSP VEOL VREPRINT VDISCARD);
    same_names!(c, "", tty: VWERASE VLNEXT VEOL2);
}

fn sizes(c: &mut Asserted) {
    c.size::<Stat>("struct stat");
    c.size::<Statx>("struct statx");
    c.size::<Statfs>("struct statfs");
    c.size::<Timespec>("struct timespec");
    c.size::<Timeval>("struct timeval");
    c.size::<Utsname>("struct utsname");
    c.size::<Rlimit64>("struct rlimit64");
    c.size::<Rusage>("struct rusage");
    c.size::<Iovec>("struct iovec");
    c.size::<Siginfo>("siginfo_t");
    c.size::<SignalStack>("stack_t");
    c.size::<FpsimdContext>("struct fpsimd_context");
    c.size::<EsrContext>("struct esr_context");
    c.size::<RobustListHead>("struct robust_list_head");
    c.size::<Termios>("struct termios");
    c.size::<Winsize>("struct winsize");
    // The C library's own `struct sigaction` is larger than the kernel's, which no header of programs has.
    c.equal("sizeof(unsigned long) * 4", size_of::<Sigaction>() as u64);
    c.equal("offsetof(struct dirent64, d_name)", size_of::<Dirent64>() as u64);
    for (field, offset) in [
        ("struct stat, st_mode", core::mem::offset_of!(Stat, mode)),
        ("struct stat, st_size", core::mem::offset_of!(Stat, size)),
        ("struct stat, st_blocks", core::mem::offset_of!(Stat, blocks)),
        ("struct stat, st_ctim", core::mem::offset_of!(Stat, ctime)),
        ("struct statx, stx_ino", core::mem::offset_of!(Statx, ino)),
        ("struct statx, stx_mtime", core::mem::offset_of!(Statx, mtime)),
        ("struct statx, stx_mnt_id", core::mem::offset_of!(Statx, mnt_id)),
        ("struct statfs, f_bsize", core::mem::offset_of!(Statfs, bsize)),
        ("struct statfs, f_namelen", core::mem::offset_of!(Statfs, namelen)),
        ("struct rusage, ru_minflt", core::mem::offset_of!(Rusage, minflt)),
        ("struct termios, c_cc", core::mem::offset_of!(Termios, cc)),
        ("ucontext_t, uc_stack", core::mem::offset_of!(Ucontext, stack)),
        ("ucontext_t, uc_sigmask", core::mem::offset_of!(Ucontext, sigmask)),
        ("ucontext_t, uc_mcontext", core::mem::offset_of!(Ucontext, mcontext)),
        ("ucontext_t, uc_mcontext.sp", core::mem::offset_of!(Ucontext, mcontext.sp)),
        ("ucontext_t, uc_mcontext.pstate", core::mem::offset_of!(Ucontext, mcontext.pstate)),
        ("ucontext_t, uc_mcontext.__reserved", size_of::<Ucontext>()),
        ("struct fpsimd_context, vregs", core::mem::offset_of!(FpsimdContext, vregs)),
        ("siginfo_t, si_status", core::mem::offset_of!(Siginfo, fields) + 8),
        ("siginfo_t, si_value", core::mem::offset_of!(Siginfo, fields) + 8),
        ("siginfo_t, si_addr", core::mem::offset_of!(Siginfo, fields)),
    ] {
        c.equal(&format!("offsetof({field})"), offset as u64);
    }
}

/// What the cross compiler says to `source`: nothing, if all is well; `None` where there is no such compiler.
fn complaints(source: &str) -> Option<String> {
    let mut compiler = Command::new("aarch64-linux-gnu-gcc")
        .args(["-fsyntax-only", "-std=gnu11", "-w", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = compiler.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    Some(text)
}

#[test]
fn constants_and_structures_are_those_of_linux() {
    match complaints(&assertions()) {
        Some(text) => assert!(text.is_empty(), "{text}"),
        None => eprintln!("no aarch64-linux-gnu-gcc: nothing compared"),
    }
}

#[test]
fn a_wrong_constant_would_be_found() {
    let mut c = Asserted(HEADERS.into());
    c.equal("EPERM", 2);
    if let Some(text) = complaints(&c.0) {
        assert!(text.contains("EPERM"), "{text}");
    }
}
