//! What is done with the focused console: typing, searching, selecting, root shells.
//!
//! Invariant: no I/O; whatever leaves the interface is a request.

use super::msg::Req;
use super::perform::browse;
use super::regions::regions;
use super::server::{fit_shells, remove_tile};
use super::state::{Mode, Panel, Pending, State};
use super::tile::{Stream, Tile, TileKind};
use super::update::to_guest;
use super::view::inner;
use crate::proto::Request;

/// The root shell's command: bash where there is one.
const SHELL: &str = "cd; command -v bash >/dev/null && exec bash -l; exec sh -l";

pub(super) fn on_screen(state: &mut State, f: impl FnOnce(&mut Tile)) -> Vec<Req> {
    if let Some(tile) = state.focused_mut() {
        f(tile);
    }
    Vec::new()
}

pub(super) fn enter(state: &mut State) -> Vec<Req> {
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

pub(super) fn select(state: &mut State) -> Vec<Req> {
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
pub(super) fn search(state: &mut State, backwards: bool) -> Vec<Req> {
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

pub(super) fn yank(state: &mut State) -> Vec<Req> {
    let Some(text) = state.focused().and_then(|t| t.screen.selected_text()) else {
        state.say(true, "no text is selected: v marks, or drag with the mouse");
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

/// Has a picture of the display written: QEMU writes it, as whoever started the session.
pub(super) fn screenshot(state: &mut State) -> Vec<Req> {
    let Some(node) = state.node().map(|n| n.name.clone()) else {
        state.say(true, "select a node first");
        return Vec::new();
    };
    let file = state.options.directory.join(format!("{node}.png"));
    let arguments = serde_json::json!({ "filename": file, "format": "png" });
    let request = Request::Qmp { node, command: "screendump".into(), arguments };
    vec![state.ask(request, Pending::Picture(file))]
}

pub(super) fn shell(state: &mut State) -> Vec<Req> {
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

pub(super) fn close_shell(state: &mut State) -> Vec<Req> {
    match state.focused().map(|t| (t.kind, t.stream)) {
        Some((TileKind::Shell | TileKind::Host, stream)) => {
            let index = state.tile;
            remove_tile(state, index);
            match stream {
                Stream::Open(stream) => vec![state.ask(Request::Close { stream }, Pending::Quiet)],
                _ => Vec::new(),
            }
        }
        _ => {
            state.say(true, "only shells can be closed; consoles belong to their nodes");
            Vec::new()
        }
    }
}

/// Tells the guest the size of its tile by `stty`; the emulator follows when that worked.
pub(super) fn sync_size(state: &mut State) -> Vec<Req> {
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
