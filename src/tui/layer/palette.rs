//! ```text
//! ┏ Commands ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
//! ┃ > cut web_                                  ┃
//! ┃▸ link cut web1 db1     diorama link cut …   ┃
//! ┃  root-shell        E   diorama exec web1 …  ┃
//! ┗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┛
//! ```

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::input::Input;
use super::{Outcome, window};
use crate::proto::{Action, NodeVerb, Wanted};
use crate::tui::commands::{Act, COMMANDS};
use crate::tui::keymap::Key;
use crate::tui::state::State;
use crate::tui::view::{clip, first_row, put, tint};

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Run {
    Nothing,
    Act(Act),
    Action(Action),
    Confirmed(Action),
    Console(String),
    Shell(String),
    Filter(String),
    Search(String),
    Forward(Action),
    Down { power: bool },
    ShipGo(String),
    ShipStop,
    Detach,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is found by and listed as.
    pub name: String,
    /// Further words it is found by.
    pub words: String,
    /// Its key.
    pub key: String,
    /// What it does, or the command line that does the same.
    pub note: String,
    /// What it does.
    pub run: Run,
}

/// The palette.
#[derive(Debug)]
pub struct Palette {
    input: Input,
    items: Vec<Item>,
    /// Indices of what matches, best first.
    found: Vec<usize>,
    at: usize,
}

impl Palette {
    /// Creates a palette of everything that can be done now.
    pub fn new(state: &State) -> Self {
        let items = items(state);
        Self { input: Input::default(), found: (0..items.len()).collect(), items, at: 0 }
    }

    /// The entries that match, best first.
    pub fn matches(&self) -> impl Iterator<Item = &Item> {
        self.found.iter().filter_map(|i| self.items.get(*i))
    }

    pub(super) fn key(&mut self, _state: &State, key: Key) -> Outcome {
        let ctrl = key.mods.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Outcome::Close,
            KeyCode::Char('c' | 'g') if ctrl => return Outcome::Close,
            KeyCode::Enter => {
                return match self.matches().nth(self.at) {
                    Some(item) => Outcome::Run(item.run.clone()),
                    None => Outcome::Stay,
                };
            }
            KeyCode::Down | KeyCode::Tab => self.at = (self.at + 1).min(self.found.len().saturating_sub(1)),
            KeyCode::Char('n' | 'j') if ctrl => {
                self.at = (self.at + 1).min(self.found.len().saturating_sub(1))
            }
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.saturating_sub(1),
            KeyCode::Char('p') if ctrl => self.at = self.at.saturating_sub(1),
            KeyCode::PageDown => self.at = (self.at + 10).min(self.found.len().saturating_sub(1)),
            KeyCode::PageUp => self.at = self.at.saturating_sub(10),
            _ => {
                if self.input.key(key) {
                    self.rank();
                }
            }
        }
        Outcome::Stay
    }

    fn rank(&mut self) {
        let text = self.input.text();
        self.at = 0;
        if text.trim().is_empty() {
            self.found = (0..self.items.len()).collect();
            return;
        }
        let mut matcher = Matcher::new(Config::DEFAULT);
        let pattern = Pattern::parse(&text, CaseMatching::Ignore, Normalization::Smart);
        let mut buf = Vec::new();
        let mut scored: Vec<(u32, usize, usize)> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| {
                // A match in the name counts for more than one in the further words.
                let in_name = pattern.score(Utf32Str::new(&item.name, &mut buf), &mut matcher).map(|s| s * 2);
                let all = format!("{} {} {}", item.name, item.words, item.note);
                let anywhere = pattern.score(Utf32Str::new(&all, &mut buf), &mut matcher);
                let bonus = if in_order(&item.name, &text) { 100 } else { 0 };
                in_name.max(anywhere).map(|score| (score + bonus, item.name.len(), i))
            })
            .collect();
        scored.sort_by_key(|(score, len, i)| (std::cmp::Reverse(*score), *len, *i));
        self.found = scored.into_iter().map(|(.., i)| i).collect();
    }

    pub(super) fn draw(&self, state: &State, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let t = &state.theme;
        let note = format!("{} of {}", self.found.len(), self.items.len());
        let height = (area.height * 2 / 3).max(8);
        let inside = window(t, area, 100, height, "Commands", &note, buf);
        let prompt = Line::from(vec![Span::styled(" > ", t.key), Span::styled(self.input.text(), t.text)]);
        put(buf, inside, 0, &prompt);
        let rows = usize::from(inside.height).saturating_sub(1);
        let first = first_row(self.at, self.found.len(), rows);
        let width = usize::from(inside.width);
        let name_width = (width * 2 / 5).clamp(10, 40);
        for (row, item) in self.matches().enumerate().skip(first).take(rows) {
            let chosen = row == self.at;
            let line = Line::from(vec![
                Span::raw(if chosen { "▸ " } else { "  " }),
                Span::styled(format!("{:name_width$} ", clip(&item.name, name_width)), t.text),
                Span::styled(format!("{:8} ", clip(&item.key, 8)), t.key),
                Span::styled(clip(&item.note, width.saturating_sub(name_width + 13)), t.dim),
            ]);
            put(buf, inside, row - first + 1, &line);
            if chosen {
                tint(buf, inside, row - first + 1, t.cursor);
            }
        }
        Some(Position::new(inside.x + (3 + self.input.column()) as u16, inside.y))
    }
}

/// Whether the words of `text` occur in `name` in this order: `cut a b` is not `cut b a`.
fn in_order(name: &str, text: &str) -> bool {
    let (name, text) = (name.to_lowercase(), text.to_lowercase());
    let mut rest = name.as_str();
    text.split_whitespace().all(|word| match rest.find(word) {
        Some(at) => {
            rest = &rest[at + word.len()..];
            true
        }
        None => false,
    })
}

/// Everything that can be done: the table's rows, then each verb with each thing it takes.
fn items(state: &State) -> Vec<Item> {
    // What has a place on the status line comes first; moving about is for fingers.
    let mut rows: Vec<_> = COMMANDS.iter().collect();
    rows.sort_by_key(|c| c.hint.is_empty());
    let mut out: Vec<Item> = rows
        .into_iter()
        .filter(|c| state.possible(c.act) && c.act != Act::Palette)
        .map(|c| Item {
            name: c.name.to_owned(),
            words: c.aliases.join(" "),
            key: state.keymap.any_key(c.name).map(|k| k.to_string()).unwrap_or_default(),
            note: match c.act.cli(state) {
                Some(cli) => format!("{} · {cli}", c.doc),
                None => c.doc.to_owned(),
            },
            run: Run::Act(c.act),
        })
        .collect();
    let session = &state.view.session;
    out.push(Item {
        name: "shut-down".into(),
        words: "down end stop session".into(),
        key: String::new(),
        note: format!("end the session: every machine is shut down · diorama down {session}"),
        run: Run::Down { power: false },
    });
    let mut push = |run: Run, cli: String| {
        let name = cli.strip_prefix("diorama ").unwrap_or(&cli).to_owned();
        out.push(Item { name, words: String::new(), key: String::new(), note: cli, run });
    };
    for node in &state.view.nodes {
        let name = || node.name.clone();
        push(Run::Console(name()), format!("diorama console {}", node.name));
        push(Run::Shell(name()), format!("diorama exec {} -- bash", node.name));
        for (verb, ..) in NodeVerb::ALL {
            let action = Action::Node { node: name(), verb };
            push(Run::Action(action.clone()), action.cli());
        }
        for action in [Action::Isolate { node: name() }, Action::Rejoin { node: name() }] {
            push(Run::Action(action.clone()), action.cli());
        }
        for i in &node.interfaces {
            let action = Action::Carrier { node: name(), interface: Some(i.name.clone()), up: !i.carrier };
            push(Run::Action(action.clone()), action.cli());
        }
    }
    for link in &state.view.links {
        let (from, to) = (link.from.clone(), link.to.clone());
        let cut = link.wanted == Wanted::Cut;
        let action = if cut { Action::Heal { from, to } } else { Action::Cut { from, to } };
        push(Run::Action(action.clone()), action.cli());
    }
    for f in &state.view.forwards {
        let action = Action::ForwardRemove { proto: f.proto, host_port: f.host_port };
        push(Run::Action(action.clone()), action.cli());
    }
    out
}
