//! Random typing and reading against a model that is plainly right: lists of characters.

use crate::common::{read, typed};
use abi::tty::{ICANON, PENDIN, Termios};
use proptest::prelude::*;
use tty::settings::COOKED;
use tty::{CAPACITY, Discipline};

/// A terminal without looks: finished lines, and the characters of the one that is not.
#[derive(Default)]
struct Model {
    lines: Vec<Vec<u8>>,
    line: Vec<char>,
}

impl Model {
    fn types(&mut self, key: char) {
        match key {
            '\x03' => *self = Self::default(),
            '\x04' => self.finish(),
            '\n' | '\r' => {
                self.line.push('\n');
                self.finish();
            }
            '\x7f' => drop(self.line.pop()),
            '\x15' => self.line.clear(),
            '\x17' => {
                while self.line.pop_if(|c| !c.is_alphanumeric()).is_some() {}
                while self.line.pop_if(|c| c.is_alphanumeric()).is_some() {}
            }
            key => self.line.push(key),
        }
    }

    fn finish(&mut self) {
        let text: String = std::mem::take(&mut self.line).into_iter().collect();
        self.lines.push(text.into_bytes());
    }

    /// A line, or its beginning; ^D on an empty line is one of no bytes.
    fn reads(&mut self, len: usize) -> Option<Vec<u8>> {
        let line = self.lines.first_mut()?;
        let got: Vec<u8> = line.drain(..len.min(line.len())).collect();
        if line.is_empty() {
            self.lines.remove(0);
        }
        Some(got)
    }
}

#[derive(Clone, Debug)]
enum Act {
    Type(char),
    Read(usize),
    /// Raw mode and back, nothing read meanwhile: what was typed is typed once more.
    ThereAndBack,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = prop_oneof![
        8 => prop::sample::select(vec!['a', 'b', 'Z', '7', ' ', '-']),
        1 => Just('ß'),
        2 => Just('\n'),
        3 => prop::sample::select(vec!['\r', '\x03', '\x04', '\x7f', '\x15', '\x17']),
    ];
    let act = prop_oneof![
        12 => key.prop_map(Act::Type),
        2 => (1..12usize).prop_map(Act::Read),
        1 => Just(Act::ThereAndBack),
    ];
    prop::collection::vec(act, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_those_of_the_model(acts in acts()) {
        let (mut line, mut model) = (Discipline::new(), Model::default());
        for act in acts {
            match act {
                Act::Type(key) => {
                    typed(&mut line, key.encode_utf8(&mut [0; 4]).as_bytes());
                    model.types(key);
                }
                Act::Read(len) => prop_assert_eq!(read(&mut line, len), model.reads(len)),
                Act::ThereAndBack => {
                    line.set(Termios { lflag: COOKED.lflag & !ICANON, ..COOKED });
                    line.set(Termios { lflag: COOKED.lflag | PENDIN, ..COOKED });
                }
            }
            prop_assert_eq!(line.has_input(), !model.lines.is_empty());
            prop_assert_eq!(line.readable(), model.lines.iter().map(Vec::len).sum::<usize>());
        }
    }

    #[test]
    fn nothing_is_lost_while_there_is_room(bytes in prop::collection::vec(any::<u8>(), 0..9000), raw in any::<bool>()) {
        let mut line = Discipline::new();
        let lflag = if raw { 0 } else { ICANON };
        line.set(Termios { iflag: 0, lflag, cc: [0; 19], ..COOKED });
        let (mut got, mut sent) = (Vec::new(), Vec::new());
        for byte in bytes {
            // A line longer than the buffer is cut by an end of its own.
            let byte = if sent.len() % 4000 == 3999 { b'\n' } else { byte };
            while line.room() == 0 {
                got.extend(read(&mut line, CAPACITY).unwrap());
            }
            sent.push(byte);
            line.input(byte);
        }
        line.set(Termios { iflag: 0, lflag: 0, cc: [0; 19], ..COOKED });
        got.extend(read(&mut line, CAPACITY).unwrap_or_default());
        prop_assert_eq!(got, sent);
    }
}
