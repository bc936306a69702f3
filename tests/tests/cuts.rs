//! Power cuts of the real kernel, between any two of its stores.
//!
//! A run is recorded store by store (`tests/recorder/`), what a power cut may leave at every fence of every call is
//! rebuilt on the simulated medium, and judged by the crate that judges the file system alone (`fs/explore/`).
//! `VITRINE_CRASH=full` looks at more states than `make test` has time for.

use std::fs::{read, write};

use fs::{Fs, Mount};
use fs_explore::{Cut, Depth, Effort, Moment, Numbers, Tree, Violation, judge, verify};
use machine_tests::{Image, Kind, Machine, Omission, Part, Recording};
use pmem_sim::SimMedium;

/// A medium that holds little, because all of it is read in every state.
fn medium() -> Image {
    Image::small("4M", &["cuts"])
}

/// A run of the program, and the medium that it found.
struct Run {
    found: SimMedium,
    recording: Recording,
    names: Vec<String>,
}

/// One call of a run.
struct Call<'a> {
    name: &'a str,
    /// Itself, what lies behind it, the next call, and so on to the end.
    parts: Vec<Part<'a>>,
    /// The medium as the call finds it.
    medium: SimMedium,
}

impl Run {
    /// Runs the program on `machine`, with these words of its own.
    #[track_caller]
    fn of(machine: Machine, image: &Image, words: &str) -> Self {
        let found = SimMedium::from_bytes(&read(image.path()).expect("the image can be read"));
        let (recording, output) = Recording::of(machine.append(&format!("record init=/bin/cuts {words}")), image);
        Self { found, recording, names: output.lines().map(str::to_owned).collect() }
    }

    /// Every call, in order.
    fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        let (medium, mut names) = (self.found.fork(), self.names.iter());
        let parts: Vec<_> = self.recording.parts().collect();
        (0..parts.len()).filter_map(move |number| {
            let (part, before) = (parts[number], medium.fork());
            part.play(&medium, Omission::Nothing, |_| {});
            let call = |name| Call { name, parts: parts[number..].to_vec(), medium: before };
            (part.kind() != Kind::Between).then(|| call(names.next().expect("a name for each call")))
        })
    }
}

impl Call<'_> {
    /// How many fences there are that make something durable.
    fn fences(&self) -> usize {
        let mut fences = 0;
        self.parts[0].play(&self.medium.fork(), Omission::Nothing, |_| fences += 1);
        fences
    }

    /// Looks at what a power cut at any moment of the call may leave.
    fn explore(&self, effort: Effort) -> Result<Numbers, Violation> {
        explore(self.parts[0], &self.medium.fork(), Omission::Nothing, effort)
    }

    /// Leaves out a step of the call, and looks at it and at those behind it, until nothing is in doubt any more.
    fn explore_without(&self, omission: Omission, effort: Effort) -> Result<Outcome, Violation> {
        let medium = self.medium.fork();
        let mut omission = omission;
        for part in self.parts.iter().take(CALLS_IN_DOUBT * 2) {
            if part.kind() == Kind::Between {
                part.play(&medium, Omission::Nothing, |_| {});
            } else if explore(*part, &medium, omission, effort)?.in_doubt == 0 {
                return Ok(Outcome::Harmless);
            }
            omission = Omission::Nothing;
        }
        Ok(Outcome::InDoubt)
    }
}

/// How many calls an omission is followed through.
const CALLS_IN_DOUBT: usize = 20;

/// What came of a step left out that did no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// It had nothing to do, as with zeros over zeros, or what it would have done does not matter any more.
    Harmless,
    /// Something may still be lost, but nothing that shows.
    InDoubt,
}

/// Plays a call on `medium` and judges what a power cut at any moment of it may leave. Of stores in place that is any of
/// them until they have been made durable; the file system is whole all the same.
fn explore(call: Part<'_>, medium: &SimMedium, omission: Omission, effort: Effort) -> Result<Numbers, Violation> {
    let before = tree(medium);
    let mut cuts = Vec::new();
    call.play(medium, omission, |medium| cuts.push(Cut::of(medium, effort.states, cuts.len() as u64)));
    let last = Cut::of(medium, effort.states, cuts.len() as u64);
    if call.kind() != Kind::InPlace {
        cuts.push(last);
        return judge(cuts, &before, &tree(medium), effort);
    }
    for (number, cut) in cuts.into_iter().enumerate() {
        for (state, medium) in cut.states.into_iter().enumerate() {
            let violation = |what| Violation::State { moment: Moment::Fence(number), state, what };
            verify(medium, Depth::Flat).map_err(violation)?;
        }
    }
    judge(vec![last], &before, &tree(medium), effort)
}

/// What is there when all that was stored has made it.
fn tree(medium: &SimMedium) -> Tree {
    let fs = Fs::mount(medium.settled(), Mount::default()).expect("what a machine left can be mounted");
    Tree::of(&fs).expect("and read")
}

fn effort() -> Effort {
    match Effort::is_full() {
        true => Effort { states: 256, nested: 8, nest_every: 32 },
        false => Effort { states: 24, nested: 4, nest_every: 16 },
    }
}

#[test]
fn every_call_of_the_kernel_is_before_or_after() {
    let image = medium();
    // Every CPU's barriers are its own.
    let run = Run::of(Machine::with(&image).word("--smp", "2"), &image, "");
    let mut numbers = Numbers::default();
    let (mut calls, mut most_fences, mut violations) = (0, 0, Vec::new());
    for call in run.calls() {
        calls += 1;
        most_fences = most_fences.max(call.fences());
        match call.explore(effort()) {
            Ok(more) => numbers.add(more),
            Err(violation) => violations.push(format!("{}: {violation}", call.name)),
        }
    }
    println!("the kernel: {calls} calls, {} fences in them, {numbers}", numbers.moments - calls);
    assert!(violations.is_empty(), "{} of {calls}:\n{}", violations.len(), violations.join("\n"));
    assert!(most_fences >= 3, "at most {most_fences} fences in a call: no checkpoint among them");
}

/// Media with a record good in one copy, which the kernel mends when it mounts them; cut at every fence while it does.
#[test]
fn a_mount_of_the_kernel_that_is_cut_is_mended_by_the_next() {
    let image = medium();
    let run = Run::of(Machine::with(&image), &image, "");
    let torn = run.calls().flat_map(|call| {
        let mut states = Vec::new();
        call.parts[0].play(&call.medium.fork(), Omission::Nothing, |medium| states.extend(medium.crash_states(8, 0)));
        let mut torn = states.into_iter().map(|state| (Fs::check(&state), state));
        torn.find(|(report, _)| !report.is_clean() && !report.has_errors())
    });
    let step = if Effort::is_full() { 2 } else { 32 };
    let mut numbers = Numbers::default();
    for (report, state) in torn.step_by(step) {
        write(image.path(), state.bytes()).expect("the image can be written");
        let machine = Machine::with(&image).append("record init=/bin/cuts nothing");
        let (recording, _) = Recording::of(machine, &image);
        let boot = recording.parts().next().expect("a run has a beginning");
        let found = explore(boot, &state, Omission::Nothing, effort());
        let boots = found.unwrap_or_else(|violation| panic!("{:?}: {violation}", report.findings));
        assert!(boots.moments > 1, "{:?}: nothing was mended", report.findings);
        numbers.add(boots);
    }
    println!("mounts of the kernel: {numbers}");
    assert!(numbers.moments > 3, "only {numbers}");
}

/// A kernel that forgets one step of one call, by `/proc/vitrine/forget`.
#[test]
fn what_the_kernel_forgets_is_found() {
    let forgotten = [
        ("clean 0", "overwrite a block"),
        ("clean 1", "rename over a file"),
        ("line 0", "overwrite a block"),
        ("line 1", "append across blocks"),
        ("fence 0", "overwrite a block"),
        ("fence 0", "create a file"),
        ("clean 0", "store in place, and fsync"),
    ];
    for (step, name) in forgotten {
        let image = medium();
        let run = Run::of(Machine::checked(&image), &image, &format!("forget {step} \"{name}\""));
        let call = run.calls().find(|call| call.name == name).expect("a call of this name");
        let found = call.explore(Effort::seeded()).expect_err("the forgotten step is not found");
        println!("{name} without {step}: {found}");
    }
}

/// The recording without one clean or fence, wherever it was.
#[test]
fn what_is_left_out_of_a_recording_is_found() {
    let image = medium();
    let run = Run::of(Machine::with(&image), &image, "");
    let every = if Effort::is_full() { 23 } else { 199 };
    let mut number = 0;
    let (mut found, mut harmless, mut missed) = (0, 0, Vec::new());
    // What a file holds that never had a name is gone with the power, durable or not.
    for call in run.calls().filter(|call| call.name != "write to a file without a name") {
        let cleans = (0..call.parts[0].cleans()).map(Omission::Clean);
        let fences = (0..call.fences()).map(Omission::Fence);
        for omission in cleans.chain(fences) {
            number += 1;
            if number % every != 0 {
                continue;
            }
            match call.explore_without(omission, Effort::seeded()) {
                Err(_) => found += 1,
                Ok(Outcome::Harmless) => harmless += 1,
                Ok(Outcome::InDoubt) => missed.push(format!("{}: {omission:?}", call.name)),
            }
        }
    }
    println!("steps left out: {found} found, {harmless} harmless");
    assert!(found > 0 && missed.is_empty(), "not found: {missed:#?}");
}
