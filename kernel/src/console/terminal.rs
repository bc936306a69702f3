//! The terminal on the console: typed bytes go through the line discipline, readers wait for lines.
//!
//! What was received is digested by a task of the kernel, as Linux's `flush_to_ldisc` is by a worker: sending a signal
//! takes locks that an interrupt handler must not, and a long echo would keep interrupts masked.

use core::time::Duration;

use abi::signal;
use abi::tty::{IXOFF, Termios, VSTART, VSTOP, Winsize};
use sync::{Mutex, Rank};
use tty::{Discipline, Event, Progress, Reading, Signal};

use super::receive::{RECEIVED, RING, resume};
use crate::heap::OutOfMemory;
use crate::task::group;
use crate::task::wait::{Ended, Interrupted, WaitQueue};
use crate::{task, timer};

/// The one terminal; fds 0, 1 and 2 of a program begin as it.
pub(crate) static TERMINAL: Terminal = Terminal::new();

/// Echo that may wait before the next byte is looked at.
const ECHO_MOST: usize = 256;

/// A line discipline, and those who wait for what comes out of it.
pub(crate) struct Terminal {
    state: Mutex<State>,
    readers: WaitQueue,
    writers: WaitQueue,
    /// Where the task waits that digests what is received.
    digester: WaitQueue,
}

struct State {
    discipline: Discipline,
    size: Winsize,
    /// The other end was asked to stop sending (`IXOFF`).
    asked_to_stop: bool,
}

/// What a batch of typed bytes led to.
#[derive(Default)]
struct Digested {
    bytes: usize,
    readable: bool,
    signal: Option<Signal>,
    started: bool,
}

/// Whether a call may wait (`O_NONBLOCK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// It may.
    Waits,
    /// It answers [`Refused::WouldWait`] instead.
    Never,
}

/// Why a read or write ended without a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The task is to stop waiting.
    Interrupted,
    /// It would have to wait.
    WouldWait,
}

impl From<Interrupted> for Refused {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// What becomes of unread input when the settings change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// It stays.
    Nothing,
    /// It goes.
    Input,
}

/// Starts the task that digests what is received.
///
/// # Errors
/// [`OutOfMemory`].
pub(super) fn spawn() -> Result<(), OutOfMemory> {
    task::spawn_kernel(digest, 0).map(drop)
}

extern "C" fn digest(_: usize) -> ! {
    arch::irq::enable();
    loop {
        // Ends only where there is no memory to wait in; then others are let run, and it begins again.
        let _ = TERMINAL.digester.wait_until(|| {
            TERMINAL.digest();
            None::<()>
        });
        task::sched::yield_now();
    }
}

impl Terminal {
    const fn new() -> Self {
        // A serial line does not know the window at its other end (`window=` says): this is what terminals began as.
        let size = Winsize { rows: 24, cols: 80, xpixel: 0, ypixel: 0 };
        let state = State { discipline: Discipline::new(), size, asked_to_stop: false };
        Self {
            state: Mutex::new(Rank::Terminal, state),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            digester: WaitQueue::new(),
        }
    }

    /// Takes typed bytes into `to`, waiting for some: in canonical mode at most one line, 0 bytes at the end of file.
    ///
    /// # Errors
    /// [`Refused`] where there is not a byte to be had.
    pub(crate) fn read(&self, to: &mut [u8], patience: Patience) -> Result<usize, Refused> {
        let mut reading = Reading::new(timer::now());
        loop {
            let progress = reading.step(&mut self.state.lock().discipline, to, timer::now());
            // There may be room now for what is waiting.
            if RECEIVED.lock().len() > 0 {
                self.more_came();
            }
            let deadline = match progress {
                Progress::Done(taken) => return Ok(taken),
                Progress::Wait(_) if patience == Patience::Never && reading.taken() == 0 => {
                    return Err(Refused::WouldWait);
                }
                Progress::Wait(_) if patience == Patience::Never => return Ok(reading.taken()),
                Progress::Wait(deadline) => deadline,
            };
            let has_input = || self.state.lock().discipline.has_input().then_some(());
            match self.readers.wait_until_deadline(deadline, has_input) {
                Ok(()) | Err(Ended::TimedOut) => {}
                Err(Ended::Interrupted) if reading.taken() > 0 => return Ok(reading.taken()),
                Err(Ended::Interrupted) => return Err(Refused::Interrupted),
            }
        }
    }

    /// Writes a program's bytes as they are, once output is not stopped.
    ///
    /// # Errors
    /// [`Refused`]; nothing was written then.
    pub(crate) fn write(&self, bytes: &[u8], patience: Patience) -> Result<(), Refused> {
        loop {
            let mut state = self.state.lock();
            if !state.discipline.stopped() {
                state.discipline.wrote(bytes);
                break;
            }
            drop(state);
            if patience == Patience::Never {
                return Err(Refused::WouldWait);
            }
            let going_on = || (!self.state.lock().discipline.stopped()).then_some(());
            self.writers.wait_until_deadline(None, going_on).map_err(|_| Interrupted)?;
        }
        super::write(bytes);
        Ok(())
    }

    /// Waits until `condition` answers, looking whenever input came, at most until `deadline` (time since boot).
    ///
    /// # Errors
    /// [`Ended`] says which came first.
    pub(crate) fn wait_for_input<T>(
        &self,
        deadline: Option<Duration>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, Ended> {
        self.readers.wait_until_deadline(deadline, condition)
    }

    /// How many bytes a read would find now.
    pub(crate) fn readable(&self) -> usize {
        self.state.lock().discipline.readable()
    }

    /// Whether a read would not wait.
    pub(crate) fn ready_to_read(&self) -> bool {
        self.state.lock().discipline.ready()
    }

    /// Whether a write would not wait.
    pub(crate) fn ready_to_write(&self) -> bool {
        !self.state.lock().discipline.stopped()
    }

    /// The settings as they stand.
    pub(crate) fn settings(&self) -> Termios {
        self.state.lock().discipline.settings()
    }

    /// Changes the settings. All output is on the wire when `write` returns, so there is none to wait for.
    pub(crate) fn set(&self, settings: Termios, flush: Flush) {
        if flush == Flush::Input {
            self.flush_input();
        }
        let event = self.state.lock().discipline.set(settings);
        RECEIVED.lock().search_anew();
        self.echo();
        if let Event::Signal(signal) = event {
            send(signal);
        }
        self.readers.wake_all();
        self.writers.wake_all();
        self.more_came();
    }

    /// Forgets what was typed and not read.
    pub(crate) fn flush_input(&self) {
        self.state.lock().discipline.flush();
        RECEIVED.lock().clear();
        self.more_came();
    }

    /// Stops output.
    pub(crate) fn stop(&self) {
        self.state.lock().discipline.stop();
    }

    /// Starts it again.
    pub(crate) fn start(&self) {
        self.state.lock().discipline.start();
        self.echo();
        self.writers.wake_all();
    }

    /// Sends the character that asks the other end to stop sending, or to go on.
    pub(crate) fn ask(&self, place: usize) {
        let byte = self.settings().cc[place];
        if byte != 0 {
            super::write(&[byte]);
        }
    }

    /// The size of the window, as far as anybody said.
    pub(crate) fn size(&self) -> Winsize {
        self.state.lock().size
    }

    /// Says how large the window is; answers whether that is news.
    pub(crate) fn resize(&self, size: Winsize) -> bool {
        core::mem::replace(&mut self.state.lock().size, size) != size
    }

    /// Types a byte that was not received (`TIOCSTI`), at once where nothing received is in its way.
    ///
    /// # Errors
    /// [`tty::ring::Full`].
    pub(crate) fn types(&self, byte: u8) -> Result<(), tty::ring::Full> {
        RECEIVED.lock().push(byte)?;
        self.digest();
        Ok(())
    }

    /// Something was received.
    pub(super) fn more_came(&self) {
        self.digester.wake_all();
    }

    /// Takes what was received through the discipline, until there is no more or a reader has to come first.
    fn digest(&self) {
        loop {
            let batch = self.digest_batch();
            self.echo();
            if batch.readable {
                self.readers.wake_all();
            }
            if batch.started {
                self.writers.wake_all();
            }
            if let Some(signal) = batch.signal {
                send(signal);
            }
            resume();
            self.ask_for_less_or_more();
            if batch.bytes == 0 {
                return;
            }
        }
    }

    fn digest_batch(&self) -> Digested {
        let mut digested = Digested::default();
        let mut state = self.state.lock();
        let discipline = &mut state.discipline;
        let stopped = discipline.stopped();
        while digested.signal.is_none() && (discipline.echo_len() < ECHO_MOST || discipline.stopped()) {
            let Some(byte) = next(discipline) else { break };
            digested.bytes += 1;
            match discipline.input(byte) {
                Event::Nothing => {}
                Event::Readable => digested.readable = true,
                Event::Signal(signal) => digested.signal = Some(signal),
            }
        }
        digested.started = stopped && !discipline.stopped();
        digested
    }

    /// Shows what is to be shown.
    fn echo(&self) {
        let mut piece = [0; 64];
        loop {
            let len = self.state.lock().discipline.take_echo(&mut piece);
            if len == 0 {
                return;
            }
            super::write(&piece[..len]);
        }
    }

    /// With `IXOFF`, asks the other end to stop before the ring is full, and to go on when it is nearly empty.
    fn ask_for_less_or_more(&self) {
        let mut state = self.state.lock();
        let waiting = RECEIVED.lock().len();
        let wanted = state.discipline.settings().iflag & IXOFF != 0;
        let place = match state.asked_to_stop {
            false if wanted && waiting > RING / 4 * 3 => VSTOP,
            true if !wanted || waiting < RING / 4 => VSTART,
            _ => return,
        };
        state.asked_to_stop = place == VSTOP;
        drop(state);
        self.ask(place);
    }
}

/// The next byte to be looked at. Where a reader has to come first that is none, but for a character whose signal
/// forgets all input before it: it need not wait for a program that does not read.
fn next(discipline: &Discipline) -> Option<u8> {
    let mut received = RECEIVED.lock();
    if discipline.room() == 0 && !received.skip_to(|byte| discipline.forgets_input(byte)) {
        return None;
    }
    received.pop()
}

/// Sends a signal that was typed to the foreground programs.
fn send(signal: Signal) {
    group::signal_foreground(match signal {
        Signal::Interrupt => signal::SIGINT,
        Signal::Quit => signal::SIGQUIT,
        Signal::Suspend => signal::SIGTSTP,
    });
}
