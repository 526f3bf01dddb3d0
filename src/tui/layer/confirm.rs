//! A question with one key for each answer.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Outcome, Run, window};
use crate::tui::keymap::Key;
use crate::tui::state::State;
use crate::tui::view::put;

/// A question; esc and any key that is no answer means no.
#[derive(Debug)]
pub struct Confirm {
    /// The question.
    pub title: String,
    /// What to know before answering.
    pub body: String,
    /// Key, words and what happens; the first is also what enter means when `default` is set.
    pub answers: Vec<(char, &'static str, Run)>,
    /// Whether enter means the first answer.
    pub default: bool,
}

impl Confirm {
    pub(super) fn key(&mut self, key: Key) -> Outcome {
        let by_key = |c: &char| key.code == KeyCode::Char(*c) && key.mods.is_empty();
        if let Some((.., run)) = self.answers.iter().find(|(c, ..)| by_key(c)) {
            return Outcome::Run(run.clone());
        }
        match (key.code, self.default, self.answers.first()) {
            (KeyCode::Enter, true, Some((.., run))) => Outcome::Run(run.clone()),
            _ => Outcome::Close,
        }
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let t = &state.theme;
        let height = self.answers.len() as u16 + 5;
        let longest = self.answers.iter().map(|(_, w, _)| w.chars().count() + 12).max().unwrap_or(0);
        let width = longest.max(self.body.chars().count() + 4).max(self.title.chars().count() + 6) as u16;
        let inside = window(t, area, width.max(44), height, &self.title, "", buf);
        put(buf, inside, 0, &Line::styled(format!(" {}", self.body), t.text));
        for (i, (key, words, _)) in self.answers.iter().enumerate() {
            let default = if i == 0 && self.default { " ⏎" } else { "" };
            let line = Line::from(vec![
                Span::styled(format!("  {key}{default} "), t.key),
                Span::styled((*words).to_owned(), t.text),
            ]);
            put(buf, inside, i + 2, &line);
        }
        let line = Line::from(vec![Span::styled("  esc ", t.key), Span::styled("no, stay", t.dim)]);
        put(buf, inside, self.answers.len() + 2, &line);
        None
    }
}
