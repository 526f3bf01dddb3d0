//! The domain: a network of nodes, what each needs to boot, and how they are connected.
//!
//! A [`Manifest`] is the only contract between the world that evaluates models (Nix) and the world
//! that runs them (this program): plain, versioned JSON with a schema. One written by hand runs as
//! well as an evaluated one, so everything read here is checked by [`validate()`], which reports all
//! problems at once.
//!
//! Invariant: no I/O here; paths are names, never opened.

mod key;
mod manifest;
mod validate;

pub use key::{Key, Source, UploadAt, key_problems, mode, same_places};
pub use manifest::*;
pub use validate::{Problem, is_name, parse, parse_mac, validate};
