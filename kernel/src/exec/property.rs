//! The note `.note.gnu.property`: what all of a program's code was built for (Linux: `parse_elf_properties`). One bit
//! of it is of use: every indirect branch lands on `bti`.

use abi::Errno;
use elf::abi::{GNU_PROPERTY_AARCH64_FEATURE_1_AND, GNU_PROPERTY_AARCH64_FEATURE_1_BTI, NT_GNU_PROPERTY_TYPE_0};

/// A larger note is none that Linux takes either.
pub(super) const MOST: usize = 1024;
/// What precedes the first property: three words and the name, a multiple of [`ALIGN`].
const HEADER: usize = 16;
/// `ELF_GNU_PROPERTY_ALIGN`, in 64-bit files.
const ALIGN: usize = 8;

/// What the program promises of its landings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Landings {
    /// Nothing.
    Any,
    /// They are all marked with `bti`.
    Marked,
}

/// Reads a note, of the bytes that a segment `PT_GNU_PROPERTY` names.
///
/// # Errors
/// `EIO` where it is shorter than its header, `ENOEXEC` where it is not well-formed, as Linux.
pub(crate) fn landings(note: &[u8]) -> Result<Landings, Errno> {
    let (header, rest) = note.split_at_checked(HEADER).ok_or(Errno::EIO)?;
    let (words, name) = header.split_at(12);
    let (Some(name_size), Some(size), Some(kind)) = (word(words, 0), word(words, 4), word(words, 8)) else {
        return Err(Errno::EIO);
    };
    if u64::from(kind) != NT_GNU_PROPERTY_TYPE_0 || name_size != 4 || name != b"GNU\0" {
        return Err(Errno::ENOEXEC);
    }
    let mut rest = rest.get(..size as usize).ok_or(Errno::ENOEXEC)?;
    let (mut landings, mut before) = (Landings::Any, None);
    while !rest.is_empty() {
        let (kind, data, behind) = property(rest).ok_or(Errno::ENOEXEC)?;
        if before.is_some_and(|before| kind <= before) {
            return Err(Errno::ENOEXEC);
        }
        if kind == GNU_PROPERTY_AARCH64_FEATURE_1_AND {
            let bits = u32::from_le_bytes(data.try_into().map_err(|_| Errno::ENOEXEC)?);
            if bits & GNU_PROPERTY_AARCH64_FEATURE_1_BTI != 0 {
                landings = Landings::Marked;
            }
        }
        (before, rest) = (Some(kind), behind);
    }
    Ok(landings)
}

/// The first property of `bytes`: its kind, its data, and what lies behind it.
fn property(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (kind, size) = (word(bytes, 0)?, word(bytes, 4)? as usize);
    let data = bytes.get(8..)?;
    let behind = data.get(size.checked_next_multiple_of(ALIGN)?..)?;
    Some((kind, data.get(..size)?, behind))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
