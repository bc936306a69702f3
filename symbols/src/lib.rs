//! Which function, file and line an address of the kernel's text belongs to: the table in the image, and its reader.
//!
//! The panic report needs names without a host, a heap or a debugger's sections, so the build distils the kernel's
//! symbols and DWARF into one [`Table`] (`tools/symbols` writes it) that this crate reads. The reader takes no lock,
//! allocates nothing, does not recurse, and answers [`Damaged`] to whatever is wrong with the bytes. Addresses are
//! offsets from `_text`, so the table holds wherever the kernel runs.
//!
//! # Format
//! Little-endian. A header of 32 bytes ([`Header`]); an index of eight bytes a block: the first offset (of a block of
//! rows) or the first number (of a block of functions) in it, and where its bytes begin; then the blocks, one behind the
//! other, blocks of rows first. A block is a zlib stream of at most [`BLOCK`] bytes, inflated as a whole.
//!
//! *Rows* are a program in the manner of DWARF's line table. It runs over the text in steps of four bytes and keeps a
//! stack of calls, the function that owns the code at the bottom, what the compiler has put into it ('inlined') above,
//! each with the line it has reached. A row is one byte, `advance << 4 | pops << 2 | pushes`, each field at its largest
//! followed by a LEB128 number in its stead; then, where nothing is pushed and something is left, the change of the top's
//! line in zigzag LEB128; then for each push the function's number and its line in LEB128. An empty stack says that
//! nothing is known of the code. Each block begins with an empty stack.
//!
//! *Functions* are entries of a name and the path of its source, each a LEB128 length and UTF-8. An empty path says that
//! no line is known: assembly.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod rows;

use core::str;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

pub use rows::{Call, Place, Rows};

/// How a table begins; the last byte is the format's version.
pub const MAGIC: [u8; 8] = *b"VITSYMS\x01";
/// Bytes of [`Header`].
pub const HEADER: usize = 32;
/// Bytes of a block at most, inflated.
pub const BLOCK: usize = 32 << 10;
/// Calls in one place at most; what is inlined deeper the encoder leaves out.
pub const DEPTH: usize = 24;
/// Bytes of code in one step of the rows.
pub const STEP: u32 = 4;
/// A field of a row's first byte that is followed by a number: of the advance, and of pops and pushes.
pub const MORE: (u32, u32) = (15, 3);

/// The table says something that cannot be, or ends too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

/// Why there are no symbols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Nobody has written a table there.
    Absent,
    /// It is of another version, or damaged.
    Damaged,
}

impl From<Damaged> for Refused {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// The first bytes of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes of the table; at offset 8.
    pub len: u32,
    /// Bytes of text it tells of; at 12.
    pub text: u32,
    /// Blocks of rows; at 16.
    pub row_blocks: u32,
    /// Blocks of functions; at 20.
    pub function_blocks: u32,
    /// Functions; at 24. The last four bytes are zero.
    pub functions: u32,
}

impl Header {
    /// The bytes of it, [`MAGIC`] among them.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        let fields = [self.len, self.text, self.row_blocks, self.function_blocks, self.functions];
        for (slot, field) in bytes[8..].chunks_exact_mut(4).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }
}

/// Where a function is told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'s> {
    /// Its name with the path of its module.
    pub name: &'s str,
    /// Its source, from the project's own folder; of a library, from the library's name. Empty where none is known.
    pub file: &'s str,
}

/// What a look-up needs beside the table: the state of the decompressor, about 11 KiB, and room for one block.
pub struct Scratch<'b> {
    inflate: DecompressorOxide,
    block: &'b mut [u8; BLOCK],
}

impl<'b> Scratch<'b> {
    /// For any number of look-ups, one after the other.
    pub fn new(block: &'b mut [u8; BLOCK]) -> Self {
        Self { inflate: DecompressorOxide::new(), block }
    }

    fn inflate(&mut self, bytes: &[u8]) -> Result<&[u8], Damaged> {
        self.inflate.init();
        let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        match decompress(&mut self.inflate, bytes, self.block, 0, flags) {
            (TINFLStatus::Done, _, len) => self.block.get(..len).ok_or(Damaged),
            _ => Err(Damaged),
        }
    }
}

/// A table of symbols, in the bytes the build left.
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    bytes: &'t [u8],
    header: Header,
}

impl<'t> Table<'t> {
    /// Reads the header of the table that `bytes` begin with.
    ///
    /// # Errors
    /// [`Refused`]; whether the blocks are good shows only when they are read.
    pub fn open(bytes: &'t [u8]) -> Result<Self, Refused> {
        if bytes.len() < HEADER || bytes.iter().take(HEADER).all(|&byte| byte == 0) {
            return Err(Refused::Absent);
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(Refused::Damaged);
        }
        let [len, text, row_blocks, function_blocks, functions] =
            [8, 12, 16, 20, 24].map(|at| word(bytes, at).unwrap_or(0));
        let header = Header { len, text, row_blocks, function_blocks, functions };
        let bytes = bytes.get(..len as usize).ok_or(Damaged)?;
        Ok(Self { bytes, header })
    }

    /// What its first bytes say.
    pub fn header(&self) -> Header {
        self.header
    }

    /// What is known of the code at `offset` bytes behind `_text`: an empty place where nothing is.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn find(&self, offset: u32, scratch: &mut Scratch<'_>) -> Result<Place, Damaged> {
        let mut found = Place::new();
        if offset >= self.header.text {
            return Ok(found);
        }
        let Some(block) = self.last_not_above(offset, 0, self.header.row_blocks)? else { return Ok(found) };
        let mut rows = self.rows(block, scratch)?;
        while let Some((at, place)) = rows.next_row()? {
            if at > offset {
                break;
            }
            found = *place;
        }
        Ok(found)
    }

    /// The rows of one block; for a test of all of them.
    ///
    /// # Errors
    /// [`Damaged`], also where there is no such block.
    pub fn rows<'s>(&self, block: u32, scratch: &'s mut Scratch<'_>) -> Result<Rows<'s>, Damaged> {
        if block >= self.header.row_blocks {
            return Err(Damaged);
        }
        let first = self.first(block)?;
        Ok(Rows::new(first, scratch.inflate(self.block(block)?)?))
    }

    /// Name and file of the function of this number.
    ///
    /// # Errors
    /// [`Damaged`], also where there is no such function.
    pub fn function<'s>(&self, number: u32, scratch: &'s mut Scratch<'_>) -> Result<Function<'s>, Damaged> {
        let (blocks, all) = self.function_blocks()?;
        let block = self.last_not_above(number, blocks, all)?.ok_or(Damaged)?;
        let skipped = number - self.first(block)?;
        let mut bytes = scratch.inflate(self.block(block)?)?;
        for _ in 0..skipped {
            text(&mut bytes)?;
            text(&mut bytes)?;
        }
        let (name, file) = (text(&mut bytes)?, text(&mut bytes)?);
        Ok(Function { name: str::from_utf8(name).or(Err(Damaged))?, file: str::from_utf8(file).or(Err(Damaged))? })
    }

    /// The numbers of the first block of functions and of the first block that is none.
    fn function_blocks(&self) -> Result<(u32, u32), Damaged> {
        let first = self.header.row_blocks;
        Ok((first, first.checked_add(self.header.function_blocks).ok_or(Damaged)?))
    }

    /// The last of the blocks `from..to` that begins with `wanted` or before it.
    fn last_not_above(&self, wanted: u32, from: u32, to: u32) -> Result<Option<u32>, Damaged> {
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first(middle)? <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low > from).then(|| low - 1))
    }

    /// What block number `index` begins with.
    fn first(&self, index: u32) -> Result<u32, Damaged> {
        word(self.bytes, HEADER + 8 * index as usize).ok_or(Damaged)
    }

    /// The bytes of block number `index`: they end where the next block's begin.
    fn block(&self, index: u32) -> Result<&'t [u8], Damaged> {
        let position = |index: u32| word(self.bytes, HEADER + 4 + 8 * index as usize).ok_or(Damaged);
        let (_, blocks) = self.function_blocks()?;
        let end = if index + 1 < blocks { position(index + 1)? } else { self.header.len };
        self.bytes.get(position(index)? as usize..end as usize).ok_or(Damaged)
    }
}

/// A path of a library's source, from the library's name on; nothing where `path` is none. Rust's own libraries lie where
/// the compiler was built, or where it was installed; a registry's crates below the registry's name.
pub fn library(path: &str) -> Option<&str> {
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return Some(rest.split_once('/').map_or(rest, |(_, rest)| rest));
    }
    let installed = path.split_once("/lib/rustlib/src/rust/library/");
    let built = || path.strip_prefix("/rustc/")?.split_once("/library/");
    installed.or_else(built).map(|(_, rest)| rest)
}

/// The 32-bit number at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    word.try_into().ok().map(u32::from_le_bytes)
}

/// Takes a LEB128 number off the front.
fn number(bytes: &mut &[u8]) -> Result<u32, Damaged> {
    let mut number = 0;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        // The fifth byte has room for four bits.
        if shift == 28 && part > 0xf {
            return Err(Damaged);
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

/// Takes a text with its length off the front.
fn text<'s>(bytes: &mut &'s [u8]) -> Result<&'s [u8], Damaged> {
    let len = number(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(len).ok_or(Damaged)?;
    *bytes = rest;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_nobody_wrote_to_is_absent_and_anything_else_is_damaged() {
        assert_eq!(Table::open(&[0; 4096]).err(), Some(Refused::Absent));
        assert_eq!(Table::open(&[]).err(), Some(Refused::Absent));
        assert_eq!(Table::open(&[1; 4096]).err(), Some(Refused::Damaged));
        let mut bytes = Header { len: 33, text: 0, row_blocks: 0, function_blocks: 0, functions: 0 }.to_bytes();
        assert_eq!(Table::open(&bytes).err(), Some(Refused::Damaged));
        bytes[8] = 32;
        let table = Table::open(&bytes).unwrap();
        let mut block = [0; BLOCK];
        let scratch = &mut Scratch::new(&mut block);
        assert_eq!(table.find(0, scratch), Ok(Place::new()));
        assert_eq!(table.function(0, scratch), Err(Damaged));
    }

    #[test]
    fn numbers_end_where_32_bits_do() {
        let read = |mut bytes: &[u8]| number(&mut bytes);
        assert_eq!(read(&[0x7f]), Ok(0x7f));
        assert_eq!(read(&[0x80, 0x01]), Ok(0x80));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(Damaged));
        assert_eq!(read(&[0x80]), Err(Damaged));
        assert_eq!(read(&[]), Err(Damaged));
    }
}
