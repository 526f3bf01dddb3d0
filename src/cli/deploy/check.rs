//! Whether a deployment may be carried out: the plan's own words, then a person's.

use std::io::IsTerminal;

use super::HowArgs;
use crate::cli::out;
use crate::deploy::plan::{Plan, Status};
use crate::deploy::words::{Goal, Strategy};
use crate::error::{Error, Result, ResultExt};

/// Whether a plan can be carried out; gives whether hosts are left out.
pub(super) fn check(plan: &Plan, how: &HowArgs) -> Result<bool> {
    let mut in_the_way = Vec::new();
    let mut skipped = false;
    for (node, host) in &plan.hosts {
        match &host.status {
            Status::Unreachable(_) if how.skip_unreachable => skipped = true,
            status if how.strategy == Strategy::BestEffort && status.obstacle().is_some() => skipped = true,
            status => in_the_way.extend(status.obstacle().map(|why| format!("{node}: {why}"))),
        }
    }
    let unreachable = plan.hosts.values().any(|h| matches!(h.status, Status::Unreachable(_)));
    let key =
        plan.hosts.values().any(|h| matches!(&h.status, Status::HostKey(why) if why.contains("not known")));
    if !in_the_way.is_empty() {
        // sudo's own words, where it may not ask.
        let password = in_the_way.iter().any(|why| why.contains("password is required"));
        let mut e = Error::new(format!("nothing was changed: {}", in_the_way.join("; ")));
        if unreachable {
            e = e.hint("--skip-unreachable leaves hosts out that cannot be reached");
        }
        if key {
            e = e.hint("--trust-on-first-use pins keys that nobody has seen before");
        }
        if password {
            e = e.hint("--ask-sudo-password asks for it once, for all hosts");
        }
        return Err(e);
    }
    let drifted: Vec<String> = plan
        .hosts
        .iter()
        .filter(|(_, h)| h.status == Status::Changes)
        .filter_map(|(n, h)| Some(format!("{n}: {}", h.drift.as_ref()?)))
        .collect();
    if !drifted.is_empty() && !how.accept_drift {
        return Err(Error::new(format!("nothing was changed: {}", drifted.join("; ")))
            .hint("somebody else has changed it; --accept-drift deploys over that"));
    }
    // Each host's own program would refuse, too, but only after everything was copied and locked.
    let live = matches!(how.goal, Goal::Switch | Goal::Test) && how.strategy != Strategy::BestEffort;
    let inhibited = plan.inhibited();
    if live && !inhibited.is_empty() {
        let why = format!(
            "nothing was changed: NixOS does not switch to it while it runs: {}",
            inhibited.join("; ")
        );
        return Err(
            Error::new(why).hint("--goal boot --reboot has hosts boot it; --on does so for some of them")
        );
    }
    Ok(skipped)
}

/// Asks for the network's name; false when a clone is to be asked first.
pub(super) fn confirm(network: &str, how: &HowArgs, can_rehearse: bool) -> Result<bool> {
    if how.yes {
        return Ok(true);
    }
    if how.json || !std::io::stdin().is_terminal() {
        return Err(Error::usage("nobody is there to confirm the deployment")
            .hint("--yes deploys without a question"));
    }
    let offer = if can_rehearse {
        ",\nor test to run the model's test and the health checks in a clone first"
    } else {
        ""
    };
    out::err(&format!("\ntype the network's name ({network}) to deploy{offer}: "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).doing("reading the answer")?;
    match line.trim() {
        name if name == network => Ok(true),
        "test" if can_rehearse => Ok(false),
        _ => Err(Error::new("not confirmed; nothing was changed")),
    }
}
