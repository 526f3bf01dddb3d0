//! What each command does.
//!
//! Invariant: no I/O; whatever leaves the interface is a request.

use super::commands::Act;
use super::layer::input::Input;
use super::layer::{Confirm, ForwardForm, Help, Layer, Palette, Prompt, PromptKind, Run, TextBox};
use super::msg::{Leave, Req};
use super::regions::regions;
use super::server::{fit_shells, remove_tile};
use super::state::{Mode, Panel, Pending, State};
use super::tile::{Stream, Tile, TileKind};
use super::update::to_guest;
use super::view::inner;
use crate::console::ViMotion;
use crate::proto::{Action, NodeVerb, Phase, Request, Wanted};

/// The root shell's command: bash where there is one.
const SHELL: &str = "cd; command -v bash >/dev/null && exec bash -l; exec sh -l";

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
        Run::Detach => vec![Req::Leave(Leave::Detached)],
    }
}

/// Does what a command does.
pub(super) fn perform(state: &mut State, act: Act) -> Vec<Req> {
    state.escape_armed = false;
    match act {
        Act::Quit => quit(state),
        Act::Detach => vec![Req::Leave(Leave::Detached)],
        Act::Help => layer(state, Layer::Help(Help::default())),
        Act::Palette => {
            let palette = Palette::new(state);
            layer(state, Layer::Palette(palette))
        }
        Act::Panel(n) => {
            state.focus_panel(Panel::ALL[usize::from(n).min(5)]);
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

fn layer(state: &mut State, layer: Layer) -> Vec<Req> {
    state.layers.push(layer);
    Vec::new()
}

fn on_screen(state: &mut State, f: impl FnOnce(&mut Tile)) -> Vec<Req> {
    if let Some(tile) = state.focused_mut() {
        f(tile);
    }
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
    let body = format!("{up} machines of {} are running.", state.view.session);
    layer(state, Layer::Confirm(Confirm { title: "Leave?".into(), body, answers, default: true }))
}

fn next_panel(state: &mut State, back: bool) {
    let mut order: Vec<Panel> = Panel::ALL[..6].to_vec();
    if state.log_open {
        order.push(Panel::Log);
    }
    let at = order.iter().position(|p| *p == state.panel).unwrap_or(0);
    let step = if back { order.len() - 1 } else { 1 };
    state.focus_panel(order[(at + step) % order.len()]);
}

fn step(state: &mut State, act: Act) {
    if state.mode == Mode::Select {
        let motion = match act {
            Act::Up => ViMotion::Up,
            Act::Down => ViMotion::Down,
            Act::Left => ViMotion::Left,
            _ => ViMotion::Right,
        };
        on_screen(state, |t| t.screen.select_motion(motion));
        return;
    }
    let forward = matches!(act, Act::Down | Act::Right);
    let moved = |at: usize, len: usize| {
        if forward { (at + 1).min(len.saturating_sub(1)) } else { at.saturating_sub(1) }
    };
    let vertical = matches!(act, Act::Up | Act::Down);
    match state.panel {
        Panel::Nodes if vertical => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            let at = names.iter().position(|n| *n == state.selected).unwrap_or(0);
            if let Some(name) = names.get(moved(at, names.len())) {
                state.select_node(name);
            }
        }
        Panel::Consoles => focus_towards(state, act),
        Panel::Links if vertical => state.link = moved(state.link, state.pairs().len()),
        Panel::Reach => {
            let n = state.view.nodes.len();
            if vertical {
                state.reach.0 = moved(state.reach.0, n);
            } else {
                state.reach.1 = moved(state.reach.1, n);
            }
            if let Some(name) = state.view.nodes.get(state.reach.0).map(|n| n.name.clone()) {
                state.select_node(&name);
            }
        }
        Panel::Topology => {
            state.interface = moved(state.interface, state.interfaces().len());
            let name = state.interfaces().get(state.interface).map(|(n, _)| n.name.clone());
            if let Some(name) = name {
                state.select_node(&name);
            }
        }
        Panel::Forwards if vertical => state.forward = moved(state.forward, state.view.forwards.len()),
        Panel::Log if vertical => {
            let most = state.view.log.len().saturating_sub(1);
            state.log_scroll =
                if forward { state.log_scroll.saturating_sub(1) } else { (state.log_scroll + 1).min(most) };
        }
        _ => {}
    }
}

/// Focuses the tile that lies in a direction.
fn focus_towards(state: &mut State, act: Act) {
    let tiles = regions(state).tiles;
    let Some((_, from)) = tiles.iter().find(|(i, _)| *i == state.tile) else { return };
    let centre = |r: &ratatui::layout::Rect| {
        (i32::from(r.x) + i32::from(r.width) / 2, i32::from(r.y) + i32::from(r.height) / 2)
    };
    let (x, y) = centre(from);
    let best = tiles
        .iter()
        .filter(|(i, _)| *i != state.tile)
        .filter_map(|(i, r)| {
            let (cx, cy) = centre(r);
            let (along, across) = match act {
                Act::Left => (x - cx, cy - y),
                Act::Right => (cx - x, cy - y),
                Act::Up => (y - cy, cx - x),
                _ => (cy - y, cx - x),
            };
            (along > 0).then(|| (along + 2 * across.abs(), *i))
        })
        .min();
    if let Some((_, i)) = best {
        state.focus_tile(i);
    }
}

fn ends(state: &mut State, first: bool) {
    let end = |len: usize| if first { 0 } else { len.saturating_sub(1) };
    if state.mode == Mode::Select {
        on_screen(state, |t| {
            let line = if first { t.screen.top() } else { t.screen.position().0 };
            t.screen.select_goto(line, 0);
        });
        return;
    }
    match state.panel {
        Panel::Nodes => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            if let Some(name) = names.get(end(names.len())) {
                state.select_node(name);
            }
        }
        Panel::Links => state.link = end(state.pairs().len()),
        Panel::Reach => state.reach.0 = end(state.view.nodes.len()),
        Panel::Topology => state.interface = end(state.interfaces().len()),
        Panel::Forwards => state.forward = end(state.view.forwards.len()),
        Panel::Log => state.log_scroll = if first { state.view.log.len().saturating_sub(1) } else { 0 },
        Panel::Consoles => {
            on_screen(
                state,
                |t| {
                    if first { t.screen.scroll(i32::MAX / 2) } else { t.screen.scroll_to_bottom() }
                },
            );
        }
    }
}

fn page(state: &mut State, up: bool) {
    if state.panel == Panel::Log && state.mode == Mode::Nav {
        let most = state.view.log.len().saturating_sub(1);
        state.log_scroll =
            if up { (state.log_scroll + 10).min(most) } else { state.log_scroll.saturating_sub(10) };
        return;
    }
    let shown = regions(state).tiles;
    let height = shown.iter().find(|(i, _)| *i == state.tile).map_or(24, |(_, r)| inner(state, *r).height);
    let by = i32::from(height / 2).max(1);
    let selecting = state.mode == Mode::Select;
    on_screen(state, |t| {
        if selecting {
            let (line, column) = t.screen.select_cursor();
            t.screen.select_goto(if up { line - by } else { line + by }, column);
        } else {
            t.screen.scroll(if up { by } else { -by });
        }
    });
}

fn enter(state: &mut State) -> Vec<Req> {
    if state.panel == Panel::Forwards {
        return browse(state);
    }
    if state.panel == Panel::Links
        && let Some((from, to)) = state.pair()
    {
        let at = |name: &str| state.view.nodes.iter().position(|n| n.name == name).unwrap_or(0);
        state.reach = (at(from), at(to));
        state.focus_panel(Panel::Reach);
        return Vec::new();
    }
    if state.panel != Panel::Consoles {
        let name = state.selected.clone();
        state.select_node(&name);
    }
    let Some(tile) = state.focused_mut() else {
        state.say(true, "there is no console yet");
        return Vec::new();
    };
    let (open, name) = (matches!(tile.stream, Stream::Open(_) | Stream::Asked(_)), tile.node.clone());
    if !open {
        state.say(true, format!("{name} has no console now; S starts the node"));
        return Vec::new();
    }
    tile.screen.set_selecting(false);
    state.panel = Panel::Consoles;
    state.mode = Mode::Console;
    fit_shells(state)
}

fn select(state: &mut State) -> Vec<Req> {
    let Some(tile) = state.focused_mut() else { return Vec::new() };
    tile.screen.set_selecting(true);
    let scrolled = tile.screen.scrolled() as i32;
    if scrolled > 0 {
        let line = tile.screen.rows() as i32 - 1 - scrolled;
        tile.screen.select_goto(line, 0);
    } else {
        let (line, column) = tile.screen.position();
        tile.screen.select_goto(line, column);
    }
    state.mode = Mode::Select;
    state.panel = Panel::Consoles;
    Vec::new()
}

/// Goes to the next or the previous match, in SELECT mode, where the matches are marked.
fn search(state: &mut State, backwards: bool) -> Vec<Req> {
    let selecting = state.mode == Mode::Select;
    let Some(tile) = state.focused() else { return Vec::new() };
    let pattern = tile.pattern.clone();
    if pattern.is_empty() {
        state.say(true, "nothing was searched for yet; / does");
        return Vec::new();
    }
    let from = if selecting { tile.screen.select_cursor() } else { (tile.screen.rows() as i32, 0) };
    match tile.screen.find_next(&pattern, from, backwards) {
        Some(found) => {
            if !selecting {
                select(state);
            }
            let all = state.focused().map_or(0, |t| t.screen.find_all(&pattern).len());
            on_screen(state, |t| t.screen.select_goto(found.line, found.start));
            state.say(false, format!("/{pattern}: {all} on screen and in history; n N go on, esc ends"));
        }
        None => {
            let name = tile.node.clone();
            state.say(true, format!("`{pattern}` is not on {name}'s screen or in its history"));
        }
    }
    Vec::new()
}

fn yank(state: &mut State) -> Vec<Req> {
    let Some(text) = state.focused().and_then(|t| t.screen.selected_text()) else {
        state.say(true, "nothing is selected: v starts, or drag with the mouse");
        return Vec::new();
    };
    state.say(false, format!("copied {} characters", text.chars().count()));
    if state.mode == Mode::Select {
        on_screen(state, |t| t.screen.set_selecting(false));
        state.mode = Mode::Nav;
    }
    on_screen(state, |t| t.screen.clear_selection());
    vec![Req::Clipboard(text)]
}

fn shell(state: &mut State) -> Vec<Req> {
    let Some(node) = state.node().map(|n| n.name.clone()) else {
        state.say(true, "select a node first");
        return Vec::new();
    };
    let shown = regions(state).tiles;
    let size = shown.first().map(|(_, r)| inner(state, *r)).unwrap_or_default();
    let (rows, cols) = (size.height.max(10), size.width.max(40));
    let req = state.ask(
        Request::Exec {
            node: node.clone(),
            argv: ["sh", "-c", SHELL].map(str::to_owned).to_vec(),
            env: vec!["TERM=xterm-256color".into()],
            pty: Some((rows, cols)),
        },
        Pending::Tile,
    );
    let mut tile = Tile::new(&node, TileKind::Shell, state.options.config.ui.scrollback);
    tile.screen.resize(rows, cols);
    if let Req::Send { id, .. } = req {
        tile.stream = Stream::Asked(id);
    }
    state.tiles.push(tile);
    state.focus_tile(state.tiles.len() - 1);
    state.panel = Panel::Consoles;
    state.mode = Mode::Console;
    vec![req]
}

fn close_shell(state: &mut State) -> Vec<Req> {
    match state.focused().map(|t| (t.kind, t.stream)) {
        Some((TileKind::Shell, stream)) => {
            let index = state.tile;
            remove_tile(state, index);
            match stream {
                Stream::Open(stream) => vec![state.ask(Request::Close { stream }, Pending::Quiet)],
                _ => Vec::new(),
            }
        }
        _ => {
            state.say(true, "only root shells can be closed; consoles belong to their nodes");
            Vec::new()
        }
    }
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

fn browse(state: &mut State) -> Vec<Req> {
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

/// Tells the guest the size of its tile by `stty`; the emulator follows when that worked.
fn sync_size(state: &mut State) -> Vec<Req> {
    let Some((node, TileKind::Serial)) = state.focused().map(|t| (t.node.clone(), t.kind)) else {
        state.say(true, "a root shell always has its tile's size");
        return Vec::new();
    };
    let shown = regions(state).tiles;
    let Some((_, area)) = shown.iter().find(|(i, _)| *i == state.tile) else { return Vec::new() };
    let inside = inner(state, *area);
    let (rows, cols) = (inside.height.max(5), inside.width.max(20));
    let argv = ["stty", "-F", "/dev/ttyS0", "rows", &rows.to_string(), "cols", &cols.to_string()];
    let request = Request::Exec {
        node: node.clone(),
        argv: argv.map(str::to_owned).to_vec(),
        env: Vec::new(),
        pty: None,
    };
    vec![state.ask(request, Pending::Sync { node, rows, cols })]
}

/// Sends the escape key itself: it was pressed twice.
pub(super) fn send_escape(state: &mut State, bytes: Vec<u8>) -> Vec<Req> {
    state.escape_armed = false;
    state.mode = Mode::Console;
    to_guest(state, bytes.into())
}
