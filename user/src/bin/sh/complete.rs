//! The rest of a word: names of files, and of programs and the shell's own commands where a command begins.

use alloc::ffi::CString;
use alloc::vec::Vec;

use abi::file::{AtFlags, dirent};
use abi::stat::{S_IFDIR, S_IFMT};
use vitrine_user::{DirEntries, env, file};

use crate::command::{BUILTINS, DEFAULT_PATH};

/// What can be done about a word.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Completion {
    /// Nothing.
    Nothing,
    /// These bytes go on with it.
    Insert(Vec<u8>),
    /// It may become any of these.
    Choices(Vec<Vec<u8>>),
}

/// A name that a word may become.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Name {
    pub(crate) text: Vec<u8>,
    pub(crate) directory: bool,
}

/// Where names come from.
pub(crate) trait Names {
    /// What lies in a directory; nothing where that cannot be read.
    fn files(&self, directory: &[u8]) -> Vec<Name>;
    /// Programs and the shell's own commands.
    fn commands(&self) -> Vec<Name>;
}

/// The names of this machine.
pub(crate) struct Machine;

impl Names for Machine {
    fn files(&self, directory: &[u8]) -> Vec<Name> {
        let mut names = Vec::new();
        let path = if directory.is_empty() { b"." } else { directory };
        let Some(mut entries) = CString::new(path).ok().and_then(|path| DirEntries::open(&path).ok()) else {
            return names;
        };
        while let Ok(Some(entry)) = entries.next_entry() {
            let text = entry.name.to_vec();
            let directory = entry.kind == dirent::DIR || entry.kind == dirent::LNK && leads_to_directory(path, &text);
            names.push(Name { text, directory });
        }
        names
    }

    fn commands(&self) -> Vec<Name> {
        let path = env(b"PATH").map_or(DEFAULT_PATH, |path| path.to_bytes());
        let programs = path.split(|&byte| byte == b':').flat_map(|directory| self.files(directory));
        let builtins = BUILTINS.iter().map(|name| Name { text: name.to_vec(), directory: false });
        programs.filter(|name| !name.directory).chain(builtins).collect()
    }
}

fn leads_to_directory(directory: &[u8], name: &[u8]) -> bool {
    let stat = CString::new([directory, b"/", name].concat()).ok().map(|path| file::stat(&path, AtFlags::empty()));
    matches!(stat, Some(Ok(stat)) if stat.mode & S_IFMT == S_IFDIR)
}

/// A word that is not finished, as far as the cursor.
struct Word {
    /// Quotes and backslashes taken off.
    text: Vec<u8>,
    /// The quote it is in, or 0.
    quote: u8,
    /// A command's name goes here.
    command: bool,
}

/// What may go on with the last word of `line`.
pub(crate) fn complete(line: &[u8], names: &dyn Names) -> Completion {
    let Some(word) = last_word(line) else { return Completion::Nothing };
    let slash = word.text.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let (directory, begun) = word.text.split_at(slash);
    let mut all = if word.command && directory.is_empty() { names.commands() } else { names.files(directory) };
    all.retain(|name| is_meant(name, begun));
    all.sort();
    all.dedup();
    let Some(first) = all.first() else { return Completion::Nothing };
    if let [only] = all.as_slice() {
        let mut rest = quoted(&only.text[begun.len()..], word.quote);
        match (only.directory, word.quote) {
            (true, _) => rest.push(b'/'),
            (false, 0) => rest.push(b' '),
            (false, quote) => rest.extend([quote, b' ']),
        }
        return Completion::Insert(rest);
    }
    let common = all.iter().fold(first.text.len(), |len, name| {
        name.text.iter().zip(&first.text[..len]).take_while(|(a, b)| a == b).count()
    });
    if common > begun.len() {
        return Completion::Insert(quoted(&first.text[begun.len()..common], word.quote));
    }
    let mark = |name: Name| if name.directory { [&name.text[..], b"/"].concat() } else { name.text };
    Completion::Choices(all.into_iter().map(mark).collect())
}

/// Names that begin with a dot are meant only where one was typed, `.` and `..` never.
fn is_meant(name: &Name, begun: &[u8]) -> bool {
    let hidden = name.text.starts_with(b".") && !begun.starts_with(b".");
    name.text.starts_with(begun) && !hidden && name.text != b"." && name.text != b".."
}

/// The word `line` ends in; `None` behind a `$`, whose value nobody knows before the line runs.
fn last_word(line: &[u8]) -> Option<Word> {
    let mut word = Word { text: Vec::new(), quote: 0, command: true };
    let mut in_word = false;
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, word.quote) {
            (b'$' | b'`', 0 | b'"') => return None,
            (quote @ (b'\'' | b'"'), 0) => (word.quote, in_word) = (quote, true),
            (byte, quote) if byte == quote => word.quote = 0,
            (b'\\', 0 | b'"') => {
                let [escaped, after @ ..] = rest else { return None };
                (rest, in_word) = (after, true);
                word.text.push(*escaped);
            }
            (b' ' | b'\t', 0) => {
                word.command &= !in_word;
                (word.text, in_word) = (Vec::new(), false);
            }
            (operator @ (b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')'), 0) => {
                // A file follows `<` and `>`, and behind that the command's name may still be to come.
                let file = matches!(operator, b'<' | b'>');
                word = Word { text: Vec::new(), quote: 0, command: !file };
                in_word = false;
            }
            (byte, _) => {
                word.text.push(byte);
                in_word = true;
            }
        }
    }
    Some(word)
}

/// A part of a name as it has to be typed inside `quote`.
fn quoted(part: &[u8], quote: u8) -> Vec<u8> {
    let special: &[u8] = match quote {
        0 => b" \t'\"\\$`;&|<>()#*?",
        b'"' => b"\"\\$`",
        _ => b"",
    };
    part.iter().flat_map(|&byte| special.contains(&byte).then_some(b'\\').into_iter().chain([byte])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Few;

    impl Names for Few {
        fn files(&self, directory: &[u8]) -> Vec<Name> {
            let names: &[(&str, bool)] = match directory {
                b"" | b"/" => &[("bin", true), ("big file", false), ("data", true), (".hidden", false), ("..", true)],
                b"data/" | b"/data/" => &[("forty-two", false), ("forty-three", false), ("page", false)],
                _ => &[],
            };
            names
                .iter()
                .map(|(text, directory)| Name { text: text.as_bytes().to_vec(), directory: *directory })
                .collect()
        }

        fn commands(&self) -> Vec<Name> {
            ["cat", "cd", "echo"].iter().map(|text| Name { text: text.as_bytes().to_vec(), directory: false }).collect()
        }
    }

    fn inserts(line: &str) -> Option<Vec<u8>> {
        match complete(line.as_bytes(), &Few) {
            Completion::Insert(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[track_caller]
    fn goes_on(line: &str, with: &str) {
        assert_eq!(inserts(line).as_deref(), Some(with.as_bytes()), "{line}");
    }

    #[test]
    fn a_command_where_a_command_begins() {
        goes_on("e", "cho ");
        goes_on("cd x; ec", "ho ");
        goes_on("cd x&&ca", "t ");
        assert_eq!(complete(b"c", &Few), Completion::Choices([&b"cat"[..], b"cd"].map(<[u8]>::to_vec).to_vec()));
        assert_eq!(complete(b"echo e", &Few), Completion::Nothing);
    }

    #[test]
    fn a_file_everywhere_else() {
        goes_on("cat da", "ta/");
        goes_on("cat /data/p", "age ");
        goes_on("cat data/f", "orty-t");
        goes_on("echo >da", "ta/");
        goes_on("/da", "ta/");
        goes_on("ls .", "hidden ");
        let both = ["forty-three", "forty-two"].map(|name| name.as_bytes().to_vec()).to_vec();
        assert_eq!(complete(b"cat /data/forty-t", &Few), Completion::Choices(both));
        assert_eq!(complete(b"cat /data/x", &Few), Completion::Nothing);
        assert_eq!(complete(b"cat /none/", &Few), Completion::Nothing);
        assert!(matches!(complete(b"cat ", &Few), Completion::Choices(all) if all.len() == 3));
    }

    #[test]
    fn quotes_are_kept() {
        goes_on("cat big", "\\ file ");
        goes_on("cat big\\ f", "ile ");
        goes_on("cat 'big", " file' ");
        goes_on("cat \"big f", "ile\" ");
        goes_on("cat 'da", "ta/");
        assert_eq!(complete(b"cat $HO", &Few), Completion::Nothing);
        assert_eq!(complete(b"cat \\", &Few), Completion::Nothing);
    }
}
