//! Known bugs, put in one at a time: each is found, and the same workloads are right without it.
//!
//! A bug is a switch in the file system ([`fs::seeded::Bug`]) or a step of persistence that the medium leaves out
//! ([`pmem_sim::Fault`]). What a workload has to leave is taken from a run without the bug, so that a bug that spoils what
//! the call itself shows is found as well. `docs/CRASH.md` has the table; `--nocapture` prints it.

use std::collections::HashMap;
use std::rc::Rc;

use fs::seeded::{Bug, plant};
use fs_explore::{Cut, Depth, Effort, Moment, Tree, Violation, cut_at_fences, judge, verify};
use pmem::medium::Medium;
use pmem_sim::{Fault, SimMedium};
use units::PmOff;

use crate::calls::{self, workloads};
use crate::special::{self, during_a_checkpoint, finishing_the_checkpoint, turning};
use crate::torn_in_one_word;
use crate::workloads::Workload;

/// What is wrong.
#[derive(Clone, Copy, Debug)]
enum Seed {
    /// A switch, on from the set-up of the workload on.
    Always(Bug),
    /// A switch, on from the call on.
    Call(Bug),
    /// A step that the medium leaves out in the call.
    Left(Fault),
}

/// Where a bug is looked for.
enum Place {
    /// In a workload that is cut.
    Cut(Workload),
    /// In media that were made by hand, each cut in its recovery and in the next call as far as this says.
    Mount(&'static str, Rc<dyn Fn() -> Vec<SimMedium>>, Depth),
}

/// How a bug showed itself: in which state of those looked at, and how.
struct Found {
    state: usize,
    of: usize,
    how: String,
}

/// States looked at where the power is cut.
fn effort() -> Effort {
    Effort { states: 96, ..Effort::seeded() }
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Cut(workload) => &workload.name,
            Self::Mount(name, ..) => name,
        }
    }

    /// What there is to be seen without a bug.
    fn expected(&self) -> Vec<Tree> {
        match self {
            Self::Cut(workload) => {
                let (trees, cuts, _) = run(workload, None).expect("the call succeeds");
                if let Err(violation) = judge(cuts, &trees[0], &trees[1], effort()) {
                    panic!("{} without a bug: {violation}", workload.name);
                }
                trees
            }
            Self::Mount(name, media, depth) => {
                let good =
                    |medium| verify(medium, *depth).unwrap_or_else(|what| panic!("{name} without a bug: {what}"));
                media().into_iter().map(|medium| good(medium).0).collect()
            }
        }
    }

    /// The first sign of `seed`.
    fn find(&self, seed: Seed, expected: &[Tree]) -> Option<Found> {
        match self {
            Self::Cut(workload) => {
                let (_, cuts, struck) = match run(workload, Some(seed)) {
                    Ok(run) => run,
                    Err(how) => return Some(Found { state: 0, of: 0, how }),
                };
                assert!(struck, "{}: {seed:?} does not strike", workload.name);
                let sizes: Vec<usize> = cuts.iter().map(|cut| cut.states.len()).collect();
                let of = sizes.iter().sum();
                match judge(cuts, &expected[0], &expected[1], effort()) {
                    Err(Violation::State { moment, state, what }) => {
                        let before = if let Moment::Fence(n) = moment { n } else { sizes.len() - 1 };
                        let state = sizes[..before].iter().sum::<usize>() + state + 1;
                        Some(Found { state, of, how: format!("{moment}: {what}") })
                    }
                    _ => None,
                }
            }
            Self::Mount(_, media, depth) => {
                put(seed);
                let media = media();
                let of = media.len();
                media.into_iter().zip(expected).enumerate().find_map(|(at, (medium, expected))| {
                    let how = match verify(medium, *depth) {
                        Ok((tree, _)) if tree == *expected => return None,
                        Ok((tree, _)) => tree.difference(expected),
                        Err(how) => how,
                    };
                    Some(Found { state: at + 1, of, how })
                })
            }
        }
    }
}

/// Turns a switch on.
fn put(seed: Seed) {
    match seed {
        Seed::Always(bug) | Seed::Call(bug) => plant(Some(bug)),
        Seed::Left(_) => {}
    }
}

/// The trees before and after the workload's call, what a cut may leave on the way, and whether a step was left out that
/// was to be. The bug stays in.
fn run(workload: &Workload, seed: Option<Seed>) -> Result<(Vec<Tree>, Vec<Cut>, bool), String> {
    if let Some(Seed::Always(_)) = seed {
        seed.into_iter().for_each(put);
    }
    let fs = workload.world();
    workload.set_up(&fs).map_err(|error| format!("the set-up is refused: {error}"))?;
    let before = Tree::of(&fs).map_err(|error| format!("the tree before cannot be read: {error}"))?;
    let medium = fs.medium().clone();
    seed.into_iter().for_each(put);
    if let Some(Seed::Left(fault)) = seed {
        medium.inject(fault);
    }
    let (result, cuts) = cut_at_fences(&medium, effort().states, || workload.call(&fs));
    result.map_err(|error| format!("the call is refused: {error}"))?;
    let after = Tree::of(&fs).map_err(|error| format!("the tree after cannot be read: {error}"))?;
    Ok((vec![before, after], cuts, medium.faults_struck()))
}

/// The workload of this name.
fn call(name: &str) -> Place {
    Place::Cut(calls::named(name))
}

/// Looks for each bug at its place, prints a row for each, and wants every one found.
fn find_all(seeds: impl IntoIterator<Item = (Seed, Place)>) {
    let mut missed = Vec::new();
    let mut known: HashMap<String, Vec<Tree>> = HashMap::new();
    for (seed, place) in seeds {
        plant(None);
        let expected = known.entry(place.name().to_owned()).or_insert_with(|| place.expected());
        let found = place.find(seed, expected);
        plant(None);
        match found {
            Some(Found { state, of, how }) => {
                let how: String = how.chars().take(90).collect();
                println!("| {seed:?} | {} | {state} of {of} | {how} |", place.name());
            }
            None => missed.push(format!("{seed:?} in '{}'", place.name())),
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

#[test]
fn seeded_bugs_of_writing_are_found() {
    use Seed::{Always, Call};
    find_all([
        (Call(Bug::RecordBeforeData), call("overwrite a block")),
        (Call(Bug::UpdateInPlace), call("overwrite a block")),
        (Call(Bug::EarlyReuse), call("truncate in a block")),
        (Always(Bug::PinIgnored), Place::Cut(special::from_a_pin())),
        (Call(Bug::EdgeNotCopied), call("overwrite inside a block")),
        (Call(Bug::TailNotZeroed), call("truncate in a block")),
        (Call(Bug::SizeBeforeData), call("append a block")),
        (Call(Bug::ListUnfenced), Place::Cut(special::overflowing())),
        (Call(Bug::OneCopyOfList), Place::Cut(special::overflowing())),
        (
            Call(Bug::AllocatedAsWritten),
            Place::Cut(calls::named("unlink a file").then(&calls::named("allocate in a hole"))),
        ),
        (Call(Bug::UnnamedDataUnfenced), call("link a file without a name")),
        (Call(Bug::FirstNameWithoutMapping), call("link a file without a name")),
    ]);
}

#[test]
fn seeded_bugs_of_names_and_space_are_found() {
    use Seed::{Always, Call};
    find_all([
        (Call(Bug::EntryWithoutInode), call("create a file")),
        (Call(Bug::WrongLinkCount), call("link")),
        (Call(Bug::LostRenameHalf), call("rename in a directory")),
        (Call(Bug::LostExchangeHalf), call("exchange two files")),
        (Call(Bug::DirectoryNotCounted), call("rename a directory into another")),
        (Call(Bug::DirectoryTimesLost), call("create a file")),
        (Always(Bug::ReserveIgnored), Place::Cut(special::on_a_full_medium())),
        (Call(Bug::OrphanNotFreed), call("unlink a file")),
    ]);
}

#[test]
fn seeded_bugs_of_the_log_are_found() {
    use Seed::{Always, Call};
    let chmod = calls::chmod;
    find_all([
        (Call(Bug::OneCopyOfRecord), call("create a file")),
        (Call(Bug::TurnWithoutHeader), Place::Cut(turning(chmod()))),
        (Call(Bug::FlipTooEarly), Place::Cut(during_a_checkpoint(chmod(), 0))),
        (Call(Bug::FlipBeforeLog), Place::Cut(finishing_the_checkpoint(during_a_checkpoint(chmod(), 0)))),
        (Call(Bug::SuperblocksAtOnce), Place::Cut(special::compacting())),
        (Always(Bug::LogFreedEarly), Place::Cut(special::without_room_in_a_checkpoint())),
        (Call(Bug::NotRepeated), Place::Cut(finishing_the_checkpoint(during_a_checkpoint(chmod(), 2)))),
        (Always(Bug::GenerationUsedAgain), Place::Cut(special::compacting_behind_a_cut())),
    ]);
}

#[test]
fn seeded_bugs_of_mounting_are_found() {
    use Seed::Call;
    let rotten = || Place::Mount("one copy rotten", Rc::new(rotten_copies), Depth::Flat);
    let stale = || Place::Mount("an old record behind the last", Rc::new(old_record_behind_the_last), Depth::Flat);
    let torn = || torn_in_one_word(&calls::named("create a file"));
    find_all([
        (Call(Bug::CrcNotChecked), call("create a file")),
        (Call(Bug::GenerationNotChecked), Place::Cut(special::compacting_again())),
        (Call(Bug::SeqNotChecked), stale()),
        (Call(Bug::SecondCopyIgnored), rotten()),
        (Call(Bug::ReplayAdds), call("chmod")),
        (Call(Bug::UnlinkedKept), call("unlink a file")),
        (Call(Bug::CopyNotRewritten), rotten()),
        (Call(Bug::TornNotErased), Place::Mount("a torn record", Rc::new(torn), Depth::CutAgain(400))),
    ]);
}

#[test]
fn steps_of_persistence_left_out_are_found() {
    use Fault::{DropClean, DropFence, DropLine};
    let left = |fault, place| (Seed::Left(fault), place);
    let turn = || Place::Cut(turning(calls::named("overwrite a block")));
    // Of a data write: first the data, then the record. A checkpoint raises the generations, waits for its log, and flips.
    let compact = || Place::Cut(special::compacting());
    find_all([
        left(DropFence(0), call("overwrite a block")),
        left(DropFence(1), call("overwrite a block")),
        left(DropFence(0), call("create a file")),
        left(DropClean(0), call("overwrite a block")),
        left(DropLine(0), call("overwrite a block")),
        left(DropClean(0), call("create a file")),
        left(DropClean(1), call("create a file")),
        left(DropLine(64), turn()),
        left(DropClean(0), Place::Cut(special::overflowing())),
        left(DropClean(0), compact()),
        left(DropClean(1), compact()),
        left(DropFence(0), compact()),
        left(DropFence(2), compact()),
        left(DropFence(3), compact()),
    ]);
}

/// The small tree, where a word of each record's first copy is rotten.
fn rotten_copies() -> Vec<SimMedium> {
    let medium = small_tree();
    let rotten = records(&medium).into_iter().step_by(2).map(|at| {
        let medium = medium.cut();
        medium.corrupt(PmOff::new(at + 16), &[0xa5; 8]);
        medium
    });
    rotten.collect()
}

/// The small tree, where what lies behind the last record is an earlier one, in both copies.
fn old_record_behind_the_last() -> Vec<SimMedium> {
    let medium = small_tree();
    let bytes = medium.bytes();
    let all = records(&medium);
    let length = |at: u64| u64::from(u32::from_le_bytes(bytes[at as usize + 8..][..4].try_into().unwrap()));
    // Those of the first copies come first.
    let half = all.len() / 2;
    let last = [all[half - 1], all[all.len() - 1]];
    let stale = all[..half].iter().map(|&old| {
        let medium = medium.cut();
        for last in last {
            let behind = last + length(last).next_multiple_of(64);
            medium.corrupt(PmOff::new(behind), &bytes[old as usize..][..length(old) as usize]);
        }
        medium
    });
    stale.collect()
}

fn small_tree() -> SimMedium {
    let workload = calls::chmod();
    let fs = workload.world();
    workload.set_up(&fs).unwrap();
    fs.medium().cut()
}

/// Where records begin, in order of place.
fn records(medium: &SimMedium) -> Vec<u64> {
    let mut magic = [0; 4];
    let is_record = |at: &u64| medium.load(PmOff::new(*at), &mut magic).is_ok() && magic == *b"VREC";
    (0..medium.len().get()).step_by(64).filter(is_record).collect()
}

/// The table in the documentation has a row for every bug that has a switch.
#[test]
fn every_seeded_bug_is_in_the_table() {
    let page = include_str!("../../../docs/CRASH.md");
    let switches = include_str!("../../src/seeded.rs");
    let bugs = switches.split("pub enum Bug {").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    let bugs: Vec<&str> = bugs.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(bugs.len() >= 23 && workloads().len() >= 56);
    for bug in bugs {
        assert!(page.contains(&format!("| `{bug}` |")), "docs/CRASH.md says nothing of {bug}");
    }
}
