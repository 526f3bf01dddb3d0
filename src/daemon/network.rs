//! The switch as the session sees it: nodes and interfaces instead of ports.
//!
//! Invariant: what the switch does is always derived from the session's faults; nothing is cut that
//! the state does not say is cut.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::sync::mpsc;

use super::{Context, log};
use crate::error::{Result, ResultExt};
use crate::proto::{Count, Level, Seen};
use crate::session::{Event, State, Traffic, TrafficLink, TrafficPort};
use crate::switch::{Plug, Policy, PortConfig, PortId, Switch, SwitchEvent, SwitchHandle};

/// What "lately" means for a link, in milliseconds.
const LATELY: u64 = 10_000;

/// The session's switch.
#[derive(Debug)]
pub(super) struct Network {
    switch: SwitchHandle,
    ports: BTreeMap<(String, String), PortId>,
    /// Which node a port belongs to.
    owners: HashMap<PortId, String>,
    /// The VLANs that take VDE plugs; empty until the network is built.
    vlans: BTreeSet<u16>,
    cut: BTreeSet<(PortId, PortId)>,
    /// Frames dropped by cuts, and when that last rose on the switch's clock.
    dropped: HashMap<(PortId, PortId), (u64, u64)>,
}

impl Network {
    /// Starts the switch; what happens to its ports goes into the channel.
    pub fn start(events: mpsc::UnboundedSender<SwitchEvent>) -> Result<Self> {
        // Nobody listens any more only while the daemon ends.
        let switch = Switch::start(move |e| drop(events.send(e))).doing("starting the switch")?;
        Ok(Self {
            switch,
            ports: BTreeMap::new(),
            owners: HashMap::new(),
            vlans: BTreeSet::new(),
            cut: BTreeSet::new(),
            dropped: HashMap::new(),
        })
    }

    /// Adds the ports of the nodes that have none yet and the directories for VDE plugs.
    pub fn build(&mut self, context: &Context, state: &State) -> Vec<Event> {
        let Some(manifest) = &state.manifest else { return Vec::new() };
        let mut problems = Vec::new();
        let mut vlans: BTreeSet<u16> = manifest.vlans.keys().copied().collect();
        for name in manifest.nodes.keys() {
            let paths = context.paths.node(&state.name, name);
            for (interface, vlan, _) in state.vlan_interfaces(name) {
                if self.ports.contains_key(&(name.clone(), interface.to_owned())) {
                    continue;
                }
                vlans.insert(vlan);
                let config = PortConfig {
                    node: name.clone(),
                    interface: interface.into(),
                    vlan,
                    plug: Plug::QemuStream { path: paths.port(interface) },
                };
                if let Ok(port) = self.switch.add_port(config) {
                    self.ports.insert((name.clone(), interface.into()), port);
                    self.owners.insert(port, name.clone());
                }
            }
        }
        for vlan in vlans {
            if !self.vlans.insert(vlan) {
                continue;
            }
            if let Some(settings) = manifest.vlans.get(&vlan) {
                let _ = self.switch.set_mtu(vlan, settings.mtu);
            }
            if let Err(e) = self.switch.add_vde_dir(vlan, &context.files.vde(vlan)) {
                let text = format!("VLAN {vlan} takes no VDE plugs: {e}");
                problems.push(Event::Note { level: Level::Warning, text });
            }
        }
        self.apply(state);
        problems
    }

    /// Takes a node's ports away.
    pub fn unplug(&mut self, node: &str) {
        let gone: Vec<(String, String)> =
            self.ports.keys().filter(|(owner, _)| owner == node).cloned().collect();
        for port in gone.iter().filter_map(|key| self.ports.remove(key)) {
            self.owners.remove(&port);
            self.cut.retain(|(from, to)| *from != port && *to != port);
            self.dropped.retain(|(from, to), _| *from != port && *to != port);
            let _ = self.switch.remove_port(port);
        }
    }

    /// Makes the policies those of the state.
    pub fn apply(&mut self, state: &State) {
        let mut wanted = BTreeSet::new();
        for (from, to) in &state.faults.cuts {
            for (a, vlan_a) in self.ports_of(state, from) {
                for (b, vlan_b) in self.ports_of(state, to) {
                    if vlan_a == vlan_b {
                        wanted.insert((a, b));
                    }
                }
            }
        }
        let pass = self.cut.difference(&wanted).map(|&(a, b)| (a, b, Policy::PASS));
        let cut = wanted.difference(&self.cut).map(|&(a, b)| (a, b, Policy::CUT));
        let changes: Vec<_> = pass.chain(cut).collect();
        if !changes.is_empty() && self.switch.set_policies(changes).is_err() {
            log::line("the switch has stopped");
        }
        self.cut = wanted;
    }

    /// Has a node's ports look for their QEMU now.
    pub fn retry(&self, node: &str) {
        for ((owner, _), port) in &self.ports {
            if owner == node {
                let _ = self.switch.retry(*port);
            }
        }
    }

    /// Takes in what happened to a port; a note for the log, if it is worth one.
    pub fn event(&self, event: SwitchEvent) -> Option<Event> {
        let note = |level, text| Some(Event::Note { level, text });
        match event {
            SwitchEvent::Refused { port, why } => {
                let name = self.owners.get(&port).cloned().unwrap_or_default();
                note(Level::Error, format!("{name}: the switch refused its plug: {why}"))
            }
            SwitchEvent::VdeJoined { vlan, name, .. } => {
                note(Level::Info, format!("{name} plugged into VLAN {vlan}"))
            }
            SwitchEvent::Failed { why } => note(Level::Error, format!("the switch has stopped: {why}")),
            // A plug that somebody put in by hand is none of the model's machines.
            SwitchEvent::VdeHeard { .. }
            | SwitchEvent::VdeLeft { .. }
            | SwitchEvent::Connected { .. }
            | SwitchEvent::Disconnected { .. } => None,
        }
    }

    /// What was counted, by nodes.
    pub fn traffic(&mut self) -> Traffic {
        let counters = self.switch.snapshot();
        let now = self.switch.now();
        let mut out = Traffic::default();
        for (key, port) in &self.ports {
            let Some(report) = counters.port(*port) else { continue };
            let c = report.counters;
            let port = TrafficPort {
                connected: report.connected,
                rx: Count { frames: c.rx_frames, bytes: c.rx_bytes },
                tx: Count { frames: c.tx_frames, bytes: c.tx_bytes },
                drops: c.drops.queue_full,
            };
            out.ports.insert(key.clone(), port);
        }
        for pair in &counters.pairs {
            let (Some(from), Some(to)) = (self.owners.get(&pair.from), self.owners.get(&pair.to)) else {
                continue;
            };
            let c = pair.counters;
            let memory = self.dropped.entry((pair.from, pair.to)).or_insert((c.cut, 0));
            if c.cut > memory.0 {
                *memory = (c.cut, counters.at.0);
            }
            let lately = |at: u64| at > 0 && now.0.saturating_sub(at) < LATELY;
            let passed = c.last_unicast.map_or(0, |t| t.0.max(1));
            let seen = match (lately(passed), lately(memory.1)) {
                (true, false) => Seen::Passing,
                (true, true) if passed > memory.1 => Seen::Passing,
                (_, true) => Seen::Blocked,
                (false, false) => Seen::Unknown,
            };
            let link: &mut TrafficLink = out.links.entry((from.clone(), to.clone())).or_default();
            link.delivered.frames += c.frames;
            link.delivered.bytes += c.bytes;
            link.cut_drops += c.cut;
            if link.seen != Seen::Passing && seen != Seen::Unknown {
                link.seen = seen;
            }
        }
        out
    }

    /// Stops the switch; waits for its thread, a moment at most.
    pub fn shutdown(&self) {
        self.switch.shutdown();
    }

    fn ports_of(&self, state: &State, node: &str) -> Vec<(PortId, u16)> {
        state
            .vlan_interfaces(node)
            .into_iter()
            .filter_map(|(i, vlan, _)| Some((*self.ports.get(&(node.to_owned(), i.to_owned()))?, vlan)))
            .collect()
    }
}
