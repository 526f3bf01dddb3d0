//! `diorama ls`: sessions and their nodes.

use std::fmt::Write as _;

use super::{Global, Outcome, common, out};
use crate::client;
use crate::proto::{Phase, View};

const EXAMPLES: &str = "\
Examples:
  diorama ls                                       sessions with their nodes
  diorama ls --json | jq -r '.[].nodes[].name'     for programs
  diorama ls -q                                    names of sessions only";

/// List sessions, nodes, links that are broken, and port forwards.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print everything as JSON: a list of views.
    #[arg(long)]
    json: bool,
    /// Print the names of the sessions only.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let found = match &global.session {
        Some(name) => vec![client::find(&paths, Some(name)).await?],
        None => client::list(&paths).await?,
    };
    if args.quiet {
        out::print(&found.iter().map(|f| format!("{}\n", f.name)).collect::<String>());
        return Ok(0);
    }
    let mut views = Vec::new();
    for session in found {
        if session.taken_over {
            out::err(&format!(
                "note: the daemon of session {} had died; a new one has taken over\n",
                session.name
            ));
        }
        let seen = async { client::connect(&paths, Some(&session.name), "cli").await?.view().await };
        match seen.await {
            Ok(view) => views.push(view),
            // It has just ended.
            Err(e) => out::err(&format!("warning: {}: {e}\n", session.name)),
        }
    }
    if args.json {
        out::json(&views)?;
    } else if views.is_empty() {
        out::err("no session is running; diorama up starts one\n");
    } else {
        let texts: Vec<String> = views.iter().map(show).collect();
        out::print(&texts.join("\n"));
    }
    Ok(0)
}

fn show(view: &View) -> String {
    let up = view.nodes.iter().filter(|n| n.state == crate::proto::NodeState::Up).count();
    let phase = match &view.phase {
        Phase::Evaluating => "evaluating".to_owned(),
        Phase::Building { what } => format!("building: {what}"),
        Phase::Running => format!("{up}/{} up", view.nodes.len()),
        Phase::Stopping => "shutting down".to_owned(),
        Phase::Failed { .. } => "failed".to_owned(),
    };
    let mut text = format!("{} ▸ {phase}", view.session);
    if view.faults > 0 {
        let _ = write!(text, " ▸ {} fault{}", view.faults, if view.faults == 1 { "" } else { "s" });
    }
    let _ = writeln!(text, " ▸ {}", view.model);
    let mut rows = Vec::new();
    for n in &view.nodes {
        let state = format!("{} {}", common::mark(n.state), common::word(n.state));
        let addresses: Vec<String> = n
            .interfaces
            .iter()
            .map(|i| {
                let carrier = if i.carrier { "" } else { " (no carrier)" };
                format!("{} {}{carrier}", i.name, i.addresses.join(" "))
            })
            .collect();
        let boot = n.boot_ms.map_or(String::new(), |ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
        let doing = n.progress.map_or(n.doing.clone(), |p| format!("{} {p} %", n.doing));
        rows.push(vec![format!("  {}", n.name), state, boot, addresses.join(", "), doing]);
    }
    text.push_str(&out::table(&rows));
    for f in &view.forwards {
        let state = if f.active { String::new() } else { " (not listening)".into() };
        let note = if f.note.is_empty() { String::new() } else { format!(": {}", f.note) };
        let _ = writeln!(
            text,
            "  127.0.0.1:{}/{} ▸ {}:{}{state}{note}",
            f.host_port, f.proto, f.node, f.guest_port
        );
    }
    crate::error::printable(&text)
}
