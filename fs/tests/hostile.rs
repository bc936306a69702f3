//! Hostile media: whatever the bytes say, mount, fsck and use end, without a panic and in bounded memory.
//!
//! Where a byte changes at random, checksums catch it. So most mutations here are sealed: the checksum is made right
//! again, and the number itself has to be seen through.

mod common;

use std::sync::{Arc, LazyLock};

use common::{BLOCK, NOW, SimNode, assert_clean, fresh, mount, write_at};
use crc::{CRC_32_ISCSI, Crc};
use fs::{Fs, Kind, Mount, MountError, NewNode, Rename, WriteAt, Wrong};
use pmem_sim::SimMedium;
use proptest::prelude::*;
use units::FileOff;

/// The salt of [`common::formatted`].
const SALT: u64 = 0x7a11_5a17;
const FILE: NewNode<'static> = NewNode::File { mode: 0o644 };
/// Blocks of the medium that is spoiled.
const BLOCKS: u64 = 512;

/// A medium with something of every kind on it.
static VICTIM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fs = fresh(BLOCKS);
    let root = fs.root();
    let file = root.create(b"file", FILE, NOW).unwrap();
    write_at(&file, 0, &[1; 40_000]).unwrap();
    write_at(&file, 100_000, &[2; 5000]).unwrap();
    let dir = root.create(b"dir", NewNode::Directory { mode: 0o755 }, NOW).unwrap();
    let below = dir.create(b"below", NewNode::Directory { mode: 0o755 }, NOW).unwrap();
    below.create(b"link", NewNode::Symlink { target: b"../../file" }, NOW).unwrap();
    dir.link(b"hard", &file, NOW).unwrap();
    let gone = root.create(b"gone", FILE, NOW).unwrap();
    write_at(&gone, 4096, &[3; 4096]).unwrap();
    root.unlink(b"gone", NOW).unwrap();
    root.rename(b"file", &below, b"moved", Rename::Replace, NOW).unwrap();
    file.truncate(50_001, NOW).unwrap();
    fs.medium().bytes()
});

/// Places of everything that has a checksum: where it begins and how long it is.
static SEALED: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
    let bytes = &*VICTIM;
    let length = |at: usize| u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    let places = (0..bytes.len()).step_by(64).filter_map(|at| match &bytes[at..at + 4] {
        b"VITR" => Some((at, 512)),
        b"VSEG" => Some((at, 64)),
        b"VREC" => Some((at, length(at))),
        _ => None,
    });
    places.collect()
});

/// Makes the checksum of what begins at `at` right.
fn seal(bytes: &mut [u8], (at, len): (usize, usize)) {
    let crc = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = crc.digest();
    let whole = &bytes[at..at + len];
    let field = if whole.starts_with(b"VITR") {
        16
    } else {
        digest.update(&SALT.to_le_bytes());
        4
    };
    digest.update(&whole[..field]);
    digest.update(&[0; 4]);
    digest.update(&whole[field + 4..]);
    let sum = digest.finalize().to_le_bytes();
    bytes[at + field..at + field + 4].copy_from_slice(&sum);
}

/// Does everything with what can be mounted, without believing any size.
fn use_all(fs: &Arc<Fs<SimMedium>>) {
    let mut waiting = vec![fs.root()];
    for _ in 0..200 {
        let Some(node) = waiting.pop() else { break };
        let attr = node.attr();
        for at in [0, 4000, attr.size.saturating_sub(10), attr.size / 2] {
            let _ = common::read_at(&node, at, 10_000);
        }
        let _ = node.read_link();
        let mut names = Vec::new();
        let _ = node.read_dir(0, &mut |entry| {
            names.push(entry.name.to_vec());
            names.len() < 50
        });
        for name in names.iter().filter(|name| *name != b"." && *name != b"..") {
            let child = node.lookup(name).unwrap();
            waiting.extend([child].into_iter().filter(|child| child.ino() != node.ino()));
        }
        spoil_more(&node, &names);
    }
}

fn spoil_more(node: &SimNode, names: &[Vec<u8>]) {
    if node.kind() == Kind::File {
        if let Ok(pin) = node.pin_all() {
            let _ = pin.iomap(FileOff::new(pin.size()));
            let _ = write_at(node, 3000, &[9; 6000]);
        }
        let _ = node.write(WriteAt::End, &mut [8; 5000].as_slice(), NOW);
        let _ = node.truncate(1234, NOW);
        return;
    }
    let _ = node.create(b"new", FILE, NOW).map(|new| write_at(&new, 0, &[1; 100]));
    for name in names {
        let _ = node.rename(name, node, b"other", Rename::Exchange, NOW);
        let _ = node.unlink(name, NOW);
        let _ = node.rmdir(name, NOW);
    }
}

/// Mounts, uses and examines; what was mounted for writing is examined again.
fn survive(bytes: &[u8]) {
    let medium = SimMedium::from_bytes(bytes);
    let report = Fs::check(&medium);
    match Fs::mount(medium.clone(), Mount::default()) {
        Ok(fs) => {
            assert!(report.refused.is_none());
            use_all(&fs);
            // A hostile file system may be wrong in ways no mount looks at, but it never gets a new owner for a block.
            let wrong = Fs::check(&medium).findings.iter().any(|finding| finding.what == Wrong::DoublyOwned);
            assert!(!wrong);
        }
        Err(_) => assert!(report.has_errors()),
    }
}

/// Numbers that are likely to hurt.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..20,
        any::<u64>(),
        Just(u64::MAX),
        Just(u64::from(u32::MAX)),
        Just(1 << 44),
        Just(BLOCKS),
        Just(BLOCKS - 1),
        (0..BLOCKS)
    ]
}

/// Cases of each kind; `VITRINE_FUZZ` asks for more.
fn cases() -> u32 {
    std::env::var("VITRINE_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_byte_may_be_wrong(at in 0..(180 * BLOCK as usize), byte: u8) {
        let mut bytes = VICTIM.clone();
        bytes[at] = byte;
        survive(&bytes);
    }

    #[test]
    fn any_number_may_be_wrong_under_a_right_checksum(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u32..4, number()), 1..4),
    ) {
        let mut bytes = VICTIM.clone();
        for (place, field, width, number) in changes {
            let (at, len) = *place.get(&SEALED);
            let width = 1 << width;
            let offset = at + field.index(len / width) * width;
            // Both copies of a record say the same, or each would outvote the other.
            let original = VICTIM[at..at + len].to_vec();
            let twins: Vec<_> =
                SEALED.iter().copied().filter(|(twin, len)| VICTIM[*twin..twin + len] == original).collect();
            for twin in twins {
                bytes[offset - at + twin.0..][..width].copy_from_slice(&number.to_le_bytes()[..width]);
                seal(&mut bytes, twin);
            }
        }
        survive(&bytes);
    }

    #[test]
    fn a_medium_may_end_anywhere(blocks in 0..BLOCKS) {
        survive(&VICTIM[..(blocks * BLOCK) as usize]);
    }
}

#[test]
fn the_victim_is_clean_and_its_seals_are_ours() {
    assert_clean(&SimMedium::from_bytes(&VICTIM));
    let mut bytes = VICTIM.clone();
    SEALED.iter().for_each(|place| seal(&mut bytes, *place));
    assert!(bytes == *VICTIM);
    assert!(SEALED.len() > 25, "{SEALED:?}");
}

/// Changes the first record that holds `needle` at an item's `offset`, in both copies.
fn changed(needle: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = VICTIM.clone();
    let mut places = SEALED.iter().copied();
    let holds = |place: &(usize, usize)| {
        VICTIM[place.0..].starts_with(b"VREC")
            && VICTIM[place.0..place.0 + place.1].windows(needle.len()).any(|w| w == needle)
    };
    let first = places.find(holds).unwrap();
    for twin in SEALED.iter().filter(|twin| VICTIM[twin.0..twin.0 + twin.1] == VICTIM[first.0..first.0 + first.1]) {
        change(&mut bytes[twin.0..twin.0 + twin.1]);
        seal(&mut bytes, *twin);
    }
    bytes
}

#[test]
fn a_block_with_two_owners_is_refused() {
    // The file's first extent, moved onto the superblock's second copy.
    let target = 16u64.to_le_bytes();
    let item = [2, 0, 0, 0, 40, 0, 0, 0];
    let bytes = changed(&item, |record| {
        let at = record.windows(8).position(|w| w == item).unwrap();
        record[at + 24..at + 32].copy_from_slice(&target);
    });
    let refused = Fs::mount(SimMedium::from_bytes(&bytes), Mount::default()).err();
    assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::DoublyOwned), "{refused:?}");
}

#[test]
fn a_wrong_link_count_is_found_and_mounted_read_only() {
    // The last record truncates the file: its link count is 2 there.
    let last = SEALED.iter().rev().find(|place| VICTIM[place.0..].starts_with(b"VREC")).unwrap();
    let mut bytes = VICTIM.clone();
    for twin in SEALED.iter().filter(|twin| VICTIM[twin.0..twin.0 + twin.1] == VICTIM[last.0..last.0 + last.1]) {
        bytes[twin.0 + 32 + 28] = 5;
        seal(&mut bytes, *twin);
    }
    let medium = SimMedium::from_bytes(&bytes);
    assert!(Fs::check(&medium).findings.iter().any(|finding| finding.what == Wrong::LinkCount));
    assert_eq!(mount(medium).damage().unwrap().what, Wrong::LinkCount);
}

#[test]
fn numbers_that_could_not_be_counted_on_from_are_refused() {
    // The superblock's generation, first record and next inode number.
    for field in [64, 88, 112] {
        let mut bytes = VICTIM.clone();
        for twin in SEALED.iter().filter(|twin| VICTIM[twin.0..].starts_with(b"VITR")) {
            bytes[twin.0 + field..twin.0 + field + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            seal(&mut bytes, *twin);
        }
        let refused = Fs::mount(SimMedium::from_bytes(&bytes), Mount::default()).err();
        assert!(matches!(refused, Some(MountError::Damaged(damage)) if damage.what == Wrong::SuperblockField));
    }
}
