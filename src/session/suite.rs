//! The test script of a session: its subtests and how its run goes.
//!
//! Whoever runs the script tells how it goes; the names of subtests that stand in the script's text are
//! known before. One script runs at a time.
//!
//! Invariant: pure, and bounded whatever a runner tells.

use super::event::{Effect, Ticket};
use super::state::State;
use crate::proto::{Level, Phase, Response, SubtestView, TestState, TestTold, TestsView};
use crate::shell::quote;

/// Subtests that are kept.
const MOST: usize = 500;
/// Characters of a name, a message and a line that are kept.
const NAME_MAX: usize = 300;
const MESSAGE_MAX: usize = 4000;

/// The script as the session knows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Suite {
    /// What clients see.
    pub view: TestsView,
    /// Whether the daemon started the runner and it has not ended.
    pub runner: bool,
}

impl Suite {
    /// The suite of a script that has not run.
    pub fn of(script: Option<&str>) -> Self {
        let names = names(script.unwrap_or_default());
        let subtests = names.into_iter().map(|name| SubtestView { name, ..SubtestView::default() });
        let view =
            TestsView { script: script.is_some(), subtests: subtests.collect(), ..TestsView::default() };
        Self { view, runner: false }
    }

    /// Takes in what the runner tells.
    fn take(&mut self, now: u64, told: TestTold) {
        match told {
            TestTold::Begin { out_dir } => {
                self.view.subtests.iter_mut().for_each(|s| {
                    *s = SubtestView { name: std::mem::take(&mut s.name), ..SubtestView::default() };
                });
                self.view.state = TestState::Running;
                self.view.started = Some(now);
                (self.view.ms, self.view.message) = (None, None);
                self.view.out_dir = clip(out_dir, MESSAGE_MAX);
            }
            TestTold::SubtestBegin { name } => {
                if let Some(s) = self.subtest(&name) {
                    *s = SubtestView { name: std::mem::take(&mut s.name), ..SubtestView::default() };
                    (s.state, s.started) = (TestState::Running, Some(now));
                }
            }
            TestTold::SubtestEnd { name, result, ms, message, node, line } => {
                if let Some(s) = self.subtest(&name) {
                    (s.state, s.ms) = (result, Some(ms));
                    s.message = message.map(|m| clip(m, MESSAGE_MAX));
                    s.node = node.map(|n| clip(n, NAME_MAX));
                    s.line = line.map(|l| clip(l, NAME_MAX));
                }
            }
            TestTold::End { result, message } => self.end(now, result, message),
        }
    }

    fn end(&mut self, now: u64, result: TestState, message: Option<String>) {
        self.view.state = result;
        self.view.message = message.map(|m| clip(m, MESSAGE_MAX));
        self.view.ms = self.view.started.map(|s| now.saturating_sub(s));
        for s in self.view.subtests.iter_mut().filter(|s| s.state == TestState::Running) {
            s.state = TestState::Error;
            s.ms = s.started.map(|at| now.saturating_sub(at));
        }
    }

    /// The subtest of a name, made when it is new. A name of the script's text stands for the first
    /// subtest that ends in it, wherever that is nested.
    fn subtest(&mut self, path: &[String]) -> Option<&mut SubtestView> {
        let whole = clip(path.join(" / "), NAME_MAX);
        let all = &mut self.view.subtests;
        let at = all.iter().position(|s| s.name == whole);
        let at = at.or_else(|| {
            let own = clip(path.last()?.clone(), NAME_MAX);
            let at = all.iter().position(|s| s.name == own && s.state == TestState::Waiting)?;
            all[at].name.clone_from(&whole);
            Some(at)
        });
        let at = match at {
            Some(at) => at,
            None if all.len() >= MOST => return None,
            None => {
                all.push(SubtestView { name: whole, ..SubtestView::default() });
                all.len() - 1
            }
        };
        all.get_mut(at)
    }
}

/// Takes in what a runner tells.
pub(super) fn told(state: &mut State, now: u64, told: TestTold) {
    match &told {
        TestTold::Begin { .. } => state.note(now, Level::Info, "the test script begins", None),
        TestTold::SubtestEnd { name, result: TestState::Failed | TestState::Error, .. } => {
            let name = clip(name.join(" / "), NAME_MAX);
            state.note(now, Level::Error, format!("subtest failed: {name}"), None);
        }
        TestTold::End { result, message } => {
            let (level, word) = match result {
                TestState::Passed => (Level::Info, "passed".to_owned()),
                _ => (Level::Error, format!("failed: {}", first_line(message.as_deref()))),
            };
            state.note(now, level, format!("the test script {word}"), None);
        }
        _ => {}
    }
    state.suite.take(now, told);
}

/// Takes in that whoever told of a script is gone.
pub(super) fn teller_gone(state: &mut State, now: u64) {
    if state.suite.view.state == TestState::Running {
        let message = "its runner ended without a word".to_owned();
        told(state, now, TestTold::End { result: TestState::Error, message: Some(message) });
    }
}

/// Takes in that the runner which the daemon started has ended; `why` it failed, if it said.
pub(super) fn runner_ended(state: &mut State, now: u64, why: Option<String>) {
    state.suite.runner = false;
    // A runner that failed before it began has told nobody.
    if let Some(why) = why.filter(|_| state.suite.view.state == TestState::Waiting) {
        let why = clip(why, MESSAGE_MAX);
        state.note(
            now,
            Level::Error,
            format!("the test script could not be run: {}", first_line(Some(&why))),
            None,
        );
        state.suite.end(now, TestState::Error, Some(why));
    }
}

/// Has the script run, or the subtests with these words in their names.
pub(super) fn run(state: &mut State, now: u64, ticket: Ticket, patterns: Vec<String>, out: &mut Vec<Effect>) {
    let refuse =
        |message: &str, hint: &str| Response::Error { message: message.into(), hint: Some(hint.into()) };
    let busy = state.suite.runner || state.suite.view.state == TestState::Running;
    let response = match &state.phase {
        _ if !state.suite.view.script => {
            refuse("the model has no testScript", "add testScript = ''…''; beside the model's nodes")
        }
        Phase::Running if busy => refuse("the script is running", "it ends, or diorama test stops it"),
        Phase::Running => {
            state.suite.runner = true;
            // What an earlier run came to is no longer true.
            (state.suite.view.state, state.suite.view.message) = (TestState::Waiting, None);
            let cli: String = patterns.iter().map(|p| format!(" -k {}", quote(p))).collect();
            state.note(
                now,
                Level::Info,
                "running the test script",
                Some(format!("diorama test --attach{cli}")),
            );
            out.push(Effect::RunScript { patterns });
            Response::Ok { message: "the script begins".into() }
        }
        _ => refuse("the machines are not there yet", "diorama ls shows how far it is"),
    };
    out.push(Effect::Reply { ticket, response });
}

/// Stops the script that the daemon runs.
pub(super) fn stop(state: &State, ticket: Ticket, out: &mut Vec<Effect>) {
    let response = match (state.suite.runner, state.suite.view.state) {
        (true, _) => {
            out.push(Effect::StopScript);
            Response::Ok { message: "the script is being stopped".into() }
        }
        (false, TestState::Running) => Response::Error {
            message: "another program runs the script".into(),
            hint: Some("ctrl-c in its terminal stops it".into()),
        },
        _ => Response::Error { message: "no script is running".into(), hint: None },
    };
    out.push(Effect::Reply { ticket, response });
}

/// The names of subtests in a script's text: `subtest("…")` with a plain string, in order, once each.
///
/// Only what is certain is found; a name that the script computes is known when it runs.
fn names(script: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in script.lines() {
        let line = line.trim_start();
        let Some(rest) = line.strip_prefix("with ") else { continue };
        for piece in rest.split("subtest(").skip(1) {
            let Some(name) = literal(piece.trim_start()) else { continue };
            if !name.is_empty() && !found.contains(&name) && found.len() < MOST {
                found.push(clip(name, NAME_MAX));
            }
        }
    }
    found
}

/// The string that a text begins with, if it is a plain one that ends the call's argument.
fn literal(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut out = String::new();
    let mut chars = text[1..].chars();
    loop {
        match chars.next()? {
            '\\' => match chars.next()? {
                c @ ('\\' | '"' | '\'') => out.push(c),
                _ => return None,
            },
            c if c == quote => break,
            c => out.push(c),
        }
    }
    // Something may be joined to it.
    chars.as_str().trim_start().starts_with(')').then_some(out)
}

fn first_line(text: Option<&str>) -> String {
    text.and_then(|t| t.lines().next()).unwrap_or("it does not say why").to_owned()
}

fn clip(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stand_in_the_text_are_found() {
        for (script, want) in [
            ("with subtest(\"a b\"):\n    with subtest('c'): pass\n", vec!["a b", "c"]),
            ("with subtest( \"a\" ), web.nested('x'), driver.subtest(\"b\"):\n", vec!["a", "b"]),
            ("# with subtest(\"no\"):\nprint('with subtest(\"no\")')\n", vec![]),
            ("with subtest(f\"{x}\"):\nwith subtest(name):\nwith subtest(\"a\" + x):\n", vec![]),
            (
                "with subtest(\"it's \\\"so\\\"\"):\nwith subtest(\"\\x41\"):\nwith subtest(\"open",
                vec!["it's \"so\""],
            ),
            ("with subtest(\"a\"):\nwith subtest(\"a\"):\n", vec!["a"]),
        ] {
            assert_eq!(names(script), want, "{script}");
        }
    }

    fn begin(name: &[&str]) -> TestTold {
        TestTold::SubtestBegin { name: name.iter().map(|s| (*s).to_owned()).collect() }
    }

    fn end(name: &[&str], result: TestState) -> TestTold {
        let name = name.iter().map(|s| (*s).to_owned()).collect();
        TestTold::SubtestEnd { name, result, ms: 5, message: None, node: None, line: None }
    }

    fn states(suite: &Suite) -> Vec<(&str, TestState)> {
        suite.view.subtests.iter().map(|s| (s.name.as_str(), s.state)).collect()
    }

    #[test]
    fn known_names_take_their_place_when_they_run() {
        use TestState::*;
        let mut suite = Suite::of(Some("with subtest('a'):\n  with subtest('b'):\nwith subtest('c'):\n"));
        suite.take(1, TestTold::Begin { out_dir: String::new() });
        suite.take(2, begin(&["a"]));
        suite.take(3, begin(&["a", "b"]));
        assert_eq!(states(&suite), [("a", Running), ("a / b", Running), ("c", Waiting)]);
        suite.take(4, end(&["a", "b"], Passed));
        suite.take(4, begin(&["a", "made"]));
        suite.take(5, TestTold::End { result: Error, message: None });
        assert_eq!(states(&suite), [("a", Error), ("a / b", Passed), ("c", Waiting), ("a / made", Error)]);
        assert_eq!(suite.view.ms, Some(4));
        suite.take(9, TestTold::Begin { out_dir: String::new() });
        assert!(suite.view.subtests.iter().all(|s| s.state == Waiting));
    }

    #[test]
    fn a_runner_that_floods_is_bounded() {
        let mut suite = Suite::of(None);
        for i in 0..2000 {
            suite.take(1, begin(&[&format!("{i}{}", "x".repeat(1000))]));
        }
        assert_eq!(suite.view.subtests.len(), MOST);
        assert_eq!(suite.view.subtests[0].name.len(), NAME_MAX);
    }

    #[test]
    fn one_script_runs_at_a_time_and_its_end_is_noticed() {
        let mut state = State::new("s", "m", 0);
        state.suite = Suite::of(Some("with subtest('a'):"));
        let asked = |state: &mut State| {
            let mut out = Vec::new();
            run(state, 1, Ticket(1), vec!["x".into()], &mut out);
            let refused =
                out.iter().any(|e| matches!(e, Effect::Reply { response: Response::Error { .. }, .. }));
            (refused, out.iter().any(|e| matches!(e, Effect::RunScript { .. })))
        };
        assert_eq!(asked(&mut state), (true, false), "the machines are not there");
        state.phase = Phase::Running;
        assert_eq!(asked(&mut state), (false, true));
        assert_eq!(asked(&mut state), (true, false), "it runs");
        runner_ended(&mut state, 2, Some("no python\nat all".into()));
        assert_eq!(state.suite.view.state, TestState::Error);
        assert_eq!(state.suite.view.message.as_deref(), Some("no python\nat all"));

        // One that another program runs, which dies.
        told(&mut state, 3, TestTold::Begin { out_dir: String::new() });
        told(&mut state, 4, begin(&["a"]));
        assert_eq!(asked(&mut state), (true, false), "another program runs it");
        teller_gone(&mut state, 9);
        assert_eq!((state.suite.view.state, state.suite.view.ms), (TestState::Error, Some(6)));
        assert_eq!(states(&state.suite), [("a", TestState::Error)]);
        teller_gone(&mut state, 10);
        assert_eq!(asked(&mut state), (false, true));
        state.suite = Suite::of(None);
        assert_eq!(asked(&mut state), (true, false), "there is no script");
    }
}
