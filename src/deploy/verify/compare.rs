//! Two machines' facts against each other and against their own systems.
//!
//! Invariant: pure; what it says is sorted, so that equal machines give equal reports.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::{Facts, File, Port, Unit};
use super::rules;

/// What the model says that the two machines run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The clone's system.
    pub clone: Option<String>,
    /// The host's system.
    pub host: String,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Area {
    /// The running and the booted system.
    System,
    /// Units and their states.
    Units,
    /// Files below /etc.
    Etc,
    /// Packages.
    Packages,
    /// Users and groups.
    Users,
    /// Sockets that wait for others.
    Ports,
}

/// One thing in which the two machines differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What kind of thing it is.
    pub area: Area,
    /// Its name.
    pub item: String,
    /// How it is in the clone.
    pub clone: String,
    /// How it is on the host.
    pub host: String,
    /// Why that is as it should be; none when nothing explains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<String>,
}

/// What came of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Everything in which the two differ.
    pub differences: Vec<Difference>,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
}

impl Report {
    /// The differences that nothing explains.
    pub fn unexplained(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|d| d.explained.is_none())
    }

    /// How many differences are explained.
    pub fn explained(&self) -> usize {
        self.differences.len() - self.unexplained().count()
    }
}

/// Compares a clone with its host.
pub fn compare(clone: &Facts, host: &Facts, wanted: &Wanted) -> Report {
    let mut c = Comparison { clone, host, same_model: true, out: Report::default() };
    c.system(wanted);
    c.unknown();
    c.units();
    c.etc();
    c.packages();
    c.users();
    c.ports();
    c.out.differences.sort();
    c.out
}

struct Comparison<'a> {
    clone: &'a Facts,
    host: &'a Facts,
    /// Whether both systems are what one model says: only then they explain each other.
    same_model: bool,
    out: Report,
}

const ABSENT: &str = "not there";
/// The first of the ports that a kernel chooses by itself.
const CHOSEN: u16 = 32768;

impl Comparison<'_> {
    fn add(&mut self, area: Area, item: &str, clone: String, host: String, explained: Option<String>) {
        self.out.differences.push(Difference { area, item: item.to_owned(), clone, host, explained });
    }

    /// What the model says of either explains a difference, if it is the same model.
    fn model(&self, why: &str) -> Option<String> {
        self.same_model.then(|| why.to_owned())
    }

    fn system(&mut self, wanted: &Wanted) {
        let name = |path: &Option<String>| path.clone().unwrap_or_else(|| ABSENT.into());
        if self.host.system.as_deref() != Some(&wanted.host) {
            self.same_model = false;
            let should = format!("the model gives {}", wanted.host);
            self.add(Area::System, "running", should, name(&self.host.system), None);
        }
        if self.host.profile.as_deref() != Some(&wanted.host) && self.host.profile != self.host.system {
            let should = format!("the model gives {}", wanted.host);
            self.add(Area::System, "booted next", should, name(&self.host.profile), None);
        }
        if wanted.clone.is_some() && self.clone.system != wanted.clone {
            self.same_model = false;
            let should = format!("the model gives {}", name(&wanted.clone));
            self.add(Area::System, "clone", name(&self.clone.system), should, None);
        }
        if self.same_model && self.clone.system != self.host.system {
            let why = self.model("both are the model's: one as a clone, one as a host");
            self.add(Area::System, "running", name(&self.clone.system), name(&self.host.system), why);
        }
    }

    fn unknown(&mut self) {
        for (who, facts) in [("the clone", self.clone), ("the host", self.host)] {
            for program in &facts.lacks {
                self.out.unknown.push(format!("{who} has no {program}"));
            }
        }
    }

    fn etc(&mut self) {
        let (clone, host) = (self.clone, self.host);
        for path in union(&clone.etc, &host.etc) {
            let (a, b) = (clone.etc.get(path), host.etc.get(path));
            let (said_a, said_b) = (clone.said.get(path), host.said.get(path));
            let own = a == said_a && b == said_b;
            // Packages' files are links into a store on the one side, and have their own modes on the other.
            let same_content =
                |x: &File, y: &File| (&x.kind, &x.content, x.size) == (&y.kind, &y.content, y.size);
            let equal = match (a, b) {
                (Some(a), Some(b)) => a == b || own && same_content(a, b),
                (None, None) => true,
                _ => false,
            };
            if equal {
                continue;
            }
            let why = match rules::etc(path) {
                Some(why) => Some(why.to_owned()),
                None if own => self.model("the model gives each its own"),
                None => None,
            };
            let item = format!("/etc/{path}");
            let (a, b) = (describe(a, said_a), describe(b, said_b));
            self.add(Area::Etc, &item, a, b, why);
        }
        // What both lack is told of the host alone: the clone may never have had it.
        for path in host.said.keys().filter(|p| !host.etc.contains_key(*p) && !clone.etc.contains_key(*p)) {
            let item = format!("/etc/{path}");
            self.add(Area::Etc, &item, ABSENT.into(), "removed since the system was activated".into(), None);
        }
    }

    fn units(&mut self) {
        let (clone, host) = (self.clone, self.host);
        let nothing = Unit::default();
        for name in union(&clone.units, &host.units).into_iter().filter(|n| rules::is_compared(n)) {
            let a = clone.units.get(name).unwrap_or(&nothing);
            let b = host.units.get(name).unwrap_or(&nothing);
            if state(a) == state(b)
                && (a.enabled == b.enabled || a.enabled.is_empty() || b.enabled.is_empty())
            {
                continue;
            }
            let file = format!("systemd/system/{name}");
            let template = name.split_once('@').map(|(head, tail)| {
                let kind = tail.rsplit('.').next().unwrap_or_default();
                format!("systemd/system/{head}@.{kind}")
            });
            let has = |facts: &Facts| {
                facts.said.contains_key(&file)
                    || template.as_ref().is_some_and(|t| facts.said.contains_key(t))
            };
            let failed = a.active == "failed" || b.active == "failed";
            let why = match (has(clone), has(host)) {
                _ if failed => None,
                (true, false) => self.model("the model gives it to the clone alone"),
                (false, true) => self.model("the model gives it to the host alone"),
                _ => None,
            };
            let why = why.or_else(|| rules::unit(name).filter(|_| !failed).map(str::to_owned));
            self.add(Area::Units, name, unit(a), unit(b), why);
        }
    }

    fn packages(&mut self) {
        let (clone, host) = (self.clone, self.host);
        for (package, in_clone) in clone
            .packages
            .difference(&host.packages)
            .map(|p| (p, true))
            .chain(host.packages.difference(&clone.packages).map(|p| (p, false)))
        {
            let (a, b) = presence(in_clone);
            let who = if in_clone { "clone" } else { "host" };
            let why = self.model(&format!("the model gives it to the {who} alone"));
            self.add(Area::Packages, package, a, b, why);
        }
        for package in host.installed.difference(&clone.installed) {
            self.add(Area::Packages, package, ABSENT.into(), "installed beside the system".into(), None);
        }
        for package in clone.installed.difference(&host.installed) {
            self.add(Area::Packages, package, "installed beside the system".into(), ABSENT.into(), None);
        }
    }

    fn users(&mut self) {
        let (clone, host) = (self.clone, self.host);
        for name in union(&clone.users, &host.users) {
            let (a, b) = (clone.users.get(name), host.users.get(name));
            if a == b {
                continue;
            }
            let own = a == clone.said_users.get(name) && b == host.said_users.get(name);
            let why = if own { self.model("the model gives each its own") } else { None };
            self.add(Area::Users, name, or_absent(a), or_absent(b), why);
        }
        let same_groups = clone.etc.get("group") == clone.said.get("group")
            && host.etc.get("group") == host.said.get("group");
        for name in union(&clone.groups, &host.groups) {
            let (a, b) = (clone.groups.get(name), host.groups.get(name));
            if a != b {
                let why = if same_groups { self.model("the model gives each its own") } else { None };
                self.add(Area::Users, &format!("group {name}"), or_absent(a), or_absent(b), why);
            }
        }
    }

    fn ports(&mut self) {
        let (clone, host) = (self.clone, self.host);
        // A program that several processes of it share is one.
        let key = |p: &Port| (p.proto.clone(), p.address.clone(), p.port, p.process.clone());
        let of = |facts: &Facts| facts.ports.iter().map(|p| (key(p), p.clone())).collect::<BTreeMap<_, _>>();
        let (a, b) = (of(clone), of(host));
        // Ports that a kernel chose are as many, and of the same programs.
        let chosen = |p: &Port, ports: &BTreeMap<_, Port>| {
            p.port >= CHOSEN
                && ports.values().any(|o| {
                    o.port >= CHOSEN
                        && (&o.proto, &o.address, &o.process) == (&p.proto, &p.address, &p.process)
                })
        };
        for (ours, theirs, in_clone) in [(&a, &b, true), (&b, &a, false)] {
            for port in ours.iter().filter(|(k, _)| !theirs.contains_key(*k)).map(|(_, p)| p) {
                let file = format!("systemd/system/{}", port.unit);
                let other = if in_clone { host } else { clone };
                let own = if in_clone { clone } else { host };
                let alone =
                    !port.unit.is_empty() && own.said.contains_key(&file) && !other.said.contains_key(&file);
                let why = if alone {
                    self.model(&format!(
                        "{} is the {}'s alone",
                        port.unit,
                        if in_clone { "clone" } else { "host" }
                    ))
                } else if chosen(port, theirs) {
                    Some("a port that the kernel chose".into())
                } else {
                    None
                };
                let item = format!("{} {}:{}", port.proto, port.address, port.port);
                let program = match (port.process.as_str(), port.unit.as_str()) {
                    ("", _) => "the kernel".to_owned(),
                    (process, "") => process.to_owned(),
                    (process, unit) => format!("{process} ({unit})"),
                };
                let (a, b) = if in_clone { (program, ABSENT.into()) } else { (ABSENT.into(), program) };
                self.add(Area::Ports, &item, a, b, why);
            }
        }
    }
}

fn union<'a, A, B>(a: &'a BTreeMap<String, A>, b: &'a BTreeMap<String, B>) -> BTreeSet<&'a String> {
    a.keys().chain(b.keys()).collect()
}

fn presence(in_clone: bool) -> (String, String) {
    let (there, absent) = ("there".to_owned(), ABSENT.to_owned());
    if in_clone { (there, absent) } else { (absent, there) }
}

fn or_absent(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| ABSENT.into())
}

/// What counts of a unit's state: whether it is inactive because it is dead or was never loaded does not.
fn state(unit: &Unit) -> (&str, &str) {
    match unit.active.as_str() {
        "" | "inactive" => ("inactive", ""),
        "active" => ("active", unit.sub.as_str()),
        other => (other, ""),
    }
}

fn unit(unit: &Unit) -> String {
    let active = match unit.active.as_str() {
        "" => "inactive".to_owned(),
        active if unit.sub.is_empty() => active.to_owned(),
        active => format!("{active} ({})", unit.sub),
    };
    if unit.enabled.is_empty() { active } else { format!("{active}, {}", unit.enabled) }
}

/// What is odd about a file, in words; its content is never shown.
fn describe(file: Option<&File>, said: Option<&File>) -> String {
    match (file, said) {
        (None, None) => ABSENT.into(),
        (None, Some(_)) => "removed since the system was activated".into(),
        (Some(_), None) => "there, and not the system's".into(),
        (Some(f), Some(s)) if f == s => "as its system says".into(),
        (Some(f), Some(s)) => {
            let mut words = Vec::new();
            if (&f.kind, &f.content, f.size) != (&s.kind, &s.content, s.size) {
                words.push("its content was changed".to_owned());
            }
            if f.mode != s.mode {
                words.push(format!("mode {}, not {}", f.mode, s.mode));
            }
            if f.owner != s.owner {
                words.push(format!("owner {}, not {}", f.owner, s.owner));
            }
            words.join(", ")
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
