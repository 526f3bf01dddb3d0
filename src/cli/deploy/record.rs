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
        records.write(&found(&generation, before))?;
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

/// What a first deployment has found: a generation as well, the one to go back to from the first. Nobody has said what
/// must hold of these systems, so the checks of the new ones are not theirs.
fn found(first: &Generation, before: &BTreeMap<String, String>) -> Generation {
    let mut found = Generation { number: 0, outcomes: BTreeMap::new(), ..first.clone() };
    found.deployment.nodes.retain(|node, _| before.contains_key(node));
    for (node, target) in &mut found.deployment.nodes {
        if let Some(system) = before.get(node) {
            target.toplevel.clone_from(system);
        }
        target.health_checks.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_held_to_nobodys_checks() {
        let system = |name: &str| format!("/nix/store/{}-{name}", "a".repeat(32));
        let target = |name: &str| {
            serde_json::json!({
                "hostName": name, "system": "x86_64-linux", "toplevel": system(name),
                "healthChecks": [{ "kind": "port", "port": 80 }],
            })
        };
        let first: Generation = serde_json::from_value(serde_json::json!({
            "number": 1, "time": 0, "by": "a@b", "model": "/m.nix", "outcomes": {}, "systems": {},
            "deployment": {
                "version": 1, "network": { "name": "shop" },
                "nodes": { "web": target("web"), "off": target("off") },
            },
        }))
        .unwrap();
        let got = found(&first, &[("web".to_owned(), system("old"))].into());
        assert_eq!(got.deployment.nodes.keys().collect::<Vec<_>>(), ["web"], "the other was not seen");
        let web = &got.deployment.nodes["web"];
        assert_eq!((got.number, &web.toplevel, web.health_checks.len()), (0, &system("old"), 0));
    }
}
