//! Lines of input.

use alloc::vec::Vec;

use vitrine_user::{Errno, Fd};

/// Reads lines from a descriptor, never further than it may.
pub(crate) struct Lines {
    input: Fd,
    terminal: bool,
    buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(input: Fd) -> Self {
        Self { input, terminal: input.is_terminal(), buffer: Vec::new() }
    }

    /// Whether somebody sits at the other end.
    pub(crate) fn interactive(&self) -> bool {
        self.terminal
    }

    /// The next line without its newline, or `None` at the end of input.
    ///
    /// A terminal hands out a line at a time and a script belongs to the shell alone, but what lies behind a line of
    /// redirected standard input may be meant for the program that line starts: there one byte is read at a time.
    pub(crate) fn next_line(&mut self) -> Result<Option<Vec<u8>>, Errno> {
        let step = if self.terminal || self.input != Fd::STDIN { 1024 } else { 1 };
        let mut chunk = [0; 1024];
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let mut line = core::mem::replace(&mut self.buffer, rest);
                line.pop();
                return Ok(Some(line));
            }
            match self.input.read(&mut chunk[..step])? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Ok(Some(core::mem::take(&mut self.buffer))),
                bytes => self.buffer.extend_from_slice(&chunk[..bytes]),
            }
        }
    }
}
