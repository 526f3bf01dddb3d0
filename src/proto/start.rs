//! What a new daemon is told on its standard input, and what it answers on its standard output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a daemon is started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Start {
    /// A new session.
    New {
        /// How.
        options: Box<StartOptions>,
    },
    /// A session whose daemon died.
    TakeOver {
        /// Its runtime directory.
        dir: PathBuf,
    },
}

/// How a session is started; kept in the session file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartOptions {
    /// The session's name.
    pub session: String,
    /// What runs.
    pub source: ModelSource,
    /// Where state lives, instead of the default.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// The accelerator, instead of the one that a probe finds.
    #[serde(default)]
    pub accel: Option<String>,
    /// A nixpkgs tree, to evaluate the model as NixOS.
    #[serde(default)]
    pub nixpkgs: Option<PathBuf>,
    /// Throw the state disks away first.
    #[serde(default)]
    pub fresh: bool,
    /// Instrument the packages that the model marks, and keep what they count.
    #[serde(default)]
    pub coverage: bool,
    /// Leave the machines off until somebody starts them.
    #[serde(default)]
    pub hold: bool,
}

/// Where the network comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ModelSource {
    /// A model, evaluated by Nix.
    Model(PathBuf),
    /// A manifest.
    Manifest(PathBuf),
}

impl ModelSource {
    /// The file.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Model(p) | Self::Manifest(p) => p,
        }
    }
}

/// A new daemon's one line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "daemon", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Ready {
    /// Its socket accepts connections.
    Ready,
    /// Another daemon has the session.
    Busy,
    /// There was nothing to take over; what was left has been removed.
    Gone,
    /// It cannot run.
    Failed {
        /// Why.
        message: String,
        /// The way out.
        hints: Vec<String>,
    },
}
