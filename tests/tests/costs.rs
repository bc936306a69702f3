//! What each call of a program costs, by `/proc/vitrine/counters`: one fence for its record and one for data, and the lines
//! that it has changed. `fs/tests/crash/costs.rs` counts the same without a kernel.

use machine_tests::{Image, Machine};

/// Calls of `/bin/cuts`: the name, the fences, and how many blocks of data it stores.
const CALLS: [(&str, u64, u64); 61] = [
    ("open a new file", 1, 0),
    ("open another", 1, 0),
    ("write a new file", 2, 3),
    ("overwrite a block", 2, 1),
    ("overwrite inside a block", 2, 1),
    ("overwrite across blocks", 2, 3),
    ("overwrite past the end", 2, 2),
    ("write behind a hole", 2, 2),
    ("write 64 KiB", 2, 17),
    ("append a block", 2, 1),
    ("append in a block", 2, 1),
    ("append across blocks", 2, 2),
    ("write three pieces", 2, 2),
    ("truncate in a block", 2, 1),
    ("truncate to a block", 1, 0),
    ("truncate upwards", 1, 0),
    ("punch across blocks", 2, 2),
    ("punch a block", 1, 0),
    ("zero across blocks", 1, 0),
    ("allocate behind the end", 1, 0),
    ("write to allocated blocks", 2, 2),
    ("allocate in a hole", 1, 0),
    ("copy inside the file system", 2, 2),
    ("truncate to nothing", 1, 0),
    ("fsync", 0, 0),
    ("create a file", 1, 0),
    ("make a directory", 1, 0),
    ("make a directory in a directory", 1, 0),
    ("link a file", 1, 0),
    ("link by a symlink", 1, 0),
    ("rename a file", 1, 0),
    ("rename into a directory", 1, 0),
    ("rename over a file", 1, 0),
    ("rename over a symlink", 1, 0),
    ("exchange two files", 1, 0),
    ("exchange a file and a directory", 1, 0),
    ("rename a directory", 1, 0),
    ("remove a directory", 1, 0),
    ("unlink one of two names", 1, 0),
    ("unlink a file", 1, 0),
    ("unlink an open file", 1, 0),
    // Gone with the power, durable or not.
    ("write to a file without a name", 0, 3),
    ("close the last of it", 0, 0),
    ("name a file without a name", 1, 0),
    ("open and truncate", 1, 0),
    ("chmod", 1, 0),
    ("chown", 1, 0),
    ("utimes", 1, 0),
    ("open a file to map", 1, 0),
    ("grow a file to map", 1, 0),
    // A block for each page stored to first, which is a write of zeros; then the stores, and the time of the last.
    ("store in a hole, and msync", 4, 2),
    ("store in a hole, and clean", 4, 2),
    ("store in place, and fsync", 2, 2),
    // The program's own cleans, which nobody counts.
    ("store in place, and clean", 0, 0),
    ("write where it is mapped", 2, 2),
    ("store where it was written", 0, 0),
    ("punch where it is mapped", 2, 2),
    ("store where it was punched", 2, 1),
    ("truncate what is mapped", 2, 1),
    ("store in the last block", 0, 0),
    ("fsync what was mapped", 2, 1),
];

/// Calls by the hundred that make the log turn and be written anew, whose fences are counted apart.
const LONG: [&str; 2] = ["link by a long symlink", "unlink a long symlink"];

/// Lines of a block.
const BLOCK: u64 = 4096 / 64;

/// Lines a call may clean: its data, with three that two parts of it share; and two copies of what it records.
fn lines(blocks: u64, fences: u64) -> u64 {
    let records = if fences > 2 { 2 } else { 1 };
    blocks * BLOCK + if blocks > 0 { 3 + 6 * records } else { 16 }
}

#[test]
fn every_call_of_the_kernel_waits_as_often_as_it_must() {
    let image = Image::small("8M", &["cuts"]);
    let ended = Machine::with(&image).init("/bin/cuts counted").run();
    let said = ended.status(0).output.lines().map(|line| {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        let counted = (number(), number());
        (words.next().expect("a name"), counted)
    });
    let (long, short): (Vec<_>, Vec<_>) = said.partition(|(name, _)| LONG.contains(name));
    assert_eq!(short.len(), CALLS.len());
    for ((name, counted), (known, fences, blocks)) in short.into_iter().zip(CALLS) {
        assert_eq!((name, counted.0), (known, fences), "fences");
        assert!(counted.1 <= lines(blocks, fences), "{name}: {} lines cleaned", counted.1);
    }
    assert!(long.len() > 200 && long.iter().all(|(_, (fences, _))| *fences == 1), "{long:?}");
}
