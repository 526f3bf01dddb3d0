//! What keeps NixOS from switching to a system while it runs: parts that cannot be exchanged under a running machine.
//!
//! A system names them in its file `switch-inhibitors`, each with a word or path that stands for it. Its own
//! `switch-to-configuration` refuses `switch` and `test` when one that both systems name is another one now; `boot`
//! is what remains. One that only one of them names does not count.
//!
//! Invariant: pure; what a host says of its own is made printable.

use std::collections::BTreeMap;

use crate::error::printable;

/// The file's name in a system.
pub(super) const FILE: &str = "switch-inhibitors";

/// The parts by name, with what stands for each.
pub type Inhibitors = BTreeMap<String, String>;

/// Reads a system's file; what cannot be read names nothing, as NixOS takes it.
pub(super) fn parse(text: &str) -> Inhibitors {
    let Ok(serde_json::Value::Object(parts)) = serde_json::from_str(text) else { return Inhibitors::new() };
    let word = |value: serde_json::Value| match value {
        serde_json::Value::String(word) => word,
        other => other.to_string(),
    };
    parts.into_iter().map(|(name, value)| (printable(&name), printable(&word(value)))).collect()
}

/// The parts that are not the same, for people.
pub(super) fn differing(old: &Inhibitors, new: &Inhibitors) -> Vec<String> {
    new.iter()
        .filter_map(|(name, to)| {
            old.get(name).filter(|from| *from != to).map(|from| format!("{name}: {from} ▸ {to}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_name_and_is_another_now() {
        let old = r#"{ "dbus": "dbus", "systemd": "/s/a", "gone": "x", "n": 1 }"#;
        for (new, want) in [
            (r#"{ "dbus": "broker", "systemd": "/s/a", "new": "y", "n": 1 }"#, &["dbus: dbus ▸ broker"][..]),
            (r#"{ "dbus": "dbus", "systemd": "/s/b", "n": 2 }"#, &["n: 1 ▸ 2", "systemd: /s/a ▸ /s/b"]),
            (old, &[]),
            ("{}", &[]),
            // An early version had a list of paths.
            ("/nix/store/a\n/nix/store/b", &[]),
            ("", &[]),
        ] {
            assert_eq!(differing(&parse(old), &parse(new)), want, "{new}");
            assert!(differing(&Inhibitors::new(), &parse(new)).is_empty());
        }
        assert_eq!(parse("{\"a\\u001b[2J\": \"\\n\"}").keys().collect::<Vec<_>>(), ["a\u{fffd}[2J"]);
    }
}
