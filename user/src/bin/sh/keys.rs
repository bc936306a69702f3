//! From the bytes a terminal sends to the keys a person pressed.

use alloc::vec::Vec;

/// What was pressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// A character, all its bytes.
    Character(Vec<u8>),
    Enter,
    Tab,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    /// The line before in the history.
    Up,
    /// The line after.
    Down,
    /// Backspace.
    EraseLeft,
    /// Delete, at the end of a line nothing.
    EraseRight,
    EraseWordLeft,
    EraseWordRight,
    KillToStart,
    KillToEnd,
    /// What was killed last, once more.
    Yank,
    /// The two characters before the cursor change places.
    Swap,
    ClearScreen,
    /// ^C.
    Interrupt,
    /// ^D.
    EndOfInput,
}

/// Bytes of a key that is not complete.
#[derive(Default)]
pub(crate) struct Keys {
    begun: Vec<u8>,
}

/// Sequences that begin with ESC and the keys they are, as VT100, xterm, Linux's console and rxvt send them.
const SEQUENCES: [(&[u8], Key); 28] = [
    (b"[A", Key::Up),
    (b"[B", Key::Down),
    (b"[C", Key::Right),
    (b"[D", Key::Left),
    (b"[H", Key::Home),
    (b"[F", Key::End),
    (b"OA", Key::Up),
    (b"OB", Key::Down),
    (b"OC", Key::Right),
    (b"OD", Key::Left),
    (b"OH", Key::Home),
    (b"OF", Key::End),
    (b"[1~", Key::Home),
    (b"[7~", Key::Home),
    (b"[4~", Key::End),
    (b"[8~", Key::End),
    (b"[3~", Key::EraseRight),
    (b"[1;5C", Key::WordRight),
    (b"[1;5D", Key::WordLeft),
    (b"[1;3C", Key::WordRight),
    (b"[1;3D", Key::WordLeft),
    (b"[5C", Key::WordRight),
    (b"[5D", Key::WordLeft),
    (b"f", Key::WordRight),
    (b"b", Key::WordLeft),
    (b"d", Key::EraseWordRight),
    (b"\x7f", Key::EraseWordLeft),
    (b"\x08", Key::EraseWordLeft),
];

const ESC: u8 = 0x1b;

impl Keys {
    /// Takes one byte; answers the key it completes.
    pub(crate) fn take(&mut self, byte: u8) -> Option<Key> {
        if self.begun.first() == Some(&ESC) {
            return self.sequence(byte);
        }
        if byte == ESC || byte >= 0x80 {
            return self.part(byte);
        }
        // A character that broke off is none.
        self.begun.clear();
        control(byte)
    }

    /// Whether a key has begun.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    fn part(&mut self, byte: u8) -> Option<Key> {
        self.begun.push(byte);
        let whole = match self.begun[0] {
            ESC => return None,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        (self.begun.len() >= whole).then(|| Key::Character(core::mem::take(&mut self.begun)))
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        if byte == ESC {
            self.begun.truncate(1);
            return None;
        }
        self.begun.push(byte);
        let rest = &self.begun[1..];
        let found = SEQUENCES.iter().find(|(bytes, _)| bytes == &rest).map(|(_, key)| key.clone());
        let over = match rest {
            [b'[', middle @ .., last] => middle.len() > 16 || (0x40..=0x7e).contains(last),
            [b'O', _] => true,
            [b'[' | b'O'] => false,
            _ => true,
        };
        if over || found.is_some() {
            self.begun.clear();
        }
        found
    }
}

fn control(byte: u8) -> Option<Key> {
    Some(match byte {
        // An end of input that was typed before anybody looked is a 0 on Linux.
        0 | 4 => Key::EndOfInput,
        1 => Key::Home,
        2 => Key::Left,
        3 => Key::Interrupt,
        5 => Key::End,
        6 => Key::Right,
        8 | 0x7f => Key::EraseLeft,
        b'\t' => Key::Tab,
        b'\n' | b'\r' => Key::Enter,
        11 => Key::KillToEnd,
        12 => Key::ClearScreen,
        14 => Key::Down,
        16 => Key::Up,
        20 => Key::Swap,
        21 => Key::KillToStart,
        23 => Key::EraseWordLeft,
        25 => Key::Yank,
        byte if byte < 32 => return None,
        byte => Key::Character([byte].to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|&byte| keys.take(byte)).collect()
    }

    fn character(text: &str) -> Key {
        Key::Character(text.as_bytes().to_vec())
    }

    #[test]
    fn characters_come_whole() {
        assert_eq!(keys("aß€𝄞".as_bytes()), [character("a"), character("ß"), character("€"), character("𝄞")]);
        assert_eq!(keys(b"\xc3a\xe2\x82\n"), [character("a"), Key::Enter]);
        assert_eq!(keys(b"\x80\xffb"), [Key::Character(vec![0x80]), Key::Character(vec![0xff]), character("b")]);
    }

    #[test]
    fn escape_sequences_are_keys() {
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[3~\x1b[1;5D\x1bf"),
            [Key::Up, Key::Down, Key::EraseRight, Key::WordLeft, Key::WordRight]
        );
        assert_eq!(keys(b"\x1b\x1b[D"), [Key::Left]);
    }

    #[test]
    fn what_is_no_key_is_passed_over_as_a_whole() {
        assert_eq!(
            keys(b"\x1b[15~a\x1b[200~b\x1b[I\x1bOZc\x1bzd"),
            [character("a"), character("b"), character("c"), character("d")]
        );
        assert_eq!(keys(b"\x0e\x0f\x10"), [Key::Down, Key::Up]);
        let mut endless = Keys::default();
        assert!(
            b"\x1b["
                .iter()
                .chain([b'1'; 40].iter())
                .all(|&byte| endless.take(byte).is_none_or(|key| key == character("1")))
        );
        assert!(endless.is_empty());
    }
}
