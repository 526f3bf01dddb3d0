//! What apt prints, as values.
//!
//! Invariant: no line that apt may print panics; a line that matters and is not understood is an error.

use std::collections::BTreeMap;

use super::lock::Package;

/// A repository among the machine's apt sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The label of its Release file, by which lock files name it.
    pub label: String,
    /// Where its files are fetched from; ends in a slash.
    pub uri: String,
    /// The beginning of the addresses that apt prints for it.
    pub seen: String,
}

/// The format string for `apt-get indextargets` that [`mirrors`] reads.
pub const INDEX_FORMAT: &str = "$(CREATED_BY)|$(LABEL)|$(ORIGIN)|$(CODENAME)|$(REPO_URI)";

/// Reads `apt-get indextargets --format` [`INDEX_FORMAT`].
///
/// A label that stands for several addresses is told apart by the release's name.
pub fn mirrors(text: &str) -> Vec<Mirror> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.splitn(5, '|').collect();
        let [created_by, label, origin, codename, uri] = fields[..] else { continue };
        if created_by != "Packages" || uri.is_empty() || found.iter().any(|(_, _, known)| known == uri) {
            continue;
        }
        let label = [label, origin, codename].into_iter().find(|l| !l.is_empty()).unwrap_or("repository");
        found.push((label.to_owned(), codename.to_owned(), uri.to_owned()));
    }
    let mut mirrors: Vec<Mirror> = Vec::new();
    for (label, codename, uri) in found {
        let mut name = label.clone();
        if mirrors.iter().any(|m| m.label == name) {
            name = format!("{label}/{codename}");
        }
        let mut number = 2;
        while mirrors.iter().any(|m| m.label == name) {
            name = format!("{label}/{codename}/{number}");
            number += 1;
        }
        let uri = if uri.ends_with('/') { uri } else { format!("{uri}/") };
        mirrors.push(Mirror { label: name, seen: uri.clone(), uri });
    }
    mirrors
}

/// Reads `apt-get install --print-uris`: lines of `'URI' FILE SIZE SHA256:HASH`.
///
/// # Errors
/// When a line names a file in a way that cannot be locked.
pub fn uris(text: &str, mirrors: &[Mirror]) -> Result<BTreeMap<String, Package>, String> {
    let mut packages = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('\'')) {
        let (name, package) =
            uri(line, mirrors).ok_or_else(|| format!("apt's line is not understood: {line}"))??;
        packages.insert(name, package);
    }
    Ok(packages)
}

type Named = (String, Package);

fn uri(line: &str, mirrors: &[Mirror]) -> Option<Result<Named, String>> {
    let (address, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let (file, size, hash) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let mut parts = file.strip_suffix(".deb")?.splitn(3, '_');
    let (name, version) = (parts.next()?, parts.next()?);
    let Some(sha256) = hash.strip_prefix("SHA256:").filter(|h| h.len() == 64) else {
        return Some(Err(format!("apt gives no SHA-256 for {file}, but {hash}")));
    };
    // The longest address that fits: one repository may lie below another.
    let mirror = mirrors.iter().filter(|m| address.starts_with(&m.seen)).max_by_key(|m| m.seen.len());
    let Some(mirror) = mirror else {
        return Some(Err(format!("{file} is not in any repository that apt lists")));
    };
    Some(Ok((
        name.to_owned(),
        Package {
            version: version.replace("%3a", ":").replace("%3A", ":"),
            repository: mirror.label.clone(),
            path: address[mirror.seen.len()..].to_owned(),
            sha256: sha256.to_owned(),
            size,
        },
    )))
}

/// The packages that apt's messages say it does not have.
pub fn unknown_packages(messages: &str) -> Vec<String> {
    let mut names: Vec<String> = messages
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("E: ")?;
            let name = line
                .strip_prefix("Unable to locate package ")
                .or_else(|| line.strip_prefix("Couldn't find any package by regex "))
                .or_else(|| line.strip_prefix("Couldn't find any package by glob "))
                .or_else(|| {
                    Some(line.strip_prefix("Package ")?.split_once(" has no installation candidate")?.0)
                })?;
            Some(name.trim_matches('\'').to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The value in one line of `apt-config shell`: `NAME='VALUE'`.
pub fn shell_value(text: &str) -> Option<String> {
    let value = text.trim().split_once('=')?.1;
    Some(value.strip_prefix('\'')?.strip_suffix('\'')?.replace("'\\''", "'")).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(label: &str, uri: &str) -> Mirror {
        Mirror { label: label.into(), uri: uri.into(), seen: uri.into() }
    }

    #[test]
    fn repositories_are_named_by_label_and_told_apart() {
        let text = "\
Packages|Debian|Debian|bookworm|http://mirror.example/debian/
DEP-11|Debian|Debian|bookworm|http://mirror.example/dep/
Packages|Debian|Debian|bookworm-updates|http://mirror.example/debian/
Packages|Debian-Security|Debian|bookworm-security|http://mirror.example/security/
Packages|Debian|Debian|trixie|http://other.example/debian
Packages|||local|file:/srv/repo/
nonsense
";
        let labels: Vec<(String, String)> = mirrors(text).into_iter().map(|m| (m.label, m.uri)).collect();
        let expected = [
            ("Debian", "http://mirror.example/debian/"),
            ("Debian-Security", "http://mirror.example/security/"),
            ("Debian/trixie", "http://other.example/debian/"),
            ("local", "file:/srv/repo/"),
        ];
        assert_eq!(labels, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_line_of_uris_becomes_a_package() {
        let hash = "ab".repeat(32);
        let mirrors =
            [mirror("Debian", "http://m.example/"), mirror("Security", "http://m.example/security/")];
        let text = format!(
            "Reading…\n'http://m.example/security/pool/x/libx_1%3a2.0~rc1-1+b2_amd64.deb' libx_1%3a2.0~rc1-1+b2_amd64.deb 12 SHA256:{hash}\n"
        );
        let expected = Package {
            version: "1:2.0~rc1-1+b2".into(),
            repository: "Security".into(),
            path: "pool/x/libx_1%3a2.0~rc1-1+b2_amd64.deb".into(),
            sha256: hash,
            size: 12,
        };
        assert_eq!(uris(&text, &mirrors).unwrap(), [("libx".to_owned(), expected)].into());
    }

    #[test]
    fn what_cannot_be_locked_is_an_error() {
        let mirrors = [mirror("Debian", "http://m.example/")];
        let hash = "ab".repeat(32);
        for (line, expected) in [
            ("'http://m.example/a_1_all.deb' a_1_all.deb 5 MD5Sum:aa".to_owned(), "no SHA-256"),
            (format!("'http://n.example/a_1_all.deb' a_1_all.deb 5 SHA256:{hash}"), "not in any repository"),
            (format!("'http://m.example/a' a 5 SHA256:{hash}"), "not understood"),
            ("'http://m.example/a_1_all.deb".to_owned(), "not understood"),
            ("'' a_1.deb x".to_owned(), "not understood"),
        ] {
            let e = uris(&line, &mirrors).unwrap_err();
            assert!(e.contains(expected), "{line}: {e}");
        }
    }

    #[test]
    fn apts_complaints_name_the_packages() {
        let text = "E: Unable to locate package nopkg\nW: other\nE: Package 'trac' has no installation candidate\n\
                    E: Couldn't find any package by regex 'a.b'\nE: Unable to locate package nopkg\n";
        assert_eq!(unknown_packages(text), ["a.b", "nopkg", "trac"]);
    }

    #[test]
    fn shell_values_are_unquoted() {
        for (text, expected) in
            [("D='/var/lib/apt/lists/'\n", Some("/var/lib/apt/lists/")), ("D=''", None), ("", None)]
        {
            assert_eq!(shell_value(text).as_deref(), expected);
        }
    }
}
