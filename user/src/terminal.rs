//! The terminal as a program that talks to a person uses it.

use abi::file::{F_GETFL, F_SETFL, OpenFlags, POLLIN, PollFd};
use abi::time::Timespec;
use abi::tty::{TCGETS, TCSETSW, TIOCGPGRP, TIOCGWINSZ, TIOCSPGRP, TIOCSWINSZ, Termios, Winsize};
use abi::{Errno, nr};
use zerocopy::IntoBytes;

use crate::call::call;
use crate::file::Fd;

/// How a terminal treats what is typed and what is written.
///
/// # Errors
/// Those of `tcgetattr`: `ENOTTY` where this is no terminal.
pub fn settings(terminal: Fd) -> Result<Termios, Errno> {
    let mut settings = Termios::default();
    // SAFETY: the kernel writes one `Termios`.
    unsafe { call(nr::IOCTL, [terminal.argument(), TCGETS.into(), settings.as_mut_bytes().as_mut_ptr() as u64]) }?;
    Ok(settings)
}

/// Changes that, once what was written is out.
///
/// # Errors
/// Those of `tcsetattr`.
pub fn set(terminal: Fd, settings: &Termios) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the settings.
    unsafe { call(nr::IOCTL, [terminal.argument(), TCSETSW.into(), settings.as_bytes().as_ptr() as u64]) }.map(drop)
}

/// How many rows and columns there are.
///
/// # Errors
/// Those of `ioctl`.
pub fn size(terminal: Fd) -> Result<Winsize, Errno> {
    let mut size = Winsize::default();
    // SAFETY: the kernel writes one `Winsize`.
    unsafe { call(nr::IOCTL, [terminal.argument(), TIOCGWINSZ.into(), size.as_mut_bytes().as_mut_ptr() as u64]) }?;
    Ok(size)
}

/// Says how many there are.
///
/// # Errors
/// Those of `ioctl`.
pub fn set_size(terminal: Fd, size: Winsize) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the size.
    unsafe { call(nr::IOCTL, [terminal.argument(), TIOCSWINSZ.into(), size.as_bytes().as_ptr() as u64]) }.map(drop)
}

/// Whether a read would not wait, now or after so many milliseconds at most: there are bytes, or the end of input.
///
/// # Errors
/// Those of `ppoll`.
pub fn ready_within(file: Fd, millis: u32) -> Result<bool, Errno> {
    let mut asked = PollFd { fd: file.number(), events: POLLIN, revents: 0 };
    let mut wait = Timespec { sec: (millis / 1000).into(), nsec: (millis % 1000 * 1_000_000).into() };
    let (asked_at, at) = (asked.as_mut_bytes().as_mut_ptr() as u64, wait.as_mut_bytes().as_mut_ptr() as u64);
    // SAFETY: the kernel reads and writes one `PollFd` and one `Timespec`.
    let ready = unsafe { call(nr::PPOLL, [asked_at, 1, at, 0, 0]) }?;
    Ok(ready > 0)
}

/// Has reads wait for input again, where a program left it otherwise (`O_NONBLOCK`).
///
/// # Errors
/// Those of `fcntl`.
pub fn wait_for_input(file: Fd) -> Result<(), Errno> {
    // SAFETY: no address is passed.
    let flags = unsafe { call(nr::FCNTL, [file.argument(), F_GETFL.into()]) }?;
    let flags = flags & !u64::from(OpenFlags::NONBLOCK.bits());
    // SAFETY: as above.
    unsafe { call(nr::FCNTL, [file.argument(), F_SETFL.into(), flags]) }.map(drop)
}

/// The process group in the foreground: ^C is for it.
///
/// # Errors
/// Those of `tcgetpgrp`: `ENOTTY` where this is not the program's controlling terminal.
pub fn foreground(terminal: Fd) -> Result<u32, Errno> {
    let mut group = 0u32;
    // SAFETY: the kernel writes one word.
    unsafe { call(nr::IOCTL, [terminal.argument(), TIOCGPGRP.into(), (&raw mut group) as u64]) }?;
    Ok(group)
}

/// Puts a process group into the foreground.
///
/// # Errors
/// Those of `tcsetpgrp`.
pub fn set_foreground(terminal: Fd, group: u32) -> Result<(), Errno> {
    // SAFETY: the kernel reads one word.
    unsafe { call(nr::IOCTL, [terminal.argument(), TIOCSPGRP.into(), (&raw const group) as u64]) }.map(drop)
}
