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
/// `TCSBRK`: send a break; with an argument that is not 0 (`tcdrain`) only wait until output has drained.
pub const TCSBRK: u32 = 0x5409;
/// `TCXONC`: stop and start output, ask the other end to (`tcflow`).
pub const TCXONC: u32 = 0x540a;
/// `TCFLSH`: forget input or output (`tcflush`).
pub const TCFLSH: u32 = 0x540b;
/// `TIOCSCTTY`: becomes the controlling terminal.
pub const TIOCSCTTY: u32 = 0x540e;
/// `TIOCGPGRP`: the foreground process group.
pub const TIOCGPGRP: u32 = 0x540f;
/// `TIOCSPGRP`: set the foreground process group.
pub const TIOCSPGRP: u32 = 0x5410;
/// `TIOCOUTQ`: bytes of output not yet sent.
pub const TIOCOUTQ: u32 = 0x5411;
/// `TIOCSTI`: a byte as if it had been typed.
pub const TIOCSTI: u32 = 0x5412;
/// `TIOCGWINSZ`: read [`Winsize`].
pub const TIOCGWINSZ: u32 = 0x5413;
/// `TIOCSWINSZ`: set [`Winsize`].
pub const TIOCSWINSZ: u32 = 0x5414;
/// `FIONREAD`: bytes that can be read at once.
pub const FIONREAD: u32 = 0x541b;
/// `TIOCNOTTY`: gives up the controlling terminal.
pub const TIOCNOTTY: u32 = 0x5422;
/// `TIOCGSID`: the session whose controlling terminal this is.
pub const TIOCGSID: u32 = 0x5429;

/// `TCIFLUSH` of [`TCFLSH`]: what was typed and not read.
pub const TCIFLUSH: u32 = 0;
/// `TCOFLUSH` of [`TCFLSH`]: what was written and not sent.
pub const TCOFLUSH: u32 = 1;
/// `TCIOFLUSH` of [`TCFLSH`]: both.
pub const TCIOFLUSH: u32 = 2;
/// `TCOOFF` of [`TCXONC`]: stop output.
pub const TCOOFF: u32 = 0;
/// `TCOON` of [`TCXONC`]: start it again.
pub const TCOON: u32 = 1;
/// `TCIOFF` of [`TCXONC`]: send the STOP character.
pub const TCIOFF: u32 = 2;
/// `TCION` of [`TCXONC`]: send the START character.
pub const TCION: u32 = 3;

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

/// `ISTRIP` in `iflag`: the eighth bit is dropped.
pub const ISTRIP: u32 = 0o40;
/// `INLCR` in `iflag`: newline comes in as carriage return.
pub const INLCR: u32 = 0o100;
/// `IGNCR` in `iflag`: carriage return is dropped.
pub const IGNCR: u32 = 0o200;
/// `ICRNL` in `iflag`: carriage return comes in as newline.
pub const ICRNL: u32 = 0o400;
/// `IUCLC` in `iflag`: upper case comes in as lower case.
pub const IUCLC: u32 = 0o1000;
/// `IXON` in `iflag`: ^S and ^Q stop and start output.
pub const IXON: u32 = 0o2000;
/// `IXANY` in `iflag`: any character starts output.
pub const IXANY: u32 = 0o4000;
/// `IXOFF` in `iflag`: the other end is asked to stop and start.
pub const IXOFF: u32 = 0o10000;
/// `IMAXBEL` in `iflag`: the bell rings for what a full line does not take.
pub const IMAXBEL: u32 = 0o20000;
/// `IUTF8` in `iflag`: characters are UTF-8, erased whole.
pub const IUTF8: u32 = 0o40000;
/// `OPOST` in `oflag`: output is processed.
pub const OPOST: u32 = 0o1;
/// `ONLCR` in `oflag`: newline goes out as carriage return and newline.
pub const ONLCR: u32 = 0o4;
/// `B38400` in `cflag`.
pub const B38400: u32 = 0o17;
/// `B115200` in `cflag`.
pub const B115200: u32 = 0o10002;
/// `CS8` in `cflag`: 8 bits.
pub const CS8: u32 = 0o60;
/// `CREAD` in `cflag`: the receiver is on.
pub const CREAD: u32 = 0o200;
/// `CLOCAL` in `cflag`: there are no modem lines.
pub const CLOCAL: u32 = 0o4000;
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
/// `ECHONL` in `lflag`: newline is shown even where nothing else is.
pub const ECHONL: u32 = 0o100;
/// `NOFLSH` in `lflag`: ^C and its kin leave the input as it is.
pub const NOFLSH: u32 = 0o200;
/// `ECHOCTL` in `lflag`: control characters are shown as `^X`.
pub const ECHOCTL: u32 = 0o1000;
/// `ECHOPRT` in `lflag`: what is erased is printed, for terminals of paper.
pub const ECHOPRT: u32 = 0o2000;
/// `ECHOKE` in `lflag`: killing wipes the line.
pub const ECHOKE: u32 = 0o4000;
/// `PENDIN` in `lflag`: what was typed ahead is typed once more.
pub const PENDIN: u32 = 0o40000;
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
/// `VSTART` in `cc`: starts output, ^Q.
pub const VSTART: usize = 8;
/// `VSTOP` in `cc`: stops output, ^S.
pub const VSTOP: usize = 9;
/// `VSUSP` in `cc`: suspend, ^Z.
pub const VSUSP: usize = 10;
/// `VEOL` in `cc`: a further end of line.
pub const VEOL: usize = 11;
/// `VREPRINT` in `cc`: show the line again, ^R.
pub const VREPRINT: usize = 12;
/// `VDISCARD` in `cc`: discard output, ^O; Linux takes it and does nothing.
pub const VDISCARD: usize = 13;
/// `VWERASE` in `cc`: erase a word, ^W.
pub const VWERASE: usize = 14;
/// `VLNEXT` in `cc`: the next character is itself, ^V.
pub const VLNEXT: usize = 15;
/// `VEOL2` in `cc`: one more end of line.
pub const VEOL2: usize = 16;
