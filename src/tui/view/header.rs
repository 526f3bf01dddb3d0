//! ```text
//!  shop ▸ LAB ▸ 5/6 up ▸ 2 FAULTS   cpu 31% mem 1.2G · debian · tcg: /dev/kvm hangs a guest
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{clip, put, size};
use crate::model::GuestSystem;
use crate::proto::{Load, NodeState, Phase};
use crate::tui::ship::Stage;
use crate::tui::state::State;

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let (t, v) = (&state.theme, &state.view);
    let up = v.nodes.iter().filter(|n| n.state == NodeState::Up).count();
    let arrow = || Span::styled(" ▸ ", t.dim);
    let name = if v.network.is_empty() { "diorama" } else { &v.network };
    let mut left = vec![Span::raw(" "), Span::styled(name.to_owned(), t.header), arrow()];
    left.push(match &v.phase {
        _ if !state.connected => Span::styled("DISCONNECTED", t.bad),
        _ if !state.loaded => Span::styled("connecting", t.warn),
        Phase::Evaluating => Span::styled("EVALUATING", t.info),
        Phase::Building { .. } => Span::styled("BUILDING", t.info),
        Phase::Running => Span::styled("LAB", t.accent),
        Phase::Stopping => Span::styled("STOPPING", t.warn),
        Phase::Failed { .. } => Span::styled("FAILED", t.bad),
    });
    if !v.nodes.is_empty() {
        let all = up == v.nodes.len();
        left.extend([
            arrow(),
            Span::styled(format!("{up}/{} up", v.nodes.len()), if all { t.ok } else { t.warn }),
        ]);
    }
    if v.faults > 0 {
        let s = if v.faults == 1 { "" } else { "S" };
        left.extend([arrow(), Span::styled(format!("✕ {} FAULT{s}", v.faults), t.bad)]);
    }
    let crashed =
        v.nodes.iter().filter(|n| matches!(n.state, NodeState::Crashed | NodeState::Failed)).count();
    if crashed > 0 {
        left.extend([arrow(), Span::styled(format!("✕ {crashed} down"), t.bad)]);
    }
    if state.ship.stage == Stage::Shipping {
        left.extend([arrow(), Span::styled("DEPLOYING", t.bad)]);
    }
    let left = Line::from(left);
    let mut right = Vec::new();
    let loads: Vec<Load> = v.nodes.iter().filter_map(|n| n.load).collect();
    if !loads.is_empty() {
        let permille: u32 = loads.iter().map(|l| u32::from(l.cpu_permille)).sum();
        let memory = size(loads.iter().map(|l| l.memory).sum());
        right.push(format!("cpu {}% mem {memory}", permille.min(1000).div_ceil(10)));
    }
    if v.clients > 1 {
        right.push(format!("{} clients", v.clients));
    }
    if state.loaded {
        right.push(
            match v.system {
                GuestSystem::Debian => "debian",
                GuestSystem::Nixos => "nixos",
                GuestSystem::Other => "manifest",
            }
            .to_owned(),
        );
    }
    if !v.accelerator.is_empty() {
        right.push(v.accelerator.clone());
    }
    put(buf, area, 0, &left);
    let used = left.width() + 3;
    let room = usize::from(area.width).saturating_sub(used + 1);
    if room > 4 {
        let text = clip(&right.join(" · "), room);
        let line = Line::styled(text, t.dim);
        let x = area.right().saturating_sub(line.width() as u16 + 1);
        put(buf, Rect { x, width: area.right() - x, ..area }, 0, &line);
    }
}
