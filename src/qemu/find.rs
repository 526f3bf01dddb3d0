//! Finding QEMU and asking it what it can do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::features::{Features, OLDEST, Qemu, Version, lists};

/// The program that is looked for.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Why there is no usable QEMU.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It is not installed.
    #[error("{PROGRAM} was not found; it is in the package qemu-system-x86 (`diorama setup` installs it)")]
    Missing,
    /// It does not run.
    #[error("{} does not run: {what}", program.display())]
    Broken {
        /// The program.
        program: PathBuf,
        /// Why.
        what: String,
    },
    /// It is too old.
    #[error("{} is version {version}; {OLDEST} or newer is needed, for -netdev stream", program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        version: Version,
    },
    /// It was built without something that is needed.
    #[error("{} was built without -netdev {what}", program.display())]
    Lacks {
        /// The program.
        program: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
}

/// Finds QEMU on the search path (`DIORAMA_QEMU` names another) and reads its version and features.
///
/// # Errors
/// When there is none, or it is too old or too bare.
pub fn find() -> Result<Qemu, FindError> {
    let program = match std::env::var_os("DIORAMA_QEMU").filter(|v| !v.is_empty()) {
        Some(program) => PathBuf::from(program),
        None => on_path(PROGRAM).ok_or(FindError::Missing)?,
    };
    probe(&program)
}

/// The first executable file of a name on the search path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file() && nix::unistd::access(p, nix::unistd::AccessFlags::X_OK).is_ok())
}

/// Asks one QEMU.
///
/// # Errors
/// As [`find`].
pub fn probe(program: &Path) -> Result<Qemu, FindError> {
    let ask = |args: &[&str]| ask(program, args);
    let text = ask(&["--version"])?;
    let version = Version::parse(&text).ok_or_else(|| FindError::Broken {
        program: program.into(),
        what: format!("its version is not understood: {}", text.lines().next().unwrap_or_default()),
    })?;
    if version < OLDEST {
        return Err(FindError::TooOld { program: program.into(), version });
    }
    let netdevs = ask(&["-netdev", "help"])?;
    if !lists(&netdevs, "user") {
        return Err(FindError::Lacks { program: program.into(), what: "user" });
    }
    if !lists(&netdevs, "stream") {
        return Err(FindError::Lacks { program: program.into(), what: "stream" });
    }
    let features = Features {
        sandbox: ask(&["-help"])?.contains("-sandbox on"),
        kvm: lists(&ask(&["-accel", "help"])?, "kvm"),
        stream: true,
        vde: lists(&netdevs, "vde"),
        // One without VNC refuses the word before it gets to the list.
        vnc: ask(&["-vnc", "unix:/nonexistent", "-machine", "help"]).is_ok(),
    };
    Ok(Qemu { program: program.into(), version, features })
}

fn ask(program: &Path, args: &[&str]) -> Result<String, FindError> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = match output {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(FindError::Missing),
        Err(e) => return Err(FindError::Broken { program: program.into(), what: e.to_string() }),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let what = said.lines().next().unwrap_or("no reason given").to_owned();
        return Err(FindError::Broken { program: program.into(), what });
    }
    // Some lists are printed to standard error by some versions.
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn check(script: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let error = probe(&fake(dir.path(), script)).unwrap_err().to_string();
        assert!(error.contains(expected), "{script}: {error}");
    }

    #[test]
    fn unusable_programs_are_told_apart() {
        check("echo QEMU emulator version 6.2.0", "is version 6.2.0; 7.2.0 or newer");
        check("echo something else", "its version is not understood: something else");
        check("echo libfoo.so is missing >&2; exit 127", "does not run: libfoo.so is missing");
        check(
            "case $1 in --version) echo QEMU emulator version 8.0.0;; -netdev) echo user;; esac",
            "built without -netdev stream",
        );
        assert!(matches!(probe(Path::new("/nonexistent/qemu")), Err(FindError::Missing)));
    }

    #[test]
    fn the_installed_program_is_understood() {
        let Some(program) = on_path(PROGRAM) else {
            eprintln!("skipped: {PROGRAM} is not installed");
            return;
        };
        let qemu = probe(&program).unwrap();
        assert!(qemu.version >= OLDEST);
        assert!(qemu.features.stream);
    }
}
