//! ```text
//! ╭ 3 Reach ─────────────── one direction ╮
//! │ from\to  web1 web2 db1                │
//! │ web1     –    ●    ✕                  │
//! │ web2     ●    –    ●!                 │
//! │ ●ok ✕cut ▽carrier ?unknown !≠seen     │
//! ╰───────────────────────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{clip, frame_of, put, tabs};
use crate::proto::{LinkView, Seen, Wanted};
use crate::tui::state::{Panel, State};
use crate::tui::theme::Theme;

/// The mark of a direction: what is wanted, and `!` where what is seen disagrees.
pub(super) fn cell_mark(link: Option<&LinkView>, t: &Theme) -> (&'static str, Style) {
    let Some(link) = link else { return ("·", t.dim) };
    match (link.wanted, link.seen) {
        (Wanted::Ok, Seen::Passing) => ("●", t.ok),
        (Wanted::Ok, Seen::Unknown) => ("?", t.dim),
        (Wanted::Ok, Seen::Blocked) => ("●!", t.warn),
        (Wanted::Cut, Seen::Passing) => ("✕!", t.warn),
        (Wanted::Cut, _) => ("✕", t.bad),
        (Wanted::Down, Seen::Passing) => ("▽!", t.warn),
        (Wanted::Down, _) => ("▽", t.bad),
    }
}

/// Where the matrix's cells are: the first column's width, a cell's width, and the first row and
/// column shown.
pub(in crate::tui) struct Grid {
    pub names: usize,
    pub cell: usize,
    pub first: (usize, usize),
    pub shown: (usize, usize),
}

pub(in crate::tui) fn grid(state: &State, inside: Rect) -> Grid {
    let n = state.view.nodes.len();
    let longest = state.view.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0);
    let (width, height) = (usize::from(inside.width), usize::from(inside.height));
    let names = longest.clamp(7, 14).min(width / 3).max(1) + 2;
    // Whole names as column heads where there is room for them.
    let room = width.saturating_sub(names + 1) / n.max(1);
    let cell = room.clamp(4, longest.max(3) + 1).min(12);
    let shown = (
        height.saturating_sub(2).max(usize::from(height > 0)).min(n),
        (width.saturating_sub(names + 1) / cell).max(1).min(n),
    );
    let first = (
        super::first_row(state.reach.0, n, shown.0.max(1)),
        super::first_row(state.reach.1, n, shown.1.max(1)),
    );
    Grid { names, cell, first, shown }
}

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let title = tabs(state, Panel::Reach, "3 Reach");
    let note = if state.both { "⇄ both" } else { "→ one way" };
    let inside = frame_of(state, Panel::Reach, area, &title, note, buf);
    let nodes = &state.view.nodes;
    if nodes.is_empty() {
        return;
    }
    let g = grid(state, inside);
    let focused = state.panel == Panel::Reach;
    let more = |first: usize, shown: usize| {
        format!("{}{}", if first > 0 { "‹" } else { "" }, if first + shown < nodes.len() { "›" } else { "" })
    };
    let corner = format!("from\\to{}", more(g.first.1, g.shown.1));
    let mut head = vec![Span::styled(format!(" {:w$}", clip(&corner, g.names), w = g.names), t.dim)];
    for (i, node) in nodes.iter().enumerate().skip(g.first.1).take(g.shown.1) {
        let style = if focused && i == state.reach.1 { t.accent } else { t.dim };
        head.push(Span::styled(format!("{:w$}", clip(&node.name, g.cell - 1), w = g.cell), style));
    }
    put(buf, inside, 0, &Line::from(head));
    for (row, from) in nodes.iter().enumerate().skip(g.first.0).take(g.shown.0) {
        let style = if focused && row == state.reach.0 { t.accent } else { t.text };
        let mut spans =
            vec![Span::styled(format!(" {:w$}", clip(&from.name, g.names - 1), w = g.names), style)];
        for (col, to) in nodes.iter().enumerate().skip(g.first.1).take(g.shown.1) {
            let (mark, style) =
                if row == col { ("–", t.dim) } else { cell_mark(state.link_of(&from.name, &to.name), t) };
            let here = focused && (row, col) == state.reach;
            let style = if here { style.patch(t.cursor) } else { style };
            spans.push(Span::styled(
                format!("{:w$}", format!("{}{mark}", if here { "▸" } else { " " }), w = g.cell),
                style,
            ));
        }
        put(buf, inside, row - g.first.0 + 1, &Line::from(spans));
    }
    let row = g.shown.0 + 1;
    let cursor = state.pair().filter(|_| focused).and_then(|(a, b)| state.link_of(a, b));
    let height = usize::from(inside.height);
    let legend_row = if cursor.is_some() && row + 1 < height {
        put(buf, inside, row, &detail(state, cursor));
        height - 1
    } else {
        row.max(height.saturating_sub(1))
    };
    if legend_row >= row {
        put(buf, inside, legend_row, &legend(t));
    }
}

fn detail(state: &State, link: Option<&LinkView>) -> Line<'static> {
    let t = &state.theme;
    let Some(l) = link else { return Line::default() };
    let (wanted, seen) = words(l);
    let vlans: Vec<_> = l.vlans.iter().map(ToString::to_string).collect();
    Line::from(vec![
        Span::styled(format!(" {} → {}: ", l.from, l.to), t.accent),
        Span::styled(format!("{wanted}, {seen}"), t.text),
        Span::styled(
            format!("  vlan {} · {} frames · {} cut", vlans.join("+"), l.delivered.frames, l.cut_drops),
            t.dim,
        ),
    ])
}

fn words(l: &LinkView) -> (&'static str, &'static str) {
    let wanted = match l.wanted {
        Wanted::Ok => "open",
        Wanted::Cut => "cut",
        Wanted::Down => "carrier down",
    };
    let seen = match l.seen {
        Seen::Unknown => "quiet",
        Seen::Passing => "passing",
        Seen::Blocked => "blocked",
    };
    (wanted, seen)
}

fn legend(t: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (glyph, word, style) in [
        (" ●", "ok ", t.ok),
        ("✕", "cut ", t.bad),
        ("▽", "down ", t.bad),
        ("?", "unknown ", t.dim),
        ("!", "≠seen", t.warn),
    ] {
        spans.push(Span::styled(glyph, style));
        spans.push(Span::styled(word, t.dim));
    }
    Line::from(spans)
}
