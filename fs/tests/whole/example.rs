//! The worked example of `docs/FORMAT.md` is what the crate writes.

use fs::{Format, Fs, NewNode, Time, WriteAt};
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff};

use crate::common::{assert_clean, mount};

const PAGE: &str = include_str!("../../../docs/FORMAT.md");

/// The lines of the dump: a place and sixteen bytes each.
fn dump() -> impl Iterator<Item = (usize, Vec<u8>)> {
    PAGE.lines().filter_map(|line| {
        let (at, rest) = line.split_once(": ")?;
        let at = usize::from_str_radix(at, 16).ok().filter(|_| at.len() == 8)?;
        let digits: String = rest.chars().take(39).filter(|digit| *digit != ' ').collect();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        Some((at, (0..32).step_by(2).map(byte).collect()))
    })
}

#[test]
fn the_worked_example_of_the_format_is_true() {
    let lines: Vec<(usize, Vec<u8>)> = dump().collect();
    assert_eq!(lines.len(), 40);
    // As the tool makes them from the date and the size; the page shows them.
    let shown = |from: usize, len: usize| -> Vec<u8> {
        let byte = |at: usize| lines.iter().find(|(line, _)| *line == at / 16 * 16).map_or(0, |line| line.1[at % 16]);
        (from..from + len).map(byte).collect()
    };
    let uuid = shown(24, 16).try_into().expect("sixteen bytes");
    let salt = u64::from_le_bytes(shown(56, 8).try_into().expect("eight bytes"));
    let now = Time::new(1_700_000_000, 0);

    let medium = SimMedium::new(ByteLen::new(2 << 20));
    Fs::format(&medium, &Format { uuid, salt, now, ..Format::default() }).expect("it is large enough");
    let fs = mount(medium.clone());
    let note = fs.root().create(b"note.txt", NewNode::File { mode: 0o644 }, now).expect("there is room");
    note.write(WriteAt::Offset(FileOff::ZERO), &mut &b"a look, not a touch\n"[..], now).expect("there is room");
    drop((note, fs));
    assert_clean(&medium);

    let bytes = medium.bytes();
    for (at, expected) in &lines {
        assert_eq!(bytes[*at..at + 16], **expected, "line {at:#x}");
    }
    // What is not shown is zero, or a second copy.
    let mut expected = vec![0; bytes.len()];
    lines.iter().for_each(|(at, line)| expected[*at..at + 16].copy_from_slice(line));
    expected.copy_within(0..512, 0x10000);
    expected.copy_within(0x11000..0x31000, 0x31000);
    assert!(bytes == expected);
}
