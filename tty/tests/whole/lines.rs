//! Lines as a person types them.

use crate::common::{read, shown, typed, types, with};
use abi::tty::{ECHO, ICANON, ICRNL, IMAXBEL, ISIG, PENDIN, VEOF, VEOL, VSUSP};
use tty::settings::COOKED;
use tty::{CAPACITY, Discipline, Event, Signal};

#[test]
fn a_typed_line_is_read_when_finished() {
    let mut line = Discipline::new();
    assert_eq!(typed(&mut line, b"helx\x7flo"), b"helx\x08 \x08lo");
    assert_eq!((read(&mut line, 99), line.readable(), line.ready()), (None, 0, false));
    assert_eq!(types(&mut line, b"\r"), (b"\n".to_vec(), Event::Readable));
    assert_eq!((line.readable(), line.ready()), (6, true));
    assert_eq!(read(&mut line, 99).unwrap(), b"hello\n");
    assert_eq!(read(&mut line, 99), None);
}

#[test]
fn a_read_takes_one_line_at_most() {
    let mut line = Discipline::new();
    typed(&mut line, b"one\ntwo\n");
    assert_eq!(read(&mut line, 0).unwrap(), b"");
    assert_eq!(read(&mut line, 2).unwrap(), b"on");
    assert_eq!(read(&mut line, 99).unwrap(), b"e\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"two\n");
}

#[test]
fn the_end_of_file_is_typed() {
    let mut line = Discipline::new();
    assert_eq!(types(&mut line, b"\x04"), (vec![], Event::Readable));
    assert_eq!((line.readable(), line.ready()), (0, true));
    assert_eq!(read(&mut line, 99).unwrap(), b"");
    typed(&mut line, b"abc\x04");
    assert_eq!(line.readable(), 3);
    assert_eq!(read(&mut line, 3).unwrap(), b"abc");
    assert_eq!(read(&mut line, 3), None);
}

#[test]
fn corrections_take_back_what_they_name() {
    let mut line = Discipline::new();
    typed(&mut line, "done\njunk\x15gr\u{fc}\u{df}\x7f\x7fe two_3  \x17three\n".as_bytes());
    assert_eq!(read(&mut line, 99).unwrap(), b"done\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"gre three\n");
    assert_eq!(typed(&mut line, b"\x7f\x15\x17"), b"");
    assert_eq!(typed(&mut line, b"\x01\x7f"), b"^A\x08 \x08\x08 \x08");
    assert_eq!(typed(&mut line, b"ab\x15"), b"ab\x08 \x08\x08 \x08");
}

#[test]
fn a_tab_is_taken_back_to_where_it_began() {
    let mut line = Discipline::new();
    line.wrote(b"some output\n$ ");
    assert_eq!(typed(&mut line, b"ab\t\x7f"), b"ab\t\x08\x08\x08\x08");
    assert_eq!(typed(&mut line, b"\t\tc\x7f\x7f"), b"\t\tc\x08 \x08\x08\x08\x08\x08\x08\x08\x08\x08");
}

#[test]
fn the_next_character_may_be_meant_as_it_is() {
    let mut line = Discipline::new();
    assert_eq!(types(&mut line, b"\x16\x03\x16\x16\x16\n\n").0, b"^\x08^C^\x08^V^\x08^J\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"\x03\x16\n\n");
}

#[test]
fn a_line_is_shown_again() {
    let mut line = Discipline::new();
    assert_eq!(typed(&mut line, b"one\x01\x12"), b"one^A^R\none^A");
}

#[test]
fn an_interrupt_character_drops_the_line() {
    let mut line = Discipline::new();
    typed(&mut line, b"done\nrm -r");
    assert_eq!(types(&mut line, b"\x03"), (b"^C".to_vec(), Event::Signal(Signal::Interrupt)));
    assert_eq!(types(&mut line, b"\x1c"), (b"^\\".to_vec(), Event::Signal(Signal::Quit)));
    assert_eq!(read(&mut line, 99), None);
    assert_eq!(typed(&mut line, b"\n"), b"\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"\n");
    assert_eq!(types(&mut with(|to| to.lflag &= !ISIG), b"\x03"), (b"^C".to_vec(), Event::Nothing));
}

#[test]
fn control_z_means_nothing_until_a_program_says_so() {
    assert_eq!(types(&mut Discipline::new(), b"\x1a"), (b"^Z".to_vec(), Event::Nothing));
    let mut line = with(|to| to.cc[VSUSP] = 26);
    assert_eq!(types(&mut line, b"\x1a").1, Event::Signal(Signal::Suspend));
}

#[test]
fn control_s_holds_the_echo_and_control_q_lets_it_go() {
    let mut line = Discipline::new();
    assert_eq!(typed(&mut line, b"ab\x13cd"), b"ab");
    assert!(line.stopped());
    assert_eq!(typed(&mut line, b"\x11"), b"cd");
    assert!(!line.stopped());
    typed(&mut line, b"\x13");
    assert_eq!(typed(&mut line, b"\x03"), b"^C");
}

#[test]
fn a_full_buffer_stops_the_input() {
    let mut line = Discipline::new();
    let mut sent = 0;
    while line.room() > 0 {
        typed(&mut line, if sent % 100 == 99 { b"\n" } else { b"x" });
        sent += 1;
    }
    assert_eq!(sent, CAPACITY - 1);
    let mut got = 0;
    while let Some(bytes) = read(&mut line, 1000) {
        got += bytes.len();
    }
    assert_eq!(got, sent - sent % 100);
    typed(&mut line, b"\n");
    assert_eq!(read(&mut line, 1000).unwrap().len(), sent % 100 + 1);
}

#[test]
fn an_endless_line_loses_its_end_alone_and_rings_for_each_byte() {
    let mut line = Discipline::new();
    assert_eq!(typed(&mut line, &[b'y'; 4095]).len(), 4095);
    assert_eq!(line.room(), 1);
    assert_eq!(typed(&mut line, b"zz"), b"\x07\x07");
    assert_eq!(typed(&mut line, b"\x7f!?\n"), b"\x08 \x08!\x07\n");
    let got = read(&mut line, CAPACITY).unwrap();
    assert_eq!((got.len(), &got[4093..]), (CAPACITY, &b"y!\n"[..]));
    let mut silent = with(|to| to.iflag &= !IMAXBEL);
    typed(&mut silent, &[b'y'; 4095]);
    assert_eq!(typed(&mut silent, b"z"), b"");
}

#[test]
fn what_waits_is_read_when_lines_end_and_as_one_when_they_begin() {
    let mut line = Discipline::new();
    typed(&mut line, b"one\ntw");
    let raw = abi::tty::Termios { lflag: COOKED.lflag & !(ICANON | ECHO), ..COOKED };
    assert_eq!(line.set(raw), Event::Readable);
    assert_eq!(read(&mut line, 2).unwrap(), b"on");
    typed(&mut line, b"\x15o\n\x04");
    assert_eq!(line.set(COOKED), Event::Readable);
    assert_eq!(shown(&mut line), b"");
    assert_eq!(read(&mut line, 99).unwrap(), b"e\ntw\x15o\n\x04");
    assert_eq!(read(&mut line, 99), None);
}

#[test]
fn what_was_typed_ahead_can_be_typed_once_more() {
    let mut line = with(|to| to.lflag &= !(ICANON | ECHO));
    typed(&mut line, b"cat\nheP\x7fllo\n\x04fra");
    assert_eq!(read(&mut line, 4).unwrap(), b"cat\n");
    let event = line.set(abi::tty::Termios { lflag: COOKED.lflag | PENDIN, ..COOKED });
    assert_eq!((event, line.settings()), (Event::Readable, COOKED));
    assert_eq!(shown(&mut line), b"heP\x08 \x08llo\nfra");
    assert_eq!(read(&mut line, 99).unwrap(), b"hello\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"");
    assert_eq!(read(&mut line, 99), None);
    typed(&mut line, b"gment\n");
    assert_eq!(read(&mut line, 99).unwrap(), b"fragment\n");
}

#[test]
fn an_interrupt_typed_ahead_is_one_once_more() {
    let mut line = with(|to| to.lflag &= !(ICANON | ECHO | ISIG));
    typed(&mut line, b"gone\n\x03kept\n");
    let event = line.set(abi::tty::Termios { lflag: COOKED.lflag | PENDIN, ..COOKED });
    assert_eq!(event, Event::Signal(Signal::Interrupt));
    assert_eq!(read(&mut line, 99).unwrap(), b"kept\n");
}

#[test]
fn an_end_of_file_that_nobody_read_is_the_character_it_was() {
    let mut line = with(|to| to.cc[VEOF] = b'!');
    typed(&mut line, b"!");
    line.set(abi::tty::Termios { lflag: COOKED.lflag & !ICANON, ..COOKED });
    assert_eq!((line.readable(), read(&mut line, 99).unwrap()), (1, b"!".to_vec()));
}

#[test]
fn further_ends_of_line_and_returns_are_what_the_settings_say() {
    let mut line = with(|to| (to.cc[VEOL], to.iflag) = (b';', to.iflag & !ICRNL));
    assert_eq!(typed(&mut line, b"a\rb;"), b"a^Mb;");
    assert_eq!(read(&mut line, 99).unwrap(), b"a\rb;");
}

#[test]
fn killing_a_full_line_of_control_characters_is_shown_whole() {
    let mut line = Discipline::new();
    assert_eq!(typed(&mut line, &[1; 4095]).len(), 2 * 4095);
    assert_eq!(typed(&mut line, b"\x15").len(), 3 * 2 * 4095);
}
