//! Typing at a discipline, and reading from it.

use abi::tty::Termios;
use tty::settings::COOKED;
use tty::{Discipline, Event};

/// A discipline with `change` made to the settings of a terminal as a person expects it.
pub(crate) fn with(change: impl FnOnce(&mut Termios)) -> Discipline {
    let mut line = Discipline::new();
    let mut settings = COOKED;
    change(&mut settings);
    line.set(settings);
    line
}

/// What waits to be shown.
pub(crate) fn shown(line: &mut Discipline) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 100];
    loop {
        match line.take_echo(&mut piece) {
            0 => return all,
            some => all.extend_from_slice(&piece[..some]),
        }
    }
}

/// Types `bytes`; answers what the terminal shows, and the last event that was more than nothing.
pub(crate) fn types(line: &mut Discipline, bytes: &[u8]) -> (Vec<u8>, Event) {
    let (mut all, mut last) = (Vec::new(), Event::Nothing);
    for &byte in bytes {
        match line.input(byte) {
            Event::Nothing => {}
            event => last = event,
        }
        all.extend(shown(line));
    }
    (all, last)
}

/// Types `bytes`; answers what the terminal shows.
pub(crate) fn typed(line: &mut Discipline, bytes: &[u8]) -> Vec<u8> {
    types(line, bytes).0
}

/// What a read of at most `len` bytes finds.
pub(crate) fn read(line: &mut Discipline, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let taken = line.read(&mut bytes)?;
    bytes.truncate(taken);
    Some(bytes)
}
