//! Keys: how they are written, and which command each is bound to where.
//!
//! Invariant: what a key does is decided by the command table and the configuration alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::commands::{COMMANDS, Command, find};
use crate::config::KeyTable;

/// A key with its modifiers, in one spelling only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub struct Key {
    /// The key.
    pub code: KeyCode,
    /// Control, alt and (for keys that are no characters) shift.
    pub mods: KeyModifiers,
}

impl From<KeyEvent> for Key {
    fn from(e: KeyEvent) -> Self {
        let mut mods = e.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let mut code = e.code;
        if let KeyCode::Char(c) = code {
            if mods.contains(KeyModifiers::CONTROL) {
                // Terminals report ctrl-] as ctrl-5 and ctrl-\ as ctrl-4: they are the same byte.
                code = KeyCode::Char(match c.to_ascii_lowercase() {
                    '4' => '\\',
                    '5' => ']',
                    '6' => '^',
                    '7' => '_',
                    other => other,
                });
            }
            mods.remove(KeyModifiers::SHIFT);
        }
        if code == KeyCode::BackTab {
            mods.remove(KeyModifiers::SHIFT);
        }
        Self { code, mods }
    }
}

const NAMED: [(&str, KeyCode); 17] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
    ("null", KeyCode::Null),
];

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut rest, mut mods) = (text, KeyModifiers::NONE);
        loop {
            let cut = [
                ("ctrl-", KeyModifiers::CONTROL),
                ("alt-", KeyModifiers::ALT),
                ("shift-", KeyModifiers::SHIFT),
            ]
            .into_iter()
            .find_map(|(p, m)| rest.strip_prefix(p).filter(|r| !r.is_empty()).map(|r| (r, m)));
            let Some((r, m)) = cut else { break };
            (rest, mods) = (r, mods | m);
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) => KeyCode::Char(c),
            _ => match NAMED.iter().find(|(n, _)| *n == rest) {
                Some((_, code)) => *code,
                None => rest
                    .strip_prefix('F')
                    .and_then(|n| n.parse().ok())
                    .filter(|n| (1..=24).contains(n))
                    .map(KeyCode::F)
                    .ok_or_else(|| {
                        format!("`{text}` is no key; write x, ctrl-x, alt-x, F1, enter, pageup")
                    })?,
            },
        };
        Ok(Self::from(KeyEvent::new(code, mods)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (m, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.mods.contains(m) {
                f.write_str(name)?;
            }
        }
        match self.code {
            KeyCode::F(n) => write!(f, "F{n}"),
            code => match (NAMED.iter().find(|(_, c)| *c == code), code) {
                (Some((name, _)), _) => f.write_str(name),
                (None, KeyCode::Char(c)) => write!(f, "{c}"),
                _ => f.write_str("?"),
            },
        }
    }
}

/// Where a key is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// NAV mode, whatever has the focus.
    Nav,
    /// NAV mode, the nodes list has the focus.
    Nodes,
    /// NAV mode, the links list has the focus.
    Links,
    /// NAV mode, the reachability matrix has the focus.
    Reach,
    /// NAV mode, the topology has the focus.
    Topology,
    /// NAV mode, the forwards list has the focus.
    Forwards,
    /// NAV mode, the tests have the focus.
    Tests,
    /// NAV mode, the real hosts have the focus.
    Production,
    /// NAV mode, the console tiles have the focus.
    Consoles,
    /// NAV mode, the command log has the focus.
    Log,
    /// CONSOLE mode: keys go to the guest.
    Console,
    /// SELECT mode: walking through a console's history.
    Select,
}

impl Scope {
    /// All of them, with the name that the configuration uses and a heading for people.
    pub const ALL: [(Self, &'static str, &'static str); 12] = [
        (Self::Nav, "nav", "Everywhere in NAV mode"),
        (Self::Nodes, "nodes", "Nodes"),
        (Self::Links, "links", "Links"),
        (Self::Reach, "reach", "Reachability"),
        (Self::Topology, "topology", "Topology"),
        (Self::Forwards, "forwards", "Forwards"),
        (Self::Tests, "tests", "Tests"),
        (Self::Production, "production", "Production"),
        (Self::Consoles, "consoles", "Consoles"),
        (Self::Log, "log", "Log"),
        (Self::Console, "console", "CONSOLE mode"),
        (Self::Select, "select", "SELECT mode"),
    ];

    /// The name that the configuration uses.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(s, ..)| *s == self).map_or("", |(_, n, _)| n)
    }
}

/// Which key does what.
#[derive(Debug, Clone)]
pub struct Keymap(Vec<(Scope, Key, &'static Command)>);

impl Default for Keymap {
    fn default() -> Self {
        let mut map = Vec::new();
        for command in COMMANDS {
            for (scope, key) in command.keys {
                // The table's keys are checked by a test.
                if let Ok(key) = key.parse() {
                    map.push((*scope, key, command));
                }
            }
        }
        Self(map)
    }
}

impl Keymap {
    /// The table's keys, changed by the configuration's.
    ///
    /// # Errors
    /// Names the table and the key when a scope, a key or a command does not exist.
    pub fn with(tables: &BTreeMap<String, KeyTable>) -> Result<Self, String> {
        let mut map = Self::default();
        for (table, keys) in tables {
            let Some((scope, ..)) = Scope::ALL.iter().find(|(_, n, _)| n == table) else {
                let names: Vec<_> = Scope::ALL.iter().map(|(_, n, _)| *n).collect();
                return Err(format!(
                    "[keys.{table}]: there is no such table; there are {}",
                    names.join(", ")
                ));
            };
            for (key, name) in keys {
                let key: Key = key.parse().map_err(|e| format!("[keys.{table}]: {e}"))?;
                map.0.retain(|(s, k, _)| (*s, *k) != (*scope, key));
                if name != "null" {
                    let command = find(name)
                        .ok_or_else(|| format!("[keys.{table}] {key}: there is no command `{name}`"))?;
                    map.0.push((*scope, key, command));
                }
            }
        }
        Ok(map)
    }

    /// The command a key means in a scope; the panels fall back to what holds everywhere in NAV.
    pub fn lookup(&self, scope: Scope, key: Key) -> Option<&'static Command> {
        let here = |s: Scope| self.0.iter().find(|(sc, k, _)| (*sc, *k) == (s, key)).map(|(_, _, c)| *c);
        let falls_back = !matches!(scope, Scope::Console | Scope::Select);
        here(scope).or_else(|| falls_back.then(|| here(Scope::Nav)).flatten())
    }

    /// The keys of a command in a scope.
    pub fn keys_in(&self, scope: Scope, name: &str) -> Vec<Key> {
        self.0.iter().filter(|(s, _, c)| *s == scope && c.name == name).map(|(_, k, _)| *k).collect()
    }

    /// The commands that have keys in a scope, with these, in the order that help and reference show.
    pub fn rows(&self, scope: Scope) -> Vec<(&'static Command, Vec<Key>)> {
        COMMANDS
            .iter()
            .map(|c| (c, self.keys_in(scope, c.name)))
            .filter(|(_, keys)| !keys.is_empty())
            .collect()
    }

    /// All bindings of a scope, in the table's order.
    pub fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Key, &'static Command)> + '_ {
        self.0.iter().filter(move |(s, ..)| *s == scope).map(|(_, k, c)| (*k, *c))
    }

    /// The first key of a command anywhere, for the palette.
    pub fn any_key(&self, name: &str) -> Option<Key> {
        self.0.iter().find(|(_, _, c)| c.name == name).map(|(_, k, _)| *k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_they_are_written() {
        for text in
            ["x", "X", "ctrl-p", "alt-x", "F12", "space", "pageup", "ctrl-]", "-", "ctrl--", "backtab"]
        {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for bad in ["", "F99", "meta-x", "entr"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_escape_is_known_however_the_terminal_reports_it() {
        let reported = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL);
        assert_eq!(Key::from(reported), "ctrl-]".parse().unwrap());
    }

    #[test]
    fn the_tables_keys_exist_and_do_not_clash() {
        let mut seen = std::collections::HashMap::new();
        for c in COMMANDS {
            for (scope, key) in c.keys {
                let key: Key = key.parse().unwrap_or_else(|e| panic!("{}: {e}", c.name));
                if let Some(other) = seen.insert((*scope, key), c.name) {
                    panic!("{key} is bound to {other} and to {}", c.name);
                }
            }
        }
    }

    #[test]
    fn the_configuration_binds_and_unbinds() {
        let table = |toml: &str| toml::from_str::<crate::config::Config>(toml).unwrap().keys;
        let map = Keymap::with(&table("[keys.nav]\nq = \"null\"\nQ = \"quit\"")).unwrap();
        assert!(map.lookup(Scope::Nodes, "q".parse().unwrap()).is_none());
        assert_eq!(map.lookup(Scope::Nodes, "Q".parse().unwrap()).unwrap().name, "quit");
        for (bad, word) in [
            ("[keys.nav]\nq=\"qit\"", "qit"),
            ("[keys.x]\nq=\"quit\"", "keys.x"),
            ("[keys.nav]\nqq=\"quit\"", "qq"),
        ] {
            assert!(Keymap::with(&table(bad)).unwrap_err().contains(word));
        }
    }
}
