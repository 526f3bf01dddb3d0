//! `diorama rollback`: an earlier generation again, on all hosts or some.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deploy::{self, HowArgs, Wanted};
use super::{Global, Outcome, common, production};
use crate::error::Error;
use crate::nix::Store;

const EXAMPLES: &str = "\
Going back is a deployment like any other: planned, confirmed, all hosts or none. It makes a new
generation. Nothing is evaluated: the recorded store paths are activated, copied again where a host
has lost them. Exit statuses are those of `diorama deploy`.

Examples:
  diorama rollback                   all hosts to the generation before the last
  diorama rollback 3                 all hosts to generation 3
  diorama rollback 0                 what the first deployment found
  diorama rollback 3 --on web --yes  one host, without a question";

/// Go back to an earlier generation of a network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The generation; the one before the last when none is given.
    generation: Option<u64>,
    /// The network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let (network, records) = production::recorded(args.network.as_deref(), &paths)?;
    let all = records.all()?;
    let number = match args.generation {
        Some(number) => number,
        None => {
            let mut before = all.iter().rev().skip(1);
            before
                .next()
                .map(|g| g.number)
                .ok_or_else(|| Error::not_found(format!("{network} has no generation before the last")))?
        }
    };
    let generation = records.get(number)?;
    args.how.check_writable(&generation.files.model)?;
    let mut deployment = generation.deployment;
    // Where hosts are may have changed since; what they ran then has not.
    if let Some(last) = all.last() {
        for (node, target) in &last.deployment.nodes {
            deployment.nodes.insert(node.clone(), target.clone());
        }
    }
    deployment.nodes.retain(|node, _| generation.systems.contains_key(node));
    for (node, target) in &mut deployment.nodes {
        if let Some(system) = generation.systems.get(node) {
            target.toplevel.clone_from(system);
        }
    }
    let names: Vec<String> = deployment.nodes.keys().cloned().collect();
    for target in deployment.nodes.values_mut() {
        target.after.retain(|a| names.contains(a));
    }
    let store = Store::find(&paths.data);
    let mut files = generation.files;
    files.model = format!("generation {number} ({})", files.model);
    deploy::ship(
        Wanted {
            deployment,
            secrets: Arc::default(),
            files,
            rehearsal: None,
            remote: BTreeMap::new(),
            max_build: 1,
            store,
        },
        &args.how,
        global,
    )
    .await
}
