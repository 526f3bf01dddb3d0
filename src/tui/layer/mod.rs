//! What lies over the panels and takes the keys while it is there.
//!
//! Invariant: only the topmost layer gets keys, and every layer can be left with esc.

mod confirm;
mod form;
mod help;
pub(super) mod input;
mod palette;
mod prompt;
mod ship;
mod text;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Clear, Widget};

pub use confirm::Confirm;
pub use form::ForwardForm;
pub use help::Help;
pub use palette::{Palette, Run};
pub use prompt::{Prompt, PromptKind};
pub use ship::ShipBox;
pub use text::TextBox;

use super::keymap::Key;
use super::state::State;
use super::theme::Theme;
use super::view::boxed;

/// A layer.
#[derive(Debug)]
pub enum Layer {
    /// Every key.
    Help(Help),
    /// Every command, by name.
    Palette(Palette),
    /// A question with keys for answers.
    Confirm(Confirm),
    /// Adding a forward.
    Forward(ForwardForm),
    /// One line of text.
    Prompt(Prompt),
    /// A deployment.
    Ship(ShipBox),
    /// Something to read.
    Text(TextBox),
}

/// What a layer makes of a key.
#[derive(Debug)]
pub enum Outcome {
    /// It stays.
    Stay,
    /// It goes.
    Close,
    /// It goes, and this is done.
    Run(Run),
    /// It stays, and this is done.
    Keep(Run),
}

impl Layer {
    /// Handles a key.
    pub(super) fn key(&mut self, state: &State, key: Key) -> Outcome {
        match self {
            Self::Help(l) => l.key(key),
            Self::Palette(l) => l.key(state, key),
            Self::Confirm(l) => l.key(key),
            Self::Forward(l) => l.key(state, key),
            Self::Prompt(l) => l.key(key),
            Self::Ship(l) => l.key(state, key),
            Self::Text(l) => l.key(key),
        }
    }

    /// Handles pasted text.
    pub(super) fn paste(&mut self, state: &State, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()).take(4096) {
            let key = Key {
                code: ratatui::crossterm::event::KeyCode::Char(c),
                mods: ratatui::crossterm::event::KeyModifiers::NONE,
            };
            match self {
                Self::Palette(_) | Self::Forward(_) | Self::Prompt(_) => {
                    self.key(state, key);
                }
                _ => {}
            }
        }
    }

    /// Draws it; returns where the cursor is.
    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        match self {
            Self::Help(l) => l.draw(state, area, buf),
            Self::Palette(l) => l.draw(state, area, buf),
            Self::Confirm(l) => l.draw(state, area, buf),
            Self::Forward(l) => l.draw(state, area, buf),
            Self::Prompt(l) => l.draw(state, area, buf),
            Self::Ship(l) => l.draw(state, area, buf),
            Self::Text(l) => l.draw(state, area, buf),
        }
    }
}

/// A window of at most this size in the middle of the screen, cleared and framed.
fn window(
    theme: &Theme,
    area: Rect,
    width: u16,
    height: u16,
    title: &str,
    note: &str,
    buf: &mut Buffer,
) -> Rect {
    let (w, h) = (width.min(area.width), height.min(area.height));
    let rect = Rect::new(area.x + (area.width - w) / 2, area.y + (area.height - h) / 2, w, h);
    Clear.render(rect, buf);
    buf.set_style(rect, theme.text);
    boxed(theme, rect, true, title, note, buf)
}
