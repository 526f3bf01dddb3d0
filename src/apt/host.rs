//! Asks the machine's apt.
//!
//! apt runs in a root of its own: an empty status file but for stand-ins of packages that only matter
//! to maintainer scripts (which are never run), its own cache, and the machine's sources and lists.
//!
//! Invariant: apt is only asked what it would do; it holds no lock and changes nothing of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::lock::{Lock, Package, normal};
use super::parse::{self, Mirror};
use crate::error::{Error, Result, ResultExt, nearest};
use crate::files;

/// Packages that only serve maintainer scripts and building an initial ramdisk of Debian's.
const STAND_INS: [&str; 12] = [
    "adduser",
    "cpio",
    "debconf",
    "init-system-helpers",
    "initramfs-tools",
    "klibc-utils",
    "linux-base",
    "logsave",
    "lsb-base",
    "sensible-utils",
    "ucf",
    "usrmerge",
];

/// What a resolution changed in the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Packages whose version is another one now.
    pub changed: BTreeSet<String>,
    /// How many bytes of packages the lock names that the previous one did not.
    pub new_bytes: u64,
}

/// The repositories among the machine's apt sources.
///
/// # Errors
/// When apt cannot be run, or has no package lists.
pub fn mirrors() -> Result<Vec<Mirror>> {
    let output = run(Command::new("apt-get").args(["indextargets", "--format", parse::INDEX_FORMAT]))?;
    let mut mirrors = parse::mirrors(&text(&output.stdout));
    if mirrors.is_empty() {
        return Err(no_lists());
    }
    for mirror in &mut mirrors {
        // Cloud images name their mirrors in a file.
        if let Some(path) = mirror.uri.strip_prefix("mirror+file:") {
            let path = path.trim_end_matches('/');
            let content = fs::read_to_string(path).doing(format!("reading apt's list of mirrors {path}"))?;
            let first = content
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .find(|word| !word.starts_with('#'))
                .ok_or_else(|| Error::new(format!("apt's list of mirrors {path} names none")))?;
            mirror.uri = format!("{}/", first.trim_end_matches('/'));
        }
    }
    Ok(mirrors)
}

/// The proxy that apt is configured to fetch through, for `http_proxy`.
pub fn proxy() -> Option<String> {
    let output = Command::new("apt-config").args(["shell", "P", "Acquire::http::Proxy"]).output().ok()?;
    parse::shell_value(&text(&output.stdout)).filter(|proxy| proxy != "DIRECT")
}

/// Writes the names of all packages that apt knows to a file, as a JSON list; leaves an equal file alone.
///
/// # Errors
/// When apt cannot be run, or the file not be written.
pub fn write_names(path: &Path) -> Result<()> {
    let names: BTreeSet<String> = names()?.into_iter().collect();
    let json = serde_json::to_string(&names)?;
    if fs::read_to_string(path).is_ok_and(|old| old == json) {
        return Ok(());
    }
    files::replace(path, json.as_bytes(), 0o644).doing(format!("writing {}", path.display()))
}

fn names() -> Result<Vec<String>> {
    let output = run(Command::new("apt-cache").arg("pkgnames"))?;
    Ok(text(&output.stdout).lines().map(str::to_owned).collect())
}

/// Resolves sets of root packages into a lock.
///
/// What a previous lock holds stays as it is as long as the repositories still have it, unless
/// `update` asks for the newest of everything.
///
/// # Errors
/// When apt has no lists, does not know a package, or finds no way to satisfy a set.
pub fn resolve(sets: &[Vec<String>], previous: Option<&Lock>, update: bool) -> Result<(Lock, Changes)> {
    let root = Root::new()?;
    let mirrors = mirrors()?;
    let mut lock = match previous {
        Some(previous) if !update && previous.architecture == root.architecture => previous.clone(),
        _ => Lock::empty(&root.architecture),
    };
    root.pin(&lock)?;
    let mut changed = BTreeSet::new();
    for roots in sets.iter().map(|set| normal(set)) {
        if !lock.covers(&roots) {
            let resolved = root.install(&roots, &mirrors)?;
            changed.extend(lock.insert(&roots, resolved));
        }
    }
    if !changed.is_empty() {
        // A version that is gone drags others along: every set is resolved again, in the new light.
        root.pin(&lock)?;
        let all: Vec<Vec<String>> = lock.sets.iter().map(|set| set.roots.clone()).collect();
        for roots in all {
            let resolved = root.install(&roots, &mirrors)?;
            changed.extend(lock.insert(&roots, resolved));
        }
    }
    lock.prune();
    let known = |name: &str, package: &Package| {
        previous.and_then(|p| p.packages.get(name)).is_some_and(|old| old.sha256 == package.sha256)
    };
    let new_bytes = lock.packages.iter().filter(|(n, p)| !known(n, p)).map(|(_, p)| p.size).sum();
    Ok((lock, Changes { changed, new_bytes }))
}

/// apt's root of its own; removed when dropped.
struct Root {
    directory: PathBuf,
    architecture: String,
}

impl Root {
    fn new() -> Result<Self> {
        let lists = run(Command::new("apt-config").args(["shell", "D", "Dir::State::lists/d"]))?;
        let lists = parse::shell_value(&text(&lists.stdout)).unwrap_or_else(|| "/var/lib/apt/lists/".into());
        let found = fs::read_dir(&lists)
            .map(|entries| entries.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages")))
            .unwrap_or(false);
        if !found {
            return Err(no_lists());
        }
        let architecture = run(Command::new("dpkg").arg("--print-architecture"))?;
        let root = Self {
            directory: private_directory()?,
            architecture: text(&architecture.stdout).trim().to_owned(),
        };
        let at = |path: &str| root.directory.join(path);
        for path in ["state", "cache/archives/partial", "parts"] {
            fs::create_dir_all(at(path)).doing("preparing apt's own root")?;
        }
        let here = root.directory.display();
        let configuration = format!(
            "Dir::State \"{here}/state\";\n\
             Dir::State::status \"{here}/status\";\n\
             Dir::State::lists \"{lists}\";\n\
             Dir::Cache \"{here}/cache\";\n\
             Dir::Etc::preferences \"{here}/preferences\";\n\
             Dir::Etc::preferencesparts \"{here}/parts\";\n\
             Debug::NoLocking \"true\";\n\
             Acquire::ForceHash \"SHA256\";\n\
             APT::Get::AllowUnauthenticated \"false\";\n"
        );
        fs::write(at("apt.conf"), configuration).doing("preparing apt's own root")?;
        Ok(root)
    }

    /// Makes apt prefer the versions that are locked, as far as they still exist, and never to a stand-in
    /// (above 1000, apt_preferences(5) has a package replace a newer one that is installed).
    fn pin(&self, lock: &Lock) -> Result<()> {
        let mut text = String::new();
        for (name, package) in &lock.packages {
            let _ = writeln!(text, "Package: {name}\nPin: version {}\nPin-Priority: 1000\n", package.version);
        }
        fs::write(self.directory.join("preferences"), text).doing("pinning what is locked")
    }

    /// All packages of a set: see [`super::lock::Set::roots`].
    fn install(&self, roots: &[String], mirrors: &[Mirror]) -> Result<BTreeMap<String, Package>> {
        let asked = Asked::of(roots);
        let mut stood_in = asked.left_out;
        if !stood_in.is_empty() && !asked.chosen.is_empty() {
            // What the model itself asks for gets all that it depends on.
            let needed = self.install_beside(&BTreeSet::new(), &asked.chosen, mirrors)?;
            stood_in.retain(|name| !needed.contains_key(*name));
        }
        self.install_beside(&stood_in, &asked.all, mirrors)
    }

    /// What apt would install on a machine that has stand-ins of some packages.
    fn install_beside(
        &self,
        stood_in: &BTreeSet<&str>,
        roots: &[&str],
        mirrors: &[Mirror],
    ) -> Result<BTreeMap<String, Package>> {
        let mut status = String::new();
        let names: BTreeSet<&str> = STAND_INS.into_iter().chain(stood_in.iter().copied()).collect();
        for name in names.iter().filter(|name| !roots.contains(name)) {
            let _ = writeln!(
                status,
                "Package: {name}\nStatus: install ok installed\nVersion: 999:1\nArchitecture: {}\n\
                 Multi-Arch: allowed\nMaintainer: none <none>\nDescription: stand-in\n",
                self.architecture
            );
        }
        fs::write(self.directory.join("status"), status).doing("preparing apt's own root")?;
        let output = Command::new("apt-get")
            .args(["install", "--no-install-recommends", "--print-uris", "-qq", "--"])
            .args(roots)
            .env("APT_CONFIG", self.directory.join("apt.conf"))
            .env("LC_ALL", "C")
            .output()
            .doing("running apt-get")
            .hint(
                "the bundled guest system is made of the packages of this machine's apt; is this Debian?",
            )?;
        if !output.status.success() {
            return Err(refusal(&text(&output.stderr), roots));
        }
        parse::uris(&text(&output.stdout), mirrors).map_err(Error::new)
    }
}

/// The roots of a set, by what they ask for.
struct Asked<'a> {
    /// Every package to install.
    all: Vec<&'a str>,
    /// Those of them that the model itself asks for.
    chosen: Vec<&'a str>,
    /// What is left out, unless something chosen needs it.
    left_out: BTreeSet<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(roots: &'a [String]) -> Self {
        let mut asked = Self { all: Vec::new(), chosen: Vec::new(), left_out: BTreeSet::new() };
        for root in roots {
            if let Some(name) = root.strip_prefix('!') {
                asked.left_out.insert(name);
                continue;
            }
            let chosen = root.strip_prefix('+');
            asked.chosen.extend(chosen);
            asked.all.push(chosen.unwrap_or(root));
        }
        asked
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Nothing of it is needed, and a leftover in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn private_directory() -> Result<PathBuf> {
    let base = std::env::temp_dir();
    for number in 0..1000 {
        let path = base.join(format!("diorama-apt-{}-{number}", std::process::id()));
        match std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::from(e).context(format!("making {}", path.display()))),
        }
    }
    Err(Error::new(format!("no free directory in {}", base.display())))
}

fn refusal(messages: &str, roots: &[&str]) -> Error {
    let unknown = parse::unknown_packages(messages);
    if unknown.is_empty() {
        return Error::new(format!(
            "apt finds no way to have {} together:\n{}",
            roots.join(", "),
            messages.trim()
        ));
    }
    let all = names().unwrap_or_default();
    let mut error = Error::new(format!(
        "this machine's apt sources have no package {}",
        unknown.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    ));
    for name in &unknown {
        if let Some(near) = nearest(name, all.iter().map(String::as_str).filter(|n| n != name)) {
            error = error.hint(format!("did you mean `{near}` instead of `{name}`?"));
        }
    }
    error.hint("if the name is right, the lists may be old: run `apt-get update` as root")
}

fn no_lists() -> Error {
    Error::new("apt has no package lists on this machine")
        .hint("run `apt-get update` as root, then try again")
}

fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.env("LC_ALL", "C").output().doing(format!("running {program}")).hint(
            "the bundled guest system is made of the packages of this machine's apt; is this Debian?",
        )?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::new(format!("{program} failed: {}", text(&output.stderr).trim())))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks the machine's own apt, where there is one with package lists.
    #[test]
    fn a_set_is_resolved_the_same_twice_and_extended_without_change() {
        if Root::new().is_err() {
            return;
        }
        let set = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (first, changes) = resolve(&[set("hostname")], None, false).unwrap();
        assert!(first.packages.contains_key("libc6") && first.covers(&set("hostname")), "{first:?}");
        assert!(changes.changed.is_empty() && changes.new_bytes > 0);
        let (again, _) = resolve(&[set("hostname")], None, true).unwrap();
        assert_eq!(again.print(), first.print());
        let (more, changes) = resolve(&[set("!libc6 hostname")], Some(&first), false).unwrap();
        assert!(changes.changed.is_empty() && changes.new_bytes == 0, "{changes:?}");
        assert_eq!(more.sets.len(), 2);
        assert_eq!(more.sets[0].packages, ["hostname"]);
        // What the model asks for brings back what was left out, if it needs it.
        let has_libc =
            |words: &str| resolve(&[set(words)], None, false).unwrap().0.packages.contains_key("libc6");
        assert!(has_libc("!libc6 +hostname netbase") && !has_libc("!libc6 hostname +netbase"));
        let e = resolve(&[set("hostnam")], None, false).unwrap_err();
        assert!(e.message.contains("`hostnam`") && e.hints[0].contains("`hostname`"), "{e:?}");
    }

    #[test]
    fn a_missing_package_is_named() {
        let e = refusal("E: Unable to locate package no-such-thing-at-all-here\n", &["x"]);
        assert!(e.message.contains("`no-such-thing-at-all-here`"), "{e}");
        let e = refusal("E: Unable to correct problems, you have held broken packages.\n", &["a", "b"]);
        assert!(e.message.starts_with("apt finds no way to have a, b together"), "{e}");
    }
}
