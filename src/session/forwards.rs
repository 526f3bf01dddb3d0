//! Port forwards: from the model, by default, or added while running.
//!
//! Invariant: no two forwards of a session have the same transport and host port, and one that does
//! not listen says why.

use super::event::{Effect, ForwardOutcome, ForwardSpec, Ticket};
use super::state::{Forward, Origin, State};
use crate::model::{Interface, Manifest, Proto};
use crate::proto::{Action, Level, Response};

impl Forward {
    /// What the driver needs to know of it.
    pub fn spec(&self) -> ForwardSpec {
        ForwardSpec {
            node: self.node.clone(),
            proto: self.proto,
            host_port: self.host_port,
            guest_address: self.guest_address.clone(),
            guest_port: self.guest_port,
        }
    }
}

/// The forwards that a model asks for; of two with one host port, the later one's must move.
pub(super) fn of_model(manifest: &Manifest) -> Vec<Forward> {
    let mut out: Vec<Forward> = Vec::new();
    // What the model says goes before what is only a default.
    for explicit in [true, false] {
        for (node, machine) in &manifest.nodes {
            for f in machine.forward_ports.iter().filter(|f| f.explicit == explicit) {
                let clash = out.iter().find(|o| o.proto == f.proto && o.host_port == f.host.port);
                let note =
                    clash.map_or(String::new(), |o| format!("{} leads to {} already", f.host.port, o.node));
                let host_port = if note.is_empty() { f.host.port } else { 0 };
                out.push(Forward {
                    node: node.clone(),
                    proto: f.proto,
                    wanted_port: f.host.port,
                    host_port,
                    guest_address: f.guest.address.clone(),
                    guest_port: f.guest.port,
                    origin: if explicit { Origin::Model } else { Origin::Default },
                    active: false,
                    note,
                });
            }
        }
    }
    out
}

/// Tries every forward to a node whose monitor has come up.
pub(super) fn of_node_up(state: &State, node: &str, out: &mut Vec<Effect>) {
    for f in state.forwards.iter().filter(|f| f.node == node && !f.active) {
        out.push(Effect::ForwardAdd {
            ticket: None,
            spec: f.spec(),
            may_move: f.origin == Origin::Default || f.host_port == 0,
        });
    }
}

/// Marks what led to a machine that is gone.
pub(super) fn of_node_gone(state: &mut State, node: &str) {
    for f in state.forwards.iter_mut().filter(|f| f.node == node) {
        f.active = false;
        f.note = "the machine is off".into();
    }
}

/// Tries a forward that a client asks for; the answer comes with the outcome.
pub(super) fn add(
    state: &State,
    ticket: Ticket,
    node: &str,
    proto: Proto,
    host_port: u16,
    guest_port: u16,
    out: &mut Vec<Effect>,
) -> Result<(), Response> {
    let error = |message: String, hint: &str| Response::Error { message, hint: Some(hint.into()) };
    let Some(machine) = state.node(node) else { return Err(state.unknown_node(node)) };
    if !machine.interfaces.iter().any(|i| matches!(i, Interface::User { .. })) {
        return Err(error(
            format!("{node} has no user-mode interface for a forward to enter by"),
            "give it one in the model (eth0 is there by default)",
        ));
    }
    if guest_port == 0 {
        return Err(error("0 is no port in the guest".into(), "write HOST:GUEST, such as 8080:80"));
    }
    if let Some(f) =
        state.forwards.iter().find(|f| f.proto == proto && f.host_port == host_port && host_port != 0)
    {
        let message = format!("port {host_port} leads to {}:{} already", f.node, f.guest_port);
        let free = format!("0:{guest_port} takes a free port; diorama forward remove {host_port} frees it");
        return Err(error(message, &free));
    }
    if !state.machines.get(node).is_some_and(|m| m.monitor) {
        return Err(error(format!("{node} is not running"), &format!("diorama node start {node}")));
    }
    let spec = ForwardSpec { node: node.into(), proto, host_port, guest_address: String::new(), guest_port };
    out.push(Effect::ForwardAdd { ticket: Some(ticket), spec, may_move: false });
    Ok(())
}

/// Ends a forward, whoever asked for it. The answer to one that listens comes when it no longer
/// does; then the result is empty.
pub(super) fn remove(
    state: &mut State,
    ticket: Ticket,
    proto: Proto,
    host_port: u16,
    out: &mut Vec<Effect>,
) -> Result<Option<String>, Response> {
    let same = |f: &Forward| f.proto == proto && (f.host_port == host_port || f.wanted_port == host_port);
    let exact = state.forwards.iter().position(|f| f.proto == proto && f.host_port == host_port);
    let Some(i) = exact.or_else(|| state.forwards.iter().position(same)) else {
        return Err(Response::Error {
            message: format!("no forward has the port {host_port}/{proto}"),
            hint: Some("diorama forward list shows them".into()),
        });
    };
    let f = &state.forwards[i];
    if f.active {
        out.push(Effect::ForwardRemove { ticket, spec: f.spec() });
        return Ok(None);
    }
    let f = state.forwards.remove(i);
    Ok(Some(removed(&f.spec())))
}

fn removed(spec: &ForwardSpec) -> String {
    format!("port {} no longer leads to {}:{}", spec.host_port, spec.node, spec.guest_port)
}

/// Takes in that a forward was ended.
pub(super) fn gone(
    state: &mut State,
    now: u64,
    ticket: Ticket,
    spec: &ForwardSpec,
    result: Result<(), String>,
    out: &mut Vec<Effect>,
) {
    let response = match result {
        Ok(()) => {
            state.forwards.retain(|f| f.spec() != *spec);
            let message = removed(spec);
            let action = Action::ForwardRemove { proto: spec.proto, host_port: spec.host_port };
            state.note(now, Level::Info, message.clone(), Some(action.cli()));
            out.push(Effect::Save);
            Response::Ok { message }
        }
        Err(why) => Response::Error {
            message: format!("port {} cannot be closed: {why}", spec.host_port),
            hint: None,
        },
    };
    out.push(Effect::Reply { ticket, response });
}

/// Takes in what came of trying a forward.
pub(super) fn done(
    state: &mut State,
    now: u64,
    ticket: Option<Ticket>,
    spec: &ForwardSpec,
    outcome: ForwardOutcome,
    out: &mut Vec<Effect>,
) {
    match ticket {
        Some(ticket) => added(state, now, ticket, spec, outcome, out),
        None => made(state, now, spec, outcome),
    }
    out.push(Effect::Save);
}

fn added(
    state: &mut State,
    now: u64,
    ticket: Ticket,
    spec: &ForwardSpec,
    outcome: ForwardOutcome,
    out: &mut Vec<Effect>,
) {
    let port = spec.host_port;
    let response = match outcome {
        ForwardOutcome::Listens(host_port) => {
            state.forwards.push(Forward {
                node: spec.node.clone(),
                proto: spec.proto,
                wanted_port: host_port,
                host_port,
                guest_address: spec.guest_address.clone(),
                guest_port: spec.guest_port,
                origin: Origin::Added,
                active: true,
                note: String::new(),
            });
            let message = format!("127.0.0.1:{host_port} leads to {}:{}", spec.node, spec.guest_port);
            let action = Action::ForwardAdd {
                node: spec.node.clone(),
                proto: spec.proto,
                host_port,
                guest_port: spec.guest_port,
            };
            state.note(now, Level::Info, message.clone(), Some(action.cli()));
            Response::Ok { message }
        }
        ForwardOutcome::Taken { by, free } => Response::Error {
            message: taken(port, by.as_deref()),
            hint: free.map(|free| {
                format!("{free} is free: diorama forward add {} {free}:{}", spec.node, spec.guest_port)
            }),
        },
        ForwardOutcome::Failed(why) => {
            Response::Error { message: format!("port {port} cannot be forwarded: {why}"), hint: None }
        }
    };
    out.push(Effect::Reply { ticket, response });
}

fn made(state: &mut State, now: u64, spec: &ForwardSpec, outcome: ForwardOutcome) {
    let Some(f) = state.forwards.iter_mut().find(|f| {
        f.node == spec.node
            && f.proto == spec.proto
            && f.guest_port == spec.guest_port
            && f.host_port == spec.host_port
            && !f.active
    }) else {
        return;
    };
    let wanted = f.wanted_port;
    let who = match f.origin {
        Origin::Model => format!("the model asks for it, for {}:{}", f.node, f.guest_port),
        Origin::Default => format!("the default for {}:{}", f.node, f.guest_port),
        Origin::Added => format!("added for {}:{}", f.node, f.guest_port),
    };
    let note = match outcome {
        ForwardOutcome::Listens(port) => {
            (f.host_port, f.active) = (port, true);
            f.note = if port == wanted {
                String::new()
            } else {
                format!("{wanted} is taken; {port} took its place")
            };
            (port != wanted)
                .then(|| (Level::Warning, format!("port {wanted} is taken ({who}): {port} took its place")))
        }
        ForwardOutcome::Taken { by, free } => {
            let offer = free.map_or(String::new(), |free| {
                format!("; {free} is free: diorama forward add {} {free}:{}", f.node, f.guest_port)
            });
            f.note = format!("{} ({who}){offer}", taken(wanted, by.as_deref()));
            Some((Level::Warning, f.note.clone()))
        }
        ForwardOutcome::Failed(why) => {
            f.note = format!("port {wanted} cannot be forwarded ({who}): {why}");
            Some((Level::Error, f.note.clone()))
        }
    };
    if let Some((level, text)) = note {
        state.note(now, level, text, None);
    }
}

fn taken(port: u16, by: Option<&str>) -> String {
    match by {
        Some(by) => format!("port {port} is taken by {by}"),
        None => format!("port {port} is taken"),
    }
}
