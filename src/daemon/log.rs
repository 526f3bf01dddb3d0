//! The daemon's own log: standard error, which its starter led into `daemon.log`.

/// Writes a line; a full disk must not end the session.
pub(super) fn line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{} {}", super::now(), crate::error::printable(text));
}
