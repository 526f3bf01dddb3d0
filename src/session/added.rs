//! Machines that join a running session, and leave it: what no model names.
//!
//! Invariant: only what was added can be taken away, and only while it is off; nothing of it stays
//! behind in links, forwards or the past that `undo` knows.

use std::collections::BTreeMap;
use std::path::Path;

use super::event::Effect;
use super::state::{Machine, State, Want};
use crate::model::{Boot, Interface, Node, ShellKind, validate};
use crate::proto::{NodeState, Response};

/// Takes in a machine that starts by a script of its own.
pub(super) fn add(
    state: &mut State,
    name: &str,
    script: &Path,
    vlans: &[u16],
    out: &mut Vec<Effect>,
) -> Result<String, Response> {
    let refuse = |message: String, hint: Option<String>| Response::Error { message, hint };
    if state.machines.contains_key(name) {
        return Err(refuse(
            format!("there is a node {name} already"),
            Some("a machine that joins needs a name of its own".into()),
        ));
    }
    let Some(manifest) = &state.manifest else {
        return Err(refuse("the model has not been evaluated yet".into(), None));
    };
    let mut with = manifest.clone();
    let node = Node {
        host_name: name.to_owned(),
        boot: Boot::Script { script: script.to_path_buf() },
        toplevel: None,
        memory_size: 1024,
        cores: 1,
        state_disk: None,
        drives: Vec::new(),
        interfaces: interfaces(state, vlans),
        forward_ports: Vec::new(),
        graphics: false,
        shell: ShellKind::Backdoor,
        qemu_options: Vec::new(),
        coverage: None,
        tags: Vec::new(),
        keys: BTreeMap::new(),
    };
    with.nodes.insert(name.to_owned(), node);
    if let Some(problem) = validate(&with).into_iter().next() {
        return Err(refuse(format!("{name} cannot join: {problem}"), None));
    }
    state.manifest = Some(with);
    state.added.insert(name.to_owned());
    let machine = Machine { state: NodeState::Built, want: Want::Off, ..Machine::default() };
    state.machines.insert(name.to_owned(), machine);
    out.push(Effect::Added { node: name.to_owned() });
    Ok(format!("{name} joins"))
}

/// Forgets a machine that was added.
pub(super) fn remove(state: &mut State, name: &str, out: &mut Vec<Effect>) -> Result<String, Response> {
    let refuse = |message: String, hint: String| Response::Error { message, hint: Some(hint) };
    let Some(machine) = state.machines.get(name) else { return Err(state.unknown_node(name)) };
    if !state.added.contains(name) {
        return Err(refuse(
            format!("{name} is a machine of the model and stays"),
            format!("diorama node stop {name}"),
        ));
    }
    if machine.runs() {
        return Err(refuse(format!("{name} is running"), format!("diorama node crash {name}")));
    }
    state.added.remove(name);
    state.machines.remove(name);
    if let Some(manifest) = &mut state.manifest {
        manifest.nodes.remove(name);
    }
    state.forwards.retain(|f| f.node != name);
    let past = state.undo.iter_mut().map(|(faults, _)| faults);
    for faults in past.chain([&mut state.faults]) {
        faults.cuts.retain(|(from, to)| from != name && to != name);
        faults.lowered.retain(|(node, _)| node != name);
    }
    out.push(Effect::ApplyCuts);
    out.push(Effect::Removed { node: name.to_owned() });
    Ok(format!("{name} has left"))
}

/// The way out and a plug for every VLAN. Which addresses the script gives its cards is not known:
/// what stands here is free on the VLAN, so that no other machine's card is taken for one of these.
fn interfaces(state: &State, vlans: &[u16]) -> Vec<Interface> {
    let taken = |vlan: u16, mac: &str| {
        state
            .machines
            .keys()
            .flat_map(|n| state.vlan_interfaces(n))
            .any(|(_, v, m)| v == vlan && m.eq_ignore_ascii_case(mac))
    };
    let mut out = vec![Interface::User { name: "eth0".into(), restrict: false }];
    for (i, &vlan) in vlans.iter().enumerate() {
        let [high, low] = vlan.to_be_bytes();
        let mac = |n: usize| format!("02:00:{high:02x}:{low:02x}:{i:02x}:{n:02x}");
        let free = (0..256).map(mac).find(|m| !taken(vlan, m)).unwrap_or_else(|| mac(0));
        out.push(Interface::Vlan { name: format!("eth{}", i + 1), vlan, mac: free, addresses: Vec::new() });
    }
    out
}
