//! A screen that knows as much of a VT100 as the editor uses, and lines edited on it.

use alloc::string::String;
use alloc::vec;

use super::*;
use crate::keys::Keys;

const COLUMNS: usize = 10;

/// Rows of characters, and the cursor; lines wrap at the last column as a VT100's do: not before the next character.
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn new() -> Self {
        Self { rows: vec![vec![' '; COLUMNS]; 40], row: 0, column: 0 }
    }

    fn show(&mut self, bytes: &[u8]) {
        let text: Vec<char> = core::str::from_utf8(bytes).unwrap().chars().collect();
        let mut rest = text.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            rest = match first {
                '\x1b' => self.sequence(after),
                '\n' => {
                    (self.row, self.column) = (self.row + 1, 0);
                    after
                }
                '\r' => {
                    self.column = 0;
                    after
                }
                '\x08' => {
                    self.column = self.column.min(COLUMNS - 1).saturating_sub(1);
                    after
                }
                '\x07' => after,
                shown => {
                    if self.column == COLUMNS {
                        (self.row, self.column) = (self.row + 1, 0);
                    }
                    self.rows[self.row][self.column] = shown;
                    self.column += 1;
                    after
                }
            };
        }
    }

    fn sequence<'a>(&mut self, rest: &'a [char]) -> &'a [char] {
        let end = rest.iter().position(|c| c.is_ascii_alphabetic()).unwrap();
        assert_eq!(rest[0], '[');
        let number: String = rest[1..end].iter().collect();
        let count = number.parse().unwrap_or(1);
        let at = self.column.min(COLUMNS - 1);
        match rest[end] {
            'A' => self.row -= count,
            'B' => self.row += count,
            'C' => self.column = at + count,
            'D' => self.column = at - count,
            'H' => (self.row, self.column) = (0, 0),
            'J' if number == "2" => self.rows = Self::new().rows,
            'J' => {
                self.rows[self.row][at..].fill(' ');
                self.rows[self.row + 1..].iter_mut().for_each(|row| row.fill(' '));
            }
            other => panic!("the editor does not use {other:?}"),
        }
        &rest[end + 1..]
    }

    fn text(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| row.iter().collect()).collect();
        rows.concat().trim_end().into()
    }
}

/// Types `bytes` on an empty line; after each key the screen shows what the editor has, the cursor where it stands.
fn edited(bytes: &[u8], history: &[&str]) -> (Editor, Screen, Edited) {
    let mut past = History::default();
    history.iter().for_each(|line| past.add(line.as_bytes()));
    let (mut editor, mut screen, mut keys) = (Editor::new(b"$ ", COLUMNS), Screen::new(), Keys::default());
    screen.show(b"$ ");
    let mut last = Edited::Goes;
    for &byte in bytes {
        let Some(key) = keys.take(byte) else { continue };
        last = editor.press(key, &past);
        screen.show(&editor.take_output());
        if last == Edited::Goes {
            assert_eq!(screen.text().trim_end(), shown(&editor).trim_end(), "after {:?}", bytes.escape_ascii());
            assert_cursor(&editor, &screen);
        }
    }
    (editor, screen, last)
}

fn shown(editor: &Editor) -> String {
    let text = core::str::from_utf8(&editor.text).unwrap();
    let visible: String = text.chars().map(|c| if c == '\t' { String::from("^I") } else { String::from(c) }).collect();
    String::from("$ ") + &visible
}

fn assert_cursor(editor: &Editor, screen: &Screen) {
    let column = editor.column_of(editor.at);
    // Behind the last column the cursor is still in that row, or in the next one already.
    assert_eq!(screen.row * COLUMNS + screen.column, column, "the cursor");
}

fn line(bytes: &[u8], history: &[&str]) -> String {
    match edited(&[bytes, b"\r"].concat(), history).2 {
        Edited::Line(line) => String::from_utf8(line).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_sent_as_it_is_typed() {
    let mut editor = Editor::new(b"$ ", 80);
    let text = "echo 'ß and more' >/data/file; cat /data/file # a line that is longer than the screen is wide";
    for character in text.chars() {
        let mut bytes = [0; 4];
        editor.press(Key::Character(character.encode_utf8(&mut bytes).as_bytes().to_vec()), &History::default());
    }
    editor.press(Key::EraseLeft, &History::default());
    assert_eq!(editor.press(Key::Enter, &History::default()), Edited::Line(text[..text.len() - 1].into()));
    assert_eq!(editor.take_output(), [text.as_bytes(), b"\x08 \x08\n"].concat());
}

#[test]
fn the_cursor_moves_and_what_is_typed_goes_in_there() {
    assert_eq!(line(b"bd\x1b[D\x1b[Dac\x01\x05\x06e\x1b[D\x1b[D\x1b[D\x02c", &[]), "accbde");
    assert_eq!(line(b"one three\x1bb\x1b[1;5Ctwo \x01\x1bfX", &[]), "oneX threetwo ");
}

#[test]
fn what_is_taken_out_is_gone_from_the_screen() {
    assert_eq!(line(b"abcd\x02\x7f\x1b[3~\x7fe", &[]), "ae");
    assert_eq!(line(b"one two three\x17\x17\x1b[Dx", &[]), "onex ");
    assert_eq!(line(b"one two three\x02\x02\x0b\x15\x19\x19", &[]), "one two throne two thr");
    assert_eq!(line(b"one two\x01\x1bd\x05\x19", &[]), " twoone");
    assert_eq!(line(b"ab\x14\x01\x06\x14", &[]), "ab");
    assert_eq!(line(b"\x7f\x17\x15\x0b\x1b[3~\x14\x19\x02\x06", &[]), "");
}

#[test]
fn a_line_runs_over_rows() {
    let long = "0123456789abcdefghij0123456";
    assert_eq!(line(long.as_bytes(), &[]), long);
    let mut bytes = long.as_bytes().to_vec();
    bytes.extend(b"\x01X\x1b[C\x1b[CY\x05Z\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f");
    assert_eq!(line(&bytes, &[]), "X01Y23456789abcdef");
    // The cursor in every place, at every length.
    for length in 0..24 {
        let mut bytes = long.as_bytes()[..length].to_vec();
        bytes.extend(b"\x02x\x02\x7f".repeat(length + 1));
        bytes.extend(b"\x05y\x7f\x01\x0b\x19");
        line(&bytes, &[]);
    }
}

#[test]
fn characters_of_many_bytes_are_one() {
    assert_eq!(line("aßc€\u{2}\u{2}\u{7f}x".as_bytes(), &[]), "axc€");
    assert_eq!(line("€𝄞\u{14}\u{2}\u{1b}[3~".as_bytes(), &[]), "𝄞");
}

#[test]
fn the_history_goes_up_and_down() {
    let history = ["first", "second and longer than a row"];
    assert_eq!(line(b"dra\x1b[A", &history), history[1]);
    assert_eq!(line(b"dra\x1b[A\x1b[A\x1b[A!", &history), "first!");
    assert_eq!(line(b"dra\x10\x10\x0e\x0e\x0eft", &history), "draft");
    assert_eq!(line(b"\x10", &[]), "");
}

#[test]
fn the_screen_is_cleared_and_the_line_stays() {
    let (editor, screen, _) = edited(b"abc\x02\x0c", &[]);
    assert_eq!((screen.text().as_str(), editor.at), ("$ abc", 2));
}

#[test]
fn control_c_gives_the_line_up() {
    let (_, screen, edited) = edited(b"a long line here\x01\x03", &[]);
    assert_eq!(edited, Edited::Interrupted);
    assert!(screen.text().ends_with("line here^C"), "{}", screen.text());
    assert_eq!(screen.column, 0);
}

#[test]
fn control_d_ends_input_erases_or_hands_in() {
    assert_eq!(edited(b"\x04", &[]).2, Edited::End);
    assert_eq!(edited(b"a\x7f\x04", &[]).2, Edited::End);
    assert_eq!(line(b"abc\x01\x04", &[]), "bc");
    assert_eq!(edited(b"abc\x04", &[]).2, Edited::Goes);
    assert_eq!(edited(b"abc\x04\x04", &[]).2, Edited::Line(b"abc".to_vec()));
    assert_eq!(edited(b"abc\x04d\x04", &[]).2, Edited::Goes);
}

#[test]
fn a_list_comes_under_the_line() {
    let (mut editor, mut screen, _) = edited(b"ls /b\x02", &[]);
    editor.list(&[b"bin".to_vec(), b"boot".to_vec()]);
    screen.show(&editor.take_output());
    assert_eq!((screen.row, screen.column), (3, 6));
    let rows: Vec<String> =
        screen.rows[..4].iter().map(|row| row.iter().collect::<String>().trim_end().into()).collect();
    assert_eq!(rows, ["$ ls /b", "bin", "boot", "$ ls /b"]);
}

/// Random keys; what they did is looked at after each, by `edited`.
#[test]
fn the_screen_shows_the_line_whatever_is_pressed() {
    const PIECES: [&str; 23] = [
        "a",
        "b ",
        "cde",
        "ß",
        "€",
        "0123456789",
        "\x1b[D",
        "\x1b[D\x1b[D",
        "\x1b[C",
        "\x01",
        "\x05",
        "\x7f",
        "\x1b[3~",
        "\x17",
        "\x15",
        "\x0b",
        "\x19",
        "\x14",
        "\x1bb",
        "\x1bf",
        "\x1bd",
        "\x10",
        "\x0e",
    ];
    let history = ["one", "two words, longer than a row", "€€ßß"];
    let mut random = 1_u64;
    for _ in 0..3000 {
        let mut bytes = Vec::new();
        for _ in 0..24 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let piece = PIECES[(random >> 33) as usize % PIECES.len()];
            // As much as the screen has room for.
            if bytes.len() + piece.len() < 150 {
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
        edited(&bytes, &history);
    }
}
