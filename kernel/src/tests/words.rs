//! Lines typed at the terminal.

use alloc::vec;
use alloc::vec::Vec;

use crate::console::line::{CAPACITY, Discipline, Event, Signal};
use crate::testing::kernel_test;

/// Types `bytes`; answers what the terminal shows.
fn typed(line: &mut Discipline, bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    for &byte in bytes {
        line.input(byte, &mut |echo| shown.extend_from_slice(echo));
    }
    shown
}

/// What a read of at most `len` bytes finds.
fn read(line: &mut Discipline, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let taken = line.read(&mut bytes)?;
    bytes.truncate(taken);
    Some(bytes)
}

kernel_test! {
    /// A line can be read when it is finished, corrected as it was.
    fn a_typed_line_is_read_when_finished() {
        let mut line = Discipline::new();
        assert_eq!(typed(&mut line, b"helx\x7flo"), b"helx\x08 \x08lo");
        assert_eq!((read(&mut line, 99), line.readable()), (None, 0));
        assert_eq!(typed(&mut line, b"\r"), b"\n");
        assert_eq!(read(&mut line, 99).unwrap(), b"hello\n");
        assert_eq!(read(&mut line, 99), None);
    }

    /// A read takes at most a line, a short one part of it, and none of what is asked for as nothing.
    fn a_read_takes_one_line_at_most() {
        let mut line = Discipline::new();
        typed(&mut line, b"one\ntwo\n");
        assert_eq!(read(&mut line, 0).unwrap(), b"");
        assert_eq!(read(&mut line, 2).unwrap(), b"on");
        assert_eq!(read(&mut line, 99).unwrap(), b"e\n");
        assert_eq!(read(&mut line, 99).unwrap(), b"two\n");
    }

    /// ^D ends the file on an empty line, and gives out an unfinished one, to a reader of just its length too.
    fn the_end_of_file_is_typed() {
        let mut line = Discipline::new();
        typed(&mut line, b"\x04");
        assert_eq!(read(&mut line, 99).unwrap(), b"");
        typed(&mut line, b"abc\x04");
        assert_eq!(read(&mut line, 3).unwrap(), b"abc");
        assert_eq!(read(&mut line, 3), None);
    }

    /// ^U, ^W and DEL take back what they name, whole characters of UTF-8, and never the line before.
    fn corrections_take_back_what_they_name() {
        let mut line = Discipline::new();
        typed(&mut line, "done\njunk\x15gr\u{fc}\u{df}\x7f\x08e two  \x17three\n".as_bytes());
        assert_eq!(read(&mut line, 99).unwrap(), b"done\n");
        assert_eq!(read(&mut line, 99).unwrap(), b"gre three\n");
        assert_eq!(typed(&mut line, b"\x7f\x15\x17"), b"");
        assert_eq!(typed(&mut line, b"\x01\x7f"), b"^A\x08 \x08\x08 \x08");
    }

    /// ^C drops the line and says so.
    fn an_interrupt_character_drops_the_line() {
        let mut line = Discipline::new();
        typed(&mut line, b"rm -r");
        assert_eq!(line.input(3, &mut |_| {}), Event::Signal(Signal::Interrupt));
        assert_eq!(typed(&mut line, b"\n"), b"\n");
        assert_eq!(read(&mut line, 99).unwrap(), b"\n");
    }

    /// A full buffer asks the sender to wait and loses nothing of what it took; an endless line loses its end alone.
    fn a_full_buffer_stops_the_input() {
        let mut line = Discipline::new();
        let mut sent = 0;
        while line.room() > 0 {
            typed(&mut line, if sent % 10 == 9 { b"\n" } else { b"x" });
            sent += 1;
        }
        let mut got = 0;
        while let Some(bytes) = read(&mut line, CAPACITY) {
            got += bytes.len();
        }
        assert!(sent >= CAPACITY - 10 && got >= sent - 10, "{sent} sent, {got} read");
        let mut line = Discipline::new();
        for _ in 0..2 * CAPACITY {
            assert!(line.room() > 0);
            typed(&mut line, b"y");
        }
        typed(&mut line, b"\n");
        assert_eq!((line.room(), read(&mut line, 2 * CAPACITY).map(|bytes| bytes.len())), (0, Some(CAPACITY)));
    }

    /// Outside canonical mode bytes are there at once, as they are.
    fn raw_bytes_are_read_at_once() {
        let mut line = Discipline::new();
        let mut settings = line.settings();
        settings.lflag = 0;
        settings.iflag = 0;
        line.set(settings);
        assert_eq!(typed(&mut line, b"\x03\r\x7f"), b"");
        assert_eq!(read(&mut line, 2).unwrap(), b"\x03\r");
        assert_eq!(read(&mut line, 2).unwrap(), b"\x7f");
        assert_eq!(read(&mut line, 2), None);
    }
}
