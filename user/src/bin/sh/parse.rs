//! From a line to commands: words and quotes, `$NAME` and `$?`, redirections, and what stands between commands.
//!
//! What a shell knows beyond that (pipes, patterns, variables of its own, `&`) is refused by name, not misread.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::fmt;

/// A command and what decides whether it runs.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) when: When,
    pub(crate) words: Vec<CString>,
    pub(crate) redirections: Vec<Redirection>,
}

/// Whether a command runs, given the status of the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// After `;` or at the start.
    Always,
    /// After `&&`.
    Succeeded,
    /// After `||`.
    Failed,
}

/// One descriptor led to a file.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Redirection {
    pub(crate) to: Direction,
    pub(crate) path: CString,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// `<`
    Input,
    /// `>`
    Output,
    /// `>>`
    Append,
    /// `2>`
    Errors,
}

/// Why a line makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyntaxError {
    /// A quote that is never closed.
    OpenQuote(u8),
    /// An operator where a word should be, or a word that ends too early.
    Unexpected(&'static str),
    /// What this shell does not do.
    Unsupported(&'static str),
    /// A 0 byte, which no program could be given.
    ZeroByte,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote(quote) => write!(f, "syntax error: {} without its end", char::from(*quote)),
            Self::Unexpected(what) => write!(f, "syntax error near {what}"),
            Self::Unsupported(what) => write!(f, "{what}: not supported by this shell"),
            Self::ZeroByte => f.write_str("syntax error: a zero byte"),
        }
    }
}

/// Takes `line` apart. `value` gives what stands for `$NAME` and `$?`; it is asked for every command of the line before
/// the first one runs.
pub(crate) fn parse(line: &[u8], value: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<Command>, SyntaxError> {
    let mut scanner = Scanner { rest: line, value };
    let mut commands = Vec::new();
    let mut when = When::Always;
    let mut after: Option<&'static str> = None;
    loop {
        let command = scanner.command(when)?;
        let empty = command.words.is_empty() && command.redirections.is_empty();
        if command.words.is_empty() && !command.redirections.is_empty() {
            return Err(SyntaxError::Unexpected("a redirection without a command"));
        }
        let operator = scanner.operator()?;
        match (empty, operator, after) {
            (true, Some((text, _)), _) => return Err(SyntaxError::Unexpected(text)),
            (true, None, Some(text)) => return Err(SyntaxError::Unexpected(text)),
            (true, None, None) => {}
            (false, ..) => commands.push(command),
        }
        match operator {
            None => return Ok(commands),
            Some((text, next)) => {
                when = next;
                // A line may end in `;`, but not in `&&` or `||`.
                after = (next != When::Always).then_some(text);
            }
        }
    }
}

struct Scanner<'a, V> {
    rest: &'a [u8],
    value: V,
}

impl<V: Fn(&[u8]) -> Vec<u8>> Scanner<'_, V> {
    /// The words and redirections up to an operator, a comment or the end.
    fn command(&mut self, when: When) -> Result<Command, SyntaxError> {
        let mut command = Command { when, words: Vec::new(), redirections: Vec::new() };
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest {
                [] | [b';' | b'&' | b'|', ..] => return Ok(command),
                [b'#', ..] => self.rest = &[],
                [b'(' | b')', ..] => return Err(SyntaxError::Unsupported("( )")),
                [b'<', b'<', ..] => return Err(SyntaxError::Unsupported("<<")),
                [b'2', b'>', b'>', ..] => return Err(SyntaxError::Unsupported("2>>")),
                [b'>' | b'<', b'&', ..] | [b'2', b'>', b'&', ..] => {
                    return Err(SyntaxError::Unsupported("joining descriptors"));
                }
                [b'<', rest @ ..] => command.redirections.push(self.redirection(Direction::Input, rest.len())?),
                [b'>', b'>', rest @ ..] => command.redirections.push(self.redirection(Direction::Append, rest.len())?),
                [b'>', rest @ ..] => command.redirections.push(self.redirection(Direction::Output, rest.len())?),
                [b'2', b'>', rest @ ..] => command.redirections.push(self.redirection(Direction::Errors, rest.len())?),
                _ => command.words.push(self.word()?),
            }
        }
    }

    /// The file after a redirection sign, of which `left` bytes of the line remain.
    fn redirection(&mut self, to: Direction, left: usize) -> Result<Redirection, SyntaxError> {
        self.rest = self.rest[self.rest.len() - left..].trim_ascii_start();
        match self.rest {
            [] | [b';' | b'&' | b'|' | b'<' | b'>' | b'#', ..] => Err(SyntaxError::Unexpected("a redirection")),
            _ => Ok(Redirection { to, path: self.word()? }),
        }
    }

    /// The operator at the front, if the line does not end here.
    fn operator(&mut self) -> Result<Option<(&'static str, When)>, SyntaxError> {
        let (operator, len) = match self.rest {
            [b'&', b'&', ..] => (("&&", When::Succeeded), 2),
            [b'|', b'|', ..] => (("||", When::Failed), 2),
            [b';', ..] => ((";", When::Always), 1),
            [b'&', ..] => return Err(SyntaxError::Unsupported("&")),
            [b'|', ..] => return Err(SyntaxError::Unsupported("|")),
            _ => return Ok(None),
        };
        self.rest = &self.rest[len..];
        Ok(Some(operator))
    }

    /// One word, quotes taken off and values put in. Values are not split into words.
    fn word(&mut self) -> Result<CString, SyntaxError> {
        let mut word = Vec::new();
        while let Some(&byte) = self.rest.first() {
            match byte {
                b' ' | b'\t' | b'\r' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => break,
                b'\'' => self.single_quoted(&mut word)?,
                b'"' => self.double_quoted(&mut word)?,
                b'`' => return Err(SyntaxError::Unsupported("`")),
                b'$' => self.value(&mut word)?,
                b'\\' => {
                    word.extend(self.rest.get(1));
                    self.skip(2);
                }
                _ => {
                    word.push(byte);
                    self.skip(1);
                }
            }
        }
        CString::new(word).map_err(|_| SyntaxError::ZeroByte)
    }

    fn single_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.skip(1);
        let end = self.rest.iter().position(|&byte| byte == b'\'').ok_or(SyntaxError::OpenQuote(b'\''))?;
        word.extend_from_slice(&self.rest[..end]);
        self.skip(end + 1);
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.skip(1);
        loop {
            match *self.rest {
                [] => return Err(SyntaxError::OpenQuote(b'"')),
                [b'"', ..] => {
                    self.skip(1);
                    return Ok(());
                }
                [b'\\', escaped @ (b'"' | b'\\' | b'$' | b'`'), ..] => {
                    word.push(escaped);
                    self.skip(2);
                }
                [b'`', ..] => return Err(SyntaxError::Unsupported("`")),
                [b'$', ..] => self.value(word)?,
                [byte, ..] => {
                    word.push(byte);
                    self.skip(1);
                }
            }
        }
    }

    /// What stands for `$NAME`, `${NAME}` or `$?`; a `$` before anything else is itself.
    fn value(&mut self, word: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.skip(1);
        let name = match self.rest {
            [b'?', ..] => &self.rest[..1],
            [b'(', ..] => return Err(SyntaxError::Unsupported("$( )")),
            [b'{', inner @ ..] => {
                let end = inner.iter().position(|&byte| byte == b'}').ok_or(SyntaxError::OpenQuote(b'{'))?;
                self.rest = &inner[end + 1..];
                word.extend((self.value)(&inner[..end]));
                return Ok(());
            }
            rest => {
                let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
                &rest[..end.unwrap_or(rest.len())]
            }
        };
        if name.is_empty() {
            word.push(b'$');
        } else {
            word.extend((self.value)(name));
            self.rest = &self.rest[name.len()..];
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn parsed(line: &str) -> Result<Vec<Command>, SyntaxError> {
        parse(line.as_bytes(), |name| match name {
            b"?" => b"7".to_vec(),
            b"HOME" => b"/a b".to_vec(),
            _ => Vec::new(),
        })
    }

    /// The words of each command, `|` between words and ` / ` between commands.
    fn drawn(line: &str) -> String {
        let commands = parsed(line).unwrap();
        let words = |c: &Command| c.words.iter().map(|w| w.to_str().unwrap()).collect::<Vec<_>>().join("|");
        commands.iter().map(words).collect::<Vec<_>>().join(" / ")
    }

    #[test]
    fn words_are_split_at_blanks_and_joined_by_quotes() {
        assert_eq!(drawn("  echo   a\tb "), "echo|a|b");
        assert_eq!(drawn(r#"echo 'a  b'"c d"e"#), "echo|a  bc de");
        assert_eq!(drawn(r#"echo "" '' x"#), "echo|||x");
        assert_eq!(drawn(r#"echo \'a\ b "\"\\\$\n""#), r#"echo|'a b|"\$\n"#);
        assert_eq!(drawn(""), "");
        assert_eq!(drawn("   # only a comment"), "");
        assert_eq!(drawn("echo a#b # c"), "echo|a#b");
        assert_eq!(drawn("echo a\r"), "echo|a");
    }

    #[test]
    fn values_stand_for_names_but_not_in_single_quotes() {
        assert_eq!(drawn(r#"echo $? $HOME/x "${HOME}y" '$HOME' $ a$"#), "echo|7|/a b/x|/a by|$HOME|$|a$");
        assert_eq!(drawn("echo $NONE."), "echo|.");
    }

    #[test]
    fn operators_say_when_the_next_command_runs() {
        let commands = parsed("a; b && c||d;").unwrap();
        let whens: Vec<_> = commands.iter().map(|command| command.when).collect();
        assert_eq!(whens, [When::Always, When::Always, When::Succeeded, When::Failed]);
    }

    #[test]
    fn redirections_are_no_words() {
        let commands = parsed("cat <in >out 2> 'an error' x >>more").unwrap();
        assert_eq!(commands[0].words.len(), 2);
        let to: Vec<_> = commands[0].redirections.iter().map(|r| (r.to, r.path.to_str().unwrap())).collect();
        let want = [
            (Direction::Input, "in"),
            (Direction::Output, "out"),
            (Direction::Errors, "an error"),
            (Direction::Append, "more"),
        ];
        assert_eq!(to, want);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parsed("echo 'a"), Err(SyntaxError::OpenQuote(b'\'')));
        assert_eq!(parsed("echo \"a"), Err(SyntaxError::OpenQuote(b'"')));
        assert_eq!(parsed("; a"), Err(SyntaxError::Unexpected(";")));
        assert_eq!(parsed("a && && b"), Err(SyntaxError::Unexpected("&&")));
        assert_eq!(parsed("a &&"), Err(SyntaxError::Unexpected("&&")));
        assert_eq!(parsed("a >"), Err(SyntaxError::Unexpected("a redirection")));
        assert!(matches!(parsed("> a"), Err(SyntaxError::Unexpected(_))));
        assert_eq!(parsed("a | b"), Err(SyntaxError::Unsupported("|")));
        assert_eq!(parsed("a &"), Err(SyntaxError::Unsupported("&")));
        assert!(matches!(parsed("a 2>&1"), Err(SyntaxError::Unsupported(_))));
        assert_eq!(parsed("a \0"), Err(SyntaxError::ZeroByte));
    }
}
