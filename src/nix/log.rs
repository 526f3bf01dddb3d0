//! Nix's `internal-json` log: one line in, one event out.
//!
//! Invariant: pure; a line that is not understood is text, never an error, since Nix's versions
//! differ and builders write what they like.

use serde_json::Value;

/// What one line of Nix's standard error says.
#[derive(Debug, Clone, PartialEq)]
pub enum LogEvent {
    /// A derivation starts to be built.
    Build {
        /// The activity.
        id: u64,
        /// The derivation's path.
        drv: String,
    },
    /// A file starts to be downloaded.
    Transfer {
        /// The activity.
        id: u64,
        /// Its address.
        url: String,
    },
    /// A path starts to be copied from a binary cache.
    Copy {
        /// The activity.
        id: u64,
        /// The path.
        path: String,
    },
    /// How far an activity is: bytes for downloads and copies.
    Progress {
        /// The activity.
        id: u64,
        /// Done so far.
        done: u64,
        /// Expected in all; 0 when not known.
        total: u64,
    },
    /// A line that a builder wrote.
    BuildLine {
        /// The build's activity.
        id: u64,
        /// The line.
        line: String,
    },
    /// An activity is over, well or not.
    Stop {
        /// The activity.
        id: u64,
    },
    /// Words for people.
    Message(Message),
    /// Something else that Nix tells of itself.
    Other,
}

/// Words for people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// 0 errors, 1 warnings, 2 notices, 3 information, higher: details.
    pub level: u8,
    /// The text, without colours.
    pub text: String,
    /// An error's bare words, without its place.
    pub raw: Option<String>,
    /// Where an error is.
    pub place: Option<Place>,
    /// The frames of an error's trace, when Nix was asked for it.
    pub trace: Vec<Frame>,
}

/// One step on the way to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What was being done.
    pub text: String,
    /// Where.
    pub place: Option<Place>,
}

/// A place in a Nix file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

const ACT_COPY_PATH: u64 = 100;
const ACT_FILE_TRANSFER: u64 = 101;
const ACT_BUILD: u64 = 105;
const RES_BUILD_LOG_LINE: u64 = 101;
const RES_PROGRESS: u64 = 105;
const RES_POST_BUILD_LOG_LINE: u64 = 107;

/// Reads one line.
pub fn parse(line: &str) -> LogEvent {
    let Some(json) = line.strip_prefix("@nix ") else { return text(line) };
    let Ok(value) = serde_json::from_str::<Value>(json) else { return text(line) };
    event(&value).unwrap_or(LogEvent::Other)
}

/// What is not in Nix's format comes from a program that Nix runs, or from an old Nix.
fn text(line: &str) -> LogEvent {
    let level = if line.trim_start().starts_with("error:") { 0 } else { 3 };
    LogEvent::Message(Message { level, text: plain(line), ..Message::default() })
}

fn event(v: &Value) -> Option<LogEvent> {
    let number = |key: &str| v.get(key).and_then(Value::as_u64);
    let field = |i: usize| v.get("fields").and_then(|f| f.get(i));
    let string = |i: usize| field(i).and_then(Value::as_str).map(plain);
    let count = |i: usize| field(i).and_then(Value::as_u64);
    Some(match v.get("action")?.as_str()? {
        "start" => {
            let id = number("id")?;
            match number("type")? {
                ACT_BUILD => LogEvent::Build { id, drv: string(0)? },
                ACT_FILE_TRANSFER => LogEvent::Transfer { id, url: string(0)? },
                ACT_COPY_PATH => LogEvent::Copy { id, path: string(0)? },
                _ => LogEvent::Other,
            }
        }
        "stop" => LogEvent::Stop { id: number("id")? },
        "result" => {
            let id = number("id")?;
            match number("type")? {
                RES_PROGRESS => LogEvent::Progress { id, done: count(0)?, total: count(1)? },
                RES_BUILD_LOG_LINE | RES_POST_BUILD_LOG_LINE => LogEvent::BuildLine { id, line: string(0)? },
                _ => LogEvent::Other,
            }
        }
        "msg" => LogEvent::Message(Message {
            level: u8::try_from(number("level")?).unwrap_or(u8::MAX),
            text: plain(v.get("msg")?.as_str()?),
            raw: v.get("raw_msg").and_then(Value::as_str).map(plain),
            place: place(v),
            trace: v
                .get("trace")
                .and_then(Value::as_array)
                .map(|frames| frames.iter().filter_map(frame).collect())
                .unwrap_or_default(),
        }),
        _ => LogEvent::Other,
    })
}

fn frame(v: &Value) -> Option<Frame> {
    let text = plain(v.get("raw_msg").or_else(|| v.get("msg"))?.as_str()?);
    Some(Frame { text, place: place(v) })
}

fn place(v: &Value) -> Option<Place> {
    let number = |key: &str| v.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    Some(Place {
        file: v.get("file")?.as_str()?.to_owned(),
        line: number("line")?,
        column: number("column")?,
    })
}

/// Text without escape sequences and control characters, which would work on the reader's terminal.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\u{7}' && c != '\u{1b}') {},
                _ => {}
            },
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: u8, text: &str) -> LogEvent {
        LogEvent::Message(Message { level, text: text.into(), ..Message::default() })
    }

    #[test]
    fn lines_as_nix_writes_them() {
        for (line, expected) in [
            (
                r#"@nix {"action":"start","fields":["/nix/store/6-dep.drv","",1,1],"id":7,"level":3,"text":"building","type":105}"#,
                LogEvent::Build { id: 7, drv: "/nix/store/6-dep.drv".into() },
            ),
            (
                r#"@nix {"action":"start","fields":["file:///x"],"id":8,"level":4,"text":"downloading","type":101}"#,
                LogEvent::Transfer { id: 8, url: "file:///x".into() },
            ),
            (
                r#"@nix {"action":"start","fields":["/nix/store/a","s","d"],"id":9,"level":3,"text":"","type":100}"#,
                LogEvent::Copy { id: 9, path: "/nix/store/a".into() },
            ),
            (
                r#"@nix {"action":"result","fields":[3,4,0,1],"id":2,"type":105}"#,
                LogEvent::Progress { id: 2, done: 3, total: 4 },
            ),
            (
                r#"@nix {"action":"result","fields":["\u001b[1mbad\u001b[0m"],"id":5,"type":101}"#,
                LogEvent::BuildLine { id: 5, line: "bad".into() },
            ),
            (r#"@nix {"action":"stop","id":5}"#, LogEvent::Stop { id: 5 }),
            (r#"@nix {"action":"start","id":1,"level":0,"text":"","type":102}"#, LogEvent::Other),
            (r#"@nix {"action":"future"}"#, LogEvent::Other),
            (r#"@nix {"action":"msg","level":1,"msg":"hm"}"#, message(1, "hm")),
            ("@nix {broken", message(3, "@nix {broken")),
            ("error: old style", message(0, "error: old style")),
            ("", message(3, "")),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn errors_carry_their_place() {
        let line = r#"@nix {"action":"msg","column":19,"file":"/tmp/e1.nix","level":0,"line":1,"msg":"\u001b[31;1merror:\u001b[0m attribute 'x' missing","raw_msg":"attribute '\u001b[35;1mx\u001b[0m' missing"}"#;
        let LogEvent::Message(m) = parse(line) else { panic!("not a message") };
        assert_eq!(m.text, "error: attribute 'x' missing");
        assert_eq!(m.raw.as_deref(), Some("attribute 'x' missing"));
        assert_eq!(m.place.unwrap().to_string(), "/tmp/e1.nix:1:19");
        let nowhere = r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"e","raw_msg":"e"}"#;
        assert!(matches!(parse(nowhere), LogEvent::Message(Message { place: None, .. })));
    }

    #[test]
    fn no_escape_sequence_survives() {
        for (text, expected) in [
            ("a\u{1b}[31;1mb\u{1b}[0mc", "abc"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("x\u{1b}", "x"),
            ("x\u{1b}[", "x"),
            ("a\rb\u{9b}c\td\n", "abc\td\n"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_at_all_is_read(line in ".*", json in "[\\[\\]{}\":,a-z0-9]*") {
            let _ = parse(&line);
            let _ = parse(&format!("@nix {json}"));
        }
    }
}
