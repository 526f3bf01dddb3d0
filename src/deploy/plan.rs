//! What a deployment would do to every host.
//!
//! Invariant: pure: a function of the deployment, the probes and the closures.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::closure::{Change, closure_diff};
use super::copy::RESERVE;
use super::inhibitors::differing;
use super::keys::KeyChange;
use super::local::LocalClosure;
use super::model::{Deployment, Target};
use super::probe::{Found, Probe, fits};
use super::recipe::Builds;
use super::ssh::ConnectError;

/// The plan for a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The network.
    pub network: String,
    /// The hosts.
    pub hosts: BTreeMap<String, HostPlan>,
}

/// The plan for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPlan {
    /// Whether it can and shall be changed.
    pub status: Status,
    /// The address that answered.
    pub address: Option<String>,
    /// What it runs now.
    pub current: Option<String>,
    /// What it shall run.
    pub wanted: String,
    /// Store paths to copy; of a system that the host builds, its recipes and sources.
    pub missing_paths: usize,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Free bytes for its store.
    pub free_bytes: u64,
    /// What the host would build itself; packages, units and the reboot are then known when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<Builds>,
    /// What differs between the closures; none when one of them is not known.
    pub packages: Option<Vec<Change>>,
    /// What happens to units.
    pub units: Units,
    /// What NixOS does not exchange while the host runs: the goals `switch` and `test` cannot be had, `boot` can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inhibitors: Vec<String>,
    /// What happens to secrets.
    #[serde(default)]
    pub keys: Vec<KeyChange>,
    /// Why a reboot is due afterwards.
    pub reboot: Option<String>,
    /// How the host is not what was last deployed.
    pub drift: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Whether a host can and shall be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "why", rename_all = "camelCase")]
pub enum Status {
    /// No way to it.
    Unreachable(String),
    /// It is not who it should be, or nobody has said who that is.
    HostKey(String),
    /// It is a machine of another kind.
    Architecture(String),
    /// It cannot be deployed to as it is.
    NotReady(String),
    /// Somebody else is deploying to it.
    Locked(String),
    /// It runs what it shall run, and has its secrets.
    Unchanged,
    /// It will be changed.
    Changes,
}

impl Plan {
    /// The hosts that cannot be switched while they run, and why.
    pub fn inhibited(&self) -> Vec<String> {
        let hosts =
            self.hosts.iter().filter(|(_, h)| h.status == Status::Changes && !h.inhibitors.is_empty());
        hosts.map(|(node, h)| format!("{node}: {}", h.inhibitors.join(", "))).collect()
    }
}

impl Status {
    /// Why nothing can be deployed to it; none when something can.
    pub fn obstacle(&self) -> Option<&str> {
        match self {
            Self::Unreachable(why)
            | Self::HostKey(why)
            | Self::Architecture(why)
            | Self::NotReady(why)
            | Self::Locked(why) => Some(why),
            Self::Unchanged | Self::Changes => None,
        }
    }
}

/// What happens to units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Units {
    /// Whether the host itself has said so, with the new system at hand.
    pub exact: bool,
    /// Ended for good.
    pub stop: Vec<String>,
    /// Begun anew.
    pub start: Vec<String>,
    /// Ended and begun.
    pub restart: Vec<String>,
    /// Told to read their files again.
    pub reload: Vec<String>,
}

/// Makes the plan.
pub fn plan(
    deployment: &Deployment,
    selected: &BTreeSet<String>,
    found: &BTreeMap<String, Found>,
    closures: &BTreeMap<String, LocalClosure>,
) -> Plan {
    let none = Found::Odd("nobody has asked it".into());
    let hosts = deployment
        .nodes
        .iter()
        .filter(|(node, _)| selected.contains(*node))
        .map(|(node, target)| {
            let found = found.get(node).unwrap_or(&none);
            (node.clone(), host(target, found, closures.get(node)))
        })
        .collect();
    Plan { network: deployment.network.name.clone(), hosts }
}

fn host(target: &Target, found: &Found, closure: Option<&LocalClosure>) -> HostPlan {
    let mut out = HostPlan {
        status: Status::Unchanged,
        address: None,
        current: None,
        wanted: target.toplevel.clone(),
        missing_paths: 0,
        missing_bytes: 0,
        free_bytes: 0,
        builds: None,
        packages: None,
        units: Units::default(),
        inhibitors: Vec::new(),
        keys: Vec::new(),
        reboot: None,
        drift: None,
        notes: Vec::new(),
    };
    let probe = match found {
        Found::Host(probe) => probe,
        Found::NoWay(ConnectError::HostKey(why)) => {
            out.status = Status::HostKey(why.clone());
            return out;
        }
        Found::NoWay(why) => {
            out.status = Status::Unreachable(why.to_string());
            return out;
        }
        Found::Odd(why) => {
            out.status = Status::NotReady(why.clone());
            return out;
        }
    };
    out.address = Some(probe.address.clone());
    out.current.clone_from(&probe.current);
    out.free_bytes = probe.free;
    out.drift = drift(probe);
    if let (Some(missing), Some(closure)) = (&probe.missing, closure) {
        out.missing_paths = missing.len();
        out.missing_bytes = closure.paths.iter().filter(|(p, _)| missing.contains(p)).map(|(_, s)| s).sum();
    }
    if let Some(builds) = probe.builds {
        out.builds = Some(builds);
        (out.missing_paths, out.missing_bytes) = (builds.recipes, builds.recipe_bytes);
    }
    // A system that is not built yet is known when this machine has built it once.
    let closure = closure.filter(|c| !c.paths.is_empty());
    if let (Some(old), Some(closure)) = (&probe.closure, closure) {
        let new = closure.paths.iter().map(|(p, _)| p.as_str());
        out.packages = Some(closure_diff(old.iter().map(String::as_str), new));
    }
    out.units = units(probe, closure);
    out.inhibitors = closure.map_or_else(Vec::new, |c| differing(&probe.inhibitors, &c.inhibitors));
    out.keys.clone_from(&probe.keys);
    out.reboot = closure.and_then(|c| reboot(&probe.running, &c.boot));
    if !probe.failed.is_empty() {
        out.notes.push(format!("failed units already: {}", probe.failed.join(", ")));
    }
    for check in &probe.unhealthy {
        out.notes.push(format!("a health check fails already: {check}"));
    }
    if probe.profile.is_some() && probe.current != probe.profile {
        out.notes.push("it would boot another system than it runs".into());
    }
    out.status = status(target, probe, out.missing_bytes);
    out
}

fn status(target: &Target, probe: &Probe, missing_bytes: u64) -> Status {
    if !fits(&probe.machine, target) {
        return Status::Architecture(format!("it is {}, the model says {}", probe.machine, target.system));
    }
    let obstacle = if !probe.root {
        Some(format!("commands do not run as root: set sudo, or let {} be root", target.target_user))
    } else if !probe.lacks.is_empty() {
        Some(format!("it lacks {}", probe.lacks.join(", ")))
    } else if probe.current.is_none() {
        Some("there is no running system to go back to: /run/current-system".into())
    } else {
        None
    };
    if let Some(why) = obstacle {
        return Status::NotReady(why);
    }
    if let Some(who) = &probe.locked {
        return Status::Locked(format!("another deployment holds it: {who}"));
    }
    let wanted = Some(&target.toplevel);
    if probe.current.as_ref() == wanted && probe.profile.as_ref() == wanted && probe.keys.is_empty() {
        return Status::Unchanged;
    }
    if missing_bytes.saturating_add(RESERVE) > probe.free {
        return Status::NotReady(format!(
            "its store has {} free, and {} with {} to spare are needed",
            megabytes(probe.free),
            megabytes(missing_bytes),
            megabytes(RESERVE)
        ));
    }
    Status::Changes
}

/// Bytes for people.
pub fn megabytes(bytes: u64) -> String {
    if bytes < 100_000 {
        return format!("{:.1} kB", bytes as f64 / 1e3);
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn drift(probe: &Probe) -> Option<String> {
    let record = probe.record.as_ref()?;
    match &probe.current {
        Some(current) if *current != record.toplevel => {
            Some(format!("it runs {current}, and generation {} deployed {}", record.number, record.toplevel))
        }
        _ => None,
    }
}

fn reboot(running: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Option<String> {
    let changed: Vec<&str> = wanted
        .iter()
        .filter(|(part, path)| running.get(*part).is_some_and(|r| r != *path))
        .map(|(part, _)| part.as_str())
        .collect();
    (!changed.is_empty()).then(|| format!("another {}", changed.join(", another ")))
}

/// From the host's own words when it has the new system, else from what the units' links lead to.
fn units(probe: &Probe, closure: Option<&LocalClosure>) -> Units {
    if let Some(said) = &probe.dry_activate {
        return said_units(said);
    }
    let Some(closure) = closure else { return Units::default() };
    if closure.units.is_empty() || probe.units.is_empty() {
        return Units::default();
    }
    let mut out = Units::default();
    for (unit, path) in &closure.units {
        match probe.units.get(unit) {
            None => out.start.push(unit.clone()),
            Some(old) if old != path => out.restart.push(unit.clone()),
            Some(_) => {}
        }
    }
    out.stop = probe.units.keys().filter(|u| !closure.units.contains_key(*u)).cloned().collect();
    out
}

/// Reads the words of `switch-to-configuration dry-activate`.
fn said_units(said: &str) -> Units {
    let mut out = Units { exact: true, ..Units::default() };
    for line in said.lines() {
        let Some((what, list)) = line.split_once(" the following units:") else { continue };
        let verb = what.trim().strip_prefix("would ").unwrap_or(what.trim());
        let into = match verb {
            "stop" => &mut out.stop,
            "start" => &mut out.start,
            "restart" => &mut out.restart,
            "reload" => &mut out.reload,
            _ => continue,
        };
        into.extend(list.split(',').map(str::trim).filter(|u| !u.is_empty()).map(str::to_owned));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::keys::KeyFate;
    use super::super::model::tests::{network, path};
    use super::super::record::HostRecord;
    use super::*;

    fn probe() -> Probe {
        Probe {
            address: "web".into(),
            machine: "Linux x86_64".into(),
            root: true,
            current: Some(path("old")),
            profile: Some(path("old")),
            free: 1 << 40,
            ..Probe::default()
        }
    }

    fn status_of(found: Found, closure: Option<LocalClosure>) -> HostPlan {
        let d = network(&[("web", &[])]);
        let found = [("web".to_owned(), found)].into();
        let closures = closure.into_iter().map(|c| ("web".to_owned(), c)).collect();
        plan(&d, &["web".to_owned()].into(), &found, &closures).hosts.remove("web").unwrap()
    }

    #[test]
    fn every_status() {
        let at = |change: &dyn Fn(&mut Probe)| {
            let mut p = probe();
            change(&mut p);
            status_of(Found::Host(Box::new(p)), None).status
        };
        let wanted = Some(path("web"));
        assert_eq!(at(&|_| {}), Status::Changes);
        assert_eq!(at(&|p| (p.current, p.profile) = (wanted.clone(), wanted.clone())), Status::Unchanged);
        // The same system, and a secret that it lacks.
        let lacks = KeyChange { name: "db".into(), what: KeyFate::New };
        assert_eq!(
            at(&|p| (p.current, p.profile, p.keys) = (wanted.clone(), wanted.clone(), vec![lacks.clone()])),
            Status::Changes
        );
        // Running, and not what boots next: it has to be committed.
        assert_eq!(at(&|p| p.current = wanted.clone()), Status::Changes);
        assert!(matches!(at(&|p| p.machine = "Linux aarch64".into()), Status::Architecture(_)));
        assert!(matches!(at(&|p| p.locked = Some("x".into())), Status::Locked(_)));
        for change in [
            (|p| p.root = false) as fn(&mut Probe),
            |p| p.current = None,
            |p| p.lacks = vec!["nix-store".into()],
            |p| p.free = 1000,
        ] {
            assert!(matches!(at(&change), Status::NotReady(_)));
        }
        let key = Found::NoWay(ConnectError::HostKey("k".into()));
        assert_eq!(status_of(key, None).status, Status::HostKey("k".into()));
        let off = Found::NoWay(ConnectError::Unreachable("off".into()));
        assert_eq!(status_of(off, None).status.obstacle(), Some("off"));
    }

    #[test]
    fn what_is_missing_and_what_changes() {
        let mut p = probe();
        p.missing = Some([path("b-2")].into());
        p.closure = Some(vec![path("a-1"), path("b-1")]);
        p.units = [("a.service", "1"), ("b.service", "1"), ("c.service", "1")]
            .map(|(u, p)| (u.to_owned(), p.to_owned()))
            .into();
        p.running = [("kernel".to_owned(), "k1".to_owned())].into();
        p.inhibitors = [("dbus-implementation".to_owned(), "dbus".to_owned())].into();
        p.record = Some(HostRecord {
            number: 3,
            time: 0,
            by: String::new(),
            toplevel: path("other"),
            token: String::new(),
        });
        let closure = LocalClosure {
            paths: vec![(path("a-1"), 10), (path("b-2"), 20)],
            units: [("a.service", "1"), ("b.service", "2"), ("d.service", "1")]
                .map(|(u, p)| (u.to_owned(), p.to_owned()))
                .into(),
            boot: [("kernel", "k2"), ("initrd", "i")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            inhibitors: [("dbus-implementation".to_owned(), "broker".to_owned())].into(),
        };
        let got = status_of(Found::Host(Box::new(p.clone())), Some(closure.clone()));
        assert_eq!((got.missing_paths, got.missing_bytes), (1, 20));
        let change = Change::Version { name: "b".into(), from: "1".into(), to: "2".into() };
        assert_eq!(got.packages, Some(vec![change]));
        let units = (got.units.stop, got.units.start, got.units.restart, got.units.exact);
        let one = |u: &str| vec![u.to_owned()];
        assert_eq!(units, (one("c.service"), one("d.service"), one("b.service"), false));
        assert_eq!(got.reboot.as_deref(), Some("another kernel"));
        assert_eq!(got.inhibitors, ["dbus-implementation: dbus ▸ broker"]);
        assert!(got.drift.unwrap().contains("generation 3"));
        p.dry_activate = Some(
            "would stop the following units: x.service\nwould restart the following units: y.service, z.service\nother".into(),
        );
        let got = status_of(Found::Host(Box::new(p)), Some(closure)).units;
        assert!(got.exact);
        assert_eq!((got.stop, got.restart), (one("x.service"), vec!["y.service".into(), "z.service".into()]));
    }

    #[test]
    fn a_system_that_its_host_builds() {
        let mut p = probe();
        p.closure = Some(vec![path("a-1")]);
        let builds = Builds { derivations: 2, downloads: 1, recipes: 3, recipe_bytes: 40 };
        p.builds = Some(builds);
        let here = LocalClosure { paths: vec![(path("a-2"), 10)], ..LocalClosure::default() };
        for (closure, known) in [(LocalClosure::default(), false), (here, true)] {
            let got = status_of(Found::Host(Box::new(p.clone())), Some(closure));
            assert_eq!(
                (&got.status, got.builds, got.packages.is_some()),
                (&Status::Changes, Some(builds), known)
            );
            // Not the system travels, but what it is made from.
            assert_eq!((got.missing_paths, got.missing_bytes), (3, 40));
        }
        p.builds = Some(Builds { recipe_bytes: 1 << 41, ..builds });
        let got = status_of(Found::Host(Box::new(p)), None);
        assert!(matches!(got.status, Status::NotReady(_)));
    }
}
