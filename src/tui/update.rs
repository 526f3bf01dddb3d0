//! What happens on each message.
//!
//! Invariant: no I/O, no clock; the same messages always give the same state and requests.

use bytes::Bytes;
use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use super::commands::Act;
use super::console_acts::send_escape;
use super::encode;
use super::keymap::{Key, Scope};
use super::layer::{Layer, Outcome};
use super::msg::{Leave, Msg, Req};
use super::perform::{perform, run};
use super::state::{Mode, Panel, State};
use super::tile::Stream;
use super::{mouse, server, ship};
use crate::proto::Phase;

/// Takes a message; returns what is wanted from the outside. `now` is in milliseconds of Unix time.
pub fn update(state: &mut State, now: u64, msg: Msg) -> Vec<Req> {
    state.now = now;
    match msg {
        Msg::Key(event) => on_key(state, event),
        Msg::Mouse(event) => mouse::on_mouse(state, event),
        Msg::Paste(text) => on_paste(state, &text),
        Msg::Resize(cols, rows) => {
            state.size = (cols, rows);
            let mut reqs = server::fit_shells(state);
            // A terminal that went small and back has lost what was on it.
            reqs.push(Req::Redraw);
            reqs
        }
        Msg::Server(message) => server::on_message(state, message),
        Msg::Data { stream, bytes } => {
            server::on_data(state, stream, bytes);
            Vec::new()
        }
        Msg::Lost(why) => server::on_lost(state, &why),
        Msg::Reconnected => server::on_reconnected(state),
        Msg::Tick => {
            if state.notice.as_ref().is_some_and(|(until, ..)| *until <= now) {
                state.notice = None;
            }
            ship::tick(state)
        }
        Msg::JobLine { job, text } => ship::on_line(state, job, &text),
        Msg::JobEnded { job, status, errors } => ship::on_end(state, job, status, &errors),
        Msg::Note { bad, text } => {
            state.say(bad, text);
            Vec::new()
        }
    }
}

fn on_key(state: &mut State, event: KeyEvent) -> Vec<Req> {
    if event.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let key = Key::from(event);
    state.drag = None;
    if let Phase::Failed { error } = &state.view.phase {
        let lines = error.lines().count();
        return failed_key(state, key, lines);
    }
    if let Some(layer) = state.layers.pop() {
        return layer_key(state, layer, key);
    }
    let scope = state.scope();
    if scope == Scope::Console {
        return console_key(state, key);
    }
    let escape = state.keymap.lookup(Scope::Console, key).is_some_and(|c| c.act == Act::LeaveConsole);
    if state.escape_armed && escape {
        let modes = state.focused().map(|t| t.screen.modes()).unwrap_or_default();
        return send_escape(state, encode::encode(key, modes));
    }
    state.escape_armed = false;
    match state.keymap.lookup(scope, key) {
        Some(command) => perform(state, command.act),
        None => {
            if key.code == ratatui::crossterm::event::KeyCode::Esc {
                if let Some(tile) = state.focused_mut() {
                    tile.screen.clear_selection();
                }
                if state.panel == Panel::Nodes {
                    state.filter.clear();
                }
                state.notice = None;
            }
            Vec::new()
        }
    }
}

/// CONSOLE mode: everything reaches the guest but the escape, which does so when doubled.
fn console_key(state: &mut State, key: Key) -> Vec<Req> {
    let command = state.keymap.lookup(Scope::Console, key);
    if command.is_some_and(|c| c.act == Act::LeaveConsole) {
        state.mode = Mode::Nav;
        state.escape_armed = true;
        return Vec::new();
    }
    if let Some(command) = command {
        return perform(state, command.act);
    }
    let Some(tile) = state.focused_mut() else { return Vec::new() };
    let bytes = encode::encode(key, tile.screen.modes());
    to_guest(state, bytes.into())
}

/// Sends bytes to the focused tile's stream.
pub(super) fn to_guest(state: &mut State, bytes: Bytes) -> Vec<Req> {
    let Some(tile) = state.focused_mut() else { return Vec::new() };
    tile.screen.scroll_to_bottom();
    tile.screen.clear_selection();
    let name = tile.node.clone();
    match tile.stream {
        Stream::Open(stream) => {
            if !tile.push_input(&bytes) {
                state.say(true, format!("{name} does not read its input; it was not sent"));
                return Vec::new();
            }
            tile.take_input().map(|bytes| Req::Data { stream, bytes }).into_iter().collect()
        }
        _ => {
            state.say(true, format!("{name}'s console is not connected; start the node with S in NAV"));
            Vec::new()
        }
    }
}

fn on_paste(state: &mut State, text: &str) -> Vec<Req> {
    if let Some(mut layer) = state.layers.pop() {
        layer.paste(state, text);
        state.layers.push(layer);
        return Vec::new();
    }
    if state.mode == Mode::Console
        && let Some(tile) = state.focused()
    {
        let bytes = encode::paste(text, tile.screen.modes());
        return to_guest(state, bytes.into());
    }
    state.say(true, "nothing takes a paste here; ⏎ types into a console");
    Vec::new()
}

fn layer_key(state: &mut State, mut layer: Layer, key: Key) -> Vec<Req> {
    match layer.key(state, key) {
        Outcome::Stay => {
            state.layers.push(layer);
            Vec::new()
        }
        Outcome::Close => Vec::new(),
        Outcome::Run(what) => run(state, what),
        Outcome::Keep(what) => {
            state.layers.push(layer);
            run(state, what)
        }
    }
}

fn failed_key(state: &mut State, key: Key, lines: usize) -> Vec<Req> {
    match state.keymap.lookup(Scope::Log, key).map(|c| c.act) {
        Some(Act::Down) => state.failure_scroll += 1,
        Some(Act::Up) => state.failure_scroll = state.failure_scroll.saturating_sub(1),
        Some(Act::PageDown) => state.failure_scroll += 15,
        Some(Act::PageUp) => state.failure_scroll = state.failure_scroll.saturating_sub(15),
        Some(Act::First) => state.failure_scroll = 0,
        Some(Act::Last) => state.failure_scroll = lines,
        Some(Act::Quit | Act::Detach | Act::EnterConsole) => return vec![leave_failed(state)],
        None if key.code == ratatui::crossterm::event::KeyCode::Esc => return vec![leave_failed(state)],
        _ => {}
    }
    state.failure_scroll = state.failure_scroll.min(lines);
    Vec::new()
}

fn leave_failed(state: &State) -> Req {
    let reason = match &state.view.phase {
        Phase::Failed { error } => Some(error.clone()),
        _ => None,
    };
    Req::Leave(Leave::ShutDown(reason))
}
