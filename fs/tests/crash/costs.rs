//! What each call costs: how often it waits for the medium, and what it sends there.
//!
//! One fence for a change of names or attributes, two where there is data: more would be a wait for nothing. A line is
//! cleaned where the call has changed it, and once.

use fs::{Format, Fs};
use pmem_sim::{LINE_SIZE, SimMedium};

use crate::calls::workloads;
use crate::special::{during_a_checkpoint, turning};
use crate::workloads::{Workload, World, now};

/// Calls that store data, and therefore wait twice; the others record something, and wait once. Of a file without a name
/// only the data is made durable, and its name then is a record.
const DATA: [&str; 24] = [
    "link a file without a name",
    "write a new file",
    "write one byte",
    "overwrite a block",
    "overwrite inside a block",
    "overwrite across blocks",
    "overwrite past the end",
    "write behind a hole",
    "write 64 KiB",
    "append a block",
    "append in a block",
    "append across blocks",
    "truncate in a block",
    "punch inside a block",
    "punch across blocks",
    "punch allocated blocks",
    "zero across blocks",
    "zero past the end",
    "write to allocated blocks",
    "append to allocated blocks",
    "overwrite across extents",
    "write far behind the end",
    "copy a range to another file",
    "copy a range inside a file",
];

/// Lines that may be cleaned twice in a call: where the program's bytes meet those of the file before and behind them, and
/// those the zeros behind its end.
const MEETINGS: u64 = 3;

/// A workload's file system on a medium that is full of noise, so that all that is stored is a change.
fn noisy(workload: &Workload) -> World {
    let medium = SimMedium::from_bytes(&vec![0xa7; workload.medium.get() as usize]);
    let options = Format { uuid: *b"counted, not cut", salt: 0x5eed, now: now(), ..Format::default() };
    Fs::format(&medium, &options).expect("the medium is large enough");
    workload.mounted(medium)
}

/// Calls the workload in `fs`; answers its fences, those of a checkpoint that it moved on left out, and the lines it cleaned.
fn called(workload: &Workload, fs: &World) -> (u64, u64) {
    let now = || (fs.medium().counts(), fs.volume().upkeep_fences());
    let (before, upkeep_before) = now();
    workload.call(fs).expect("the call succeeds");
    let (after, upkeep) = now();
    (after.fences - before.fences - (upkeep - upkeep_before), after.lines_cleaned - before.lines_cleaned)
}

/// Lines that differ.
fn changed(before: &[u8], after: &[u8]) -> u64 {
    let lines = before.chunks(LINE_SIZE as usize).zip(after.chunks(LINE_SIZE as usize));
    lines.filter(|(before, after)| before != after).count() as u64
}

/// Every call, and whether it stores data.
fn all() -> impl Iterator<Item = (Workload, bool)> {
    workloads().into_iter().map(|workload| {
        let has_data = DATA.contains(&workload.name.as_str());
        (workload, has_data)
    })
}

/// Makes the calls, and complains of each one that has not as many fences as it needs.
fn count_fences(chosen: impl Iterator<Item = (Workload, bool)>) {
    let mut wrong = Vec::new();
    for (workload, has_data) in chosen {
        let fs = workload.world();
        workload.set_up(&fs).expect("the set-up succeeds");
        let (fences, _) = called(&workload, &fs);
        if fences != 1 + u64::from(has_data) {
            wrong.push(format!("{}: {fences} fences", workload.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_call_waits_once_for_its_data_and_once_for_its_record() {
    assert_eq!(all().filter(|(_, has_data)| *has_data).count(), DATA.len(), "every name is a call's");
    count_fences(all());
}

/// The header of a segment, and what a checkpoint records, wait for nothing of their own.
#[test]
fn neither_a_turn_of_the_log_nor_a_checkpoint_makes_a_call_wait_longer() {
    let repeated = || all().filter(|(workload, _)| workload.can_turn);
    count_fences(repeated().map(|(workload, has_data)| (turning(workload), has_data)));
    count_fences(all().flat_map(|(workload, has_data)| {
        let calls = if workload.can_turn { vec![0, 1, 2, 3, 5, 8] } else { vec![0] };
        calls.into_iter().map(move |calls| (during_a_checkpoint(workload.clone(), calls), has_data))
    }));
}

#[test]
fn what_a_call_cleans_it_has_changed() {
    let mut wrong = Vec::new();
    for (workload, has_data) in all() {
        let fs = noisy(&workload);
        workload.set_up(&fs).expect("the set-up succeeds");
        let before = fs.medium().bytes();
        let (_, cleaned) = called(&workload, &fs);
        let changed = changed(&before, &fs.medium().bytes());
        if cleaned > changed + if has_data { MEETINGS } else { 0 } {
            wrong.push(format!("{}: {cleaned} lines cleaned, {changed} changed", workload.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
