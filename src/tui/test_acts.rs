//! What is done with the test script: running, stopping, looking at what failed.
//!
//! Invariant: no I/O; the daemon runs the script, so every client sees the same.

use super::console_acts::{on_screen, select};
use super::layer::{Layer, TextBox};
use super::msg::Req;
use super::perform::layer;
use super::state::{Panel, Pending, State};
use crate::proto::{Request, TestState};

pub(super) fn run_all(state: &mut State) -> Vec<Req> {
    run(state, Vec::new(), "diorama test --attach".into())
}

pub(super) fn run_one(state: &mut State) -> Vec<Req> {
    let Some(name) = state.subtest().map(|s| s.name.clone()) else {
        state.say(true, "there is no subtest under the cursor");
        return Vec::new();
    };
    // The whole name: one that is part of another means itself alone.
    let cli = format!("diorama test --attach -k '={name}'");
    run(state, vec![format!("={name}")], cli)
}

fn run(state: &mut State, patterns: Vec<String>, cli: String) -> Vec<Req> {
    state.focus_panel(Panel::Tests);
    vec![state.ask(Request::TestRun { patterns }, Pending::Act(cli))]
}

pub(super) fn stop(state: &mut State) -> Vec<Req> {
    vec![state.ask(Request::TestStop, Pending::Act("ctrl-c".into()))]
}

/// Goes to the line that the console of the failing node had printed last when the subtest failed.
pub(super) fn show(state: &mut State) -> Vec<Req> {
    let Some(subtest) = state.subtest().cloned() else {
        state.say(true, "there is no subtest under the cursor");
        return Vec::new();
    };
    let Some(node) = subtest.node else {
        let text = match subtest.state {
            TestState::Failed | TestState::Error => "it failed outside of a machine; W shows why",
            _ => "it has not failed",
        };
        state.say(false, text);
        return Vec::new();
    };
    state.select_node(&node);
    state.focus_panel(Panel::Consoles);
    let line = subtest.line.unwrap_or_default();
    let line = line.trim();
    let found = state.focused().filter(|_| !line.is_empty()).and_then(|tile| {
        // A line of a guest's may be longer than its screen is wide.
        let start: String = line.chars().take(tile.screen.cols().saturating_sub(1)).collect();
        tile.screen.find_next(&start, (tile.screen.rows() as i32, 0), true)
    });
    match found {
        Some(found) => {
            select(state);
            on_screen(state, |t| t.screen.select_goto(found.line, found.start));
            state.say(false, format!("{node} had printed this when the subtest failed; esc goes back"));
        }
        None => state.say(false, format!("{node}'s console has no such line any more")),
    }
    Vec::new()
}

pub(super) fn why(state: &mut State) -> Vec<Req> {
    let named = state.subtest().filter(|s| s.message.is_some());
    let (title, text) = match named {
        Some(s) => (format!("Why \"{}\" failed", s.name), s.message.clone()),
        None => ("Why the test script failed".to_owned(), state.view.tests.message.clone()),
    };
    match text {
        Some(text) => layer(state, Layer::Text(TextBox { title, text, scroll: 0 })),
        None => {
            state.say(false, "nothing has failed");
            Vec::new()
        }
    }
}
