//! ```text
//! ╭ 1 Nodes ────────────╮
//! │▸● web1         up  *│   state, name, what it is doing; * fresh output, ◇ quiet
//! │ ◑ db1  booting ██▌··│
//! ╰─────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::{bar, clip, first_row, frame_of, put, state_mark, tint};
use crate::proto::{NodeState, NodeView};
use crate::tui::state::{Panel, State};
use crate::tui::tile::{QUIET_MS, TileKind};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let nodes: Vec<&NodeView> = state.listed().collect();
    let note = if state.filter.is_empty() { String::new() } else { format!("/{}", state.filter) };
    let inside = frame_of(state, Panel::Nodes, area, "1 Nodes", &note, buf);
    if nodes.is_empty() && state.loaded {
        let text = if state.filter.is_empty() { "no nodes yet" } else { "no match; esc clears" };
        put(buf, inside, 0, &Line::styled(text, t.dim));
        return;
    }
    let at = nodes.iter().position(|n| n.name == state.selected).unwrap_or(0);
    let first = first_row(at, nodes.len(), usize::from(inside.height));
    let name_width =
        nodes.iter().map(|n| n.name.width()).max().unwrap_or(0).max(4).min(usize::from(inside.width) / 2);
    for (row, node) in nodes.iter().enumerate().skip(first) {
        let row_at = row - first;
        if row_at >= usize::from(inside.height) {
            break;
        }
        let chosen = node.name == state.selected;
        put(buf, inside, row_at, &line(state, node, chosen, name_width, usize::from(inside.width)));
        if chosen {
            tint(buf, inside, row_at, t.cursor);
        }
    }
}

fn line(state: &State, node: &NodeView, chosen: bool, name_width: usize, width: usize) -> Line<'static> {
    let t = &state.theme;
    let (glyph, word, style) = state_mark(node.state, t);
    let mark = mark(state, node);
    let mut spans = vec![
        Span::raw(if chosen { "▸" } else { " " }),
        Span::styled(format!("{glyph} "), *style),
        Span::raw(format!("{:name_width$} ", clip(&node.name, name_width))),
    ];
    let room = width.saturating_sub(name_width + 4 + 2);
    let busy = matches!(
        node.state,
        NodeState::Evaluating | NodeState::Building | NodeState::Booting | NodeState::Stopping
    );
    match node.progress {
        Some(percent) if busy && room >= 6 => {
            let word = if room >= word.len() + 7 { format!("{word} ") } else { String::new() };
            let bar_width = (room - word.len()).min(24);
            spans.push(Span::styled(word, *style));
            spans.extend(bar(percent, bar_width, t));
        }
        _ => {
            let mut text = word.to_owned();
            if node.state == NodeState::Up
                && let Some(ms) = node.boot_ms
                && room > 12
            {
                text = format!("up in {:.1}s", ms as f64 / 1000.0);
            }
            spans.push(Span::styled(clip(&text, room), *style));
        }
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let (mark, mark_style) = mark;
    if !mark.is_empty() && used + mark.width() < width {
        spans.push(Span::raw(" ".repeat(width - used - mark.width())));
        spans.push(Span::styled(mark, mark_style));
    }
    Line::from(spans)
}

/// The mark for fresh output or for long silence.
fn mark(state: &State, node: &NodeView) -> (String, ratatui::style::Style) {
    let of = |t: &&crate::tui::tile::Tile| t.node == node.name && t.kind == TileKind::Serial;
    let Some(tile) = state.tiles.iter().find(of) else { return Default::default() };
    match tile.last_output {
        Some(_) if tile.unseen => ("*".into(), state.theme.warn),
        Some(last) if node.state == NodeState::Up && state.now.saturating_sub(last) >= QUIET_MS => {
            (format!("◇{}m", (state.now - last) / 60_000), state.theme.dim)
        }
        _ => Default::default(),
    }
}
