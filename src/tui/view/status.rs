//! ```text
//!  NAV  enter console  : palette  ? help  z zoom  q leave
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{clip, put};
use crate::tui::commands::find;
use crate::tui::keymap::Scope;
use crate::tui::state::{Mode, Panel, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let (word, style) = match state.mode {
        Mode::Nav => (" NAV ", t.mode_nav),
        Mode::Console => (" CONSOLE ", t.mode_console),
        Mode::Select => (" SELECT ", t.mode_select),
    };
    let mut spans = vec![Span::styled(word, style), Span::raw(" ")];
    let width = usize::from(area.width);
    if state.mode == Mode::Console {
        // The way out is always shown; what else there is to say comes after it.
        let key = state.escape_key();
        let node = state.focused().map(|t| t.node.clone()).unwrap_or_default();
        spans.push(Span::styled(key.clone(), t.key));
        match notice(state) {
            Some((text, style)) => {
                spans.push(Span::styled(" leaves  ", t.dim));
                spans.push(Span::styled(text, style));
            }
            None => {
                let text = format!(" leaves; every other key goes to {node}; {key} twice sends it");
                spans.push(Span::styled(text, t.dim));
            }
        }
        put(buf, area, 0, &Line::from(spans));
        return;
    }
    if let Some((text, style)) = notice(state) {
        spans.push(Span::styled(clip(&text, width.saturating_sub(word.len() + 2)), style));
        put(buf, area, 0, &Line::from(spans));
        return;
    }
    for name in offered(state) {
        let Some(command) = find(name) else { continue };
        let scopes =
            if state.mode == Mode::Select { [Scope::Select; 2] } else { [state.scope(), Scope::Nav] };
        let key = scopes.iter().find_map(|s| state.keymap.keys_in(*s, name).into_iter().next());
        let Some(key) = key else { continue };
        let text = format!("{key} ");
        let used: usize = spans.iter().map(Span::width).sum();
        if used + text.len() + command.hint.len() + 1 > width {
            continue;
        }
        spans.push(Span::styled(text, t.key));
        spans.push(Span::styled(format!("{}  ", command.hint), t.dim));
    }
    put(buf, area, 0, &Line::from(spans));
}

/// What there is to say now.
fn notice(state: &State) -> Option<(String, Style)> {
    let (until, bad, text) = state.notice.as_ref()?;
    let (mark, style) = if *bad { ("✕ ", state.theme.bad) } else { ("", state.theme.ok) };
    (*until > state.now).then(|| (format!("{mark}{text}"), style))
}

/// The commands worth a place on the line, the most useful where the focus is first.
fn offered(state: &State) -> impl Iterator<Item = &'static str> {
    let here: &[&str] = match (state.mode, state.panel) {
        (Mode::Select, _) => &["mark", "mark-lines", "yank", "search", "leave-select"],
        (_, Panel::Nodes) => &[
            "enter-console",
            "root-shell",
            "node-start",
            "node-stop",
            "node-restart",
            "node-pause",
            "node-crash",
            "filter",
        ],
        (_, Panel::Consoles) if state.focused().is_some_and(|t| t.kind.is_terminal()) => {
            &["enter-console", "zoom", "close-shell", "select", "search"]
        }
        (_, Panel::Consoles) => &["enter-console", "zoom", "select", "search", "root-shell", "yank"],
        (_, Panel::Links | Panel::Reach) => {
            &["cut-toggle", "cut-both", "direction", "isolate", "carrier", "undo", "heal-all"]
        }
        (_, Panel::Topology) => &["carrier", "isolate", "undo", "heal-all", "enter-console"],
        (_, Panel::Forwards) => &["browse", "forward-add", "forward-remove"],
        (_, Panel::Tests) => &["test-all", "test-one", "test-line", "test-error", "test-stop"],
        (_, Panel::Production) => &["deploy", "host-terminal", "production-look"],
        (_, Panel::Log) => &["page-up", "log"],
    };
    let everywhere: &[&str] = match state.mode {
        Mode::Nav => &[
            "palette",
            "help",
            "quit",
            "heal-all",
            "undo",
            "forward-add",
            "browse",
            "zoom",
            "next-panel",
            "mouse",
        ],
        _ => &[],
    };
    let rest = everywhere.iter().filter(|n| !here.contains(n));
    // Help and the way out stay in sight on a narrow screen.
    let (head, tail) = here.split_at(here.len().min(if state.size.0 < 60 { 1 } else { 4 }));
    let rest: Vec<&'static str> = rest.copied().collect();
    let (general, other) = rest.split_at(rest.len().min(3));
    [head, general, tail, other].concat().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_exists_and_has_a_hint() {
        let options = crate::tui::TuiOptions {
            config: Default::default(),
            no_color: true,
            truecolor: false,
            directory: ".".into(),
        };
        let mut state = State::new(options, (80, 24)).unwrap();
        for mode in [Mode::Nav, Mode::Select] {
            for panel in Panel::ALL {
                (state.mode, state.panel) = (mode, panel);
                for name in offered(&state) {
                    let hint = find(name).map(|c| c.hint);
                    assert!(hint.is_some_and(|h| !h.is_empty()), "{name}");
                }
            }
        }
    }
}
