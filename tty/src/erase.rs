//! Corrections: taking back a character, a word, the line (Linux: `eraser`).

use abi::tty::{ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHOPRT, IUTF8, VERASE, VKILL};

use crate::echo::{Before, Encoding};
use crate::{CAPACITY, Discipline, Event, is_continuation, is_control};

/// How much is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// One character, all its bytes.
    Character,
    /// Back to the beginning of a word.
    Word,
    /// All.
    Line,
}

impl Discipline {
    pub(crate) fn erase(&mut self, what: What) -> Event {
        if self.head == self.line {
            return Event::Nothing;
        }
        if what == What::Line && !(self.has(ECHO) && self.has(ECHOK) && self.has(ECHOKE) && self.has(ECHOE)) {
            self.drop_line();
            return Event::Nothing;
        }
        let mut in_word = false;
        while let Some(start) = self.last_character() {
            let first = self.bytes[start % CAPACITY];
            if what == What::Word {
                if is_word(first) {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let len = self.head - start;
            self.head = start;
            if self.has(ECHO) {
                self.show_erased(what, first, len);
            }
            if what == What::Character {
                break;
            }
        }
        if self.head == self.line && self.has(ECHO) {
            self.echo.finish_erasing();
        }
        Event::Nothing
    }

    /// Forgets the line without wiping it.
    fn drop_line(&mut self) {
        self.head = self.line;
        if self.has(ECHO) {
            self.echo.finish_erasing();
            self.show(self.settings.cc[VKILL]);
            if self.has(ECHOK) {
                self.echo_raw(b'\n');
            }
        }
    }

    /// Where the last character of the unfinished line begins. Bytes that only go on with a character that is not
    /// there are no character, and stay.
    fn last_character(&self) -> Option<usize> {
        let mut start = self.head;
        while start > self.line {
            start -= 1;
            if !self.goes_on(self.bytes[start % CAPACITY]) {
                return Some(start);
            }
        }
        None
    }

    fn goes_on(&self, byte: u8) -> bool {
        self.input_has(IUTF8) && is_continuation(byte)
    }

    /// Shows that a character of `len` bytes was taken back: its bytes still lie behind the head.
    fn show_erased(&mut self, what: What, first: u8, len: usize) {
        if self.has(ECHOPRT) {
            self.echo.begin_erasing();
            self.show(first);
            for at in self.head + 1..self.head + len {
                self.echo.raw(self.bytes[at % CAPACITY], Encoding::Bytes);
                self.echo.step_back();
            }
        } else if what == What::Character && !self.has(ECHOE) {
            self.show(self.settings.cc[VERASE]);
        } else if first == b'\t' {
            self.echo.back_over_tab(self.columns_before());
        } else {
            self.echo.wipe(self.columns_of(first));
        }
    }

    /// Columns that a character is shown in.
    fn columns_of(&self, first: u8) -> usize {
        match (is_control(first), self.has(ECHOCTL)) {
            (false, _) => 1,
            (true, true) => 2,
            (true, false) => 0,
        }
    }

    /// Columns that what is left of the line is shown in, as far back as a tab.
    fn columns_before(&self) -> Before {
        let mut columns = 0;
        for at in (self.line..self.head).rev() {
            match self.bytes[at % CAPACITY] {
                b'\t' => return Before::SinceTab(columns),
                byte if self.goes_on(byte) => {}
                byte => columns += self.columns_of(byte),
            }
        }
        Before::SinceLine(columns)
    }
}

/// Whether a byte belongs to a word: Linux's `isalnum`, which takes bytes above 191 for Latin letters, and `_`.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}
