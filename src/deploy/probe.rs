//! What a host says about itself, before anything is planned.
//!
//! Invariant: a host is not trusted; what it says is parsed into known fields and made printable.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::inhibitors::{self, Inhibitors};
use super::keys::KeyChange;
use super::model::{Target, is_store_path};
use super::recipe::Builds;
use super::record::HostRecord;
use super::ssh::{ConnectError, Link};
use crate::error::{Error, Result, printable};

const SCRIPT: &str = include_str!("sh/probe.sh");
/// How long a host may take to answer a question.
const ASKING: Duration = Duration::from_secs(300);

/// The state of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The address that answered.
    pub address: String,
    /// Kernel and architecture, as `uname` says them.
    pub machine: String,
    /// Whether commands run as root.
    pub root: bool,
    /// A name for the time since the host was started.
    pub boot: String,
    /// The running system.
    pub current: Option<String>,
    /// The system that was booted.
    pub booted: Option<String>,
    /// The system that would be booted.
    pub profile: Option<String>,
    /// Free bytes for the store.
    pub free: u64,
    /// Programs that are not there.
    pub lacks: Vec<String>,
    /// Who deploys to it now.
    pub locked: Option<String>,
    /// Units that have failed.
    pub failed: Vec<String>,
    /// What was last deployed to it.
    pub record: Option<HostRecord>,
    /// Its units, by name, with what their links lead to.
    pub units: BTreeMap<String, String>,
    /// What it was booted with: `kernel`, `initrd`, `kernel-params`.
    pub running: BTreeMap<String, String>,
    /// What keeps its running system from being switched.
    pub inhibitors: Inhibitors,
    /// The closure's paths that its store does not have; none when it was not asked.
    pub missing: Option<BTreeSet<String>>,
    /// What the running system needs; none when it was not asked.
    pub closure: Option<Vec<String>>,
    /// What it would build of the new system; none when that is not its business, or is there already.
    pub builds: Option<Builds>,
    /// What `dry-activate` said; none when the new system is not there yet.
    pub dry_activate: Option<String>,
    /// Health checks that fail already.
    pub unhealthy: Vec<String>,
    /// Secrets that are not as they shall be.
    pub keys: Vec<KeyChange>,
}

/// How a host was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It answered.
    Host(Box<Probe>),
    /// There is no way to it.
    NoWay(ConnectError),
    /// It answered, and not as it should.
    Odd(String),
}

/// What a host answers, unless it takes too long.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::new(format!("it has not answered in {} seconds", ASKING.as_secs()));
    tokio::time::timeout(ASKING, answer).await.map_err(late)?
}

/// Asks a host.
pub(super) async fn ask(link: &Link, network: &str) -> Result<Probe> {
    let answer = link.run(SCRIPT, &[network], &[]).await?;
    if !answer.ok() {
        return Err(Error::new(format!("{}: {}", link.address, answer.err)));
    }
    let mut probe = parse(&answer.text())?;
    probe.address.clone_from(&link.address);
    Ok(probe)
}

/// Reads what the script has printed.
fn parse(text: &str) -> Result<Probe> {
    let mut p = Probe::default();
    let mut whole = false;
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let path = || is_store_path(value).then(|| value.to_owned());
        match key {
            "machine" => p.machine = printable(value),
            "uid" => p.root = value == "0",
            "boot" => p.boot = printable(value),
            "current" => p.current = path(),
            "booted" => p.booted = path(),
            "profile" => p.profile = path(),
            "free" => p.free = value.parse::<u64>().unwrap_or(0).saturating_mul(1024),
            "lacks" => p.lacks.push(printable(value)),
            "locked" => p.locked = Some(printable(value)),
            "failed" => p.failed.push(printable(value)),
            "inhibitors" => p.inhibitors = inhibitors::parse(value),
            "record" => p.record = serde_json::from_str(value).ok(),
            "unit" | "running" => {
                let Some((name, real)) = value.split_once(' ') else { continue };
                let map = if key == "unit" { &mut p.units } else { &mut p.running };
                // A unit that only links to one of systemd's own cannot be compared from afar.
                if real.starts_with("/nix/store/") {
                    map.insert(printable(name), printable(real));
                }
            }
            "end" => whole = true,
            // A login shell that greets.
            _ => {}
        }
    }
    if !whole {
        return Err(Error::new("its answer to the preflight is cut off"));
    }
    Ok(p)
}

/// Whether a host's kernel and architecture are those of a Nix platform.
pub fn fits(machine: &str, target: &Target) -> bool {
    let Some((kernel, cpu)) = machine.split_once(' ') else { return false };
    let cpu = match cpu {
        "i386" | "i486" | "i586" | "i686" => "i686",
        "arm64" => "aarch64",
        "armv7l" | "armv8l" => "armv7l",
        other => other,
    };
    let runs = |system: &str| format!("{cpu}-{}", kernel.to_lowercase()) == system;
    runs(&target.system) || (cpu == "x86_64" && target.system == "i686-linux")
}

/// Asks which of a system's paths the host's store lacks. `present` are those that it has in any case: what its
/// running system needs is never collected.
pub(super) async fn missing(
    link: &Link,
    system: &str,
    paths: &[(String, u64)],
    present: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    // A path is valid only with all that it refers to, so one question is enough for a system that is there.
    if invalid(link, &[system]).await?.is_empty() {
        return Ok(BTreeSet::new());
    }
    let unsure: Vec<&str> = paths.iter().map(|(p, _)| p.as_str()).filter(|p| !present.contains(*p)).collect();
    invalid(link, &unsure).await
}

/// Asks which of these paths are not valid in the host's store.
pub(super) async fn invalid(link: &Link, paths: &[&str]) -> Result<BTreeSet<String>> {
    let mut input = paths.join("\n");
    input.push('\n');
    let script = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
xargs -n 500 nix-store --check-validity --print-invalid";
    let answer = link.run(script, &[], input.as_bytes()).await?;
    if !answer.ok() {
        return Err(Error::new(format!("{}: nix-store: {}", link.address, answer.err)));
    }
    let known: BTreeSet<&str> = paths.iter().copied().collect();
    Ok(answer.text().lines().filter(|l| known.contains(l)).map(str::to_owned).collect())
}

/// What the host's running system needs.
pub(super) async fn closure(link: &Link, system: &str) -> Result<Vec<String>> {
    let script = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
exec nix-store --query --requisites \"$1\"";
    let answer = link.run(script, &[system], &[]).await?;
    if !answer.ok() {
        return Err(Error::new(format!("{}: nix-store: {}", link.address, answer.err)));
    }
    Ok(answer.text().lines().filter(|l| is_store_path(l)).map(str::to_owned).collect())
}

/// What keeps a running system from being switched to one that is there already.
pub(super) async fn inhibitors(link: &Link, system: &str) -> Result<Inhibitors> {
    let script = "cat \"$1/$2\" 2>/dev/null || true";
    Ok(inhibitors::parse(&link.run(script, &[system, inhibitors::FILE], &[]).await?.text()))
}

/// What activating a system that is there already would do.
pub(super) async fn dry_activate(link: &Link, system: &str) -> Result<String> {
    let script = "exec \"$1/bin/switch-to-configuration\" dry-activate 2>&1 </dev/null";
    let answer = link.run(script, &[system], &[]).await?;
    Ok(printable(answer.text().trim()))
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{network, path};
    use super::*;

    #[test]
    fn an_answer_is_parsed_and_nothing_else_is_believed() {
        let text = format!(
            "Welcome to web!\nmachine Linux x86_64\nuid 0\ncurrent {0}\nprofile /etc/shadow\nfree 10\nlacks mkfifo\n\
             failed \x1b[2Jx.service\nunit web.service {0}/web.service\nrunning kernel \nrecord {{bad\nend .\n",
            path("sys")
        );
        let p = parse(&text).unwrap();
        assert_eq!(p.current, Some(path("sys")));
        assert_eq!((p.profile, p.free, p.root), (None, 10240, true));
        assert_eq!(p.failed, ["\u{fffd}[2Jx.service"]);
        assert_eq!(p.units["web.service"], format!("{}/web.service", path("sys")));
        assert!(p.running.is_empty() && p.record.is_none());
        assert!(parse("machine Linux x86_64\n").is_err());
    }

    /// The script itself, on this machine with a running system of the test's own.
    #[test]
    fn the_script_tells_what_keeps_a_system_from_being_switched() {
        let system = tempfile::tempdir().unwrap();
        let script = SCRIPT.replace("/run/current-system", &system.path().display().to_string());
        let said = || {
            let out =
                std::process::Command::new("sh").args(["-c", &script, "probe", "shop"]).output().unwrap();
            parse(&String::from_utf8_lossy(&out.stdout)).unwrap().inhibitors
        };
        assert!(said().is_empty());
        let file = system.path().join(inhibitors::FILE);
        std::fs::write(file, "{\n  \"dbus-implementation\": \"dbus\",\n  \"odd\": \"a\\\\b %s\"\n}\n")
            .unwrap();
        let want = [("dbus-implementation", "dbus"), ("odd", "a\\b %s")];
        assert_eq!(said(), want.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn architectures() {
        let mut t = network(&[("web", &[])]).nodes["web"].clone();
        for (machine, system, want) in [
            ("Linux x86_64", "x86_64-linux", true),
            ("Linux i686", "i686-linux", true),
            ("Linux x86_64", "i686-linux", true),
            ("Linux aarch64", "x86_64-linux", false),
            ("Darwin x86_64", "x86_64-linux", false),
            ("Darwin arm64", "aarch64-darwin", true),
            ("", "x86_64-linux", false),
        ] {
            t.system = system.into();
            assert_eq!(fits(machine, &t), want, "{machine} {system}");
        }
    }
}
