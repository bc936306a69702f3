//! Puts the kernel's functions, files and lines into the kernel, after the link.
//!
//! [`read`] takes from an ELF file what its symbols and its DWARF know of each instruction, as [`paths`] tells sources;
//! [`encode`] makes the table of it whose format and reader are the crate `symbols`; [`embed`] writes that into the
//! section that `linker.ld` keeps for it.

pub mod encode;
mod paths;
pub mod read;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

/// The section that holds the table.
const SECTION: &str = ".symbols";

/// How large a table came out.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of it.
    pub used: usize,
    /// Bytes that the kernel keeps for it.
    pub kept: usize,
}

/// Writes the table of the kernel `elf` into its section.
///
/// # Errors
/// Where it is no kernel of ours, or the section is too small.
pub fn embed(elf: &mut [u8]) -> Result<Size> {
    let (places, text) = read::places(elf)?;
    let table = encode::table(&places, text);
    let file = object::File::parse(&*elf)?;
    let section = file.section_by_name(SECTION).with_context(|| format!("it has no section {SECTION}"))?;
    let (start, kept) = section.file_range().with_context(|| format!("{SECTION} has no bytes in the file"))?;
    let size = Size { used: table.len(), kept: usize::try_from(kept)? };
    if size.used > size.kept {
        bail!("the symbols take {} bytes; make SYMBOLS_SIZE in linker.ld, now {}, larger", size.used, size.kept);
    }
    let start = usize::try_from(start)?;
    let section = elf.get_mut(start..start + size.kept).context("the file ends early")?;
    section.fill(0);
    section[..size.used].copy_from_slice(&table);
    Ok(size)
}
