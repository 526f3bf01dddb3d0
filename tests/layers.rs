//! The arrows between the modules point one way (docs/architecture.md).

use std::collections::BTreeSet;
use std::path::Path;

/// What each module may use of the others; whoever needs more changes the architecture first.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("proto", &["model"]),
    ("session", &["error", "model", "proto"]),
    ("switch", &[]),
    ("agent", &[]),
    ("console", &[]),
    ("qemu", &["error", "model", "paths"]),
    ("apt", &["error"]),
    ("secrets", &["error", "model"]),
    ("nix", &["apt", "assets", "error", "model", "paths", "secrets"]),
    ("deploy", &["client", "error", "lock", "model", "nix", "proto", "secrets"]),
    ("client", &["error", "lock", "model", "paths", "proto"]),
    ("tui", &["client", "config", "console", "deploy", "error", "model", "paths", "proto"]),
];

/// What all may use, and which uses nothing itself.
const LEAVES: [&str; 2] = ["files", "shell"];

fn sources(dir: &Path, out: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn nothing_below_knows_anything_above() {
    let name = regex::Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for leaf in LEAVES {
        let text = std::fs::read_to_string(src.join(leaf).with_extension("rs")).unwrap();
        assert!(!name.is_match(&text), "{leaf} uses others");
    }
    for (module, allowed) in MAY_USE {
        let mut text = String::new();
        sources(&src.join(module), &mut text);
        assert!(!text.is_empty(), "{module} is there");
        let used: BTreeSet<&str> =
            name.captures_iter(&text).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
        let beyond: Vec<_> =
            used.iter().filter(|u| **u != module && !allowed.contains(u) && !LEAVES.contains(u)).collect();
        assert!(beyond.is_empty(), "{module} uses {beyond:?}");
    }
}
