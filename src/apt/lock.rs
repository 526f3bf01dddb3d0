//! The lock file: which version of which package a model is made of.
//!
//! Invariant: the text is a function of the content (sorted, pretty-printed), and parsing refuses what
//! it does not understand.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The lock file's version that this program reads and writes.
pub const LOCK_VERSION: u32 = 1;

/// A lock file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// Debian's name of the processor (`amd64`).
    pub architecture: String,
    /// Every package, by name; there is one version of each.
    pub packages: BTreeMap<String, Package>,
    /// What each list of root packages needs, in the order of the lists.
    pub sets: Vec<Set>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Debian's version.
    pub version: String,
    /// The label of the repository that has it.
    pub repository: String,
    /// Its path in the repository.
    pub path: String,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The file's size in bytes.
    pub size: u64,
}

/// A list of root packages and everything that it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The root packages, sorted; `+NAME` is one that the model itself asks for, and `!NAME` is left out, unless
    /// something that the model asks for needs it.
    pub roots: Vec<String>,
    /// All packages, sorted.
    pub packages: Vec<String>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is not a lock file.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Another program wrote it.
    #[error("it has version {0}, this program reads version {LOCK_VERSION}")]
    Version(u64),
    /// A set names a package that has no entry.
    #[error("the set of {roots} names the package {package}, which has no entry")]
    Dangling {
        /// The set's roots.
        roots: String,
        /// The package.
        package: String,
    },
}

impl Lock {
    /// A lock of nothing.
    pub fn empty(architecture: &str) -> Self {
        Self {
            version: LOCK_VERSION,
            architecture: architecture.to_owned(),
            packages: BTreeMap::new(),
            sets: Vec::new(),
        }
    }

    /// Reads a lock file's text.
    ///
    /// # Errors
    /// When it is no lock file of this version, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(LOCK_VERSION) => {}
            Some(v) => return Err(LockError::Version(v)),
            None => {}
        }
        let lock: Self = serde_json::from_value(value)?;
        for set in &lock.sets {
            if let Some(package) = set.packages.iter().find(|p| !lock.packages.contains_key(*p)) {
                return Err(LockError::Dangling { roots: set.roots.join(", "), package: package.clone() });
            }
        }
        Ok(lock)
    }

    /// The lock file's text.
    pub fn print(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("plain data with string keys is always JSON");
        text.push('\n');
        text
    }

    /// Whether a list of root packages is covered.
    pub fn covers(&self, roots: &[String]) -> bool {
        let wanted = normal(roots);
        self.sets.iter().any(|set| set.roots == wanted)
    }

    /// Puts one resolved set in, in place of an older one with the same roots; returns the packages
    /// whose version changed thereby.
    pub fn insert(&mut self, roots: &[String], resolved: BTreeMap<String, Package>) -> BTreeSet<String> {
        let roots = normal(roots);
        self.sets.retain(|set| set.roots != roots);
        self.sets.push(Set { roots, packages: resolved.keys().cloned().collect() });
        self.sets.sort();
        let mut changed = BTreeSet::new();
        for (name, package) in resolved {
            match self.packages.insert(name.clone(), package.clone()) {
                Some(old) if old.version != package.version => {
                    changed.insert(name);
                }
                _ => {}
            }
        }
        changed
    }

    /// Drops packages that no set names.
    pub fn prune(&mut self) {
        let named: BTreeSet<&String> = self.sets.iter().flat_map(|set| &set.packages).collect();
        let unused: Vec<String> =
            self.packages.keys().filter(|name| !named.contains(name)).cloned().collect();
        for name in unused {
            self.packages.remove(&name);
        }
    }
}

/// A list of root packages in the one form in which lists are compared: sorted, each once.
pub fn normal(roots: &[String]) -> Vec<String> {
    roots.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str) -> Package {
        Package {
            version: version.into(),
            repository: "Debian".into(),
            path: format!("pool/main/x_{version}_amd64.deb"),
            sha256: "0".repeat(64),
            size: 1,
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_text_is_the_same_whatever_the_order_of_insertion() {
        let sets = [("b a", "1"), ("c", "2"), ("a b a", "1")];
        let build = |order: &[usize]| {
            let mut lock = Lock::empty("amd64");
            for &i in order {
                let (roots, version) = sets[i];
                lock.insert(&words(roots), words(roots).into_iter().map(|n| (n, package(version))).collect());
            }
            lock.print()
        };
        assert_eq!(build(&[0, 1, 2]), build(&[1, 2, 0]));
        let lock = Lock::parse(&build(&[0, 1])).unwrap();
        assert_eq!(lock.sets.len(), 2);
        assert!(lock.covers(&words("b a b")) && !lock.covers(&words("a")));
    }

    #[test]
    fn a_changed_version_is_told_and_unused_packages_go() {
        let mut lock = Lock::empty("amd64");
        lock.insert(&words("a"), [("a".into(), package("1")), ("old".into(), package("1"))].into());
        let changed = lock.insert(&words("a"), [("a".into(), package("2"))].into());
        assert_eq!(changed, ["a".to_owned()].into());
        assert!(lock.packages.contains_key("old"));
        lock.prune();
        assert!(!lock.packages.contains_key("old"));
    }

    #[test]
    fn what_is_no_lock_file_is_refused() {
        for (text, expected) in [
            ("", "EOF"),
            (r#"{"version":2}"#, "version 2"),
            (r#"{"version":1}"#, "missing field"),
            (
                r#"{"version":1,"architecture":"amd64","packages":{},"sets":[{"roots":["a"],"packages":["b"]}]}"#,
                "package b",
            ),
            (r#"{"version":1,"architecture":"amd64","packages":{},"sets":[],"x":1}"#, "unknown field"),
        ] {
            let e = Lock::parse(text).unwrap_err().to_string();
            assert!(e.contains(expected), "{text}: {e}");
        }
    }
}
