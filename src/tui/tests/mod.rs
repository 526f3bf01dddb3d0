//! Tests of the pure half: messages in, requests and screens out.

mod fuzz;
mod keys;
mod screens;
mod ship;
mod test_panel;

use bytes::Bytes;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyEvent, KeyModifiers};

use super::keymap::Key;
use super::msg::{Msg, Req};
use super::state::{State, TuiOptions};
use super::tile::Stream;
use super::{server, update, view};
use crate::model::GuestSystem;
use crate::proto::{
    Count, ForwardView, InterfaceView, Level, LinkView, Load, LogEntry, NodeState, NodeView, Phase, Response,
    Seen, ServerMessage, View,
};

const START: u64 = 1_700_000_000_000;

/// A network of nodes that share VLANs: name, state, VLANs.
fn network(nodes: &[(&str, NodeState, &[u16])]) -> View {
    let mut view = View {
        revision: 1,
        session: "trac".into(),
        network: "trac".into(),
        model: "network.nix".into(),
        system: GuestSystem::Debian,
        phase: Phase::Running,
        accelerator: "tcg: /dev/kvm hangs a guest".into(),
        started: START,
        clients: 1,
        ..View::default()
    };
    for (i, (name, state, vlans)) in nodes.iter().enumerate() {
        let interfaces = vlans.iter().enumerate().map(|(k, vlan)| InterfaceView {
            name: format!("eth{}", k + 1),
            vlan: *vlan,
            mac: format!("52:54:00:12:{vlan:02x}:{:02x}", i + 1),
            addresses: vec![format!("192.168.{vlan}.{}", i + 1)],
            carrier: true,
            connected: true,
            rx: Count { frames: 10, bytes: 1234 },
            ..InterfaceView::default()
        });
        view.nodes.push(NodeView {
            name: (*name).into(),
            state: *state,
            pid: matches!(state, NodeState::Up | NodeState::Booting).then_some(1000 + i as u32),
            boot_ms: (*state == NodeState::Up).then_some(11_200),
            interfaces: interfaces.collect(),
            memory: 384,
            cores: 1,
            ..NodeView::default()
        });
    }
    for a in nodes {
        for b in nodes.iter().filter(|b| b.0 != a.0) {
            let vlans: Vec<u16> = a.2.iter().copied().filter(|v| b.2.contains(v)).collect();
            if !vlans.is_empty() {
                let (from, to) = (a.0.into(), b.0.into());
                view.links.push(LinkView { from, to, vlans, seen: Seen::Passing, ..LinkView::default() });
            }
        }
    }
    view
}

/// The Trac network of the paper, up.
fn trac() -> View {
    let up = NodeState::Up;
    let mut v = network(&[("postgresql", up, &[1]), ("storage", up, &[1]), ("webserver", up, &[1])]);
    v.forwards.push(ForwardView {
        node: "webserver".into(),
        host_port: 8082,
        guest_port: 80,
        from_model: true,
        active: true,
        ..ForwardView::default()
    });
    let text = |time, text: &str, cli: Option<&str>| LogEntry {
        time: START + time,
        level: Level::Info,
        text: text.into(),
        cli: cli.map(Into::into),
    };
    v.log = vec![
        text(900, "building systems", None),
        text(12_000, "webserver is up after 11.2 s", None),
        text(75_000, "webserver → postgresql is cut", Some("diorama link cut webserver postgresql")),
    ];
    v
}

/// Ten nodes on two VLANs.
fn ten() -> View {
    let names: Vec<String> = (1..=10).map(|i| format!("node{i:02}")).collect();
    let nodes: Vec<(&str, NodeState, &[u16])> = names
        .iter()
        .enumerate()
        .map(|(i, n)| (n.as_str(), NodeState::Up, if i < 5 { &[1u16, 2][..] } else { &[2][..] }))
        .collect();
    network(&nodes)
}

/// A state with this view, its consoles open as streams 1, 2, ….
fn state_of(view: View, size: (u16, u16)) -> State {
    state_with(view, size, &crate::config::Config::default())
}

fn state_with(view: View, size: (u16, u16), config: &crate::config::Config) -> State {
    let options = TuiOptions {
        config: config.clone(),
        no_color: false,
        truecolor: true,
        directory: "/home/user".into(),
    };
    let mut state = State::new(options, size).unwrap();
    server::greet(&mut state);
    let reqs = send(&mut state, ServerMessage::View { view: Box::new(view) });
    let mut stream = 0;
    for req in reqs {
        if let Req::Send { id, .. } = req {
            stream += 1;
            send(&mut state, ServerMessage::Response { id, response: Response::Stream { stream } });
        }
    }
    state
}

fn send(state: &mut State, message: ServerMessage) -> Vec<Req> {
    update(state, START + 80_000, Msg::Server(message))
}

/// Prints something on a node's console.
fn print(state: &mut State, node: &str, text: &str) {
    let Some(Stream::Open(stream)) = state.tiles.iter().find(|t| t.node == node).map(|t| t.stream) else {
        panic!("{node} has no open console")
    };
    let bytes = Bytes::from(text.to_owned());
    update(state, START + 80_000, Msg::Data { stream, bytes });
    while state.behind() {
        state.digest(1 << 20);
    }
}

/// Presses keys, written with blanks between them.
fn press(state: &mut State, keys: &str) -> Vec<Req> {
    let mut reqs = Vec::new();
    for key in keys.split_whitespace() {
        let Key { code, mods } = key.parse().unwrap_or_else(|e| panic!("{e}"));
        reqs.extend(update(state, START + 80_000, Msg::Key(KeyEvent::new(code, mods))));
    }
    reqs
}

/// Types text.
fn type_text(state: &mut State, text: &str) -> Vec<Req> {
    let mut reqs = Vec::new();
    for c in text.chars() {
        let key = KeyEvent::new(ratatui::crossterm::event::KeyCode::Char(c), KeyModifiers::NONE);
        reqs.extend(update(state, START + 80_000, Msg::Key(key)));
    }
    reqs
}

/// The command lines of the actions among requests.
fn acts(reqs: &[Req]) -> Vec<String> {
    reqs.iter()
        .filter_map(|r| match r {
            Req::Send { request: crate::proto::Request::Act { action }, .. } => Some(action.cli()),
            _ => None,
        })
        .collect()
}

/// The bytes sent to a stream.
fn sent(reqs: &[Req], to: u32) -> Vec<u8> {
    let data = reqs.iter().filter_map(|r| match r {
        Req::Data { stream, bytes } if *stream == to => Some(bytes.to_vec()),
        _ => None,
    });
    data.flatten().collect()
}

/// The screen as text.
fn screen(state: &State) -> String {
    let (cols, rows) = state.size;
    let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
    terminal.draw(|f| view::draw(state, f)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut out = String::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..cols {
            let symbol = buffer[(x, y)].symbol();
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
