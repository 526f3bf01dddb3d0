//! A report as JUnit XML, as CI servers take it.
//!
//! Invariant: pure, and the result is well-formed whatever a guest printed: characters that XML cannot
//! hold are replaced.

use std::fmt::Write as _;

use super::report::{Outcome, Report};

/// The XML text of a run.
pub fn junit(report: &Report) -> String {
    junit_of_all([(String::new(), report)])
}

/// The XML text of several runs, a suite each; a name that is not empty tells its suite from the others.
pub fn junit_of_all<'a>(runs: impl IntoIterator<Item = (String, &'a Report)>) -> String {
    let mut all = Counts::default();
    let mut suites = String::new();
    for (name, report) in runs {
        let network = if report.network.is_empty() { "network" } else { &report.network };
        let name = if name.is_empty() { network.to_owned() } else { format!("{network} {name}") };
        all.add(suite(&name, report, &mut suites));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {}>\n{suites}</testsuites>\n",
        all.attributes()
    )
}

/// What a suite's attributes say.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    seconds: f64,
}

impl Counts {
    fn of(report: &Report) -> Self {
        let cases = || report.cases.iter().chain(&report.script);
        let count = |o: Outcome| cases().filter(|c| c.outcome == o).count();
        Self {
            tests: cases().count(),
            failures: count(Outcome::Failed),
            errors: count(Outcome::Error),
            skipped: count(Outcome::Skipped),
            seconds: report.script.as_ref().map_or(0.0, |s| s.seconds),
        }
    }

    fn add(&mut self, other: Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
        self.seconds += other.seconds;
    }

    fn attributes(self) -> String {
        format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
            self.tests, self.failures, self.errors, self.skipped, self.seconds
        )
    }
}

fn suite(suite: &str, report: &Report, out: &mut String) -> Counts {
    let counts = Counts::of(report);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", escape(suite), counts.attributes());
    for case in report.cases.iter().chain(&report.script) {
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(suite),
            escape(&case.name),
            case.seconds
        );
        let element = match case.outcome {
            Outcome::Passed => {
                out.push_str("/>\n");
                continue;
            }
            Outcome::Skipped => {
                out.push_str("><skipped/></testcase>\n");
                continue;
            }
            Outcome::Failed => "failure",
            Outcome::Error => "error",
        };
        let message = case.message.as_deref().unwrap_or("no reason given");
        let first = message.lines().next().unwrap_or_default();
        let details = case.details.as_deref().unwrap_or(message);
        let _ = writeln!(
            out,
            ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
            escape(first),
            escape(details)
        );
    }
    if !report.said.is_empty() {
        let _ = writeln!(out, "    <system-out>{}</system-out>", escape(&report.said));
    }
    out.push_str("  </testsuite>\n");
    counts
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_what_ci_servers_read() {
        let mut report = Report::default();
        for event in [
            json!({"event": "begin", "network": "trac"}),
            json!({"event": "subtest-end", "name": ["good"], "result": "passed", "seconds": 1.25}),
            json!({"event": "subtest-end", "name": ["left <out>"], "result": "skipped"}),
            json!({"event": "command-begin", "node": "web", "command": "curl \"a\" && b"}),
            json!({"event": "subtest-end", "name": ["bad"], "result": "failed", "seconds": 2,
                   "message": "web: `x` failed\nmore", "details": "\u{1b}[31m]]> & \u{0}"}),
            json!({"event": "script-end", "result": "error", "message": "no more", "at": 4}),
        ] {
            report.take(&event);
        }
        assert_eq!(
            junit(&report),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"4.000\">\n  \
             <testsuite name=\"trac\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"4.000\">\n    \
             <testcase classname=\"trac\" name=\"good\" time=\"1.250\"/>\n    \
             <testcase classname=\"trac\" name=\"left &lt;out&gt;\" time=\"0.000\"><skipped/></testcase>\n    \
             <testcase classname=\"trac\" name=\"bad\" time=\"2.000\">\n      \
             <failure message=\"web: `x` failed\">\u{fffd}[31m]]&gt; &amp; \u{fffd}</failure>\n    \
             </testcase>\n    \
             <testcase classname=\"trac\" name=\"test script\" time=\"4.000\">\n      \
             <error message=\"no more\">no more</error>\n    \
             </testcase>\n    \
             <system-out>web: $ curl &quot;a&quot; &amp;&amp; b\n</system-out>\n  \
             </testsuite>\n\
             </testsuites>\n"
        );
    }

    #[test]
    fn several_runs_are_suites_of_one_report() {
        let mut good = Report::default();
        good.take(&json!({"event": "begin", "network": "n"}));
        good.take(&json!({"event": "script-end", "result": "passed", "at": 2}));
        let mut bad = good.clone();
        bad.finish(Some("interrupted"));
        let xml = junit_of_all([("run 1".to_owned(), &good), ("run 2".to_owned(), &bad)]);
        assert!(
            xml.contains("<testsuites tests=\"2\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"4.000\">")
        );
        assert!(xml.contains("<testsuite name=\"n run 2\" tests=\"1\" failures=\"0\" errors=\"1\""), "{xml}");
        assert_eq!(xml.matches("</testsuite>").count(), 2);
    }
}
