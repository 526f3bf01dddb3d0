//! The screen as a function of the state: one region a file, layers on top.
//!
//! Invariant: drawing changes nothing, reads no clock, and survives any size.

mod building;
mod consoles;
mod failed;
mod forwards;
mod header;
mod links;
mod log;
mod nodes;
mod production;
mod reach;
mod status;
mod tests;
mod topology;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};
use unicode_width::UnicodeWidthStr;

use super::regions::{Regions, regions};
use super::state::{Mode, Panel, State};
use super::theme::Theme;
use crate::proto::{NodeState, Phase};

pub(super) use consoles::{first_column, first_line, inner};
pub(super) use reach::grid as reach_grid;

/// Draws everything.
pub fn draw(state: &State, frame: &mut Frame<'_>) {
    let area = state.area();
    // The terminal may have shrunk a moment ago; the message that says so is on its way.
    if area.is_empty() || frame.area().intersection(area) != area {
        return;
    }
    let r = regions(state);
    let buf = frame.buffer_mut();
    buf.set_style(area, state.theme.text);
    let cursor = panels(state, &r, buf);
    if let Phase::Failed { error } = &state.view.phase {
        failed::draw(state, error, area, buf);
    }
    let mut over = None;
    for layer in &state.layers {
        over = layer.draw(state, area, buf);
    }
    let place = if state.layers.is_empty() { cursor } else { over };
    if let Some(p) = place.filter(|p| area.contains(*p)) {
        frame.set_cursor_position(p);
    }
}

fn panels(state: &State, r: &Regions, buf: &mut Buffer) -> Option<Position> {
    header::draw(state, r.header, buf);
    let mut cursor = None;
    for (panel, area) in &r.panels {
        match panel {
            Panel::Consoles if state.preparing() => building::draw(state, *area, buf),
            Panel::Consoles => cursor = consoles::draw(state, &r.tiles, *area, buf),
            Panel::Nodes => nodes::draw(state, *area, buf),
            Panel::Links => links::draw(state, *area, buf),
            Panel::Reach => reach::draw(state, *area, buf),
            Panel::Topology => topology::draw(state, *area, buf),
            Panel::Forwards => forwards::draw(state, *area, buf),
            Panel::Tests => tests::draw(state, *area, buf),
            Panel::Production => production::draw(state, *area, buf),
            Panel::Log => log::draw(state, *area, buf),
        }
    }
    log::line(state, r.log_line, buf);
    status::draw(state, r.status, buf);
    cursor
}

/// A panel's frame with its title; returns what is inside.
fn frame_of(state: &State, panel: Panel, area: Rect, title: &str, note: &str, buf: &mut Buffer) -> Rect {
    let focused = state.panel == panel && state.mode == Mode::Nav && state.layers.is_empty();
    boxed(&state.theme, area, focused, title, note, buf)
}

/// A panel's title, followed by those that share its place and are not shown.
fn tabs(state: &State, panel: Panel, title: &str) -> String {
    let shown = regions(state);
    let wide = shown.panel(Panel::Links).is_some() && shown.panel(Panel::Forwards).is_some();
    if wide && matches!(panel, Panel::Links | Panel::Forwards) {
        return title.to_owned();
    }
    let hidden = [
        (Panel::Links, "2 Links"),
        (Panel::Reach, "3 Reach"),
        (Panel::Topology, "4 Topology"),
        (Panel::Forwards, "5 Forwards"),
        (Panel::Tests, "6 Tests"),
        (Panel::Production, "7 Production"),
    ];
    let has = |p: Panel| match p {
        Panel::Tests => state.view.tests.script,
        Panel::Production => state.production.asked.is_some(),
        _ => true,
    };
    let others = hidden.iter().filter(|(p, _)| *p != panel && has(*p) && shown.panel(*p).is_none());
    let others: Vec<&str> = others.map(|(_, t)| *t).collect();
    if others.is_empty() { title.to_owned() } else { format!("{title}  [{}]", others.join(" · ")) }
}

/// A frame with a title on the left and a note on the right.
pub(super) fn boxed(
    theme: &Theme,
    area: Rect,
    focused: bool,
    title: &str,
    note: &str,
    buf: &mut Buffer,
) -> Rect {
    let (border, text) =
        if focused { (theme.border_focus, theme.title_focus) } else { (theme.border, theme.title) };
    let title = clip(title, usize::from(area.width).saturating_sub(4));
    let mut block = Block::bordered()
        .border_type(if focused { BorderType::Thick } else { BorderType::Rounded })
        .border_style(border)
        .title(Line::styled(format!(" {title} "), text));
    let room = usize::from(area.width).saturating_sub(title.width() + 6);
    if !note.is_empty() && note.width() <= room {
        block = block.title(Line::styled(format!(" {note} "), theme.dim).right_aligned());
    }
    let inside = block.inner(area);
    if area.width >= 2 && area.height >= 2 {
        block.render(area, buf);
        inside
    } else {
        area
    }
}

/// Writes a line at a row of an area, cut at its edge.
pub(super) fn put(buf: &mut Buffer, area: Rect, row: usize, line: &Line<'_>) {
    let area = area.intersection(buf.area);
    if row < usize::from(area.height) {
        buf.set_line(area.x, area.y + row as u16, line, area.width);
    }
}

/// Gives a row of an area a style.
pub(super) fn tint(buf: &mut Buffer, area: Rect, row: usize, style: Style) {
    if row < usize::from(area.height) {
        buf.set_style(Rect { y: area.y + row as u16, height: 1, ..area }, style);
    }
}

/// Text cut to a number of columns, with an ellipsis when something is missing.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        let mut next = out.clone();
        next.push(c);
        if next.width() + 1 > width {
            break;
        }
        out = next;
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Text without the sequences by which tools colour it.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.next_if_eq(&'[').is_some() {
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == '\n' || !c.is_control() {
            out.push(c);
        }
    }
    out
}

/// The first row to show of a list so that the cursor is on the screen.
pub(super) fn first_row(cursor: usize, len: usize, height: usize) -> usize {
    let last = len.saturating_sub(height);
    cursor.saturating_sub(height / 2).min(last)
}

/// A bar of `width` columns that is filled to `percent`.
pub(super) fn bar(percent: u8, width: usize, theme: &Theme) -> Vec<Span<'static>> {
    let eighths = width * 8 * usize::from(percent.min(100)) / 100;
    let (full, part) = (eighths / 8, eighths % 8);
    let tip = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][part];
    let rest = width - full - usize::from(part > 0);
    vec![
        Span::styled(format!("{}{tip}", "█".repeat(full)), theme.accent),
        Span::styled("·".repeat(rest), theme.dim),
    ]
}

/// A state's glyph, word and style.
pub(super) fn state_mark(state: NodeState, theme: &Theme) -> (&'static str, &'static str, &Style) {
    match state {
        NodeState::Waiting => ("·", "waiting", &theme.dim),
        NodeState::Evaluating => ("◌", "evaluating", &theme.info),
        NodeState::Building => ("◔", "building", &theme.info),
        NodeState::Built => ("○", "built", &theme.text),
        NodeState::Booting => ("◑", "booting", &theme.warn),
        NodeState::Up => ("●", "up", &theme.ok),
        NodeState::Paused => ("‖", "paused", &theme.warn),
        NodeState::Stopping => ("◒", "stopping", &theme.warn),
        NodeState::Stopped => ("○", "stopped", &theme.dim),
        NodeState::Crashed => ("✕", "crashed", &theme.bad),
        NodeState::Failed => ("✕", "failed", &theme.bad),
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes}B"),
        1_000..1_000_000 => format!("{:.1}k", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", bytes as f64 / 1e6),
        _ => format!("{:.1}G", bytes as f64 / 1e9),
    }
}
