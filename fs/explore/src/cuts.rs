//! A call, and every moment at which the power may fail: what it may leave there, and whether all of it is before or after.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex};

use fs::{Error, Format, Fs, Mount, Report, Time};
use pmem_sim::SimMedium;
use units::ByteLen;

use crate::tree::Tree;
use crate::verify::{Depth, verify_examined};

/// How many crash states are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// At one moment of the workload's call; where there are no more, it is all of them.
    pub states: usize,
    /// At one moment of a recovery, or of a call behind one.
    pub nested: usize,
    /// A crash state whose number is a multiple of this is cut again in its recovery and in its next call.
    pub nest_every: usize,
}

impl Effort {
    /// Whether the environment asks for more than `cargo test` has time for.
    pub fn is_full() -> bool {
        std::env::var_os("VITRINE_CRASH").is_some_and(|value| value == "full")
    }

    /// For workloads of one call.
    pub fn chosen() -> Self {
        match Self::is_full() {
            true => Self { states: 2048, nested: 16, nest_every: 32 },
            false => Self { states: 128, nested: 12, nest_every: 16 },
        }
    }

    /// For workloads on large media.
    pub fn large() -> Self {
        match Self::is_full() {
            true => Self { states: 512, nested: 8, nest_every: 64 },
            false => Self { states: 24, nested: 4, nest_every: 32 },
        }
    }

    /// For calls during a checkpoint, whose states are larger.
    pub fn checkpoints() -> Self {
        match Self::is_full() {
            true => Self { states: 512, nested: 8, nest_every: 32 },
            false => Self { states: 24, nested: 4, nest_every: 16 },
        }
    }

    /// For pairs, of which there are many.
    pub fn pairs() -> Self {
        match Self::is_full() {
            true => Self { states: 128, nested: 8, nest_every: 32 },
            false => Self { states: 32, nested: 6, nest_every: 16 },
        }
    }

    /// For seeded faults, which are found soon or not at all.
    pub fn seeded() -> Self {
        Self { states: 64, nested: 0, nest_every: usize::MAX }
    }
}

/// What an exploration looked at.
#[derive(Clone, Copy, Default, Debug)]
pub struct Numbers {
    /// Moments at which the power was cut.
    pub moments: u64,
    /// Those of them at which every allowed state was looked at.
    pub exhaustive: u64,
    /// States looked at.
    pub states: u64,
    /// States of different content, each of which was mounted and used.
    pub distinct: u64,
    /// States cut again in their recovery or in the next call.
    pub nested: u64,
    /// Workloads that left something in doubt when they returned.
    pub in_doubt: u64,
}

impl Numbers {
    /// Takes in another exploration's.
    pub fn add(&mut self, other: Self) {
        self.moments += other.moments;
        self.exhaustive += other.exhaustive;
        self.states += other.states;
        self.distinct += other.distinct;
        self.nested += other.nested;
        self.in_doubt += other.in_doubt;
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moments, exhaustive, states, distinct, nested, in_doubt: _ } = self;
        let sampled = moments - exhaustive;
        write!(f, "{moments} moments ({exhaustive} exhaustive, {sampled} sampled), {states} states, ")?;
        write!(f, "{distinct} distinct, {nested} cut twice")
    }
}

/// A crash state that must not be.
#[derive(Debug)]
pub enum Violation {
    /// A state a power cut may leave that is wrong.
    State {
        /// When the power was cut.
        moment: Moment,
        /// The state's number among those of the moment.
        state: usize,
        /// What is wrong.
        what: String,
    },
    /// The injected fault came too late to do anything.
    FaultDidNotStrike,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { moment, state, what } => write!(f, "{moment}, state {state}: {what}"),
            Self::FaultDidNotStrike => f.write_str("the fault did not strike"),
        }
    }
}

/// When the power was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before the fence of this number in the call.
    Fence(usize),
    /// After the call had returned.
    Returned,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fence(n) => write!(f, "before fence {n}"),
            Self::Returned => f.write_str("after the return"),
        }
    }
}

/// The media a power cut may leave at one moment.
pub struct Cut {
    /// Each of them, or a selection.
    pub states: Vec<SimMedium>,
    /// Whether it is each of them.
    pub exhaustive: bool,
}

impl Cut {
    /// At most `limit` of what a power cut of `medium` may leave now, chosen as `seed` has it.
    pub fn of(medium: &SimMedium, limit: usize, seed: u64) -> Self {
        if limit == 0 {
            return Self { states: Vec::new(), exhaustive: false };
        }
        let states = medium.crash_states(limit, seed);
        Self { exhaustive: states.is_exhaustive(), states: states.collect() }
    }
}

/// Runs `call` and collects what a power cut may leave before each of its fences, and behind its return.
pub fn cut_at_fences<T>(medium: &SimMedium, limit: usize, call: impl FnOnce() -> T) -> (T, Vec<Cut>) {
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let collected = cuts.clone();
    medium.on_fence(move |medium, n| collected.lock().unwrap().push(Cut::of(medium, limit, n)));
    let result = call();
    medium.no_hook();
    let mut cuts = std::mem::take(&mut *cuts.lock().unwrap());
    cuts.push(Cut::of(medium, limit, cuts.len() as u64));
    (result, cuts)
}

/// An empty file system on a new medium of `len`, mounted.
pub fn fresh(len: ByteLen) -> Result<Arc<Fs<SimMedium>>, Error> {
    fresh_with(len, Mount::default())
}

/// The same, mounted as `mount` says.
pub fn fresh_with(len: ByteLen, mount: Mount) -> Result<Arc<Fs<SimMedium>>, Error> {
    let medium = SimMedium::new(len);
    let options = Format { uuid: *b"crash-exploratio", salt: 0x5eed, now: Time::new(1, 0), ..Format::default() };
    Fs::format(&medium, &options).expect("the medium is large enough");
    Ok(Fs::mount(medium, mount).expect("what was just formatted can be mounted"))
}

/// Looks at every state in `cuts`, whose last is the one behind the call's return: each mounts, works, and holds the
/// tree `before` the call or the one `after` it; behind the return only the latter.
///
/// # Errors
/// The first [`Violation`].
pub fn judge(cuts: Vec<Cut>, before: &Tree, after: &Tree, effort: Effort) -> Result<Numbers, Violation> {
    let last = cuts.len() - 1;
    let mut numbers = Numbers::default();
    let mut known: HashMap<u64, (Tree, Report)> = HashMap::new();
    for (n, cut) in cuts.into_iter().enumerate() {
        let moment = if n == last { Moment::Returned } else { Moment::Fence(n) };
        numbers.moments += 1;
        numbers.exhaustive += u64::from(cut.exhaustive);
        numbers.in_doubt += u64::from(moment == Moment::Returned && cut.states.len() > 1);
        for (state, medium) in cut.states.into_iter().enumerate() {
            numbers.states += 1;
            let violation = |what| Violation::State { moment, state, what };
            let (tree, report) = match known.entry(medium.content_hash()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    numbers.distinct += 1;
                    let nest = (numbers.distinct as usize).is_multiple_of(effort.nest_every);
                    let depth = if nest { Depth::CutAgain(effort.nested) } else { Depth::Flat };
                    let report = Fs::check(&medium);
                    if !report.is_sound() {
                        return Err(violation(format!("fsck: {:?} {:?}", report.refused, report.findings)));
                    }
                    let (tree, nested) = verify_examined(medium, &report, depth).map_err(violation)?;
                    numbers.nested += nested;
                    new.insert((tree, report))
                }
            };
            // Behind the return both copies of everything are durable.
            if moment == Moment::Returned && !report.is_clean() {
                return Err(violation(format!("fsck: {:?} {:?}", report.refused, report.findings)));
            }
            let is_before = *tree == *before;
            if *tree != *after && (moment == Moment::Returned || !is_before) {
                let nearest = if is_before { "the state before: " } else { "" };
                return Err(violation(format!("{nearest}{}", tree.difference(after))));
            }
        }
    }
    Ok(numbers)
}
