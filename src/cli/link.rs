//! `diorama link`: faults between machines.

use clap::Subcommand;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out};
use crate::error::{Error, Result};
use crate::proto::{Action, Seen, View, Wanted};

const EXAMPLES: &str = "\
A cut drops every frame of one direction, and nobody is told; a lowered carrier is seen by the guest.

Examples:
  diorama link list                  every link: what is wanted, what is seen
  diorama link cut web db            nothing from web reaches db any more
  diorama link cut web db --both     nor the other way round
  diorama link heal web db           take that cut back
  diorama link isolate db            cut db off from everyone
  diorama link rejoin db
  diorama link down db eth1          unplug the cable: the guest loses its carrier
  diorama link up db                 plug all of db's cables in
  diorama link undo                  take the last change back, whoever made it
  diorama link heal --all            remove every fault";

/// Cut, isolate, unplug, heal: break the network between machines, and mend it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Drop every frame from one machine to another.
    Cut {
        /// The sender.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        from: String,
        /// The receiver.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        to: String,
        /// Cut the opposite direction as well.
        #[arg(short, long)]
        both: bool,
    },
    /// Let frames pass again.
    Heal {
        /// The sender.
        #[arg(required_unless_present = "all", requires = "to")]
        from: Option<String>,
        /// The receiver.
        to: Option<String>,
        /// Heal the opposite direction as well.
        #[arg(short, long)]
        both: bool,
        /// Remove every cut and raise every carrier.
        #[arg(long, conflicts_with_all = ["from", "to", "both"])]
        all: bool,
    },
    /// Cut a machine off from all others.
    Isolate {
        /// The machine.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        node: String,
    },
    /// Remove every cut to and from a machine.
    Rejoin {
        /// The machine.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        node: String,
    },
    /// Lower a carrier: the guest sees its cable unplugged.
    Down {
        /// The machine.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        node: String,
        /// The interface; all on VLANs when absent.
        interface: Option<String>,
    },
    /// Raise a carrier.
    Up {
        /// The machine.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        node: String,
        /// The interface; all on VLANs when absent.
        interface: Option<String>,
    },
    /// Take back the last change of links, whoever made it.
    Undo,
    /// List the links.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let cut = |from: &str, to: &str| Action::Cut { from: from.into(), to: to.into() };
    let heal = |from: &str, to: &str| Action::Heal { from: from.into(), to: to.into() };
    let actions = match args.verb {
        Verb::Cut { from, to, both } => {
            let mut actions = vec![cut(&from, &to)];
            actions.extend(both.then(|| cut(&to, &from)));
            actions
        }
        Verb::Heal { from: Some(from), to: Some(to), both, .. } => {
            let mut actions = vec![heal(&from, &to)];
            actions.extend(both.then(|| heal(&to, &from)));
            actions
        }
        Verb::Heal { .. } => vec![Action::HealAll],
        Verb::Isolate { node } => vec![Action::Isolate { node }],
        Verb::Rejoin { node } => vec![Action::Rejoin { node }],
        Verb::Down { node, interface } => vec![Action::Carrier { node, interface, up: false }],
        Verb::Up { node, interface } => vec![Action::Carrier { node, interface, up: true }],
        Verb::Undo => vec![Action::Undo],
        Verb::List { json } => {
            let view = client.view().await?;
            return list(&view, json).map(|()| 0);
        }
    };
    for action in actions {
        out::line(&client.act(action).await?);
    }
    Ok(0)
}

fn list(view: &View, json: bool) -> Result<()> {
    if json {
        return out::json(&view.links);
    }
    if view.links.is_empty() {
        return Err(Error::new("no two machines share a VLAN"));
    }
    let mut rows =
        vec![["FROM", "TO", "VLAN", "WANTED", "SEEN", "DELIVERED", "CUT"].map(String::from).to_vec()];
    for l in &view.links {
        let wanted = match l.wanted {
            Wanted::Ok => "● ok",
            Wanted::Cut => "✕ cut",
            Wanted::Down => "✕ down",
        };
        let seen = match l.seen {
            Seen::Unknown => "? unknown",
            Seen::Passing => "● passing",
            Seen::Blocked => "✕ blocked",
        };
        let vlans: Vec<String> = l.vlans.iter().map(ToString::to_string).collect();
        rows.push(vec![
            l.from.clone(),
            l.to.clone(),
            vlans.join(","),
            wanted.into(),
            seen.into(),
            format!("{} frames", l.delivered.frames),
            l.cut_drops.to_string(),
        ]);
    }
    out::print(&out::table(&rows));
    Ok(())
}
