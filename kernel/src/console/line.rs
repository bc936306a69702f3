//! The line discipline: what typed bytes become before a program reads them.
//!
//! In canonical mode a line can be corrected until Enter; bytes become readable with the whole line, as Linux's
//! `n_tty` does it. Nothing here knows a device or waits: bytes go in by [`Discipline::input`], echo comes out of it,
//! and [`Discipline::read`] takes what is ready.
//!
//! Different from Linux, on purpose: output is never changed (`OPOST` is off, so a program's bytes reach the wire as
//! they are), ^H erases like DEL, and a tab is echoed as `^I`, so that erasing it needs no knowledge of the column.

use abi::tty::{
    CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ICANON, ICRNL, IEXTEN, ISIG, Termios, VEOF, VERASE, VINTR, VKILL,
    VMIN, VQUIT, VWERASE,
};
use more::{B115200, CLOCAL, ECHONL, IGNCR, INLCR, ISTRIP, IUTF8, NOFLSH, VEOL, VEOL2, VREPRINT, VSUSP};

/// Bytes of input that are kept, unfinished line included: Linux's `N_TTY_BUF_SIZE`.
pub(crate) const CAPACITY: usize = 4096;

/// Modes and special characters that `abi` does not name, because programs seldom do.
mod more {
    /// In `iflag`: strip the eighth bit.
    pub(super) const ISTRIP: u32 = 0o40;
    /// In `iflag`: a typed NL becomes CR.
    pub(super) const INLCR: u32 = 0o100;
    /// In `iflag`: a typed CR is dropped.
    pub(super) const IGNCR: u32 = 0o200;
    /// In `iflag`: erase whole UTF-8 characters.
    pub(super) const IUTF8: u32 = 0o40000;
    /// In `cflag`: 115200 baud.
    pub(super) const B115200: u32 = 0o10002;
    /// In `cflag`: no modem lines.
    pub(super) const CLOCAL: u32 = 0o4000;
    /// In `lflag`: echo NL even without `ECHO`.
    pub(super) const ECHONL: u32 = 0o100;
    /// In `lflag`: a signal does not flush.
    pub(super) const NOFLSH: u32 = 0o200;
    /// In `cc`: ^Z.
    pub(super) const VSUSP: usize = 10;
    /// In `cc`: a further end of line.
    pub(super) const VEOL: usize = 11;
    /// In `cc`: ^R.
    pub(super) const VREPRINT: usize = 12;
    /// In `cc`: one more end of line.
    pub(super) const VEOL2: usize = 16;
}

/// A terminal as a person expects it: 115200 baud, eight bits, canonical, echoing.
const COOKED: Termios = Termios {
    iflag: ICRNL | IUTF8,
    oflag: 0,
    cflag: B115200 | CS8 | CREAD | CLOCAL,
    lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    line: 0,
    //   intr quit erase kill eof time min swtc start stop susp eol reprint discard werase lnext eol2
    cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
};

/// What a typed byte led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Nothing a reader can have.
    Nothing,
    /// Something to read: a line, or bytes outside canonical mode.
    Readable,
    /// A character that sends a signal to the foreground programs.
    Signal(Signal),
}

/// The signals a terminal sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTSTP.
    Suspend,
}

/// The state of one terminal's input.
#[derive(Debug)]
pub(crate) struct Discipline {
    settings: Termios,
    bytes: [u8; CAPACITY],
    /// Which bytes end a line. An end whose byte is 0 is an end of file: it is read as nothing.
    ends: [bool; CAPACITY],
    /// The next byte to be read, the first of the unfinished line, and the next free place; all only ever grow.
    tail: usize,
    line: usize,
    head: usize,
}

impl Discipline {
    /// An empty line on a terminal as a person expects it.
    pub(crate) const fn new() -> Self {
        Self { settings: COOKED, bytes: [0; CAPACITY], ends: [false; CAPACITY], tail: 0, line: 0, head: 0 }
    }

    /// The settings as they stand.
    pub(crate) fn settings(&self) -> Termios {
        self.settings
    }

    /// Changes the settings. What was typed so far becomes readable when canonical mode ends.
    pub(crate) fn set(&mut self, settings: Termios) {
        self.settings = settings;
        if settings.lflag & ICANON == 0 {
            self.line = self.head;
        }
    }

    /// How many more bytes can be taken without loss. At least one while a line is unfinished, which then loses
    /// what is typed behind its end, as in Linux; 0 says that a reader has to come first.
    pub(crate) fn room(&self) -> usize {
        let free = CAPACITY - (self.head - self.tail);
        match (free, self.has(ICANON)) {
            (0 | 1, true) if self.tail == self.line => 1,
            // The last place is for the end of the line.
            (free, true) => free.saturating_sub(1),
            (free, false) => free,
        }
    }

    /// Forgets all that was typed and not yet read.
    pub(crate) fn flush(&mut self) {
        (self.tail, self.line) = (self.head, self.head);
    }

    /// How many bytes a read would find now.
    pub(crate) fn readable(&self) -> usize {
        self.line - self.tail
    }

    /// Takes one typed byte; `echo` is given what the terminal shows for it.
    pub(crate) fn input(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Event {
        let Some(byte) = self.translated(byte) else { return Event::Nothing };
        if let Some(signal) = self.signal(byte) {
            return self.interrupt(byte, signal, echo);
        }
        if self.has(ICANON) {
            return self.canonical(byte, echo);
        }
        if self.head - self.tail < CAPACITY {
            self.push(byte, false);
            self.line = self.head;
            self.show(byte, echo);
        }
        Event::Readable
    }

    /// Takes what is ready into `to`: at most one line in canonical mode. `None` where a reader has to wait;
    /// 0 bytes are the end of file, or nothing asked for.
    pub(crate) fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        if to.is_empty() {
            return Some(0);
        }
        if self.has(ICANON) { self.read_line(to) } else { self.read_raw(to) }
    }

    fn read_line(&mut self, to: &mut [u8]) -> Option<usize> {
        if self.tail == self.line {
            return None;
        }
        let mut taken = 0;
        // One look further than `to` reaches, so that an end of file right behind goes with the bytes before it.
        while self.tail < self.line {
            let (byte, end) = (self.bytes[self.tail % CAPACITY], self.ends[self.tail % CAPACITY]);
            let end_of_file = end && byte == 0;
            if taken == to.len() && !end_of_file {
                break;
            }
            self.tail += 1;
            if !end_of_file {
                to[taken] = byte;
                taken += 1;
            }
            if end {
                break;
            }
        }
        Some(taken)
    }

    fn read_raw(&mut self, to: &mut [u8]) -> Option<usize> {
        let least = usize::from(self.settings.cc[VMIN]);
        let there = self.head - self.tail;
        if there < least.min(to.len()) {
            return None;
        }
        let taken = there.min(to.len());
        for slot in &mut to[..taken] {
            *slot = self.bytes[self.tail % CAPACITY];
            self.tail += 1;
        }
        self.line = self.head;
        Some(taken)
    }

    /// Whether a bit of `lflag` is set.
    fn has(&self, bit: u32) -> bool {
        self.settings.lflag & bit != 0
    }

    /// Whether `byte` is the special character at `place`; 0 switches one off.
    fn is(&self, place: usize, byte: u8) -> bool {
        self.settings.cc[place] != 0 && self.settings.cc[place] == byte
    }

    /// The byte after `iflag`, or `None` where that drops it.
    fn translated(&self, byte: u8) -> Option<u8> {
        let has = |bit| self.settings.iflag & bit != 0;
        let byte = if has(ISTRIP) { byte & 0x7f } else { byte };
        match byte {
            b'\r' if has(IGNCR) => None,
            b'\r' if has(ICRNL) => Some(b'\n'),
            b'\n' if has(INLCR) => Some(b'\r'),
            byte => Some(byte),
        }
    }

    fn signal(&self, byte: u8) -> Option<Signal> {
        if !self.has(ISIG) {
            return None;
        }
        [(VINTR, Signal::Interrupt), (VQUIT, Signal::Quit), (VSUSP, Signal::Suspend)]
            .into_iter()
            .find_map(|(place, signal)| self.is(place, byte).then_some(signal))
    }

    fn interrupt(&mut self, byte: u8, signal: Signal, echo: &mut dyn FnMut(&[u8])) -> Event {
        if !self.has(NOFLSH) {
            self.flush();
        }
        if self.has(ECHO) {
            self.show(byte, echo);
            echo(b"\n");
        }
        Event::Signal(signal)
    }

    fn canonical(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Event {
        let extended = self.has(IEXTEN);
        if self.is(VERASE, byte) || byte == 8 {
            self.erase(echo);
        } else if self.is(VKILL, byte) {
            self.kill(echo);
        } else if extended && self.is(VWERASE, byte) {
            self.erase_word(echo);
        } else if extended && self.is(VREPRINT, byte) {
            self.reprint(echo);
        } else if self.is(VEOF, byte) {
            return self.finish(0);
        } else if byte == b'\n' {
            if self.has(ECHO) || self.has(ECHONL) {
                echo(b"\n");
            }
            return self.finish(byte);
        } else if self.is(VEOL, byte) || self.is(VEOL2, byte) {
            self.show(byte, echo);
            return self.finish(byte);
        } else if self.head - self.tail < CAPACITY - 1 {
            self.push(byte, false);
            self.show(byte, echo);
        }
        Event::Nothing
    }

    /// Ends the line with `byte`, 0 for the end of file.
    fn finish(&mut self, byte: u8) -> Event {
        if self.head - self.tail < CAPACITY {
            self.push(byte, true);
            self.line = self.head;
        }
        Event::Readable
    }

    fn push(&mut self, byte: u8, end: bool) {
        self.bytes[self.head % CAPACITY] = byte;
        self.ends[self.head % CAPACITY] = end;
        self.head += 1;
    }

    /// Takes the last character off the unfinished line; answers how many columns it was shown in.
    fn pop(&mut self) -> Option<usize> {
        let utf8 = self.settings.iflag & IUTF8 != 0;
        while self.head > self.line {
            self.head -= 1;
            let byte = self.bytes[self.head % CAPACITY];
            if !(utf8 && is_continuation(byte)) {
                return Some(if is_control(byte) { 2 } else { 1 });
            }
        }
        None
    }

    fn erase(&mut self, echo: &mut dyn FnMut(&[u8])) {
        if let Some(columns) = self.pop()
            && self.has(ECHO)
        {
            wipe(columns, echo);
        }
    }

    fn kill(&mut self, echo: &mut dyn FnMut(&[u8])) {
        let visible = self.has(ECHO) && self.has(ECHOKE);
        while let Some(columns) = self.pop() {
            if visible {
                wipe(columns, echo);
            }
        }
        if !visible && self.has(ECHO) && self.has(ECHOK) {
            echo(b"\n");
        }
    }

    /// Takes off blanks at the end, then the word before them.
    fn erase_word(&mut self, echo: &mut dyn FnMut(&[u8])) {
        let mut in_word = false;
        while self.head > self.line {
            let blank = matches!(self.bytes[(self.head - 1) % CAPACITY], b' ' | b'\t');
            if blank && in_word {
                break;
            }
            in_word |= !blank;
            self.erase(echo);
        }
    }

    fn reprint(&mut self, echo: &mut dyn FnMut(&[u8])) {
        echo(b"^R\n");
        for at in self.line..self.head {
            self.show(self.bytes[at % CAPACITY], echo);
        }
    }

    /// Echoes one byte, control characters as `^X` if so set.
    fn show(&self, byte: u8, echo: &mut dyn FnMut(&[u8])) {
        if !self.has(ECHO) {
            return;
        }
        if is_control(byte) && self.has(ECHOCTL) {
            echo(&[b'^', byte ^ 0x40]);
        } else {
            echo(&[byte]);
        }
    }
}

impl Default for Discipline {
    fn default() -> Self {
        Self::new()
    }
}

fn is_control(byte: u8) -> bool {
    byte < 32 || byte == 127
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Removes `columns` columns left of the cursor from the screen.
fn wipe(columns: usize, echo: &mut dyn FnMut(&[u8])) {
    for _ in 0..columns {
        echo(b"\x08 \x08");
    }
}
