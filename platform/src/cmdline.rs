//! The kernel command line: its words, and which of them are refused.
//!
//! Words are separated by blanks. `init=` takes the rest of the line: the program and its arguments, of which one
//! that begins with a double quote reaches to the next.

use core::fmt;

use arrayvec::ArrayVec;
use units::{ByteLen, PhysAddr, PhysRange};

/// Ranges that `pmem=` may name.
pub const MAX_PMEM: usize = 4;
/// The log level where none is given: errors are printed, and a healthy run prints nothing.
pub const DEFAULT_LOG_LEVEL: u8 = 4;

/// What `kaslr=` may move the kernel by is a multiple of this: blocks stay blocks.
pub const KASLR_STEP: u64 = 2 << 20;
/// What `kaslr=` may move the kernel by is less than this.
pub const KASLR_END: u64 = 8 << 40;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandLine<'a> {
    /// The first program, where one is named.
    pub init: Option<Init<'a>>,
    /// Whether to run the in-kernel tests, and which.
    pub test: Option<Filter<'a>>,
    /// Whether to run the in-kernel benches, and which.
    pub bench: Option<Filter<'a>>,
    /// Records of a Linux level below this are printed.
    pub log_level: u8,
    /// The number of the pmem device with the root file system, where one is named.
    pub root: Option<usize>,
    /// Ranges of RAM to be taken as pmem.
    pub pmem: ArrayVec<PhysRange, MAX_PMEM>,
    /// What becomes of memory on other NUMA nodes than the boot CPU's.
    pub ram: Ram,
    /// How far the kernel is to move up from its link address.
    pub kaslr: Kaslr,
    /// Whether bad blocks are holes that abort.
    pub poison: Poison,
    /// Who watches the stores to persistent memory.
    pub recorder: Recorder,
    /// The window that the console is seen in, where it is known.
    pub window: Option<Window>,
}

/// A window that text is seen in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub columns: u16,
}

/// What a bad block of persistent memory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    /// An entry in a list.
    Listed,
    /// A page that answers no access, by stage 2 (`poison`).
    Real,
}

/// Who watches the stores to persistent memory, and how they become durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorder {
    /// Nobody.
    Absent,
    /// A recorder of memory accesses, which has to be shown what is no access (`record`).
    Watching,
}

/// How far the kernel is to move up from its link address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kaslr {
    /// By so many bytes; 0 where the line does not say (`kaslr=OFFSET`).
    By(u64),
    /// By chance (`kaslr`).
    Random,
}

/// What becomes of memory on other NUMA nodes than the boot CPU's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ram {
    /// It is left alone.
    BootNode,
    /// It is RAM like any other (`ram=all`).
    All,
}

/// The first program and its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Init<'a> {
    line: &'a str,
}

impl<'a> Init<'a> {
    /// The program's path.
    pub fn path(&self) -> &'a str {
        Arguments { rest: self.line }.next().unwrap_or("")
    }

    /// Its arguments, without the path.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        Arguments { rest: self.line }.skip(1)
    }
}

/// The words of [`Init`], one by one.
struct Arguments<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = match self.rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some(quoted) => quoted,
            None => split_word(self.rest),
        };
        self.rest = rest;
        Some(word)
    }
}

/// Which tests or benches to run: those whose name contains the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter<'a>(pub(crate) &'a str);

impl Filter<'_> {
    /// Whether `name` is wanted.
    pub fn takes(&self, name: &str) -> bool {
        name.contains(self.0)
    }

    /// Whether `name` alone is wanted.
    pub fn is(&self, name: &str) -> bool {
        name == self.0
    }
}

/// A word that is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadWord<'a> {
    /// The word, as it was given.
    pub word: &'a str,
    /// Why.
    pub reason: Reason,
}

/// Why a word is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Nothing goes by this name.
    Unknown,
    /// The value must be like this.
    Wants(&'static str),
    /// There are more of these than there is room for.
    TooMany,
    /// The name is known, but this version of the kernel cannot do it.
    NotSupported,
}

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": ", self.word)?;
        match self.reason {
            Reason::Unknown => write!(f, "unknown word"),
            Reason::Wants(what) => write!(f, "wants {what}"),
            Reason::TooMany => write!(f, "more than {MAX_PMEM} of these"),
            Reason::NotSupported => write!(f, "not supported by this kernel"),
        }
    }
}

impl<'a> CommandLine<'a> {
    /// Takes the line apart. Of words given twice the last one counts, and every `pmem=` adds a range.
    ///
    /// # Errors
    /// [`BadWord`]: the first word that is unknown or has a value that makes no sense.
    pub fn parse(line: &'a str) -> Result<Self, BadWord<'a>> {
        let mut all = Self {
            init: None,
            test: None,
            bench: None,
            log_level: DEFAULT_LOG_LEVEL,
            root: None,
            pmem: ArrayVec::new(),
            ram: Ram::BootNode,
            poison: Poison::Listed,
            recorder: Recorder::Absent,
            window: None,
            kaslr: Kaslr::By(0),
        };
        let mut rest = line.trim();
        while !rest.is_empty() {
            if let Some(line) = rest.strip_prefix("init=") {
                all.init = Some(init(line).map_err(|reason| BadWord { word: rest, reason })?);
                break;
            }
            let (word, behind) = split_word(rest);
            all.word(word).map_err(|reason| BadWord { word, reason })?;
            rest = behind.trim_start();
        }
        Ok(all)
    }

    fn word(&mut self, word: &'a str) -> Result<(), Reason> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match (name, value) {
            ("test", filter) => self.test = Some(Filter(filter.unwrap_or(""))),
            ("bench", filter) => self.bench = Some(Filter(filter.unwrap_or(""))),
            ("loglevel", value) => self.log_level = log_level(value)?,
            ("root", value) => self.root = Some(device(value)?),
            ("pmem", value) => self.pmem.try_push(range(value)?).map_err(|_| Reason::TooMany)?,
            ("ram", Some("all")) => self.ram = Ram::All,
            ("ram", _) => return Err(Reason::Wants("ram=all")),
            ("window", value) => self.window = Some(window(value)?),
            ("kaslr", None) => self.kaslr = Kaslr::Random,
            ("kaslr", Some(offset)) => self.kaslr = Kaslr::By(displacement(offset)?),
            ("poison", None) => self.poison = Poison::Real,
            ("poison", Some(_)) => return Err(Reason::Wants("no value: poison alone")),
            ("record", None) => self.recorder = Recorder::Watching,
            ("record", Some(_)) => return Err(Reason::Wants("no value: record alone")),
            _ => return Err(Reason::Unknown),
        }
        Ok(())
    }
}

fn init(line: &str) -> Result<Init<'_>, Reason> {
    let init = Init { line };
    if init.path().is_empty() { Err(Reason::Wants("a path, as in init=/bin/sh")) } else { Ok(init) }
}

fn log_level(value: Option<&str>) -> Result<u8, Reason> {
    match value.and_then(|value| value.parse().ok()) {
        Some(level @ 0..=7) => Ok(level),
        _ => Err(Reason::Wants("a level from 0 to 7")),
    }
}

fn device(value: Option<&str>) -> Result<usize, Reason> {
    let number = value.and_then(|value| value.strip_prefix("pmem")).filter(|number| is_plain(number));
    number.and_then(|number| number.parse().ok()).ok_or(Reason::Wants("a device, as in root=pmem0"))
}

fn window(value: Option<&str>) -> Result<Window, Reason> {
    let side = |text: &str| text.parse().ok().filter(|side| is_plain(text) && *side > 0);
    let sides = value.and_then(|value| value.split_once('x'));
    let window = sides.and_then(|(rows, columns)| Some(Window { rows: side(rows)?, columns: side(columns)? }));
    window.ok_or(Reason::Wants("ROWSxCOLUMNS, as in window=24x80"))
}

/// Digits alone; `parse` would take a sign.
fn is_plain(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit())
}

fn range(value: Option<&str>) -> Result<PhysRange, Reason> {
    const WANTED: Reason = Reason::Wants("BASE,SIZE in whole pages, as in pmem=0x70000000,256M");
    let (base, size) = value.and_then(|value| value.split_once(',')).ok_or(WANTED)?;
    let (base, size) = (amount(base).ok_or(WANTED)?, amount(size).ok_or(WANTED)?);
    let range = PhysRange::with_len(PhysAddr::new(base), ByteLen::new(size)).ok_or(WANTED)?;
    let whole = range.start().is_aligned(units::PAGE_SIZE) && range.end().is_aligned(units::PAGE_SIZE);
    if whole && !range.is_empty() { Ok(range) } else { Err(WANTED) }
}

fn displacement(offset: &str) -> Result<u64, Reason> {
    let offset = amount(offset).filter(|offset| offset % KASLR_STEP == 0 && *offset < KASLR_END);
    offset.ok_or(Reason::Wants("a multiple of 2M below 8192G, as in kaslr=0x40000000"))
}

/// A number, decimal or `0x` hexadecimal, perhaps followed by K, M or G.
fn amount(text: &str) -> Option<u64> {
    let (digits, shift) = match text.bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok()?,
        None if is_plain(digits) => digits.parse().ok()?,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}
