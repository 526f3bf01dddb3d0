//! What a machine said about itself: its system, /etc, units, packages, users and ports.
//!
//! Invariant: pure. A machine is not trusted: what it says is bounded, parsed into known fields and
//! made printable, and can contradict nothing but what it said itself.

use std::collections::{BTreeMap, BTreeSet};

use super::local::Said;
use crate::deploy::model::is_store_path;
use crate::error::{Error, Result, printable};

/// Records that are read of one machine.
const RECORDS_MAX: usize = 200_000;
/// Bytes of a name or a value that are kept.
const WORD_MAX: usize = 512;

/// What one machine said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The running system.
    pub system: Option<String>,
    /// The system that would be booted; none in a clone, which has no profile.
    pub profile: Option<String>,
    /// What the machine lacks to answer everything.
    pub lacks: BTreeSet<String>,
    /// The files below /etc, by their path in it.
    pub etc: BTreeMap<String, File>,
    /// The same as the machine's own system says them.
    pub said: BTreeMap<String, File>,
    /// Where relative links below /etc lead.
    pub links: BTreeMap<String, String>,
    /// The units that systemd knows, by name.
    pub units: BTreeMap<String, Unit>,
    /// Debian packages, or the store objects of a NixOS system, with their versions.
    pub packages: BTreeSet<String>,
    /// What was installed beside the system.
    pub installed: BTreeSet<String>,
    /// Users by name, with the rest of their lines in passwd.
    pub users: BTreeMap<String, String>,
    /// The same as the system says them.
    pub said_users: BTreeMap<String, String>,
    /// Groups by name, with number and members.
    pub groups: BTreeMap<String, String>,
    /// The sockets that wait for others.
    pub ports: BTreeSet<Port>,
}

/// A file below /etc, links followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// `f`, or what else it is, as find says it; `l` is a link that leads nowhere.
    pub kind: String,
    /// Permissions, in octal.
    pub mode: String,
    /// The owner, as UID:GID.
    pub owner: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of a file that is not too large, or where a broken link leads.
    pub content: String,
}

/// A unit as systemd sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `failed`, `inactive`, …
    pub active: String,
    /// The finer state, such as `running`.
    pub sub: String,
    /// `enabled`, `static`, …; empty for a unit without a file.
    pub enabled: String,
}

/// A socket that waits for others.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// `tcp` or `udp`.
    pub proto: String,
    /// `*`, `[::]`, a loopback address, or the interface that has the address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The program; empty for the kernel's own.
    pub process: String,
    /// The unit that it belongs to; empty when it belongs to none.
    pub unit: String,
}

impl Facts {
    /// Takes this machine's word for what the system says, instead of the other's own.
    pub fn trust(&mut self, said: Said) {
        self.said.retain(|path, _| said.outside.contains(path));
        self.said.extend(said.files);
        self.said_users = said.users;
        self.follow_links();
    }

    /// A system's tree says no more of a relative link than where it leads: when it leads there, all is well.
    fn follow_links(&mut self) {
        for (path, to) in &self.links {
            if let (Some(said), Some(etc)) = (self.said.get_mut(path), self.etc.get(path))
                && said.kind == "l"
                && said.content == *to
            {
                said.clone_from(etc);
            }
        }
    }
}

/// Reads what the collector has printed.
///
/// # Errors
/// When the answer is cut off, or is none.
pub fn parse(answer: &[u8]) -> Result<Facts> {
    let mut facts = Facts::default();
    let mut raw = Raw::default();
    let mut whole = false;
    for record in answer.split(|b| *b == 0).take(RECORDS_MAX) {
        let text = String::from_utf8_lossy(record);
        if let Some(kind) = text.strip_prefix("sums\t") {
            raw.summing = kind.to_owned();
        } else if let Some((sum, path)) = sum(&text) {
            // A later tree lies below an earlier one.
            let known = if raw.summing == "etc" { &mut raw.etc_sums } else { &mut raw.said_sums };
            known.entry(path).or_insert(sum);
        } else if let Some((kind, value)) = text.split_once('\t') {
            whole |= kind == "end";
            take(&mut facts, &mut raw, kind, value);
        }
    }
    if !whole {
        return Err(Error::new("its answer is cut off"));
    }
    for (files, sums) in [(&mut facts.etc, &raw.etc_sums), (&mut facts.said, &raw.said_sums)] {
        for (path, file) in files {
            if let Some(sum) = sums.get(path) {
                file.content.clone_from(sum);
            }
        }
    }
    for (path, mode, owner) in raw.modes {
        if let Some(file) = facts.said.get_mut(&path) {
            (file.mode, file.owner) = (mode, owner);
        }
    }
    facts.follow_links();
    facts.ports = raw.sockets.iter().filter_map(|line| socket(line, &raw.groups, &raw.addresses)).collect();
    Ok(facts)
}

/// What is put together when all has been read.
#[derive(Default)]
struct Raw {
    summing: String,
    etc_sums: BTreeMap<String, String>,
    said_sums: BTreeMap<String, String>,
    modes: Vec<(String, String, String)>,
    sockets: Vec<String>,
    groups: BTreeMap<String, String>,
    addresses: BTreeMap<String, String>,
}

/// A line of `sha256sum -z`.
fn sum(text: &str) -> Option<(String, String)> {
    let (sum, path) = text.split_once("  ./")?;
    let is_sum = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
    is_sum.then(|| (sum.to_owned(), word(path)))
}

fn word(text: &str) -> String {
    printable(text.trim())
        .chars()
        .take(WORD_MAX)
        .map(|c| if c == '\n' || c == '\t' { ' ' } else { c })
        .collect()
}

fn take(facts: &mut Facts, raw: &mut Raw, kind: &str, value: &str) {
    let path = || is_store_path(value).then(|| value.to_owned());
    let words = || value.split_whitespace().map(word).collect::<Vec<_>>();
    match kind {
        "system" => facts.system = path(),
        "profile" => facts.profile = path(),
        "lacks" => drop(facts.lacks.insert(word(value))),
        "etc" => {
            if let Some((path, file)) = file(value) {
                facts.etc.insert(path, file);
            }
        }
        "said" => {
            if let Some((path, file)) = file(value) {
                facts.said.entry(path).or_insert(file);
            }
        }
        "link" => {
            if let Some((path, to)) = value.split_once('\t') {
                facts.links.insert(word(path), word(to));
            }
        }
        "mode" => {
            raw.modes.extend(mode(value));
        }
        "unit" => {
            if let [name, load, active, sub, ..] = words().as_slice() {
                let unit = facts.units.entry(name.clone()).or_default();
                (unit.load, unit.active, unit.sub) = (load.clone(), active.clone(), sub.clone());
            }
        }
        "unitfile" => {
            if let [name, enabled, ..] = words().as_slice() {
                facts.units.entry(name.clone()).or_default().enabled.clone_from(enabled);
            }
        }
        "package" => drop(facts.packages.insert(word(value))),
        "installed" => drop(facts.installed.insert(word(value))),
        "user" | "saiduser" => {
            let users = if kind == "user" { &mut facts.users } else { &mut facts.said_users };
            users.extend(user(value));
        }
        "group" => facts.groups.extend(user(value)),
        "socket" => raw.sockets.push(value.to_owned()),
        "process" => {
            if let Some((pid, group)) = value.split_once('\t')
                && let Some(unit) = group.split('/').rev().find(|part| part.ends_with(".service"))
            {
                raw.groups.insert(pid.to_owned(), word(unit));
            }
        }
        "address" => {
            // 2: eth0    inet 10.0.2.15/24 brd …
            if let [_, interface, family, address, ..] = words().as_slice()
                && family.starts_with("inet")
            {
                let address = address.split('/').next().unwrap_or_default();
                raw.addresses.insert(address.to_owned(), interface.clone());
            }
        }
        _ => {}
    }
}

/// A line of a system's list of permissions: path, mode and owner.
pub(super) fn mode(line: &str) -> Option<(String, String, String)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [mode, uid, gid, path] = fields.as_slice() else { return None };
    Some((word(path), word(mode.trim_start_matches('0')), format!("{}:{}", word(uid), word(gid))))
}

/// A line of passwd or group: the name, and all but the password.
pub(super) fn user(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once(':')?;
    Some((word(name), word(rest.split_once(':').map_or(rest, |(_, rest)| rest))))
}

/// A file as find prints it: kind, mode, owner, group, size, path, where a broken link leads.
fn file(value: &str) -> Option<(String, File)> {
    let mut fields = value.splitn(7, '\t');
    let mut next = || fields.next();
    let (kind, mode, uid, gid, size, path) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let file = File {
        kind: word(kind),
        mode: word(mode),
        owner: format!("{}:{}", word(uid), word(gid)),
        size: size.parse().unwrap_or(0),
        content: word(next().unwrap_or_default()),
    };
    Some((word(path), file))
}

/// A line of ss: `tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))`.
fn socket(
    line: &str,
    groups: &BTreeMap<String, String>,
    addresses: &BTreeMap<String, String>,
) -> Option<Port> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [proto, _state, _received, _sent, local, ..] = fields.as_slice() else { return None };
    let (address, port) = local.rsplit_once(':')?;
    // `10.0.2.15%eth0`
    let (address, scope) = address.trim_start_matches('[').trim_end_matches(']').split_once('%').map_or_else(
        || (address.trim_start_matches('[').trim_end_matches(']'), None),
        |(address, scope)| (address, Some(scope.trim_end_matches(']'))),
    );
    let address = match (address, scope) {
        (_, Some(scope)) => word(scope),
        ("0.0.0.0", None) => "*".into(),
        ("*" | "::", None) => "[::]".into(),
        (own, _) => addresses.get(own).filter(|i| *i != "lo").cloned().unwrap_or_else(|| word(own)),
    };
    let users = fields.iter().find_map(|f| f.strip_prefix("users:")).unwrap_or_default();
    let process = users.split('"').nth(1).map(word).unwrap_or_default();
    let pid = users.split("pid=").nth(1).and_then(|rest| rest.split([',', ')']).next()).unwrap_or_default();
    let unit = groups.get(pid).cloned().unwrap_or_default();
    Some(Port { proto: word(proto), address, port: port.parse().ok()?, process, unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(records: &[&str]) -> Vec<u8> {
        records.iter().flat_map(|r| r.bytes().chain([0])).collect()
    }

    #[test]
    fn an_answer_becomes_facts() {
        let sum = "a".repeat(64);
        let system = format!("/nix/store/{}-system-web", "b".repeat(32));
        let facts = parse(&answer(&[
            &format!("system\t{system}"),
            "etc\tf\t644\t0\t0\t6\tgreeting\t",
            "etc\tl\t777\t0\t0\t6\tbroken\t/nowhere",
            "etc\tf\t644\t0\t0\t9\tos-release\t",
            "said\tl\t777\t0\t0\t21\tos-release\t../usr/lib/os-release",
            "link\tos-release\t../usr/lib/os-release",
            "sums\tetc",
            &format!("{sum}  ./greeting"),
            "said\tf\t444\t0\t0\t6\tshadow\t",
            "said\tf\t444\t0\t0\t6\tgreeting\t",
            "sums\tsaid",
            &format!("{sum}  ./greeting"),
            // The image below the system says otherwise, and is not seen.
            "said\tf\t755\t0\t0\t9\tgreeting\t",
            "mode\t0600\t0\t42\tshadow",
            "user\troot:x:0:0:root:/root:/bin/bash",
            "unit\tnginx.service loaded active running A web server",
            "unitfile\tnginx.service enabled enabled",
            "socket\ttcp LISTEN 0 128 0.0.0.0:80 0.0.0.0:* users:((\"nginx\",pid=7,fd=3),(\"nginx\",pid=8,fd=3))",
            "socket\tudp UNCONN 0 0 10.0.2.15%eth0:68 0.0.0.0:*",
            "socket\ttcp LISTEN 0 128 [::]:22 [::]:* users:((\"sshd\",pid=9,fd=3))",
            "socket\ttcp LISTEN 0 128 192.168.1.3:81 0.0.0.0:*",
            "socket\ttcp LISTEN 0 128 127.0.0.1:82 0.0.0.0:*",
            "process\t7\t/system.slice/nginx.service",
            "address\t3: eth1    inet 192.168.1.3/24 brd 192.168.1.255 scope global eth1",
            "address\t1: lo    inet 127.0.0.1/8 scope host lo",
            "end\t.",
        ]))
        .unwrap();
        assert_eq!(facts.system, Some(system));
        assert_eq!(facts.etc["greeting"].content, sum);
        assert_eq!(facts.etc["broken"].content, "/nowhere");
        assert_eq!(
            (facts.said["greeting"].mode.as_str(), facts.said["greeting"].content.as_str()),
            ("444", sum.as_str())
        );
        assert_eq!(
            (facts.said["shadow"].mode.as_str(), facts.said["shadow"].owner.as_str()),
            ("600", "0:42")
        );
        assert_eq!(facts.said["os-release"], facts.etc["os-release"]);
        assert_eq!(facts.users["root"], "0:0:root:/root:/bin/bash");
        let unit = &facts.units["nginx.service"];
        assert_eq!((unit.active.as_str(), unit.enabled.as_str()), ("active", "enabled"));
        let ports: Vec<String> = facts
            .ports
            .iter()
            .map(|p| format!("{} {} {} {} {}", p.proto, p.address, p.port, p.process, p.unit))
            .collect();
        assert_eq!(
            ports,
            [
                "tcp * 80 nginx nginx.service",
                "tcp 127.0.0.1 82  ",
                "tcp [::] 22 sshd ",
                "tcp eth1 81  ",
                "udp eth0 68  ",
            ]
        );
    }

    #[test]
    fn nothing_unprintable_and_nothing_cut_off_passes() {
        assert!(parse(&answer(&["system\t/nix/store/x"])).is_err());
        assert!(parse(b"").is_err());
        let facts = parse(&answer(&[
            "system\t/etc/passwd",
            "etc\tf\t644\t0\t0\t6\t\x1b[2Jx\ny\t",
            "etc\tf",
            "unit\tonly",
            "socket\ttcp LISTEN 0 0 nonsense",
            "end\t.",
        ]))
        .unwrap();
        assert_eq!(facts.system, None);
        assert_eq!(facts.etc.keys().collect::<Vec<_>>(), ["\u{fffd}[2Jx y"]);
        assert!(facts.units.is_empty() && facts.ports.is_empty());
    }

    #[test]
    fn the_collector_answers_on_this_machine() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/deploy/sh/facts.sh");
        let out = std::process::Command::new("sh").arg(script).output().unwrap();
        let facts = parse(&out.stdout).unwrap();
        let passwd = &facts.etc["passwd"];
        assert_eq!((passwd.kind.as_str(), passwd.mode.as_str(), passwd.content.len()), ("f", "644", 64));
        assert!(facts.users.contains_key("root") && facts.system.is_none());
    }
}
