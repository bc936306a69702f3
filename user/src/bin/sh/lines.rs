//! Lines of input: from a file as they lie there, from a terminal as somebody edits them.
//!
//! While a line is edited the terminal hands out bytes as they come and echoes none of them. Before and after, it is
//! as programs expect it, and what was typed ahead belongs to them. A line that was typed ahead, and so echoed by the
//! terminal already, is taken as it is; what is left over when the terminal goes back is typed there once more
//! (`PENDIN`): each byte is echoed once, and goes to whoever asks for it first.

use alloc::vec::Vec;

use abi::tty::{ECHO, ICANON, IEXTEN, ISIG, IXON, PENDIN, Termios, VMIN, VTIME};
use vitrine_user::{Errno, Fd, print, terminal};

use crate::complete::{self, Completion};
use crate::edit::{Edited, Editor};
use crate::history::History;
use crate::keys::Keys;

/// What a person sees before a line.
const PROMPT: &str = "$ ";

/// Milliseconds after a tab in which what comes was pasted with it.
const PASTED: u32 = 50;

/// What reading a line led to.
pub(crate) enum Input {
    /// A line, without its newline.
    Line(Vec<u8>),
    /// ^C: the line was given up.
    Interrupted,
    /// There are no more.
    End,
}

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

    /// The next line; from a terminal behind a prompt, and edited there.
    pub(crate) fn next_line(&mut self, history: &History) -> Result<Input, Errno> {
        if !self.terminal {
            return self.plain_line();
        }
        let raw = match terminal::ready_within(self.input, 0) {
            Ok(false) if self.buffer.is_empty() => Raw::enter(self.input).ok(),
            _ => None,
        };
        print!("{PROMPT}");
        match raw {
            Some(_raw) => edited_line(self.input, history),
            // A line is there already, or the terminal will not be changed.
            None => self.plain_line(),
        }
    }

    /// The next line as it comes.
    ///
    /// A terminal hands out a line at a time and a script belongs to the shell alone, but what lies behind a line of
    /// redirected standard input may be meant for the program that line starts: there one byte is read at a time.
    fn plain_line(&mut self) -> Result<Input, Errno> {
        let step = if self.terminal || self.input != Fd::STDIN { 1024 } else { 1 };
        let mut chunk = [0; 1024];
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let mut line = core::mem::replace(&mut self.buffer, rest);
                line.pop();
                return Ok(Input::Line(line));
            }
            match self.input.read(&mut chunk[..step])? {
                0 if self.buffer.is_empty() => return Ok(Input::End),
                0 => return Ok(Input::Line(core::mem::take(&mut self.buffer))),
                bytes => self.buffer.extend_from_slice(&chunk[..bytes]),
            }
        }
    }
}

/// Lets somebody edit a line. One byte is read at a time: what lies behind the line is not the shell's.
fn edited_line(input: Fd, history: &History) -> Result<Input, Errno> {
    let columns = terminal::size(input).map_or(0, |size| usize::from(size.cols));
    let mut editor = Editor::new(PROMPT.as_bytes(), if columns == 0 { 80 } else { columns });
    let mut keys = Keys::default();
    let mut byte = [0];
    loop {
        if input.read(&mut byte)? == 0 {
            return Ok(Input::End);
        }
        let Some(key) = keys.take(byte[0]) else { continue };
        let edited = editor.press(key, history);
        match edited {
            // Nobody types on so soon: it was pasted, and is meant as it is.
            Edited::Complete if terminal::ready_within(input, PASTED) == Ok(true) => editor.insert(b"\t"),
            Edited::Complete => apply(&mut editor),
            _ => {}
        }
        Fd::STDOUT.write_all(&editor.take_output())?;
        match edited {
            Edited::Goes | Edited::Complete => {}
            Edited::Line(line) => return Ok(Input::Line(line)),
            Edited::Interrupted => return Ok(Input::Interrupted),
            Edited::End => return Ok(Input::End),
        }
    }
}

/// Completes the word before the cursor, or shows what it may become.
fn apply(editor: &mut Editor) {
    match complete::complete(editor.before_cursor(), &complete::Machine) {
        Completion::Nothing => editor.ring(),
        Completion::Insert(bytes) => editor.insert(&bytes),
        Completion::Choices(names) => editor.list(&names),
    }
}

/// A terminal that hands out bytes as they come, until this is dropped.
struct Raw {
    terminal: Fd,
    before: Termios,
}

impl Raw {
    fn enter(terminal: Fd) -> Result<Self, Errno> {
        let before = terminal::settings(terminal)?;
        let mut raw = before;
        raw.lflag &= !(ICANON | ECHO | ISIG | IEXTEN);
        raw.iflag &= !IXON;
        (raw.cc[VMIN], raw.cc[VTIME]) = (1, 0);
        terminal::set(terminal, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let after = Termios { lflag: self.before.lflag | PENDIN, ..self.before };
        // A terminal that could be changed can be changed back.
        let _ = terminal::set(self.terminal, &after);
    }
}
