//! Links and the faults on them: cuts per ordered pair of nodes, carriers per interface, undo.
//!
//! Invariant: every act that changes the faults can be taken back, in order, whoever made it; one
//! that changes nothing leaves no trace in the undo stack.

use super::event::Effect;
use super::state::{Faults, State};
use crate::proto::{Action, Response};

/// Carries out an act on links.
pub(super) fn act(state: &mut State, action: &Action, out: &mut Vec<Effect>) -> Result<String, Response> {
    if *action == Action::Undo {
        return undo(state, out);
    }
    let before = state.faults.clone();
    let mut after = before.clone();
    let message = change(state, action, &mut after)?;
    if after == before {
        return Ok(format!("{message} already"));
    }
    state.faults = after;
    state.remember(before.clone(), action.cli());
    apply(&before, &state.faults, out);
    Ok(message)
}

fn change(state: &State, action: &Action, faults: &mut Faults) -> Result<String, Response> {
    Ok(match action {
        Action::Cut { from, to } => {
            faults.cuts.insert(pair(state, from, to)?);
            format!("{from} to {to} is cut")
        }
        Action::Heal { from, to } => {
            faults.cuts.remove(&pair(state, from, to)?);
            format!("{from} to {to} is healed")
        }
        Action::Isolate { node } => {
            let links = links_of(state, node)?;
            faults.cuts.extend(links);
            format!("{node} is isolated")
        }
        Action::Rejoin { node } => {
            links_of(state, node)?;
            faults.cuts.retain(|(from, to)| from != node && to != node);
            format!("{node} is rejoined")
        }
        Action::Carrier { node, interface, up } => {
            for name in interfaces(state, node, interface.as_deref())? {
                let key = (node.clone(), name);
                if *up {
                    faults.lowered.remove(&key);
                } else {
                    faults.lowered.insert(key);
                }
            }
            let what = interface.as_ref().map_or("every carrier".to_owned(), |i| format!("{i}'s carrier"));
            format!("{node}: {what} is {}", if *up { "up" } else { "down" })
        }
        Action::HealAll => {
            let healed = faults.count();
            *faults = Faults::default();
            match healed {
                0 => "everything is healed".into(),
                1 => "everything is healed: 1 fault".into(),
                n => format!("everything is healed: {n} faults"),
            }
        }
        Action::Undo
        | Action::Node { .. }
        | Action::Add { .. }
        | Action::Remove { .. }
        | Action::ForwardAdd { .. }
        | Action::ForwardRemove { .. } => String::new(),
    })
}

fn undo(state: &mut State, out: &mut Vec<Effect>) -> Result<String, Response> {
    let Some((earlier, act)) = state.undo.pop() else {
        return Err(Response::Error { message: "there is nothing to undo".into(), hint: None });
    };
    let before = std::mem::replace(&mut state.faults, earlier);
    apply(&before, &state.faults, out);
    Ok(format!("undone: {}", act.strip_prefix("diorama ").unwrap_or(&act)))
}

fn apply(before: &Faults, after: &Faults, out: &mut Vec<Effect>) {
    if before.cuts != after.cuts {
        out.push(Effect::ApplyCuts);
    }
    for (node, interface) in before.lowered.symmetric_difference(&after.lowered) {
        let up = before.lowered.contains(&(node.clone(), interface.clone()));
        out.push(Effect::Carrier { node: node.clone(), interface: interface.clone(), up });
    }
}

fn pair(state: &State, from: &str, to: &str) -> Result<(String, String), Response> {
    for name in [from, to] {
        if !state.machines.contains_key(name) {
            return Err(state.unknown_node(name));
        }
    }
    let key = (from.to_owned(), to.to_owned());
    if state.pairs().contains_key(&key) {
        return Ok(key);
    }
    let message = if from == to {
        format!("{from} has no link to itself")
    } else {
        format!("{from} and {to} share no VLAN, so there is no link between them")
    };
    Err(Response::Error { message, hint: Some("diorama link list shows the links".into()) })
}

fn links_of(state: &State, node: &str) -> Result<Vec<(String, String)>, Response> {
    if !state.machines.contains_key(node) {
        return Err(state.unknown_node(node));
    }
    Ok(state.pairs().into_keys().filter(|(from, to)| from == node || to == node).collect())
}

fn interfaces(state: &State, node: &str, one: Option<&str>) -> Result<Vec<String>, Response> {
    if !state.machines.contains_key(node) {
        return Err(state.unknown_node(node));
    }
    let all: Vec<String> = state.vlan_interfaces(node).iter().map(|i| i.0.to_owned()).collect();
    match one {
        None if all.is_empty() => {
            Err(Response::Error { message: format!("{node} is on no VLAN"), hint: None })
        }
        None => Ok(all),
        Some(name) if all.iter().any(|i| i == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Response::Error {
            message: format!("{node} has no interface {name:?} on a VLAN"),
            hint: Some(format!("its interfaces are {}", all.join(", "))),
        }),
    }
}
