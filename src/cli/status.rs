//! `diorama status`: how production is.

use super::production::{self, ReachArgs, Sockets};
use super::{Global, Outcome, common, out};
use crate::deploy::{self, HostStatus, NetworkStatus, select};
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
    let status = NetworkStatus {
        network,
        generation: last.number,
        hosts: found.iter().map(|(n, f)| (n.clone(), HostStatus::of(f))).collect(),
    };
    if args.json {
        out::json(&status)?;
    } else {
        out::print(&table(&status, last.time));
    }
    Ok(u8::from(!status.hosts.values().all(HostStatus::is_well)))
}

fn table(status: &NetworkStatus, time: u64) -> String {
    let mut rows = vec![["", "HOST", "ADDRESS", "GENERATION", "STATE"].map(String::from).to_vec()];
    for (node, host) in &status.hosts {
        let generation = host.generation.map_or_else(|| "none".to_owned(), |n| n.to_string());
        let generation = if host.reachable { generation } else { String::new() };
        let mark = if host.is_well() { "●" } else { "✕" };
        rows.push(vec![mark.into(), node.clone(), host.address.clone(), generation, host.describe()]);
    }
    let when = super::generations::when(time);
    format!("{}, generation {} of {when}\n{}", status.network, status.generation, out::table(&rows))
}
