//! ```text
//! ╭ 5 Forwards ─────────╮
//! │ ● 8080 → web1:80    │
//! │ ✕ 8443 → web1:443   │
//! │   8443 is taken     │
//! ╰─────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{clip, first_row, frame_of, put, tabs, tint};
use crate::model::Proto;
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let inside = frame_of(state, Panel::Forwards, area, &tabs(state, Panel::Forwards, "5 Forwards"), "", buf);
    let all = &state.view.forwards;
    if all.is_empty() {
        put(buf, inside, 0, &Line::styled(" none; F adds one", t.dim));
        return;
    }
    let width = usize::from(inside.width);
    let first = first_row(state.forward, all.len(), usize::from(inside.height));
    let mut row = 0;
    for (i, f) in all.iter().enumerate().skip(first) {
        let (glyph, style) = if f.active { ("●", t.ok) } else { ("✕", t.bad) };
        let udp = if f.proto == Proto::Udp { "/udp" } else { "" };
        let note = if f.note.is_empty() { String::new() } else { format!("  {}", f.note) };
        let main = format!("{} → {}:{}{udp}", f.host_port, f.node, f.guest_port);
        let room = width.saturating_sub(3 + main.chars().count());
        let beside = room > note.len().min(12);
        let line = Line::from(vec![
            Span::styled(format!(" {glyph} "), style),
            Span::raw(clip(&main, width.saturating_sub(3))),
            Span::styled(if beside { clip(&note, room) } else { String::new() }, t.warn),
        ]);
        put(buf, inside, row, &line);
        if i == state.forward && state.panel == Panel::Forwards {
            tint(buf, inside, row, t.cursor);
        }
        row += 1;
        if !beside && !note.is_empty() && all.len() < usize::from(inside.height) {
            put(buf, inside, row, &Line::styled(clip(&format!("  {note}"), width), t.warn));
            row += 1;
        }
    }
}
