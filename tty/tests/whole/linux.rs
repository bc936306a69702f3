//! The same bytes typed here and into a terminal of the Linux this test runs on: the same echo, the same reads.
//!
//! A pseudo-terminal of the host is the other side. Where the host has none, there is nothing to compare with; the test
//! then says so and passes.

use std::time::Duration;

use crate::common::{read, shown, with};
use abi::tty::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP, IUCLC,
    IUTF8, IXANY, IXON, NOFLSH, Termios, VEOL, VEOL2,
};
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcsetattr};
use tty::settings::COOKED;

/// How long the host may take to show a byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// A terminal of the host: who types and watches, and the program's end.
struct Host {
    keyboard: OwnedFd,
    program: OwnedFd,
}

impl Host {
    /// `None` where the host has no such thing.
    fn with(settings: &Termios) -> Option<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
        grantpt(&keyboard).ok()?;
        unlockpt(&keyboard).ok()?;
        let name = ptsname(&keyboard, Vec::new()).ok()?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
        let program = rustix::fs::open(name, flags, Mode::empty()).ok()?;
        let mut host = tcgetattr(&program).unwrap();
        host.input_modes = InputModes::from_bits_retain(settings.iflag);
        // Bytes go out unchanged, and the host follows the column, which it does not do without OPOST.
        host.output_modes = OutputModes::OPOST | OutputModes::ONLRET;
        host.local_modes = LocalModes::from_bits_retain(settings.lflag);
        for (at, index) in [
            SpecialCodeIndex::VINTR,
            SpecialCodeIndex::VQUIT,
            SpecialCodeIndex::VERASE,
            SpecialCodeIndex::VKILL,
            SpecialCodeIndex::VEOF,
            SpecialCodeIndex::VTIME,
            SpecialCodeIndex::VMIN,
            SpecialCodeIndex::VSWTC,
            SpecialCodeIndex::VSTART,
            SpecialCodeIndex::VSTOP,
            SpecialCodeIndex::VSUSP,
            SpecialCodeIndex::VEOL,
            SpecialCodeIndex::VREPRINT,
            SpecialCodeIndex::VDISCARD,
            SpecialCodeIndex::VWERASE,
            SpecialCodeIndex::VLNEXT,
            SpecialCodeIndex::VEOL2,
        ]
        .into_iter()
        .enumerate()
        {
            host.special_codes[index] = settings.cc[at];
        }
        tcsetattr(&program, OptionalActions::Now, &host).unwrap();
        Some(Self { keyboard, program })
    }

    fn types(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.keyboard, bytes), Ok(bytes.len()));
    }

    /// The next `len` bytes it shows, or fewer where no more come.
    fn shows(&self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len && ready(&self.keyboard) {
            let mut piece = vec![0; len - all.len()];
            let some = rustix::io::read(&self.keyboard, &mut piece[..]).unwrap();
            all.extend_from_slice(&piece[..some]);
        }
        all
    }

    /// What the program's next read finds.
    fn reads(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 8192];
        if !ready(&self.program) {
            return None;
        }
        match rustix::io::read(&self.program, &mut bytes[..]) {
            Ok(some) => {
                bytes.truncate(some);
                Some(bytes)
            }
            Err(Errno::AGAIN) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn ready(of: &impl AsFd) -> bool {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(of, PollFlags::IN)], Some(&patience)).unwrap() > 0
}

/// Types `bytes` on both sides.
#[track_caller]
fn same(settings: Termios, bytes: &[u8]) {
    let Some(host) = Host::with(&settings) else {
        eprintln!("no pseudo-terminal: nothing compared");
        return;
    };
    let mut line = with(|here| *here = settings);
    let mut echo = Vec::new();
    for &byte in bytes {
        line.input(byte);
        echo.extend(shown(&mut line));
    }
    host.types(bytes);
    assert_eq!(show(&host.shows(echo.len())), show(&echo), "echo (the host's is left)");
    if settings.lflag & ICANON != 0 {
        while let Some(here) = read(&mut line, 8192) {
            assert_eq!(host.reads().as_deref().map(show), Some(show(&here)), "a read (the host's is left)");
        }
        return;
    }
    let here = read(&mut line, 8192).unwrap_or_default();
    let mut there = Vec::new();
    while there.len() < here.len() {
        there.extend(host.reads().expect("as many bytes as here"));
    }
    assert_eq!(show(&there), show(&here), "bytes read (the host's are left)");
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Bytes that mean something, and some that do not.
fn palette() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9_ .,;-]{1,6}".prop_map(String::into_bytes),
        2 => "[äöü€𝄞]{1,3}".prop_map(String::into_bytes),
        8 => prop::sample::select(&b"\n\r\t\x03\x04\x08\x11\x12\x13\x15\x16\x17\x1c\x7f\x01\x1b\x00;"[..])
            .prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Settings in every mixture. A signal that flushes would take echo from the host's own buffers, at a time of its own:
/// with `ISIG` goes `NOFLSH`.
fn mixtures() -> impl Strategy<Value = Termios> {
    let some = |flags: &'static [u32]| prop::sample::subsequence(flags, 0..=flags.len());
    let input = some(&[ICRNL, INLCR, IGNCR, ISTRIP, IUCLC, IUTF8, IXON, IXANY]);
    let local = some(&[ICANON, ISIG, ECHO, ECHOE, ECHOK, ECHOKE, ECHOCTL, ECHOPRT, ECHONL, IEXTEN]);
    (input, local, prop::sample::select(&[0, b';'][..]), any::<bool>()).prop_map(|(input, local, eol, canonical)| {
        let mut settings = COOKED;
        settings.iflag = input.into_iter().sum();
        settings.lflag = local.into_iter().sum::<u32>() | NOFLSH | if canonical { ICANON | ECHO } else { 0 };
        (settings.cc[VEOL], settings.cc[VEOL2]) = (eol, 0x1b);
        settings
    })
}

/// What ends every sequence: output that was stopped goes on, and a line that is unfinished is finished. The ^V that
/// may come before it is answered by a letter.
const END: &[u8] = b"x\x11\n\x11";

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_terminal_in_any_mode_answers_as_linux_does(settings in mixtures(), bytes in palette()) {
        same(settings, &[&bytes[..], END].concat());
    }

    #[test]
    fn a_terminal_as_people_use_it_answers_as_linux_does(bytes in palette()) {
        same(Termios { lflag: COOKED.lflag | NOFLSH, ..COOKED }, &[&bytes[..], END].concat());
    }
}

#[test]
fn a_line_of_4095_bytes_is_read_whole() {
    let bytes: Vec<u8> = (0..4095).map(|at| b'a' + (at % 26) as u8).chain(*b"\n").collect();
    same(COOKED, &bytes);
}
