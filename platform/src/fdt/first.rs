//! The first look at a device tree, before anything is known of it: cheap, and content with nothing.

/// Tokens of the structure block.
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The command line that a blob names, found by one walk over its structure that checks no more than it needs. What
/// stops that walk is for [`super::Platform::parse`] to tell.
pub fn bootargs(blob: &[u8]) -> Option<&str> {
    let (structure, strings) = (part(blob, 8, 36)?, part(blob, 12, 32)?);
    let (mut depth, mut in_chosen) = (0_u32, false);
    let mut rest = structure;
    loop {
        let (token, behind) = word(rest)?;
        rest = match token {
            BEGIN_NODE => {
                let len = behind.iter().position(|&byte| byte == 0)?;
                depth += 1;
                in_chosen = depth == 2 && &behind[..len] == b"chosen";
                behind.get((len + 1).next_multiple_of(4)..)?
            }
            PROPERTY => {
                let (len, behind) = word(behind)?;
                let (name, behind) = word(behind)?;
                if in_chosen && strings.get(name as usize..)?.starts_with(b"bootargs\0") {
                    let text = behind.get(..len as usize)?.split(|&byte| byte == 0).next()?;
                    return core::str::from_utf8(text).ok();
                }
                behind.get((len as usize).next_multiple_of(4)..)?
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
    let (start, _) = word(blob.get(offset..)?)?;
    let (size, _) = word(blob.get(size..)?)?;
    blob.get(start as usize..)?.get(..size as usize)
}

/// A number, and what lies behind it.
fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(word, behind)| (u32::from_be_bytes(*word), behind))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(bootargs(&tree()), Some("kaslr init=/x"));
    }

    #[test]
    fn a_tree_without_a_line_has_none() {
        let end = || END_NODE.to_be_bytes().to_vec();
        assert_eq!(bootargs(&blob(&[begin(b""), begin(b"chosen"), property(0, b"x"), end(), end()])), None);
        assert_eq!(bootargs(&blob(&[begin(b""), property(4, b"x\0"), end(), end()])), None);
    }

    /// Nothing that a blob may hold makes it panic, and a blob cut short is not read past its end.
    #[test]
    fn damaged_trees_have_no_line_or_another() {
        let tree = tree();
        for cut in 0..tree.len() {
            assert_eq!(bootargs(&tree[..cut]), None);
        }
        for at in 0..tree.len() {
            for byte in [0, 1, 2, 3, 0x7f, 0xff] {
                let mut damaged = tree.clone();
                damaged[at] = byte;
                let _ = bootargs(&damaged);
            }
        }
    }
}
