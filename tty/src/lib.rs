//! The line discipline: what typed bytes become before a program reads them.
//!
//! In canonical mode a line can be corrected until Enter; bytes become readable with the whole line, as Linux's
//! `n_tty` does it. Nothing here knows a device or waits: bytes go in by [`Discipline::input`], with corrections in
//! `erase`; what the terminal is to show collects in `echo` until [`Discipline::take_echo`]; [`Discipline::read`] hands
//! out what is ready, and [`Reading`] is a whole call of `read` with `VMIN` and `VTIME`. [`settings`] is what a terminal
//! begins with, [`ring`] where bytes can wait before any of this.
//!
//! Different from Linux, on purpose:
//! - Output is never changed: `OPOST` is kept and not acted on, so that a program's bytes reach the wire as they are.
//! - A full line refuses what is typed behind its end, with the bell (`IMAXBEL`); Linux shows it and drops it.
//! - `PENDIN`, set together with `ICANON` where that was off, types once more what nobody has read, as 4.4BSD does: a
//!   program that edits lines of its own can so hand back what was typed ahead of it. Linux ignores the bit.
//! - ^D that is still unread when canonical mode ends reads as the character it was, where Linux makes it 0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod echo;
mod erase;
mod input;
mod read;
pub mod ring;
pub mod settings;

use abi::tty::{ICANON, IUTF8, IXON, PENDIN, Termios};
use echo::{Echo, Encoding};

pub use read::{Progress, Reading};

/// Bytes of input that are kept, unfinished line and its end included: Linux's `N_TTY_BUF_SIZE`.
pub const CAPACITY: usize = 4096;

/// What a typed byte led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing a reader can have.
    Nothing,
    /// Something to read: a line, or bytes outside canonical mode.
    Readable,
    /// A character that sends a signal to the foreground programs.
    Signal(Signal),
}

/// The signals a terminal sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTSTP.
    Suspend,
}

/// What a byte of input is to a reader of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// Part of a line.
    Plain,
    /// The last byte of one.
    End,
    /// The end of one that is no byte of it: ^D.
    EndOfFile,
}

/// The state of one terminal's input.
#[derive(Debug)]
pub struct Discipline {
    settings: Termios,
    bytes: [u8; CAPACITY],
    marks: [Mark; CAPACITY],
    /// The next byte to be read, the first of the unfinished line, and the next free place; all only ever grow.
    tail: usize,
    line: usize,
    head: usize,
    echo: Echo,
    /// The next byte is itself (`VLNEXT`).
    literal: bool,
    /// Output is stopped (`VSTOP`).
    stopped: bool,
}

impl Discipline {
    /// An empty line on a terminal as a person expects it.
    pub const fn new() -> Self {
        Self {
            settings: settings::COOKED,
            bytes: [0; CAPACITY],
            marks: [Mark::Plain; CAPACITY],
            tail: 0,
            line: 0,
            head: 0,
            echo: Echo::new(),
            literal: false,
            stopped: false,
        }
    }

    /// The settings as they stand.
    pub fn settings(&self) -> Termios {
        self.settings
    }

    /// Changes the settings. What was typed so far becomes readable when canonical mode ends, and is read as one line
    /// when it begins, unless `PENDIN` has it typed once more; the answer tells what came of that.
    pub fn set(&mut self, settings: Termios) -> Event {
        let was_canonical = self.has(ICANON);
        let retype = settings.lflag & PENDIN != 0;
        self.settings = Termios { lflag: settings.lflag & !PENDIN, ..settings };
        if !self.input_has(IXON) {
            self.stopped = false;
        }
        if was_canonical == self.has(ICANON) {
            return Event::Nothing;
        }
        self.literal = false;
        self.echo.finish_erasing();
        let end = self.head;
        for at in self.tail..end {
            self.marks[at % CAPACITY] = Mark::Plain;
        }
        if was_canonical || !retype {
            self.line = end;
            if end > self.tail {
                self.marks[(end - 1) % CAPACITY] = Mark::End;
                return Event::Readable;
            }
            return Event::Nothing;
        }
        self.retype(end)
    }

    /// Types what lies between the tail and `end` once more. A byte typed leaves at most one behind, so none is
    /// overwritten before its turn.
    fn retype(&mut self, end: usize) -> Event {
        let from = self.tail;
        (self.line, self.head) = (from, from);
        let mut came = Event::Nothing;
        for at in from..end {
            match self.input(self.bytes[at % CAPACITY]) {
                Event::Nothing => {}
                Event::Readable if matches!(came, Event::Signal(_)) => {}
                event => came = event,
            }
        }
        came
    }

    /// How many more bytes can be taken without loss. At least one while the only line there is unfinished, which
    /// refuses what is typed behind its end; 0 says that a reader has to come first.
    pub fn room(&self) -> usize {
        let free = CAPACITY - (self.head - self.tail);
        match (free, self.has(ICANON)) {
            (0 | 1, true) if self.tail == self.line => 1,
            // The last place is for the end of the line.
            (free, true) => free.saturating_sub(1),
            (free, false) => free,
        }
    }

    /// Forgets all that was typed and not yet read.
    pub fn flush(&mut self) {
        (self.tail, self.line) = (self.head, self.head);
        self.echo.forget_erasing();
    }

    /// Whether output is stopped.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Stops output, as `VSTOP` does.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Starts output again.
    pub fn start(&mut self) {
        self.stopped = false;
    }

    /// How much waits to be shown.
    pub fn echo_len(&self) -> usize {
        self.echo.len()
    }

    /// Takes what the terminal is to show into `to`; nothing while output is stopped.
    pub fn take_echo(&mut self, to: &mut [u8]) -> usize {
        if self.stopped { 0 } else { self.echo.take(to) }
    }

    /// A program wrote `bytes` to the terminal: the cursor is elsewhere now.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.echo.track(bytes, self.encoding());
    }

    fn encoding(&self) -> Encoding {
        if self.input_has(IUTF8) { Encoding::Utf8 } else { Encoding::Bytes }
    }

    /// Whether a bit of `lflag` is set.
    fn has(&self, bit: u32) -> bool {
        self.settings.lflag & bit != 0
    }

    /// Whether a bit of `iflag` is set.
    fn input_has(&self, bit: u32) -> bool {
        self.settings.iflag & bit != 0
    }

    /// Whether `byte` is the special character at `place`; 0 switches one off.
    fn is(&self, place: usize, byte: u8) -> bool {
        byte != 0 && self.settings.cc[place] == byte
    }

    fn push(&mut self, byte: u8, mark: Mark) {
        self.bytes[self.head % CAPACITY] = byte;
        self.marks[self.head % CAPACITY] = mark;
        self.head += 1;
    }
}

impl Default for Discipline {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a byte moves no cursor by itself.
fn is_control(byte: u8) -> bool {
    byte < 32 || byte == 127
}

/// Whether a byte goes on with a character of UTF-8 that others began.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
