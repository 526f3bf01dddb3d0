//! `diorama rollback`: an earlier generation again, on all hosts or some.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deploy::{self, HowArgs, Wanted};
use super::{Global, Outcome, common, production};
use crate::deploy::Generation;
use crate::deploy::model::{Deployment, Target};
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
    let deployment = as_it_was(&generation, all.last());
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

/// A generation's systems and what must hold of them, on the hosts as they are reached now.
fn as_it_was(generation: &Generation, last: Option<&Generation>) -> Deployment {
    let mut deployment = generation.deployment.clone();
    // Where hosts are may have changed since; what they ran then, and what had to hold of it, has not.
    for (node, target) in last.iter().flat_map(|g| &g.deployment.nodes) {
        let health_checks = deployment.nodes.remove(node).map(|then| then.health_checks).unwrap_or_default();
        deployment.nodes.insert(node.clone(), Target { health_checks, ..target.clone() });
    }
    deployment.nodes.retain(|node, _| generation.systems.contains_key(node));
    let names: Vec<String> = deployment.nodes.keys().cloned().collect();
    for (node, target) in &mut deployment.nodes {
        if let Some(system) = generation.systems.get(node) {
            target.toplevel.clone_from(system);
        }
        target.after.retain(|a| names.contains(a));
    }
    deployment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_and_checks_are_of_then_and_addresses_of_now() {
        let generation = |number: u64, host: &str, port: u16, system: &str| -> Generation {
            let path = format!("/nix/store/{}-{system}", "a".repeat(32));
            serde_json::from_value(serde_json::json!({
                "number": number, "time": 0, "by": "a@b", "model": "/m.nix", "outcomes": {}, "systems": { "web": path },
                "deployment": { "version": 1, "network": { "name": "shop" }, "nodes": { "web": {
                    "hostName": host, "system": "x86_64-linux", "toplevel": path, "after": ["db"],
                    "healthChecks": [{ "kind": "port", "port": port }],
                } } },
            }))
            .unwrap()
        };
        let (then, now) =
            (generation(1, "old.example.org", 80, "one"), generation(2, "new.example.org", 81, "two"));
        let got = as_it_was(&then, Some(&now));
        let web = &got.nodes["web"];
        assert_eq!(web.host_name, "new.example.org");
        assert!(web.toplevel.ends_with("-one") && web.after.is_empty());
        assert_eq!(web.health_checks, then.deployment.nodes["web"].health_checks);
        let mut found = then;
        found.deployment.nodes.clear();
        assert!(as_it_was(&found, Some(&now)).nodes["web"].health_checks.is_empty());
    }
}
