//! The useful part of what Nix says when something fails: the cause, its place, the line it is on.
//!
//! Invariant: pure text work, except for the one source line that is shown.

use std::path::Path;

use super::log::{Message, Place};
use super::progress::short;

/// Last lines of a failed build that are shown.
pub const BUILD_LINES: usize = 12;

/// Says why an evaluation failed. `ours` is the directory of the program's own Nix files: a place in
/// there says nothing to the person, so the nearest place outside is shown instead.
pub fn evaluation(messages: &[Message], ours: &Path, show_trace: bool) -> String {
    let Some(error) = messages.iter().rev().find(|m| m.level == 0 && is_error(m)) else {
        let last: Vec<_> = messages.iter().rev().take(5).map(|m| m.text.trim_end().to_owned()).collect();
        return match last.is_empty() {
            true => "Nix failed without a word".into(),
            false => last.into_iter().rev().collect::<Vec<_>>().join("\n"),
        };
    };
    if show_trace {
        return error.text.trim_start_matches("error:").trim().to_owned();
    }
    let cause = cause(error);
    let mut out = cause.clone();
    let inside = |p: &Place| Path::new(&p.file).starts_with(ours) || !p.file.starts_with('/');
    let own = error.place.as_ref().filter(|p| !inside(p));
    // Traces come outermost first from some versions and innermost first from others; a place in the
    // model is what is looked for, and the deepest one names the definition that is to blame.
    let traced = error.trace.iter().rev().filter_map(|f| f.place.as_ref()).find(|p| !inside(p));
    match (own, traced) {
        (Some(place), _) => out.push_str(&shown(place)),
        (None, Some(place)) => out.push_str(&shown(place)),
        (None, None) => {}
    }
    for context in contexts(error) {
        out.push_str(&format!("\n  {context}"));
    }
    if let Some(hint) = did_you_mean(&error.text).filter(|h| !cause.contains(h)) {
        out.push_str(&format!("\n{hint}"));
    }
    if cause.contains("infinite recursion") {
        out.push_str("\nTwo definitions wait for each other; `--show-trace` shows the whole way round.");
    }
    out
}

/// How many steps on the way to an error are shown.
const CONTEXTS: usize = 5;

/// What the program's own Nix files say about the way to an error: which definition of which option of
/// which machine, the nearest first.
fn contexts(error: &Message) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for frame in error.trace.iter().filter(|f| f.text.starts_with("while evaluating node ")) {
        let text = frame.text.trim_end_matches(':').to_owned();
        if out.len() < CONTEXTS && !text.contains("<unknown file>") && !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

/// Whether a trace would help to find the place in the model.
pub fn wants_trace(messages: &[Message], ours: &Path) -> bool {
    messages.iter().rev().find(|m| m.level == 0 && is_error(m)).is_some_and(|error| {
        // A message of several lines was written for people and names its own places.
        cause(error).lines().count() == 1
            && !cause(error).contains(".nix'")
            && error.place.as_ref().is_none_or(|p| Path::new(&p.file).starts_with(ours))
    })
}

fn is_error(m: &Message) -> bool {
    m.raw.is_some() || m.text.trim_start().starts_with("error:")
}

/// The bare words, without the place and the trace.
fn cause(error: &Message) -> String {
    if let Some(raw) = &error.raw {
        return raw.trim().to_owned();
    }
    let text = error.text.trim_start();
    // After a trace, the error itself comes last.
    let text = text.rfind("\n       error:").map_or(text, |at| text[at..].trim_start());
    let text = text.strip_prefix("error:").unwrap_or(text).trim();
    let end = text.find("\n\n       at ").unwrap_or(text.len());
    text[..end].trim().to_owned()
}

fn did_you_mean(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|l| l.starts_with("Did you mean ")).map(str::to_owned)
}

/// A place with its line.
fn shown(place: &Place) -> String {
    let mut out = format!("\n  at {place}");
    let line = std::fs::read_to_string(&place.file)
        .ok()
        .and_then(|t| t.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?).map(str::to_owned));
    if let Some(line) = line {
        let number = place.line.to_string();
        let before: String = line.chars().take(place.column.saturating_sub(1) as usize).collect();
        let pad: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let line = super::log::plain(line.trim_end());
        out.push_str(&format!("\n    {number} | {line}\n    {} | {pad}^", " ".repeat(number.len())));
    }
    out
}

/// Says why a build failed. `log` gives a derivation's last lines.
pub fn build(messages: &[Message], log: impl Fn(&str) -> Vec<String>) -> String {
    let errors: Vec<_> = messages.iter().filter(|m| m.level == 0 && is_error(m)).map(cause).collect();
    // The first failure is the cause; what depends on it fails in its wake.
    let Some(first) = errors.iter().find(|e| e.contains("builder for")).or(errors.first()) else {
        return "Nix failed without a word".into();
    };
    let drv = first.split('\'').find(|w| w.ends_with(".drv"));
    let mut out = match drv {
        Some(drv) => first.replace(&format!("builder for '{drv}'"), &format!("the build of {}", short(drv))),
        None => first.clone(),
    };
    // Newer versions append the log's last lines to the error; they are shown once.
    if let Some(at) = out.find(";\n") {
        out.truncate(at);
    }
    let lines = drv.map(log).unwrap_or_default();
    for line in &lines[lines.len().saturating_sub(BUILD_LINES)..] {
        out.push_str(&format!("\n  > {line}"));
    }
    if out.contains("No space left on device") || errors.iter().any(|e| e.contains("No space left on device"))
    {
        out.push_str(
            "\nThe disk is full: make space, or collect what is not used with `nix-collect-garbage`.",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::log::{Frame, LogEvent, parse};
    use super::*;

    fn messages(lines: &[&str]) -> Vec<Message> {
        lines
            .iter()
            .filter_map(|l| match parse(l) {
                LogEvent::Message(m) => Some(m),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_mistake_in_the_model_is_shown_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.nix");
        std::fs::write(&file, "{\n  web = x.nosuch;\n}\n").unwrap();
        let line = format!(
            r#"@nix {{"action":"msg","column":9,"file":"{f}","level":0,"line":2,"msg":"error: attribute 'nosuch' missing\n\n       at {f}:2:9:\n\n            1| ...\n       Did you mean nosuc?","raw_msg":"attribute 'nosuch' missing"}}"#,
            f = file.display()
        );
        let said = evaluation(&messages(&["warning: noise", &line]), Path::new("/assets"), false);
        assert_eq!(
            said,
            format!(
                "attribute 'nosuch' missing\n  at {}:2:9\n    2 |   web = x.nosuch;\n      |         ^\nDid you mean nosuc?",
                file.display()
            )
        );
    }

    #[test]
    fn a_place_of_ours_gives_way_to_one_in_the_model() {
        let place = |file: &str| Some(Place { file: file.into(), line: 7, column: 1 });
        let error = Message {
            level: 0,
            text: "error: infinite recursion encountered".into(),
            raw: Some("infinite recursion encountered".into()),
            place: place("/assets/nix/lib/modules.nix"),
            trace: vec![
                Frame { text: "while evaluating".into(), place: place("/home/me/network.nix") },
                Frame { text: "while calling".into(), place: place("/assets/nix/lib/modules.nix") },
                Frame { text: "while evaluating node b: the option `x.y':".into(), place: None },
                Frame { text: "while evaluating node b: the option `x.y':".into(), place: None },
                Frame {
                    text: "while evaluating node a: a definition in `<unknown file>'".into(),
                    place: None,
                },
            ],
        };
        assert!(wants_trace(std::slice::from_ref(&error), Path::new("/assets")));
        let said = evaluation(&[error], Path::new("/assets"), false);
        assert!(
            said.starts_with("infinite recursion encountered\n  at /home/me/network.nix:7:1\n"),
            "{said}"
        );
        assert!(!said.contains("/assets"), "{said}");
        assert!(said.contains("--show-trace"));
    }

    #[test]
    fn text_that_is_no_json_is_understood_too() {
        for (text, expected) in [
            ("error: syntax error, unexpected end of file", "syntax error, unexpected end of file"),
            ("something odd", "something odd"),
        ] {
            assert_eq!(evaluation(&messages(&[text]), Path::new("/a"), false), expected);
        }
        assert_eq!(evaluation(&[], Path::new("/a"), false), "Nix failed without a word");
    }

    #[test]
    fn a_failed_build_shows_its_last_lines() {
        let line = r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/h-image.drv' failed with exit code 3;\n last 10 log lines:","raw_msg":"builder for '/nix/store/h-image.drv' failed with exit code 3;\n last 10"}"#;
        let later = r#"@nix {"action":"msg","level":0,"msg":"error: 1 dependencies failed","raw_msg":"1 dependencies failed"}"#;
        let said = build(&messages(&[line, later]), |drv| {
            assert_eq!(drv, "/nix/store/h-image.drv");
            vec!["mkfs: No space left on device".into()]
        });
        assert_eq!(
            said,
            "the build of image failed with exit code 3\n  > mkfs: No space left on device\n\
             The disk is full: make space, or collect what is not used with `nix-collect-garbage`."
        );
    }
}
