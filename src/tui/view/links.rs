//! ```text
//! ╭ 2 Links ────────────╮
//! │ web1 ⇄ db1  ● ●     │   one mark a direction; then what was delivered
//! │ web1 ⇄ web2 ✕ ●     │
//! ╰─────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::reach::cell_mark;
use super::{clip, first_row, frame_of, put, size, tabs, tint};
use crate::proto::LinkView;
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let pairs = state.pairs();
    let inside = frame_of(state, Panel::Links, area, &tabs(state, Panel::Links, "2 Links"), "", buf);
    if pairs.is_empty() && state.loaded {
        put(buf, inside, 0, &Line::styled("no VLAN is shared", t.dim));
    }
    let widest =
        |f: fn(&LinkView) -> &str| pairs.iter().map(|(l, _)| f(l).chars().count()).max().unwrap_or(0);
    let (mut a, mut b) = (widest(|l| &l.from), widest(|l| &l.to));
    let room = usize::from(inside.width).saturating_sub(9);
    if a + b > room {
        (a, b) = (a.min(room / 2), b.min(room / 2));
    }
    let first = first_row(state.link, pairs.len(), usize::from(inside.height));
    for (row, (link, back)) in pairs.iter().enumerate().skip(first).take(usize::from(inside.height)) {
        let (to, to_style) = cell_mark(Some(link), t);
        let (fro, fro_style) = cell_mark(*back, t);
        let mut spans = vec![
            Span::raw(format!(" {:a$}", clip(&link.from, a))),
            Span::styled(" ⇄ ", t.dim),
            Span::raw(format!("{:b$} ", clip(&link.to, b))),
            Span::styled(format!("{to:2}"), to_style),
            Span::styled(format!("{fro:2}"), fro_style),
        ];
        let used: usize = spans.iter().map(Span::width).sum();
        let bytes = link.delivered.bytes + back.map_or(0, |l| l.delivered.bytes);
        let text = format!("{:>6}", size(bytes));
        if bytes > 0 && used + text.len() <= usize::from(inside.width) {
            spans.push(Span::styled(text, t.dim));
        }
        put(buf, inside, row - first, &Line::from(spans));
        if row == state.link && state.panel == Panel::Links {
            tint(buf, inside, row - first, t.cursor);
        }
    }
}
