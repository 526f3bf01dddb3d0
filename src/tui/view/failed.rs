//! The whole error of a failed start, to be scrolled; any way out leaves.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph, Widget, Wrap};

use super::{boxed, plain, put};
use crate::tui::state::State;

pub(super) fn draw(state: &State, error: &str, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    Clear.render(area, buf);
    let inside = boxed(t, area, true, "The session did not start", &state.view.model, buf);
    if inside.height < 2 {
        return;
    }
    let text = Rect { height: inside.height - 1, ..inside };
    let clean = plain(error);
    let scroll = u16::try_from(state.failure_scroll).unwrap_or(u16::MAX);
    Paragraph::new(clean).wrap(Wrap { trim: false }).style(t.text).scroll((scroll, 0)).render(text, buf);
    let hint = Line::styled(" j k scroll · q leave ", t.key);
    put(buf, inside, usize::from(inside.height) - 1, &hint);
}
