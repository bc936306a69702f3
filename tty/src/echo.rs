//! What the terminal is to show for what was typed, and where its cursor stands.
//!
//! Echo waits here until whoever drives the terminal takes it: output may be stopped, or the line slow. The column is
//! followed so that a tab can be taken back, as far as one line of plain text goes: like Linux, this knows nothing of
//! what escape sequences do to a cursor.

use crate::ring::Ring;
use crate::{is_continuation, is_control};

/// Bytes of echo that wait at most: killing a full line of control characters takes three quarters of it. What finds
/// no room is not shown; that takes output to be stopped, and then that much typing.
const WAITING: usize = 32 << 10;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// Echo that waits, and the cursor.
#[derive(Debug)]
pub(crate) struct Echo {
    waiting: Ring<WAITING>,
    column: usize,
    /// Where the unfinished line began.
    began: usize,
    /// Erased characters are being printed (`ECHOPRT`), and a `/` is due behind them.
    erasing: bool,
}

/// Whether several bytes can be one character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// Each byte is one.
    Bytes,
    /// `IUTF8`.
    Utf8,
}

/// Columns that come before a tab in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// Since the tab before it.
    SinceTab(usize),
    /// Since the beginning of the line.
    SinceLine(usize),
}

impl Echo {
    pub(crate) const fn new() -> Self {
        Self { waiting: Ring::new(), column: 0, began: 0, erasing: false }
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes bytes to be shown into `to`; answers how many.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> usize {
        let taken = to.len().min(self.waiting.len());
        to[..taken].iter_mut().zip(core::iter::from_fn(|| self.waiting.pop())).for_each(|(slot, byte)| *slot = byte);
        taken
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.waiting.skip(self.waiting.len());
    }

    /// Shows a byte as it is.
    pub(crate) fn raw(&mut self, byte: u8, encoding: Encoding) {
        if self.waiting.push(byte).is_ok() {
            self.advance(byte, encoding);
        }
    }

    /// Takes `columns` columns left of the cursor off the screen.
    pub(crate) fn wipe(&mut self, columns: usize) {
        for _ in 0..columns {
            b"\x08 \x08".iter().for_each(|&byte| self.raw(byte, Encoding::Bytes));
        }
    }

    /// Goes back over a tab that so many columns come before.
    pub(crate) fn back_over_tab(&mut self, before: Before) {
        let before = match before {
            Before::SinceTab(columns) => columns,
            Before::SinceLine(columns) => columns + self.began,
        };
        for _ in 0..TAB - before % TAB {
            self.raw(8, Encoding::Bytes);
        }
    }

    /// The unfinished line begins where the cursor is.
    pub(crate) fn begin_line(&mut self) {
        self.began = self.column;
    }

    /// The first of several erased characters: a `\` goes before it.
    pub(crate) fn begin_erasing(&mut self) {
        if !self.erasing {
            self.raw(b'\\', Encoding::Bytes);
            self.erasing = true;
        }
    }

    /// Behind the last of them a `/`.
    pub(crate) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.raw(b'/', Encoding::Bytes);
        }
    }

    /// As if nothing had been erased.
    pub(crate) fn forget_erasing(&mut self) {
        self.erasing = false;
    }

    /// Goes one column back: the byte just shown went on with a character.
    pub(crate) fn step_back(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// Follows what somebody else wrote. Only what lies behind the last line end says where the cursor is.
    pub(crate) fn track(&mut self, bytes: &[u8], encoding: Encoding) {
        let fresh = bytes.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        bytes[fresh.unwrap_or(0)..].iter().for_each(|&byte| self.advance(byte, encoding));
    }

    fn advance(&mut self, byte: u8, encoding: Encoding) {
        match byte {
            b'\n' | b'\r' => (self.column, self.began) = (0, 0),
            b'\t' => self.column += TAB - self.column % TAB,
            8 => self.step_back(),
            byte if is_control(byte) || encoding == Encoding::Utf8 && is_continuation(byte) => {}
            _ => self.column += 1,
        }
    }
}
