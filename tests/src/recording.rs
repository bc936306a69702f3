//! A machine's stores to persistent memory, written down by `tests/recorder/`, and played again on the simulated medium.

use std::fs;
use std::path::{Path, PathBuf};

use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::{ByteLen, PmOff};

use crate::{Image, Machine, built};

/// Bytes of an event in the log: `struct event` of `recorder.c`.
const EVENT: usize = 24;

/// The mark before a call of the program's that is all or nothing; behind it comes another.
const CALL: u8 = 0;
/// The mark before a call that makes stores in place durable.
const IN_PLACE: u8 = 2;

/// Something the recorder saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    /// A store of at most 8 bytes, inside an aligned word.
    Store { at: u64, len: usize, bytes: [u8; 8] },
    /// The clean of the line that holds the byte at `at`.
    Clean { cpu: u32, at: u64 },
    /// The clean of a line that was not shown, by the instruction at this address.
    HiddenClean { by: u64 },
    /// A barrier that completes the cleans of its CPU.
    Fence { cpu: u32 },
    /// A mark of the program's.
    Mark(u8),
}

impl Event {
    /// # Panics
    /// Where `from` is no event.
    fn parse(from: &[u8]) -> Self {
        let word = |at: usize| u64::from_le_bytes(from[at..at + 8].try_into().expect("eight bytes"));
        let (cpu, len, at) = (u32::from(from[1]), usize::from(from[2]), word(8));
        match from[0] {
            1 if (1..=8).contains(&len) => Self::Store { at, len, bytes: word(16).to_le_bytes() },
            2 => Self::Clean { cpu, at },
            3 => Self::HiddenClean { by: at },
            4 => Self::Fence { cpu },
            5 => Self::Mark(from[3]),
            kind => panic!("no event of kind {kind}, {len} bytes"),
        }
    }
}

/// A step that is left out when a part of a recording is played; its number counts from the part's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Omission {
    /// Nothing is left out.
    Nothing,
    /// A clean.
    Clean(usize),
    /// A fence, of those that complete a clean.
    Fence(usize),
}

/// What a part of a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A call that is all or nothing.
    Call,
    /// Stores through a mapping, and what makes them durable: until that is done any of them may be.
    InPlace,
    /// What lies between calls.
    Between,
}

/// All that one run did to its medium.
#[derive(Clone, Debug)]
pub struct Recording {
    events: Vec<Event>,
}

impl Recording {
    /// Runs `machine`, whose only medium is `image`, to its end, and takes down what it does. The kernel command line
    /// must have the word `record`. Answers what the machine printed too.
    ///
    /// # Panics
    /// Where it ends with anything but 0, a clean was hidden, or stores to the medium were not seen.
    #[track_caller]
    #[must_use]
    pub fn of(machine: Machine, image: &Image) -> (Self, String) {
        let log = image.path().with_extension("log");
        let before = fs::read(image.path()).expect("the image can be read");
        // An input that ends is an interrupt, at a moment that the host chooses.
        let ended = machine.recorder(image, &format!("log={}", log.display())).start().stays_open();
        ended.status(0);
        let recording = Self::read(&log);
        let _ = fs::remove_file(&log);
        let medium = SimMedium::from_bytes(&before);
        for part in recording.parts() {
            // Outside of calls there are other things to clean, as for a CPU that comes up.
            let hidden = part.hidden_clean().filter(|_| part.kind() != Kind::Between);
            assert_eq!(hidden, None, "an instruction in a call cleans, and the recorder is not shown what");
            part.play(&medium, Omission::Nothing, |_| {});
        }
        let after = fs::read(image.path()).expect("the image can be read");
        assert!(medium.bytes() == after, "the recorder has not seen every store to the medium");
        (recording, ended.output)
    }

    /// # Panics
    /// Where `log` is not what a recorder leaves.
    fn read(log: &Path) -> Self {
        let bytes = fs::read(log).unwrap_or_else(|e| panic!("{log:?}: {e}"));
        assert!(bytes.len().is_multiple_of(EVENT), "{log:?} is cut off");
        Self { events: bytes.chunks_exact(EVENT).map(Event::parse).collect() }
    }

    /// The run in order: what came before the first call, the first call, what came behind it, and so on.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        // A mark belongs to the part that it begins.
        self.events.chunk_by(|_, next| !matches!(next, Event::Mark(_))).map(|events| Part { events })
    }
}

/// A call of the program's, or what lies between two of them.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    events: &'a [Event],
}

impl Part<'_> {
    /// What this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.events.first() {
            Some(Event::Mark(CALL)) => Kind::Call,
            Some(Event::Mark(IN_PLACE)) => Kind::InPlace,
            _ => Kind::Between,
        }
    }

    /// How many stores there are.
    #[must_use]
    pub fn stores(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Store { .. })).count()
    }

    /// How many cleans there are.
    #[must_use]
    pub fn cleans(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Clean { .. })).count()
    }

    /// The first instruction that cleaned a line which was not shown to the recorder. When it is played nothing becomes
    /// durable by it.
    fn hidden_clean(&self) -> Option<u64> {
        self.events.iter().find_map(|event| if let Event::HiddenClean { by } = event { Some(*by) } else { None })
    }

    /// Does to `medium`, which is as the parts before left it, what this part of the run did, but for `omission`. `look`
    /// sees the medium before each fence that makes something durable.
    pub fn play(&self, medium: &SimMedium, omission: Omission, mut look: impl FnMut(&SimMedium)) {
        let (mut cleans, mut fences) = ((0..).map(Omission::Clean), (0..).map(Omission::Fence));
        for &event in self.events {
            match event {
                Event::Store { at, len, bytes } => medium.store(PmOff::new(at), &bytes[..len]),
                Event::Clean { cpu, at } if cleans.next() != Some(omission) => {
                    medium.on_cpu(cpu).clean(PmOff::new(at), ByteLen::new(1));
                }
                // Most barriers have nothing to do with this medium.
                Event::Fence { cpu } if medium.on_cpu(cpu).is_fence_due() && fences.next() != Some(omission) => {
                    look(medium);
                    medium.on_cpu(cpu).fence();
                }
                Event::Clean { .. } | Event::Fence { .. } | Event::HiddenClean { .. } | Event::Mark(_) => {}
            }
        }
    }
}

/// The plugin.
///
/// # Panics
/// Where `make test` has not built it.
fn plugin() -> PathBuf {
    let plugin = built("recorder.so");
    assert!(plugin.exists(), "no {plugin:?}: run `make target/recorder.so`");
    plugin
}

impl Machine {
    /// With the recorder on `image`, its first medium: every run is the same, down to the
    /// instruction, as long as nothing is typed and the input stays open.
    #[must_use]
    pub fn recorder(self, image: &Image, what: &str) -> Self {
        let (plugin, medium) = (plugin(), image.path());
        let words = format!("{},medium={},{what}", plugin.display(), medium.display());
        self.flag("--icount").qemu(&["-plugin", &words])
    }
}
