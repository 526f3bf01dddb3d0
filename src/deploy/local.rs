//! What this machine's store knows: closures, sizes, units.
//!
//! Invariant: reads only; nothing is built or fetched here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::inhibitors::{self, Inhibitors};
use crate::error::{Error, Result, ResultExt};
use crate::nix::Store;

/// Paths that one run of nix-store is asked about.
const BATCH: usize = 1000;

/// Everything a system needs, as this machine's store has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalClosure {
    /// Its paths with the sizes of their archives, each after all that it refers to.
    pub paths: Vec<(String, u64)>,
    /// Its units, by name, with what their links lead to.
    pub units: BTreeMap<String, String>,
    /// What decides whether a reboot is due: `kernel`, `initrd`, `kernel-params`.
    pub boot: BTreeMap<String, String>,
    /// What keeps a running system from being switched to it.
    pub inhibitors: Inhibitors,
}

/// Runs nix-store and gives its answer.
pub(super) async fn nix_store(store: &Store, args: &[&str]) -> Result<String> {
    let output = Command::new("nix-store")
        .args(args)
        .envs(store.environment(true))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .doing("cannot run nix-store")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("nix-store {}: {}", args[0], said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The closure of a system in this machine's store.
///
/// # Errors
/// When the system is not in the store.
pub async fn closure_of(store: &Store, toplevel: &str) -> Result<LocalClosure> {
    let requisites = requisites(store, toplevel).await?;
    let paths: Vec<&str> = requisites.iter().map(String::as_str).collect();
    let mut sizes = Vec::new();
    for batch in paths.chunks(BATCH) {
        let mut args = vec!["--query", "--size"];
        args.extend(batch);
        for line in nix_store(store, &args).await?.lines() {
            sizes.push(line.trim().parse::<u64>().unwrap_or(0));
        }
    }
    if sizes.len() != paths.len() {
        return Err(Error::new("nix-store did not give every path's size"));
    }
    let paths = paths.into_iter().map(str::to_owned).zip(sizes).collect();
    let top = Path::new(toplevel);
    let inhibitors = std::fs::read_to_string(top.join(inhibitors::FILE)).unwrap_or_default();
    Ok(LocalClosure {
        paths,
        units: units(&top.join("etc/systemd/system")),
        boot: boot(top),
        inhibitors: inhibitors::parse(&inhibitors),
    })
}

/// Everything a path of this machine's store needs, each after all that it refers to.
pub(super) async fn requisites(store: &Store, path: &str) -> Result<Vec<String>> {
    let said = nix_store(store, &["--query", "--requisites", path]).await?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// The units of a directory, with what their links lead to.
fn units(dir: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_unit(&name)
            && let Some(real) = resolve(dir, &entry.path())
            && real.starts_with("/nix/store")
        {
            out.insert(name, real.to_string_lossy().into_owned());
        }
    }
    out
}

/// The file that a unit's link leads to. One that leads to another unit of the host is meant in this directory: this
/// machine's own /etc has nothing to do with it.
fn resolve(dir: &Path, unit: &Path) -> Option<PathBuf> {
    let to = std::fs::read_link(unit).ok();
    let alias = to.as_deref().and_then(|to| to.strip_prefix("/etc/systemd/system").ok());
    std::fs::canonicalize(alias.map_or_else(|| unit.to_owned(), |name| dir.join(name))).ok()
}

/// Whether a file's name is that of a unit.
pub(super) fn is_unit(name: &str) -> bool {
    [".service", ".socket", ".timer", ".mount", ".target", ".path"].iter().any(|s| name.ends_with(s))
}

fn boot(top: &Path) -> BTreeMap<String, String> {
    ["kernel", "initrd", "kernel-params"]
        .into_iter()
        .filter_map(|part| {
            let real = std::fs::canonicalize(top.join(part)).ok()?;
            Some((part.to_owned(), real.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Keeps a path in this machine's store for as long as a link to it is there.
pub(super) async fn root(store: &Store, link: &Path, path: &str) -> Result<()> {
    let link = link.to_string_lossy();
    nix_store(store, &["--realise", path, "--add-root", &link]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_the_unit_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("many.target"), "").unwrap();
        std::os::unix::fs::symlink("/etc/systemd/system/many.target", at("default.target")).unwrap();
        std::os::unix::fs::symlink("many.target", at("other.target")).unwrap();
        std::os::unix::fs::symlink("/etc/systemd/system/none.target", at("none-such.target")).unwrap();
        let real = std::fs::canonicalize(at("many.target")).unwrap();
        for (unit, want) in [
            ("many.target", Some(&real)),
            ("default.target", Some(&real)),
            ("other.target", Some(&real)),
            ("none-such.target", None),
        ] {
            assert_eq!(resolve(dir.path(), &at(unit)).as_ref(), want, "{unit}");
        }
    }
}
