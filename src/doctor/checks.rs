//! The table of what is needed, and looking for it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::nix::{BUILD_GROUP, Store};
use crate::paths::Paths;
use crate::qemu::{self, Accel, on_path};

/// How badly something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Nothing runs without it.
    Needed,
    /// Models cannot be evaluated or built without it; manifests run.
    Models,
    /// Something is better with it.
    Wanted,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// What for.
    pub purpose: &'static str,
    /// How badly.
    pub need: Need,
    /// The Debian package that has it.
    pub package: Option<&'static str>,
    /// How it is looked for.
    pub look: Look,
}

/// How something is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    /// A program on the search path (or in `/usr/sbin`).
    Program(&'static str),
    /// QEMU, its version and features.
    Qemu,
    /// The accelerator.
    Accelerator,
    /// Users that build for root, or a store that needs none.
    BuildUsers,
    /// apt's package lists.
    PackageLists,
    /// The program's directories.
    Directories,
}

/// The package of the emulator.
pub const QEMU: &str = "qemu-system-x86";
/// The package of its tools, which has to be of the same version.
pub const QEMU_UTILS: &str = "qemu-utils";

/// All of them, in the order of the report.
pub const CHECKS: &[Check] = &[
    Check {
        name: "QEMU",
        purpose: "runs the machines",
        need: Need::Needed,
        package: Some(QEMU),
        look: Look::Qemu,
    },
    Check {
        name: "qemu-img",
        purpose: "makes state disks",
        need: Need::Needed,
        package: Some(QEMU_UTILS),
        look: Look::Program("qemu-img"),
    },
    Check {
        name: "setsid",
        purpose: "lets machines outlive the daemon",
        need: Need::Needed,
        package: Some("util-linux"),
        look: Look::Program("setsid"),
    },
    Check {
        name: "accelerator",
        purpose: "makes the machines fast",
        need: Need::Wanted,
        package: None,
        look: Look::Accelerator,
    },
    Check {
        name: "directories",
        purpose: "hold sockets, disks and caches",
        need: Need::Needed,
        package: None,
        look: Look::Directories,
    },
    Check {
        name: "nix-instantiate",
        purpose: "evaluates models",
        need: Need::Models,
        package: Some("nix-bin"),
        look: Look::Program("nix-instantiate"),
    },
    Check {
        name: "nix-store",
        purpose: "builds what machines boot",
        need: Need::Models,
        package: Some("nix-bin"),
        look: Look::Program("nix-store"),
    },
    Check {
        name: "build users",
        purpose: "builds never run as root",
        need: Need::Models,
        package: None,
        look: Look::BuildUsers,
    },
    Check {
        name: "package lists",
        purpose: "say where Debian's packages are",
        need: Need::Models,
        package: None,
        look: Look::PackageLists,
    },
    Check {
        name: "mkfs.erofs",
        purpose: "packs the machines' system images",
        need: Need::Models,
        package: Some("erofs-utils"),
        look: Look::Program("mkfs.erofs"),
    },
    Check {
        name: "dpkg-deb",
        purpose: "unpacks Debian packages",
        need: Need::Models,
        package: Some("dpkg"),
        look: Look::Program("dpkg-deb"),
    },
    Check {
        name: "perl",
        purpose: "packs the machines' first file system",
        need: Need::Models,
        package: Some("perl-base"),
        look: Look::Program("perl"),
    },
    Check {
        name: "xz",
        purpose: "unpacks kernels",
        need: Need::Models,
        package: Some("xz-utils"),
        look: Look::Program("xz"),
    },
    Check {
        name: "python3",
        purpose: "runs test scripts",
        need: Need::Wanted,
        package: Some("python3"),
        look: Look::Program("python3"),
    },
    Check {
        name: "ssh",
        purpose: "reaches the hosts that a model is deployed to",
        need: Need::Wanted,
        package: Some("openssh-client"),
        look: Look::Program("ssh"),
    },
    Check {
        name: "tesseract",
        purpose: "reads text on machines' displays, for tests that ask for it",
        need: Need::Wanted,
        package: Some("tesseract-ocr"),
        look: Look::Program("tesseract"),
    },
    Check {
        name: "lcov",
        purpose: "makes coverage reports of tests",
        need: Need::Wanted,
        package: Some("lcov"),
        look: Look::Program("geninfo"),
    },
];

/// What looking gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there: where, or which.
    Yes(String),
    /// It is not, and why that is no harm here.
    NotHere(String),
    /// It is missing: what is wrong, and the way out.
    No {
        /// What is wrong.
        what: String,
        /// The way out.
        fix: String,
    },
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it is.
    pub name: &'static str,
    /// What for.
    pub purpose: &'static str,
    /// How badly it is needed.
    pub need: Need,
    /// Whether all is well.
    pub ok: bool,
    /// What was found, or what is wrong.
    pub found: String,
    /// The way out, when something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The package that would help, when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'static str>,
}

impl Report {
    fn of(check: &Check, found: Found) -> Self {
        let (ok, text, fix) = match found {
            Found::Yes(text) | Found::NotHere(text) => (true, text, None),
            Found::No { what, fix } => (false, what, Some(fix)),
        };
        Self {
            name: check.name,
            purpose: check.purpose,
            need: check.need,
            ok,
            found: text,
            package: if ok { None } else { check.package },
            fix,
        }
    }

    /// Whether a command cannot do its work because of this. Manifests need no Nix.
    pub fn stops(&self, models: bool) -> bool {
        !self.ok
            && match self.need {
                Need::Needed => true,
                Need::Models => models,
                Need::Wanted => false,
            }
    }
}

/// The table.
pub fn checks() -> &'static [Check] {
    CHECKS
}

/// Looks for everything.
pub async fn report(paths: &Paths) -> Vec<Report> {
    let mut out = Vec::new();
    for check in CHECKS {
        out.push(Report::of(check, look(check, paths).await));
    }
    out
}

/// The packages that would provide what is missing, each once, in the order to install them.
pub fn missing_packages(reports: &[Report]) -> Vec<&'static str> {
    let mut out = Vec::new();
    for package in reports.iter().filter_map(|r| r.package) {
        if !out.contains(&package) {
            out.push(package);
        }
    }
    // Installing QEMU may remove qemu-utils of another version, so it is always installed after it.
    if out.contains(&QEMU) && !out.contains(&QEMU_UTILS) {
        out.push(QEMU_UTILS);
    }
    out
}

async fn look(check: &Check, paths: &Paths) -> Found {
    let install = || match check.package {
        Some(package) => format!("diorama setup, or: apt-get install {package}"),
        None => "diorama setup".to_owned(),
    };
    match check.look {
        Look::Program(name) => match program(name) {
            Some(path) => Found::Yes(path.display().to_string()),
            None => Found::No { what: "not found".into(), fix: install() },
        },
        Look::Qemu => match qemu::find() {
            Ok(q) => Found::Yes(format!("{} {}", q.program.display(), q.version)),
            Err(e) => Found::No { what: e.to_string(), fix: install() },
        },
        Look::Accelerator => match qemu::find() {
            Err(_) => Found::NotHere("not looked for without QEMU".into()),
            Ok(q) => {
                let choice = qemu::accel::choose(None, &q, &paths.cache).await;
                match choice.accel {
                    Accel::Kvm => Found::Yes(choice.why),
                    Accel::Tcg => Found::No {
                        what: choice.why,
                        fix: "nothing has to be done: the machines run, only slower".into(),
                    },
                }
            }
        },
        Look::BuildUsers => match Store::find(&paths.data).obstacle() {
            Some(_) => Found::No {
                what: format!("the group {BUILD_GROUP} has no members, and builds do not run as root"),
                fix: install(),
            },
            None => Found::Yes(Store::find(&paths.data).why()),
        },
        Look::PackageLists => match package_lists() {
            true => Found::Yes("/var/lib/apt/lists".into()),
            false => {
                Found::No { what: "apt has none".into(), fix: "diorama setup, or: apt-get update".into() }
            }
        },
        Look::Directories => match paths.make_session("doctor").map(|dir| std::fs::remove_dir(&dir)) {
            Ok(_) => Found::Yes(format!("{}, {}", paths.runtime.display(), paths.state.display())),
            Err(e) => Found::No {
                what: e.to_string(),
                fix: "set DIORAMA_RUNTIME_DIR to a directory of your own".into(),
            },
        },
    }
}

/// A program on the search path, or where programs for administrators are.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    on_path(name)
        .or_else(|| ["/usr/sbin", "/sbin"].iter().map(|d| Path::new(d).join(name)).find(|p| p.is_file()))
}

/// Whether apt knows any package from a repository.
pub(super) fn package_lists() -> bool {
    std::fs::read_dir("/var/lib/apt/lists")
        .is_ok_and(|dir| dir.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(names: &[&str]) -> Vec<Report> {
        CHECKS
            .iter()
            .map(|c| {
                let found = match names.contains(&c.name) {
                    true => Found::No { what: "not found".into(), fix: String::new() },
                    false => Found::Yes(String::new()),
                };
                Report::of(c, found)
            })
            .collect()
    }

    #[test]
    fn packages_are_named_once_and_qemu_utils_behind_qemu() {
        for (names, expected) in [
            (&[][..], &[][..]),
            (&["nix-instantiate", "nix-store"][..], &["nix-bin"][..]),
            (&["QEMU"][..], &[QEMU, QEMU_UTILS][..]),
            (&["QEMU", "qemu-img", "xz"][..], &[QEMU, QEMU_UTILS, "xz-utils"][..]),
            (&["accelerator", "build users"][..], &[][..]),
        ] {
            assert_eq!(missing_packages(&missing(names)), expected, "{names:?}");
        }
    }

    #[test]
    fn what_stops_depends_on_the_job() {
        let stops = |names: &[&str], models| missing(names).iter().any(|r| r.stops(models));
        assert!(stops(&["QEMU"], false));
        assert!(!stops(&["nix-store"], false));
        assert!(stops(&["nix-store"], true));
        assert!(!stops(&["accelerator", "python3"], true));
    }

    #[test]
    fn the_table_is_sound() {
        for check in CHECKS {
            assert!(!check.purpose.ends_with('.'), "{}", check.name);
            assert!(CHECKS.iter().filter(|c| c.name == check.name).count() == 1, "{} twice", check.name);
        }
    }
}
