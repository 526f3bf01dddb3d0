//! What the switch does on purpose to frames from one port to another.
//!
//! Invariant: a policy belongs to an ordered pair of ports; A→B says nothing about B→A.

use serde::{Deserialize, Serialize};

/// What happens to frames of one ordered pair of ports.
///
/// Fields are added as impairments are: construct it from [`Policy::PASS`] and the `with_…` methods.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Nothing passes, neither unicast nor copies of a flood.
    pub cut: bool,
}

impl Policy {
    /// Everything passes untouched.
    pub const PASS: Self = Self { cut: false };
    /// Nothing passes.
    pub const CUT: Self = Self { cut: true };

    /// The same policy, cut or healed.
    pub fn with_cut(self, cut: bool) -> Self {
        Self { cut, ..self }
    }

    /// Whether frames pass untouched.
    pub fn is_pass(&self) -> bool {
        *self == Self::PASS
    }
}
