//! What verbs share: directories, connecting, and words for states.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Global;
use crate::client::{self, Client};
use crate::error::{Error, Kind, Result, ResultExt, nearest};
use crate::model::is_name;
use crate::paths::Paths;
use crate::proto::{NodeState, View};

/// The program's directories.
pub fn paths(global: &Global) -> Result<Paths> {
    Ok(Paths::from_env(global.state_dir.as_deref())?)
}

/// Hears ctrl-c from now on. One listener serves for as long as it is awaited, since what is said while nobody listens
/// is lost: `tokio::signal::ctrl_c` in a loop misses what comes between two rounds.
pub fn interrupts() -> Result<Signal> {
    signal(SignalKind::interrupt()).doing("listening for ctrl-c")
}

/// Connects to the session that the command line means.
pub async fn connect(global: &Global) -> Result<Client> {
    client::connect(&paths(global)?, global.session.as_deref(), "cli").await
}

/// Makes sure that a node is there, before anything is asked of it.
pub fn check_node(view: &View, name: &str) -> Result<()> {
    let names = || view.nodes.iter().map(|n| n.name.as_str());
    if names().any(|n| n == name) {
        return Ok(());
    }
    let e = Error::not_found(format!("there is no node {name:?} in session {}", view.session));
    Err(match nearest(name, names()) {
        Some(near) => e.hint(format!("did you mean {near}?")),
        None => e.hint(format!("the nodes are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// A word from the command line that may name a session.
pub fn session_name(name: &str) -> Result<String> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(Error::usage(format!("{name:?} cannot name a session"))
        .hint("letters, digits, '-', '_' and '.', starting with a letter or digit, at most 63"))
}

/// An error of the daemon's as one of `exec`'s own, not of the command.
pub fn own_failure(e: Error) -> Error {
    match e.kind {
        Kind::Failure => e.kind(Kind::Status(125)),
        _ => e,
    }
}

/// A state's mark: colour is never the only sign.
pub fn mark(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "●",
        NodeState::Booting | NodeState::Building | NodeState::Evaluating | NodeState::Stopping => "◐",
        NodeState::Crashed | NodeState::Failed => "✕",
        NodeState::Paused => "‖",
        NodeState::Waiting | NodeState::Built | NodeState::Stopped => "○",
    }
}

/// A state's word.
pub fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Waiting => "waiting",
        NodeState::Evaluating => "evaluating",
        NodeState::Building => "building",
        NodeState::Built => "built",
        NodeState::Booting => "booting",
        NodeState::Up => "up",
        NodeState::Paused => "paused",
        NodeState::Stopping => "stopping",
        NodeState::Stopped => "stopped",
        NodeState::Crashed => "crashed",
        NodeState::Failed => "failed",
    }
}
