//! lcov's tracefiles: read, added up, printed.
//!
//! Invariant: pure. What is printed has only records that were understood, so a tracefile that a guest
//! made up does no more than lie about its own counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::summary::{Count, Counts};

/// The longest path that is taken in.
const PATH_MAX: usize = 4096;
/// No file has more lines than this.
const LINE_MAX: u32 = 10_000_000;

/// What was executed, by file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tracefile {
    pub(super) files: BTreeMap<String, File>,
}

/// What was executed of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct File {
    /// How often every line that can be executed was.
    lines: BTreeMap<u32, u64>,
    /// The functions: where they begin, and how often they were called.
    functions: BTreeMap<String, (u32, u64)>,
}

impl Tracefile {
    /// Reads a tracefile. `name` gives what a file is called from now on, or nothing when it is none of
    /// ours; other records than those of lines and functions are left out.
    pub(super) fn parse(text: &str, mut name: impl FnMut(&str) -> Option<String>) -> Self {
        let mut out = Self::default();
        let mut current: Option<String> = None;
        for line in text.lines() {
            if line == "end_of_record" {
                current = None;
                continue;
            }
            let Some((kind, rest)) = line.split_once(':') else { continue };
            if kind == "SF" {
                current = if rest.len() <= PATH_MAX { name(rest) } else { None };
                if let Some(name) = &current {
                    out.files.entry(name.clone()).or_default();
                }
            }
            let Some(file) = current.as_ref().and_then(|c| out.files.get_mut(c)) else { continue };
            match kind {
                "DA" => file.take_line(rest),
                "FN" => file.take_function(rest),
                "FNDA" => file.take_calls(rest),
                _ => {}
            }
        }
        out
    }

    /// Adds another one's counts.
    pub(super) fn add(&mut self, other: &Self) {
        for (name, theirs) in &other.files {
            let ours = self.files.entry(name.clone()).or_default();
            for (line, count) in &theirs.lines {
                let sum = ours.lines.entry(*line).or_default();
                *sum = sum.saturating_add(*count);
            }
            for (function, (line, count)) in &theirs.functions {
                let sum = ours.functions.entry(function.clone()).or_insert((*line, 0));
                sum.1 = sum.1.saturating_add(*count);
            }
        }
    }

    /// Prints it; `prefix` goes before every file's name.
    pub(super) fn print(&self, test: &str, prefix: &str) -> String {
        let mut out = String::new();
        for (name, file) in &self.files {
            let counts = file.counts();
            // Writing into a string cannot fail.
            let _ = writeln!(out, "TN:{test}\nSF:{prefix}{name}");
            for (function, (line, _)) in &file.functions {
                let _ = writeln!(out, "FN:{line},{function}");
            }
            for (function, (_, count)) in &file.functions {
                let _ = writeln!(out, "FNDA:{count},{function}");
            }
            let _ = writeln!(out, "FNF:{}\nFNH:{}", counts.functions.found, counts.functions.hit);
            for (line, count) in &file.lines {
                let _ = writeln!(out, "DA:{line},{count}");
            }
            let _ = writeln!(out, "LF:{}\nLH:{}\nend_of_record", counts.lines.found, counts.lines.hit);
        }
        out
    }

    /// The sums over all files.
    pub(super) fn counts(&self) -> Counts {
        self.files.values().map(File::counts).fold(Counts::default(), |a, b| a + b)
    }
}

impl File {
    /// How much of the file was executed.
    pub(super) fn counts(&self) -> Counts {
        let of = |counts: &mut dyn Iterator<Item = u64>| {
            counts.fold(Count::default(), |c, n| Count { found: c.found + 1, hit: c.hit + u64::from(n > 0) })
        };
        Counts {
            lines: of(&mut self.lines.values().copied()),
            functions: of(&mut self.functions.values().map(|(_, n)| *n)),
        }
    }

    fn take_line(&mut self, rest: &str) {
        let mut words = rest.split(',');
        let (Some(line), Some(count)) = (words.next(), words.next()) else { return };
        let Some(line) = line.parse().ok().filter(|l| *l <= LINE_MAX) else { return };
        let sum = self.lines.entry(line).or_default();
        *sum = sum.saturating_add(parse_count(count));
    }

    fn take_function(&mut self, rest: &str) {
        if let Some((line, name)) = rest.split_once(',')
            && let Ok(line) = line.parse()
        {
            self.functions.entry(name.to_owned()).or_insert((line, 0)).0 = line;
        }
    }

    fn take_calls(&mut self, rest: &str) {
        if let Some((count, name)) = rest.split_once(',') {
            let sum = self.functions.entry(name.to_owned()).or_default();
            sum.1 = sum.1.saturating_add(parse_count(count));
        }
    }
}

/// A count; geninfo writes `-1` and `=====` for what it does not know.
fn parse_count(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
TN:
SF:/b/x.c
FN:3,main
FN:9,other, with a comma
FNDA:1,main
FNDA:0,other, with a comma
BRDA:3,0,0,1
DA:3,1
DA:4,0
DA:5,=====
DA:99999999999,1
end_of_record
DA:1,1
SF:/etc/passwd
DA:1,1
end_of_record
";

    fn parsed() -> Tracefile {
        Tracefile::parse(TEXT, |f| f.strip_prefix("/b/").map(String::from))
    }

    #[test]
    fn what_is_not_ours_or_not_understood_is_left_out() {
        let t = parsed();
        assert_eq!(t.files.keys().collect::<Vec<_>>(), ["x.c"]);
        let counts = t.counts();
        assert_eq!((counts.lines.hit, counts.lines.found), (1, 3));
        assert_eq!((counts.functions.hit, counts.functions.found), (1, 2));
    }

    #[test]
    fn a_printed_tracefile_is_read_again() {
        let t = parsed();
        let text = t.print("n", "/s/");
        assert!(text.contains("SF:/s/x.c\n") && text.contains("LH:1\n"), "{text}");
        assert_eq!(Tracefile::parse(&text, |f| f.strip_prefix("/s/").map(String::from)), t);
    }

    #[test]
    fn counts_are_added_up_by_line_and_function() {
        let other = "SF:/b/x.c\nFN:9,other, with a comma\nFNDA:2,other, with a comma\nDA:4,7\nDA:8,0\nend_of_record\n";
        let other = Tracefile::parse(other, |f| f.strip_prefix("/b/").map(String::from));
        let mut sum = parsed();
        sum.add(&other);
        let counts = sum.counts();
        assert_eq!((counts.lines.hit, counts.lines.found), (2, 4));
        assert_eq!((counts.functions.hit, counts.functions.found), (2, 2));
        sum.add(&other);
        assert!(sum.print("", "").contains("DA:4,14\n"));
    }
}
