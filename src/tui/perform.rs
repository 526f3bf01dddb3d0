//! What each command does.
//!
//! Invariant: no I/O; whatever leaves the interface is a request.

use super::commands::Act;
use super::console_acts::{
    close_shell, enter, on_screen, screenshot, search, select, shell, sync_size, yank,
};
use super::layer::input::Input;
use super::layer::{Confirm, ForwardForm, Help, Layer, Palette, Prompt, PromptKind, Run, TextBox};
use super::moving::{ends, next_panel, page, step};
use super::msg::{Leave, Req};
use super::server::fit_shells;
use super::ship;
use super::state::{Mode, Panel, Pending, State};
use super::test_acts;
use crate::console::ViMotion;
use crate::proto::{Action, NodeVerb, Phase, Request, Wanted};

/// Does what a layer or the palette chose.
pub(super) fn run(state: &mut State, what: Run) -> Vec<Req> {
    match what {
        Run::Nothing => Vec::new(),
        Run::Act(act) => perform(state, act),
        Run::Action(action) => ask_action(state, action),
        Run::Confirmed(action) => vec![state.act(action)],
        Run::Console(node) => {
            state.select_node(&node);
            perform(state, Act::EnterConsole)
        }
        Run::Shell(node) => {
            state.select_node(&node);
            perform(state, Act::Shell)
        }
        Run::Filter(text) => {
            state.filter = text;
            let first = state.listed().next().map(|n| n.name.clone());
            if !state.listed().any(|n| n.name == state.selected)
                && let Some(name) = first
            {
                state.select_node(&name);
            }
            Vec::new()
        }
        Run::Search(text) => {
            if let Some(tile) = state.focused_mut() {
                tile.pattern = text;
            }
            search(state, true)
        }
        Run::Forward(action) => vec![state.ask(Request::Act { action }, Pending::Forward)],
        Run::Down { power } => {
            let timeout = if power { 0 } else { 60 };
            vec![state.ask(Request::Down { power, timeout }, Pending::Down)]
        }
        Run::ShipGo(typed) => ship::go(state, &typed),
        Run::ShipStop => ship::stop(state),
        Run::Detach => vec![Req::Leave(Leave::Detached)],
    }
}

/// Does what a command does.
pub(super) fn perform(state: &mut State, act: Act) -> Vec<Req> {
    state.escape_armed = false;
    match act {
        Act::Quit => quit(state),
        Act::Detach if ship::holds(state) => Vec::new(),
        Act::Detach => vec![Req::Leave(Leave::Detached)],
        Act::Help => layer(state, Layer::Help(Help::default())),
        Act::Palette => {
            let palette = Palette::new(state);
            layer(state, Layer::Palette(palette))
        }
        Act::Panel(n) => {
            state.focus_panel(Panel::ALL[usize::from(n).min(7)]);
            fit_shells(state)
        }
        Act::NextPanel | Act::PrevPanel => {
            next_panel(state, act == Act::PrevPanel);
            fit_shells(state)
        }
        Act::Up | Act::Down | Act::Left | Act::Right => {
            step(state, act);
            fit_shells(state)
        }
        Act::First | Act::Last => {
            ends(state, act == Act::First);
            Vec::new()
        }
        Act::PageUp | Act::PageDown => {
            page(state, act == Act::PageUp);
            Vec::new()
        }
        Act::EnterConsole => enter(state),
        Act::LeaveConsole => {
            state.mode = Mode::Nav;
            Vec::new()
        }
        Act::NextConsole | Act::PrevConsole => {
            let n = state.tiles.len().max(1);
            let step = if act == Act::NextConsole { 1 } else { n - 1 };
            state.focus_tile((state.tile + step) % n);
            fit_shells(state)
        }
        Act::Zoom => {
            state.zoom = !state.zoom;
            if state.zoom {
                state.panel = Panel::Consoles;
            }
            fit_shells(state)
        }
        Act::Bigger | Act::Smaller => {
            let share = state.share.unwrap_or(60);
            let share = if act == Act::Bigger { share + 5 } else { share - 5 };
            state.share = Some(share.clamp(20, 85));
            fit_shells(state)
        }
        Act::Search => prompt(state, PromptKind::Search),
        Act::Filter => prompt(state, PromptKind::Filter),
        Act::SearchNext => search(state, false),
        Act::SearchPrev => search(state, true),
        Act::Select => select(state),
        Act::SelectEnd => {
            if let Some(tile) = state.focused_mut() {
                tile.screen.set_selecting(false);
            }
            state.mode = Mode::Nav;
            Vec::new()
        }
        Act::Mark => on_screen(state, |t| t.screen.toggle_mark(false)),
        Act::MarkLines => on_screen(state, |t| t.screen.toggle_mark(true)),
        Act::WordRight => on_screen(state, |t| t.screen.select_motion(ViMotion::SemanticRight)),
        Act::WordLeft => on_screen(state, |t| t.screen.select_motion(ViMotion::SemanticLeft)),
        Act::LineStart => on_screen(state, |t| t.screen.select_motion(ViMotion::First)),
        Act::LineEnd => on_screen(state, |t| t.screen.select_motion(ViMotion::Last)),
        Act::Yank => yank(state),
        Act::Editor => match state.focused() {
            Some(t) => vec![Req::Edit { name: t.node.clone(), text: t.screen.lines().join("\n") + "\n" }],
            None => Vec::new(),
        },
        Act::Shell => shell(state),
        Act::Screenshot => screenshot(state),
        Act::CloseShell => close_shell(state),
        Act::PostMortem => post_mortem(state),
        Act::CutBoth => cut_both(state),
        Act::CutToggle if state.both || state.panel == Panel::Links => cut_both(state),
        Act::DirectionToggle => {
            state.both = !state.both;
            Vec::new()
        }
        Act::ForwardAdd => {
            let form = ForwardForm::new(state);
            layer(state, Layer::Forward(form))
        }
        Act::Browse => browse(state),
        Act::TestAll => test_acts::run_all(state),
        Act::TestOne => test_acts::run_one(state),
        Act::TestStop => test_acts::stop(state),
        Act::TestShow => test_acts::show(state),
        Act::TestWhy => test_acts::why(state),
        Act::Deploy => ship::open(state),
        Act::ProductionLook => ship::look(state),
        Act::HostTerminal => ship::terminal(state),
        Act::SyncSize => sync_size(state),
        Act::MouseToggle => {
            state.mouse = !state.mouse;
            let who = if state.mouse { "this program has the mouse" } else { "the terminal has the mouse" };
            state.say(false, who);
            vec![Req::Mouse(state.mouse)]
        }
        Act::LogToggle => {
            state.log_open = !state.log_open;
            state.log_scroll = 0;
            state.panel = match (state.log_open, state.panel) {
                (true, _) => Panel::Log,
                (false, Panel::Log) => Panel::Nodes,
                (false, other) => other,
            };
            fit_shells(state)
        }
        Act::ThemeNext => {
            state.next_theme();
            Vec::new()
        }
        Act::Redraw => vec![Req::Redraw],
        Act::Suspend => vec![Req::Suspend],
        _ => match act.action(state) {
            Some(action) => ask_action(state, action),
            None => {
                state.say(true, "there is nothing under the cursor for that");
                Vec::new()
            }
        },
    }
}

/// Sends an action, after a question when it destroys something.
fn ask_action(state: &mut State, action: Action) -> Vec<Req> {
    let question = match &action {
        Action::Node { node, verb: NodeVerb::Crash } => Some((
            format!("Cut the power of {node}?"),
            "yes, cut it",
            "What was not synced to its disk is lost.",
        )),
        Action::Node { node, verb: NodeVerb::Reset } => {
            Some((format!("Reset {node}?"), "yes, reset it", "What was not synced to its disk is lost."))
        }
        _ => None,
    };
    match question {
        Some((title, yes, body)) => {
            let answers = vec![('y', yes, Run::Confirmed(action))];
            layer(state, Layer::Confirm(Confirm { title, body: body.into(), answers, default: false }))
        }
        None => vec![state.act(action)],
    }
}

pub(super) fn layer(state: &mut State, layer: Layer) -> Vec<Req> {
    state.layers.push(layer);
    Vec::new()
}

fn prompt(state: &mut State, kind: PromptKind) -> Vec<Req> {
    let input = match kind {
        PromptKind::Filter => Input::new(&state.filter),
        PromptKind::Search => Input::default(),
    };
    layer(state, Layer::Prompt(Prompt { kind, input }))
}

fn quit(state: &mut State) -> Vec<Req> {
    if ship::holds(state) {
        return Vec::new();
    }
    if !state.connected {
        return vec![Req::Leave(Leave::Detached)];
    }
    let stopping = matches!(state.view.phase, Phase::Stopping);
    let mut answers = vec![('d', "detach: the session runs on (diorama attach comes back)", Run::Detach)];
    if stopping {
        answers.push(('x', "cut the power of what is still up", Run::Down { power: true }));
    } else {
        answers.push(('s', "shut every machine down and end the session", Run::Down { power: false }));
        answers.push(('x', "cut every machine's power and end the session", Run::Down { power: true }));
    }
    let up = state.view.nodes.iter().filter(|n| n.pid.is_some()).count();
    let body = format!("{up} of {} machines are running.", state.view.nodes.len());
    layer(state, Layer::Confirm(Confirm { title: "Leave?".into(), body, answers, default: true }))
}

fn post_mortem(state: &mut State) -> Vec<Req> {
    let Some((name, text)) = state.node().map(|n| (n.name.clone(), n.post_mortem.clone())) else {
        return Vec::new();
    };
    match text {
        Some(text) => {
            layer(state, Layer::Text(TextBox { title: format!("What became of {name}"), text, scroll: 0 }))
        }
        None => {
            state.say(false, format!("{name} has not crashed"));
            Vec::new()
        }
    }
}

/// Cuts both directions, or heals both when both are cut.
fn cut_both(state: &mut State) -> Vec<Req> {
    let Some((from, to)) = state.pair().map(|(a, b)| (a.to_owned(), b.to_owned())) else {
        state.say(true, "these two share no VLAN");
        return Vec::new();
    };
    let cut = |a: &str, b: &str| state.link_of(a, b).is_some_and(|l| l.wanted == Wanted::Cut);
    let (there, back) = (cut(&from, &to), cut(&to, &from));
    let heal = there && back;
    let mut reqs = Vec::new();
    for (from, to, is_cut) in [(from.clone(), to.clone(), there), (to, from, back)] {
        if is_cut == heal && state.link_of(&from, &to).is_some() {
            let action = if heal { Action::Heal { from, to } } else { Action::Cut { from, to } };
            reqs.push(state.act(action));
        }
    }
    reqs
}

pub(super) fn browse(state: &mut State) -> Vec<Req> {
    let Some((active, port)) = state.forward_to_browse().map(|f| (f.active, f.host_port)) else {
        state.say(true, "no forward leads there; F adds one");
        return Vec::new();
    };
    if !active {
        state.say(true, format!("the forward of port {port} is not active"));
        return Vec::new();
    }
    let scheme =
        if state.forward_to_browse().is_some_and(|f| f.guest_port == 443) { "https" } else { "http" };
    vec![Req::Browse(format!("{scheme}://127.0.0.1:{port}/"))]
}
