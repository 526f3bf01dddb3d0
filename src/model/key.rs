//! A secret of a machine: where it comes from and where it goes, and not what it says.
//!
//! Invariant: what a secret says is in no type here, so manifests, deployments and records may be shown to everybody.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret that is put on a machine (`deployment.keys`, `deployment.secrets`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key {
    /// The file on the machine.
    pub path: String,
    /// Whose the file is.
    #[serde(default = "root")]
    pub user: String,
    /// The file's group.
    #[serde(default = "root")]
    pub group: String,
    /// Its permissions, three octal digits.
    #[serde(default = "private")]
    pub permissions: String,
    /// When it is put there.
    #[serde(default)]
    pub upload_at: UploadAt,
    /// Whether directories that are not there are made.
    #[serde(default = "yes")]
    pub mk_dirs: bool,
    /// The command that is run on the machine when the file was put there, one word an entry. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action: Vec<String>,
    /// Where it comes from.
    pub source: Source,
}

fn root() -> String {
    "root".into()
}

fn private() -> String {
    "0600".into()
}

fn yes() -> bool {
    true
}

/// When a secret is put on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UploadAt {
    /// Before the new system is activated.
    #[default]
    PreActivation,
    /// After that, before it is kept.
    PostActivation,
}

impl UploadAt {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PreActivation => "pre-activation",
            Self::PostActivation => "post-activation",
        }
    }
}

/// Where a secret comes from, on the machine that deploys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Source {
    /// A file.
    File {
        /// Its name; a relative one is meant from the directory of the model, or of this document.
        path: String,
    },
    /// What a command prints.
    Command {
        /// The command, one word an entry; no shell reads it.
        command: Vec<String>,
    },
    /// The model has it as text. This is a mark only: the text travels beside the document, and not in it.
    Text {},
}

/// The longest name of a key.
const NAME_MAX: usize = 100;

/// What is wrong with a key: the field, and why.
pub fn key_problems(name: &str, key: &Key) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let mut bad = |field: &'static str, what: String| out.push((field, what));
    let word = |c: char| c.is_ascii_alphanumeric();
    if name.len() > NAME_MAX || !name.starts_with(word) || !name.chars().all(|c| word(c) || "_.-".contains(c))
    {
        bad("(name)", format!("{name:?} is no key's name: letters, digits and _.-, a letter or digit first"));
    }
    let path = Path::new(&key.path);
    let plain = key.path.starts_with('/')
        && !key.path.ends_with('/')
        && key.path.chars().all(|c| word(c) || "_.@+:=,~/-".contains(c))
        && path.components().skip(1).all(|c| matches!(c, std::path::Component::Normal(_)));
    if !plain || path.starts_with("/nix") {
        bad("path", format!("{:?} cannot be a secret's place on a host", key.path));
    }
    for (field, value) in [("user", &key.user), ("group", &key.group)] {
        if !value.starts_with(|c: char| word(c) || c == '_')
            || !value.chars().all(|c| word(c) || "_.-".contains(c))
        {
            bad(field, format!("{value:?} is no {field}"));
        }
    }
    if mode(&key.permissions).is_none() {
        bad("permissions", format!("{:?} is not three octal digits such as \"0400\"", key.permissions));
    }
    if let Source::Command { command } = &key.source
        && command.first().is_none_or(String::is_empty)
    {
        bad("source.command", "it names no program".into());
    }
    out
}

/// Secrets of one machine that are to be in the same place, each as NAME and NAME.
pub fn same_places(keys: &BTreeMap<String, Key>) -> Vec<String> {
    let mut seen: BTreeMap<Vec<std::path::Component<'_>>, &str> = BTreeMap::new();
    let mut out = Vec::new();
    for (name, key) in keys {
        // `/a//b` is `/a/b`.
        if let Some(other) = seen.insert(Path::new(&key.path).components().collect(), name) {
            out.push(format!("{other} and {name} are to be at {}", key.path));
        }
    }
    out
}

/// Permissions as a number.
pub fn mode(permissions: &str) -> Option<u32> {
    let digits = permissions.strip_prefix('0').filter(|d| d.len() == 3).unwrap_or(permissions);
    (digits.len() == 3).then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        serde_json::from_str(r#"{"path":"/run/keys/k","source":{"kind":"text"}}"#).unwrap()
    }

    #[test]
    fn what_nobody_said_is_private_and_roots() {
        let k = key();
        assert_eq!((k.user.as_str(), k.permissions.as_str(), k.mk_dirs), ("root", "0600", true));
        assert_eq!(k.upload_at, UploadAt::PreActivation);
        assert!(key_problems("k", &k).is_empty());
        assert!(serde_json::from_str::<Key>(r#"{"path":"/k","source":{"kind":"text","text":"x"}}"#).is_err());
    }

    #[test]
    fn no_two_are_in_one_place() {
        let at = |path: &str| Key { path: path.into(), ..key() };
        let keys = [("a", at("/run/keys/k")), ("b", at("/run/keys/l")), ("c", at("/run//keys/k"))];
        let keys = keys.map(|(name, key)| (name.to_owned(), key)).into();
        assert_eq!(same_places(&keys), ["a and c are to be at /run//keys/k"]);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_field() {
        let check = |change: &dyn Fn(&mut Key), field: &str| {
            let mut k = key();
            change(&mut k);
            let got: Vec<&str> = key_problems("k", &k).into_iter().map(|(field, _)| field).collect();
            assert_eq!(got, [field]);
        };
        for path in ["", "k", "/", "/a/", "/a/../b", "/a b", "/a\nb", "/nix/store/x", "/$(id)"] {
            check(&|k| k.path = path.into(), "path");
        }
        for word in ["", "-x", "$(id)", "a b", "a:b"] {
            check(&|k| k.user = word.into(), "user");
            check(&|k| k.group = word.into(), "group");
        }
        for digits in ["", "7", "rwx", "0888", "+400", "01777"] {
            check(&|k| k.permissions = digits.into(), "permissions");
        }
        check(&|k| k.source = Source::Command { command: vec![] }, "source.command");
        for name in ["", "-a", ".a", "a/b", "a b", "a@b", "ä"] {
            assert_eq!(key_problems(name, &key()).len(), 1, "{name}");
        }
        for (digits, number) in [("0600", 0o600), ("440", 0o440), ("0000", 0)] {
            assert_eq!(mode(digits), Some(number));
        }
    }
}
