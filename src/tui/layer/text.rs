//! Something to read, scrolled.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::{Outcome, window};
use crate::tui::keymap::Key;
use crate::tui::state::State;
use crate::tui::view::plain;

/// A text with a title.
#[derive(Debug)]
pub struct TextBox {
    /// The title.
    pub title: String,
    /// The text.
    pub text: String,
    /// Lines it is scrolled by.
    pub scroll: u16,
}

impl TextBox {
    pub(super) fn key(&mut self, key: Key) -> Outcome {
        let lines = u16::try_from(self.text.lines().count()).unwrap_or(u16::MAX);
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.scroll = (self.scroll + 1).min(lines),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll = (self.scroll + 15).min(lines),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(15),
            _ => return Outcome::Close,
        }
        Outcome::Stay
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let width = area.width.saturating_sub(6).min(100);
        let rows =
            self.text.lines().map(|l| l.chars().count() / usize::from(width.max(3) - 2) + 1).sum::<usize>();
        let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(2));
        let inside = window(&state.theme, area, width, height, &self.title, "any key closes", buf);
        let clean = plain(&self.text);
        Paragraph::new(clean).wrap(Wrap { trim: false }).scroll((self.scroll, 0)).render(inside, buf);
        None
    }
}
