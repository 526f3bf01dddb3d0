//! ```text
//! ┏ Deploy trac ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
//! ┃ webserver   changes     12 paths, 3.1M · 2 units restart  ┃
//! ┃ storage     unchanged                                     ┃
//! ┃ type the network's name (trac) to deploy: tr_             ┃
//! ┗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┛
//! ```

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::input::Input;
use super::{Outcome, Run, window};
use crate::deploy::closure::Change;
use crate::deploy::plan::{HostPlan, Status};
use crate::deploy::words::{self, Phase};
use crate::deploy::{KeyChange, counted};
use crate::tui::keymap::Key;
use crate::tui::ship::{Progress, Ship, Stage};
use crate::tui::state::State;
use crate::tui::theme::Theme;
use crate::tui::view::{bar, clip, plain, put, size};

/// The plan, the question, and how it goes on.
#[derive(Debug, Default)]
pub struct ShipBox {
    /// What was typed.
    pub input: Input,
    /// Lines it is scrolled by.
    pub scroll: usize,
}

impl ShipBox {
    pub(super) fn key(&mut self, state: &State, key: Key) -> Outcome {
        let ctrl = key.mods.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::PageDown => self.scroll += 10,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Char('c') if ctrl => return Outcome::Keep(Run::ShipStop),
            // A deployment goes on behind the panels; a plan that nobody waits for does not.
            KeyCode::Esc if state.ship.stage == Stage::Planning => return Outcome::Run(Run::ShipStop),
            KeyCode::Esc => return Outcome::Close,
            KeyCode::Enter if state.ship.stage == Stage::Ended => return Outcome::Close,
            KeyCode::Enter if self.asks(&state.ship) => {
                let typed = std::mem::take(&mut self.input).text();
                return Outcome::Keep(Run::ShipGo(typed));
            }
            _ if self.asks(&state.ship) => {
                self.input.key(key);
            }
            _ => {}
        }
        Outcome::Stay
    }

    fn asks(&self, ship: &Ship) -> bool {
        ship.stage == Stage::Planned && ship.changes() && ship.obstacles().is_empty()
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let (t, ship) = (&state.theme, &state.ship);
        let width = area.width.saturating_sub(4).min(110);
        let columns = usize::from(width.saturating_sub(2));
        let lines = match ship.stage {
            Stage::Idle => Vec::new(),
            Stage::Planning => planning(state),
            Stage::Planned => plan(ship, t, columns),
            Stage::Shipping | Stage::Ended => progress(ship, t, columns),
        };
        let height = u16::try_from(lines.len() + 4).unwrap_or(u16::MAX).clamp(10, 40);
        let height = height.min(area.height.saturating_sub(2));
        let title = ship.network().map_or_else(|| "Deploy".into(), |n| format!("Deploy {}", plain(n)));
        let note = match ship.stage {
            Stage::Planning => "esc gives up",
            Stage::Shipping => "ctrl-c takes it back · esc hides",
            _ => "esc closes",
        };
        let inside = window(t, area, width, height, &title, note, buf);
        // Production is never mistaken for the clone.
        let edge = Rect { x: inside.x.saturating_sub(1), width: 1, ..inside };
        buf.set_style(edge, t.bad);
        let foot = self.foot(ship, t);
        let rows = usize::from(inside.height).saturating_sub(usize::from(foot.is_some()));
        let most = lines.len().saturating_sub(rows);
        // While hosts talk, the newest is what one wants to see.
        let from = self.scroll.min(most);
        for (row, line) in lines.iter().skip(from).take(rows).enumerate() {
            put(buf, inside, row, line);
        }
        let (line, cursor) = foot?;
        put(buf, inside, rows, &line);
        cursor.map(|column| Position::new(inside.x + column as u16, inside.y + rows as u16))
    }

    fn foot(&self, ship: &Ship, t: &Theme) -> Option<(Line<'static>, Option<usize>)> {
        if self.asks(ship) {
            let question = format!(" type the network's name ({}) to deploy: ", plain(ship.network()?));
            let column = question.chars().count() + self.input.column();
            let spans = vec![Span::styled(question, t.bad), Span::styled(self.input.text(), t.text)];
            return Some((Line::from(spans), Some(column)));
        }
        match ship.stage {
            Stage::Planned if !ship.changes() && ship.obstacles().is_empty() => {
                Some((Line::styled(" every host runs this already: nothing to do", t.ok), None))
            }
            Stage::Planned => Some((Line::styled(" this plan cannot be carried out", t.bad), None)),
            Stage::Ended => ship.end.as_ref().map(|end| {
                let generation = end.generation.map_or_else(String::new, |n| format!("generation {n}; "));
                let text = format!(" {generation}{} copied, {:.1} s", size(end.bytes), end.seconds);
                (Line::styled(text, if end.status == 0 { t.ok } else { t.bad }), None)
            }),
            _ => None,
        }
    }
}

fn planning(state: &State) -> Vec<Line<'static>> {
    let t = &state.theme;
    let mut lines = vec![
        Line::styled(" building the systems for production and asking the hosts …", t.warn),
        Line::styled(format!(" $ diorama plan {}", plain(&state.view.model)), t.dim),
    ];
    lines.extend(state.ship.said.iter().map(|l| Line::styled(format!(" {}", plain(l)), t.bad)));
    lines
}

fn plan(ship: &Ship, t: &Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(plan) = &ship.plan else { return Vec::new() };
    let wide = plan.hosts.keys().map(|n| n.chars().count()).max().unwrap_or(0).min(24);
    let mut lines = Vec::new();
    for (node, host) in &plan.hosts {
        let (word, style) = match &host.status {
            Status::Changes => ("changes", t.warn),
            Status::Unchanged => ("unchanged", t.ok),
            Status::Unreachable(_) => ("unreachable", t.bad),
            Status::HostKey(_) => ("host key", t.bad),
            Status::Architecture(_) => ("architecture", t.bad),
            Status::NotReady(_) => ("not ready", t.bad),
            Status::Locked(_) => ("locked", t.bad),
        };
        let address = host.address.clone().unwrap_or_default();
        lines.push(Line::from(vec![
            Span::styled(format!(" {:wide$} ", clip(&plain(node), wide)), t.title),
            Span::styled(format!("{word:13}"), style),
            Span::styled(clip(&plain(&summary(host)), columns.saturating_sub(wide + 16)), t.text),
            Span::styled(format!("  {}", plain(&address)), t.dim),
        ]));
        let mut tell = |text: String, style: Style| {
            let text = format!("   {}", plain(&text));
            lines.push(Line::styled(clip(&text, columns), style));
        };
        if let Some(why) = host.status.obstacle() {
            tell(why.to_owned(), t.bad);
        }
        for (word, units) in [
            ("stops", &host.units.stop),
            ("restarts", &host.units.restart),
            ("reloads", &host.units.reload),
            ("starts", &host.units.start),
        ] {
            if !units.is_empty() {
                tell(format!("{word} {}", units.join(", ")), t.text);
            }
        }
        for change in host.packages.iter().flatten() {
            tell(words(change), t.dim);
        }
        if !host.inhibitors.is_empty() {
            let parts = host.inhibitors.join(", ");
            tell(format!("no switch while it runs ({parts}); diorama deploy --goal boot --reboot"), t.bad);
        }
        if !host.keys.is_empty() {
            let keys: Vec<String> = host.keys.iter().map(KeyChange::describe).collect();
            tell(format!("keys: {}", keys.join(", ")), t.text);
        }
        if let Some(why) = &host.reboot {
            tell(format!("a reboot is due afterwards: {why}"), t.warn);
        }
        if let Some(drift) = &host.drift {
            tell(format!("{drift}; diorama deploy --accept-drift deploys over that"), t.bad);
        }
        for note in &host.notes {
            tell(note.clone(), t.dim);
        }
    }
    lines
}

fn summary(host: &HostPlan) -> String {
    if host.status != Status::Changes {
        return String::new();
    }
    if let Some(builds) = &host.builds {
        let (derivations, downloads) =
            (counted(builds.derivations, "derivation"), counted(builds.downloads, "download"));
        return format!("builds its own: {derivations}, {downloads}");
    }
    let units = match host.units.restart.len() {
        0 => String::new(),
        1 => " · 1 unit restarts".into(),
        n => format!(" · {n} units restart"),
    };
    format!("{} paths, {}{units}", host.missing_paths, size(host.missing_bytes))
}

fn words(change: &Change) -> String {
    match change {
        Change::Added { name, version } => format!("+ {name} {version}"),
        Change::Removed { name, version } => format!("- {name} {version}"),
        Change::Version { name, from, to } => format!("  {name} {from} → {to}"),
        Change::Rebuilt { name, .. } => format!("  {name} rebuilt"),
    }
}

fn progress(ship: &Ship, t: &Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if ship.hosts.is_empty() && ship.stage == Stage::Shipping {
        lines.push(Line::styled(" asking the hosts once more …", t.warn));
    }
    let wide = ship.hosts.keys().map(|n| n.chars().count()).max().unwrap_or(0).min(24);
    for (node, host) in &ship.hosts {
        let mut spans = vec![Span::styled(format!(" {:wide$} ", clip(&plain(node), wide)), t.title)];
        spans.extend(stand(host, t, columns.saturating_sub(wide + 3)));
        lines.push(Line::from(spans));
    }
    if let Some(why) = &ship.failing {
        let text = format!(" FAILED, everything goes back: {}", plain(why));
        lines.push(Line::styled(clip(&text, columns), t.bad));
    }
    if let Some(error) = &ship.error {
        lines.extend(error.lines().map(|l| Line::styled(format!(" {}", plain(l)), t.bad)));
    }
    lines.push(Line::default());
    let newest = ship.said.iter().rev();
    lines.extend(newest.map(|l| Line::styled(clip(&format!(" {}", plain(l)), columns), t.dim)));
    lines
}

/// How one host stands.
fn stand(host: &Progress, t: &Theme, room: usize) -> Vec<Span<'static>> {
    if let Some(outcome) = &host.outcome {
        let style = match outcome {
            words::Outcome::Unchanged | words::Outcome::Switched => t.ok,
            words::Outcome::SwitchedWithFailedUnits => t.warn,
            _ => t.bad,
        };
        return vec![Span::styled(clip(&plain(&outcome.describe()), room), style)];
    }
    let (word, style) = match &host.phase {
        None | Some(Phase::Waiting) => ("waiting", t.dim),
        Some(Phase::Copying) => ("copying", t.info),
        Some(Phase::Copied) => ("copied", t.info),
        Some(Phase::Locking | Phase::Locked) => ("locked", t.info),
        Some(Phase::Activating) => ("activating", t.warn),
        Some(Phase::Acking) => ("active; connecting afresh", t.warn),
        Some(Phase::Acked) => ("reached afresh", t.info),
        Some(Phase::Checking) => ("health checks", t.warn),
        Some(Phase::Healthy) => ("healthy", t.info),
        Some(Phase::Committing) => ("committing", t.warn),
        Some(Phase::Committed | Phase::Releasing) => ("committed", t.ok),
        Some(Phase::Reverting) => ("GOING BACK", t.bad),
        Some(Phase::Recovering) => ("the connection was lost; finding out", t.bad),
        Some(Phase::Done(_)) => ("done", t.ok),
    };
    let mut spans = vec![Span::styled(format!("{word} "), style)];
    if let (Some(Phase::Copying), Some((done, total))) = (&host.phase, host.copied) {
        let percent = u8::try_from(done.saturating_mul(100) / total.max(1)).unwrap_or(100).min(100);
        spans.extend(bar(percent, 24.min(room.saturating_sub(30)), t));
        spans.push(Span::styled(format!(" {} of {}", size(done), size(total)), t.dim));
    }
    spans
}
