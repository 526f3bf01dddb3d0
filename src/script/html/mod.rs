//! A run's report as one HTML file that needs nothing beside it: no network, no script.
//!
//! ```text
//! ┌ verdict, facts, failure ┐
//! │ time-line               │  timeline
//! │ subtests, coverage      │  sections
//! │ pictures                │
//! │ what happened           │
//! │ consoles                │
//! └─────────────────────────┘
//! ```
//!
//! Invariant: pure. What a guest or a script wrote is escaped wherever it stands, and the page forbids
//! itself scripts and everything from elsewhere, so that even a fault here could not run anything.

mod coverage;
mod sections;
mod timeline;

use std::fmt::Write as _;

use super::junit::escape;
use super::report::Outcome;
use super::story::Story;

pub use coverage::Coverage;

/// A picture that a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its path as the run told it.
    pub path: String,
    /// The PNG file.
    pub png: Vec<u8>,
}

/// What of a report is not in the log of events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// Pictures that are there.
    pub pictures: Vec<Picture>,
    /// What the coverage came to.
    pub coverage: Option<Coverage>,
}

/// One of several runs, for the page that sums them up.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// One line of how.
    pub line: String,
    /// Why it failed.
    pub message: Option<String>,
    /// Its page, relative to the page that sums up.
    pub page: String,
}

/// The page of one run.
pub fn page(story: &Story, beside: &Beside) -> String {
    let name = if story.network.is_empty() { "network" } else { &story.network };
    let outcome = story.outcome();
    let mut out = head(&format!("{name}: {}", verdict(outcome)));
    sections::header(story, &beside.pictures, beside.coverage.is_some(), &mut out);
    timeline::draw(story, &mut out);
    sections::subtests(story, &mut out);
    if let Some(coverage) = &beside.coverage {
        coverage::draw(coverage, &mut out);
    }
    sections::pictures(story, &beside.pictures, &mut out);
    sections::events(story, &mut out);
    sections::consoles(story, &mut out);
    out.push_str(FOOT);
    out
}

/// The page of several runs.
pub fn summary_page(network: &str, line: &str, runs: &[Summary]) -> String {
    let bad = runs.iter().any(|r| r.outcome != Outcome::Passed);
    let outcome = if bad { Outcome::Failed } else { Outcome::Passed };
    let mut out = head(&format!("{network}: {}", verdict(outcome)));
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<header class=\"card {c}\"><div class=\"row\"><h1>{}</h1><span class=\"badge {c}\">{}</span></div>\
         <p class=\"dim\">{}</p></header>\n<section class=\"card\"><h2>Runs</h2><table>\
         <tr><th>Run</th><th>Result</th><th>Summary</th></tr>",
        escape(network),
        verdict(outcome),
        escape(line),
        c = class(outcome),
    );
    for run in runs {
        let why = run.message.as_deref().filter(|_| run.outcome != Outcome::Passed);
        let why = why.map(|w| format!("<br><span class=\"dim\">{}</span>", escape(w))).unwrap_or_default();
        let _ = write!(
            out,
            "<tr><td><a href=\"{}\">{}</a></td><td>{}</td><td>{}{why}</td></tr>",
            escape(&run.page),
            escape(&run.name),
            badge(run.outcome),
            escape(&run.line),
        );
    }
    out.push_str("</table></section>\n");
    out.push_str(FOOT);
    out
}

const FOOT: &str = "<footer>Made by diorama from the run's log of events (<code>log.ndjson</code>).</footer>\n\
                    </main></body></html>\n";

fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}</style></head>\n<body><main>\n",
        escape(title),
        include_str!("style.css"),
    )
}

/// An outcome's class in the style sheet.
fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Error => "error",
        Outcome::Skipped => "skipped",
    }
}

fn verdict(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Error => "broke off",
        Outcome::Skipped => "left out",
    }
}

/// An outcome with a sign, for colour is never the only one.
fn badge(outcome: Outcome) -> String {
    let sign = match outcome {
        Outcome::Passed => "✓",
        Outcome::Failed | Outcome::Error => "✕",
        Outcome::Skipped => "–",
    };
    format!("<span class=\"badge {}\">{sign} {}</span>", class(outcome), verdict(outcome))
}

/// Seconds for people.
fn seconds(s: f64) -> String {
    match s {
        s if s >= 120.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 0.1 => format!("{s:.2} s"),
        s => format!("{:.0} ms", s * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"
{"event":"begin","at":0.1,"network":"trac","nodes":["web","db"],"script":"t.py","session":"s","time":1700000000000}
{"event":"state","at":0.2,"node":"web","state":"booting"}
{"event":"state","at":4,"node":"web","state":"up","bootMs":3800}
{"event":"console","at":3,"node":"web","text":"<script>alert(1)</script> \u001b[31m"}
{"event":"subtest-begin","at":4,"name":["a <b>"]}
{"event":"command-begin","at":5,"node":"web","id":"web-1","command":"echo '</style><img src=x onerror=alert(1)>'"}
{"event":"command-output","at":5,"node":"web","id":"web-1","channel":"stderr","text":"\"quoted\" & <pre>"}
{"event":"command-end","at":6,"node":"web","id":"web-1","status":7}
{"event":"fault","at":6,"do":"cut","from":"web","to":"db","text":"web → db is cut"}
{"event":"artifact","at":7,"node":"web","path":"/o/shot.png","kind":"screenshot"}
{"event":"subtest-end","at":8,"name":["a <b>"],"result":"failed","seconds":4,"message":"m<","details":"d<"}
{"event":"script-end","at":9,"result":"failed","message":"web: `x` failed <b>"}
"#;

    #[test]
    fn what_guests_wrote_is_text() {
        let picture = Picture { path: "/o/shot.png".into(), png: b"\x89PNG".to_vec() };
        let story = Story::read(LOG);
        let html = page(&story, &Beside { pictures: vec![picture], coverage: None });
        for bad in ["<script", "<img src=x", "\u{1b}", "<pre>\"", "a <b>", "failed <b>", "d<<"] {
            assert!(!html.contains(bad), "{bad:?}");
        }
        for good in [
            "&lt;script&gt;alert(1)",
            "a &lt;b&gt;",
            "data:image/png;base64,iVBORw==",
            "web → db is cut",
            "3.80 s",
            "exit 7",
            "default-src 'none'",
        ] {
            assert!(html.contains(good), "{good:?} is missing");
        }
        assert!(!html.contains("http://") && !html.contains("https://"), "nothing comes from elsewhere");
        assert_eq!(html.matches("<details").count(), html.matches("</details>").count());
        assert_eq!(html.matches("<div").count(), html.matches("</div>").count());
    }

    #[test]
    fn a_log_that_breaks_off_or_is_empty_gives_a_page() {
        for (log, word) in [("", "broke off"), (&LOG[..700], "broke off"), ("{}\nnull\n[1]", "broke off")] {
            let html = page(&Story::read(log), &Beside::default());
            assert!(html.contains(word) && html.ends_with("</html>\n"));
        }
    }

    #[test]
    fn several_runs_are_summed_up() {
        let run = |n: u8, outcome| Summary {
            name: format!("run {n}"),
            outcome,
            line: "in 3 s".into(),
            message: Some("why <it>".into()),
            page: format!("run-{n}/report.html"),
        };
        let html = summary_page("trac", "1 of 2", &[run(1, Outcome::Passed), run(2, Outcome::Failed)]);
        assert!(html.contains("href=\"run-2/report.html\"") && html.contains("why &lt;it&gt;"));
        assert_eq!(html.matches("why &lt;").count(), 1, "a run that passed has no reason");
    }
}
