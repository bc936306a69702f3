//! Any damage: whatever is done to the log, with right checksums or wrong ones, a repair makes nothing worse.

use std::collections::BTreeMap;

use fs::{Fs, MountError, RepairError};
use pmem_sim::SimMedium;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::repair::{repaired, shown};
use crate::spoil::{Record, Spoiler, entry, extents, inode};
use crate::victim::{BLOCK, Seen, VICTIM};

/// One thing that is done to a medium.
#[derive(Clone, Debug)]
enum Damage {
    /// A byte of one copy of a record, of both, or of a header.
    Byte(Index, Index, [bool; 2]),
    /// A number in a record, in both copies, under a right checksum.
    Number(Index, Index, u64),
    /// A record that says what cannot be, behind the last.
    Record(Vec<Said>),
}

/// Something a record can say.
#[derive(Clone, Debug)]
enum Said {
    Inode(u64, u64, bool, u32),
    Entry(u64, u64, u8),
    Extents(u64, u64, u64, u32, u32),
}

fn said() -> impl Strategy<Value = Said> {
    // The victim's inodes lie below 10, its blocks below 2600.
    let ino = 0_u64..12;
    prop_oneof![
        (ino.clone(), 0_u64..100_000, any::<bool>(), 0_u32..5)
            .prop_map(|(ino, size, dir, nlink)| Said::Inode(ino, size, dir, nlink)),
        (ino.clone(), ino.clone(), 0_u8..6).prop_map(|(dir, ino, name)| Said::Entry(dir, ino, name)),
        (ino, 0_u64..20, 0_u64..2700, 1_u32..40, 0_u32..3)
            .prop_map(|(ino, first, start, blocks, state)| Said::Extents(ino, first, start, blocks, state)),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    let number = prop_oneof![0_u64..20, any::<u64>(), 0_u64..2700, Just(1 << 44), Just(u64::from(u32::MAX))];
    prop_oneof![
        (any::<Index>(), any::<Index>(), any::<[bool; 2]>())
            .prop_map(|(place, byte, copies)| Damage::Byte(place, byte, copies)),
        (any::<Index>(), any::<Index>(), number).prop_map(|(place, word, number)| Damage::Number(place, word, number)),
        prop::collection::vec(said(), 1..6).prop_map(Damage::Record),
        prop::collection::vec(said(), 1..6).prop_map(Damage::Record),
    ]
}

impl Said {
    fn item(&self) -> Vec<u8> {
        const NAMES: [&str; 6] = ["small", "dir", "below", "pieces", "lost+found", "other"];
        match *self {
            Self::Inode(ino, _, true, nlink) => inode(ino, 0, 0o040_755, nlink),
            Self::Inode(ino, size, false, nlink) => inode(ino, size, 0o100_644, nlink),
            Self::Entry(dir, ino, name) => entry(dir, ino, NAMES[usize::from(name)]),
            Self::Extents(ino, first, _, blocks, 0) => extents(ino, first, &[(0, blocks, 0)]),
            Self::Extents(ino, first, start, blocks, state) => extents(ino, first, &[(start, blocks, state)]),
        }
    }
}

/// Records and headers alike.
fn places(spoiler: &Spoiler<'_>) -> Vec<Record> {
    let header = |copies| Record { copies, len: 64, seq: 0 };
    let superblock = Record { copies: [0, 16 * BLOCK as usize], len: 512, seq: 0 };
    let headers = spoiler.segments().into_iter().map(header);
    // A place that is not the log's alone is as likely as all records together.
    let few: Vec<Record> = headers.chain([superblock]).cycle().take(200).collect();
    spoiler.records().into_iter().chain(few).collect()
}

fn spoil(medium: &SimMedium, damages: &[Damage]) {
    let mut spoiler = Spoiler::new(medium);
    let places = places(&spoiler);
    for damage in damages {
        match damage {
            Damage::Byte(place, byte, which) => {
                let place = place.get(&places);
                for (copy, _) in place.copies.iter().zip(which).filter(|(_, spoilt)| **spoilt) {
                    spoiler.flip(copy + byte.index(place.len));
                }
            }
            Damage::Number(place, word, number) => {
                let place = place.get(&places);
                let at = word.index(place.len / 8) * 8;
                for copy in place.copies {
                    spoiler.put(copy + at, &number.to_le_bytes());
                    spoiler.seal(copy, place.len);
                }
            }
            Damage::Record(items) => {
                let items: Vec<Vec<u8>> = items.iter().map(Said::item).collect();
                spoiler.try_append(&items);
            }
        }
    }
}

/// What could be read is read the same, under its name or, where a directory lost a second name, under another.
fn assert_no_worse(before: &BTreeMap<Vec<u8>, Seen>, medium: &SimMedium) -> Result<(), TestCaseError> {
    let after = shown(medium).expect("it is clean");
    for (path, was) in before.iter().filter(|(path, _)| !path.is_empty()) {
        let is = after.get(path);
        prop_assert!(is.is_some(), "{} is gone", path.escape_ascii());
        prop_assert!(is.is_some_and(|is| (is.kind, &is.data) == (was.kind, &was.data)), "{}", path.escape_ascii());
    }
    Ok(())
}

fn cases() -> u32 {
    std::env::var("VITRINE_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    #[test]
    fn a_repair_makes_nothing_worse(damages in prop::collection::vec(damage(), 1..4)) {
        let medium = VICTIM.fork();
        spoil(&medium, &damages);
        let (before, report, content) = (shown(&medium), Fs::check(&medium), medium.content_hash());
        match repaired(&medium) {
            Ok(done) => {
                prop_assert_eq!(report.is_clean(), done.is_empty());
                // With what is behind a damage it is a later state than the one that could be read.
                let later = done.iter().any(|mend| matches!(mend, fs::Mend::Headers | fs::Mend::PassedOver(..)));
                if let Some(before) = before.filter(|_| !later) {
                    assert_no_worse(&before, &medium)?;
                }
            }
            Err(RepairError::Refused(error)) => {
                prop_assert!(before.is_none(), "what can be read can be repaired: {}", error);
                prop_assert!(report.refused.is_some());
                prop_assert_eq!(medium.content_hash(), content, "what is refused stays as it is");
            }
            Err(RepairError::NoSpace) => prop_assert!(report.has_errors()),
        }
    }
}

/// The property says something: most of these damages leave a medium that is wrong, of which most can be repaired.
#[test]
fn damages_are_found_and_mostly_repaired() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut wrong, mut repairable) = (0, 0);
    for _ in 0..60 {
        let damage = damage().new_tree(&mut runner).expect("there is no condition").current();
        let medium = VICTIM.fork();
        spoil(&medium, &[damage]);
        wrong += u32::from(!Fs::check(&medium).is_clean());
        let repaired = Fs::repair(medium, crate::victim::NOW).map(drop);
        repairable += u32::from(repaired.is_ok());
        assert!(!matches!(repaired, Err(RepairError::Refused(MountError::Truncated { .. }))));
    }
    assert!(wrong > 30 && repairable > 45, "{wrong} {repairable}");
}
