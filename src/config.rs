//! The user's settings and the project's.
//!
//! Two files are read, both optional: `config.toml` in the user's configuration directory
//! (`$XDG_CONFIG_HOME/diorama/`), and `diorama.toml` beside the model, whose settings win.
//!
//! Invariant: no setting names a program to run, so a project's file cannot run one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys of one mode or panel: a key's name to a command's name, `"null"` for none.
pub type KeyTable = BTreeMap<String, String>;

/// All settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// The terminal interface.
    pub ui: Ui,
    /// Keys, by mode or panel (`nav`, `nodes`, `links`, `reach`, `topology`, `forwards`,
    /// `consoles`, `log`, `console`, `select`): `"ctrl-g" = "leave-console"`; the command `"null"`
    /// unbinds a key.
    pub keys: BTreeMap<String, KeyTable>,
    /// Deploying.
    pub deploy: Deploy,
}

/// Settings of deploying.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Deploy {
    /// Whether deploying and rolling back are turned off; plans and status are not.
    pub readonly: bool,
    /// The infrastructure model, relative to the project's directory; by default `infrastructure.nix` beside the model when
    /// there is one.
    pub infrastructure: Option<PathBuf>,
    /// The distribution model, relative to the project's directory; by default `distribution.nix` beside the model when
    /// there is one.
    pub distribution: Option<PathBuf>,
}

/// Settings of the terminal interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ui {
    /// The theme's name: `ansi` (the terminal's own 16 colours), `midnight`, `paper`, `contrast`.
    pub theme: String,
    /// Whether the interface takes the mouse.
    pub mouse: bool,
    /// Lines of history that each console keeps, at most 100,000.
    pub scrollback: usize,
    /// Redraws a second, at most (1 to 60).
    pub fps: u16,
}

impl Default for Ui {
    fn default() -> Self {
        Self { theme: "ansi".into(), mouse: true, scrollback: 2000, fps: 30 }
    }
}

impl Config {
    /// Reads both files; a missing one has no settings.
    ///
    /// # Errors
    /// Names the file, the setting and what is wrong with it.
    pub fn load(project_dir: Option<&Path>) -> anyhow::Result<Self> {
        let files: Vec<PathBuf> =
            user_file().into_iter().chain(project_dir.map(|d| d.join("diorama.toml"))).collect();
        let mut merged = toml::Table::new();
        let mut readonly = false;
        for file in files {
            let text = match std::fs::read_to_string(&file) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e).with_context(|| format!("reading {}", file.display())),
            };
            let table: toml::Table = text.parse().with_context(|| format!("in {}", file.display()))?;
            // Checked by itself, so that the complaint names the right file.
            let own = parse(table.clone()).with_context(|| format!("in {}", file.display()))?;
            // A project cannot take back what the user has turned off.
            readonly |= own.deploy.readonly;
            merge(&mut merged, table);
        }
        let mut config = parse(merged)?;
        config.deploy.readonly |= readonly;
        Ok(config)
    }
}

/// Where the user's own settings are.
pub fn user_file() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "diorama").map(|d| d.config_dir().join("config.toml"))
}

/// The settings' JSON Schema.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

fn parse(table: toml::Table) -> anyhow::Result<Config> {
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|e| anyhow::anyhow!("{}: {}", e.path(), e.inner().to_string().trim()))
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(a)), toml::Value::Table(b)) => merge(a, b),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_settings_win_one_by_one() {
        let mut a: toml::Table =
            "[ui]\ntheme = \"paper\"\nfps = 10\n[keys.nav]\nq = \"quit\"".parse().unwrap();
        merge(&mut a, "[ui]\nfps = 20\n[keys.nav]\nQ = \"quit\"".parse().unwrap());
        let c = parse(a).unwrap();
        assert_eq!((c.ui.theme.as_str(), c.ui.fps, c.ui.mouse, c.keys["nav"].len()), ("paper", 20, true, 2));
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, words) in [
            ("[ui]\nthem = \"x\"", vec!["ui", "them", "theme"]),
            ("[ui]\nfps = \"fast\"", vec!["ui.fps", "fast"]),
            ("colour = 1", vec!["colour"]),
        ] {
            let e = parse(text.parse().unwrap()).unwrap_err().to_string();
            assert!(words.iter().all(|w| e.contains(w)), "{e}");
        }
    }

    #[test]
    fn a_projects_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("diorama.toml"), "[ui]\nscrollback = 7\n").unwrap();
        assert_eq!(Config::load(Some(dir.path())).unwrap().ui.scrollback, 7);
        std::fs::write(dir.path().join("diorama.toml"), "[ui]\nscrollback = -7\n").unwrap();
        let e = format!("{:#}", Config::load(Some(dir.path())).unwrap_err());
        assert!(e.contains("diorama.toml") && e.contains("ui.scrollback"), "{e}");
    }
}
