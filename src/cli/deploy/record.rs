//! The generation that a deployment becomes.

use std::collections::BTreeMap;

use crate::cli::{out, production};
use crate::deploy::words::{Goal, Outcome};
use crate::deploy::{self, Deploy, Files, Generation, Records};
use crate::error::Result;

/// Writes the generation, when hosts were changed and kept so.
pub(super) async fn record(
    deploy: &Deploy,
    records: &Records,
    before: &BTreeMap<String, String>,
    outcomes: &BTreeMap<String, Outcome>,
    files: Files,
    remote: &BTreeMap<String, Vec<String>>,
) -> Result<Option<u64>> {
    let kept: Vec<&String> = outcomes
        .iter()
        .filter(|(_, o)| matches!(o, Outcome::Switched | Outcome::SwitchedWithFailedUnits))
        .map(|(n, _)| n)
        .collect();
    if kept.is_empty() || deploy.options.goal == Goal::Test {
        return Ok(None);
    }
    let all = records.all()?;
    let last = all.last();
    let mut systems = last.map(|g| g.systems.clone()).unwrap_or_default();
    systems.extend(before.clone());
    let mut generation = Generation {
        number: deploy.options.number,
        time: production::now(),
        by: deploy.options.by.clone(),
        files,
        deployment: deploy.deployment.clone(),
        outcomes: outcomes.clone(),
        systems,
    };
    // Secrets are no part of a generation: going back leaves hosts those they have.
    for target in generation.deployment.nodes.values_mut() {
        target.keys.clear();
    }
    if last.is_none() && deploy.options.number == 1 {
        // What was found is a generation as well: the one to go back to from the first.
        let mut found = Generation { number: 0, outcomes: BTreeMap::new(), ..generation.clone() };
        for (node, system) in before {
            if let Some(target) = found.deployment.nodes.get_mut(node) {
                target.toplevel.clone_from(system);
            }
        }
        found.deployment.nodes.retain(|n, _| before.contains_key(n));
        records.write(&found)?;
    }
    for node in &kept {
        if let Some(target) = deploy.deployment.nodes.get(*node) {
            generation.systems.insert((*node).clone(), target.toplevel.clone());
        }
    }
    records.write(&generation)?;
    // What a host has built is in its own store alone.
    let here: Vec<&String> = kept.into_iter().filter(|n| !remote.contains_key(*n)).collect();
    if let Err(e) = deploy::keep(&deploy.store, records, generation.number, &deploy.deployment, here).await {
        out::err(&format!("warning: garbage collection may take this generation from here: {e}\n"));
    }
    Ok(Some(generation.number))
}
