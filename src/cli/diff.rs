//! `diorama diff`: what two generations differ in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Global, Outcome, common, out, production};
use crate::deploy::{Change, closure_diff, closure_of, print_diff};
use crate::error::{Result, ResultExt};
use crate::nix::Store;

const EXAMPLES: &str = "\
Examples:
  diorama diff 3 4                 packages and versions, host by host
  diorama diff 3 4 --json
  diorama diff 1 7 --network shop";

/// Show what differs between two generations of a network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The one generation.
    from: u64,
    /// The other.
    to: u64,
    /// The network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let (_, records) = production::recorded(args.network.as_deref(), &paths)?;
    let (from, to) = (records.get(args.from)?.systems, records.get(args.to)?.systems);
    let store = Store::find(&paths.data);
    let nodes: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let mut all: BTreeMap<&String, Option<Vec<Change>>> = BTreeMap::new();
    for node in nodes {
        let change = match (from.get(node), to.get(node)) {
            (Some(a), Some(b)) if a == b => Some(Vec::new()),
            (Some(a), Some(b)) => Some(between(&store, a, b).await.doing(node)?),
            _ => None,
        };
        all.insert(node, change);
    }
    if args.json {
        out::json(&all)?;
        return Ok(0);
    }
    for (node, change) in all {
        match change {
            None => out::line(&format!("{node}: only one of the two knows it")),
            Some(list) if list.is_empty() => out::line(&format!("{node}: the same")),
            Some(list) => {
                let said = print_diff(&list, "    ");
                let said = if said.is_empty() { "    nothing but its own name\n".into() } else { said };
                out::print(&format!("{node}:\n{said}"));
            }
        }
    }
    Ok(0)
}

async fn between(store: &Store, a: &str, b: &str) -> Result<Vec<Change>> {
    let a = closure_of(store, a).await?;
    let b = closure_of(store, b).await?;
    Ok(closure_diff(a.paths.iter().map(|(p, _)| p.as_str()), b.paths.iter().map(|(p, _)| p.as_str())))
}
