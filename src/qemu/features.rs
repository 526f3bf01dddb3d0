//! What a QEMU can do, read from what it says about itself.
//!
//! Invariant: pure parsing; [`super::find()`] runs the program.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The oldest QEMU that has `-netdev stream`, the plug of the session's own switch.
pub const OLDEST: Version = Version { major: 7, minor: 2, patch: 0 };

/// How guest code is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the processor, through Linux' KVM.
    Kvm,
    /// By translation, on any machine.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// QEMU's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch level.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Reads the first line of `qemu-system-x86_64 --version`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.split("version ").nth(1)?;
        let word: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let mut parts = word.split('.').map(str::parse::<u32>);
        let mut next = || parts.next().and_then(Result::ok);
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

/// What the command line depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Whether `-sandbox on` is there (QEMU was built with seccomp).
    pub sandbox: bool,
    /// Whether KVM is compiled in.
    pub kvm: bool,
    /// Whether `-netdev stream` is there.
    pub stream: bool,
    /// Whether `-netdev vde` is there (start scripts made by NixOS need it).
    pub vde: bool,
    /// Whether a display can be looked at with VNC.
    pub vnc: bool,
}

/// A QEMU that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// What it can do.
    pub features: Features,
}

/// Whether a list such as `-netdev help` prints has a word on a line of its own.
pub(super) fn lists(text: &str, word: &str) -> bool {
    text.lines().any(|l| l.trim() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_qemu_prints_them() {
        for (text, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", Some((7, 2, 22))),
            ("QEMU emulator version 10.0.0", Some((10, 0, 0))),
            ("QEMU emulator version 9.2", Some((9, 2, 0))),
            ("qemu: not found", None),
            ("version x", None),
        ] {
            let v = Version::parse(text).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(v, expected, "{text}");
        }
        assert!(Version::parse("version 7.1.9").unwrap() < OLDEST);
        assert!(Version::parse("version 10.0.0").unwrap() > OLDEST);
    }

    #[test]
    fn lists_are_of_whole_lines() {
        let text = "Available netdev backend types:\nsocket\nstream\nvhost-vdpa\n";
        assert!(lists(text, "stream"));
        assert!(!lists(text, "vde"));
    }
}
