//! The error that a person reads: what failed, and the way out.
//!
//! Modules report with small enums or `anyhow`; at the edge everything becomes an [`Error`], which
//! prints as `error: …` and `hint: …` and knows the process's exit status.
//!
//! Invariant: a message is text for a terminal, so control characters never leave [`Error::print`].

use std::fmt::{Display, Write as _};

/// What kind of failure it is; it decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something failed: status 1.
    Failure,
    /// The command line or an argument makes no sense: status 2.
    Usage,
    /// The session or the node does not exist: status 3.
    NotFound,
    /// The person interrupted it: status 130.
    Interrupted,
    /// This very status, for commands that hand on another program's.
    Status(u8),
}

/// A failure, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Its kind.
    pub kind: Kind,
    /// What failed; may have several lines.
    pub message: String,
    /// Ways out, one a line.
    pub hints: Vec<String>,
}

/// What fallible code for people returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A plain failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failure, message: message.into(), hints: Vec::new() }
    }

    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(message) }
    }

    /// A session or a node that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: Kind::NotFound, ..Self::new(message) }
    }

    /// An interruption by the person.
    pub fn interrupted() -> Self {
        Self { kind: Kind::Interrupted, ..Self::new("interrupted") }
    }

    /// Adds a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, doing: impl Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The process's exit status.
    pub fn status(&self) -> u8 {
        match self.kind {
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Interrupted => 130,
            Kind::Status(s) => s,
        }
    }

    /// The text for standard error.
    pub fn print(&self) -> String {
        let mut out = format!("error: {}\n", printable(&self.message).trim_end());
        for hint in &self.hints {
            let _ = writeln!(out, "hint: {}", printable(hint).trim_end());
        }
        out
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds a hint or a context to whatever failed.
pub trait ResultExt<T> {
    /// Says what was being done.
    fn doing(self, what: impl Display) -> Result<T>;
    /// Adds a way out.
    fn hint(self, hint: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T> {
        self.map_err(|e| e.into().context(what))
    }

    fn hint(self, hint: impl Into<String>) -> Result<T> {
        self.map_err(|e| e.into().hint(hint))
    }
}

impl From<anyhow::Error> for Error {
    fn from(e: anyhow::Error) -> Self {
        match e.downcast::<Self>() {
            Ok(own) => own,
            Err(e) => Self::new(format!("{e:#}")),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::new(e.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::new(format!("JSON: {e}"))
    }
}

/// Text that is safe to show on a terminal: control characters but newline and tab are replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// The candidate nearest to a mistyped word, when one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= 1 + c.chars().count().min(word.chars().count()) / 3)
        .min()
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_print_with_hints_and_without_control_characters() {
        let e = Error::not_found("no node \"we\u{1b}[2Jb\"").hint("did you mean web?");
        assert_eq!(e.print(), "error: no node \"we\u{fffd}[2Jb\"\nhint: did you mean web?\n");
        assert_eq!(e.status(), 3);
    }

    #[test]
    fn own_errors_survive_anyhow() {
        let e = anyhow::Error::from(Error::usage("bad").hint("good")).into();
        assert_eq!(Error::usage("bad").hint("good"), e);
        let other: Error = anyhow::anyhow!("cause").context("doing").into();
        assert_eq!(other.message, "doing: cause");
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["webserver", "storage", "postgresql"];
        for (typed, want) in [
            ("websever", Some("webserver")),
            ("storgae", Some("storage")),
            ("postgres", Some("postgresql")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(typed, names), want, "{typed}");
        }
    }
}
