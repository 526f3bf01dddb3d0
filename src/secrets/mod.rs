//! What secrets say, on the way from their sources to the machines: `deploy` puts them on hosts, `daemon` into clones.
//!
//! ```text
//! model's texts ─┐
//! files ─────────┼─▶ read, once ─▶ Secrets, by node ─▶ a machine's standard input
//! commands ──────┘
//! ```
//!
//! Invariant: what a secret says can be shown to nobody: its type prints nothing and is no JSON. It is written to a
//! machine's standard input, or to a private file of a session.

mod read;
#[cfg(test)]
mod shell_tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

pub use read::{exposed, read, read_file, resolve};

use crate::model::Key;

/// How secrets are put into their places, and taken back; whoever does it reads this first.
pub(crate) const KEYS: &str = include_str!("sh/keys.sh");
/// How one is put into a clone.
pub(crate) const CLONE: &str = concat!(include_str!("sh/keys.sh"), include_str!("sh/clone.sh"));
/// The largest secret.
pub const LARGEST: usize = 1 << 20;

/// What a secret says.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes it.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes, for a machine's input alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // What is no text is told without what it is.
        let text = String::deserialize(from).map_err(|_| serde::de::Error::custom("a secret is no text"))?;
        Ok(Self::new(text.into_bytes()))
    }
}

/// The secrets that a model has as text, by node and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Texts(BTreeMap<String, BTreeMap<String, Secret>>);

impl Texts {
    fn get(&self, node: &str, name: &str) -> Option<&Secret> {
        self.0.get(node)?.get(name)
    }
}

/// A secret on its way to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Its name in the model.
    pub name: String,
    /// Where it goes.
    pub key: Key,
    /// What it says.
    pub secret: Secret,
}

/// All that were read, by node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Vec<Carried>>);

impl Secrets {
    /// A node's.
    pub fn of(&self, node: &str) -> &[Carried] {
        self.0.get(node).map_or(&[], Vec::as_slice)
    }

    /// All of them, by node.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Carried])> {
        self.0.iter().map(|(node, list)| (node.as_str(), list.as_slice()))
    }
}

/// The command line that an action is, for a shell.
pub(crate) fn action(key: &Key) -> String {
    key.action.iter().map(|word| crate::shell::quote(word)).collect::<Vec<_>>().join(" ")
}

/// A key's permissions as stat(1) says them.
pub(crate) fn permissions(key: &Key) -> String {
    format!("{:o}", crate::model::mode(&key.permissions).unwrap_or(0o600))
}
