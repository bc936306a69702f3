//! The line a person is typing: what is in it, where the cursor is, and what to send so that the screen shows it.
//!
//! A plain character at the end of the line is sent as it is and nothing else, so that a session looks the same as with
//! the terminal's own echo. The line may run over several rows; one character is taken for one column.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use crate::history::History;
use crate::keys::Key;

const BEL: &[u8] = b"\x07";
const CLEAR_TO_END: &[u8] = b"\x1b[J";
const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";

/// What a key led to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Edited {
    /// The line goes on.
    Goes,
    /// The line is done.
    Line(Vec<u8>),
    /// It was given up.
    Interrupted,
    /// There will be no more lines.
    End,
    /// Somebody is to complete the word before the cursor: [`Editor::before_cursor`], then [`Editor::insert`].
    Complete,
}

/// A line under way, and the screen it is on.
pub(crate) struct Editor {
    prompt: &'static [u8],
    columns: usize,
    text: Vec<u8>,
    /// The byte the cursor stands on.
    at: usize,
    /// What is to be sent.
    out: Vec<u8>,
    /// How many columns behind the start of the prompt the screen's cursor is.
    cursor: usize,
    /// The cursor is behind the last column of a row, and still in that row.
    hanging: bool,
    killed: Vec<u8>,
    /// How far back in the history this line is, and the line that was begun before that.
    back: usize,
    draft: Vec<u8>,
    /// ^D was the last key.
    asked_to_end: bool,
}

impl Editor {
    /// An empty line behind `prompt`, which is shown already, on a screen of so many columns.
    pub(crate) fn new(prompt: &'static [u8], columns: usize) -> Self {
        let columns = columns.max(prompt.len() + 1);
        Self {
            prompt,
            columns,
            text: Vec::new(),
            at: 0,
            out: Vec::new(),
            cursor: prompt.len(),
            hanging: false,
            killed: Vec::new(),
            back: 0,
            draft: Vec::new(),
            asked_to_end: false,
        }
    }

    /// What is to be sent to the terminal.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// The line up to the cursor.
    pub(crate) fn before_cursor(&self) -> &[u8] {
        &self.text[..self.at]
    }

    /// Does what a key says.
    pub(crate) fn press(&mut self, key: Key, history: &History) -> Edited {
        let asked_before = core::mem::take(&mut self.asked_to_end);
        match key {
            Key::Character(bytes) => self.insert(&bytes),
            Key::Enter => return self.finish(),
            Key::Tab => return Edited::Complete,
            Key::Left => self.move_to(self.before(self.at)),
            Key::Right => self.move_to(self.after(self.at)),
            Key::WordLeft => self.move_to(self.word_before()),
            Key::WordRight => self.move_to(self.word_after()),
            Key::Home => self.move_to(0),
            Key::End => self.move_to(self.text.len()),
            Key::Up => self.recall(self.back + 1, history),
            Key::Down => self.recall(self.back.wrapping_sub(1), history),
            Key::EraseLeft => self.erase(self.before(self.at)..self.at),
            Key::EraseRight => self.erase(self.at..self.after(self.at)),
            Key::EraseWordLeft => self.kill(self.word_before()..self.at),
            Key::EraseWordRight => self.kill(self.at..self.word_after()),
            Key::KillToStart => self.kill(0..self.at),
            Key::KillToEnd => self.kill(self.at..self.text.len()),
            Key::Yank => self.insert(&self.killed.clone()),
            Key::Swap => self.swap(),
            Key::ClearScreen => self.clear_screen(),
            Key::Interrupt => {
                self.show_cursor_at(self.text.len());
                self.out.extend_from_slice(b"^C\n");
                return Edited::Interrupted;
            }
            Key::EndOfInput if self.text.is_empty() => return Edited::End,
            Key::EndOfInput if self.at < self.text.len() => self.erase(self.at..self.after(self.at)),
            // Twice at the end of a line hands it in, as on a terminal that edits lines itself.
            Key::EndOfInput if asked_before => return self.finish(),
            Key::EndOfInput => self.asked_to_end = true,
        }
        Edited::Goes
    }

    /// Puts bytes in at the cursor.
    pub(crate) fn insert(&mut self, bytes: &[u8]) {
        self.text.splice(self.at..self.at, bytes.iter().copied());
        self.show(self.at..self.text.len());
        self.at += bytes.len();
        self.show_cursor_at(self.at);
    }

    /// Shows `lines` under the line, and then the line again.
    pub(crate) fn list(&mut self, lines: &[Vec<u8>]) {
        self.show_cursor_at(self.text.len());
        self.out.push(b'\n');
        for line in lines {
            self.out.extend_from_slice(line);
            self.out.push(b'\n');
        }
        self.show_anew();
    }

    /// Says that there is nothing to do.
    pub(crate) fn ring(&mut self) {
        self.out.extend_from_slice(BEL);
    }

    fn finish(&mut self) -> Edited {
        self.show_cursor_at(self.text.len());
        self.out.push(b'\n');
        Edited::Line(core::mem::take(&mut self.text))
    }

    fn move_to(&mut self, at: usize) {
        self.at = at;
        self.show_cursor_at(at);
    }

    fn kill(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.killed = self.text[range.clone()].to_vec();
        }
        self.erase(range);
    }

    fn erase(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let (start, columns) = (range.start, columns_of(&self.text[range.clone()]));
        let at_end = self.at == self.text.len() && range.end == self.at;
        self.text.drain(range);
        self.at = start;
        // What stands last in a row is wiped as the terminal's own editing does it.
        if at_end && columns <= self.cursor % self.columns {
            (0..columns).for_each(|_| self.out.extend_from_slice(b"\x08 \x08"));
            self.cursor -= columns;
            return;
        }
        self.show_cursor_at(start);
        self.show(start..self.text.len());
        self.unhang();
        self.out.extend_from_slice(CLEAR_TO_END);
        self.show_cursor_at(start);
    }

    fn swap(&mut self) {
        let end = if self.at == self.text.len() { self.at } else { self.after(self.at) };
        let middle = self.before(end);
        let start = self.before(middle);
        if start == middle {
            return;
        }
        self.text[start..end].rotate_left(middle - start);
        self.show_cursor_at(start);
        self.show(start..self.text.len());
        self.move_to(end);
    }

    /// Shows the line that is `back` lines back in the history; 0 is the one that was begun.
    fn recall(&mut self, back: usize, history: &History) {
        let line = match back {
            0 => self.draft.clone(),
            back => match history.back(back) {
                Some(line) => line.to_vec(),
                None => return self.ring(),
            },
        };
        if self.back == 0 {
            self.draft = core::mem::take(&mut self.text);
        }
        self.back = back;
        self.show_cursor_at(0);
        self.text = line;
        self.at = self.text.len();
        self.show(0..self.at);
        self.unhang();
        self.out.extend_from_slice(CLEAR_TO_END);
    }

    fn clear_screen(&mut self) {
        self.out.extend_from_slice(CLEAR_SCREEN);
        self.show_anew();
    }

    /// Shows prompt and line on a fresh row.
    fn show_anew(&mut self) {
        self.out.extend_from_slice(self.prompt);
        (self.cursor, self.hanging) = (self.prompt.len(), false);
        self.show(0..self.text.len());
        self.show_cursor_at(self.at);
    }

    // --- The screen --------------------------------------------------------------------------------------------------

    /// How many columns behind the start of the prompt a byte of the line is.
    fn column_of(&self, at: usize) -> usize {
        self.prompt.len() + columns_of(&self.text[..at])
    }

    /// Sends a part of the line from where the screen's cursor is, which is where that part belongs.
    fn show(&mut self, range: Range<usize>) {
        for &byte in &self.text[range] {
            if is_control(byte) {
                self.out.extend_from_slice(&[b'^', byte ^ 0x40]);
            } else {
                self.out.push(byte);
            }
            let columns = columns_of(&[byte]);
            self.cursor += columns;
            if columns > 0 {
                self.hanging = self.cursor.is_multiple_of(self.columns);
            }
        }
    }

    /// Moves the screen's cursor to a byte of the line.
    fn show_cursor_at(&mut self, at: usize) {
        let to = self.column_of(at);
        if to == self.cursor {
            return;
        }
        self.unhang();
        let (row, column) = (to / self.columns, to % self.columns);
        let (from_row, from_column) = (self.cursor / self.columns, self.cursor % self.columns);
        let mut say = |count: usize, letter: char| {
            if count > 0 {
                self.out.extend_from_slice(format!("\x1b[{count}{letter}").as_bytes());
            }
        };
        say(from_row.saturating_sub(row), 'A');
        say(row.saturating_sub(from_row), 'B');
        say(from_column.saturating_sub(column), 'D');
        say(column.saturating_sub(from_column), 'C');
        self.cursor = to;
    }

    /// Takes the cursor from behind the last column to the next row.
    fn unhang(&mut self) {
        if core::mem::take(&mut self.hanging) {
            self.out.extend_from_slice(b" \r");
        }
    }

    // --- The text ----------------------------------------------------------------------------------------------------

    /// Where the character before `at` begins.
    fn before(&self, at: usize) -> usize {
        let mut at = at.saturating_sub(1);
        while at > 0 && is_continuation(self.text[at]) {
            at -= 1;
        }
        at
    }

    /// Where the character at `at` ends.
    fn after(&self, at: usize) -> usize {
        let mut at = (at + 1).min(self.text.len());
        while at < self.text.len() && is_continuation(self.text[at]) {
            at += 1;
        }
        at
    }

    fn word_before(&self) -> usize {
        let blanks = self.text[..self.at].iter().rev().take_while(|byte| is_blank(**byte)).count();
        let word = self.text[..self.at - blanks].iter().rev().take_while(|byte| !is_blank(**byte)).count();
        self.at - blanks - word
    }

    fn word_after(&self) -> usize {
        let blanks = self.text[self.at..].iter().take_while(|byte| is_blank(**byte)).count();
        let word = self.text[self.at + blanks..].iter().take_while(|byte| !is_blank(**byte)).count();
        self.at + blanks + word
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_control(byte: u8) -> bool {
    byte < 32 || byte == 127
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Columns that bytes are shown in.
fn columns_of(bytes: &[u8]) -> usize {
    bytes.iter().map(|&byte| if is_control(byte) { 2 } else { usize::from(!is_continuation(byte)) }).sum()
}

#[cfg(test)]
mod tests;
