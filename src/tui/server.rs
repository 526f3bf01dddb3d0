//! What the daemon says, and the streams it opens.
//!
//! Invariant: a node's console is asked for once, and again only after its state changed.

use bytes::Bytes;

use super::layer::Layer;
use super::msg::{Leave, Req};
use super::regions::regions;
use super::state::{Mode, Pending, State};
use super::tile::{Stream, Tile, TileKind};
use super::view::inner;
use crate::proto::{NodeState, Phase, Request, Response, ServerMessage, StreamEnd, View};

/// Bytes of a console's history to ask for.
const HISTORY: u64 = 256 << 10;

/// The first requests of a connection.
pub(super) fn greet(state: &mut State) -> Vec<Req> {
    vec![state.ask(Request::Subscribe, Pending::Subscribe)]
}

pub(super) fn on_message(state: &mut State, message: ServerMessage) -> Vec<Req> {
    match message {
        ServerMessage::View { view } => on_view(state, *view),
        ServerMessage::Response { id, response } => {
            let pending = state.pending.remove(&id);
            on_response(state, id, pending, response)
        }
        ServerMessage::StreamClosed { stream, end } => on_stream_closed(state, stream, &end),
        ServerMessage::Taken { stream, bytes } => {
            let Some(tile) = state.tiles.iter_mut().find(|t| t.stream == Stream::Open(stream)) else {
                return Vec::new();
            };
            tile.taken(bytes);
            tile.take_input().map(|bytes| Req::Data { stream, bytes }).into_iter().collect()
        }
        ServerMessage::Goodbye { reason } => {
            if matches!(state.view.phase, Phase::Failed { .. }) {
                return Vec::new();
            }
            vec![Req::Leave(Leave::ShutDown(Some(reason).filter(|r| !r.is_empty())))]
        }
    }
}

pub(super) fn on_lost(state: &mut State, why: &str) -> Vec<Req> {
    state.connected = false;
    state.mode = Mode::Nav;
    if matches!(state.view.phase, Phase::Stopping) {
        return vec![Req::Leave(Leave::ShutDown(None))];
    }
    for tile in state.tiles.iter_mut().filter(|t| t.kind != TileKind::Host) {
        tile.stream = Stream::Ended;
    }
    if matches!(state.view.phase, Phase::Failed { .. }) {
        return Vec::new();
    }
    let text = format!("the daemon is gone ({why}); the machines run on, and the session is looked for");
    state.notice = Some((u64::MAX, true, text));
    Vec::new()
}

/// A new daemon has the session: everything is asked for anew; root shells ended with the old one.
pub(super) fn on_reconnected(state: &mut State) -> Vec<Req> {
    state.connected = true;
    state.pending.clear();
    state.tried.clear();
    state.tiles.retain(|t| t.kind != TileKind::Shell);
    for tile in state.tiles.iter_mut().filter(|t| t.kind == TileKind::Serial) {
        tile.stream = Stream::None;
    }
    state.tile = state.tile.min(state.tiles.len().saturating_sub(1));
    state.say(false, "a new daemon has taken the session over; no machine was lost");
    greet(state)
}

pub(super) fn on_data(state: &mut State, stream: u32, bytes: Bytes) {
    let now = state.now;
    let focus = state.tile;
    let Some(index) = state.tiles.iter().position(|t| t.stream == Stream::Open(stream)) else { return };
    let tile = &mut state.tiles[index];
    // What is replayed at the start is no activity.
    let fresh = tile.last_output.is_some();
    tile.last_output = Some(now);
    tile.unseen |= fresh && index != focus;
    tile.push(bytes);
}

fn on_view(state: &mut State, view: View) -> Vec<Req> {
    let selected = view.nodes.iter().any(|n| n.name == state.selected);
    state.view = view;
    state.loaded = true;
    if !selected {
        state.selected = state.view.nodes.first().map(|n| n.name.clone()).unwrap_or_default();
    }
    let nodes = state.view.nodes.len();
    let clamp = |at: usize, len: usize| at.min(len.saturating_sub(1));
    state.reach = (clamp(state.reach.0, nodes), clamp(state.reach.1, nodes));
    state.link = clamp(state.link, state.pairs().len());
    state.interface = clamp(state.interface, state.interfaces().len());
    state.forward = clamp(state.forward, state.view.forwards.len());
    state.test = clamp(state.test, state.view.tests.subtests.len());
    arrange_tiles(state);
    open_consoles(state)
}

/// One tile a node in the view's order, root shells after them.
fn arrange_tiles(state: &mut State) {
    let focused = state.focused().map(|t| (t.node.clone(), t.kind, t.stream));
    let mut old = std::mem::take(&mut state.tiles);
    for node in &state.view.nodes {
        let at = old.iter().position(|t| t.node == node.name && t.kind == TileKind::Serial);
        state.tiles.push(match at {
            Some(i) => old.remove(i),
            None => Tile::new(&node.name, TileKind::Serial, state.options.config.ui.scrollback),
        });
    }
    state.tiles.extend(old.into_iter().filter(|t| t.kind.is_terminal()));
    let same = |t: &Tile| focused.as_ref().is_some_and(|f| *f == (t.node.clone(), t.kind, t.stream));
    state.tile = state.tiles.iter().position(same).unwrap_or(0).min(state.tiles.len().saturating_sub(1));
}

fn open_consoles(state: &mut State) -> Vec<Req> {
    let mut reqs = Vec::new();
    for i in 0..state.tiles.len() {
        let tile = &state.tiles[i];
        let Some(node) = state.node_named(&tile.node) else { continue };
        let (name, now_in) = (node.name.clone(), node.state);
        let running = matches!(
            now_in,
            NodeState::Booting | NodeState::Up | NodeState::Paused | NodeState::Stopping | NodeState::Crashed
        );
        let wanted = match tile.stream {
            Stream::None => running,
            Stream::Ended => running && state.tried.get(&name) != Some(&now_in),
            _ => false,
        };
        if tile.kind.is_terminal() || !wanted || !state.connected {
            continue;
        }
        state.tried.insert(name.clone(), now_in);
        state.tiles[i].restart();
        let req = state.ask(Request::Console { node: name, history: HISTORY }, Pending::Tile);
        if let Req::Send { id, .. } = req {
            state.tiles[i].stream = Stream::Asked(id);
        }
        reqs.push(req);
    }
    reqs
}

fn on_response(state: &mut State, id: u64, pending: Option<Pending>, response: Response) -> Vec<Req> {
    let tile = state.tiles.iter().position(|t| t.stream == Stream::Asked(id));
    match (response, pending) {
        (Response::View { view }, _) => return on_view(state, *view),
        (Response::Stream { stream }, Some(Pending::Sync { node, rows, cols })) => {
            state.pending.insert(u64::from(stream) | SYNC, Pending::Sync { node, rows, cols });
        }
        (Response::Stream { stream }, _) => match tile {
            Some(i) => {
                state.tiles[i].stream = Stream::Open(stream);
                return fit_shells(state);
            }
            None => return vec![state.ask(Request::Close { stream }, Pending::Quiet)],
        },
        (Response::Ok { message }, Some(Pending::Forward)) => {
            if matches!(state.layers.last(), Some(Layer::Forward(_))) {
                state.layers.pop();
            }
            state.say(false, if message.is_empty() { "forwarded".into() } else { message });
        }
        // Without a message the log line says it, where there is one.
        (Response::Ok { message }, Some(Pending::Act(cli))) if !message.is_empty() || state.zoom => {
            state.say(false, if message.is_empty() { format!("$ {cli}") } else { message });
        }
        (Response::Qmp { .. }, Some(Pending::Picture(file))) => {
            state.say(false, format!("wrote {}", file.display()));
        }
        (Response::Error { message, .. }, Some(Pending::Picture(_))) if message.contains("no console") => {
            state.say(true, "this machine has no display; virtualisation.graphics = true gives it one");
        }
        (Response::Ok { message }, Some(Pending::Down)) if !message.is_empty() => state.say(false, message),
        (Response::Error { message, hint }, pending) => {
            let text = hint.map_or_else(|| message.clone(), |h| format!("{message}; {h}"));
            if let Some(i) = tile {
                state.tiles[i].stream = Stream::Ended;
                if state.tiles[i].kind == TileKind::Shell {
                    remove_tile(state, i);
                    state.say(true, text);
                }
                return Vec::new();
            }
            if let (Some(Pending::Forward), Some(Layer::Forward(form))) = (&pending, state.layers.last_mut())
            {
                form.error = Some(text);
                form.waiting = false;
            } else if pending != Some(Pending::Quiet) {
                state.say(true, text);
            }
        }
        _ => {}
    }
    Vec::new()
}

/// Marks the pending entries whose key is a stream rather than a request.
const SYNC: u64 = 1 << 63;

fn on_stream_closed(state: &mut State, stream: u32, end: &StreamEnd) -> Vec<Req> {
    if let Some(Pending::Sync { node, rows, cols }) = state.pending.remove(&(u64::from(stream) | SYNC)) {
        let of = |t: &&mut Tile| t.node == node && t.kind == TileKind::Serial;
        if *end == (StreamEnd::Exited { code: 0 }) {
            if let Some(tile) = state.tiles.iter_mut().find(of) {
                tile.screen.resize(rows, cols);
            }
            state.say(false, format!("{node}'s console has {rows} rows and {cols} columns now"));
        } else {
            state.say(true, format!("stty in {node}: {}", words(end)));
        }
        return Vec::new();
    }
    let Some(i) = state.tiles.iter().position(|t| t.stream == Stream::Open(stream)) else {
        return Vec::new();
    };
    if state.tiles[i].kind.is_terminal() {
        let bad = !matches!(end, StreamEnd::Exited { .. } | StreamEnd::Closed);
        let text = format!("{}: {}", state.tiles[i].title(), words(end));
        remove_tile(state, i);
        state.say(bad, text);
        return Vec::new();
    }
    state.tiles[i].stream = Stream::Ended;
    if state.mode == Mode::Console && state.tile == i {
        state.mode = Mode::Nav;
        let node = state.tiles[i].node.clone();
        state.say(true, format!("{node}'s console ended: {}", words(end)));
    }
    open_consoles(state)
}

fn words(end: &StreamEnd) -> String {
    match end {
        StreamEnd::Exited { code } => format!("exit status {code}"),
        StreamEnd::Killed { signal } => format!("killed by signal {signal}"),
        StreamEnd::NotStarted { reason } | StreamEnd::Broken { reason } => reason.clone(),
        StreamEnd::Closed => "closed".into(),
    }
}

/// Takes a tile away and gives the focus to its node's console.
pub(super) fn remove_tile(state: &mut State, index: usize) {
    let tile = state.tiles.remove(index);
    if state.tile == index {
        state.mode = Mode::Nav;
        state.zoom = false;
        state.select_node(&tile.node);
    } else if state.tile > index {
        state.tile -= 1;
    }
    state.tile = state.tile.min(state.tiles.len().saturating_sub(1));
}

/// Tells each root shell the size of its tile.
pub(super) fn fit_shells(state: &mut State) -> Vec<Req> {
    let shown = regions(state).tiles;
    let mut reqs = Vec::new();
    for (i, area) in shown {
        let inside = inner(state, area);
        let Some(tile) = state.tiles.get_mut(i) else { continue };
        let (Stream::Open(stream), true) = (tile.stream, tile.kind.is_terminal()) else { continue };
        let (rows, cols) = (inside.height.max(2), inside.width.max(2));
        if (tile.screen.rows(), tile.screen.cols()) != (usize::from(rows), usize::from(cols)) {
            tile.screen.resize(rows, cols);
            reqs.push(state.ask(Request::Resize { stream, rows, cols }, Pending::Quiet));
        }
    }
    reqs
}
