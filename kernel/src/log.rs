//! The kernel's log: Linux's levels, a line a record, and the last 16 KiB kept for the panic report.
//!
//! A record is formatted on the stack, so the log works before the heap and after it. `loglevel=N` prints what is
//! below N; the ring keeps everything from `Info` up whether printed or not.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use log::{Level, LevelFilter, Log, Metadata, Record};
use platform::cmdline::DEFAULT_LOG_LEVEL;
use sync::{Mutex, Rank};

use crate::{console, timer};

/// Bytes kept.
const RING: usize = 16 << 10;
/// The longest line; more is cut off and marked.
const LINE: usize = 512;
const CUT: &[u8] = b"...\n";

static LOGGER: Logger = Logger;
static PRINTED: AtomicU8 = AtomicU8::new(DEFAULT_LOG_LEVEL);
static KEPT: Mutex<Ring> = Mutex::new(Rank::Log, Ring { bytes: [0; RING], written: 0 });

/// Takes the log into use; records of a Linux level below `level` are printed. Calling it again changes the level.
pub(crate) fn init(level: u8) {
    PRINTED.store(level, Ordering::Relaxed);
    // Refused where a logger is there already, which is this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(if level >= 7 { LevelFilter::Debug } else { LevelFilter::Info });
}

/// Whether records of `level` are printed, not only kept.
pub(crate) fn prints(level: Level) -> bool {
    linux_level(level) < PRINTED.load(Ordering::Relaxed)
}

/// Linux's number for a level (`KERN_ERR` and so on).
const fn linux_level(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = Line::new(timer::now());
        // A full line is cut, never an error.
        let _ = line.write_fmt(*record.args());
        let line = line.finish();
        let mut kept = KEPT.lock();
        kept.push(&line);
        if prints(record.level()) {
            console::write(&line);
        }
    }

    fn flush(&self) {}
}

/// One record on its way: the time since boot, the text, a newline.
struct Line {
    bytes: ArrayVec<u8, LINE>,
    cut: bool,
}

impl Line {
    fn new(at: Duration) -> Self {
        let mut line = Self { bytes: ArrayVec::new(), cut: false };
        // Far shorter than a line.
        let _ = write!(line, "[{:5}.{:06}] ", at.as_secs(), at.subsec_micros());
        line
    }

    fn finish(mut self) -> ArrayVec<u8, LINE> {
        let end: &[u8] = if self.cut { CUT } else { b"\n" };
        // `write_str` leaves room for it.
        let _ = self.bytes.try_extend_from_slice(end);
        self.bytes
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE - CUT.len() - self.bytes.len();
        let fits = text.len().min(room);
        self.cut |= fits < text.len();
        let _ = self.bytes.try_extend_from_slice(&text.as_bytes()[..fits]);
        Ok(())
    }
}

/// The last bytes of the log.
struct Ring {
    bytes: [u8; RING],
    /// Bytes ever written.
    written: usize,
}

impl Ring {
    fn push(&mut self, line: &[u8]) {
        for &byte in line {
            self.bytes[self.written % RING] = byte;
            self.written = self.written.wrapping_add(1);
        }
    }

    /// The bytes of the last `lines` whole lines, oldest first.
    fn tail(&self, lines: usize) -> impl Iterator<Item = u8> + '_ {
        let oldest = self.written.saturating_sub(RING);
        let ends = |at: &usize| self.bytes[*at % RING] == b'\n';
        // The end of the line before the wanted ones; with fewer lines there, everything.
        let start = (oldest..self.written).rev().filter(ends).nth(lines).map_or(oldest, |at| at + 1);
        (start..self.written).map(|at| self.bytes[at % RING])
    }
}

/// Shows the last `lines` records to `each`, byte by byte, under the log's lock: `each` may take none itself. Does not wait
/// for the lock.
///
/// # Errors
/// [`Locked`]: somebody holds it.
pub(crate) fn last_lines(lines: usize, each: &mut dyn FnMut(u8)) -> Result<(), Locked> {
    KEPT.try_lock().ok_or(Locked)?.tail(lines).for_each(each);
    Ok(())
}

/// Somebody is writing to the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Locked;

/// Takes the log away from whoever writes to it.
///
/// # Safety
/// That one never goes on: only the panic path may say so.
pub(crate) unsafe fn take_over() {
    // SAFETY: as the caller says.
    unsafe { KEPT.force_unlock() };
}
