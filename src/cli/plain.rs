//! A session as lines of text: progress, events and every console, `node | line`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

use super::logs::Printer;
use super::{common, down, out};
use crate::client::{self, Client, StreamItem};
use crate::error::{Error, Result, printable};
use crate::proto::{Level, NodeState, Phase, View};

/// What ctrl-c does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnInterrupt {
    /// Shuts the session down; once more cuts the power.
    Down,
    /// Leaves the session running.
    Detach,
}

/// Until when to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The session's end, with all consoles.
    End,
    /// The machines have been started.
    Started,
    /// Every machine is up.
    Up,
}

/// What the follower has told already.
#[derive(Debug, Default)]
struct Told {
    phase: Option<Phase>,
    nodes: BTreeMap<String, (NodeState, String)>,
    /// The last log line's time, and how many lines of that time were printed.
    log: (u64, usize),
}

/// Follows a session.
pub(super) async fn follow(
    client: &Client,
    until: Until,
    on_interrupt: OnInterrupt,
    interrupts: &mut Signal,
) -> Result<()> {
    let mut views = client.subscribe().await?;
    let mut told = Told::default();
    let mut consoles = JoinSet::new();
    let mut open = false;
    loop {
        let view = views.borrow_and_update().clone();
        told.tell(&view);
        if let Phase::Failed { error } = &view.phase {
            client.ended().await;
            client::gone(client).await;
            return Err(whole(error));
        }
        match until {
            Until::Started if view.phase == Phase::Running => return Ok(()),
            Until::Up if view.phase == Phase::Running => {
                if let Some(e) = first_failure(&view) {
                    return Err(e);
                }
                if view.nodes.iter().all(|n| n.state == NodeState::Up) {
                    return Ok(());
                }
            }
            Until::End if !open && !view.nodes.is_empty() => {
                open = true;
                let width = view.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
                for node in &view.nodes {
                    consoles.spawn(console(client.clone(), node.name.clone(), width));
                }
            }
            _ => {}
        }
        tokio::select! {
            changed = views.changed() => if changed.is_err() {
                let reason = client.ended().await;
                client::gone(client).await;
                let last = views.borrow().clone();
                told.tell(&last);
                return match &last.phase {
                    Phase::Failed { error } => Err(whole(error)),
                    Phase::Stopping => Ok(()),
                    _ => Err(Error::new(reason)),
                };
            },
            _ = interrupts.recv() => {
                if on_interrupt == OnInterrupt::Detach {
                    return Ok(());
                }
                return interrupted(client, &view, interrupts).await;
            }
        }
    }
}

async fn interrupted(client: &Client, view: &Arc<View>, interrupts: &mut Signal) -> Result<()> {
    let running = view.phase == Phase::Running;
    out::err(if running {
        "\nshutting down; ctrl-c once more cuts the power …\n"
    } else {
        "\nstopping …\n"
    });
    // Before the machines run there is nothing to be asked.
    down::end(client, !running, 60, interrupts).await?;
    Err(Error { message: "interrupted: everything is shut down".into(), ..Error::interrupted() })
}

fn first_failure(view: &View) -> Option<Error> {
    let bad = view
        .nodes
        .iter()
        .find(|n| matches!(n.state, NodeState::Crashed | NodeState::Failed | NodeState::Stopped))?;
    let why = bad.post_mortem.clone().unwrap_or_default();
    let text = format!("{} {}\n{why}", bad.name, common::word(bad.state));
    Some(
        Error::new(text.trim_end())
            .hint(format!("the session is still there: diorama node start {}, or diorama down", bad.name)),
    )
}

/// An error as the daemon tells it: its last lines may be hints.
pub(super) fn whole(text: &str) -> Error {
    let (hints, message): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with("hint: "));
    let hints = hints.iter().map(|h| h["hint: ".len()..].to_owned()).collect();
    Error { hints, ..Error::new(message.join("\n")) }
}

async fn console(client: Client, node: String, width: usize) {
    let mut printer = Printer::new(&node, width);
    let Ok(mut stream) = client.console(&node, 0).await else { return };
    while let Some(StreamItem::Data { bytes, .. }) = stream.next().await {
        for line in printer.lines(&bytes) {
            out::line(&line);
        }
    }
    if let Some(rest) = printer.rest() {
        out::line(&rest);
    }
}

impl Told {
    /// Prints what is new in a view.
    fn tell(&mut self, view: &View) {
        if self.phase.as_ref() != Some(&view.phase) {
            match &view.phase {
                Phase::Evaluating => out::line(&format!("evaluating {}", printable(&view.model))),
                Phase::Building { what } => out::line(&format!("building: {}", printable(what))),
                _ => {}
            }
            self.phase = Some(view.phase.clone());
        }
        for node in &view.nodes {
            let now = (node.state, node.doing.clone());
            if self.nodes.get(&node.name) == Some(&now) {
                continue;
            }
            let is_work = matches!(node.state, NodeState::Evaluating | NodeState::Building);
            if is_work && !node.doing.is_empty() {
                out::line(&printable(&format!("{}: {}", node.name, node.doing)));
            } else if self.nodes.get(&node.name).is_some_and(|(s, _)| *s != node.state)
                && matches!(node.state, NodeState::Booting | NodeState::Paused | NodeState::Stopping)
            {
                out::line(&format!("{}: {}", node.name, common::word(node.state)));
            }
            self.nodes.insert(node.name.clone(), now);
        }
        // The error that ended a start is told once, by whoever follows.
        if !matches!(view.phase, Phase::Failed { .. }) {
            self.tell_log(view);
        }
    }

    fn tell_log(&mut self, view: &View) {
        let (time, printed) = self.log;
        let new = view.log.iter().filter(|e| e.time >= time);
        let mut skip = printed;
        for entry in new {
            if entry.time == time && skip > 0 {
                skip -= 1;
                continue;
            }
            let mark = match entry.level {
                Level::Info => "",
                Level::Warning => "warning: ",
                Level::Error => "error: ",
            };
            out::line(&printable(&format!("{mark}{}", entry.text)));
        }
        if let Some(last) = view.log.last().map(|e| e.time) {
            self.log = (last, view.log.iter().filter(|e| e.time == last).count());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_told_apart() {
        let e = whole("it failed\nin two lines\nhint: try again");
        assert_eq!(e.message, "it failed\nin two lines");
        assert_eq!(e.hints, ["try again"]);
    }
}
