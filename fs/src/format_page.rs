//! `docs/FORMAT.md` is held against the structures: each row of its tables against the field at that place.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use crate::format::{
    BAD_ENTRIES, BLOCK, INLINE_RUNS, LAYOUTS, MIN_BLOCKS, RECORD_ALIGN, RECORD_MAX, RUNS_PER_BLOCK, SEGMENT_BLOCKS,
    VERSION,
};

const PAGE: &str = include_str!("../../docs/FORMAT.md");

/// How the line above a table begins, and what the table shows. Tables of items leave out the header they share.
const TITLES: [(&str, &str); 12] = [
    ("## Superblock (", "Superblock"),
    ("## List of bad blocks (", "BadListHeader"),
    ("### Segment header (", "SegmentHeader"),
    ("### Record (", "RecordHeader"),
    ("### Items", "ItemHeader"),
    ("**1, inode** (", "InodeItem"),
    ("**2, extents** (", "ExtentsItem"),
    ("A run, ", "RunItem"),
    ("**3, extent list** (", "ExtentListItem"),
    ("**4, entry** (", "EntryItem"),
    ("**5, target** (", "TargetItem"),
    ("### Extent block (", "ExtentBlockHeader"),
];

/// Fields as the page has them: name, first byte, bytes; `None` for what comes behind the structure.
type Rows = Vec<(String, usize, Option<usize>)>;

/// One row of a table; several fields where it has as many names as sizes.
fn row(line: &str) -> Option<Rows> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let at: usize = cells.next()?.parse().ok()?;
    let sizes = cells.next()?;
    let names: Vec<&str> = cells.next()?.split(", ").collect();
    let Some(sizes) = sizes.split(" + ").map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>() else {
        return Some(vec![(names.join(", "), at, None)]);
    };
    if names.len() != sizes.len() {
        return Some(vec![(names.join(", "), at, Some(sizes.iter().sum()))]);
    }
    let starts = sizes.iter().scan(at, |next, size| {
        *next += size;
        Some(*next - size)
    });
    Some(names.iter().zip(starts).zip(&sizes).map(|((name, at), size)| (name.to_string(), at, Some(*size))).collect())
}

/// The table under the line that begins with `title`, and that line.
fn table(title: &str) -> (&'static str, Rows) {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(title));
    let line = lines.next().unwrap_or_else(|| panic!("'{title}' is not on the page"));
    let rows = lines.skip_while(|line| !line.starts_with("| at |")).take_while(|line| line.starts_with('|'));
    (line, rows.filter_map(row).flatten().collect())
}

#[test]
fn every_table_is_what_the_structures_are() {
    let mut shown: Vec<&str> = TITLES.iter().map(|(_, name)| *name).collect();
    let mut there: Vec<&str> = LAYOUTS.iter().map(|(name, ..)| *name).collect();
    shown.sort_unstable();
    there.sort_unstable();
    assert_eq!(shown, there, "each structure has a table");
    for (title, name) in TITLES {
        let (_, size, fields) = LAYOUTS.iter().find(|(layout, ..)| *layout == name).unwrap();
        let (_, rows) = table(title);
        let mut rows = rows.into_iter();
        let ends = fields.iter().skip(1).map(|(_, at)| *at).chain([*size]);
        for ((field, at), end) in fields.iter().zip(ends).filter(|((field, _), _)| *field != "header") {
            let (shown, place, bytes) = rows.next().unwrap_or_else(|| panic!("{name}: {field} is not in the table"));
            assert_eq!((place, bytes), (*at, Some(end - at)), "{name}: {field}, which the page calls {shown}");
            // Seconds and nanoseconds of a time have one name there.
            let said = *field == shown || field.strip_suffix("_secs").or(field.strip_suffix("_nanos")) == Some(&shown);
            assert!(said, "{name}: {field} at {at} is called {shown}");
        }
        for (shown, place, bytes) in rows {
            assert_eq!((place, bytes), (*size, None), "{name} has no {shown}");
        }
    }
}

#[test]
fn the_sizes_in_the_titles_are_right() {
    for (title, name) in
        TITLES.iter().filter(|(_, name)| !matches!(*name, "BadListHeader" | "ItemHeader" | "ExtentBlockHeader"))
    {
        let (_, size, _) = LAYOUTS.iter().find(|(layout, ..)| layout == name).unwrap();
        let (line, _) = table(title);
        let said = line[title.len()..].split(' ').next().unwrap();
        assert_eq!(said, size.to_string(), "{line}");
    }
}

#[test]
fn the_numbers_in_the_text_are_right() {
    let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
    for said in [
        format!("Version {VERSION}."),
        format!("A *block* is {BLOCK} bytes"),
        format!("copies of log segments, {SEGMENT_BLOCKS} blocks each"),
        format!("Each has two copies of {} KiB", SEGMENT_BLOCKS * BLOCK / 1024),
        format!("each at a multiple of {RECORD_ALIGN} bytes"),
        format!("a multiple of 8; at most {}", thousands(RECORD_MAX)),
        format!("{MIN_BLOCKS} at least; the medium may be longer"),
        format!("entries in use, at most {BAD_ENTRIES}"),
        format!("runs in this block, at most {RUNS_PER_BLOCK}"),
        format!("the same, with more than {INLINE_RUNS} runs"),
    ] {
        assert!(PAGE.contains(&said), "'{said}' is not on the page");
    }
}
