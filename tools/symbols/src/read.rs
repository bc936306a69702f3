//! What an ELF file's symbols and DWARF know of each instruction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use addr2line::Context as Lines;
use anyhow::{Context, Result, bail};
use gimli::{Dwarf, EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use symbols::STEP;

use crate::paths::{Source, shorten};

/// The symbol that offsets count from.
const BASE: &str = "_text";
/// A longer name is cut, and marked.
const NAME: usize = 120;

/// A function in a place, and the line it has reached there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Call {
    /// Its name with the path of its module, demangled.
    pub name: Rc<str>,
    /// The path of its source; empty where none is known.
    pub file: Rc<str>,
    /// The line in it; 0 where none is known.
    pub line: u32,
}

/// What is known of the code from an offset on, up to the next place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Bytes behind `_text`.
    pub offset: u32,
    /// Outermost first: the function that owns the code, and above it what was inlined.
    pub calls: Vec<Call>,
}

type Slice<'e> = EndianSlice<'e, LittleEndian>;

/// Every place of the executable sections of `elf`, by their offset, and the bytes from `_text` to their end.
///
/// # Errors
/// Where it is not an ELF file with `_text`, or its DWARF cannot be read.
pub fn places(elf: &[u8]) -> Result<(Vec<Place>, u32)> {
    let reader = Reader::new(elf)?;
    let mut places: Vec<Place> = Vec::new();
    for (start, end) in reader.text()? {
        for address in (start..end).step_by(STEP as usize) {
            let calls = reader.calls(address)?;
            if places.last().is_none_or(|last| last.calls != calls) {
                places.push(Place { offset: u32::try_from(address - reader.base)?, calls });
            }
        }
        // What lies between sections, or behind the last, is nobody's.
        places.push(Place { offset: u32::try_from(end - reader.base)?, calls: Vec::new() });
    }
    let text = places.last().map_or(0, |last| last.offset);
    Ok((places, text))
}

/// An ELF file, to be asked for one address after the other.
pub struct Reader<'e> {
    file: object::File<'e>,
    lines: Lines<Slice<'e>>,
    /// Symbols by their address, for code that DWARF does not tell of: where it ends, and the name.
    named: BTreeMap<u64, (u64, String)>,
    roots: BTreeSet<String>,
    base: u64,
    names: std::cell::RefCell<HashMap<String, Rc<str>>>,
    sources: std::cell::RefCell<HashMap<String, (Rc<str>, bool)>>,
}

impl<'e> Reader<'e> {
    /// Reads the file's symbols and the outline of its DWARF.
    ///
    /// # Errors
    /// As for [`places`].
    pub fn new(elf: &'e [u8]) -> Result<Self> {
        let file = object::File::parse(elf)?;
        let section = |id: gimli::SectionId| -> Result<Slice<'e>, gimli::Error> {
            let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
            Ok(EndianSlice::new(data.unwrap_or(&[]), LittleEndian))
        };
        let dwarf = Dwarf::load(section)?;
        let base = file.symbols().find(|symbol| symbol.name() == Ok(BASE));
        let base = base.with_context(|| format!("it has no symbol {BASE}"))?.address();
        let (roots, named) = (roots(&dwarf)?, named(&file)?);
        let lines = Lines::from_dwarf(dwarf)?;
        Ok(Self { file, lines, named, roots, base, names: Default::default(), sources: Default::default() })
    }

    /// The address of `_text`.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Start and end of each executable section, by address.
    fn text(&self) -> Result<Vec<(u64, u64)>> {
        let executable = self.file.sections().filter(|section| section.kind() == SectionKind::Text);
        let mut ranges: Vec<_> =
            executable.map(|section| (section.address(), section.address() + section.size())).collect();
        ranges.sort_unstable();
        if ranges.first().is_none_or(|first| first.0 < self.base) {
            bail!("{BASE} is not where its code begins");
        }
        Ok(ranges)
    }

    /// What is known of the instruction at `address`, outermost first. Of library code inlined into library code only
    /// the outermost call is kept: the one that some source of the project spells.
    ///
    /// # Errors
    /// Where the DWARF cannot be read.
    pub fn calls(&self, address: u64) -> Result<Vec<Call>> {
        let mut found = self.lines.find_frames(address).skip_all_loads()?;
        let mut frames = Vec::new();
        while let Some(frame) = found.next()? {
            let Some(function) = frame.function else { continue };
            let name = self.name(&function.raw_name()?);
            let (file, line) = frame.location.map_or((None, None), |location| (location.file, location.line));
            let (file, library) = self.source(file.unwrap_or_default());
            frames.push((library, Call { name, file, line: line.unwrap_or(0) }));
        }
        if frames.is_empty() {
            return Ok(self.symbol(address).into_iter().collect());
        }
        frames.reverse();
        let mut inside_library = false;
        frames.retain(|(library, _)| !(std::mem::replace(&mut inside_library, *library) && *library));
        Ok(frames.into_iter().map(|(_, call)| call).collect())
    }

    /// The symbol around `address`.
    fn symbol(&self, address: u64) -> Option<Call> {
        let (_, (end, name)) = self.named.range(..=address).next_back()?;
        (address < *end).then(|| Call { name: self.name(name), file: "".into(), line: 0 })
    }

    fn name(&self, mangled: &str) -> Rc<str> {
        let mut names = self.names.borrow_mut();
        names
            .entry(mangled.to_owned())
            .or_insert_with(|| cut(format!("{:#}", rustc_demangle::demangle(mangled))))
            .clone()
    }

    fn source(&self, path: &str) -> (Rc<str>, bool) {
        let mut sources = self.sources.borrow_mut();
        let short = || {
            let Source { path, library } = shorten(path, &self.roots);
            (path.into(), library)
        };
        sources.entry(path.to_owned()).or_insert_with(short).clone()
    }
}

fn cut(mut name: String) -> Rc<str> {
    if name.len() > NAME {
        name.truncate(name.floor_char_boundary(NAME - 3));
        name.push_str("...");
    }
    name.into()
}

/// The folders in which sources with a relative path were compiled: the project's.
fn roots(dwarf: &Dwarf<Slice<'_>>) -> Result<BTreeSet<String>> {
    let mut roots = BTreeSet::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let (Some(name), Some(folder)) = (unit.name, unit.comp_dir) else { continue };
        let (name, folder) = (name.to_string_lossy(), folder.to_string_lossy());
        if !name.starts_with('/') && !folder.contains("/registry/") {
            roots.insert(folder.into_owned());
        }
    }
    Ok(roots)
}

/// Every symbol of code that has a size: where it ends, and its name. Of several at one address the one without
/// underscores in front is the name, the others are aliases.
fn named(file: &object::File<'_>) -> Result<BTreeMap<u64, (u64, String)>> {
    let mut named: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for symbol in file.symbols() {
        let code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown);
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let executable = section.is_some_and(|section| section.kind() == SectionKind::Text);
        if !code || !executable || symbol.size() == 0 {
            continue;
        }
        let fresh = (symbol.address() + symbol.size(), symbol.name()?.to_owned());
        let plain = |name: &str| !name.starts_with("__");
        let old = named.entry(symbol.address()).or_insert_with(|| fresh.clone());
        if plain(&fresh.1) && !plain(&old.1) {
            *old = fresh;
        }
    }
    Ok(named)
}
