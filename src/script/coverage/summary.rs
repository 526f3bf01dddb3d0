//! What a coverage comes to in numbers: `summary.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many of something were reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Those that were.
    pub hit: u64,
    /// All.
    pub found: u64,
}

impl Count {
    /// The share in percent, to a tenth; nothing of nothing is none.
    pub fn percent(self) -> f64 {
        match self.found {
            0 => 0.0,
            // Counts of lines are far below what a float holds exactly.
            found => (self.hit as f64 / found as f64 * 1000.0).floor() / 10.0,
        }
    }
}

impl std::ops::Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { hit: self.hit + other.hit, found: self.found + other.found }
    }
}

/// Lines and functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines that can be executed.
    pub lines: Count,
    /// Functions.
    pub functions: Count,
}

impl std::ops::Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { lines: self.lines + other.lines, functions: self.functions + other.functions }
    }
}

/// One file, on every node and in sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSummary {
    /// All nodes together.
    pub total: Counts,
    /// Every node by itself.
    pub nodes: BTreeMap<String, Counts>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All nodes together: a line that any of them executed counts once.
    pub total: Counts,
    /// Every node by itself.
    pub nodes: BTreeMap<String, Counts>,
    /// Every file.
    pub files: BTreeMap<String, FileSummary>,
    /// What could not be collected, and why.
    pub problems: Vec<String>,
}

impl Summary {
    /// One line for people.
    pub fn line(&self) -> String {
        let nodes: Vec<_> =
            self.nodes.iter().map(|(name, c)| format!("{name} {:.1} %", c.lines.percent())).collect();
        let total = self.total.lines;
        format!(
            "{:.1} % of {} lines in {} files ({})",
            total.percent(),
            total.found,
            self.files.len(),
            nodes.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        for (hit, found, percent) in [(0, 0, 0.0), (1, 3, 33.3), (9999, 10000, 99.9), (7, 7, 100.0)] {
            assert_eq!(Count { hit, found }.percent(), percent, "{hit} of {found}");
        }
    }
}
