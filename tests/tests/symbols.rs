//! The table of symbols in the kernels as built, against their own DWARF and symbols: every instruction of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use kernel_symbols::encode::shallow;
use kernel_symbols::read::{self, Call, Place, Reader};
use machine_tests::built;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use symbols::{BLOCK, Scratch, Table};

/// The bytes of the section of an ELF file that the table is in.
fn table_of(elf: &[u8]) -> Vec<u8> {
    let file = object::File::parse(elf).expect("an ELF file");
    let section = file.section_by_name(".symbols").expect("linker.ld keeps it");
    section.data().expect("it has bytes").to_vec()
}

/// What the table says of every instruction, in order of the offsets at which that changes.
fn decoded(table: &Table<'_>) -> Vec<Place> {
    let mut block = [0; BLOCK];
    let scratch = &mut Scratch::new(&mut block);
    let functions: Vec<(String, String)> = (0..table.header().functions)
        .map(|number| table.function(number, scratch).map(|function| (function.name.into(), function.file.into())))
        .collect::<Result<_, _>>()
        .expect("every function is there");
    let mut places: Vec<Place> = Vec::new();
    for number in 0..table.header().row_blocks {
        let mut rows = table.rows(number, scratch).expect("every block is there");
        while let Some((offset, place)) = rows.next_row().expect("every row is") {
            let call = |call: &symbols::Call| {
                let (name, file) = &functions[call.function as usize];
                Call { name: name.as_str().into(), file: file.as_str().into(), line: call.line }
            };
            places.push(Place { offset, calls: place.calls().iter().map(call).collect() });
        }
    }
    places
}

/// Checks one kernel.
fn check(name: &str) {
    let elf = fs::read(built(name)).expect("make test builds it");
    let bytes = table_of(&elf);
    let table = Table::open(&bytes).expect("the build wrote a table");

    let (places, text) = read::places(&elf).expect("DWARF");
    let want: Vec<Place> = places.iter().map(shallow).collect();
    let got = decoded(&table);
    assert_eq!(got.len(), want.len());
    let wrong = got.iter().zip(&want).find(|(got, want)| got != want);
    assert!(wrong.is_none(), "{wrong:#?}");
    assert_eq!(table.header().text, text);

    // The way the kernel asks: one address at a time.
    let mut block = [0; BLOCK];
    let scratch = &mut Scratch::new(&mut block);
    let reader = Reader::new(&elf).expect("DWARF");
    for place in want.iter().step_by(211) {
        let found = table.find(place.offset, scratch).expect("no damage");
        let lines: Vec<u32> = found.calls().iter().map(|call| call.line).collect();
        let calls = reader.calls(reader.base() + u64::from(place.offset)).expect("DWARF");
        assert_eq!(lines, calls.iter().map(|call| call.line).collect::<Vec<_>>());
    }

    // No path tells of the machine it was built on, and the project's own begin with a room of it.
    let files: BTreeSet<&str> = want.iter().flat_map(|place| &place.calls).map(|call| &*call.file).collect();
    assert!(files.iter().all(|file| !file.starts_with('/')), "{files:?}");
    assert!(files.contains("kernel/src/start.rs") && files.contains("core/src/fmt/mod.rs"), "{files:?}");

    // Whoever owns the first instruction of a function is that function, says the linker too.
    let owners: BTreeMap<u32, &Place> = want.iter().map(|place| (place.offset, place)).collect();
    let file = object::File::parse(&*elf).expect("an ELF file");
    let mut names: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let name = rustc_demangle::demangle(symbol.name().expect("a name"));
        names.entry(symbol.address()).or_default().push(format!("{name:#}"));
    }
    assert!(names.len() > 500);
    for (address, names) in names {
        let offset = u32::try_from(address - reader.base()).expect("text is small");
        let (_, place) = owners.range(..=offset).next_back().expect("text begins with a place");
        let owner = &place.calls.first().unwrap_or_else(|| panic!("{names:?} is not known")).name;
        let cut = owner.strip_suffix("...").unwrap_or(owner);
        assert!(names.iter().any(|name| name.starts_with(cut)), "{owner} is at {names:?}");
    }
}

#[test]
fn the_kernels_table_says_what_its_dwarf_says() {
    check("vitrine.elf");
}

#[test]
fn the_checked_kernels_table_says_what_its_dwarf_says() {
    check("vitrine-checked.elf");
}
