//! ```text
//! ┏ Forward a port ━━━━━━━━━━━━━━━━━━━━━━━━━┓
//! ┃ node        web1          ←→ changes     ┃
//! ┃ guest port  80_                          ┃
//! ┃ host port   8080          0: any free    ┃
//! ┃ protocol    tcp           ←→ changes     ┃
//! ┃ ✕ 8080 is taken                          ┃
//! ┗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┛
//! ```

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::input::Input;
use super::{Outcome, Run, window};
use crate::model::Proto;
use crate::proto::Action;
use crate::tui::keymap::Key;
use crate::tui::state::State;
use crate::tui::view::{clip, put, tint};

/// The form.
#[derive(Debug)]
pub struct ForwardForm {
    node: String,
    guest: Input,
    host: Input,
    /// Whether the guest port was typed rather than suggested.
    guest_typed: bool,
    /// Whether the host port was typed rather than suggested.
    host_typed: bool,
    proto: Proto,
    row: usize,
    /// What was wrong with the last try.
    pub error: Option<String>,
    /// Whether the daemon is being asked.
    pub waiting: bool,
}

const ROWS: usize = 4;

/// A suggestion goes when something is typed over it.
fn replace_suggestion(input: &mut Input, typed: bool, code: KeyCode) {
    if !typed && matches!(code, KeyCode::Char(_)) {
        *input = Input::default();
    }
}

impl ForwardForm {
    /// Creates a form for the selected node.
    pub fn new(state: &State) -> Self {
        let mut form = Self {
            node: state.selected.clone(),
            guest: Input::new("80"),
            host: Input::default(),
            guest_typed: false,
            host_typed: false,
            proto: Proto::Tcp,
            row: 1,
            error: None,
            waiting: false,
        };
        form.suggest(state);
        form
    }

    /// Suggests a host port that no forward has yet.
    fn suggest(&mut self, state: &State) {
        if self.host_typed {
            return;
        }
        let guest: u16 = self.guest.text().parse().unwrap_or(0);
        let first = if guest < 1024 { 8000 + guest % 1000 } else { guest };
        let taken = |p: u16| state.view.forwards.iter().any(|f| f.host_port == p && f.proto == self.proto);
        let port = (first..=u16::MAX).find(|p| !taken(*p)).unwrap_or(0);
        self.host = Input::new(&port.to_string());
    }

    pub(super) fn key(&mut self, state: &State, key: Key) -> Outcome {
        match (key.code, self.row) {
            (KeyCode::Esc, _) => return Outcome::Close,
            (KeyCode::Enter, _) => return self.submit(),
            (KeyCode::Down | KeyCode::Tab, _) => self.row = (self.row + 1) % ROWS,
            (KeyCode::Up | KeyCode::BackTab, _) => self.row = (self.row + ROWS - 1) % ROWS,
            (KeyCode::Left | KeyCode::Right | KeyCode::Char(' '), 0) => {
                self.next_node(state, key.code == KeyCode::Left)
            }
            (KeyCode::Left | KeyCode::Right | KeyCode::Char(' '), 3) => {
                self.proto = if self.proto == Proto::Tcp { Proto::Udp } else { Proto::Tcp };
                self.suggest(state);
            }
            (KeyCode::Char(c), 1 | 2) if !c.is_ascii_digit() && key.mods.is_empty() => {}
            (code, 1) => {
                replace_suggestion(&mut self.guest, self.guest_typed, code);
                self.guest_typed |= self.guest.key(key);
                self.suggest(state);
            }
            (code, 2) => {
                replace_suggestion(&mut self.host, self.host_typed, code);
                self.host_typed |= self.host.key(key);
            }
            _ => {}
        }
        self.error = None;
        Outcome::Stay
    }

    fn next_node(&mut self, state: &State, back: bool) {
        let names: Vec<&str> = state.view.nodes.iter().map(|n| n.name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        let at = names.iter().position(|n| *n == self.node).unwrap_or(0);
        let step = if back { names.len() - 1 } else { 1 };
        self.node = names[(at + step) % names.len()].to_owned();
    }

    fn submit(&mut self) -> Outcome {
        let port = |i: &Input, name: &str, min: u16| match i.text().parse::<u16>() {
            Ok(p) if p >= min => Ok(p),
            _ => Err(format!("the {name} port is a number from {min} to 65535")),
        };
        let ports = port(&self.guest, "guest", 1).and_then(|g| Ok((g, port(&self.host, "host", 0)?)));
        match ports {
            Ok((guest_port, host_port)) => {
                self.waiting = true;
                let action =
                    Action::ForwardAdd { node: self.node.clone(), proto: self.proto, host_port, guest_port };
                Outcome::Keep(Run::Forward(action))
            }
            Err(e) => {
                self.error = Some(e);
                Outcome::Stay
            }
        }
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let t = &state.theme;
        let inside = window(t, area, 60, 9, "Forward a port of 127.0.0.1", "⏎ add · esc", buf);
        let rows = [
            ("node", self.node.clone(), "← → changes"),
            ("guest port", self.guest.text(), ""),
            ("host port", self.host.text(), "0: any free one"),
            ("protocol", self.proto.to_string(), "← → changes"),
        ];
        for (i, (name, value, hint)) in rows.iter().enumerate() {
            let line = Line::from(vec![
                Span::styled(format!(" {name:11} "), t.dim),
                Span::styled(format!("{value:20} "), t.text),
                Span::styled(*hint, t.dim),
            ]);
            put(buf, inside, i, &line);
            if i == self.row {
                tint(buf, inside, i, t.cursor);
            }
        }
        let (text, style) = match (&self.error, self.waiting) {
            (Some(e), _) => (format!(" ✕ {e}"), t.bad),
            (None, true) => (" asking …".into(), t.dim),
            _ => (String::new(), t.dim),
        };
        let width = usize::from(inside.width);
        let head: String = text.chars().take(width).collect();
        put(buf, inside, 5, &Line::styled(head, style));
        if text.chars().count() > width {
            let tail: String = text.chars().skip(width).collect();
            put(buf, inside, 6, &Line::styled(clip(&format!("   {tail}"), width), style));
        }
        let input = match self.row {
            1 => &self.guest,
            2 => &self.host,
            _ => return None,
        };
        Some(Position::new(inside.x + (13 + input.column()) as u16, inside.y + self.row as u16))
    }
}
