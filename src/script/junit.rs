//! A report as JUnit XML, as CI servers take it.
//!
//! Invariant: pure, and the result is well-formed whatever a guest printed: characters that XML cannot
//! hold are replaced.

use std::fmt::Write as _;

use super::report::{Case, Outcome, Report};

/// The XML text.
pub fn junit(report: &Report) -> String {
    let cases: Vec<&Case> = report.cases.iter().chain(&report.script).collect();
    let count = |o: Outcome| cases.iter().filter(|c| c.outcome == o).count();
    let suite = if report.network.is_empty() { "network" } else { &report.network };
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        cases.len(),
        count(Outcome::Failed),
        count(Outcome::Error),
        count(Outcome::Skipped),
        report.script.as_ref().map_or(0.0, |s| s.seconds),
    );
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<testsuites {counts}>");
    let _ = writeln!(out, "  <testsuite name=\"{}\" {counts}>", escape(suite));
    for case in cases {
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
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn escape(text: &str) -> String {
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
}
