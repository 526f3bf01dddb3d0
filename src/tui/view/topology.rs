//! ```text
//! ╭ 4 Topology ───────────────────────╮
//! │ ╭──────╮   ╭──────╮   ╭──────╮    │
//! │ │● web1│   │● web2│   │● db1 │    │
//! │ ╰──┬───╯   ╰──┬───╯   ╰──┬───╯    │
//! │    │.1        │.2        ┼.3      │
//! │ ━━━┷━━━━━━━━━━┷━━━━━━━━━━┷━━━━ vlan 1  192.168.1.0
//! ╰───────────────────────────────────╯
//! ```
//! Where the boxes do not fit, a list by VLAN.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{clip, first_row, frame_of, put, size, state_mark, tabs, tint};
use crate::proto::{InterfaceView, NodeView};
use crate::tui::state::{Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let title = tabs(state, Panel::Topology, "4 Topology");
    let note = state
        .interfaces()
        .get(state.interface)
        .filter(|_| state.panel == Panel::Topology)
        .map(|(node, i)| detail(node, i))
        .unwrap_or_default();
    let room = usize::from(area.width).saturating_sub(title.chars().count() + 8);
    let inside = frame_of(state, Panel::Topology, area, &title, &clip(&note, room), buf);
    let vlans = vlans(state);
    let nodes = &state.view.nodes;
    if nodes.is_empty() || inside.is_empty() {
        return;
    }
    let widest = nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0).clamp(3, 14) + 6;
    let wanted_rows = 3 + 2 * vlans.len();
    let fits =
        widest * nodes.len() + 2 <= usize::from(inside.width) && wanted_rows <= usize::from(inside.height);
    if fits {
        picture(state, &vlans, inside, buf);
    } else {
        list(state, inside, buf);
    }
}

fn vlans(state: &State) -> Vec<u16> {
    let mut all: Vec<u16> = state.interfaces().iter().map(|(_, i)| i.vlan).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn picture(state: &State, vlans: &[u16], area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let nodes = &state.view.nodes;
    let slot = (usize::from(area.width).saturating_sub(2) / nodes.len()).min(26);
    let chosen = state.interfaces().get(state.interface).map(|(n, i)| (n.name.clone(), i.name.clone()));
    for (row, vlan) in vlans.iter().enumerate() {
        bus(state, *vlan, row, vlans.len(), slot, area, buf);
    }
    for (at, node) in nodes.iter().enumerate() {
        let x = 1 + at * slot;
        let width = slot.saturating_sub(1).min(node.name.chars().count() + 6).max(5);
        let style = if node.name == state.selected { t.border_focus } else { t.border };
        let (glyph, _, mark) = state_mark(node.state, t);
        let inner = width - 2;
        write(buf, area, x, 0, &format!("╭{}╮", "─".repeat(inner)), style);
        write(buf, area, x, 1, &format!("│{}│", " ".repeat(inner)), style);
        write(buf, area, x + 1, 1, &clip(&format!("{glyph} {}", node.name), inner), *mark);
        write(buf, area, x, 2, &format!("╰{}╯", "─".repeat(inner)), style);
        for (k, i) in node.interfaces.iter().enumerate() {
            let Some(level) = vlans.iter().position(|v| *v == i.vlan) else { continue };
            let px = x + stem(k, width);
            let focused = state.panel == Panel::Topology
                && chosen.as_ref().is_some_and(|(n, name)| *n == node.name && *name == i.name);
            let up = i.carrier && i.connected;
            let style = if up { t.ok } else { t.bad };
            let style = if focused { style.patch(t.cursor) } else { style };
            write(buf, area, px, 2, "┬", style);
            let bus_row = 4 + 2 * level;
            for y in 3..bus_row {
                write(buf, area, px, y, if up { "│" } else { "┆" }, style);
            }
            let label = if up { host_part(i) } else { format!("▽{}", host_part(i)) };
            let room = slot.saturating_sub(stem(k, width) + 2);
            write(buf, area, px + 1, bus_row - 1, &clip(&label, room), if focused { style } else { t.dim });
            write(buf, area, px, bus_row, if up { "┷" } else { "━" }, if up { t.info } else { t.dim });
        }
    }
}

/// The column of a box's k-th interface below it.
fn stem(k: usize, width: usize) -> usize {
    (2 + 5 * k).min(width.saturating_sub(2))
}

fn bus(state: &State, vlan: u16, row: usize, of: usize, slot: usize, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let y = 4 + 2 * row;
    let length = slot * state.view.nodes.len();
    let name = format!(" vlan {vlan} ");
    write(buf, area, 1, y, &"━".repeat(length.min(usize::from(area.width).saturating_sub(2))), t.info);
    let room = usize::from(area.width).saturating_sub(length + 2);
    if room > name.len() {
        write(buf, area, length + 1, y, &clip(&format!("{name}{}", network(state, vlan)), room), t.info);
    } else if row < of {
        write(buf, area, length.saturating_sub(name.len() + 1), y, &name, t.info);
    }
}

/// The VLAN's network as far as its addresses tell.
fn network(state: &State, vlan: u16) -> String {
    state
        .interfaces()
        .iter()
        .filter(|(_, i)| i.vlan == vlan)
        .find_map(|(_, i)| i.addresses.iter().find_map(|a| Some(format!("{}.0", a.rsplit_once('.')?.0))))
        .unwrap_or_default()
}

fn host_part(i: &InterfaceView) -> String {
    let Some(a) = i.addresses.first() else { return i.name.clone() };
    let bare = a.split('/').next().unwrap_or(a);
    match bare.rsplit_once('.') {
        Some((_, last)) => format!(".{last}"),
        None => bare.to_owned(),
    }
}

/// An interface in one line.
fn detail(node: &NodeView, i: &InterfaceView) -> String {
    let carrier = if i.carrier { "carrier up" } else { "▽ carrier down" };
    let mut text = format!("{} {}: {carrier} · {}", node.name, i.name, i.addresses.join(" "));
    text.push_str(&format!(" · ↑{} ↓{}", size(i.rx.bytes), size(i.tx.bytes)));
    if i.drops > 0 {
        text.push_str(&format!(" · {} dropped", i.drops));
    }
    if !i.connected {
        text.push_str(" · unplugged");
    }
    text
}

fn list(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let all = state.interfaces();
    let first = first_row(state.interface, all.len(), usize::from(area.height));
    for (row, (node, i)) in all.iter().enumerate().skip(first).take(usize::from(area.height)) {
        let (glyph, _, style) = state_mark(node.state, t);
        let plug = match (i.connected, i.carrier) {
            (true, true) => Span::styled("━━", t.ok),
            (false, _) => Span::styled("  ", t.dim),
            (_, false) => Span::styled("▽━", t.bad),
        };
        let line = Line::from(vec![
            Span::styled(format!(" {glyph} "), *style),
            Span::raw(format!("{:10} ", clip(&node.name, 10))),
            Span::raw(format!("{:5}", clip(&i.name, 5))),
            plug,
            Span::styled(format!(" vlan {:<3} ", i.vlan), t.info),
            Span::styled(
                format!("{} ↑{} ↓{}", i.addresses.join(" "), size(i.rx.bytes), size(i.tx.bytes)),
                t.dim,
            ),
        ]);
        put(buf, area, row - first, &line);
        if row == state.interface && state.panel == Panel::Topology {
            tint(buf, area, row - first, t.cursor);
        }
    }
}

fn write(buf: &mut Buffer, area: Rect, x: usize, y: usize, text: &str, style: Style) {
    if x < usize::from(area.width) && y < usize::from(area.height) {
        let room = usize::from(area.width) - x;
        buf.set_stringn(area.x + x as u16, area.y + y as u16, text, room, style);
    }
}
