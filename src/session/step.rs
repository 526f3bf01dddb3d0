//! The one function through which everything that happens passes.

use super::event::{Effect, Event, Ticket};
use super::state::{Machine, State, Want};
use super::suite::{self, Suite};
use super::{added, forwards, links, node};
use crate::proto::{Action, Level, NodeState, Phase, Response, WAS_SHUT_DOWN};

/// Takes in an event and says what is to be done. Every event raises the revision.
pub fn step(state: &mut State, now: u64, event: Event) -> Vec<Effect> {
    state.revision += 1;
    let mut out = Vec::new();
    match event {
        Event::Evaluated { manifest, system_why } => evaluated(state, now, *manifest, system_why),
        Event::Preparing { what } => preparing(state, what),
        Event::Progress { node, state: at, progress, doing } => {
            if let Some(m) = state.machines.get_mut(&node).filter(|m| !m.runs()) {
                (m.state, m.progress, m.doing) = (at, progress, doing);
            }
        }
        Event::Ready => ready(state, now, &mut out),
        Event::PrepareFailed { error } => {
            state.note(now, Level::Error, first_line(&error), None);
            state.phase = Phase::Failed { error: error.clone() };
            for m in state.machines.values_mut().filter(|m| !m.runs()) {
                (m.state, m.progress) = (NodeState::Failed, None);
            }
            out.extend(
                state
                    .machines
                    .iter()
                    .filter(|(_, m)| m.runs())
                    .map(|(n, _)| Effect::Kill { node: n.clone() }),
            );
            finish_when_over(state, &mut out);
        }
        Event::UsualBoots(usual) => state.usual_boots = usual,
        Event::PreparingEnded => {
            state.preparing = false;
            finish_when_over(state, &mut out);
        }
        Event::Act { ticket, action } => act(state, now, ticket, &action, &mut out),
        Event::Down { ticket, power, timeout } => down(state, now, ticket, power, timeout, &mut out),
        Event::ForwardDone { ticket, spec, outcome } => {
            forwards::done(state, now, ticket, &spec, outcome, &mut out);
        }
        Event::ForwardGone { ticket, spec, result } => {
            forwards::gone(state, now, ticket, &spec, result, &mut out);
        }
        Event::Accelerator(text) => {
            state.note(now, Level::Info, format!("accelerator: {text}"), None);
            state.accelerator = text;
        }
        Event::Clients(n) => state.clients = n,
        Event::TestTold(told) => suite::told(state, now, told),
        Event::TestTellerGone => suite::teller_gone(state, now),
        Event::TestRun { ticket, patterns } => suite::run(state, now, ticket, patterns, &mut out),
        Event::TestStop { ticket } => suite::stop(state, ticket, &mut out),
        Event::TestRunnerEnded { why } => suite::runner_ended(state, now, why),
        Event::Note { level, text } => state.note(now, level, text, None),
        Event::Started { .. }
        | Event::StartFailed { .. }
        | Event::MonitorUp { .. }
        | Event::Printed { .. }
        | Event::Prompt { .. }
        | Event::Agent { .. }
        | Event::Frozen { .. }
        | Event::WasReset { .. }
        | Event::Exited { .. }
        | Event::Deadline { .. }
        | Event::EffectFailed { .. } => {
            node::step(state, now, event, &mut out);
            finish_when_over(state, &mut out);
        }
    }
    out
}

fn evaluated(state: &mut State, now: u64, manifest: crate::model::Manifest, system_why: String) {
    state.machines = manifest.nodes.keys().map(|name| (name.clone(), Machine::default())).collect();
    state.forwards = forwards::of_model(&manifest);
    state.suite = Suite::of(manifest.test_script.as_deref());
    state.manifest = Some(manifest);
    state.note(now, Level::Info, format!("evaluated: {} nodes", state.machines.len()), None);
    state.system_why = system_why;
}

fn preparing(state: &mut State, what: String) {
    if matches!(state.phase, Phase::Evaluating | Phase::Building { .. }) {
        state.phase = if what.is_empty() { Phase::Evaluating } else { Phase::Building { what } };
    }
}

fn ready(state: &mut State, now: u64, out: &mut Vec<Effect>) {
    if !matches!(state.phase, Phase::Evaluating | Phase::Building { .. }) {
        return;
    }
    state.phase = Phase::Running;
    state.preparing = false;
    let hold = state.hold;
    state.note(
        now,
        Level::Info,
        if hold { "the machines are left off" } else { "starting the machines" },
        None,
    );
    for (name, m) in &mut state.machines {
        m.state = NodeState::Built;
        if hold {
            m.want = Want::Off;
        } else {
            node::power_on(name, m, out);
        }
    }
    out.push(Effect::Save);
}

fn act(state: &mut State, now: u64, ticket: Ticket, action: &Action, out: &mut Vec<Effect>) {
    if state.phase != Phase::Running {
        let message = match state.phase {
            Phase::Stopping | Phase::Failed { .. } => "the session is ending",
            _ => "the machines are not there yet",
        };
        let hint = Some("diorama ls shows how far it is".to_owned());
        out.push(Effect::Reply { ticket, response: Response::Error { message: message.into(), hint } });
        return;
    }
    let result = match action {
        Action::Node { node, verb } => node::act(state, now, node, *verb, out),
        Action::Add { node, script, vlans } => added::add(state, node, script, vlans, out),
        Action::Remove { node } => added::remove(state, node, out),
        Action::ForwardAdd { node, proto, host_port, guest_port } => {
            match forwards::add(state, ticket, node, *proto, *host_port, *guest_port, out) {
                // The answer comes with the outcome.
                Ok(()) => return,
                Err(refused) => Err(refused),
            }
        }
        Action::ForwardRemove { proto, host_port } => {
            match forwards::remove(state, ticket, *proto, *host_port, out) {
                Ok(None) => return,
                Ok(Some(message)) => Ok(message),
                Err(refused) => Err(refused),
            }
        }
        links => links::act(state, links, out),
    };
    let response = match result {
        Ok(message) => {
            state.note(now, Level::Info, message.clone(), Some(action.cli()));
            out.push(Effect::Save);
            Response::Ok { message }
        }
        Err(refused) => refused,
    };
    out.push(Effect::Reply { ticket, response });
}

fn down(
    state: &mut State,
    now: u64,
    ticket: Option<Ticket>,
    power: bool,
    timeout: u32,
    out: &mut Vec<Effect>,
) {
    state.waiting_for_end.extend(ticket);
    if matches!(state.phase, Phase::Evaluating | Phase::Building { .. }) {
        out.push(Effect::Cancel);
    }
    if !matches!(state.phase, Phase::Failed { .. }) {
        state.phase = Phase::Stopping;
    }
    let cli = if power { "diorama down --power" } else { "diorama down" };
    state.note(now, Level::Info, "shutting down", Some(cli.into()));
    for (name, m) in &mut state.machines {
        node::end(name, m, now, power, timeout, out);
    }
    out.push(Effect::Save);
    finish_when_over(state, out);
}

/// Ends the session once it is ending, no machine runs and nothing is built any more.
fn finish_when_over(state: &mut State, out: &mut Vec<Effect>) {
    let reason = match &state.phase {
        Phase::Stopping => WAS_SHUT_DOWN.to_owned(),
        Phase::Failed { error } => error.clone(),
        _ => return,
    };
    if state.preparing || state.machines.values().any(Machine::runs) {
        return;
    }
    for ticket in std::mem::take(&mut state.waiting_for_end) {
        out.push(Effect::Reply {
            ticket,
            response: Response::Ok { message: "everything is shut down".into() },
        });
    }
    out.push(Effect::Finish { reason });
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
