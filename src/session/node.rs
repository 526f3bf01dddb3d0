//! A machine's life.
//!
//! ```text
//! Built ──start──▶ (launching) ──▶ Booting ──prompt or agent──▶ Up ⇄ Paused
//!   ▲                    │            │                          │
//!   │                    ▼            ▼   stop                   ▼
//!   │                 Failed       Stopping ──end──▶ Stopped ──start──▶ …
//!   └── nobody asked, and QEMU ended ──▶ Crashed ──start──▶ …
//! ```
//!
//! Invariant: a machine is `Crashed` only when QEMU ended and neither a client nor the guest itself
//! had asked for it.

use super::event::{Effect, Event, Exit};
use super::state::{Machine, State, Want};
use crate::proto::{Level, NodeState, NodeVerb, Response};

/// Seconds that a guest has for `stop` and `restart` before its power is cut.
const STOP_TIMEOUT: u32 = 60;

/// Whether a machine in this state takes a verb; otherwise why not.
pub(super) fn accept(m: &Machine, verb: NodeVerb) -> Result<(), &'static str> {
    use NodeState as S;
    use NodeVerb as V;
    if m.launching {
        return match verb {
            V::Stop | V::Crash => Ok(()),
            _ => Err("it is just being started"),
        };
    }
    match (m.state, verb) {
        (S::Waiting | S::Evaluating | S::Building, _) => Err("it has not been built yet"),
        (S::Built | S::Stopped | S::Crashed | S::Failed, V::Start | V::Restart) => Ok(()),
        (S::Built | S::Stopped | S::Crashed | S::Failed, _) => Err("it is not running"),
        (_, V::Start) => Err("it is running already"),
        (S::Stopping, V::Crash | V::Restart) => Ok(()),
        (S::Stopping, V::Stop) => Err("it is shutting down already"),
        (S::Stopping, _) => Err("it is shutting down"),
        (S::Paused, V::Pause) => Err("it is paused already"),
        (S::Booting | S::Up, V::Resume) => Err("it is not paused"),
        (S::Booting | S::Up | S::Paused, _) => Ok(()),
    }
}

/// Carries out a verb.
pub(super) fn act(
    state: &mut State,
    now: u64,
    name: &str,
    verb: NodeVerb,
    out: &mut Vec<Effect>,
) -> Result<String, Response> {
    let Some(m) = state.machines.get_mut(name) else { return Err(state.unknown_node(name)) };
    if let Err(why) = accept(m, verb) {
        let message = format!("{name} cannot {}: {why}", verb.word());
        let hint = format!("it is {}", word(m.state));
        return Err(Response::Error { message, hint: Some(hint) });
    }
    let node = name.to_owned();
    Ok(match verb {
        NodeVerb::Start => {
            power_on(name, m, out);
            format!("{name} is being started")
        }
        NodeVerb::Restart if !m.runs() => {
            power_on(name, m, out);
            format!("{name} is being started")
        }
        NodeVerb::Stop => {
            end(name, m, now, false, STOP_TIMEOUT, out);
            format!("{name} is asked to shut down")
        }
        NodeVerb::Restart => {
            if m.state != NodeState::Stopping {
                end(name, m, now, false, STOP_TIMEOUT, out);
            }
            m.want = Want::Restart;
            format!("{name} is being restarted")
        }
        NodeVerb::Pause => {
            out.push(Effect::Freeze { node, frozen: true });
            format!("{name} is paused")
        }
        NodeVerb::Resume => {
            out.push(Effect::Freeze { node, frozen: false });
            format!("{name} runs again")
        }
        NodeVerb::Crash => {
            end(name, m, now, true, 0, out);
            format!("{name}'s power is cut")
        }
        NodeVerb::Reset => {
            out.push(Effect::Reset { node });
            format!("{name} is reset")
        }
    })
}

/// Orders a start.
pub(super) fn power_on(name: &str, m: &mut Machine, out: &mut Vec<Effect>) {
    m.want = Want::Running;
    m.launching = true;
    // How it ended the last time is over with the new start.
    m.state = NodeState::Built;
    m.post_mortem = None;
    m.power_cycle += 1;
    m.progress = None;
    m.doing = "starting QEMU".into();
    out.push(Effect::Start { node: name.into() });
}

/// Orders the end of a machine that runs; of any other, that it stay off.
pub(super) fn end(name: &str, m: &mut Machine, now: u64, power: bool, timeout: u32, out: &mut Vec<Effect>) {
    let node = name.to_owned();
    m.want = Want::Off;
    if !m.runs() || m.launching {
        // One that is just being started is ended as soon as it is there.
        return;
    }
    m.progress = None;
    if power {
        m.doing = "power is being cut".into();
        out.push(Effect::Kill { node: node.clone() });
    } else if m.state != NodeState::Stopping {
        m.doing = "shutting down".into();
        if m.state == NodeState::Paused {
            out.push(Effect::Freeze { node: node.clone(), frozen: false });
        }
        out.push(Effect::Shutdown { node: node.clone() });
    }
    if !power {
        let at = now + u64::from(timeout) * 1000;
        out.push(Effect::Deadline { node, power_cycle: m.power_cycle, at });
    }
    m.state = NodeState::Stopping;
}

/// Takes in what happened to a machine.
pub(super) fn step(state: &mut State, now: u64, event: Event, out: &mut Vec<Effect>) {
    match event {
        Event::Started { node, pid } => with(state, &node, |m| {
            m.launching = false;
            booting(m);
            m.pid = Some(pid);
            m.started = Some(now);
            if m.want == Want::Off {
                m.state = NodeState::Stopping;
                out.push(Effect::Kill { node: node.clone() });
            }
            out.push(Effect::Save);
        }),
        Event::StartFailed { node, error } => {
            with(state, &node, |m| {
                *m = Machine { post_mortem: Some(error.clone()), ..ended(m, NodeState::Failed) };
            });
            state.note(now, Level::Error, format!("{node} could not be started: {error}"), None);
            out.push(Effect::Save);
        }
        Event::MonitorUp { node } => monitor_up(state, &node, out),
        Event::Printed { node, bytes } => with(state, &node, |m| m.console_bytes += bytes),
        Event::Prompt { node } => seen_up(state, now, &node, out),
        Event::Agent { node, up } => {
            with(state, &node, |m| m.agent = up);
            if up {
                seen_up(state, now, &node, out);
            }
        }
        Event::Frozen { node, frozen } => with(state, &node, |m| {
            let awake = if m.boot_ms.is_some() { NodeState::Up } else { NodeState::Booting };
            m.state = match (m.state, frozen) {
                (NodeState::Up | NodeState::Booting, true) => NodeState::Paused,
                (NodeState::Paused, false) => awake,
                (other, _) => other,
            };
            out.push(Effect::Save);
        }),
        Event::WasReset { node } => with(state, &node, |m| {
            if matches!(m.state, NodeState::Up | NodeState::Booting) {
                booting(m);
                m.started = Some(now);
            }
        }),
        Event::Exited { node, exit } => exited(state, now, &node, &exit, out),
        Event::Deadline { node, power_cycle } => {
            let late = state
                .machines
                .get(&node)
                .is_some_and(|m| m.state == NodeState::Stopping && m.power_cycle == power_cycle);
            if late {
                state.note(now, Level::Warning, format!("{node} did not shut down: its power is cut"), None);
                out.push(Effect::Kill { node });
            }
        }
        Event::EffectFailed { node, error } => {
            state.note(now, Level::Error, format!("{node}: {error}"), None);
        }
        _ => {}
    }
}

fn with(state: &mut State, node: &str, f: impl FnOnce(&mut Machine)) {
    if let Some(m) = state.machines.get_mut(node) {
        f(m);
    }
}

fn booting(m: &mut Machine) {
    m.state = NodeState::Booting;
    m.boot_ms = None;
    m.agent = false;
    m.progress = None;
    m.doing = "booting".into();
}

/// The machine as it is without a QEMU.
fn ended(m: &Machine, state: NodeState) -> Machine {
    Machine {
        state,
        want: m.want,
        console_bytes: m.console_bytes,
        power_cycle: m.power_cycle,
        boot_ms: m.boot_ms,
        ..Machine::default()
    }
}

fn monitor_up(state: &mut State, node: &str, out: &mut Vec<Effect>) {
    with(state, node, |m| m.monitor = true);
    for (owner, interface) in &state.faults.lowered {
        if owner == node {
            out.push(Effect::Carrier { node: owner.clone(), interface: interface.clone(), up: false });
        }
    }
    super::forwards::of_node_up(state, node, out);
}

fn seen_up(state: &mut State, now: u64, node: &str, out: &mut Vec<Effect>) {
    let Some(m) = state.machines.get_mut(node) else { return };
    if m.state != NodeState::Booting {
        return;
    }
    let took = now.saturating_sub(m.started.unwrap_or(now));
    m.state = NodeState::Up;
    m.boot_ms = Some(took);
    m.progress = None;
    m.doing = String::new();
    state.usual_boots.insert(node.to_owned(), took);
    out.push(Effect::KeepBoots);
    let text = format!("{node} is up after {}.{} s", took / 1000, took % 1000 / 100);
    state.note(now, Level::Info, text, None);
    out.push(Effect::Save);
}

fn exited(state: &mut State, now: u64, node: &str, exit: &Exit, out: &mut Vec<Effect>) {
    let Some(m) = state.machines.get_mut(node) else { return };
    if !m.runs() {
        return;
    }
    let asked = m.want != Want::Running || m.state == NodeState::Stopping;
    // A reset ends QEMU only where somebody said that reboots are to.
    let by_guest =
        exit.reason.as_deref().is_some_and(|r| r.starts_with("guest-shutdown") || r == "guest-reset");
    if asked || by_guest {
        let again = m.want == Want::Restart;
        *m = ended(m, NodeState::Stopped);
        if again {
            power_on(node, m, out);
        } else {
            m.want = Want::Off;
        }
        let text = if asked { format!("{node} is off") } else { format!("{node} powered itself off") };
        state.note(now, Level::Info, text, None);
    } else {
        let how = how(exit);
        let text = format!("{node} crashed: {how}");
        let post_mortem = format!("QEMU {how}\n{}", exit.last_lines);
        *m = Machine { post_mortem: Some(post_mortem), ..ended(m, NodeState::Crashed) };
        state.note(now, Level::Error, text, Some(format!("diorama node start {node}")));
    }
    super::forwards::of_node_gone(state, node);
    out.push(Effect::Save);
}

fn how(exit: &Exit) -> String {
    let said = match &exit.reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    match exit.status {
        None => format!("ended, nobody saw how{said}"),
        Some(s @ 129..=192) => format!("was killed by signal {}{said}", s - 128),
        Some(s) => format!("ended with status {s}{said}"),
    }
}

/// A state as a word for people.
pub(super) fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Waiting => "waiting",
        NodeState::Evaluating => "being evaluated",
        NodeState::Building => "being built",
        NodeState::Built => "built",
        NodeState::Booting => "booting",
        NodeState::Up => "up",
        NodeState::Paused => "paused",
        NodeState::Stopping => "shutting down",
        NodeState::Stopped => "stopped",
        NodeState::Crashed => "crashed",
        NodeState::Failed => "failed",
    }
}
