//! Every key, from the table, with what it does.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Outcome, window};
use crate::tui::commands::COMMANDS;
use crate::tui::keymap::{Key, Keymap, Scope};
use crate::tui::state::State;
use crate::tui::theme::Theme;
use crate::tui::view::put;

/// The help, scrolled by some lines.
#[derive(Debug, Default)]
pub struct Help {
    scroll: usize,
}

impl Help {
    pub(super) fn key(&mut self, key: Key) -> Outcome {
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll += 15,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(15),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            _ => return Outcome::Close,
        }
        self.scroll = self.scroll.min(COMMANDS.len() + 4 * Scope::ALL.len());
        Outcome::Stay
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let t = &state.theme;
        let lines = lines(&state.keymap, t, state.scope());
        let inside = window(
            t,
            area,
            92,
            area.height.saturating_sub(2),
            "Help",
            "j k scroll · any other key closes",
            buf,
        );
        let last = lines.len().saturating_sub(usize::from(inside.height));
        for (row, line) in
            lines.iter().skip(self.scroll.min(last)).take(usize::from(inside.height)).enumerate()
        {
            put(buf, inside, row, line);
        }
        None
    }
}

/// The lines, what holds now first.
fn lines(keymap: &Keymap, t: &Theme, now: Scope) -> Vec<Line<'static>> {
    let mut scopes: Vec<_> = Scope::ALL.to_vec();
    scopes.sort_by_key(|(s, ..)| (*s != now, *s != Scope::Nav));
    let mut out = Vec::new();
    for (scope, _, heading) in scopes {
        let rows = keymap.rows(scope);
        if rows.is_empty() {
            continue;
        }
        out.push(Line::styled(format!(" {heading}"), t.title_focus));
        for (command, keys) in rows {
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            out.push(Line::from(vec![
                Span::styled(format!("   {:18}", keys.join("  ")), t.key),
                Span::styled(format!(" {:18}", command.name), t.accent),
                Span::styled(command.doc.to_owned(), t.text),
            ]));
        }
        out.push(Line::default());
    }
    out
}
