//! Debian packages for the bundled guest: resolved by the machine's own apt, written to a lock file.
//!
//! ```text
//! sets of root packages ─▶ apt-get --print-uris in an isolated root ─▶ Lock ─▶ NAME.lock
//! apt's sources          ─▶ Mirror ─▶ the `mirrors` argument of the evaluation
//! ```
//!
//! [`lock`] and [`parse`] are pure; [`host`] asks apt. The lock names repositories by the label of
//! their Release file and files by their pool path, so that it says nothing of any host.
//!
//! Invariant: nothing here needs privileges, changes the machine's own packages, or installs any.

pub mod host;
pub mod lock;
pub mod parse;

pub use host::{Changes, mirrors, proxy, resolve, write_names};
pub use lock::Lock;
pub use parse::Mirror;

use std::path::Path;

/// The `mirrors` argument of the evaluation, as a Nix expression.
///
/// `names` is the file that [`write_names`] wrote.
pub fn nix_argument(mirrors: &[Mirror], names: Option<&Path>) -> String {
    let mut text = String::from("{ repositories = { ");
    for mirror in mirrors {
        text.push_str(&format!("{} = {}; ", nix_string(&mirror.label), nix_string(&mirror.uri)));
    }
    text.push_str("}; names = ");
    match names {
        Some(path) => text.push_str(&nix_string(&path.to_string_lossy())),
        None => text.push_str("null"),
    }
    text.push_str("; }");
    text
}

fn nix_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nix_argument_quotes_what_nix_would_read() {
        let mirrors =
            [Mirror { label: "A \"${b}\"".into(), uri: "file:///c\\d/".into(), seen: String::new() }];
        assert_eq!(
            nix_argument(&mirrors, Some(Path::new("/n"))),
            r#"{ repositories = { "A \"\${b}\"" = "file:///c\\d/"; }; names = "/n"; }"#
        );
        assert_eq!(nix_argument(&[], None), "{ repositories = { }; names = null; }");
    }
}
