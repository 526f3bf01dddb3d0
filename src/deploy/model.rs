//! What evaluation says about production: the hosts, how to reach them, and what each shall run.
//!
//! Invariant: pure. A [`Deployment`] from [`parse`] names no host that cannot be written on a command
//! line, and its dependencies have no circle.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Key, key_problems, same_places};

/// The version of this contract.
pub const VERSION: u32 = 1;

/// A network and the hosts it is deployed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The contract's version: 1.
    pub version: u32,
    /// The network.
    pub network: Network,
    /// The hosts, by node.
    pub nodes: BTreeMap<String, Target>,
}

/// The network that is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its name, which confirms a deployment.
    pub name: String,
    /// The guest system: `debian` or `nixos`.
    #[serde(default)]
    pub system: String,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The host's name, which is its address when no other is given.
    pub host_name: String,
    /// Its platform, such as `x86_64-linux`.
    pub system: String,
    /// What it shall run: a store path with `bin/switch-to-configuration`.
    pub toplevel: String,
    /// Addresses that are tried in this order.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The user to log in as.
    #[serde(default = "root")]
    pub target_user: String,
    /// SSH's port, where it is not what the user's configuration says.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// Further options for ssh.
    #[serde(default)]
    pub ssh_options: Vec<String>,
    /// The command that makes a user other than root into root.
    #[serde(default)]
    pub sudo: Vec<String>,
    /// Words that select hosts: `--on @TAG`, and `canary`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether the host builds its own system.
    #[serde(default)]
    pub build_on_target: bool,
    /// Nodes that are activated before this one.
    #[serde(default)]
    pub after: Vec<String>,
    /// What must hold before a new configuration is kept.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
    /// Secrets that are put on it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Key>,
}

fn root() -> String {
    "root".into()
}

fn ten() -> u64 {
    10
}

/// What must hold on a host that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HealthCheck {
    /// A shell command on the host, as root, succeeds.
    Command {
        /// The command.
        command: String,
        /// Seconds until it counts as failed.
        #[serde(default = "ten")]
        timeout: u64,
    },
    /// A TCP port of the host answers.
    Port {
        /// The port.
        port: u16,
        /// Seconds until it counts as failed.
        #[serde(default = "ten")]
        timeout: u64,
    },
    /// A web server of the host answers as it should.
    Http {
        /// Its port.
        port: u16,
        /// What is asked for.
        #[serde(default)]
        path: Option<String>,
        /// The status it must give, 200 when none is named.
        #[serde(default)]
        status: Option<u16>,
        /// A text that the answer must contain.
        #[serde(default)]
        body: Option<String>,
        /// Seconds until it counts as failed.
        #[serde(default = "ten")]
        timeout: u64,
    },
}

impl HealthCheck {
    /// What is checked, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Command { command, .. } => format!("command {command:?}"),
            Self::Port { port, .. } => format!("port {port}"),
            Self::Http { port, path, .. } => {
                format!("http port {port} {}", path.as_deref().unwrap_or("/"))
            }
        }
    }

    /// Seconds until it counts as failed.
    pub fn timeout(&self) -> u64 {
        match self {
            Self::Command { timeout, .. } | Self::Port { timeout, .. } | Self::Http { timeout, .. } => {
                *timeout
            }
        }
    }
}

impl Deployment {
    /// The secrets of all hosts.
    pub fn keys(&mut self) -> impl Iterator<Item = &mut Key> {
        self.nodes.values_mut().flat_map(|target| target.keys.values_mut())
    }
}

impl Target {
    /// The addresses to try, in order.
    pub fn hosts(&self) -> Vec<&str> {
        match self.addresses.as_slice() {
            [] => vec![self.host_name.as_str()],
            some => some.iter().map(String::as_str).collect(),
        }
    }
}

/// Reads a deployment and checks it; all problems at once.
///
/// # Errors
/// Names the place and the cause of everything that is wrong.
pub fn parse(text: &str) -> Result<Deployment> {
    let mut json = serde_json::Deserializer::from_str(text);
    let deployment: Deployment = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| Error::new(format!("the deployment, at {}: {}", e.path(), e.inner())))?;
    let problems = problems(&deployment);
    if problems.is_empty() {
        return Ok(deployment);
    }
    Err(Error::new(format!("the deployment cannot be used:\n  {}", problems.join("\n  "))))
}

fn problems(d: &Deployment) -> Vec<String> {
    let mut out = Vec::new();
    if d.version != VERSION {
        out.push(format!("version: {} is not {VERSION}", d.version));
    }
    if !crate::model::is_name(&d.network.name) {
        out.push(format!("network.name: {:?} is no name", d.network.name));
    }
    for (node, t) in &d.nodes {
        let bad = |out: &mut Vec<String>, field: &str, value: &str, why: &str| {
            out.push(format!("nodes.{node}.{field}: {value:?} {why}"));
        };
        if !crate::model::is_name(node) {
            bad(&mut out, "(name)", node, "is no name");
        }
        if !is_store_path(&t.toplevel) {
            bad(&mut out, "toplevel", &t.toplevel, "is no path of /nix/store");
        }
        for host in t.hosts() {
            if !is_word(host) {
                bad(&mut out, "addresses", host, "is no address");
            }
        }
        if !is_word(&t.target_user) {
            bad(&mut out, "targetUser", &t.target_user, "is no user");
        }
        for (name, key) in &t.keys {
            for (field, what) in key_problems(name, key) {
                out.push(format!("nodes.{node}.keys.{name}.{field}: {what}"));
            }
        }
        out.extend(same_places(&t.keys).iter().map(|what| format!("nodes.{node}.keys: {what}")));
        for other in &t.after {
            if !d.nodes.contains_key(other) {
                bad(&mut out, "after", other, "is no node of this network");
            }
        }
    }
    if out.is_empty()
        && let Err(circle) = levels(d, &d.nodes.keys().cloned().collect())
    {
        out.push(format!("after: {} wait for each other", circle.join(", ")));
    }
    out
}

/// A word that no program takes for an option, and no shell for more than one word.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:%[]@".contains(c))
}

/// Whether a text is the path of a store object, and nothing below or beside it.
pub fn is_store_path(path: &str) -> bool {
    path.strip_prefix("/nix/store/").is_some_and(|name| {
        name.len() > 33 && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._?=".contains(c))
    })
}

/// The nodes in the order of their dependencies: each level only needs the levels before it. Nodes
/// outside the selection count as being there already.
///
/// # Errors
/// Gives the nodes that wait for each other.
pub fn levels(d: &Deployment, selected: &BTreeSet<String>) -> Result<Vec<Vec<String>>, Vec<String>> {
    let mut left: BTreeSet<&String> = selected.iter().collect();
    let mut out = Vec::new();
    while !left.is_empty() {
        let ready: Vec<String> = left
            .iter()
            .filter(|n| d.nodes.get(**n).is_none_or(|t| !t.after.iter().any(|a| left.contains(a))))
            .map(|n| (*n).clone())
            .collect();
        if ready.is_empty() {
            return Err(left.into_iter().cloned().collect());
        }
        left.retain(|n| !ready.contains(n));
        out.push(ready);
    }
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A store path for tests.
    pub fn path(name: &str) -> String {
        format!("/nix/store/{}-{name}", "a".repeat(32))
    }

    /// A network whose nodes wait for the given others.
    pub fn network(nodes: &[(&str, &[&str])]) -> Deployment {
        let nodes: serde_json::Map<_, _> = nodes
            .iter()
            .map(|(n, after)| {
                let target = serde_json::json!({
                    "hostName": n, "system": "x86_64-linux", "toplevel": path(n), "after": after,
                });
                ((*n).to_string(), target)
            })
            .collect();
        let json = serde_json::json!({ "version": 1, "network": { "name": "shop" }, "nodes": nodes });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut d = network(&[("web", &["db", "nowhere"]), ("db", &[])]);
        d.version = 2;
        let web = d.nodes.get_mut("web").unwrap();
        web.toplevel = "/etc/passwd".into();
        web.addresses = vec!["-oProxyCommand=x".into(), "::1".into(), "a b".into()];
        web.target_user = "$(id)".into();
        let text = serde_json::to_string(&d).unwrap();
        let e = parse(&text).unwrap_err().to_string();
        for words in ["version", "toplevel", "ProxyCommand", "\"a b\"", "targetUser", "nowhere"] {
            assert!(e.contains(words), "{words}: {e}");
        }
        assert!(!e.contains("::1"), "{e}");
    }

    #[test]
    fn a_mistyped_field_is_named_by_its_place() {
        let text = r#"{"version":1,"network":{"name":"n"},"nodes":{"web":{"hostName":"a","system":"s","toplevel":7}}}"#;
        let e = parse(text).unwrap_err().to_string();
        assert!(e.contains("nodes.web.toplevel"), "{e}");
    }

    #[test]
    fn dependencies_make_levels_and_circles_are_told() {
        let d = network(&[("web", &["db", "files"]), ("db", &["files"]), ("files", &[]), ("mail", &[])]);
        let all = d.nodes.keys().cloned().collect();
        assert_eq!(levels(&d, &all).unwrap(), [vec!["files", "mail"], vec!["db"], vec!["web"]]);
        let some = ["web", "files"].map(String::from).into();
        assert_eq!(levels(&d, &some).unwrap(), [vec!["files"], vec!["web"]]);
        let round = network(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]);
        let e = parse(&serde_json::to_string(&round).unwrap()).unwrap_err().to_string();
        assert!(e.contains("a, b wait for each other"), "{e}");
    }
}
