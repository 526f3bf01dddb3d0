//! The view that clients get, made from the state and what the switch counted.

use std::collections::BTreeMap;

use super::state::{Machine, Origin, State};
use crate::model::{Interface, Node};
use crate::proto::{
    Count, ForwardView, InterfaceView, LinkView, Load, NodeState, NodeView, Seen, View, Wanted,
};

/// What was measured of a running session, by nodes rather than ports and processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// By node and interface.
    pub ports: BTreeMap<(String, String), TrafficPort>,
    /// By sender and receiver.
    pub links: BTreeMap<(String, String), TrafficLink>,
    /// What the machines' processes take, by node.
    pub loads: BTreeMap<String, Load>,
}

/// What one interface did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficPort {
    /// Whether its plug is connected.
    pub connected: bool,
    /// From the guest.
    pub rx: Count,
    /// To the guest.
    pub tx: Count,
    /// Dropped on the way to the guest.
    pub drops: u64,
}

/// What one ordered pair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficLink {
    /// Delivered.
    pub delivered: Count,
    /// Dropped by the cut.
    pub cut_drops: u64,
    /// What was seen lately.
    pub seen: Seen,
}

/// How long the first boot of a machine is guessed to take when nothing is known, in milliseconds.
const FIRST_BOOT: u64 = 20_000;

/// Makes the view.
pub fn view(state: &State, now: u64, traffic: &Traffic) -> View {
    let network = state.manifest.as_ref().map(|m| &m.network);
    View {
        revision: state.revision,
        session: state.name.clone(),
        network: network.map_or_else(|| state.name.clone(), |n| n.name.clone()),
        model: state.model.clone(),
        system: network.map(|n| n.system).unwrap_or_default(),
        system_why: state.system_why.clone(),
        phase: state.phase.clone(),
        accelerator: state.accelerator.clone(),
        nodes: state.machines.iter().map(|(name, m)| node(state, now, traffic, name, m)).collect(),
        links: links(state, traffic),
        forwards: state.forwards.iter().map(forward).collect(),
        faults: state.faults.count(),
        log: state.log.iter().cloned().collect(),
        started: state.started,
        clients: state.clients,
        tests: state.suite.view.clone(),
    }
}

/// How far a machine is: while it boots, by the time that its latest boot took.
fn progress(state: &State, now: u64, name: &str, m: &Machine) -> Option<u8> {
    let started = m.started.filter(|_| m.state == NodeState::Booting);
    let Some(started) = started else { return m.progress };
    let usual = state.usual_boots.get(name).or(state.usual_boots.values().max());
    let part = now.saturating_sub(started).saturating_mul(100) / usual.copied().unwrap_or(FIRST_BOOT).max(1);
    // A boot that takes longer than the last one did is not done before its prompt is seen.
    Some(u8::try_from(part.min(99)).unwrap_or(99))
}

fn node(state: &State, now: u64, traffic: &Traffic, name: &str, m: &Machine) -> NodeView {
    let model = state.node(name);
    NodeView {
        name: name.into(),
        state: m.state,
        progress: progress(state, now, name, m),
        doing: m.doing.clone(),
        pid: m.pid,
        boot_ms: m.boot_ms,
        started: m.started,
        console_bytes: m.console_bytes,
        agent: m.agent,
        interfaces: model.map(|n| interfaces(state, traffic, name, n)).unwrap_or_default(),
        memory: model.map_or(0, |n| n.memory_size),
        cores: model.map_or(0, |n| n.cores),
        load: traffic.loads.get(name).copied().filter(|_| m.runs()),
        post_mortem: match m.state {
            NodeState::Crashed | NodeState::Failed => m.post_mortem.clone(),
            _ => None,
        },
    }
}

fn interfaces(state: &State, traffic: &Traffic, name: &str, node: &Node) -> Vec<InterfaceView> {
    let of = |i: &Interface| match i {
        Interface::User { .. } => None,
        Interface::Vlan { name: ifname, vlan, mac, addresses } => {
            let key = (name.to_owned(), ifname.clone());
            let port = traffic.ports.get(&key).copied().unwrap_or_default();
            Some(InterfaceView {
                name: ifname.clone(),
                vlan: *vlan,
                mac: mac.clone(),
                addresses: addresses.iter().map(ToString::to_string).collect(),
                carrier: !state.faults.lowered.contains(&key),
                connected: port.connected,
                rx: port.rx,
                tx: port.tx,
                drops: port.drops,
            })
        }
    };
    node.interfaces.iter().filter_map(of).collect()
}

fn links(state: &State, traffic: &Traffic) -> Vec<LinkView> {
    let pairs = state.pairs();
    pairs
        .into_iter()
        .map(|(pair, vlans)| {
            let t = traffic.links.get(&pair).copied().unwrap_or_default();
            LinkView {
                wanted: wanted(state, &pair, &vlans),
                seen: t.seen,
                delivered: t.delivered,
                cut_drops: t.cut_drops,
                from: pair.0,
                to: pair.1,
                vlans,
            }
        })
        .collect()
}

fn wanted(state: &State, pair: &(String, String), vlans: &[u16]) -> Wanted {
    if state.faults.cuts.contains(pair) {
        return Wanted::Cut;
    }
    // A link is down when on none of the shared VLANs both ends have a carrier.
    let up = |node: &str, vlan: u16| {
        state.vlan_interfaces(node).iter().any(|(i, v, _)| {
            *v == vlan && !state.faults.lowered.contains(&(node.to_owned(), (*i).to_owned()))
        })
    };
    if vlans.iter().any(|v| up(&pair.0, *v) && up(&pair.1, *v)) { Wanted::Ok } else { Wanted::Down }
}

fn forward(f: &super::state::Forward) -> ForwardView {
    ForwardView {
        node: f.node.clone(),
        proto: f.proto,
        host_port: if f.host_port == 0 { f.wanted_port } else { f.host_port },
        guest_port: f.guest_port,
        from_model: f.origin != Origin::Added,
        active: f.active,
        note: f.note.clone(),
    }
}
