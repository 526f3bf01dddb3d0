//! What differs between two closures, in words of packages and versions.
//!
//! Invariant: pure; a store path's hash is never shown, so equal packages of other builds count as
//! rebuilt, not as changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One package that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum Change {
    /// Only the new closure has it.
    Added {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// Only the old closure has it.
    Removed {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// Both have it, in other versions.
    Version {
        /// Its name.
        name: String,
        /// The old version.
        from: String,
        /// The new version.
        to: String,
    },
    /// Both have it in the same version, built otherwise.
    Rebuilt {
        /// Its name.
        name: String,
    },
}

/// What differs between two closures.
pub fn closure_diff<'a>(
    old: impl IntoIterator<Item = &'a str>,
    new: impl IntoIterator<Item = &'a str>,
) -> Vec<Change> {
    let old: BTreeSet<&str> = old.into_iter().collect();
    let new: BTreeSet<&str> = new.into_iter().collect();
    let gone = by_name(old.difference(&new).copied());
    let come = by_name(new.difference(&old).copied());
    let mut out = Vec::new();
    for (name, versions) in &come {
        let to = join(versions);
        match gone.get(name) {
            None => out.push(Change::Added { name: name.clone(), version: to }),
            Some(before) if join(before) == to => out.push(Change::Rebuilt { name: name.clone() }),
            Some(before) => out.push(Change::Version { name: name.clone(), from: join(before), to }),
        }
    }
    for (name, versions) in &gone {
        if !come.contains_key(name) {
            out.push(Change::Removed { name: name.clone(), version: join(versions) });
        }
    }
    out.sort();
    out
}

fn by_name<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in paths {
        let (name, version) = name_and_version(path);
        out.entry(name).or_default().insert(version);
    }
    out
}

fn join(versions: &BTreeSet<String>) -> String {
    let words: Vec<&str> = versions.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
    words.join(", ")
}

/// The name and the version that a store path's name is made of: the version begins at the first
/// dash that a digit follows.
fn name_and_version(path: &str) -> (String, String) {
    let base = path.rsplit('/').next().unwrap_or(path);
    let name = if base.len() > 33 && base.as_bytes().get(32) == Some(&b'-') { &base[33..] } else { base };
    let split = name
        .char_indices()
        .zip(name.chars().skip(1))
        .find(|((_, c), next)| *c == '-' && next.is_ascii_digit());
    match split {
        Some(((at, _), _)) => (name[..at].to_owned(), name[at + 1..].to_owned()),
        None => (name.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(hash: char, name: &str) -> String {
        format!("/nix/store/{}-{name}", hash.to_string().repeat(32))
    }

    #[test]
    fn names_and_versions_are_told_apart() {
        for (name, want) in [
            ("htop-3.2.2-2", ("htop", "3.2.2-2")),
            ("unit-nginx.service", ("unit-nginx.service", "")),
            ("libc6-2.36", ("libc6", "2.36")),
            ("x-y", ("x-y", "")),
        ] {
            let (n, v) = name_and_version(&p('a', name));
            assert_eq!((n.as_str(), v.as_str()), want);
        }
    }

    #[test]
    fn every_kind_of_change() {
        let old =
            [p('a', "htop-3.1"), p('a', "same-1"), p('a', "conf"), p('a', "old-2"), p('a', "not-a-version")];
        let new =
            [p('b', "htop-3.2"), p('a', "same-1"), p('b', "conf"), p('a', "new-2"), p('a', "not-a-version")];
        let got = closure_diff(old.iter().map(String::as_str), new.iter().map(String::as_str));
        assert_eq!(
            got,
            [
                Change::Added { name: "new".into(), version: "2".into() },
                Change::Removed { name: "old".into(), version: "2".into() },
                Change::Version { name: "htop".into(), from: "3.1".into(), to: "3.2".into() },
                Change::Rebuilt { name: "conf".into() },
            ]
        );
    }
}
