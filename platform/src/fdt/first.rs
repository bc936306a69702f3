//! The first look at a device tree, before anything is known of it: cheap, and content with nothing.

use zerocopy::{FromBytes, IntoBytes};

/// Tokens of the structure block.
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The command line that a blob names, found by one walk over its structure that checks no more than it needs. What
/// stops that walk is for [`super::Platform::parse`] to tell, but for a blob that is not aligned to 4 bytes: the walk is
/// by whole words, since bytes put together cost more than all the rest.
pub fn bootargs(blob: &[u8]) -> Option<&str> {
    let structure = <[u32]>::ref_from_bytes(part(blob, 8, 36)?).ok()?;
    let strings = part(blob, 12, 32)?;
    let (mut depth, mut in_chosen) = (0_u32, false);
    let mut rest = structure;
    loop {
        let (token, behind) = word(rest)?;
        rest = match token {
            BEGIN_NODE => {
                // The name, its end and the bytes that fill up are whole words.
                let words = behind.iter().position(|&word| holds_zero(word))?;
                depth += 1;
                in_chosen = depth == 2 && behind.as_bytes().starts_with(b"chosen\0");
                behind.get(words + 1..)?
            }
            PROPERTY => {
                let (len, behind) = word(behind)?;
                let (name, value) = word(behind)?;
                if in_chosen && strings.get(name as usize..)?.starts_with(b"bootargs\0") {
                    let text = value.as_bytes().get(..len as usize)?.split(|&byte| byte == 0).next()?;
                    return core::str::from_utf8(text).ok();
                }
                value.get((len as usize).div_ceil(4)..)?
            }
            END_NODE if in_chosen => return None,
            END_NODE => {
                depth = depth.checked_sub(1)?;
                behind
            }
            NOP => behind,
            _ => return None,
        };
    }
}

/// The part of a blob whose offset and size stand in its header at these places.
fn part(blob: &[u8], offset: usize, size: usize) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_be_bytes(*blob.get(at..)?.first_chunk()?) as usize);
    blob.get(number(offset)?..)?.get(..number(size)?)
}

/// A number, and what lies behind it.
fn word(words: &[u32]) -> Option<(u32, &[u32])> {
    words.split_first().map(|(word, behind)| (u32::from_be(*word), behind))
}

/// Whether one of a word's bytes is 0.
fn holds_zero(word: u32) -> bool {
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const STRINGS: &[u8] = b"reg\0bootargs\0";
    const HEADER: u32 = 40;

    fn begin(name: &[u8]) -> Vec<u8> {
        let mut token = [&BEGIN_NODE.to_be_bytes(), name, &[0]].concat();
        token.resize(token.len().next_multiple_of(4), 0);
        token
    }

    fn property(name: u32, value: &[u8]) -> Vec<u8> {
        let words = [PROPERTY, value.len() as u32, name].map(u32::to_be_bytes).concat();
        let mut token = [&words, value].concat();
        token.resize(token.len().next_multiple_of(4), 0);
        token
    }

    fn blob(structure: &[Vec<u8>]) -> Vec<u8> {
        let structure = structure.concat();
        let strings = HEADER + structure.len() as u32;
        let mut header = [0; 10];
        header[2] = HEADER;
        header[3] = strings;
        header[8] = STRINGS.len() as u32;
        header[9] = structure.len() as u32;
        [&header.map(u32::to_be_bytes).concat(), &structure, STRINGS].concat()
    }

    /// [`bootargs`] of a blob at an aligned place.
    fn line(blob: &[u8]) -> Option<String> {
        let mut place = std::vec![0_u64; blob.len() / 8 + 1];
        let place = &mut place.as_mut_bytes()[..blob.len()];
        place.copy_from_slice(blob);
        bootargs(place).map(str::to_owned)
    }

    fn tree() -> Vec<u8> {
        let end = || END_NODE.to_be_bytes().to_vec();
        blob(&[
            begin(b""),
            property(4, b"of the root\0"),
            begin(b"cpus"),
            begin(b"chosen"),
            property(4, b"too deep\0"),
            end(),
            end(),
            NOP.to_be_bytes().to_vec(),
            begin(b"chosen"),
            property(0, &[1, 2, 3]),
            property(4, b"kaslr init=/x\0"),
            end(),
            end(),
        ])
    }

    #[test]
    fn the_command_line_is_that_of_chosen() {
        assert_eq!(line(&tree()).as_deref(), Some("kaslr init=/x"));
    }

    #[test]
    fn a_tree_without_a_line_has_none() {
        let end = || END_NODE.to_be_bytes().to_vec();
        assert_eq!(line(&blob(&[begin(b""), begin(b"chosen"), property(0, b"x"), end(), end()])), None);
        assert_eq!(line(&blob(&[begin(b""), property(4, b"x\0"), end(), end()])), None);
    }

    /// Nothing that a blob may hold makes it panic, and a blob cut short is not read past its end.
    #[test]
    fn damaged_trees_have_no_line_or_another() {
        let tree = tree();
        for cut in 0..tree.len() {
            assert_eq!(line(&tree[..cut]), None);
        }
        for at in 0..tree.len() {
            for byte in [0, 1, 2, 3, 0x7f, 0xff] {
                let mut damaged = tree.clone();
                damaged[at] = byte;
                let _ = line(&damaged);
            }
        }
    }
}
