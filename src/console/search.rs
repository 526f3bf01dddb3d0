//! Searching a console's screen and history for plain text.
//!
//! Invariant: a pattern is text, never a regular expression, so a search costs one pass.

use alacritty_terminal::term::cell::Flags;

use super::screen::Screen;

/// A place where a pattern was found. A match does not extend over the end of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its line.
    pub line: i32,
    /// Its first column.
    pub start: usize,
    /// The column after its last.
    pub end: usize,
}

impl Screen {
    /// Every match on a line. Letters match both cases unless the pattern has a capital.
    pub fn find_on(&self, line: i32, pattern: &str) -> Vec<Found> {
        let exact = pattern.chars().any(char::is_uppercase);
        let fold = |c: char| if exact { c } else { c.to_lowercase().next().unwrap_or(c) };
        let wanted: Vec<char> = pattern.chars().map(fold).collect();
        let Some(row) = self.row(line) else { return Vec::new() };
        if wanted.is_empty() {
            return Vec::new();
        }
        let cells: Vec<(usize, char)> = row
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER))
            .map(|(i, c)| (i, fold(if c.c == '\t' { ' ' } else { c.c })))
            .collect();
        let mut found = Vec::new();
        let mut i = 0;
        while i + wanted.len() <= cells.len() {
            if cells[i..i + wanted.len()].iter().map(|(_, c)| c).eq(&wanted) {
                let end = cells.get(i + wanted.len()).map_or(row.len(), |(col, _)| *col);
                found.push(Found { line, start: cells[i].0, end });
                i += wanted.len();
            } else {
                i += 1;
            }
        }
        found
    }

    /// Every match, oldest first.
    pub fn find_all(&self, pattern: &str) -> Vec<Found> {
        (self.top()..self.rows() as i32).flat_map(|l| self.find_on(l, pattern)).collect()
    }

    /// The match before or after a place, going round at the ends.
    pub fn find_next(&self, pattern: &str, from: (i32, usize), backwards: bool) -> Option<Found> {
        let all = self.find_all(pattern);
        if backwards {
            all.iter().rev().find(|f| (f.line, f.start) < from).or(all.last()).copied()
        } else {
            all.iter().find(|f| (f.line, f.start) > from).or(all.first()).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_goes_round() {
        let mut s = Screen::new(3, 20, 50);
        s.feed("Error one\r\nok\r\n日本 error\r\nERROR error\r\nend".as_bytes());
        let at = |f: Found| (f.line, f.start, f.end);
        let all: Vec<_> = s.find_all("error").into_iter().map(at).collect();
        assert_eq!(all, [(-2, 0, 5), (0, 5, 10), (1, 0, 5), (1, 6, 11)]);
        assert_eq!(s.find_all("ERROR").len(), 1);
        assert_eq!(s.find_all("").len(), 0);
        assert_eq!(s.find_next("error", (1, 0), true).map(at), Some((0, 5, 10)));
        assert_eq!(s.find_next("error", (1, 6), false).map(at), Some((-2, 0, 5)));
        assert_eq!(s.find_next("error", (-2, 0), true).map(at), Some((1, 6, 11)));
        assert_eq!(s.find_next("nothing", (0, 0), false), None);
    }
}
