//! The table against the places it was made of, and against bytes that are no table.

use std::rc::Rc;
use std::sync::LazyLock;

use kernel_symbols::encode::{shallow, table};
use kernel_symbols::read::{Call, Place};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use symbols::{BLOCK, DEPTH, STEP, Scratch, Table};

fn call() -> impl Strategy<Value = Call> {
    let line = prop_oneof![4 => 0..300u32, 1 => any::<u32>()];
    let name =
        prop_oneof![4 => select(vec!["main", "core::fmt::write", "ä"]).prop_map(String::from), 1 => "[a-z:<>]{0,120}"];
    (name, select(vec!["", "kernel/src/main.rs", "core/src/fmt/mod.rs"]), line).prop_map(|(name, file, line)| Call {
        name: name.into(),
        file: file.into(),
        line,
    })
}

/// Places with rising offsets; stacks share their beginnings, as inlined calls do.
fn places() -> impl Strategy<Value = (Vec<Place>, u32)> {
    vec((0..40usize, vec(call(), 0..6), prop_oneof![9 => 1..30u32, 1 => 1..2_000_000u32]), 1..600).prop_map(|steps| {
        let (mut calls, mut offset): (Vec<Call>, u32) = (Vec::new(), 0);
        let mut places = Vec::new();
        for (kept, fresh, advance) in steps {
            calls.truncate(kept % (DEPTH + 8));
            calls.extend(fresh);
            places.push(Place { offset, calls: calls.clone() });
            offset += advance * STEP;
        }
        (places, offset)
    })
}

/// What the table says of `offset`.
fn found(table: &Table<'_>, offset: u32, scratch: &mut Scratch<'_>) -> Vec<Call> {
    let place = table.find(offset, scratch).unwrap();
    let calls = place.calls().iter().map(|call| {
        let function = table.function(call.function, scratch).unwrap();
        Call { name: function.name.into(), file: function.file.into(), line: call.line }
    });
    calls.collect()
}

/// A table with several blocks of both kinds.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let word = |value: u64| value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let call = |seed: u64| {
        let name: Rc<str> = format!("module_{}::function_{:x}", word(seed) >> 60, word(seed) >> 50).into();
        Call { name, file: "src/lib.rs".into(), line: word(seed) as u32 & 0xfff }
    };
    let place = |index: u64| Place {
        offset: index as u32 * STEP,
        calls: (0..word(index) >> 62).map(|depth| call(index * 4 + depth)).collect(),
    };
    table(&(0..10_000).map(place).collect::<Vec<_>>(), 10_000 * STEP)
});

#[test]
fn a_large_table_has_several_blocks() {
    let header = Table::open(&LARGE).unwrap().header();
    assert!(header.row_blocks > 2 && header.function_blocks > 2, "{header:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_place_is_found_again((places, text) in places(), extra in vec(any::<u32>(), 8)) {
        let bytes = table(&places, text);
        let table = Table::open(&bytes).unwrap();
        let mut block = [0; BLOCK];
        let scratch = &mut Scratch::new(&mut block);
        let ends = places.iter().skip(1).map(|place| place.offset).chain([text]);
        for (place, end) in places.iter().zip(ends).step_by(7) {
            let want = shallow(place).calls;
            for offset in [place.offset, place.offset + 1, end - 1] {
                prop_assert_eq!(&found(&table, offset, scratch), &want);
            }
        }
        for offset in extra {
            prop_assert!(offset < text || found(&table, offset, scratch).is_empty());
        }
    }

    #[test]
    fn no_damage_harms_the_reader(
        changes in vec((any::<Index>(), any::<u8>()), 1..20),
        cut in proptest::option::of(any::<Index>()),
        early in any::<bool>(),
        questions in vec(any::<u32>(), 20),
    ) {
        let mut bytes = LARGE.clone();
        // Damage to the header and the index is what the checksums of the blocks do not see.
        let reach = if early { 96 } else { bytes.len() };
        for (at, value) in changes {
            bytes[at.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut block = [0; BLOCK];
        let scratch = &mut Scratch::new(&mut block);
        if let Ok(table) = Table::open(&bytes) {
            for question in questions {
                // An answer or `Damaged`, and in bounded time: that is all one can ask.
                let _ = table.find(question % (40_000 * STEP), scratch);
                let _ = table.find(question, scratch);
                let _ = table.function(question % 5000, scratch);
                let _ = table.function(question, scratch);
            }
        }
    }

    #[test]
    fn no_bytes_harm_the_reader(mut bytes in vec(any::<u8>(), 32..4096), offset: u32) {
        bytes[..8].copy_from_slice(&symbols::MAGIC);
        let len = bytes.len() as u32;
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let mut block = [0; BLOCK];
        let scratch = &mut Scratch::new(&mut block);
        let table = Table::open(&bytes).unwrap();
        let _ = table.find(offset, scratch);
        let _ = table.function(offset, scratch);
    }
}
