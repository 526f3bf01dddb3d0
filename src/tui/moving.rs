//! Moving about: between panels, in lists, over tiles and through history.
//!
//! Invariant: moving changes what is looked at and never asks the daemon for anything.

use super::commands::Act;
use super::console_acts::on_screen;
use super::regions::regions;
use super::state::{Mode, Panel, State};
use super::view::inner;
use crate::console::ViMotion;

pub(super) fn next_panel(state: &mut State, back: bool) {
    let mut order: Vec<Panel> = Panel::ALL[..7].to_vec();
    if state.log_open {
        order.push(Panel::Log);
    }
    let at = order.iter().position(|p| *p == state.panel).unwrap_or(0);
    let step = if back { order.len() - 1 } else { 1 };
    state.focus_panel(order[(at + step) % order.len()]);
}

pub(super) fn step(state: &mut State, act: Act) {
    if state.mode == Mode::Select {
        let motion = match act {
            Act::Up => ViMotion::Up,
            Act::Down => ViMotion::Down,
            Act::Left => ViMotion::Left,
            _ => ViMotion::Right,
        };
        on_screen(state, |t| t.screen.select_motion(motion));
        return;
    }
    let forward = matches!(act, Act::Down | Act::Right);
    let moved = |at: usize, len: usize| {
        if forward { (at + 1).min(len.saturating_sub(1)) } else { at.saturating_sub(1) }
    };
    let vertical = matches!(act, Act::Up | Act::Down);
    match state.panel {
        Panel::Nodes if vertical => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            let at = names.iter().position(|n| *n == state.selected).unwrap_or(0);
            if let Some(name) = names.get(moved(at, names.len())) {
                state.select_node(name);
            }
        }
        Panel::Consoles => focus_towards(state, act),
        Panel::Links if vertical => state.link = moved(state.link, state.pairs().len()),
        Panel::Reach => {
            let n = state.view.nodes.len();
            if vertical {
                state.reach.0 = moved(state.reach.0, n);
            } else {
                state.reach.1 = moved(state.reach.1, n);
            }
            // The focused console stays: one watches it while cutting.
            if let Some(name) = state.view.nodes.get(state.reach.0).map(|n| n.name.clone()) {
                state.selected = name;
            }
        }
        Panel::Topology => {
            state.interface = moved(state.interface, state.interfaces().len());
            let name = state.interfaces().get(state.interface).map(|(n, _)| n.name.clone());
            if let Some(name) = name {
                state.selected = name;
            }
        }
        Panel::Forwards if vertical => state.forward = moved(state.forward, state.view.forwards.len()),
        Panel::Tests if vertical => state.test = moved(state.test, state.view.tests.subtests.len()),
        Panel::Production if vertical => {
            state.production.at = moved(state.production.at, state.production.len());
        }
        Panel::Log if vertical => {
            let most = state.view.log.len().saturating_sub(1);
            state.log_scroll =
                if forward { state.log_scroll.saturating_sub(1) } else { (state.log_scroll + 1).min(most) };
        }
        _ => {}
    }
}

/// Focuses the tile that lies in a direction.
fn focus_towards(state: &mut State, act: Act) {
    let tiles = regions(state).tiles;
    let Some((_, from)) = tiles.iter().find(|(i, _)| *i == state.tile) else { return };
    let centre = |r: &ratatui::layout::Rect| {
        (i32::from(r.x) + i32::from(r.width) / 2, i32::from(r.y) + i32::from(r.height) / 2)
    };
    let (x, y) = centre(from);
    let best = tiles
        .iter()
        .filter(|(i, _)| *i != state.tile)
        .filter_map(|(i, r)| {
            let (cx, cy) = centre(r);
            let (along, across) = match act {
                Act::Left => (x - cx, cy - y),
                Act::Right => (cx - x, cy - y),
                Act::Up => (y - cy, cx - x),
                _ => (cy - y, cx - x),
            };
            (along > 0).then(|| (along + 2 * across.abs(), *i))
        })
        .min();
    if let Some((_, i)) = best {
        state.focus_tile(i);
    }
}

pub(super) fn ends(state: &mut State, first: bool) {
    let end = |len: usize| if first { 0 } else { len.saturating_sub(1) };
    if state.mode == Mode::Select {
        on_screen(state, |t| {
            let line = if first { t.screen.top() } else { t.screen.position().0 };
            t.screen.select_goto(line, 0);
        });
        return;
    }
    match state.panel {
        Panel::Nodes => {
            let names: Vec<String> = state.listed().map(|n| n.name.clone()).collect();
            if let Some(name) = names.get(end(names.len())) {
                state.select_node(name);
            }
        }
        Panel::Links => state.link = end(state.pairs().len()),
        Panel::Reach => state.reach.0 = end(state.view.nodes.len()),
        Panel::Topology => state.interface = end(state.interfaces().len()),
        Panel::Forwards => state.forward = end(state.view.forwards.len()),
        Panel::Tests => state.test = end(state.view.tests.subtests.len()),
        Panel::Production => state.production.at = end(state.production.len()),
        Panel::Log => state.log_scroll = if first { state.view.log.len().saturating_sub(1) } else { 0 },
        Panel::Consoles => {
            on_screen(
                state,
                |t| {
                    if first { t.screen.scroll(i32::MAX / 2) } else { t.screen.scroll_to_bottom() }
                },
            );
        }
    }
}

pub(super) fn page(state: &mut State, up: bool) {
    if state.panel == Panel::Log && state.mode == Mode::Nav {
        let most = state.view.log.len().saturating_sub(1);
        state.log_scroll =
            if up { (state.log_scroll + 10).min(most) } else { state.log_scroll.saturating_sub(10) };
        return;
    }
    let shown = regions(state).tiles;
    let height = shown.iter().find(|(i, _)| *i == state.tile).map_or(24, |(_, r)| inner(state, *r).height);
    let by = i32::from(height / 2).max(1);
    let selecting = state.mode == Mode::Select;
    on_screen(state, |t| {
        if selecting {
            let (line, column) = t.screen.select_cursor();
            t.screen.select_goto(if up { line - by } else { line + by }, column);
        } else {
            t.screen.scroll(if up { by } else { -by });
        }
    });
}
