//! The texts of `/proc`, made when they are opened.

use super::copy;
use super::special::Special;
use super::mounts;
use crate::mmu::KernelFrames;
use crate::syscall::UTSNAME;
use crate::{counters, features, frames, pmem, task, timer};
use abi::Errno;
use abi::task::Utsname;
use alloc::vec::Vec;
use ::pmem::medium::Source;
use core::fmt::{self, Write};
use core::time::Duration;
use mm::{Frames, Overcommit};
use units::PAGE_SHIFT;

/// A text that is an error, not a panic, when memory is out.
struct Text(Vec<u8>);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.0.try_reserve(more.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(more.as_bytes());
        Ok(())
    }
}

/// What `special`, a text, says now.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn text(special: Special) -> Result<Vec<u8>, Errno> {
    let mut text = Text(Vec::new());
    let written = match special {
        Special::Counters => counters(&mut text),
        Special::Pmem => pmem::describe(&mut text),
        Special::Stacks => task::stack::describe(&mut text),
        Special::Badblocks => pmem::describe_bad(&mut text),
        Special::Namespaces => pmem::describe_namespaces(&mut text),
        Special::Forget => pmem::describe_forgotten(&mut text),
        Special::Stretch => task::stretch::describe(&mut text),
        Special::Features => features::write_table(&mut text),
        Special::Cpuinfo => features::write_cpuinfo(&mut text),
        Special::SelfMaps | Special::SelfSmaps | Special::SelfStatm => memory(special, &mut text),
        Special::SelfStatus => status(&mut text),
        Special::Meminfo => meminfo(&mut text),
        Special::SelfMounts => mounts::write_mounts(&mut text),
        Special::SelfMountinfo => mounts::write_mountinfo(&mut text),
        Special::Filesystems => mounts::write_filesystems(&mut text),
        Special::Uptime => uptime(&mut text),
        Special::Version => version(&mut text),
        Special::OvercommitMemory => writeln!(text, "{}", KernelFrames.commit().mode() as u64),
        Special::OvercommitRatio => writeln!(text, "{}", KernelFrames.commit().ratio()),
        _ => Ok(()),
    };
    written.map_err(|fmt::Error| Errno::ENOMEM)?;
    Ok(text.0)
}

/// The mappings of the reading program; a task of the kernel has none.
fn memory(special: Special, text: &mut Text) -> fmt::Result {
    let task = task::current();
    let Some(space) = task.space() else { return Ok(()) };
    match special {
        Special::SelfMaps => space.write_maps(text),
        Special::SelfSmaps => space.write_smaps(text),
        _ => space.write_statm(text),
    }
}

/// Who the reading program is, and how much memory it has.
fn status(text: &mut Text) -> fmt::Result {
    let task = task::current();
    let (pid, exe) = (task.process.pid, task.process.exe());
    let name = exe.rsplit(|&byte| byte == b'/').next().unwrap_or(&[]);
    // `TASK_COMM_LEN` less its NUL.
    let name = name.get(..15).unwrap_or(name);
    write!(text, "Name:\t{}\nState:\tR (running)\n", name.escape_ascii())?;
    write!(text, "Tgid:\t{pid}\nPid:\t{}\nPPid:\t{}\nTracerPid:\t0\n", task.tid, task.process.parent())?;
    write!(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")?;
    task.space().map_or(Ok(()), |space| space.write_status(text))
}

/// Memory of the machine. There is no page cache, no swap, and nothing that could be reclaimed.
fn meminfo(text: &mut Text) -> fmt::Result {
    let (used, total) = frames::usage();
    let free = total.get().saturating_sub(used.get());
    let commit = KernelFrames.commit();
    let rows = [
        ("MemTotal", total.get()),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("CommitLimit", commit.limit().get()),
        ("Committed_AS", commit.committed().get()),
    ];
    rows.into_iter().try_for_each(|(name, pages)| {
        let (colon, kib) = (":", pages << (PAGE_SHIFT - 10));
        writeln!(text, "{name}{colon:<width$} {kib:>8} kB", width = 15 - name.len())
    })
}

/// Seconds since boot, and those in which the CPU of the programs had nothing to do.
fn uptime(text: &mut Text) -> fmt::Result {
    let seconds = |time: Duration| (time.as_secs(), time.subsec_millis() / 10);
    let ((up, up_part), (idle, idle_part)) = (seconds(timer::now()), seconds(task::sched::idle_time()));
    writeln!(text, "{up}.{up_part:02} {idle}.{idle_part:02}")
}

/// Which kernel this is: the words of `uname`.
fn version(text: &mut Text) -> fmt::Result {
    let [system, release, version] = [&UTSNAME.sysname, &UTSNAME.release, &UTSNAME.version].map(Utsname::text);
    writeln!(text, "{system} version {release} {version}")
}

/// Bytes of a line that is written to a text.
const MAX_LINE: usize = 256;

/// Takes lines written to `special`, a text that may be written; all of `source`, one call at a time.
///
/// # Errors
/// `EINVAL` for what is too long, and what the text makes of a line: the lines before it have been taken.
pub(super) fn write<S: Source>(special: Special, source: &mut S) -> Result<usize, Errno> {
    let mut bytes = [0; MAX_LINE];
    let len = source.remaining();
    let bytes = bytes.get_mut(..len).ok_or(Errno::EINVAL)?;
    copy::take(source, bytes).map_err(|_| Errno::EFAULT)?;
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match special {
            Special::Badblocks => pmem::inject(line)?,
            Special::Namespaces => pmem::change_namespaces(line)?,
            Special::Forget => pmem::forget(line)?,
            Special::OvercommitMemory => KernelFrames.commit().set_mode(overcommit(number(line)?)?),
            Special::OvercommitRatio => KernelFrames.commit().set_ratio(number(line)?),
            Special::Stretch => task::stretch::watch(line)?,
            _ => return Err(Errno::EBADF),
        }
    }
    Ok(len)
}

/// The number that a line is (`proc_dointvec`).
fn number(line: &[u8]) -> Result<u64, Errno> {
    let number = core::str::from_utf8(line).ok().and_then(|text| text.trim().parse::<i32>().ok());
    number.and_then(|number| u64::try_from(number).ok()).ok_or(Errno::EINVAL)
}

fn overcommit(number: u64) -> Result<Overcommit, Errno> {
    [Overcommit::Heuristic, Overcommit::Always, Overcommit::Strict]
        .into_iter()
        .find(|mode| *mode as u64 == number)
        .ok_or(Errno::EINVAL)
}

/// The path of the reading program's file.
///
/// # Errors
/// `ENOENT` where it has none, `ENOMEM`.
pub(super) fn exe() -> Result<Vec<u8>, Errno> {
    task::current().space().and_then(|space| space.program()).ok_or(Errno::ENOENT)?.path()
}

/// The target of a link that never changes.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn link(target: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    path.try_reserve(target.len()).map_err(|_| Errno::ENOMEM)?;
    path.extend_from_slice(target);
    Ok(path)
}

/// What `/proc/self/fd` says a descriptor leads to.
///
/// # Errors
/// `ENOENT` where there is no such descriptor any more, or no path; `ENOMEM`, `EIO`.
pub(super) fn descriptor(fd: u16) -> Result<Vec<u8>, Errno> {
    task::current().files.get_raw(fd.into()).map_err(|_| Errno::ENOENT)?.path()
}

/// A line a counter: its name and its value.
fn counters(text: &mut Text) -> fmt::Result {
    let mut written = Ok(());
    counters::each(|name, value| {
        if written.is_ok() {
            written = writeln!(text, "{name} {value}");
        }
    });
    written
}
