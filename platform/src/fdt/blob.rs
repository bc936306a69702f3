//! The flattened form of a device tree: a header, and the blocks that it names.
//!
//! The layout is chapter 5 of the Devicetree Specification 0.4; all numbers are big-endian. [`Blob::events`] reads the
//! structure block from front to back and checks each byte where it meets it, so nothing is looked at twice and every
//! step consumes at least one word: a blob of n bytes ends after n / 4 steps, whatever is in it.

use units::{ByteLen, PhysAddr, PhysRange};

use super::FdtError;

/// Bytes of the header.
pub const HEADER: usize = 40;
/// The largest blob that is accepted (the bound of the arm64 boot protocol).
pub const MAX_BLOB: usize = 2 << 20;

/// The longest name of a property, its NUL included. Without a bound, many properties that share one endless name would
/// be a blob that takes hours to read.
const MAX_NAME: usize = 256;

const MAGIC: u32 = 0xd00d_feed;
/// The version of the format that is read here; later ones say down to which they are compatible.
const VERSION: u32 = 17;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// How long a blob is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Bytes that belong to it, room to grow included: what it keeps from being used as RAM.
    pub total: usize,
    /// Bytes from its beginning that hold something: what there is to read.
    pub used: usize,
}

/// How long the blob is that begins with `header`.
///
/// # Errors
/// [`FdtError::Magic`], [`FdtError::Size`], and [`FdtError::Damaged`] where a block does not lie inside.
pub fn blob_len(header: [u8; HEADER]) -> Result<Extent, FdtError> {
    let header = Header::read(&header)?;
    let ends = [header.structure.1, header.strings.1, header.reservations + RESERVATION];
    Ok(Extent { total: header.total, used: ends.into_iter().fold(HEADER, usize::max) })
}

/// The header, with what it says found to be possible.
struct Header {
    total: usize,
    /// Where the structure block begins and ends.
    structure: (usize, usize),
    /// Where the strings block begins and ends.
    strings: (usize, usize),
    /// Where the reservations begin; they end with an empty one, before the structure block.
    reservations: usize,
}

impl Header {
    fn read(header: &[u8; HEADER]) -> Result<Self, FdtError> {
        let (words, _) = header.as_chunks::<4>();
        let word = |index: usize| u32::from_be_bytes(words[index]);
        let at = |index: usize| word(index) as usize;
        if word(0) != MAGIC {
            return Err(FdtError::Magic(word(0)));
        }
        let total = at(1);
        if !(HEADER..=MAX_BLOB).contains(&total) {
            return Err(FdtError::Size(word(1)));
        }
        if !(word(6)..=word(5)).contains(&VERSION) {
            return Err(FdtError::Version(word(5)));
        }
        let block = |begin: usize, len: usize| match begin.checked_add(len) {
            Some(end) if begin >= HEADER && end <= total => Ok((begin, end)),
            _ => Err(damaged("a block outside", begin)),
        };
        let (structure, strings) = (block(at(2), at(9))?, block(at(3), at(8))?);
        let reservations = at(4);
        if reservations < HEADER || structure.0.checked_sub(RESERVATION).is_none_or(|last| reservations > last) {
            return Err(damaged("a block outside", reservations));
        }
        if structure.0 % 4 != 0 || reservations % 8 != 0 {
            return Err(damaged("a block that is not aligned", structure.0));
        }
        if structure.0 < strings.1 && strings.0 < structure.1 {
            return Err(damaged("blocks that overlap", strings.0));
        }
        Ok(Self { total, structure, strings, reservations })
    }
}

/// Bytes of one entry of the reservations: address and size.
const RESERVATION: usize = 16;

/// A device tree blob whose header is good.
#[derive(Clone, Copy)]
pub(super) struct Blob<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
    /// Where the structure and the strings block begin, for what is said of damage.
    base: usize,
    strings_base: usize,
}

impl<'a> Blob<'a> {
    /// The blob that `bytes` begin with; they hold what [`Extent::used`] says at least.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, FdtError> {
        let header = bytes.first_chunk::<HEADER>().ok_or_else(|| damaged("an end inside the header", bytes.len()))?;
        let header = Header::read(header)?;
        let part =
            |(begin, end): (usize, usize)| bytes.get(begin..end).ok_or_else(|| damaged("a block cut off", begin));
        Ok(Self {
            structure: part(header.structure)?,
            strings: part(header.strings)?,
            reservations: part((header.reservations, header.structure.0))?,
            base: header.structure.0,
            strings_base: header.strings.0,
        })
    }

    /// The `/memreserve/` entries, up to the empty one that ends them.
    pub(super) fn reservations(&self) -> impl Iterator<Item = Result<PhysRange, FdtError>> + use<'a> {
        let (words, _) = self.reservations.as_chunks::<8>();
        let entries = words.chunks_exact(2).map(|pair| (u64::from_be_bytes(pair[0]), u64::from_be_bytes(pair[1])));
        entries.take_while(|entry| *entry != (0, 0)).map(|(start, len)| {
            PhysRange::with_len(PhysAddr::new(start), ByteLen::new(len)).ok_or(FdtError::MemoryRange(start))
        })
    }

    /// The name of a property, by its place in the strings block. Apart from the events, because few names stand for many
    /// properties: who remembers them need not read them again.
    pub(super) fn name(&self, at: u32) -> Result<&'a [u8], FdtError> {
        let rest = self.strings.get(at as usize..).map(|rest| &rest[..rest.len().min(MAX_NAME)]);
        rest.and_then(until_nul).ok_or_else(|| damaged("a property without a name", self.strings_base + at as usize))
    }

    /// What the structure block says, from its beginning.
    pub(super) fn events(&self) -> Events<'a> {
        Events { blob: *self, at: 0, depth: 0, place: Place::BeforeRoot }
    }
}

/// One step through the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event<'a> {
    /// A node of this name begins; the root's is empty.
    Open(&'a [u8]),
    /// A property of the node that began last: where its name is ([`Blob::name`]), and its value.
    Property(u32, &'a [u8]),
    /// The innermost open node ends.
    Close,
}

/// Where in the grammar a reader is: the properties of a node come before its children.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeRoot,
    Properties,
    Children,
}

/// Reads the structure block, one [`Event`] after the other.
pub(super) struct Events<'a> {
    blob: Blob<'a>,
    at: usize,
    depth: usize,
    place: Place,
}

impl<'a> Events<'a> {
    /// The next event; `None` behind the root's end.
    ///
    /// # Errors
    /// [`FdtError::Damaged`].
    pub(super) fn next(&mut self) -> Result<Option<Event<'a>>, FdtError> {
        loop {
            let begin = self.at;
            let token = self.word()?;
            let event = match (token, self.place) {
                (NOP, _) => continue,
                (BEGIN_NODE, place) if self.depth > 0 || place == Place::BeforeRoot => {
                    self.depth += 1;
                    self.place = Place::Properties;
                    Event::Open(self.name()?)
                }
                (PROPERTY, Place::Properties) => self.property()?,
                (END_NODE, _) if self.depth > 0 => {
                    self.depth -= 1;
                    self.place = Place::Children;
                    Event::Close
                }
                (END, Place::Children) if self.depth == 0 => return Ok(None),
                _ => return Err(self.damaged("a token out of place", begin)),
            };
            return Ok(Some(event));
        }
    }

    fn word(&mut self) -> Result<u32, FdtError> {
        let word = self.blob.structure.get(self.at..).and_then(<[u8]>::first_chunk);
        let word = word.ok_or_else(|| self.damaged("an end inside the tree", self.at))?;
        self.at += 4;
        Ok(u32::from_be_bytes(*word))
    }

    fn name(&mut self) -> Result<&'a [u8], FdtError> {
        let name = self.blob.structure.get(self.at..).and_then(until_nul);
        let name = name.ok_or_else(|| self.damaged("a name without an end", self.at))?;
        self.at += (name.len() + 1).next_multiple_of(4);
        Ok(name)
    }

    fn property(&mut self) -> Result<Event<'a>, FdtError> {
        let begin = self.at;
        let (len, name) = (self.word()? as usize, self.word()?);
        let value = self.blob.structure.get(self.at..).and_then(|rest| rest.get(..len));
        let value = value.ok_or_else(|| self.damaged("a property that passes the end", begin))?;
        self.at += len.next_multiple_of(4);
        Ok(Event::Property(name, value))
    }

    fn damaged(&self, what: &'static str, at: usize) -> FdtError {
        damaged(what, self.blob.base + at)
    }
}

fn damaged(what: &'static str, at: usize) -> FdtError {
    FdtError::Damaged { what, at }
}

/// `bytes` up to the first NUL; `None` where there is none.
pub(super) fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    // Names are short: a loop over bytes beats a search by words.
    bytes.iter().position(|&byte| byte == 0).map(|end| &bytes[..end])
}
