//! The lines of this session, to be had again.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Lines kept at most.
const KEPT: usize = 500;

/// The last lines, and how many there have been.
#[derive(Default)]
pub(crate) struct History {
    lines: VecDeque<Vec<u8>>,
    forgotten: usize,
}

impl History {
    /// Keeps a line. Blank ones are not worth it, nor is the same once more.
    pub(crate) fn add(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line.to_vec());
    }

    /// The line that is `steps` lines back; 1 is the last.
    pub(crate) fn back(&self, steps: usize) -> Option<&[u8]> {
        self.lines.len().checked_sub(steps).and_then(|at| self.lines.get(at)).map(Vec::as_slice)
    }

    /// The lines with their numbers, oldest first.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.lines.iter().enumerate().map(|(at, line)| (self.forgotten + at + 1, line.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn lines_are_counted_from_the_last() {
        let mut history = History::default();
        for line in ["one", "", "  ", "two", "two", "one"] {
            history.add(line.as_bytes());
        }
        assert_eq!(
            [1, 2, 3, 4].map(|steps| history.back(steps)),
            [Some(&b"one"[..]), Some(b"two"), Some(b"one"), None]
        );
        assert_eq!(history.back(0), None);
    }

    #[test]
    fn the_oldest_go_and_keep_their_numbers() {
        let mut history = History::default();
        (1..=KEPT + 3).for_each(|number| history.add(format!("line {number}").as_bytes()));
        assert_eq!(history.numbered().count(), KEPT);
        assert_eq!(history.numbered().next(), Some((4, &b"line 4"[..])));
        assert_eq!(history.back(KEPT), Some(&b"line 4"[..]));
    }
}
