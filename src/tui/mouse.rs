//! The mouse: a click focuses, the wheel scrolls, a drag selects.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::msg::Req;
use super::regions::{Regions, regions};
use super::server::fit_shells;
use super::state::{Mode, Panel, State};
use super::view::{first_column, first_line, first_row, inner, reach_grid};

const WHEEL: i32 = 3;

pub(super) fn on_mouse(state: &mut State, event: MouseEvent) -> Vec<Req> {
    if !state.layers.is_empty() {
        return Vec::new();
    }
    let at = Position::new(event.column, event.row);
    let r = regions(state);
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => {
            press(state, &r, at);
            fit_shells(state)
        }
        MouseEventKind::Drag(MouseButton::Left) => {
            drag(state, &r, at);
            Vec::new()
        }
        MouseEventKind::Up(MouseButton::Left) => {
            let selected = state.drag.take().and_then(|(i, ..)| state.tiles.get(i)?.screen.selected_text());
            match selected {
                Some(text) => {
                    state.say(false, format!("copied {} characters", text.chars().count()));
                    vec![Req::Clipboard(text)]
                }
                None => Vec::new(),
            }
        }
        MouseEventKind::ScrollUp => wheel(state, &r, at, WHEEL),
        MouseEventKind::ScrollDown => wheel(state, &r, at, -WHEEL),
        _ => Vec::new(),
    }
}

fn press(state: &mut State, r: &Regions, at: Position) {
    state.drag = None;
    if let Some((index, area)) = r.tiles.iter().find(|(_, a)| a.contains(at)) {
        if *index != state.tile && state.mode == Mode::Select {
            state.focused_mut().into_iter().for_each(|t| t.screen.set_selecting(false));
            state.mode = Mode::Nav;
        }
        state.focus_tile(*index);
        state.panel = Panel::Consoles;
        let (line, column) = cell(state, *index, *area, at);
        if let Some(tile) = state.tiles.get_mut(*index) {
            tile.screen.clear_selection();
            if tile.screen.selecting() {
                tile.screen.select_goto(line, column);
            }
        }
        state.drag = Some((*index, line, column));
        return;
    }
    let Some((panel, area)) = r.panels.iter().find(|(_, a)| a.contains(at)) else { return };
    state.mode = Mode::Nav;
    state.focus_panel(*panel);
    let Some(inside) = within(*area, at) else { return };
    let row = usize::from(at.y - inside.y);
    let height = usize::from(inside.height);
    match panel {
        Panel::Nodes => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            let cursor = names.iter().position(|n| *n == state.selected).unwrap_or(0);
            if let Some(name) = names.get(first_row(cursor, names.len(), height) + row) {
                state.select_node(name);
            }
        }
        Panel::Links => {
            let n = state.pairs().len();
            state.link = (first_row(state.link, n, height) + row).min(n.saturating_sub(1));
        }
        Panel::Forwards => {
            let n = state.view.forwards.len();
            state.forward = (first_row(state.forward, n, height) + row).min(n.saturating_sub(1));
        }
        Panel::Tests => {
            let n = state.view.tests.subtests.len();
            state.test = (first_row(state.test, n, height) + row).min(n.saturating_sub(1));
        }
        Panel::Production => {
            let n = state.production.len();
            state.production.at = (first_row(state.production.at, n, height) + row).min(n.saturating_sub(1));
        }
        Panel::Reach => {
            let g = reach_grid(state, inside);
            let column = usize::from(at.x - inside.x).checked_sub(g.names + 1).map(|c| c / g.cell);
            if let (Some(row), Some(column)) = (row.checked_sub(1), column)
                && row < g.shown.0
                && column < g.shown.1
            {
                state.reach = (g.first.0 + row, g.first.1 + column);
            }
        }
        _ => {}
    }
}

fn drag(state: &mut State, r: &Regions, at: Position) {
    let Some((index, line, column)) = state.drag else { return };
    let Some((_, area)) = r.tiles.iter().find(|(i, _)| *i == index) else { return };
    let to = cell(state, index, *area, at);
    if let Some(tile) = state.tiles.get_mut(index)
        && (to != (line, column) || tile.screen.selection().is_some())
    {
        tile.screen.select_between((line, column), to);
    }
}

/// The guest's line and column at a place of a tile, the nearest when the place is outside.
fn cell(state: &State, index: usize, area: Rect, at: Position) -> (i32, usize) {
    let inside = inner(state, area);
    let Some(tile) = state.tiles.get(index) else { return (0, 0) };
    let row = at.y.clamp(inside.y, inside.bottom().max(inside.y + 1) - 1) - inside.y;
    let col = at.x.clamp(inside.x, inside.right().max(inside.x + 1) - 1) - inside.x;
    let line = first_line(&tile.screen, usize::from(inside.height)) + i32::from(row);
    (line, first_column(&tile.screen, usize::from(inside.width)) + usize::from(col))
}

fn wheel(state: &mut State, r: &Regions, at: Position, lines: i32) -> Vec<Req> {
    if let Some((index, _)) = r.tiles.iter().find(|(_, a)| a.contains(at)) {
        if let Some(tile) = state.tiles.get_mut(*index) {
            tile.screen.scroll(lines);
        }
        return Vec::new();
    }
    let step = |at: usize, len: usize| {
        if lines > 0 { at.saturating_sub(1) } else { (at + 1).min(len.saturating_sub(1)) }
    };
    match r.panels.iter().find(|(_, a)| a.contains(at)).map(|(p, _)| *p) {
        Some(Panel::Links) => state.link = step(state.link, state.pairs().len()),
        Some(Panel::Forwards) => state.forward = step(state.forward, state.view.forwards.len()),
        Some(Panel::Tests) => state.test = step(state.test, state.view.tests.subtests.len()),
        Some(Panel::Production) => state.production.at = step(state.production.at, state.production.len()),
        Some(Panel::Reach) => state.reach.0 = step(state.reach.0, state.view.nodes.len()),
        Some(Panel::Topology) => state.interface = step(state.interface, state.interfaces().len()),
        Some(Panel::Log) => {
            let most = state.view.log.len().saturating_sub(1);
            state.log_scroll =
                if lines > 0 { (state.log_scroll + 3).min(most) } else { state.log_scroll.saturating_sub(3) };
        }
        Some(Panel::Nodes) => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            let cursor = names.iter().position(|n| *n == state.selected).unwrap_or(0);
            if let Some(name) = names.get(step(cursor, names.len())) {
                state.select_node(name);
            }
        }
        _ => {}
    }
    Vec::new()
}

/// What is inside a panel's frame, when the place is in there.
fn within(area: Rect, at: Position) -> Option<Rect> {
    if area.width < 2 || area.height < 2 {
        return None;
    }
    let inside = Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2);
    inside.contains(at).then_some(inside)
}
