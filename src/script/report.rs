//! What became of a run, made of its events.
//!
//! Invariant: pure. Events of a later driver that are not known here are passed over, and a run that
//! broke off in the middle of a subtest is reported as such.

use serde_json::Value;

/// Bytes of a report's text that are kept; what is beyond is in the log.
const TEXT_MAX: usize = 256 << 10;

/// How a part of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All it asked for held.
    Passed,
    /// Something it asked for did not hold.
    Failed,
    /// It could not be carried to its end.
    Error,
    /// It was not selected.
    Skipped,
}

impl Outcome {
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "passed" => Self::Passed,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            _ => Self::Error,
        }
    }
}

/// A subtest, or the script as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name; of a nested one with those around it, `outer / inner`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What went wrong, one line or few.
    pub message: Option<String>,
    /// Everything that is known of it.
    pub details: Option<String>,
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The network's name.
    pub network: String,
    /// The subtests in the order in which they ended.
    pub cases: Vec<Case>,
    /// The script as a whole, once it has ended.
    pub script: Option<Case>,
    /// Files that were left for people.
    pub artifacts: Vec<String>,
    /// What people were told, for a report's standard output.
    pub said: String,
    open: Vec<(String, f64)>,
    last: f64,
}

impl Report {
    /// Takes in an event.
    pub fn take(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let at = event.get("at").and_then(Value::as_f64).unwrap_or(self.last);
        self.last = self.last.max(at);
        let kind = event.get("event").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "begin" => self.network = text("network").unwrap_or_default(),
            "subtest-begin" => self.open.push((name(event), at)),
            "subtest-end" => {
                let name = name(event);
                if let Some(i) = self.open.iter().rposition(|(n, _)| *n == name) {
                    self.open.remove(i);
                }
                self.cases.push(Case {
                    name,
                    outcome: Outcome::parse(&text("result").unwrap_or_default()),
                    seconds: event.get("seconds").and_then(Value::as_f64).unwrap_or_default(),
                    message: text("message"),
                    details: text("details"),
                });
            }
            "script-end" => {
                self.script = Some(Case {
                    name: "test script".into(),
                    outcome: Outcome::parse(&text("result").unwrap_or_default()),
                    seconds: at,
                    message: text("message"),
                    details: text("details"),
                });
            }
            "artifact" => self.artifacts.extend(text("path")),
            "log" | "nested" | "fault" => self.say(event.get("node"), &text("text").unwrap_or_default()),
            "command-begin" => {
                let command = text("command").unwrap_or_default();
                self.say(event.get("node"), &format!("$ {command}"));
            }
            _ => {}
        }
    }

    /// Says that nothing more comes; `why` the run ended if the script did not end by itself.
    pub fn finish(&mut self, why: Option<&str>) {
        let message = why.unwrap_or("the script's process ended without a word").to_owned();
        for (name, begun) in std::mem::take(&mut self.open) {
            let seconds = (self.last - begun).max(0.0);
            let case = Case {
                name,
                outcome: Outcome::Error,
                seconds,
                message: Some(message.clone()),
                details: None,
            };
            self.cases.push(case);
        }
        let seconds = self.last;
        let script = self.script.get_or_insert_with(|| Case {
            name: "test script".into(),
            outcome: Outcome::Error,
            seconds,
            message: Some(message.clone()),
            details: None,
        });
        if let Some(why) = why
            && script.outcome == Outcome::Passed
        {
            (script.outcome, script.message) = (Outcome::Error, Some(why.to_owned()));
        }
    }

    /// Whether everything passed.
    pub fn passed(&self) -> bool {
        let good = |c: &Case| matches!(c.outcome, Outcome::Passed | Outcome::Skipped);
        self.script.as_ref().is_some_and(|s| s.outcome == Outcome::Passed) && self.cases.iter().all(good)
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let count = |o: Outcome| self.cases.iter().filter(|c| c.outcome == o).count();
        let mut parts = Vec::new();
        for (outcome, word) in [
            (Outcome::Passed, "passed"),
            (Outcome::Failed, "failed"),
            (Outcome::Error, "broke off"),
            (Outcome::Skipped, "left out"),
        ] {
            match count(outcome) {
                0 => {}
                1 => parts.push(format!("1 subtest {word}")),
                n => parts.push(format!("{n} subtests {word}")),
            }
        }
        let seconds = self.script.as_ref().map_or(self.last, |s| s.seconds);
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let subtests = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{verdict} in {seconds:.1} s{subtests}")
    }

    fn say(&mut self, node: Option<&Value>, text: &str) {
        if self.said.len() > TEXT_MAX {
            return;
        }
        if let Some(node) = node.and_then(Value::as_str) {
            self.said.push_str(node);
            self.said.push_str(": ");
        }
        self.said.push_str(text);
        self.said.push('\n');
        if self.said.len() > TEXT_MAX {
            self.said.push_str("[the rest is in the log]\n");
        }
    }
}

fn name(event: &Value) -> String {
    let words = event.get("name").and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(events: &[Value], why: Option<&str>) -> Report {
        let mut report = Report::default();
        for e in events {
            report.take(e);
        }
        report.finish(why);
        report
    }

    #[test]
    fn a_run_that_passed() {
        let r = report(
            &[
                json!({"event": "begin", "network": "trac", "at": 0.1}),
                json!({"event": "subtest-begin", "name": ["a", "b"], "at": 1}),
                json!({"event": "something-new", "at": 1}),
                json!({"event": "subtest-end", "name": ["a", "b"], "result": "passed", "seconds": 2.5, "at": 3.5}),
                json!({"event": "subtest-end", "name": ["c"], "result": "skipped", "seconds": 0, "at": 3.5}),
                json!({"event": "script-end", "result": "passed", "at": 4}),
            ],
            None,
        );
        assert!(r.passed());
        assert_eq!(r.cases[0].name, "a / b");
        assert_eq!(r.summary(), "passed in 4.0 s: 1 subtest passed, 1 subtest left out");
    }

    #[test]
    fn a_run_that_broke_off_names_the_subtest() {
        let r = report(
            &[
                json!({"event": "subtest-begin", "name": ["slow"], "at": 1}),
                json!({"event": "log", "text": "x", "at": 9}),
            ],
            Some("it was killed"),
        );
        assert!(!r.passed());
        assert_eq!((r.cases[0].outcome, r.cases[0].seconds), (Outcome::Error, 8.0));
        assert_eq!(r.script.unwrap().message.as_deref(), Some("it was killed"));
    }

    #[test]
    fn a_failed_subtest_fails_the_run_whatever_the_script_says() {
        for (result, expected) in [("failed", false), ("error", false), ("passed", true), ("skipped", true)] {
            let events = [
                json!({"event": "subtest-end", "name": ["x"], "result": result}),
                json!({"event": "script-end", "result": "passed"}),
            ];
            assert_eq!(report(&events, None).passed(), expected, "{result}");
        }
        assert!(!report(&[], None).passed(), "silence is no success");
        let end = [json!({"event": "script-end", "result": "passed"})];
        assert!(!report(&end, Some("interrupted")).passed());
    }
}
