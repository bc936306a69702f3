//! The terminal on the console: typed bytes go through the line discipline, readers wait for lines.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use abi::tty::Termios;
use sync::{Mutex, Rank};

use super::line::{Discipline, Event};
use crate::task::wait::{Ended, Interrupted, WaitQueue};

/// The one terminal; fds 0, 1 and 2 of a program begin as it.
pub(super) static TERMINAL: Terminal = Terminal::new();

/// A line discipline, and those who wait for what comes out of it.
pub(super) struct Terminal {
    input: Mutex<Discipline>,
    readers: WaitQueue,
    /// Whether input was stopped because nobody had read what is there.
    full: AtomicBool,
}

impl Terminal {
    const fn new() -> Self {
        Self {
            input: Mutex::new(Rank::Terminal, Discipline::new()),
            readers: WaitQueue::new(),
            full: AtomicBool::new(false),
        }
    }

    /// Takes typed bytes into `to`, waiting for some: in canonical mode at most one line, 0 bytes at the end of file.
    ///
    /// # Errors
    /// [`Interrupted`] where the task has to stop waiting.
    pub(super) fn read(&self, to: &mut [u8]) -> Result<usize, Interrupted> {
        let taken = self.readers.wait_until(|| self.input.lock().read(to))?;
        if self.full.swap(false, Ordering::AcqRel) {
            super::resume_input();
        }
        Ok(taken)
    }

    /// How many bytes a read would find now.
    pub(super) fn readable(&self) -> usize {
        self.input.lock().readable()
    }

    /// Waits until `condition` answers, looking whenever input came, at most until `deadline`.
    pub(super) fn wait<T>(&self, deadline: Option<Duration>, condition: impl FnMut() -> Option<T>) -> Result<T, Ended> {
        self.readers.wait_until_deadline(deadline, condition)
    }

    /// The settings as they stand.
    pub(super) fn settings(&self) -> Termios {
        self.input.lock().settings()
    }

    /// Changes the settings; [`Flush::Input`] also forgets what nobody has read.
    pub(super) fn set(&self, settings: Termios, flush: Flush) {
        let mut input = self.input.lock();
        if flush == Flush::Input {
            input.flush();
        }
        input.set(settings);
        drop(input);
        self.readers.wake_all();
    }

    /// How many bytes it can take. Where that is 0, input has stopped until somebody has read.
    pub(super) fn room(&self) -> usize {
        let input = self.input.lock();
        let room = input.room();
        // Both under the lock: a reader that makes room afterwards finds them done.
        if room == 0 {
            self.full.store(true, Ordering::Release);
            super::pause_input();
        }
        room
    }

    /// Takes typed bytes in, with their echo.
    pub(super) fn typed(&self, bytes: &[u8]) {
        let mut readable = false;
        let mut input = self.input.lock();
        for &byte in bytes {
            match input.input(byte, &mut super::write) {
                Event::Readable => readable = true,
                // The line is gone; there is no program yet that could be told.
                Event::Signal(_) | Event::Nothing => {}
            }
        }
        drop(input);
        if readable {
            self.readers.wake_all();
        }
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
