//! Checks on a manifest that types alone cannot make; all problems are reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::key::{key_problems, same_places};
use super::manifest::{Boot, Interface, MANIFEST_VERSION, Manifest, Node};

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a path into the document, such as `nodes.web.interfaces[1].mac`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads a manifest's text and checks it.
///
/// # Errors
/// All problems found; a syntax or type error is the only one, since nothing can be checked behind it.
pub fn parse(text: &str) -> Result<Manifest, Vec<Problem>> {
    let one = |place: String, what: String| vec![Problem { place, what }];
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| one(format!("line {} column {}", e.line(), e.column()), e.to_string()))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(MANIFEST_VERSION) => {}
        Some(v) => {
            return Err(one(
                "version".into(),
                format!("version {v} is not known here, only version {MANIFEST_VERSION}"),
            ));
        }
        None => {
            return Err(one(
                "version".into(),
                format!("missing; a manifest starts with \"version\": {MANIFEST_VERSION}"),
            ));
        }
    }
    let manifest: Manifest = serde_path_to_error::deserialize(value)
        .map_err(|e| one(e.path().to_string(), e.inner().to_string()))?;
    let problems = validate(&manifest);
    if problems.is_empty() { Ok(manifest) } else { Err(problems) }
}

/// Checks everything in a manifest that can be checked without touching the machine.
pub fn validate(m: &Manifest) -> Vec<Problem> {
    let mut out = Problems::default();
    if !is_name(&m.network.name) {
        out.add("network.name", format!("{:?} is not a name: {NAME_RULE}", m.network.name));
    }
    // A test script may have machines of its own making.
    if m.nodes.is_empty() && m.test_script.is_none() {
        out.add("nodes", "a network without a test script needs at least one node".into());
    }
    for (&vlan, settings) in &m.vlans {
        let place = format!("vlans.{vlan}");
        check_vlan(&mut out, &place, vlan);
        if !(576..=65_521).contains(&settings.mtu) {
            out.add(format!("{place}.mtu"), format!("{} is not within 576 and 65521", settings.mtu));
        }
    }
    let mut macs: BTreeMap<(u16, String), String> = BTreeMap::new();
    for (name, node) in &m.nodes {
        check_node(&mut out, name, node, &mut macs);
    }
    out.list
}

const NAME_RULE: &str =
    "letters, digits, '-', '_' and '.', starting with a letter or digit, at most 63 characters";

/// Whether a word may name a network, a node or an interface.
pub fn is_name(s: &str) -> bool {
    s.len() <= 63
        && s.starts_with(|c: char| c.is_ascii_alphanumeric())
        && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, place: impl Into<String>, what: String) {
        self.list.push(Problem { place: place.into(), what });
    }
}

fn check_vlan(out: &mut Problems, place: &str, vlan: u16) {
    if !(1..=4094).contains(&vlan) {
        out.add(place, format!("VLAN {vlan} is not within 1 and 4094"));
    }
}

fn check_node(out: &mut Problems, name: &str, node: &Node, macs: &mut BTreeMap<(u16, String), String>) {
    let at = |rest: &str| format!("nodes.{name}{rest}");
    if !is_name(name) {
        out.add(at(""), format!("{name:?} is not a node name: {NAME_RULE}"));
    }
    if !is_name(&node.host_name) {
        out.add(at(".hostName"), format!("{:?} is not a host name: {NAME_RULE}", node.host_name));
    }
    if !(16..=1_048_576).contains(&node.memory_size) {
        out.add(at(".memorySize"), format!("{} MiB is not within 16 and 1048576", node.memory_size));
    }
    for (key, wanted) in &node.keys {
        for (field, what) in key_problems(key, wanted) {
            out.add(at(&format!(".keys.{key}.{field}")), what);
        }
    }
    for what in same_places(&node.keys) {
        out.add(at(".keys"), what);
    }
    if !(1..=255).contains(&node.cores) {
        out.add(at(".cores"), format!("{} is not within 1 and 255", node.cores));
    }
    if let Some(disk) = &node.state_disk
        && !(16..=16_777_216).contains(&disk.size)
    {
        out.add(at(".stateDisk.size"), format!("{} MiB is not within 16 and 16777216", disk.size));
    }
    match &node.boot {
        Boot::Direct { kernel, initrd, .. } => {
            check_path(out, at(".boot.kernel"), kernel);
            check_path(out, at(".boot.initrd"), initrd);
        }
        Boot::Disk { image, .. } => {
            check_path(out, at(".boot.image"), image);
            if node.state_disk.is_none() {
                let what = "missing; a machine that boots from a disk needs one, such as {\"size\": 4096}";
                out.add(at(".stateDisk"), what.into());
            }
        }
        Boot::Script { script } => check_path(out, at(".boot.script"), script),
    }
    for (i, drive) in node.drives.iter().enumerate() {
        check_path(out, at(&format!(".drives[{i}].file")), &drive.file);
        if let Some(serial) = &drive.serial
            && (serial.len() > 20 || !is_name(serial))
        {
            out.add(
                at(&format!(".drives[{i}].serial")),
                format!("{serial:?}: at most 20 letters and digits"),
            );
        }
    }
    check_interfaces(out, name, node, macs);
    for (i, fwd) in node.forward_ports.iter().enumerate() {
        for (side, end) in [("host", &fwd.host), ("guest", &fwd.guest)] {
            let place = at(&format!(".forwardPorts[{i}].{side}"));
            if end.port == 0 {
                out.add(format!("{place}.port"), "0 is not a port".into());
            }
            if !end.address.is_empty() && end.address.parse::<IpAddr>().is_err() {
                out.add(format!("{place}.address"), format!("{:?} is not an IP address", end.address));
            }
        }
    }
}

fn check_interfaces(out: &mut Problems, name: &str, node: &Node, macs: &mut BTreeMap<(u16, String), String>) {
    let mut names = BTreeSet::new();
    for (i, interface) in node.interfaces.iter().enumerate() {
        let place = format!("nodes.{name}.interfaces[{i}]");
        let ifname = interface.name();
        if !is_name(ifname) || ifname.len() > 15 {
            out.add(
                format!("{place}.name"),
                format!("{ifname:?} is not an interface name of at most 15 characters"),
            );
        } else if !names.insert(ifname.to_owned()) {
            out.add(format!("{place}.name"), format!("{ifname:?} is there twice"));
        }
        let Interface::Vlan { vlan, mac, .. } = interface else { continue };
        check_vlan(out, &format!("{place}.vlan"), *vlan);
        match parse_mac(mac) {
            None => out.add(
                format!("{place}.mac"),
                format!("{mac:?} is not a MAC address such as 52:54:00:12:01:01"),
            ),
            Some(m) if m[0] & 1 == 1 => {
                out.add(format!("{place}.mac"), format!("{mac} is a multicast address"));
            }
            Some(_) => {
                let here = format!("{name}.{ifname}");
                if let Some(other) = macs.insert((*vlan, mac.to_ascii_lowercase()), here) {
                    out.add(
                        format!("{place}.mac"),
                        format!("{mac} is {other}'s address on VLAN {vlan} already"),
                    );
                }
            }
        }
    }
}

fn check_path(out: &mut Problems, place: String, path: &std::path::Path) {
    if !path.is_absolute() {
        out.add(place, format!("{} is not an absolute path", path.display()));
    }
}

/// Parses `52:54:00:12:01:02`.
pub fn parse_mac(s: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = s.split(':');
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
