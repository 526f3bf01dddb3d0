//! What of a session survives its daemon: the session file, and a session made from it again.
//!
//! Invariant: a take-over changes nothing in a machine; it only finds out how things are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::{Faults, Forward, Machine, State, Want};
use super::suite::Suite;
use crate::model::Manifest;
use crate::proto::{LogEntry, NodeState, Phase};

/// The version of the session file.
pub const SAVED_VERSION: u32 = 1;

/// The session file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// [`SAVED_VERSION`].
    pub version: u32,
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
    /// Whether it was running; otherwise it was starting or ending.
    pub running: bool,
    /// What runs.
    pub manifest: Option<Manifest>,
    /// The machines.
    pub nodes: BTreeMap<String, SavedNode>,
    /// Machines that the model does not name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub added: BTreeSet<String>,
    /// Cuts and lowered carriers.
    pub faults: Faults,
    /// Earlier faults.
    pub undo: Vec<(Faults, String)>,
    /// Port forwards.
    pub forwards: Vec<Forward>,
    /// The log.
    pub log: Vec<LogEntry>,
}

/// A machine in the session file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedNode {
    /// What is meant.
    pub want: Want,
    /// Its state.
    pub state: NodeState,
    /// QEMU's process.
    pub pid: Option<u32>,
    /// When it was powered on.
    pub started: Option<u64>,
    /// From power-on to the first login prompt.
    pub boot_ms: Option<u64>,
    /// What the console printed in all.
    pub console_bytes: u64,
    /// How it ended, when nobody asked it to.
    pub post_mortem: Option<String>,
}

/// What a new daemon found of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alive {
    /// QEMU runs.
    Yes {
        /// Its process.
        pid: u32,
    },
    /// It does not.
    No,
}

impl State {
    /// What the session file is to hold.
    pub fn save(&self) -> Saved {
        let nodes = self
            .machines
            .iter()
            .map(|(name, m)| {
                let saved = SavedNode {
                    want: m.want,
                    state: m.state,
                    pid: m.pid,
                    started: m.started,
                    boot_ms: m.boot_ms,
                    console_bytes: m.console_bytes,
                    post_mortem: m.post_mortem.clone(),
                };
                (name.clone(), saved)
            })
            .collect();
        Saved {
            version: SAVED_VERSION,
            name: self.name.clone(),
            model: self.model.clone(),
            system_why: self.system_why.clone(),
            accelerator: self.accelerator.clone(),
            started: self.started,
            running: self.phase == Phase::Running,
            manifest: self.manifest.clone(),
            nodes,
            added: self.added.clone(),
            faults: self.faults.clone(),
            undo: self.undo.clone(),
            forwards: self.forwards.clone(),
            log: self.log.iter().cloned().collect(),
        }
    }

    /// A session taken over: what was saved, corrected by what was found. A machine that was running
    /// and is gone is left as running; the driver reports its end as an event.
    pub fn restore(saved: Saved, alive: &BTreeMap<String, Alive>) -> Self {
        let mut state = Self::new(&saved.name, &saved.model, saved.started);
        state.preparing = false;
        state.system_why = saved.system_why;
        state.accelerator = saved.accelerator;
        state.phase = if saved.running { Phase::Running } else { Phase::Stopping };
        state.added = saved.added;
        state.faults = saved.faults;
        state.undo = saved.undo;
        state.forwards = saved.forwards;
        state.log = saved.log.into();
        for (name, node) in saved.nodes {
            let mut m = Machine {
                state: node.state,
                want: node.want,
                started: node.started,
                boot_ms: node.boot_ms,
                console_bytes: node.console_bytes,
                post_mortem: node.post_mortem,
                power_cycle: 1,
                ..Machine::default()
            };
            if let Some(Alive::Yes { pid }) = alive.get(&name) {
                m.pid = Some(*pid);
                if !m.runs() {
                    m.state = if m.boot_ms.is_some() { NodeState::Up } else { NodeState::Booting };
                }
            }
            state.machines.insert(name, m);
        }
        state.suite = Suite::of(saved.manifest.as_ref().and_then(|m| m.test_script.as_deref()));
        state.manifest = saved.manifest;
        state
    }
}
