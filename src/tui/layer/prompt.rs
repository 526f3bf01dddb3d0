//! One line at the bottom: a filter or a search.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::input::Input;
use super::{Outcome, Run};
use crate::tui::keymap::Key;
use crate::tui::state::State;
use crate::tui::view::put;

/// What the line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    /// Filters the nodes while it is typed.
    Filter,
    /// Searches the focused console.
    Search,
}

/// The line.
#[derive(Debug)]
pub struct Prompt {
    /// What it is for.
    pub kind: PromptKind,
    /// What was typed.
    pub input: Input,
}

impl Prompt {
    pub(super) fn key(&mut self, key: Key) -> Outcome {
        match key.code {
            KeyCode::Esc => Outcome::Run(match self.kind {
                PromptKind::Filter => Run::Filter(String::new()),
                PromptKind::Search => Run::Nothing,
            }),
            KeyCode::Enter => Outcome::Run(self.run()),
            _ if self.input.key(key) => match self.kind {
                PromptKind::Filter => Outcome::Keep(self.run()),
                PromptKind::Search => Outcome::Stay,
            },
            _ => Outcome::Stay,
        }
    }

    fn run(&self) -> Run {
        match self.kind {
            PromptKind::Filter => Run::Filter(self.input.text()),
            PromptKind::Search => Run::Search(self.input.text()),
        }
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let t = &state.theme;
        let row = Rect { y: area.bottom() - 1, height: 1, ..area };
        Clear.render(row, buf);
        let name = match self.kind {
            PromptKind::Filter => " FILTER ",
            PromptKind::Search => " SEARCH ",
        };
        let line = Line::from(vec![
            Span::styled(name, t.mode_select),
            Span::styled(" /", t.key),
            Span::styled(self.input.text(), t.text),
        ]);
        put(buf, row, 0, &line);
        Some(Position::new(row.x + (name.len() + 2 + self.input.column()) as u16, row.y))
    }
}
