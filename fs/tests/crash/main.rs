//! Crash exploration: the plug is pulled at every fence inside a call, behind it, and while a mount recovers.
//!
//! [`workloads`] is what is cut, [`calls`] and [`special`] are all there are, and [`explore`] runs one on the simulated medium; the crate `fs-explore` looks at what a
//! power cut may leave. [`costs`] counts what the same calls ask of the medium, and [`no_room`] makes them where it is full. Here are the tests; run them with `--nocapture` to see the numbers. `VITRINE_CRASH=full` goes
//! far beyond what `cargo test` has time for.

mod calls;
mod costs;
mod explore;
mod no_room;
#[cfg(feature = "seeded-bugs")]
mod seeded;
mod special;
mod workloads;

use calls::workloads;
use explore::{explore, explore_with};
use fs::Fs;
use fs_explore::{Depth, Effort, Numbers, Tree, Violation, cut_at_fences, verify};
use pmem::medium::Medium;
use pmem_sim::{Fault, SimMedium};
use special::{during_a_checkpoint, finishing_the_checkpoint, turning};
use units::PmOff;
use workloads::Workload;

/// Explores every workload and prints what came of it; panics with every violation found.
fn explore_all(title: &str, chosen: &[Workload], effort: Effort) {
    let mut numbers = Numbers::default();
    let mut violations = Vec::new();
    for workload in chosen {
        match explore(workload, effort) {
            Ok(more) => numbers.add(more),
            Err(violation) => violations.push(format!("{}: {violation}", workload.name)),
        }
    }
    println!("{title}: {} workloads, {numbers}", chosen.len());
    assert!(violations.is_empty(), "{} of {}:\n{}", violations.len(), chosen.len(), violations.join("\n"));
}

#[test]
fn every_call_on_names_is_before_or_after() {
    explore_all("calls on names", &calls::on_names(), Effort::chosen());
}

#[test]
fn every_call_on_content_is_before_or_after() {
    explore_all("calls on content", &calls::on_content(), Effort::chosen());
}

#[test]
fn the_log_turns_to_its_next_segment_at_any_cut() {
    let turns: Vec<_> = workloads().into_iter().filter(|workload| workload.can_turn).map(turning).collect();
    explore_all("turns of the log", &turns, Effort::chosen());
}

/// Every call while a checkpoint is under way, and some at every step of one: as it begins, as it records, as it ends.
#[test]
fn a_call_during_a_checkpoint_is_before_or_after() {
    let all = workloads().into_iter().map(|workload| finishing_the_checkpoint(during_a_checkpoint(workload, 0)));
    let repeated = workloads().into_iter().filter(|workload| workload.can_turn);
    let steps = repeated.flat_map(|workload| (1..12).map(move |calls| during_a_checkpoint(workload.clone(), calls)));
    let chosen: Vec<_> = all.chain(steps).chain([special::compacting()]).collect();
    explore_all("checkpoints", &chosen, Effort::checkpoints());
}

#[test]
fn extents_too_many_for_a_record_are_before_or_after() {
    explore_all("extent overflow", &[special::overflowing()], Effort::large());
}

/// What earlier calls, cuts and checkpoints may have left for a call to meet.
#[test]
fn a_call_on_a_medium_with_a_history_is_before_or_after() {
    let full = [special::on_a_full_medium(), special::without_room_in_a_checkpoint()];
    let compacting = [special::compacting_behind_a_cut(), special::compacting_again()];
    let every = if Effort::is_full() { 1 } else { 9 };
    let freeing: Vec<_> = no_room::freeing_on_full_media().into_iter().step_by(every).collect();
    let chosen = [&full[..], &freeing, &compacting, &[special::from_a_pin()]].concat();
    explore_all("media with a history", &chosen, Effort::checkpoints());
}

#[test]
fn a_call_behind_a_call_is_before_or_after() {
    let chosen = if Effort::is_full() { workloads() } else { calls::for_pairs() };
    let pairs: Vec<_> = chosen.iter().flat_map(|first| chosen.iter().map(|second| first.then(second))).collect();
    explore_all("pairs of calls", &pairs, Effort::pairs());
}

/// States in which one copy of something is bad: the mount repairs them, and is cut at every fence while it does.
#[test]
fn a_repair_that_is_cut_is_repaired_again() {
    let workload = &workloads()[0];
    let fs = workload.world();
    workload.set_up(&fs).unwrap();
    let before = Tree::of(&fs).unwrap();
    let (result, cuts) = cut_at_fences(fs.medium(), 512, || workload.call(&fs));
    result.unwrap();
    let after = Tree::of(&fs).unwrap();
    let torn = cuts.into_iter().flat_map(|cut| cut.states).map(|medium| (medium, true));
    // A rotten byte in the first and the last word of the superblocks, and all over the log.
    let rotten = (0..2).flat_map(|copy| [0, 504].map(|word| copy * 16 * 4096 + word));
    let rotten = rotten.chain((0..fs.medium().len().get()).step_by(5 * 64)).map(|at| {
        let medium = fs.medium().cut();
        medium.corrupt(PmOff::new(at), &[0xa5; 8]);
        (medium, false)
    });
    let (mut repaired, mut nested) = (0, 0);
    for (medium, in_call) in torn.chain(rotten) {
        let report = Fs::check(&medium);
        if report.is_clean() || report.has_errors() {
            continue;
        }
        repaired += 1;
        let (tree, more) = verify(medium, Depth::CutAgain(12)).unwrap();
        assert!(tree == after || in_call && tree == before, "{}", tree.difference(&after));
        nested += more;
    }
    println!("repairs: {repaired} states, {nested} cut in their repair or the next call");
    assert!(repaired > 50, "only {repaired} states were repaired");
}

/// The first copy of a record lacks one word, the second all of them: the log ends before it. A second cut may keep of the
/// next record just the word that is missing; the first one must not come back to life.
#[test]
fn a_torn_record_is_not_completed_by_the_next() {
    let create = calls::on_names().swap_remove(0);
    let turns = workloads().into_iter().filter(|workload| workload.can_turn).map(turning);
    // A log of so many records takes its time to be replayed: of the turns one will do where time is short.
    let turns = turns.take(if Effort::is_full() { usize::MAX } else { 1 }).map(|turn| (turn, 60));
    let mut nested = 0;
    for (workload, limit) in [(create, 400)].into_iter().chain(turns) {
        let limit = if Effort::is_full() { 500 } else { limit };
        for medium in torn_in_one_word(&workload) {
            nested +=
                verify(medium, Depth::CutAgain(limit)).unwrap_or_else(|what| panic!("{}: {what}", workload.name)).1;
        }
    }
    println!("torn records: {nested} states cut in the next call");
}

/// What the workload's last record leaves where of its second copy nothing, and of its first all but one of the leading
/// words is durable, for each of these words.
fn torn_in_one_word(workload: &Workload) -> Vec<SimMedium> {
    let fs = workload.world();
    workload.set_up(&fs).unwrap();
    let (result, mut cuts) = cut_at_fences(fs.medium(), 2, || workload.call(&fs));
    result.unwrap();
    // Of two states the first has nothing and the second everything; the last fence is the record's.
    let states = cuts.swap_remove(cuts.len() - 2).states;
    let (without, with) = (states[0].bytes(), states[1].bytes());
    let words = (0..with.len()).step_by(8).filter(|&at| with[at..at + 8] != without[at..at + 8]);
    let words: Vec<usize> = words.collect();
    let first_copy: Vec<usize> = words.iter().copied().take_while(|at| at - words[0] < 1 << 16).collect();
    assert!(first_copy.len() * 2 == words.len(), "two equal copies");
    let torn = |missing: &usize| {
        let medium = SimMedium::from_bytes(&without);
        for at in first_copy.iter().filter(|at| *at != missing) {
            medium.corrupt(PmOff::new(*at as u64), &with[*at..at + 8]);
        }
        medium
    };
    first_copy.iter().take(16).map(torn).collect()
}

/// What came of faults put into one workload.
#[derive(Debug, Default)]
struct Seeded {
    found: u64,
    /// The step left out had nothing to do: what it would have made durable was so already, such as zeros over zeros.
    harmless: u64,
    /// Which ones left something in doubt and were not found.
    missed: Vec<u64>,
}

/// Injects `fault(n)` for every n until it strikes no more. Of many steps, such as the lines of a block, only some are
/// left out where time is short.
fn seeded(workload: &Workload, fault: impl Fn(u64) -> Fault) -> Seeded {
    let mut seeded = Seeded::default();
    for n in (0..).filter(|n| Effort::is_full() || *n < 8 || n % 5 == 0) {
        match explore_with(workload, Effort::seeded(), Some(fault(n))) {
            Err(Violation::FaultDidNotStrike) => break,
            Err(_) => seeded.found += 1,
            Ok(numbers) if numbers.in_doubt == 0 => seeded.harmless += 1,
            Ok(_) => seeded.missed.push(n),
        }
    }
    seeded
}

/// Puts one kind of fault into every step of a call of each form; none that does harm may be missed.
fn seed_all(what: &str, fault: impl Fn(u64) -> Fault) {
    for workload in for_faults() {
        let Seeded { found, harmless, missed } = seeded(&workload, &fault);
        println!("{}: {what} left out {} times, {found} found, {harmless} harmless", workload.name, found + harmless);
        assert!(found > 0 && missed.is_empty(), "{}: {what} number {missed:?}: not found", workload.name);
    }
}

/// One call of each form of transaction: names only, data and record, an edge copied, blocks freed.
fn for_faults() -> Vec<Workload> {
    let names =
        ["create a file", "rename over a file", "overwrite a block", "append in a block", "truncate in a block"];
    workloads().into_iter().filter(|workload| names.contains(&workload.name.as_str())).collect()
}

#[test]
fn a_forgotten_fence_is_found() {
    seed_all("a fence", Fault::DropFence);
}

#[test]
fn a_forgotten_clean_is_found() {
    seed_all("a clean", Fault::DropClean);
}

#[test]
fn a_forgotten_line_is_found() {
    seed_all("a line", Fault::DropLine);
}
