//! ```text
//! ╭ 7 Production ────────── trac · generation 4 ╮
//! │ ● webserver   4  well                       │
//! │ ✕ storage     4  failed units: nfs.service  │
//! ╰─────────────────────────────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{clip, first_row, frame_of, plain, put, tabs, tint};
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let (t, p) = (&state.theme, &state.production);
    let title = tabs(state, Panel::Production, "7 Production");
    let mut note = p
        .status
        .as_ref()
        .map(|s| format!("{} · generation {}", plain(&s.network), s.generation))
        .unwrap_or_default();
    if p.asking {
        note = "looking …".into();
    }
    let inside = frame_of(state, Panel::Production, area, &title, &note, buf);
    let width = usize::from(inside.width);
    let Some(status) = &p.status else {
        let text = match &p.error {
            Some(error) => error.lines().next().unwrap_or_default().to_owned(),
            None => "r looks at the hosts, D deploys the model to them".to_owned(),
        };
        put(buf, inside, 0, &Line::styled(clip(&format!(" {}", plain(&text)), width), t.dim));
        return;
    };
    let rows = usize::from(inside.height);
    let first = first_row(p.at, status.hosts.len(), rows);
    let wide = status.hosts.keys().map(|n| n.chars().count()).max().unwrap_or(0).min(20);
    for (i, (node, host)) in status.hosts.iter().enumerate().skip(first).take(rows) {
        let (mark, style) = if host.is_well() { ("●", t.ok) } else { ("✕", t.bad) };
        let generation = host.generation.map_or_else(|| "-".into(), |n| n.to_string());
        let room = width.saturating_sub(wide + 9);
        put(
            buf,
            inside,
            i - first,
            &Line::from(vec![
                Span::styled(format!(" {mark} "), style),
                Span::styled(format!("{:wide$} ", clip(&plain(node), wide)), t.text),
                Span::styled(format!("{generation:>3}  "), t.dim),
                Span::styled(
                    clip(&plain(&host.describe()), room),
                    if host.is_well() { t.text } else { t.bad },
                ),
            ]),
        );
        if i == p.at && state.panel == Panel::Production {
            tint(buf, inside, i - first, t.cursor);
        }
    }
}
