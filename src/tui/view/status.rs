//! ```text
//!  NAV  enter console  : palette  ? help  z zoom  q leave
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{clip, put};
use crate::tui::keymap::Scope;
use crate::tui::state::{Mode, State};

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let (word, style) = match state.mode {
        Mode::Nav => (" NAV ", t.mode_nav),
        Mode::Console => (" CONSOLE ", t.mode_console),
        Mode::Select => (" SELECT ", t.mode_select),
    };
    let mut spans = vec![Span::styled(word, style), Span::raw(" ")];
    let width = usize::from(area.width);
    if let Some((until, bad, text)) = &state.notice
        && *until > state.now
    {
        let (mark, style) = if *bad { ("✕ ", t.bad) } else { ("", t.ok) };
        spans.push(Span::styled(clip(&format!("{mark}{text}"), width.saturating_sub(word.len() + 2)), style));
        put(buf, area, 0, &Line::from(spans));
        return;
    }
    if state.mode == Mode::Console {
        let key = state.escape_key();
        let node = state.focused().map(|t| t.node.clone()).unwrap_or_default();
        spans.push(Span::styled(key.clone(), t.key));
        let armed = if state.escape_armed { "  (again: send it)" } else { "" };
        spans.push(Span::styled(
            format!(" leaves; every other key goes to {node}; {key} twice sends it{armed}"),
            t.dim,
        ));
        put(buf, area, 0, &Line::from(spans));
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    let scopes =
        if state.mode == Mode::Select { vec![Scope::Select] } else { vec![state.scope(), Scope::Nav] };
    for scope in scopes {
        for (key, command) in state.keymap.in_scope(scope) {
            if command.hint.is_empty() || seen.contains(&command.name) {
                continue;
            }
            let text = format!("{key} ");
            let used: usize = spans.iter().map(Span::width).sum();
            if used + text.len() + command.hint.len() + 2 > width {
                continue;
            }
            seen.push(command.name);
            spans.push(Span::styled(text, t.key));
            spans.push(Span::styled(format!("{}  ", command.hint), t.dim));
        }
    }
    put(buf, area, 0, &Line::from(spans));
}
