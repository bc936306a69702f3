//! Terminals: what `ioctl` asks of fd 0, 1 and 2.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `TCGETS`: read [`Termios`]; the question behind `isatty`.
pub const TCGETS: u32 = 0x5401;
/// `TCSETS`: set [`Termios`] now.
pub const TCSETS: u32 = 0x5402;
/// `TCSETSW`: set when output has drained.
pub const TCSETSW: u32 = 0x5403;
/// `TCSETSF`: set when output has drained, dropping input.
pub const TCSETSF: u32 = 0x5404;
/// `TIOCGPGRP`: the foreground process group.
pub const TIOCGPGRP: u32 = 0x540f;
/// `TIOCSPGRP`: set the foreground process group.
pub const TIOCSPGRP: u32 = 0x5410;
/// `TIOCGWINSZ`: read [`Winsize`].
pub const TIOCGWINSZ: u32 = 0x5413;
/// `TIOCSWINSZ`: set [`Winsize`].
pub const TIOCSWINSZ: u32 = 0x5414;
/// `FIONREAD`: bytes that can be read at once.
pub const FIONREAD: u32 = 0x541b;

/// `struct termios` of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios {
    /// Input modes.
    pub iflag: u32,
    /// Output modes.
    pub oflag: u32,
    /// Control modes.
    pub cflag: u32,
    /// Local modes.
    pub lflag: u32,
    /// Line discipline.
    pub line: u8,
    /// Control characters, indexed by `V*`.
    pub cc: [u8; 19],
}

/// `struct winsize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Winsize {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub cols: u16,
    /// Unused.
    pub xpixel: u16,
    /// Unused.
    pub ypixel: u16,
}

crate::sizes! { Termios = 36, Winsize = 8, }

/// `ICRNL` in `iflag`: carriage return comes in as newline.
pub const ICRNL: u32 = 0o400;
/// `IXON` in `iflag`: ^S and ^Q stop and start output.
pub const IXON: u32 = 0o2000;
/// `OPOST` in `oflag`: output is processed.
pub const OPOST: u32 = 0o1;
/// `ONLCR` in `oflag`: newline goes out as carriage return and newline.
pub const ONLCR: u32 = 0o4;
/// `B38400` in `cflag`.
pub const B38400: u32 = 0o17;
/// `CS8` in `cflag`: 8 bits.
pub const CS8: u32 = 0o60;
/// `CREAD` in `cflag`: the receiver is on.
pub const CREAD: u32 = 0o200;
/// `ISIG` in `lflag`: ^C and its kin are signals.
pub const ISIG: u32 = 0o1;
/// `ICANON` in `lflag`: input comes by lines.
pub const ICANON: u32 = 0o2;
/// `ECHO` in `lflag`: what is typed is shown.
pub const ECHO: u32 = 0o10;
/// `ECHOE` in `lflag`: erasing wipes the character.
pub const ECHOE: u32 = 0o20;
/// `ECHOK` in `lflag`: killing starts a new line.
pub const ECHOK: u32 = 0o40;
/// `ECHOCTL` in `lflag`: control characters are shown as `^X`.
pub const ECHOCTL: u32 = 0o1000;
/// `ECHOKE` in `lflag`: killing wipes the line.
pub const ECHOKE: u32 = 0o4000;
/// `IEXTEN` in `lflag`: extended processing.
pub const IEXTEN: u32 = 0o100000;

/// `VINTR` in `cc`: interrupt, ^C.
pub const VINTR: usize = 0;
/// `VQUIT` in `cc`: quit, ^\.
pub const VQUIT: usize = 1;
/// `VERASE` in `cc`: erase a character, DEL.
pub const VERASE: usize = 2;
/// `VKILL` in `cc`: erase the line, ^U.
pub const VKILL: usize = 3;
/// `VEOF` in `cc`: end of file, ^D.
pub const VEOF: usize = 4;
/// `VTIME` in `cc`: time-out of raw reads in tenths of a second.
pub const VTIME: usize = 5;
/// `VMIN` in `cc`: least bytes of a raw read.
pub const VMIN: usize = 6;
/// `VWERASE` in `cc`: erase a word, ^W.
pub const VWERASE: usize = 14;
