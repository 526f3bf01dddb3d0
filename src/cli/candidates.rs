//! What the shell offers for the words that only a running session knows.
//!
//! Invariant: looks at directories only; it starts nothing, talks to nobody, and an error is an empty list.

use std::fs;

use clap_complete::engine::CompletionCandidate;

use crate::paths::Paths;

/// The sessions that there are.
pub(super) fn sessions() -> Vec<CompletionCandidate> {
    entries(None).into_iter().map(CompletionCandidate::new).collect()
}

/// The machines of the session that `DIORAMA_SESSION` names, else of all.
pub(super) fn nodes() -> Vec<CompletionCandidate> {
    node_names().into_iter().map(CompletionCandidate::new).collect()
}

/// The machines as they stand before a path.
pub(super) fn node_paths() -> Vec<CompletionCandidate> {
    node_names().into_iter().map(|n| CompletionCandidate::new(format!("{n}:"))).collect()
}

fn node_names() -> Vec<String> {
    let sessions = match std::env::var("DIORAMA_SESSION") {
        Ok(name) if !name.is_empty() => vec![crate::paths::short_name(&name)],
        _ => entries(None),
    };
    let mut names: Vec<String> = sessions.iter().flat_map(|s| entries(Some(s))).collect();
    names.sort();
    names.dedup();
    names
}

/// The directories in the runtime directory, or in one session's: names too long to be told are left out.
fn entries(session: Option<&str>) -> Vec<String> {
    let Ok(paths) = Paths::from_env(None) else { return Vec::new() };
    let dir = session.map_or(paths.runtime.clone(), |s| paths.runtime.join(s));
    let Ok(found) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = found
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| !n.starts_with('.') && !n.contains('~'))
        .collect();
    names.sort();
    names
}
