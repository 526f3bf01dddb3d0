//! `diorama plan`: what a deployment would do, changing nothing.

use super::production::{self, BuildArgs, ModelArgs, ReachArgs, Sockets};
use super::{Global, Outcome, common, eval, out};
use crate::deploy::{self, Inquiry, print_plan, select};

const EXAMPLES: &str = "\
Asks all hosts at once, over SSH: whether they can be reached, who they are, what they run and what
they lack. Exit status 0 means that the plan can be carried out, 1 that a host stands in its way.

Examples:
  diorama plan                            this directory's model
  diorama plan shop.nix -i staging.nix    on the hosts of another infrastructure
  diorama plan --on web --on @canary      some hosts only
  diorama plan --json | jq .hosts         for programs";

/// Show what a deployment would change on every host, and change nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    reach: ReachArgs,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let cancel = eval::cancelled_by_ctrl_c();
    let built = production::build(&args.model, &args.build, global, args.json, &cancel).await?;
    let selected = select::select(&built.deployment, &args.reach.on)?;
    let secrets = built.secrets(&selected, &cancel).await?;
    let paths = common::paths(global)?;
    let settings = production::settings(&built.deployment.network.name, &args.reach, &paths)?;
    let _sockets = Sockets(settings.clone());
    // A plan changes nothing, and a build is a change of a host's store: it is foreseen, not made.
    let inquiry = Inquiry {
        deployment: &built.deployment,
        selected: &selected,
        recipes: &built.remote,
        settings: &settings,
        store: &built.store,
        secrets: &secrets,
    };
    let survey = inquiry.ask().await?;
    let plan = deploy::plan::plan(&built.deployment, &selected, &survey.found, &survey.closures);
    if args.json {
        out::json(&plan)?;
    } else {
        out::print(&print_plan(&plan));
    }
    Ok(u8::from(plan.hosts.values().any(|h| h.status.obstacle().is_some())))
}
