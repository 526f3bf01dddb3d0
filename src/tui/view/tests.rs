//! ```text
//! ╭ 6 Tests ───────── 2 of 4 passed · 31 s ╮
//! │ ● machines boot                  9.7 s │
//! │ ✕ an outage                      1.1 s │
//! │ ◐ the page is served               4 s │
//! │ · it comes back                        │
//! ╰────────────────────────────────────────╯
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::{clip, first_row, frame_of, plain, put, tabs, tint};
use crate::proto::{SubtestView, TestState};
use crate::tui::state::{Panel, State};
use crate::tui::theme::Theme;

fn mark(state: TestState, t: &Theme) -> (&'static str, Style) {
    match state {
        TestState::Waiting => ("·", t.dim),
        TestState::Running => ("◐", t.warn),
        TestState::Passed => ("●", t.ok),
        TestState::Failed | TestState::Error => ("✕", t.bad),
        TestState::Skipped => ("–", t.dim),
    }
}

/// How long something took, or has taken up to now.
fn took(now: u64, started: Option<u64>, ms: Option<u64>) -> String {
    match (ms, started) {
        (Some(ms), _) if ms >= 100_000 => format!("{} s", ms / 1000),
        (Some(ms), _) => format!("{:.1} s", ms as f64 / 1000.0),
        (None, Some(started)) => format!("{} s", now.saturating_sub(started) / 1000),
        (None, None) => String::new(),
    }
}

fn note(state: &State) -> String {
    let tests = &state.view.tests;
    let passed = tests.subtests.iter().filter(|s| s.state == TestState::Passed).count();
    let ran = tests.subtests.iter().filter(|s| s.state != TestState::Skipped).count();
    let time = took(state.now, tests.started, tests.ms);
    let word = match tests.state {
        TestState::Waiting => return String::new(),
        TestState::Running => "running",
        TestState::Passed => "passed",
        TestState::Failed => "failed",
        TestState::Error | TestState::Skipped => "broke off",
    };
    format!("{word} · {passed} of {ran} · {time}")
}

pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let t = &state.theme;
    let title = tabs(state, Panel::Tests, "6 Tests");
    let inside = frame_of(state, Panel::Tests, area, &title, &note(state), buf);
    let tests = &state.view.tests;
    if tests.subtests.is_empty() {
        let text = match (tests.script, tests.state) {
            (false, _) => " the model has no testScript",
            (true, TestState::Waiting) => " t runs the test script",
            (true, _) => " the script names no subtests",
        };
        put(buf, inside, 0, &Line::styled(text, t.dim));
    }
    // The reason of a run that failed outside of its subtests has the last line.
    let outside = tests.message.as_deref().filter(|_| {
        let failed = |s: &SubtestView| matches!(s.state, TestState::Failed | TestState::Error);
        !tests.subtests.iter().any(failed)
    });
    let rows = usize::from(inside.height).saturating_sub(usize::from(outside.is_some()));
    let width = usize::from(inside.width);
    let first = first_row(state.test, tests.subtests.len(), rows);
    for (i, s) in tests.subtests.iter().enumerate().skip(first).take(rows) {
        let (glyph, style) = mark(s.state, t);
        let ran = s.state != TestState::Skipped;
        let time = if ran { took(state.now, s.started, s.ms) } else { String::new() };
        let room = width.saturating_sub(5 + time.width());
        let depth = s.name.matches(" / ").count();
        // Under the one that it is in, its own name is enough.
        let above = tests.subtests[..i].iter().rfind(|o| s.name.starts_with(&format!("{} / ", o.name)));
        let (indent, own) = match above {
            Some(above) => (2 * depth, &s.name[above.name.len() + 3..]),
            None => (0, s.name.as_str()),
        };
        let name = clip(&format!("{:indent$}{}", "", plain(own)), room);
        let pad = room.saturating_sub(name.width());
        let name_style = if s.state == TestState::Waiting { t.dim } else { t.text };
        let line = Line::from(vec![
            Span::styled(format!(" {glyph} "), style),
            Span::styled(name, name_style),
            Span::styled(format!("{:pad$} {time}", ""), t.dim),
        ]);
        put(buf, inside, i - first, &line);
        if i == state.test && state.panel == Panel::Tests {
            tint(buf, inside, i - first, t.cursor);
        }
    }
    if let Some(text) = outside {
        let text = format!(" {}", plain(text.lines().next().unwrap_or_default()));
        put(buf, inside, rows, &Line::styled(clip(&text, width), t.bad));
    }
}
