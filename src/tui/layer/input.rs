//! One line of text being edited.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use crate::tui::keymap::Key;

/// Text and the place in it, in characters.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Input {
    chars: Vec<char>,
    at: usize,
}

impl Input {
    /// Creates a line with text, the cursor at its end.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        Self { at: chars.len(), chars }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// Columns before the cursor.
    pub fn column(&self) -> usize {
        use unicode_width::UnicodeWidthChar;
        self.chars[..self.at].iter().map(|c| c.width().unwrap_or(0)).sum()
    }

    /// Handles an editing key; false when it is none.
    pub fn key(&mut self, key: Key) -> bool {
        let ctrl = key.mods.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if ctrl => self.at = 0,
            KeyCode::Char('e') if ctrl => self.at = self.chars.len(),
            KeyCode::Char('u') if ctrl => {
                self.chars.drain(..self.at);
                self.at = 0;
            }
            KeyCode::Char('k') if ctrl => self.chars.truncate(self.at),
            KeyCode::Char('w') if ctrl => {
                let mut from = self.at;
                while from > 0 && self.chars[from - 1] == ' ' {
                    from -= 1;
                }
                while from > 0 && self.chars[from - 1] != ' ' {
                    from -= 1;
                }
                self.chars.drain(from..self.at);
                self.at = from;
            }
            KeyCode::Char(c) if key.mods.is_empty() && self.chars.len() < 4096 => {
                self.chars.insert(self.at, c);
                self.at += 1;
            }
            KeyCode::Backspace if self.at > 0 => {
                self.at -= 1;
                self.chars.remove(self.at);
            }
            KeyCode::Delete if self.at < self.chars.len() => {
                self.chars.remove(self.at);
            }
            KeyCode::Left => self.at = self.at.saturating_sub(1),
            KeyCode::Right => self.at = (self.at + 1).min(self.chars.len()),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.chars.len(),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing() {
        let mut i = Input::new("one two");
        for k in
            ["ctrl-w", "x", "left", "y", "home", "z", "end", "backspace", "é", "ctrl-a", "delete", "enter"]
        {
            i.key(k.parse().unwrap());
        }
        assert_eq!(i.text(), "one yé");
        assert_eq!(i.column(), 0);
        i.key("end".parse().unwrap());
        i.key("ctrl-u".parse().unwrap());
        assert_eq!(i.text(), "");
        i.key("backspace".parse().unwrap());
        i.key("left".parse().unwrap());
    }
}
