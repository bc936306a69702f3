//! How long each step of the start took: marks in the order of the boot, for the log and for `make bootchart`.
//!
//! A mark is the counter's value at the end of a step. QEMU starts the counter at reset; under `--icount` one of its
//! nanoseconds is one instruction. The steps of `boot` come first, those of the kernel behind them.

use core::time::Duration;

use arrayvec::ArrayVec;
use sync::{Mutex, Rank};

use crate::timer;

/// Steps of the kernel there is room for; later ones are left out.
const STEPS: usize = 24;

/// A step, and when it ended.
type Mark = (&'static str, Duration);

static MARKS: Mutex<ArrayVec<Mark, STEPS>> = Mutex::new(Rank::Device, ArrayVec::new_const());

/// The step `name` has just ended.
pub(crate) fn mark(name: &'static str) {
    // A chart that is full keeps its beginning.
    let _ = MARKS.lock().try_push((name, timer::now()));
}

/// Writes every step into the log, where such lines are printed: when it ended, how long it took, its name.
pub(crate) fn log() {
    if !crate::log::prints(log::Level::Info) {
        return;
    }
    let kernel = MARKS.lock().clone();
    let boot = boot::marks().map(|(name, count)| (name, timer::duration(count)));
    let mut before = Duration::ZERO;
    for (name, end) in boot.chain(kernel) {
        log::info!("boot: {:>10} {:>10} {name}", end.as_nanos(), end.saturating_sub(before).as_nanos());
        before = end;
    }
}
