//! A daemon that speaks the real protocol about machines that do not exist.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use diorama::model::GuestSystem;
use diorama::proto::{
    Action, ClientMessage, Codec, Count, ForwardView, Frame, InterfaceView, Level, LinkView, LogEntry,
    NodeState, NodeVerb, NodeView, PROTOCOL_VERSION, Phase, Request, Response, STREAM_WINDOW, Seen,
    ServerMessage, StreamEnd, View, Wanted,
};
use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio_util::codec::Framed;

/// A network of `n` nodes on one VLAN, and on a second one for every other node.
pub fn network(n: usize) -> View {
    let names: Vec<String> = match n {
        3 => ["postgresql", "storage", "webserver"].map(str::to_owned).to_vec(),
        _ => (1..=n).map(|i| format!("node{i:02}")).collect(),
    };
    let started = 1_700_000_000_000;
    let mut view = View {
        revision: 1,
        session: "fake".into(),
        network: "fake".into(),
        model: "network.nix".into(),
        system: GuestSystem::Debian,
        phase: Phase::Running,
        accelerator: "tcg: /dev/kvm hangs a guest".into(),
        started,
        clients: 1,
        ..View::default()
    };
    for (i, name) in names.iter().enumerate() {
        let vlans: &[u16] = if n > 3 && i % 2 == 0 { &[1, 2] } else { &[1] };
        let interfaces = vlans.iter().enumerate().map(|(k, v)| InterfaceView {
            name: format!("eth{}", k + 1),
            vlan: *v,
            mac: format!("52:54:00:12:{v:02x}:{:02x}", i + 1),
            addresses: vec![format!("192.168.{v}.{}", i + 1)],
            carrier: true,
            connected: true,
            rx: Count { frames: 120, bytes: 9000 },
            ..InterfaceView::default()
        });
        view.nodes.push(NodeView {
            name: name.clone(),
            state: NodeState::Up,
            pid: Some(4000 + i as u32),
            boot_ms: Some(11_000 + 300 * i as u64),
            agent: true,
            interfaces: interfaces.collect(),
            memory: 384,
            cores: 1,
            ..NodeView::default()
        });
    }
    for a in &names {
        for b in names.iter().filter(|b| *b != a) {
            view.links.push(LinkView {
                from: a.clone(),
                to: b.clone(),
                vlans: vec![1],
                seen: Seen::Passing,
                delivered: Count { frames: 40, bytes: 4000 },
                ..LinkView::default()
            });
        }
    }
    let last = names.last().cloned().unwrap_or_default();
    view.forwards.push(ForwardView {
        node: last,
        host_port: 8082,
        guest_port: 80,
        from_model: true,
        active: true,
        ..ForwardView::default()
    });
    view
}

struct Stream {
    node: String,
    shell: bool,
    window: usize,
    flood: bool,
}

/// Serves one client until it goes.
pub async fn serve(socket: UnixStream, mut view: View) {
    let mut wire = Framed::new(socket, Codec);
    let mut streams: HashMap<u32, Stream> = HashMap::new();
    let mut next = 0;
    let mut dice = tokio::time::interval(Duration::from_millis(20));
    loop {
        let frame = tokio::select! {
            frame = wire.next() => frame,
            _ = dice.tick(), if streams.values().any(|s| s.flood) => {
                for (id, s) in streams.iter_mut().filter(|(_, s)| s.flood) {
                    let bytes = "\x1b[31mflood \x1b[32mof \x1b]0;evil\x07colours\x1b[m ".repeat(1000);
                    if s.window >= bytes.len() {
                        s.window -= bytes.len();
                        wire.feed(data(*id, bytes)).await.ok();
                    }
                }
                wire.flush().await.ok();
                continue;
            }
        };
        let Some(Ok(frame)) = frame else { return };
        match frame {
            Frame::Data { stream, bytes, .. } => {
                let Some(s) = streams.get_mut(&stream) else { continue };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                s.flood |= text.contains('\x06');
                if s.shell && text.contains('\x04') {
                    streams.remove(&stream);
                    let end = StreamEnd::Exited { code: 0 };
                    wire.send(json(&ServerMessage::StreamClosed { stream, end })).await.ok();
                    continue;
                }
                let echo = text.replace('\r', &format!("\r\n{}# ", s.node));
                wire.feed(data(stream, echo)).await.ok();
                let taken = ServerMessage::Taken { stream, bytes: bytes.len() as u32 };
                wire.send(json(&taken)).await.ok();
            }
            Frame::Json(body) => {
                let Ok(ClientMessage { id, request }) = serde_json::from_slice(&body) else { return };
                let (response, after) = answer(&mut view, &mut streams, &mut next, request);
                if wire.send(json(&ServerMessage::Response { id, response })).await.is_err() {
                    return;
                }
                for frame in after {
                    if wire.send(frame).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn answer(
    view: &mut View,
    streams: &mut HashMap<u32, Stream>,
    next: &mut u32,
    request: Request,
) -> (Response, Vec<Frame>) {
    let ok = || Response::Ok { message: String::new() };
    match request {
        Request::Hello { .. } => {
            (Response::Welcome { version: PROTOCOL_VERSION, session: view.session.clone() }, Vec::new())
        }
        Request::View | Request::Subscribe => (Response::View { view: Box::new(view.clone()) }, Vec::new()),
        Request::Act { action } => {
            act(view, &action);
            let message = ServerMessage::View { view: Box::new(view.clone()) };
            (ok(), vec![json(&message)])
        }
        Request::Console { node, .. } => {
            *next += 1;
            let banner = format!(
                "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mMulti-User System\x1b[0m.\r\n\r\n\
                 Debian GNU/Linux 12 {node} ttyS0\r\n\r\n{node} login: "
            );
            let window = STREAM_WINDOW as usize;
            streams.insert(*next, Stream { node, shell: false, window, flood: false });
            (Response::Stream { stream: *next }, vec![data(*next, banner)])
        }
        Request::Exec { node, .. } => {
            *next += 1;
            let prompt = format!("root@{node}:~# ");
            let window = STREAM_WINDOW as usize;
            streams
                .insert(*next, Stream { node: format!("root@{node}:~"), shell: true, window, flood: false });
            (Response::Stream { stream: *next }, vec![data(*next, prompt)])
        }
        Request::Window { stream, bytes } => {
            if let Some(s) = streams.get_mut(&stream) {
                s.window += bytes as usize;
            }
            (ok(), Vec::new())
        }
        Request::Close { stream } => {
            streams.remove(&stream);
            (ok(), vec![json(&ServerMessage::StreamClosed { stream, end: StreamEnd::Closed })])
        }
        Request::Down { .. } => {
            (ok(), vec![json(&ServerMessage::Goodbye { reason: "every machine is off".into() })])
        }
        Request::Resize { .. } | Request::Signal { .. } | Request::TestTold { .. } => (ok(), Vec::new()),
        Request::TestRun { .. } | Request::TestStop => {
            (Response::Error { message: "the model has no testScript".into(), hint: None }, Vec::new())
        }
        Request::Qmp { .. } => (Response::Qmp { value: serde_json::Value::Null }, Vec::new()),
        Request::Manifest | Request::QmpEvents { .. } => {
            (Response::Error { message: "the screen asks for no such thing".into(), hint: None }, Vec::new())
        }
    }
}

fn act(view: &mut View, action: &Action) {
    view.revision += 1;
    match action {
        Action::Cut { from, to } | Action::Heal { from, to } => {
            let cut = matches!(action, Action::Cut { .. });
            for l in view.links.iter_mut().filter(|l| l.from == *from && l.to == *to) {
                l.wanted = if cut { Wanted::Cut } else { Wanted::Ok };
                l.seen = if cut { Seen::Blocked } else { Seen::Passing };
            }
        }
        Action::HealAll => {
            view.links.iter_mut().for_each(|l| (l.wanted, l.seen) = (Wanted::Ok, Seen::Passing))
        }
        Action::Node { node, verb } => {
            for n in view.nodes.iter_mut().filter(|n| n.name == *node) {
                n.state = match verb {
                    NodeVerb::Stop | NodeVerb::Crash => NodeState::Stopped,
                    NodeVerb::Pause => NodeState::Paused,
                    _ => NodeState::Up,
                };
            }
        }
        Action::Carrier { node, up, .. } => {
            for n in view.nodes.iter_mut().filter(|n| n.name == *node) {
                n.interfaces.iter_mut().for_each(|i| i.carrier = *up);
            }
        }
        Action::ForwardAdd { node, proto, host_port, guest_port } => view.forwards.push(ForwardView {
            node: node.clone(),
            proto: *proto,
            host_port: *host_port,
            guest_port: *guest_port,
            active: true,
            ..ForwardView::default()
        }),
        _ => {}
    }
    view.faults = view.links.iter().filter(|l| l.wanted == Wanted::Cut).count() as u32;
    let time = view.started + 60_000;
    view.log.push(LogEntry { time, level: Level::Info, text: String::new(), cli: Some(action.cli()) });
}

fn json(message: &ServerMessage) -> Frame {
    Frame::json(message).expect("messages are plain data")
}

fn data(stream: u32, text: String) -> Frame {
    Frame::Data { stream, channel: 0, bytes: Bytes::from(text) }
}
