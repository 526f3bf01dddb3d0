//! Any keys, mouse events, sizes and views in any order: no panic, and the cursors stay in range.

use proptest::prelude::*;
use ratatui::crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::proto::StreamEnd;

#[derive(Debug, Clone)]
enum Step {
    Key(KeyCode, KeyModifiers),
    Mouse(u8, u16, u16),
    Resize(u16, u16),
    View(u8),
    Data(u32, Vec<u8>),
    Closed(u32),
    Paste(String),
    Lost,
    Reconnected,
}

fn steps() -> impl Strategy<Value = Step> {
    let chars: Vec<char> = (' '..='~').collect();
    let named = vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Backspace,
        KeyCode::F(1),
    ];
    prop_oneof![
        12 => prop::sample::select(chars).prop_map(|c| Step::Key(KeyCode::Char(c), KeyModifiers::NONE)),
        6 => prop::sample::select(named).prop_map(|k| Step::Key(k, KeyModifiers::NONE)),
        2 => prop::sample::select(vec!['p', 'u', ']', 'w', 'c']).prop_map(|c| Step::Key(KeyCode::Char(c), KeyModifiers::CONTROL)),
        4 => (0u8..5, 0u16..150, 0u16..60).prop_map(|(k, x, y)| Step::Mouse(k, x, y)),
        1 => (0u16..150, 0u16..60).prop_map(|(c, r)| Step::Resize(c, r)),
        2 => (0u8..4).prop_map(Step::View),
        3 => (1u32..6, prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(s, b)| Step::Data(s, b)),
        1 => (1u32..6).prop_map(Step::Closed),
        1 => ".{0,12}".prop_map(Step::Paste),
        1 => Just(Step::Lost),
        1 => Just(Step::Reconnected),
    ]
}

fn mouse(kind: u8, column: u16, row: u16) -> MouseEvent {
    let kind = match kind {
        0 => MouseEventKind::Down(MouseButton::Left),
        1 => MouseEventKind::Drag(MouseButton::Left),
        2 => MouseEventKind::Up(MouseButton::Left),
        3 => MouseEventKind::ScrollUp,
        _ => MouseEventKind::ScrollDown,
    };
    MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn anything_in_any_order(steps in prop::collection::vec(steps(), 1..60)) {
        let mut s = state_of(trac(), (100, 30));
        let mut next = 10;
        for step in steps {
            let msg = match step {
                Step::Key(code, mods) => Msg::Key(KeyEvent::new(code, mods)),
                Step::Mouse(kind, x, y) => Msg::Mouse(mouse(kind, x, y)),
                Step::Resize(cols, rows) => Msg::Resize(cols, rows),
                Step::View(n) => {
                    let view = match n {
                        0 => View::default(),
                        1 => ten(),
                        _ => trac(),
                    };
                    Msg::Server(ServerMessage::View { view: Box::new(view) })
                }
                Step::Data(stream, bytes) => Msg::Data { stream, bytes: bytes.into() },
                Step::Closed(stream) => {
                    Msg::Server(ServerMessage::StreamClosed { stream, end: StreamEnd::Exited { code: 1 } })
                }
                Step::Paste(text) => Msg::Paste(text),
                Step::Lost => Msg::Lost("gone".into()),
                Step::Reconnected => Msg::Reconnected,
            };
            let reqs = update(&mut s, START + 80_000, msg);
            s.digest(1 << 16);
            for req in reqs {
                if let Req::Send { id, request: crate::proto::Request::Exec { .. } } = req {
                    next += 1;
                    send(&mut s, ServerMessage::Response { id, response: Response::Stream { stream: next } });
                }
            }
            screen(&s);
            prop_assert!(s.tile < s.tiles.len().max(1));
            prop_assert!(s.view.nodes.is_empty() || s.reach.0 < s.view.nodes.len());
        }
    }
}
