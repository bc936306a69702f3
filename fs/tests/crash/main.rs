//! Crash exploration: the plug is pulled at every fence inside a call, behind it, and while a mount recovers.
//!
//! [`workloads`] are the calls, [`explore`] runs one on the simulated medium and looks at what a power cut may leave,
//! [`verify`] mounts such a state, compares it and uses it, and [`tree`] is what is compared. Here are the tests; run
//! them with `--nocapture` to see the numbers. `VITRINE_CRASH=full` goes far beyond what `cargo test` has time for.

mod explore;
mod tree;
mod verify;
mod workloads;

use explore::{Effort, Numbers, Violation, explore, explore_with};
use pmem_sim::Fault;
use workloads::{Workload, turning, workloads};

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
    explore_all("calls on names", &workloads::on_names(), Effort::chosen());
}

#[test]
fn every_call_on_content_is_before_or_after() {
    explore_all("calls on content", &workloads::on_content(), Effort::chosen());
}

#[test]
fn the_log_turns_to_its_next_segment_at_any_cut() {
    let turns: Vec<_> = workloads().into_iter().filter(|workload| workload.can_turn).map(turning).collect();
    explore_all("turns of the log", &turns, Effort::chosen());
}

#[test]
fn extents_too_many_for_a_record_are_before_or_after() {
    explore_all("extent overflow", &[workloads::overflowing()], Effort::large());
}

#[test]
fn a_call_behind_a_call_is_before_or_after() {
    let chosen = if Effort::is_full() { workloads() } else { workloads::for_pairs() };
    let pairs: Vec<_> = chosen.iter().flat_map(|first| chosen.iter().map(|second| first.then(second))).collect();
    explore_all("pairs of calls", &pairs, Effort::pairs());
}

/// Injects `fault(n)` for every n until it strikes no more; answers how often, and in which of these cases nothing
/// was found although something of the call was not durable.
fn seeded(workload: &Workload, fault: impl Fn(u64) -> Fault) -> (u64, Vec<u64>) {
    let mut missed = Vec::new();
    for n in 0.. {
        match explore_with(workload, Effort::seeded(), Some(fault(n))) {
            Err(Violation::FaultDidNotStrike) => return (n, missed),
            Err(_) => {}
            Ok(_) => missed.push(n),
        }
    }
    unreachable!("the loop has no end")
}

/// One call of each form of transaction: names only, data and record, an edge copied, blocks freed.
fn for_faults() -> Vec<Workload> {
    let names =
        ["create a file", "rename over a file", "overwrite a block", "append in a block", "truncate in a block"];
    workloads().into_iter().filter(|workload| names.contains(&workload.name.as_str())).collect()
}

#[test]
fn a_forgotten_fence_is_found() {
    for workload in for_faults() {
        let (struck, missed) = seeded(&workload, Fault::DropFence);
        println!("{}: {struck} fences, each left out in turn", workload.name);
        assert!(struck > 0 && missed.is_empty(), "{}: of {struck} fences not missed: {missed:?}", workload.name);
    }
}

#[test]
fn a_forgotten_clean_is_found() {
    for workload in for_faults() {
        let (struck, missed) = seeded(&workload, Fault::DropClean);
        println!("{}: {struck} cleans, each left out in turn", workload.name);
        assert!(struck > 0 && missed.is_empty(), "{}: of {struck} cleans not missed: {missed:?}", workload.name);
    }
}

#[test]
fn a_forgotten_line_is_found() {
    for workload in for_faults() {
        let (struck, missed) = seeded(&workload, Fault::DropLine);
        println!("{}: {struck} lines, each left uncleaned in turn", workload.name);
        assert!(struck > 0 && missed.is_empty(), "{}: of {struck} lines not missed: {missed:?}", workload.name);
    }
}
