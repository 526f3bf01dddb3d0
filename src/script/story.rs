//! A run as a story: what happened when, on which machine, made of its events.
//!
//! Invariant: pure. Events that are not known here are passed over; whatever a guest printed is kept as
//! text and bounded, and a run that broke off in the middle is told as far as it came.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::report::Outcome;

/// Bytes of a console that are kept; the first of a longer one are left out.
const CONSOLE_MAX: usize = 1 << 20;
/// Commands whose output is kept; later ones are counted.
const COMMANDS_MAX: usize = 5000;

/// Everything that is told of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// The network's name.
    pub network: String,
    /// The session in which it ran.
    pub session: String,
    /// The machines.
    pub nodes: Vec<String>,
    /// The script's file.
    pub script: String,
    /// Where artifacts were put.
    pub out_dir: String,
    /// When it began, in Unix milliseconds.
    pub began: Option<u64>,
    /// How long it took, in seconds.
    pub length: f64,
    /// The subtests in the order of their beginnings.
    pub subtests: Vec<Part>,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// Faults with their times.
    pub faults: Vec<Fault>,
    /// States of the machines: node, from, until, state.
    pub states: Vec<Span>,
    /// What the consoles printed.
    pub consoles: BTreeMap<String, Printed>,
    /// How it ended, once it has.
    pub end: Option<End>,
    /// Commands that are not told because there were too many.
    pub left_out: usize,
    commands: BTreeMap<String, usize>,
    open_states: BTreeMap<String, (f64, String)>,
}

/// The end of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// Why, in a line.
    pub message: Option<String>,
    /// Everything that is known of a failure.
    pub details: Option<String>,
}

/// A subtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its own name and, before it, those around it.
    pub path: Vec<String>,
    /// From when.
    pub start: f64,
    /// Until when; absent while it runs.
    pub end: Option<f64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub message: Option<String>,
    /// Everything that is known of a failure.
    pub details: Option<String>,
}

/// A machine's state for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The machine.
    pub node: String,
    /// From when.
    pub start: f64,
    /// Until when.
    pub end: f64,
    /// The state.
    pub state: String,
}

/// A fault for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// In words.
    pub text: String,
    /// From when.
    pub start: f64,
    /// Until when; absent when it was never healed.
    pub end: Option<f64>,
    key: FaultKey,
}

#[derive(Debug, Clone, PartialEq)]
enum FaultKey {
    Cut(String, String),
    Isolated(String),
    Carrier(String, Option<String>),
}

/// What a console printed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Printed {
    /// Lines with their times.
    pub lines: VecDeque<(f64, String)>,
    /// Lines that are not kept.
    pub left_out: usize,
    bytes: usize,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When.
    pub at: f64,
    /// On which machine, if on one.
    pub node: Option<String>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A subtest began; its place among the subtests.
    Subtest(usize),
    /// A command ran.
    Command(Command),
    /// Something was said: its level and the text.
    Said(String, String),
    /// Links or carriers were changed.
    Fault(String),
    /// A machine's state changed.
    State(String, Option<u64>),
    /// A file was left: its path, and whether it is a picture.
    Artifact(String, bool),
}

/// A command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Command {
    /// Its text.
    pub text: String,
    /// Its status, once it has ended.
    pub status: Option<i64>,
    /// When it ended.
    pub end: Option<f64>,
    /// Lines of its output; of its standard error where true.
    pub output: Vec<(bool, String)>,
    /// How often it was run in a row, retried.
    pub times: usize,
}

impl Story {
    /// Reads the lines of a log of events; lines that are no events are passed over.
    pub fn read(log: &str) -> Self {
        let mut story = Self::default();
        for event in log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()) {
            story.take(&event);
        }
        story.finish();
        story
    }

    /// Takes in an event.
    pub fn take(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let at = event.get("at").and_then(Value::as_f64).unwrap_or(self.length).max(0.0);
        self.length = self.length.max(at);
        let node = text("node");
        match event.get("event").and_then(Value::as_str).unwrap_or_default() {
            "begin" => {
                self.network = text("network").unwrap_or_default();
                self.session = text("session").unwrap_or_default();
                self.script = text("script").unwrap_or_default();
                self.out_dir = text("outDir").unwrap_or_default();
                self.nodes = words(event, "nodes");
                self.began = event.get("time").and_then(Value::as_u64);
            }
            "subtest-begin" => {
                self.push(at, None, What::Subtest(self.subtests.len()));
                self.subtests.push(Part::begun(words(event, "name"), at));
            }
            "subtest-end" => self.subtest_ended(event, at),
            "command-begin" => {
                self.command_began(at, node, &text("id").unwrap_or_default(), text("command"));
            }
            "command-output" => {
                let is_error = event.get("channel").and_then(Value::as_str) == Some("stderr");
                if let Some(command) = self.command(event) {
                    command.output.push((is_error, text("text").unwrap_or_default()));
                }
            }
            "command-end" => {
                let status = event.get("status").and_then(Value::as_i64);
                if let Some(command) = self.command(event) {
                    (command.status, command.end) = (status, Some(at));
                }
            }
            "log" => {
                let level = text("level").unwrap_or_else(|| "info".into());
                self.push(at, node, What::Said(level, text("text").unwrap_or_default()));
            }
            "nested" => {
                self.push(at, node, What::Said("nested".into(), text("text").unwrap_or_default()));
            }
            "fault" => self.fault(event, at, &text("text").unwrap_or_default()),
            "state" => {
                if let (Some(node), Some(state)) = (node, text("state")) {
                    self.state(at, node, state, event.get("bootMs").and_then(Value::as_u64));
                }
            }
            "console" => {
                if let Some(node) = node {
                    self.consoles.entry(node).or_default().push(at, text("text").unwrap_or_default());
                }
            }
            "artifact" => {
                let picture = event.get("kind").and_then(Value::as_str) == Some("screenshot");
                self.push(at, node, What::Artifact(text("path").unwrap_or_default(), picture));
            }
            "script-end" => {
                self.end = Some(End {
                    outcome: Outcome::parse(&text("result").unwrap_or_default()),
                    message: text("message"),
                    details: text("details"),
                });
            }
            _ => {}
        }
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        for (node, (start, state)) in std::mem::take(&mut self.open_states) {
            self.states.push(Span { node, start, end: self.length, state });
        }
    }

    /// How the run ended as a whole: passed only when all of it did.
    pub fn outcome(&self) -> Outcome {
        match &self.end {
            None => Outcome::Error,
            Some(end) if end.outcome != Outcome::Passed => end.outcome,
            Some(_) => {
                let bad = |p: &&Part| matches!(p.outcome, Some(Outcome::Failed | Outcome::Error));
                self.subtests.iter().find(bad).and_then(|p| p.outcome).unwrap_or(Outcome::Passed)
            }
        }
    }

    fn push(&mut self, at: f64, node: Option<String>, what: What) {
        self.entries.push(Entry { at, node, what });
    }

    fn subtest_ended(&mut self, event: &Value, at: f64) {
        let path = words(event, "name");
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let outcome = Outcome::parse(&text("result").unwrap_or_default());
        let open = self.subtests.iter().rposition(|p| p.path == path && p.outcome.is_none());
        let index = open.unwrap_or_else(|| {
            self.subtests.push(Part::begun(path, at));
            self.subtests.len() - 1
        });
        let part = &mut self.subtests[index];
        (part.end, part.outcome) = (Some(at), Some(outcome));
        (part.message, part.details) = (text("message"), text("details"));
    }

    fn command_began(&mut self, at: f64, node: Option<String>, id: &str, text: Option<String>) {
        let text = text.unwrap_or_default();
        // A command that is tried again and again is told once, with what came of it last.
        if let Some(last) = self.entries.iter().rposition(|e| e.node == node)
            && let What::Command(before) = &mut self.entries[last].what
            && before.text == text
            && before.end.is_some()
            && before.status != Some(0)
        {
            before.times += 1;
            before.output.clear();
            self.commands.insert(id.to_owned(), last);
            return;
        }
        if self.commands.len() >= COMMANDS_MAX {
            self.left_out += 1;
            return;
        }
        self.commands.insert(id.to_owned(), self.entries.len());
        self.push(at, node, What::Command(Command { text, times: 1, ..Command::default() }));
    }

    fn command(&mut self, event: &Value) -> Option<&mut Command> {
        let id = event.get("id").and_then(Value::as_str)?;
        match &mut self.entries.get_mut(*self.commands.get(id)?)?.what {
            What::Command(command) => Some(command),
            _ => None,
        }
    }

    fn state(&mut self, at: f64, node: String, state: String, boot: Option<u64>) {
        if let Some((start, before)) = self.open_states.insert(node.clone(), (at, state.clone())) {
            self.states.push(Span { node: node.clone(), start, end: at, state: before });
        } else if state == "built" {
            // That a machine is off before the script has begun is no news.
            return;
        }
        let boot = boot.filter(|_| state == "up");
        self.push(at, Some(node), What::State(state, boot));
    }

    fn fault(&mut self, event: &Value, at: f64, text: &str) {
        let word = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (from, to, node) = (word("from"), word("to"), word("node"));
        let interface = event.get("interface").and_then(Value::as_str).map(str::to_owned);
        let up = event.get("up").and_then(Value::as_bool).unwrap_or_default();
        self.push(at, None, What::Fault(text.to_owned()));
        let key = match event.get("do").and_then(Value::as_str).unwrap_or_default() {
            "cut" => FaultKey::Cut(from, to),
            "isolate" => FaultKey::Isolated(node),
            "carrier" if !up => FaultKey::Carrier(node, interface),
            "heal" => return self.healed(at, |k| *k == FaultKey::Cut(from.clone(), to.clone())),
            "rejoin" => {
                return self.healed(at, |k| match k {
                    FaultKey::Cut(a, b) => *a == node || *b == node,
                    FaultKey::Isolated(n) => *n == node,
                    FaultKey::Carrier(..) => false,
                });
            }
            "carrier" => {
                return self.healed(at, |k| match k {
                    FaultKey::Carrier(n, i) => *n == node && (interface.is_none() || *i == interface),
                    _ => false,
                });
            }
            "healAll" => return self.healed(at, |_| true),
            _ => return,
        };
        if !self.faults.iter().any(|f| f.end.is_none() && f.key == key) {
            self.faults.push(Fault { text: text.to_owned(), start: at, end: None, key });
        }
    }

    fn healed(&mut self, at: f64, is: impl Fn(&FaultKey) -> bool) {
        for fault in self.faults.iter_mut().filter(|f| f.end.is_none() && is(&f.key)) {
            fault.end = Some(at);
        }
    }
}

impl Part {
    fn begun(path: Vec<String>, start: f64) -> Self {
        Self { path, start, end: None, outcome: None, message: None, details: None }
    }
}

impl Printed {
    fn push(&mut self, at: f64, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back((at, line));
        while self.bytes > CONSOLE_MAX {
            let Some((_, line)) = self.lines.pop_front() else { return };
            self.bytes -= line.len() + 1;
            self.left_out += 1;
        }
    }
}

fn words(event: &Value, key: &str) -> Vec<String> {
    let words = event.get(key).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Story {
        Story::read(&lines.join("\n"))
    }

    #[test]
    fn faults_last_until_they_are_healed() {
        let cut = |at: u8, a: &str, b: &str| {
            format!(r#"{{"event":"fault","at":{at},"do":"cut","from":"{a}","to":"{b}","text":"{a}{b}"}}"#)
        };
        let down =
            r#"{"event":"fault","at":3,"do":"carrier","node":"c","interface":"eth1","up":false,"text":"c"}"#;
        for (heal, ended) in [
            (r#"{"event":"fault","at":9,"do":"heal","from":"a","to":"b"}"#, vec!["ab"]),
            (r#"{"event":"fault","at":9,"do":"rejoin","node":"a"}"#, vec!["ab", "ba"]),
            (r#"{"event":"fault","at":9,"do":"carrier","node":"c","interface":null,"up":true}"#, vec!["c"]),
            (r#"{"event":"fault","at":9,"do":"healAll"}"#, vec!["ab", "ba", "c"]),
            (r#"{"event":"fault","at":9,"do":"undo"}"#, vec![]),
        ] {
            let story = read(&[&cut(1, "a", "b"), &cut(2, "b", "a"), down, heal]);
            let gone = story.faults.iter().filter(|f| f.end == Some(9.0));
            assert_eq!(gone.map(|f| f.text.as_str()).collect::<Vec<_>>(), ended, "{heal}");
        }
    }

    #[test]
    fn a_command_that_is_retried_is_told_once() {
        let story = read(&[
            r#"{"event":"command-begin","at":1,"node":"a","id":"a-1","command":"x"}"#,
            r#"{"event":"command-output","at":1,"node":"a","id":"a-1","channel":"stdout","text":"no"}"#,
            r#"{"event":"command-end","at":2,"node":"a","id":"a-1","status":1}"#,
            "no event at all",
            r#"{"event":"command-begin","at":3,"node":"a","id":"a-2","command":"x"}"#,
            r#"{"event":"command-output","at":3,"node":"a","id":"a-2","channel":"stderr","text":"yes"}"#,
            r#"{"event":"command-end","at":4,"node":"a","id":"a-2","status":0}"#,
            r#"{"event":"command-begin","at":5,"node":"a","id":"a-3","command":"x"}"#,
        ]);
        let commands: Vec<_> = story
            .entries
            .iter()
            .map(|e| match &e.what {
                What::Command(c) => (c.times, c.status, c.end, c.output.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(commands, [(2, Some(0), Some(4.0), 1), (1, None, None, 0)]);
    }

    #[test]
    fn a_run_passes_only_when_all_of_it_did() {
        let end = r#"{"event":"script-end","at":5,"result":"passed"}"#;
        let part = |result: &str| format!(r#"{{"event":"subtest-end","name":["x"],"result":"{result}"}}"#);
        for (lines, want) in [
            (vec![end.to_owned()], Outcome::Passed),
            (vec![part("skipped"), end.into()], Outcome::Passed),
            (vec![part("failed"), end.into()], Outcome::Failed),
            (vec![part("passed")], Outcome::Error),
        ] {
            assert_eq!(Story::read(&lines.join("\n")).outcome(), want, "{lines:?}");
        }
    }

    #[test]
    fn a_console_without_end_is_bounded() {
        let mut printed = Printed::default();
        for i in 0..3000 {
            printed.push(f64::from(i), "x".repeat(1000));
        }
        assert!(printed.bytes <= CONSOLE_MAX && printed.left_out > 1900, "{}", printed.left_out);
        assert_eq!(printed.lines.back().map(|l| l.0), Some(2999.0));
    }
}
