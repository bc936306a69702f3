//! `stty [WORD...]`: says how standard input, a terminal, treats what is typed; words change it, as those of POSIX's
//! `stty` do: a flag or `-flag`, `rows N`, `columns N`, `min N`, `time N`, a control character's name and `^X`, and `raw`,
//! `cooked` or `sane`, which stand for many.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt::Write;

use abi::tty::*;
use vitrine_user::print::Text;
use vitrine_user::{Args, Fd, eprintln, print, terminal};

vitrine_user::entry!(run);

/// Where a flag is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Input,
    Output,
    Control,
    Local,
}

/// The flags that mean something here, and that a terminal at its best has on or off.
const FLAGS: [(&str, Mode, u32, bool); 28] = [
    ("istrip", Mode::Input, ISTRIP, false),
    ("inlcr", Mode::Input, INLCR, false),
    ("igncr", Mode::Input, IGNCR, false),
    ("icrnl", Mode::Input, ICRNL, true),
    ("iuclc", Mode::Input, IUCLC, false),
    ("ixon", Mode::Input, IXON, true),
    ("ixany", Mode::Input, IXANY, false),
    ("ixoff", Mode::Input, IXOFF, false),
    ("imaxbel", Mode::Input, IMAXBEL, true),
    ("iutf8", Mode::Input, IUTF8, true),
    ("opost", Mode::Output, OPOST, false),
    ("onlcr", Mode::Output, ONLCR, false),
    ("cs8", Mode::Control, CS8, true),
    ("cread", Mode::Control, CREAD, true),
    ("clocal", Mode::Control, CLOCAL, true),
    ("isig", Mode::Local, ISIG, true),
    ("icanon", Mode::Local, ICANON, true),
    ("echo", Mode::Local, ECHO, true),
    ("echoe", Mode::Local, ECHOE, true),
    ("echok", Mode::Local, ECHOK, true),
    ("echonl", Mode::Local, ECHONL, false),
    ("noflsh", Mode::Local, NOFLSH, false),
    ("echoctl", Mode::Local, ECHOCTL, true),
    ("echoprt", Mode::Local, ECHOPRT, false),
    ("echoke", Mode::Local, ECHOKE, true),
    ("iexten", Mode::Local, IEXTEN, true),
    ("crterase", Mode::Local, ECHOE, true),
    ("crtkill", Mode::Local, ECHOKE, true),
];

/// How many of [`FLAGS`] have a name of their own: the last two are others' second ones.
const SHOWN: usize = 26;

/// The control characters, and what they are on a terminal at its best; 0 is none.
const CHARACTERS: [(&str, usize, u8); 14] = [
    ("intr", VINTR, 3),
    ("quit", VQUIT, 28),
    ("erase", VERASE, 127),
    ("kill", VKILL, 21),
    ("eof", VEOF, 4),
    ("eol", VEOL, 0),
    ("eol2", VEOL2, 0),
    ("start", VSTART, 17),
    ("stop", VSTOP, 19),
    ("susp", VSUSP, 0),
    ("rprnt", VREPRINT, 18),
    ("werase", VWERASE, 23),
    ("lnext", VLNEXT, 22),
    ("discard", VDISCARD, 15),
];

fn run(args: Args) -> i32 {
    let words: Vec<&CStr> = args.skip(1).collect();
    match change_and_tell(&words) {
        Ok(()) => 0,
        Err(complaint) => {
            eprintln!("stty: {complaint}");
            1
        }
    }
}

fn change_and_tell(words: &[&CStr]) -> Result<(), String> {
    let failed = |error: vitrine_user::Errno| alloc::format!("standard input: {error}");
    let before = (terminal::settings(Fd::STDIN).map_err(failed)?, terminal::size(Fd::STDIN).map_err(failed)?);
    match words {
        [] => print!("{}", told(&before.0, before.1)),
        [word] if word.to_bytes() == b"-a" => print!("{}", told(&before.0, before.1)),
        [word] if word.to_bytes() == b"size" => print!("{} {}\n", before.1.rows, before.1.cols),
        words => {
            let (settings, size) = changed(before, words)?;
            terminal::set(Fd::STDIN, &settings).map_err(failed)?;
            terminal::set_size(Fd::STDIN, size).map_err(failed)?;
        }
    }
    Ok(())
}

/// The settings after all words; the first that means nothing is the complaint.
fn changed((mut settings, mut size): (Termios, Winsize), words: &[&CStr]) -> Result<(Termios, Winsize), String> {
    let mut words = words.iter().map(|word| word.to_bytes());
    while let Some(word) = words.next() {
        let wrong = |word: &[u8]| alloc::format!("{}: not understood", Text(word));
        let number = |value: Option<&[u8]>| {
            let value = value.unwrap_or_default();
            core::str::from_utf8(value).ok().and_then(|text| text.parse::<u16>().ok()).ok_or_else(|| wrong(value))
        };
        let byte = |value: Option<&[u8]>| {
            number(value).and_then(|number| u8::try_from(number).map_err(|_| wrong(value.unwrap_or_default())))
        };
        match word {
            b"raw" | b"-cooked" => make_raw(&mut settings),
            b"cooked" | b"-raw" | b"sane" => make_sane(&mut settings),
            b"rows" => size.rows = number(words.next())?,
            b"cols" | b"columns" => size.cols = number(words.next())?,
            b"min" => settings.cc[VMIN] = byte(words.next())?,
            b"time" => settings.cc[VTIME] = byte(words.next())?,
            word => match CHARACTERS.iter().find(|(name, ..)| name.as_bytes() == word) {
                Some((_, place, _)) => {
                    let value = words.next().unwrap_or_default();
                    settings.cc[*place] = character(value).ok_or_else(|| wrong(value))?;
                }
                None => flag(&mut settings, word).ok_or_else(|| wrong(word))?,
            },
        }
    }
    Ok((settings, size))
}

/// Switches a flag on, or off where a `-` is before it.
fn flag(settings: &mut Termios, word: &[u8]) -> Option<()> {
    let name = word.strip_prefix(b"-").unwrap_or(word);
    let (_, mode, bits, _) = FLAGS.iter().find(|(known, ..)| known.as_bytes() == name)?;
    switch(settings, *mode, *bits, name.len() == word.len());
    Some(())
}

fn switch(settings: &mut Termios, mode: Mode, bits: u32, on: bool) {
    let field = match mode {
        Mode::Input => &mut settings.iflag,
        Mode::Output => &mut settings.oflag,
        Mode::Control => &mut settings.cflag,
        Mode::Local => &mut settings.lflag,
    };
    *field = if on { *field | bits } else { *field & !bits };
}

fn make_sane(settings: &mut Termios) {
    FLAGS.iter().for_each(|(_, mode, bits, on)| switch(settings, *mode, *bits, *on));
    CHARACTERS.iter().for_each(|(_, place, byte)| settings.cc[*place] = *byte);
    (settings.cc[VMIN], settings.cc[VTIME]) = (1, 0);
}

fn make_raw(settings: &mut Termios) {
    let input = ISTRIP | INLCR | IGNCR | ICRNL | IUCLC | IXON | IXANY | IXOFF | IMAXBEL;
    settings.iflag &= !input;
    settings.oflag &= !OPOST;
    settings.lflag &= !(ISIG | ICANON);
    (settings.cc[VMIN], settings.cc[VTIME]) = (1, 0);
}

/// A character as it is written: `^C`, `^?` for DEL, `^-` or `undef` for none, or itself.
fn character(text: &[u8]) -> Option<u8> {
    match text {
        b"^-" | b"undef" => Some(0),
        b"^?" => Some(127),
        [b'^', letter @ b'@'..=b'_' | letter @ b'a'..=b'z'] => Some(letter & 0x1f),
        [byte] => Some(*byte),
        _ => None,
    }
}

/// The settings in the words that would make them.
fn told(settings: &Termios, size: Winsize) -> String {
    let mut text = String::new();
    // A `String` takes everything.
    let _ = writeln!(text, "rows {} columns {}", size.rows, size.cols);
    for (name, place, _) in CHARACTERS {
        let _ = match settings.cc[place] {
            0 => write!(text, "{name} ^- "),
            127 => write!(text, "{name} ^? "),
            byte if byte < 32 => write!(text, "{name} ^{} ", char::from(byte | 0x40)),
            byte => write!(text, "{name} {} ", Text(&[byte])),
        };
    }
    let _ = writeln!(text, "min {} time {}", settings.cc[VMIN], settings.cc[VTIME]);
    for (at, (name, mode, bits, _)) in FLAGS[..SHOWN].iter().enumerate() {
        let field = match mode {
            Mode::Input => settings.iflag,
            Mode::Output => settings.oflag,
            Mode::Control => settings.cflag,
            Mode::Local => settings.lflag,
        };
        let minus = if field & bits == *bits { "" } else { "-" };
        let end = if FLAGS.get(at + 1).is_none_or(|next| next.1 != *mode || at + 1 == SHOWN) { '\n' } else { ' ' };
        let _ = write!(text, "{minus}{name}{end}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(words: &[&CStr]) -> Result<(Termios, Winsize), String> {
        let mut sane = Termios::default();
        make_sane(&mut sane);
        changed((sane, Winsize { rows: 24, cols: 80, ..Winsize::default() }), words)
    }

    #[test]
    fn words_change_what_they_name() {
        let (settings, size) =
            after(&[c"-echo", c"istrip", c"intr", c"^x", c"rows", c"50", c"eof", c"!", c"min", c"3"]).unwrap();
        assert_eq!((settings.lflag & ECHO, settings.iflag & ISTRIP, size.rows, size.cols), (0, ISTRIP, 50, 80));
        assert_eq!([settings.cc[VINTR], settings.cc[VEOF], settings.cc[VMIN]], [24, b'!', 3]);
    }

    #[test]
    fn raw_and_back_is_as_before() {
        let raw = after(&[c"raw"]).unwrap().0;
        assert_eq!((raw.lflag & (ICANON | ISIG), raw.iflag & IXON), (0, 0));
        assert_eq!(after(&[c"raw", c"-echo", c"quit", c"undef", c"sane"]), after(&[]));
    }

    #[test]
    fn what_means_nothing_is_said() {
        for words in [&[c"frob"][..], &[c"rows"], &[c"rows", c"-1"], &[c"intr", c"^^^"], &[c"min", c"256"], &[c"-rows"]]
        {
            assert!(after(words).unwrap_err().ends_with(": not understood"), "{words:?}");
        }
    }

    #[test]
    fn what_is_told_makes_the_same_again() {
        let (settings, size) = after(&[c"-echo", c"susp", c"^z", c"columns", c"132"]).unwrap();
        let text = told(&settings, size);
        assert!(
            text.starts_with("rows 24 columns 132\n") && text.contains("-echo ") && text.contains("susp ^Z "),
            "{text}"
        );
        let words: Vec<alloc::ffi::CString> =
            text.split_whitespace().map(|word| alloc::ffi::CString::new(word).unwrap()).collect();
        let words: Vec<&CStr> = words.iter().map(|word| word.as_c_str()).collect();
        assert_eq!(after(&words), Ok((settings, size)));
    }
}
