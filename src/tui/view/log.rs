//! ```text
//!  $ diorama link cut web1 db1                    the newest line, or with @ all of them
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{clip, frame_of, put};
use crate::proto::{Level, LogEntry};
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let log = &state.view.log;
    let note = if state.log_scroll > 0 { format!("↑{}", state.log_scroll) } else { String::new() };
    let inside = frame_of(state, Panel::Log, area, "@ Log", &note, buf);
    let height = usize::from(inside.height);
    let end = log.len().saturating_sub(state.log_scroll).max(height.min(log.len()));
    for (row, entry) in log[end.saturating_sub(height)..end].iter().enumerate() {
        put(buf, inside, row, &entry_line(state, entry, usize::from(inside.width), true));
    }
}

pub(super) fn line(state: &State, area: Rect, buf: &mut Buffer) {
    if let Some(entry) = state.view.log.last() {
        let mut line = entry_line(state, entry, usize::from(area.width).saturating_sub(6), false);
        line.spans.insert(0, Span::styled(" Log: ", state.theme.dim));
        put(buf, area, 0, &line);
    }
}

fn entry_line(state: &State, entry: &LogEntry, width: usize, time: bool) -> Line<'static> {
    let t = &state.theme;
    let mut spans = Vec::new();
    if time {
        let s = entry.time.saturating_sub(state.view.started) / 1000;
        spans.push(Span::styled(format!("{:3}:{:02} ", s / 60, s % 60), t.dim));
    }
    let (mark, style) = match entry.level {
        Level::Info => ("", t.text),
        Level::Warning => ("! ", t.warn),
        Level::Error => ("✕ ", t.bad),
    };
    let room = width.saturating_sub(if time { 8 } else { 1 });
    match &entry.cli {
        Some(cli) => {
            spans.push(Span::styled("$ ", t.dim));
            spans.push(Span::styled(clip(cli, room), t.accent));
            let left = room.saturating_sub(cli.chars().count() + 4);
            if left > 10 && !entry.text.is_empty() {
                spans.push(Span::styled(format!("  {}", clip(&entry.text, left)), t.dim));
            }
        }
        None => spans.push(Span::styled(format!("{mark}{}", clip(&entry.text, room)), style)),
    }
    Line::from(spans)
}
