//! One typed byte (Linux: `n_tty_receive_char` and `n_tty_receive_char_special`).

use abi::tty::{
    ECHO, ECHOCTL, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, IMAXBEL, INLCR, ISIG, ISTRIP, IUCLC, IXANY, IXON, NOFLSH,
    VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

use crate::erase::What;
use crate::{CAPACITY, Discipline, Event, Mark, Signal, is_control};

/// Rings the bell.
const BEL: u8 = 7;

impl Discipline {
    /// Takes one typed byte. What the terminal shows for it is to be fetched by [`Discipline::take_echo`].
    pub fn input(&mut self, byte: u8) -> Event {
        let byte = self.narrowed(byte);
        if core::mem::take(&mut self.literal) || !self.is_special(byte) {
            self.start_by_any();
            return self.plain(byte);
        }
        if self.input_has(IXON) && (self.is(VSTART, byte) || self.is(VSTOP, byte)) {
            self.stopped = !self.is(VSTART, byte);
            return Event::Nothing;
        }
        if let Some(signal) = self.signal_of(byte) {
            return self.interrupt(byte, signal);
        }
        self.start_by_any();
        match byte {
            b'\r' if self.input_has(IGNCR) => Event::Nothing,
            b'\r' if self.input_has(ICRNL) => self.control(b'\n'),
            b'\n' if self.input_has(INLCR) => self.control(b'\r'),
            byte => self.control(byte),
        }
    }

    /// Whether `byte` is a signal that would forget all input before it: where input cannot be taken for want of a
    /// reader, all before such a byte may be dropped for it.
    pub fn forgets_input(&self, byte: u8) -> bool {
        self.signal_of(byte).is_some() && !self.has(NOFLSH)
    }

    /// The byte as far as `iflag` leaves it.
    fn narrowed(&self, byte: u8) -> u8 {
        let byte = if self.input_has(ISTRIP) { byte & 0x7f } else { byte };
        if self.input_has(IUCLC) && self.has(IEXTEN) { lower_case(byte) } else { byte }
    }

    /// Whether anything is to be done about `byte` but to keep it.
    fn is_special(&self, byte: u8) -> bool {
        let any = |places: &[usize]| places.iter().any(|&place| self.is(place, byte));
        let canonical = self.has(ICANON);
        let extended = canonical && self.has(IEXTEN);
        byte == b'\r' && (self.input_has(IGNCR) || self.input_has(ICRNL))
            || byte == b'\n' && (canonical || self.input_has(INLCR))
            || canonical && any(&[VERASE, VKILL, VEOF, VEOL])
            || extended && any(&[VWERASE, VLNEXT, VEOL2])
            || extended && self.has(ECHO) && self.is(VREPRINT, byte)
            || self.input_has(IXON) && any(&[VSTART, VSTOP])
            || self.signal_of(byte).is_some()
    }

    fn start_by_any(&mut self) {
        if self.stopped && self.input_has(IXON) && self.input_has(IXANY) {
            self.stopped = false;
        }
    }

    fn signal_of(&self, byte: u8) -> Option<Signal> {
        if !self.has(ISIG) {
            return None;
        }
        [(VINTR, Signal::Interrupt), (VQUIT, Signal::Quit), (VSUSP, Signal::Suspend)]
            .into_iter()
            .find_map(|(place, signal)| self.is(place, byte).then_some(signal))
    }

    fn interrupt(&mut self, byte: u8, signal: Signal) -> Event {
        if !self.has(NOFLSH) {
            self.flush();
            self.echo.clear();
        }
        if self.input_has(IXON) {
            self.stopped = false;
        }
        if self.has(ECHO) {
            self.show(byte);
        }
        Event::Signal(signal)
    }

    /// A special byte that is neither flow control nor a signal, after `iflag`.
    fn control(&mut self, byte: u8) -> Event {
        if self.has(ICANON) {
            let extended = self.has(IEXTEN);
            match byte {
                byte if self.is(VERASE, byte) => return self.erase(What::Character),
                byte if self.is(VKILL, byte) => return self.erase(What::Line),
                byte if extended && self.is(VWERASE, byte) => return self.erase(What::Word),
                byte if extended && self.is(VLNEXT, byte) => return self.take_literally(),
                byte if extended && self.has(ECHO) && self.is(VREPRINT, byte) => return self.reprint(byte),
                b'\n' => {
                    if self.has(ECHO) || self.has(ECHONL) {
                        self.echo_raw(b'\n');
                    }
                    return self.finish(byte, Mark::End);
                }
                byte if self.is(VEOF, byte) => return self.finish(byte, Mark::EndOfFile),
                byte if self.is(VEOL, byte) || extended && self.is(VEOL2, byte) => {
                    if self.line == self.head {
                        self.echo.begin_line();
                    }
                    self.echo_if_wanted(byte);
                    return self.finish(byte, Mark::End);
                }
                _ => {}
            }
        } else if byte == b'\n' && self.has(ECHO) {
            // A newline that was a carriage return is shown as what it is now.
            self.echo.finish_erasing();
            self.echo_raw(b'\n');
            return self.keep(byte);
        }
        self.plain(byte)
    }

    /// A byte that is only a byte.
    fn plain(&mut self, byte: u8) -> Event {
        let last = if self.has(ICANON) { CAPACITY - 1 } else { CAPACITY };
        if self.head - self.tail >= last {
            return self.refuse();
        }
        self.begin_echo();
        self.echo_if_wanted(byte);
        self.keep(byte)
    }

    fn keep(&mut self, byte: u8) -> Event {
        if self.head - self.tail == CAPACITY {
            return self.refuse();
        }
        self.push(byte, Mark::Plain);
        if self.has(ICANON) {
            return Event::Nothing;
        }
        self.line = self.head;
        Event::Readable
    }

    /// There is no place for a byte.
    fn refuse(&mut self) -> Event {
        if self.input_has(IMAXBEL) {
            self.echo_raw(BEL);
        }
        Event::Nothing
    }

    /// Ends the line.
    fn finish(&mut self, byte: u8, mark: Mark) -> Event {
        if self.head - self.tail == CAPACITY {
            return self.refuse();
        }
        self.push(byte, mark);
        self.line = self.head;
        Event::Readable
    }

    fn take_literally(&mut self) -> Event {
        self.literal = true;
        if self.has(ECHO) {
            self.echo.finish_erasing();
            if self.has(ECHOCTL) {
                self.echo_raw(b'^');
                self.echo_raw(8);
            }
        }
        Event::Nothing
    }

    fn reprint(&mut self, byte: u8) -> Event {
        self.echo.finish_erasing();
        self.show(byte);
        self.echo_raw(b'\n');
        for at in self.line..self.head {
            self.show(self.bytes[at % CAPACITY]);
        }
        Event::Nothing
    }

    fn begin_echo(&mut self) {
        if self.has(ECHO) {
            self.echo.finish_erasing();
            if self.line == self.head {
                self.echo.begin_line();
            }
        }
    }

    fn echo_if_wanted(&mut self, byte: u8) {
        if self.has(ECHO) {
            self.show(byte);
        }
    }

    /// Shows a byte, control characters as `^X` if so set (Linux: `echo_char`).
    pub(crate) fn show(&mut self, byte: u8) {
        if is_control(byte) && byte != b'\t' && self.has(ECHOCTL) {
            self.echo_raw(b'^');
            self.echo_raw(byte ^ 0x40);
        } else {
            self.echo_raw(byte);
        }
    }

    pub(crate) fn echo_raw(&mut self, byte: u8) {
        self.echo.raw(byte, self.encoding());
    }
}

/// The small letter of a capital of Latin-1, which is what Linux takes bytes above 127 for here.
fn lower_case(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte | 0x20,
        byte => byte,
    }
}
