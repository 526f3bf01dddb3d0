//! How a network's hosts are, as `diorama status --json` says it.
//!
//! Invariant: pure; what a host said has been made printable by the probe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::{Found, Probe};

/// A network's hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The network.
    pub network: String,
    /// The generation that was deployed last from here.
    pub generation: u64,
    /// The hosts, by node.
    pub hosts: BTreeMap<String, HostStatus>,
}

/// One host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostStatus {
    /// Whether there is a way to it.
    pub reachable: bool,
    /// Why it cannot be reached, or answers oddly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The address that answered.
    pub address: String,
    /// The running system.
    pub current: Option<String>,
    /// The system that would be booted.
    pub profile: Option<String>,
    /// The network's generation that was last deployed to it.
    pub generation: Option<u64>,
    /// Whether it runs something else than what was last deployed to it.
    pub drift: bool,
    /// Units that have failed.
    pub failed_units: Vec<String>,
    /// Who deploys to it now.
    pub locked: Option<String>,
}

impl HostStatus {
    /// Takes what was found.
    pub fn of(found: &Found) -> Self {
        match found {
            Found::Host(p) => Self::of_probe(p),
            Found::NoWay(e) => Self { why: Some(e.to_string()), ..Self::default() },
            Found::Odd(why) => Self { reachable: true, why: Some(why.clone()), ..Self::default() },
        }
    }

    fn of_probe(p: &Probe) -> Self {
        Self {
            reachable: true,
            why: None,
            address: p.address.clone(),
            current: p.current.clone(),
            profile: p.profile.clone(),
            generation: p.record.as_ref().map(|r| r.number),
            drift: p.record.as_ref().is_some_and(|r| p.current.as_ref() != Some(&r.toplevel)),
            failed_units: p.failed.clone(),
            locked: p.locked.clone(),
        }
    }

    /// Whether it is as it should be.
    pub fn is_well(&self) -> bool {
        self.reachable && self.why.is_none() && self.failed_units.is_empty() && !self.drift
    }

    /// Everything that a person should know, or that all is well.
    pub fn describe(&self) -> String {
        if let Some(why) = &self.why {
            return why.clone();
        }
        let mut state = Vec::new();
        if !self.failed_units.is_empty() {
            state.push(format!("failed units: {}", self.failed_units.join(", ")));
        }
        if self.drift {
            state.push("runs something else than was deployed".into());
        }
        if self.current != self.profile {
            state.push("would boot another system".into());
        }
        if let Some(who) = &self.locked {
            state.push(format!("a deployment is under way: {who}"));
        }
        if state.is_empty() { "well".into() } else { state.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let well = HostStatus { reachable: true, ..HostStatus::default() };
        let failed = HostStatus { failed_units: vec!["a.service".into()], drift: true, ..well.clone() };
        let away = HostStatus { why: Some("no route".into()), ..HostStatus::default() };
        for (status, is_well, words) in [
            (&well, true, "well"),
            (&failed, false, "failed units: a.service; runs something else than was deployed"),
            (&away, false, "no route"),
        ] {
            assert_eq!((status.is_well(), status.describe().as_str()), (is_well, words));
            let text = serde_json::to_string(status).unwrap();
            assert_eq!(&serde_json::from_str::<HostStatus>(&text).unwrap(), status);
        }
    }
}
