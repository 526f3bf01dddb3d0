//! What goes wrong between a model and its machines.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::Problem;

/// Why a model could not be made into machines.
#[derive(Debug, thiserror::Error)]
pub enum NixError {
    /// One of Nix's programs is not there.
    #[error("{program} was not found; it is in the package nix-bin (`diorama setup` installs it)")]
    Missing {
        /// The program.
        program: &'static str,
    },
    /// The model is wrong.
    #[error("{}: {cause}", model.display())]
    Model {
        /// The model.
        model: PathBuf,
        /// What is wrong, where, and what may have been meant.
        cause: String,
        /// Where everything that Nix said is kept.
        log: Option<PathBuf>,
    },
    /// A build failed.
    #[error("{cause}")]
    Build {
        /// What failed, with its last lines.
        cause: String,
        /// Where everything that Nix said is kept.
        log: Option<PathBuf>,
    },
    /// A manifest is wrong; all problems.
    #[error("{}", problems(model, list))]
    Manifest {
        /// The manifest.
        model: PathBuf,
        /// What is wrong with it.
        list: Vec<Problem>,
    },
    /// Packages could not be resolved.
    #[error("{0}")]
    Packages(crate::error::Error),
    /// Nix cannot build here.
    #[error("Nix cannot build: {0}")]
    Obstacle(String),
    /// A file could not be read or written.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The person does not want it any more.
    #[error("interrupted")]
    Cancelled,
}

impl NixError {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}

impl From<NixError> for crate::error::Error {
    fn from(e: NixError) -> Self {
        match e {
            NixError::Cancelled => Self::interrupted(),
            NixError::Packages(e) => e,
            NixError::Model { log: Some(ref log), .. } | NixError::Build { log: Some(ref log), .. } => {
                Self::new(e.to_string()).hint(format!("everything that Nix said is in {}", log.display()))
            }
            NixError::Io { ref source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::new(e.to_string())
                    .hint("the file system is full: make space, or choose another directory with --state-dir")
            }
            e => Self::new(e.to_string()),
        }
    }
}

fn problems(model: &Path, list: &[Problem]) -> String {
    let mut out = format!("{}: ", model.display());
    match list {
        [one] => out.push_str(&one.to_string()),
        many => {
            out.push_str(&format!("{} problems", many.len()));
            for p in many {
                out.push_str(&format!("\n  {p}"));
            }
        }
    }
    out
}
