//! ```text
//! ┏ web1 ttyS0 ━━━━━━━━━━━ ↑120 ━┓╭ db1 ttyS0 ─────── * ╮
//! ┃web1 login: _                 ┃│LOG: ready           │
//! ┗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┛╰─────────────────────╯
//! ```
//! A guest's screen keeps its own size. A smaller tile shows the part with the cursor, a larger one
//! shows history above.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color as Paint, Modifier, Style};
use ratatui::text::Line;

use super::{boxed, clip, put, state_mark};
use crate::console::{Cell, Color, Flags, NamedColor, Screen};
use crate::proto::NodeState;
use crate::tui::state::{Mode, Panel, State};
use crate::tui::theme::{Theme, fit};
use crate::tui::tile::{QUIET_MS, Stream, Tile, TileKind};

pub(super) fn draw(state: &State, tiles: &[(usize, Rect)], area: Rect, buf: &mut Buffer) -> Option<Position> {
    if tiles.is_empty() {
        let inside = boxed(&state.theme, area, false, "0 Consoles", "", buf);
        put(buf, inside, 0, &Line::styled("no consoles yet", state.theme.dim));
    }
    let mut cursor = None;
    for (index, area) in tiles {
        if let Some(tile) = state.tiles.get(*index) {
            let place = draw_tile(state, *index, tile, *area, buf);
            cursor = cursor.or(place);
        }
    }
    cursor
}

/// What is inside a tile's frame: a zoomed tile has a title only, so that a guest of the screen's
/// width fits.
pub fn inner(state: &State, area: Rect) -> Rect {
    if state.zoom {
        let cut = 1.min(area.height);
        return Rect { y: area.y + cut, height: area.height - cut, ..area };
    }
    if area.width < 2 || area.height < 2 {
        return area;
    }
    Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
}

/// The line of the guest's screen or history that a view of `height` lines begins with.
pub fn first_line(screen: &Screen, height: usize) -> i32 {
    let (height, rows) = (height.max(1) as i32, screen.rows() as i32);
    let scrolled = screen.scrolled() as i32;
    let last_first = rows - height;
    if screen.selecting() {
        // The part with the select cursor, as near to the scrolled view as can be.
        let line = screen.select_cursor().0;
        let wanted = last_first - scrolled;
        return wanted.clamp(line - height + 1, line).max(screen.top());
    }
    if scrolled > 0 {
        if -scrolled == screen.top() { screen.top() } else { (last_first - scrolled).max(screen.top()) }
    } else if last_first <= 0 {
        last_first.max(screen.top())
    } else {
        // Programs that use the whole screen are shown from where their cursor is.
        (screen.position().0 + 1 - height).clamp(0, last_first)
    }
}

/// The column that a view of `width` columns begins with.
pub fn first_column(screen: &Screen, width: usize) -> usize {
    let column = if screen.selecting() { screen.select_cursor().1 } else { screen.position().1 };
    let over = screen.cols().saturating_sub(width);
    if column < width { 0 } else { (column + 1 - width + width / 4).min(over) }
}

fn draw_tile(state: &State, index: usize, tile: &Tile, area: Rect, buf: &mut Buffer) -> Option<Position> {
    let t = &state.theme;
    let focused = index == state.tile;
    let node = state.node_named(&tile.node).filter(|_| tile.kind != TileKind::Host);
    let mut title = tile.title();
    if focused {
        title = format!("0 {title}");
    }
    let note = note(state, tile);
    let active = focused && (state.panel == Panel::Consoles || state.mode != Mode::Nav);
    let mut theme = None;
    if active && state.mode != Mode::Nav {
        let mode = if state.mode == Mode::Console { t.mode_console } else { t.mode_select };
        let border = Style { fg: mode.bg.or(mode.fg), bg: None, ..t.border_focus };
        theme = Some(Theme { border_focus: border, title_focus: mode, ..t.clone() });
    }
    if focused && !active {
        theme = Some(Theme { title: t.accent, ..t.clone() });
    }
    if tile.kind == TileKind::Host {
        // What is typed there happens to a real machine.
        let base = theme.unwrap_or_else(|| t.clone());
        theme = Some(Theme { border: t.bad, border_focus: t.bad, title: t.bad, title_focus: t.bad, ..base });
    }
    let theme = theme.as_ref().unwrap_or(t);
    if state.zoom {
        let line = Line::styled(format!(" {title}  {note} "), theme.title_focus);
        put(buf, area, 0, &line);
    } else {
        boxed(theme, area, active, &title, &note, buf);
    }
    let inside = inner(state, area).intersection(buf.area);
    let idle = node.filter(|n| !matches!(n.state, NodeState::Up | NodeState::Booting));
    if let Some(n) = idle
        && tile.screen.position() == (0, 0)
        && tile.screen.top() == 0
    {
        let (glyph, word, style) = state_mark(n.state, t);
        put(buf, inside, 0, &Line::styled(format!("{glyph} {word}  {}", n.doing), *style));
        for (i, text) in n.post_mortem.iter().flat_map(|p| p.lines()).enumerate() {
            put(buf, inside, i + 1, &Line::styled(clip(text, usize::from(inside.width)), t.bad));
        }
        return None;
    }
    paint(state, tile, inside, buf);
    if let Some(n) = idle
        && matches!(n.state, NodeState::Crashed | NodeState::Failed)
        && inside.height > 2
    {
        let why = n.post_mortem.as_deref().and_then(|p| p.lines().next()).unwrap_or("");
        let text = format!(" ✕ {why}  (W tells all, S starts it again) ");
        let row = usize::from(inside.height) - 1;
        put(buf, inside, row, &Line::styled(clip(&text, usize::from(inside.width)), t.bad));
    }
    if !focused {
        return None;
    }
    let (line, column) = match state.mode {
        Mode::Select => tile.screen.select_cursor(),
        Mode::Console => tile.screen.cursor()?,
        Mode::Nav => return None,
    };
    place(&tile.screen, inside, line, column)
}

fn note(state: &State, tile: &Tile) -> String {
    let mut parts = Vec::new();
    let (scrolled, s) = (tile.screen.scrolled(), &tile.screen);
    if scrolled > 0 {
        parts.push(format!("↑{scrolled}"));
    }
    if !tile.pattern.is_empty() && s.selecting() {
        parts.push(format!("/{}", tile.pattern));
    }
    if tile.behind() {
        parts.push("…".into());
    }
    match tile.stream {
        Stream::Ended if tile.kind.is_terminal() => parts.push("ended".into()),
        Stream::Ended => parts.push("no console".into()),
        _ => {}
    }
    if let Some(node) = state.node_named(&tile.node).filter(|_| tile.kind != TileKind::Host)
        && node.state != NodeState::Up
    {
        let (glyph, word, _) = state_mark(node.state, &state.theme);
        parts.push(format!("{glyph} {word}"));
    }
    match tile.last_output {
        Some(_) if tile.unseen => parts.push("*".into()),
        Some(last) if state.now.saturating_sub(last) >= QUIET_MS => {
            parts.push(format!("◇ {}m", (state.now - last) / 60_000));
        }
        _ => {}
    }
    parts.join(" ")
}

fn place(screen: &Screen, area: Rect, line: i32, column: usize) -> Option<Position> {
    let row = line - first_line(screen, usize::from(area.height));
    let col = column.checked_sub(first_column(screen, usize::from(area.width)))?;
    let inside = row >= 0 && row < i32::from(area.height) && col < usize::from(area.width);
    inside.then(|| Position::new(area.x + col as u16, area.y + row as u16))
}

/// Copies the visible part of a guest's screen.
fn paint(state: &State, tile: &Tile, area: Rect, buf: &mut Buffer) {
    let (screen, t) = (&tile.screen, &state.theme);
    let first = first_line(screen, usize::from(area.height));
    let skip = first_column(screen, usize::from(area.width));
    let selection = screen.selection();
    for row in 0..area.height {
        let line = first + i32::from(row);
        let Some(cells) = screen.row(line) else { continue };
        let found = if screen.selecting() { screen.find_on(line, &tile.pattern) } else { Vec::new() };
        for (col, cell) in cells.iter().enumerate().skip(skip).take(usize::from(area.width)) {
            if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
                continue;
            }
            let x = area.x + (col - skip) as u16;
            let wide = cell.flags.contains(Flags::WIDE_CHAR);
            let Some(target) = buf.cell_mut((x, area.y + row)) else { continue };
            let mut style = style_of(cell, t, state.options.truecolor);
            if found.iter().any(|f| (f.start..f.end).contains(&col)) {
                style = style.patch(t.found);
            }
            if selection.as_ref().is_some_and(|s| s.contains(line, col)) {
                style = style.patch(t.selected);
            }
            target.set_style(style);
            // A wide character that would stick out over the edge is left out.
            if wide && x + 1 >= area.right() || cell.c.is_control() {
                target.set_char(' ');
            } else if let Some(marks) = cell.zerowidth() {
                let text: String = std::iter::once(cell.c).chain(marks.iter().copied()).collect();
                target.set_symbol(&text);
            } else {
                target.set_char(cell.c);
            }
        }
    }
}

fn style_of(cell: &Cell, theme: &Theme, truecolor: bool) -> Style {
    let mut s = Style::default();
    if !theme.plain {
        s.fg = color(cell.fg, truecolor);
        s.bg = color(cell.bg, truecolor);
    }
    for (flag, modifier) in [
        (Flags::BOLD, Modifier::BOLD),
        (Flags::DIM, Modifier::DIM),
        (Flags::ITALIC, Modifier::ITALIC),
        (Flags::INVERSE, Modifier::REVERSED),
        (Flags::HIDDEN, Modifier::HIDDEN),
        (Flags::STRIKEOUT, Modifier::CROSSED_OUT),
    ] {
        if cell.flags.contains(flag) {
            s = s.add_modifier(modifier);
        }
    }
    if cell.flags.intersects(Flags::ALL_UNDERLINES) {
        s = s.add_modifier(Modifier::UNDERLINED);
    }
    s
}

fn color(c: Color, truecolor: bool) -> Option<Paint> {
    match c {
        Color::Spec(rgb) => Some(fit(Paint::Rgb(rgb.r, rgb.g, rgb.b), truecolor)),
        Color::Indexed(i) => Some(Paint::Indexed(i)),
        Color::Named(n) => match n as usize {
            i @ 0..16 => Some(Paint::Indexed(i as u8)),
            // Dim variants of the first eight.
            i if (NamedColor::DimBlack as usize..=NamedColor::DimWhite as usize).contains(&i) => {
                Some(Paint::Indexed((i - NamedColor::DimBlack as usize) as u8))
            }
            _ => None,
        },
    }
}
