//! What a session knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::event::Ticket;
use super::suite::Suite;
use crate::model::{Interface, Manifest, Node, Proto};
use crate::proto::{Level, LogEntry, NodeState, Phase, Response};

/// Log lines kept.
const LOG_MAX: usize = 200;
/// Changes of links that can be taken back.
const UNDO_MAX: usize = 100;

/// A whole session.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The session's name.
    pub name: String,
    /// The model file or manifest it came from.
    pub model: String,
    /// Why the guest system was chosen.
    pub system_why: String,
    /// The accelerator in use and why.
    pub accelerator: String,
    /// When the session started.
    pub started: u64,
    /// How far it is.
    pub phase: Phase,
    /// What is to run, once evaluated.
    pub manifest: Option<Manifest>,
    /// The machines.
    pub machines: BTreeMap<String, Machine>,
    /// Those of them that the model does not name.
    pub added: BTreeSet<String>,
    /// How long a machine's latest boot took, in this session or an earlier one, in milliseconds.
    pub usual_boots: BTreeMap<String, u64>,
    /// Cuts and lowered carriers.
    pub faults: Faults,
    /// Earlier faults with the act that changed them, the latest last.
    pub undo: Vec<(Faults, String)>,
    /// Port forwards.
    pub forwards: Vec<Forward>,
    /// Acts and events, oldest first.
    pub log: VecDeque<LogEntry>,
    /// Attached clients.
    pub clients: u32,
    /// Rises with every change.
    pub revision: u64,
    /// Whether something still evaluates or builds, or has been told to stop and has not ended yet.
    pub preparing: bool,
    /// Whether the machines stay off until somebody starts them.
    pub hold: bool,
    /// The test script and how its run goes.
    pub suite: Suite,
    /// Who waits for the end.
    pub waiting_for_end: Vec<Ticket>,
}

/// What is broken on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faults {
    /// Ordered pairs of nodes between which no frame passes.
    pub cuts: BTreeSet<(String, String)>,
    /// Interfaces (node, name) whose carrier is down.
    pub lowered: BTreeSet<(String, String)>,
}

impl Faults {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.cuts.len() + self.lowered.len()).unwrap_or(u32::MAX)
    }
}

/// Whether a machine is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// It is.
    #[default]
    Running,
    /// It is not.
    Off,
    /// It is to be started again once it has ended.
    Restart,
}

/// A machine's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Its state.
    pub state: NodeState,
    /// What is meant.
    pub want: Want,
    /// Per cent of the present step, when known.
    pub progress: Option<u8>,
    /// What the present step is doing.
    pub doing: String,
    /// QEMU's process.
    pub pid: Option<u32>,
    /// When it was last powered on.
    pub started: Option<u64>,
    /// From power-on to the first login prompt.
    pub boot_ms: Option<u64>,
    /// What the console printed in all.
    pub console_bytes: u64,
    /// Whether the agent answers.
    pub agent: bool,
    /// Whether the monitor answers.
    pub monitor: bool,
    /// Whether the start has been ordered and QEMU is not there yet.
    pub launching: bool,
    /// Counts power-ons, so that an old deadline is known as such.
    pub power_cycle: u64,
    /// How it ended, when nobody asked it to.
    pub post_mortem: Option<String>,
}

impl Machine {
    /// Whether there is a QEMU.
    pub fn runs(&self) -> bool {
        self.launching
            || matches!(
                self.state,
                NodeState::Booting | NodeState::Up | NodeState::Paused | NodeState::Stopping
            )
    }
}

/// Who asked for a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The model, in so many words.
    Model,
    /// A default for a well-known service: its host port may move.
    Default,
    /// A client.
    Added,
}

/// A port forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// The node it leads to.
    pub node: String,
    /// Transport.
    pub proto: Proto,
    /// The port that was asked for.
    pub wanted_port: u16,
    /// The port that it has.
    pub host_port: u16,
    /// Address in the guest's network; empty for the guest's own.
    #[serde(default)]
    pub guest_address: String,
    /// Port in the guest.
    pub guest_port: u16,
    /// Who asked for it.
    pub origin: Origin,
    /// Whether it listens.
    pub active: bool,
    /// Why not, or that it moved.
    #[serde(default)]
    pub note: String,
}

impl State {
    /// A session before anything has happened.
    pub fn new(name: &str, model: &str, now: u64) -> Self {
        Self {
            name: name.into(),
            model: model.into(),
            system_why: String::new(),
            accelerator: String::new(),
            started: now,
            phase: Phase::Evaluating,
            manifest: None,
            machines: BTreeMap::new(),
            added: BTreeSet::new(),
            usual_boots: BTreeMap::new(),
            faults: Faults::default(),
            undo: Vec::new(),
            forwards: Vec::new(),
            log: VecDeque::new(),
            clients: 0,
            revision: 0,
            preparing: true,
            hold: false,
            suite: Suite::default(),
            waiting_for_end: Vec::new(),
        }
    }

    /// Writes a line into the log.
    pub fn note(&mut self, now: u64, level: Level, text: impl Into<String>, cli: Option<String>) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(LogEntry { time: now, level, text: text.into(), cli });
    }

    /// Remembers the present faults so that `undo` can bring them back.
    pub(super) fn remember(&mut self, before: Faults, act: String) {
        if self.undo.len() == UNDO_MAX {
            self.undo.remove(0);
        }
        self.undo.push((before, act));
    }

    /// A node of the manifest.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.manifest.as_ref()?.nodes.get(name)
    }

    /// An error that names the node that is not there, and the nearest that is.
    pub fn unknown_node(&self, name: &str) -> Response {
        let names = self.machines.keys().map(String::as_str);
        let hint = match crate::error::nearest(name, names.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the nodes are {}", names.collect::<Vec<_>>().join(", ")),
        };
        Response::Error { message: format!("there is no node {name:?}"), hint: Some(hint) }
    }

    /// The VLAN interfaces of a node: name, VLAN, MAC.
    pub fn vlan_interfaces(&self, node: &str) -> Vec<(&str, u16, &str)> {
        let Some(node) = self.node(node) else { return Vec::new() };
        node.interfaces
            .iter()
            .filter_map(|i| match i {
                Interface::Vlan { name, vlan, mac, .. } => Some((name.as_str(), *vlan, mac.as_str())),
                Interface::User { .. } => None,
            })
            .collect()
    }

    /// Every ordered pair of nodes that share a VLAN, with the VLANs.
    pub fn pairs(&self) -> BTreeMap<(String, String), Vec<u16>> {
        let mut pairs: BTreeMap<(String, String), Vec<u16>> = BTreeMap::new();
        for from in self.machines.keys() {
            for to in self.machines.keys().filter(|to| *to != from) {
                let theirs: BTreeSet<u16> = self.vlan_interfaces(to).iter().map(|i| i.1).collect();
                let mine: BTreeSet<u16> = self.vlan_interfaces(from).iter().map(|i| i.1).collect();
                let shared: Vec<u16> = mine.intersection(&theirs).copied().collect();
                if !shared.is_empty() {
                    pairs.insert((from.clone(), to.clone()), shared);
                }
            }
        }
        pairs
    }
}
