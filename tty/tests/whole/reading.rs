//! Whole calls of `read` outside canonical mode, by a clock that the test moves.

use std::time::Duration;

use crate::common::{typed, with};
use abi::tty::{ECHO, ICANON, VMIN, VTIME};
use tty::{Discipline, Progress, Reading};

fn raw(least: u8, time: u8) -> Discipline {
    with(|to| {
        to.lflag &= !(ICANON | ECHO);
        (to.cc[VMIN], to.cc[VTIME]) = (least, time);
    })
}

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One call that asks for `len` bytes.
struct Call(Reading, Vec<u8>);

impl Call {
    fn new(len: usize, now: u64) -> Self {
        Self(Reading::new(at(now)), vec![0; len])
    }

    fn step(&mut self, line: &mut Discipline, now: u64) -> Progress {
        self.0.step(line, &mut self.1, at(now))
    }
}

#[test]
fn as_many_bytes_as_min_says() {
    let (mut line, mut call) = (raw(3, 0), Call::new(10, 0));
    assert_eq!(call.step(&mut line, 0), Progress::Wait(None));
    typed(&mut line, b"ab");
    assert!(!line.ready());
    assert_eq!(call.step(&mut line, 10_000), Progress::Wait(None));
    typed(&mut line, b"cd");
    assert_eq!(call.step(&mut line, 20_000), Progress::Done(4));
    assert_eq!(&call.1[..4], b"abcd");
}

#[test]
fn no_more_than_there_is_place_for() {
    let (mut line, mut call) = (raw(200, 0), Call::new(2, 0));
    typed(&mut line, b"abc");
    assert_eq!(call.step(&mut line, 0), Progress::Done(2));
    assert_eq!(Call::new(0, 0).step(&mut line, 0), Progress::Done(0));
    assert_eq!(line.readable(), 1);
}

#[test]
fn the_time_between_bytes() {
    let (mut line, mut call) = (raw(5, 2), Call::new(10, 0));
    assert_eq!(call.step(&mut line, 50_000), Progress::Wait(None));
    typed(&mut line, b"a");
    assert!(line.ready());
    assert_eq!(call.step(&mut line, 60_000), Progress::Wait(Some(at(60_200))));
    typed(&mut line, b"b");
    assert_eq!(call.step(&mut line, 60_150), Progress::Wait(Some(at(60_350))));
    assert_eq!(call.step(&mut line, 60_349), Progress::Wait(Some(at(60_350))));
    assert_eq!(call.step(&mut line, 60_350), Progress::Done(2));
}

#[test]
fn the_time_of_the_whole_call() {
    let (mut line, mut call) = (raw(0, 3), Call::new(10, 1000));
    assert_eq!(call.step(&mut line, 1000), Progress::Wait(Some(at(1300))));
    assert_eq!(call.step(&mut line, 1300), Progress::Done(0));
    let mut call = Call::new(10, 2000);
    typed(&mut line, b"a");
    assert_eq!(call.step(&mut line, 2100), Progress::Done(1));
}

#[test]
fn at_once_where_neither_is_set() {
    let mut line = raw(0, 0);
    assert_eq!(Call::new(10, 0).step(&mut line, 0), Progress::Done(0));
    typed(&mut line, b"ab");
    assert_eq!(Call::new(10, 0).step(&mut line, 0), Progress::Done(2));
}

#[test]
fn a_line_where_lines_are_wanted() {
    let (mut line, mut call) = (Discipline::new(), Call::new(10, 0));
    typed(&mut line, b"ab");
    assert_eq!(call.step(&mut line, 0), Progress::Wait(None));
    typed(&mut line, b"\n");
    assert_eq!(call.step(&mut line, 0), Progress::Done(3));
    typed(&mut line, b"\x04");
    assert_eq!(Call::new(10, 0).step(&mut line, 0), Progress::Done(0));
}
