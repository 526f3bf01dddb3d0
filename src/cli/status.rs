//! `diorama status`: how production is.

use std::collections::BTreeMap;

use serde_json::json;

use super::production::{self, ReachArgs, Sockets};
use super::{Global, Outcome, common, out};
use crate::deploy::probe::{Found, Probe};
use crate::deploy::{self, Generation, select};
use crate::error::Error;

const EXAMPLES: &str = "\
Looks at the hosts of the last generation over SSH and changes nothing. Exit status 1 means that a
host cannot be reached, has failed units, or does not run what was last deployed to it.

Examples:
  diorama status                   all hosts
  diorama status --on @web --json";

/// Show how the hosts of a deployed network are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let (network, records) = production::recorded(args.network.as_deref(), &paths)?;
    let all = records.all()?;
    let last =
        all.last().ok_or_else(|| Error::not_found(format!("{network} was never deployed from here")))?;
    let mut deployment = last.deployment.clone();
    let selected = select::select(&deployment, &args.reach.on)?;
    deployment.nodes.retain(|n, _| selected.contains(n));
    let settings = production::settings(&network, &args.reach, &paths)?;
    let _sockets = Sockets(settings.clone());
    let found = deploy::status(&deployment, &settings).await?;
    let well = found.values().all(|f| matches!(f, Found::Host(p) if p.failed.is_empty() && !drifted(p)));
    if args.json {
        let hosts: BTreeMap<&String, serde_json::Value> =
            found.iter().map(|(n, f)| (n, as_json(f))).collect();
        out::json(&json!({ "network": network, "hosts": hosts }))?;
    } else {
        out::print(&table(last, &found));
    }
    Ok(u8::from(!well))
}

/// Whether a host runs something else than what was last deployed to it.
fn drifted(probe: &Probe) -> bool {
    probe.record.as_ref().is_some_and(|r| probe.current.as_ref() != Some(&r.toplevel))
}

fn as_json(found: &Found) -> serde_json::Value {
    match found {
        Found::Host(p) => json!({
            "reachable": true, "address": p.address, "current": p.current, "profile": p.profile,
            "generation": p.record.as_ref().map(|r| r.number), "drift": drifted(p),
            "failedUnits": p.failed, "locked": p.locked,
        }),
        Found::NoWay(e) => json!({ "reachable": false, "why": e.to_string() }),
        Found::Odd(why) => json!({ "reachable": true, "why": why }),
    }
}

fn table(last: &Generation, found: &BTreeMap<String, Found>) -> String {
    let mut rows = vec![["", "HOST", "ADDRESS", "GENERATION", "STATE"].map(String::from).to_vec()];
    for (node, found) in found {
        let row = match found {
            Found::Host(p) => {
                let generation =
                    p.record.as_ref().map_or_else(|| "none".to_owned(), |r| r.number.to_string());
                let mut state = Vec::new();
                if !p.failed.is_empty() {
                    state.push(format!("failed units: {}", p.failed.join(", ")));
                }
                if drifted(p) {
                    state.push("runs something else than was deployed".into());
                }
                if p.current != p.profile {
                    state.push("would boot another system".into());
                }
                if let Some(who) = &p.locked {
                    state.push(format!("a deployment is under way: {who}"));
                }
                let mark = if p.failed.is_empty() && !drifted(p) { "●" } else { "✕" };
                let state = if state.is_empty() { "well".to_owned() } else { state.join("; ") };
                [mark.to_owned(), node.clone(), p.address.clone(), generation, state]
            }
            Found::NoWay(e) => ["✕".to_owned(), node.clone(), String::new(), String::new(), e.to_string()],
            Found::Odd(why) => ["✕".to_owned(), node.clone(), String::new(), String::new(), why.clone()],
        };
        rows.push(row.to_vec());
    }
    let when = super::generations::when(last.time);
    format!("{}, generation {} of {when}\n{}", last.deployment.network.name, last.number, out::table(&rows))
}
