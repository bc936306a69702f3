//! What a reader gets, and when (Linux: `n_tty_read`).

use core::time::Duration;

use abi::tty::{ICANON, VMIN, VTIME};

use crate::{CAPACITY, Discipline, Mark};

impl Discipline {
    /// Whether there is anything for a reader: a line, an end of file, or outside canonical mode a byte.
    pub fn has_input(&self) -> bool {
        self.line > self.tail
    }

    /// Whether a read that may wait would not (`poll`): outside canonical mode `VMIN` bytes are, where no time is set.
    pub fn ready(&self) -> bool {
        let [least, time] = [self.settings.cc[VMIN], self.settings.cc[VTIME]];
        let least = if self.has(ICANON) || time != 0 { 1 } else { usize::from(least.max(1)) };
        self.line - self.tail >= least
    }

    /// How many bytes there are to be read (`FIONREAD`). An end of file is none.
    pub fn readable(&self) -> usize {
        let is_byte = |at: &usize| !(self.has(ICANON) && self.marks[at % CAPACITY] == Mark::EndOfFile);
        (self.tail..self.line).filter(is_byte).count()
    }

    /// Takes what is ready into `to`: at most one line in canonical mode. `None` where there is nothing; 0 bytes are
    /// the end of file, or nothing asked for.
    pub fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        match (to.is_empty(), self.has_input()) {
            (true, _) => Some(0),
            (false, false) => None,
            (false, true) if self.has(ICANON) => Some(self.read_line(to)),
            (false, true) => Some(self.read_raw(to)),
        }
    }

    fn read_line(&mut self, to: &mut [u8]) -> usize {
        let mut taken = 0;
        // One look further than `to` reaches, so that an end of file right behind goes with the bytes before it.
        while self.tail < self.line {
            let (byte, mark) = (self.bytes[self.tail % CAPACITY], self.marks[self.tail % CAPACITY]);
            if taken == to.len() && mark != Mark::EndOfFile {
                break;
            }
            self.tail += 1;
            if mark != Mark::EndOfFile {
                to[taken] = byte;
                taken += 1;
            }
            if mark != Mark::Plain {
                break;
            }
        }
        taken
    }

    fn read_raw(&mut self, to: &mut [u8]) -> usize {
        let taken = to.len().min(self.line - self.tail);
        for slot in &mut to[..taken] {
            *slot = self.bytes[self.tail % CAPACITY];
            self.tail += 1;
        }
        taken
    }
}

/// One call of `read`, from its first look to its end.
#[derive(Debug)]
pub struct Reading {
    taken: usize,
    /// When it began, or when a byte last came.
    since: Duration,
}

/// How far a [`Reading`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is over, with so many bytes.
    Done(usize),
    /// It waits for input, at most until this time.
    Wait(Option<Duration>),
}

impl Reading {
    /// A call that begins `now`.
    pub fn new(now: Duration) -> Self {
        Self { taken: 0, since: now }
    }

    /// How many bytes there are so far.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes what there is. To be called again when more has come or the time is up.
    ///
    /// In canonical mode a call ends with a line. Outside, it ends with `VMIN` bytes, or as many as `to` holds; with
    /// both `VMIN` and `VTIME`, also when so many tenths of a second have passed since the last byte; with `VTIME`
    /// alone, when they have passed since the call, or with the first byte; with neither, at once.
    pub fn step(&mut self, from: &mut Discipline, to: &mut [u8], now: Duration) -> Progress {
        if let Some(more) = from.read(&mut to[self.taken..]) {
            if from.has(ICANON) {
                return Progress::Done(self.taken + more);
            }
            self.taken += more;
            self.since = now;
        }
        if from.has(ICANON) {
            return if self.taken > 0 { Progress::Done(self.taken) } else { Progress::Wait(None) };
        }
        let [least, time] = [from.settings.cc[VMIN], from.settings.cc[VTIME]].map(usize::from);
        if self.taken >= least.max(1).min(to.len()) {
            return Progress::Done(self.taken);
        }
        let deadline = self.since.saturating_add(Duration::from_millis(100 * time as u64));
        match (least, time, self.taken) {
            (0, 0, _) => Progress::Done(self.taken),
            (0, _, _) | (_, 1.., 1..) if now >= deadline => Progress::Done(self.taken),
            (0, _, _) | (_, 1.., 1..) => Progress::Wait(Some(deadline)),
            _ => Progress::Wait(None),
        }
    }
}
