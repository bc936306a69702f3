//! `print!` and its kin: each takes one `write` for up to 512 bytes, so that lines of two programs do not mix.

use core::fmt::{self, Write};

use crate::file::Fd;

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($part:tt)*) => { $crate::print::out($crate::Fd::STDOUT, format_args!($($part)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:literal $($part:tt)*) => { $crate::print!("{}\n", format_args!($format $($part)*)) };
}

/// Prints to standard error.
#[macro_export]
macro_rules! eprint {
    ($($part:tt)*) => { $crate::print::out($crate::Fd::STDERR, format_args!($($part)*)) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($format:literal $($part:tt)*) => { $crate::eprint!("{}\n", format_args!($format $($part)*)) };
}

/// Prints `text` to `to`. When nobody can be told the program goes on: there is no better place to say so.
pub fn out(to: Fd, text: fmt::Arguments<'_>) {
    let mut line = Line { to, bytes: [0; 512], filled: 0 };
    let _ = line.write_fmt(text).and_then(|()| line.flush());
}

/// Collects what one `print!` says.
struct Line {
    to: Fd,
    bytes: [u8; 512],
    filled: usize,
}

impl Line {
    fn flush(&mut self) -> fmt::Result {
        let filled = core::mem::take(&mut self.filled);
        self.to.write_all(&self.bytes[..filled]).map_err(|_| fmt::Error)
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.filled == self.bytes.len() {
                self.flush()?;
            }
            let fits = rest.len().min(self.bytes.len() - self.filled);
            self.bytes[self.filled..self.filled + fits].copy_from_slice(&rest[..fits]);
            self.filled += fits;
            rest = &rest[fits..];
        }
        Ok(())
    }
}

/// Bytes that are shown as text: what is not UTF-8 becomes U+FFFD.
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
        })
    }
}
