//! ```text
//! ╭ Building ─────────────────────────────────╮
//! │ building systems                          │
//! │ storage     building ████████▌···  62 %   │
//! │             mkfs.erofs                     │
//! │ ───                                        │
//! │ log lines, newest last                     │
//! ╰────────────────────────────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{bar, boxed, clip, put, state_mark};
use crate::proto::{Level, Phase};
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let (title, what) = match &state.view.phase {
        Phase::Building { what } => ("Building", what.as_str()),
        _ if state.loaded => ("Evaluating", "evaluating the model"),
        _ => ("Connecting", "waiting for the session"),
    };
    let inside = boxed(t, area, state.panel == Panel::Consoles, title, &state.view.model, buf);
    let width = usize::from(inside.width);
    put(buf, inside, 0, &Line::styled(format!(" {}", clip(what, width.saturating_sub(2))), t.accent));
    let names = state.view.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0).clamp(6, 20);
    let mut row = 2;
    for node in &state.view.nodes {
        if row + 2 >= usize::from(inside.height) {
            break;
        }
        let (glyph, word, style) = state_mark(node.state, t);
        let mut spans = vec![
            Span::styled(format!(" {glyph} "), *style),
            Span::raw(format!("{:names$} ", clip(&node.name, names))),
            Span::styled(format!("{word:10} "), *style),
        ];
        let room = width.saturating_sub(names + 22);
        let bar_width = (room / 2).min(40);
        if let Some(percent) = node.progress {
            spans.extend(bar(percent, bar_width, t));
            spans.push(Span::styled(format!(" {percent:3} % "), t.text));
        }
        let used: usize = spans.iter().map(Span::width).sum();
        spans.push(Span::styled(clip(&node.doing, width.saturating_sub(used + 1)), t.dim));
        put(buf, inside, row, &Line::from(spans));
        row += 1;
    }
    row += 1;
    let room = usize::from(inside.height).saturating_sub(row);
    let log = &state.view.log;
    for entry in &log[log.len().saturating_sub(room)..] {
        let style = match entry.level {
            Level::Info => t.dim,
            Level::Warning => t.warn,
            Level::Error => t.bad,
        };
        put(
            buf,
            inside,
            row,
            &Line::styled(format!(" {}", clip(&entry.text, width.saturating_sub(2))), style),
        );
        row += 1;
    }
}
