//! Reference pages made from the tables.

use std::fmt::Write as _;

use super::keymap::{Keymap, Scope};
use super::theme::themes;

/// The page of keys and commands.
pub fn keys() -> String {
    let keymap = Keymap::default();
    let mut out = String::from(
        "# Keys and commands\n\n\
         Made from the command table; every key can be changed (see [configuration](configuration.md)).\n\
         The palette (`:`) finds every command by its name, and each verb with each thing it takes.\n",
    );
    for (scope, name, heading) in Scope::ALL {
        let rows = keymap.rows(scope);
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "\n## {heading} (`keys.{name}`)\n\n| key | command | what it does |\n|---|---|---|\n"
        );
        for (command, keys) in rows {
            let keys: Vec<_> = keys.iter().map(|k| format!("`{k}`")).collect();
            let _ = writeln!(out, "| {} | `{}` | {} |", keys.join(" "), command.name, command.doc);
        }
    }
    out.push_str("\nIn CONSOLE mode every key that is not listed reaches the guest.\n");
    out
}

/// The page of settings.
pub fn configuration() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Two files are read, both optional: `$XDG_CONFIG_HOME/diorama/config.toml` (usually\n\
         `~/.config/diorama/config.toml`), and `diorama.toml` beside the model, whose settings win.\n\
         No setting names a program to run. `NO_COLOR` in the environment leaves colours out, `$EDITOR`\n\
         and `$BROWSER` name the programs that `e` and `w` use.\n\n\
         | setting | default | meaning |\n|---|---|---|\n",
    );
    let defaults = serde_json::to_value(crate::config::Ui::default()).unwrap_or_default();
    let schema = crate::config::schema();
    let ui = schema.pointer("/$defs/Ui/properties").and_then(|p| p.as_object());
    for (name, property) in ui.into_iter().flatten() {
        let text = property.get("description").and_then(|d| d.as_str()).unwrap_or("").replace('\n', " ");
        let default = defaults.get(name).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "| `ui.{name}` | `{default}` | {text} |");
    }
    out.push_str("\n## Keys\n\nOne table a mode or panel; a key to a command's name, `\"null\"` for none:\n\n```toml\n");
    out.push_str("[keys.nav]\nQ = \"quit\"\nq = \"null\"\n\n[keys.console]\n\"ctrl-]\" = \"null\"\n\"ctrl-g\" = \"leave-console\"\n```\n\n");
    let names: Vec<_> = Scope::ALL.iter().map(|(_, n, _)| format!("`{n}`")).collect();
    let _ = writeln!(out, "Tables: {}. Commands: [keys](keys.md).", names.join(", "));
    let names: Vec<_> = themes().map(|(n, _)| format!("`{n}`")).collect();
    let _ = writeln!(out, "\n## Themes\n\n{}. `T` tries the next one.", names.join(", "));
    out
}

#[cfg(test)]
mod tests {
    /// Compares a generated page with the tree's; `UPDATE_DOCS=1` writes it.
    fn check(file: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "{} is stale: UPDATE_DOCS=1 cargo test --lib docs", path.display());
    }

    #[test]
    fn the_reference_pages_are_fresh() {
        check("keys.md", &super::keys());
        check("configuration.md", &super::configuration());
        let schema = serde_json::to_string_pretty(&crate::config::schema()).unwrap() + "\n";
        check("config.schema.json", &schema);
    }
}
