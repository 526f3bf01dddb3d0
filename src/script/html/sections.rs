//! The parts of a report's page that are lists and tables.

use std::fmt::Write as _;

use base64::Engine as _;

use super::super::junit::escape;
use super::super::report::Outcome;
use super::super::story::{Command, Entry, Story, What};
use super::timeline::{clip, names};
use super::{Picture, badge, class, seconds, verdict};

/// Lines of a command's output that are in the page.
const OUTPUT_LINES: usize = 400;
/// Events that are in the page.
const EVENTS_MAX: usize = 6000;

pub(super) fn header(story: &Story, pictures: &[Picture], coverage: bool, out: &mut String) {
    let outcome = story.outcome();
    let name = if story.network.is_empty() { "network" } else { &story.network };
    let count = |o: Outcome| story.subtests.iter().filter(|p| p.outcome == Some(o)).count();
    let ran = story.subtests.iter().filter(|p| p.outcome != Some(Outcome::Skipped)).count();
    let commands: usize =
        story.entries.iter().map(|e| if let What::Command(c) = &e.what { c.times } else { 0 }).sum();
    let _ = write!(
        out,
        "<header class=\"card {}\"><div class=\"row\"><h1>{}</h1>{}</div>",
        class(outcome),
        escape(name),
        badge(outcome),
    );
    let mut facts = vec![
        ("Took", seconds(story.length)),
        (
            "Subtests",
            if ran == 0 { "none".into() } else { format!("{} of {ran} passed", count(Outcome::Passed)) },
        ),
        ("Machines", names(story).len().to_string()),
        ("Commands", (commands + story.left_out).to_string()),
        ("Faults", story.faults.len().to_string()),
    ];
    if let Some(began) = story.began.and_then(date) {
        facts.push(("Began", began));
    }
    // A clone of a test's own has but one name.
    if !story.session.is_empty() && story.session != name {
        facts.push(("Session", story.session.clone()));
    }
    out.push_str("<dl class=\"facts\">");
    for (name, value) in facts {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    out.push_str("</dl>");
    failure(story, outcome, out);
    out.push_str("<nav><a href=\"#time\">Time-line</a><a href=\"#subtests\">Subtests</a>");
    if coverage {
        out.push_str("<a href=\"#coverage\">Coverage</a>");
    }
    if !pictures.is_empty() {
        out.push_str("<a href=\"#pictures\">Screenshots</a>");
    }
    out.push_str("<a href=\"#events\">What happened</a><a href=\"#consoles\">Consoles</a></nav></header>\n");
}

/// Why the run failed: the first failure with everything that is known of it.
fn failure(story: &Story, outcome: Outcome, out: &mut String) {
    if outcome == Outcome::Passed {
        return;
    }
    let bad = |o: Option<Outcome>| matches!(o, Some(Outcome::Failed | Outcome::Error));
    let part = story.subtests.iter().find(|p| bad(p.outcome));
    let end = story.end.as_ref();
    let place = part.map(|p| p.path.join(" / "));
    let message = part.and_then(|p| p.message.as_deref()).or_else(|| end?.message.as_deref());
    let details = part.and_then(|p| p.details.as_deref()).or_else(|| end?.details.as_deref());
    let message = message.unwrap_or("the log breaks off: the script's process ended without a word");
    out.push_str("<div class=\"why\">");
    if let Some(place) = place {
        let _ = write!(out, "<b>{}</b>: ", escape(&place));
    }
    let _ = write!(out, "{}", escape(&clip(message, 2000)));
    if let Some(details) = details {
        let _ = write!(
            out,
            "<details open><summary class=\"dim\">where, its output, the consoles' last lines, \
             active faults</summary><pre>{}</pre></details>",
            escape(details),
        );
    }
    out.push_str("</div>");
}

pub(super) fn subtests(story: &Story, out: &mut String) {
    out.push_str("<section class=\"card\" id=\"subtests\"><h2>Subtests</h2>");
    if story.subtests.is_empty() {
        out.push_str("<p class=\"dim\">The script names none.</p></section>\n");
        return;
    }
    out.push_str(
        "<table><tr><th>Name</th><th>Result</th><th class=\"num\">Began</th><th class=\"num\">Took</th></tr>",
    );
    for (i, part) in story.subtests.iter().enumerate() {
        let depth = part.path.len().saturating_sub(1);
        let mut name = escape(part.path.last().map_or("", String::as_str));
        if let Some(details) = part.details.as_deref().or(part.message.as_deref()) {
            name = format!(
                "<details><summary>{name} <span class=\"dim\">{}</span></summary><pre>{}</pre></details>",
                escape(&clip(part.message.as_deref().unwrap_or_default(), 160)),
                escape(details),
            );
        }
        let result = part.outcome.map_or("<span class=\"badge running\">did not end</span>".into(), badge);
        let took = part.end.unwrap_or(story.length) - part.start;
        let ran = part.outcome != Some(Outcome::Skipped);
        let _ = write!(
            out,
            "<tr id=\"subtest-{i}\"><td style=\"padding-left:{}px\">{name}</td><td>{result}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            depth * 20,
            if ran { format!("{:.1} s", part.start) } else { String::new() },
            if ran { seconds(took) } else { String::new() },
        );
    }
    out.push_str("</table></section>\n");
}

pub(super) fn pictures(story: &Story, pictures: &[Picture], out: &mut String) {
    if pictures.is_empty() {
        return;
    }
    out.push_str("<section class=\"card\" id=\"pictures\"><h2>Screenshots</h2><div class=\"pictures\">");
    for entry in &story.entries {
        let What::Artifact(path, true) = &entry.what else { continue };
        let Some(picture) = pictures.iter().find(|p| p.path == *path) else { continue };
        let name = path.rsplit('/').next().unwrap_or(path);
        let data = base64::engine::general_purpose::STANDARD.encode(&picture.png);
        let _ = write!(
            out,
            "<figure><img alt=\"{n}\" src=\"data:image/png;base64,{data}\"><figcaption>{n}: {} at {:.1} s\
             </figcaption></figure>",
            escape(entry.node.as_deref().unwrap_or_default()),
            entry.at,
            n = escape(name),
        );
    }
    out.push_str("</div></section>\n");
}

pub(super) fn events(story: &Story, out: &mut String) {
    out.push_str("<section class=\"card\" id=\"events\"><h2>What happened</h2><ol class=\"story\">\n");
    for (i, entry) in story.entries.iter().enumerate().take(EVENTS_MAX) {
        event(story, i, entry, out);
    }
    out.push_str("</ol>");
    let left_out = story.entries.len().saturating_sub(EVENTS_MAX) + story.left_out;
    if left_out > 0 {
        let _ = write!(out, "<p class=\"dim\">{left_out} more are in the log of events.</p>");
    }
    out.push_str("</section>\n");
}

fn event(story: &Story, index: usize, entry: &Entry, out: &mut String) {
    let (kind, body) = match &entry.what {
        What::Subtest(i) => {
            let Some(part) = story.subtests.get(*i) else { return };
            let result = part.outcome.map_or(String::new(), badge);
            ("head", format!("<a href=\"#subtest-{i}\">{}</a> {result}", escape(&part.path.join(" / "))))
        }
        What::Command(c) => ("", command(story, entry.at, c)),
        What::Said(level, text) => (
            "",
            match level.as_str() {
                "nested" => format!("<span class=\"dim\">{}</span>", escape(&clip(text, 400))),
                level @ ("warning" | "error") => {
                    format!("<div class=\"said {level}\">{}</div>", escape(text))
                }
                _ => format!("<div class=\"said\">{}</div>", escape(text)),
            },
        ),
        What::Fault(text) => ("fault", escape(text)),
        What::State(state, boot) => {
            let boot = boot.map(|ms| format!(", booted in {}", seconds(ms as f64 / 1000.0)));
            let text = format!("{state}{}", boot.unwrap_or_default());
            ("", format!("<span class=\"dim\">is {}</span>", escape(&text)))
        }
        What::Artifact(path, _) => {
            let name = path.strip_prefix(&story.out_dir).unwrap_or(path).trim_start_matches('/');
            ("", format!("<span class=\"dim\">left {}</span>", escape(name)))
        }
    };
    let _ = writeln!(
        out,
        "<li class=\"{kind}\" id=\"event-{index}\"><span class=\"at\">{:.2}</span><span class=\"node\">{}</span>\
         <div>{body}</div></li>",
        entry.at,
        escape(entry.node.as_deref().unwrap_or_default()),
    );
}

fn command(story: &Story, at: f64, c: &Command) -> String {
    let took = seconds(c.end.unwrap_or(story.length) - at);
    let times = if c.times > 1 { format!(" · {} times", c.times) } else { String::new() };
    let (bad, how) = match (c.end, c.status) {
        (None, _) => (" bad", "did not end".to_owned()),
        (_, Some(0)) => ("", String::new()),
        (_, Some(status)) => (" bad", format!("exit {status}")),
        (_, None) => (" bad", "broke off".to_owned()),
    };
    let how = if how.is_empty() { took } else { format!("{how} · {took}") };
    let end = format!("<span class=\"end{bad}\">{how}{times}</span>");
    let text = escape(&c.text);
    if c.output.is_empty() && c.text.len() < 90 && !c.text.contains('\n') {
        return format!("<details><summary><code>$ {text}</code>{end}</summary></details>");
    }
    let mut lines = String::new();
    let hidden = c.output.len().saturating_sub(OUTPUT_LINES);
    if hidden > 0 {
        let _ =
            writeln!(lines, "<span class=\"dim\">[{hidden} earlier lines are in the log of events]</span>");
    }
    for (is_error, line) in c.output.iter().skip(hidden) {
        let _ = match is_error {
            true => writeln!(lines, "<span class=\"err\">{}</span>", escape(line)),
            false => writeln!(lines, "{}", escape(line)),
        };
    }
    let more = if lines.is_empty() { "" } else { " class=\"more\"" };
    let output = if lines.is_empty() { String::new() } else { format!("<pre>{lines}</pre>") };
    format!("<details><summary><code{more}>$ {text}</code>{end}</summary>{output}</details>")
}

pub(super) fn consoles(story: &Story, out: &mut String) {
    out.push_str("<section class=\"card\" id=\"consoles\"><h2>Consoles</h2>");
    for node in names(story) {
        let Some(printed) = story.consoles.get(node) else {
            let _ = write!(out, "<p class=\"dim\">{} printed nothing.</p>", escape(node));
            continue;
        };
        let _ = write!(
            out,
            "<details class=\"console\"><summary>{} <span class=\"dim\">{} lines</span></summary><pre>",
            escape(node),
            printed.lines.len() + printed.left_out,
        );
        if printed.left_out > 0 {
            let _ = writeln!(out, "<span class=\"t\">[{} earlier lines]</span>", printed.left_out);
        }
        for (at, line) in &printed.lines {
            let _ = writeln!(out, "<span class=\"t\">{at:>9.3}  </span>{}", escape(line));
        }
        out.push_str("</pre></details>\n");
    }
    if story.outcome() != Outcome::Passed {
        let _ = write!(out, "<p class=\"dim\">The run {}.</p>", verdict(story.outcome()));
    }
    out.push_str("</section>\n");
}

fn date(ms: u64) -> Option<String> {
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(ms / 1000).ok()?).ok()?;
    let (d, t) = (at.date(), at.time());
    Some(format!(
        "{}-{:02}-{:02} {:02}:{:02} UTC",
        d.year(),
        u8::from(d.month()),
        d.day(),
        t.hour(),
        t.minute()
    ))
}
