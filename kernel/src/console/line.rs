//! The line discipline: what typed bytes become before a program reads them.
//!
//! In canonical mode a line can be corrected until Enter; bytes become readable with the whole line, as Linux's
//! `n_tty` does it. Nothing here knows a device or waits: bytes go in by [`Discipline::input`], echo comes out of it,
//! and [`Discipline::read`] takes what is ready.
//!
//! Different from Linux, on purpose: output is never changed (`OPOST` is off, so a program's bytes reach the wire as
//! they are), ^H erases like DEL, and a tab is echoed as `^I`, so that erasing it needs no knowledge of the column.

/// Bytes of input that are kept, unfinished line included: Linux's `N_TTY_BUF_SIZE`.
pub(crate) const CAPACITY: usize = 4096;

/// Modes and special characters, in the encoding of Linux's `struct termios`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// `c_iflag`.
    pub(crate) input: u32,
    /// `c_oflag`; stored and given back, without effect.
    pub(crate) output: u32,
    /// `c_cflag`; stored and given back, without effect.
    pub(crate) control: u32,
    /// `c_lflag`.
    pub(crate) local: u32,
    /// `c_line`.
    pub(crate) line: u8,
    /// `c_cc`.
    pub(crate) characters: [u8; 19],
}

/// Bits of [`Settings::input`].
pub(crate) mod input {
    /// Strip the eighth bit.
    pub(crate) const ISTRIP: u32 = 0o40;
    /// A typed NL becomes CR.
    pub(crate) const INLCR: u32 = 0o100;
    /// A typed CR is dropped.
    pub(crate) const IGNCR: u32 = 0o200;
    /// A typed CR becomes NL.
    pub(crate) const ICRNL: u32 = 0o400;
    /// Erase whole UTF-8 characters.
    pub(crate) const IUTF8: u32 = 0o40000;
}

/// Bits of [`Settings::local`].
pub(crate) mod local {
    /// Interrupt, quit and suspend characters send signals.
    pub(crate) const ISIG: u32 = 0o1;
    /// Canonical mode: lines, with corrections.
    pub(crate) const ICANON: u32 = 0o2;
    /// Echo what is typed.
    pub(crate) const ECHO: u32 = 0o10;
    /// The erase character removes what it erases from the screen.
    pub(crate) const ECHOE: u32 = 0o20;
    /// The kill character starts a new line on the screen.
    pub(crate) const ECHOK: u32 = 0o40;
    /// Echo NL even without [`ECHO`].
    pub(crate) const ECHONL: u32 = 0o100;
    /// Do not flush on a signal.
    pub(crate) const NOFLSH: u32 = 0o200;
    /// Echo control characters as `^X`.
    pub(crate) const ECHOCTL: u32 = 0o1000;
    /// The kill character removes what it kills from the screen.
    pub(crate) const ECHOKE: u32 = 0o4000;
    /// Word erase and reprint.
    pub(crate) const IEXTEN: u32 = 0o100000;
}

/// Places in [`Settings::characters`].
pub(crate) mod special {
    /// ^C.
    pub(crate) const INTR: usize = 0;
    /// ^\.
    pub(crate) const QUIT: usize = 1;
    /// DEL.
    pub(crate) const ERASE: usize = 2;
    /// ^U.
    pub(crate) const KILL: usize = 3;
    /// ^D.
    pub(crate) const EOF: usize = 4;
    /// How many bytes a read waits for outside canonical mode.
    pub(crate) const MIN: usize = 6;
    /// ^Z.
    pub(crate) const SUSP: usize = 10;
    /// A further end of line.
    pub(crate) const EOL: usize = 11;
    /// ^R.
    pub(crate) const REPRINT: usize = 12;
    /// ^W.
    pub(crate) const WERASE: usize = 14;
    /// One more end of line.
    pub(crate) const EOL2: usize = 16;
}

impl Settings {
    /// A terminal as a person expects it: 115200 baud, eight bits, canonical, echoing.
    pub(crate) const COOKED: Self = Self {
        input: input::ICRNL | input::IUTF8,
        output: 0,
        // B115200 | CS8 | CREAD | HUPCL | CLOCAL
        control: 0o10002 | 0o60 | 0o200 | 0o2000 | 0o4000,
        local: local::ISIG
            | local::ICANON
            | local::ECHO
            | local::ECHOE
            | local::ECHOK
            | local::ECHOCTL
            | local::ECHOKE
            | local::IEXTEN,
        line: 0,
        //           intr quit erase kill eof time min swtc start stop susp eol reprint discard werase lnext eol2
        characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
    };

    fn has(&self, bit: u32) -> bool {
        self.local & bit != 0
    }

    /// Whether `byte` is the special character at `place`; 0 switches one off.
    fn is(&self, place: usize, byte: u8) -> bool {
        self.characters[place] != 0 && self.characters[place] == byte
    }
}

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
    settings: Settings,
    bytes: [u8; CAPACITY],
    /// Which bytes end a line. An end whose byte is 0 is an end of file: it is read as nothing.
    ends: [bool; CAPACITY],
    /// The next byte to be read, the first of the unfinished line, and the next free place; all only ever grow.
    tail: usize,
    line: usize,
    head: usize,
}

impl Discipline {
    /// An empty line on a terminal set to [`Settings::COOKED`].
    pub(crate) const fn new() -> Self {
        Self { settings: Settings::COOKED, bytes: [0; CAPACITY], ends: [false; CAPACITY], tail: 0, line: 0, head: 0 }
    }

    /// The settings as they stand.
    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes the settings. What was typed so far becomes readable when canonical mode ends.
    pub(crate) fn set(&mut self, settings: Settings) {
        self.settings = settings;
        if !settings.has(local::ICANON) {
            self.line = self.head;
        }
    }

    /// How many more bytes can be taken without loss. At least one while a line is unfinished, which then loses
    /// what is typed behind its end, as in Linux; 0 says that a reader has to come first.
    pub(crate) fn room(&self) -> usize {
        let free = CAPACITY - (self.head - self.tail);
        match (free, self.settings.has(local::ICANON)) {
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
        if self.settings.has(local::ICANON) {
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
        if self.settings.has(local::ICANON) { self.read_line(to) } else { self.read_raw(to) }
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
        let least = usize::from(self.settings.characters[special::MIN]);
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

    /// The byte after `c_iflag`, or `None` where that drops it.
    fn translated(&self, byte: u8) -> Option<u8> {
        let has = |bit| self.settings.input & bit != 0;
        let byte = if has(input::ISTRIP) { byte & 0x7f } else { byte };
        match byte {
            b'\r' if has(input::IGNCR) => None,
            b'\r' if has(input::ICRNL) => Some(b'\n'),
            b'\n' if has(input::INLCR) => Some(b'\r'),
            byte => Some(byte),
        }
    }

    fn signal(&self, byte: u8) -> Option<Signal> {
        if !self.settings.has(local::ISIG) {
            return None;
        }
        [(special::INTR, Signal::Interrupt), (special::QUIT, Signal::Quit), (special::SUSP, Signal::Suspend)]
            .into_iter()
            .find_map(|(place, signal)| self.settings.is(place, byte).then_some(signal))
    }

    fn interrupt(&mut self, byte: u8, signal: Signal, echo: &mut dyn FnMut(&[u8])) -> Event {
        if !self.settings.has(local::NOFLSH) {
            self.flush();
        }
        if self.settings.has(local::ECHO) {
            self.show(byte, echo);
            echo(b"\n");
        }
        Event::Signal(signal)
    }

    fn canonical(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Event {
        let extended = self.settings.has(local::IEXTEN);
        if self.settings.is(special::ERASE, byte) || byte == 8 {
            self.erase(echo);
        } else if self.settings.is(special::KILL, byte) {
            self.kill(echo);
        } else if extended && self.settings.is(special::WERASE, byte) {
            self.erase_word(echo);
        } else if extended && self.settings.is(special::REPRINT, byte) {
            self.reprint(echo);
        } else if self.settings.is(special::EOF, byte) {
            return self.finish(0);
        } else if byte == b'\n' {
            if self.settings.has(local::ECHO) || self.settings.has(local::ECHONL) {
                echo(b"\n");
            }
            return self.finish(byte);
        } else if self.settings.is(special::EOL, byte) || self.settings.is(special::EOL2, byte) {
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
        let utf8 = self.settings.input & input::IUTF8 != 0;
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
            && self.settings.has(local::ECHO)
        {
            wipe(columns, echo);
        }
    }

    fn kill(&mut self, echo: &mut dyn FnMut(&[u8])) {
        let visible = self.settings.has(local::ECHO) && self.settings.has(local::ECHOKE);
        while let Some(columns) = self.pop() {
            if visible {
                wipe(columns, echo);
            }
        }
        if !visible && self.settings.has(local::ECHO) && self.settings.has(local::ECHOK) {
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
        if !self.settings.has(local::ECHO) {
            return;
        }
        if is_control(byte) && self.settings.has(local::ECHOCTL) {
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
